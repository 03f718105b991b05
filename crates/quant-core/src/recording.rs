//! The tensors of a run, kept.

use crate::values::Owned;
use crate::{Error, Executor, Values};

/// All tensors of one run of a program, by index, so that other runs can begin in the middle.
///
/// It holds every tensor, not only those that live at the same time: 28 MiB for YOLOv5n in integers at 640 x 640.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    tensors: Vec<Owned>,
}

impl Recording {
    /// Values of a tensor; `None` beyond the last one.
    #[must_use]
    pub fn get(&self, tensor: usize) -> Option<Values<'_>> {
        self.tensors.get(tensor).map(Owned::values)
    }

    /// Bytes of all values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.values().bytes()).sum()
    }

    /// Keeps the values of a tensor, in place of what was kept of it.
    pub fn set(&mut self, tensor: usize, values: Values<'_>) {
        if self.tensors.len() <= tensor {
            self.tensors.resize(tensor + 1, Owned::default());
        }
        self.tensors[tensor].set(values);
    }

    /// Gives the memory of a tensor back; a run that needs it is refused.
    pub fn forget(&mut self, tensor: usize) {
        if let Some(kept) = self.tensors.get_mut(tensor) {
            *kept = Owned::default();
        }
    }
}

impl Executor<'_> {
    /// Runs the program as [`Executor::run`] and keeps every tensor in `recording`, in place of what it held before.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn record(&mut self, input: &[f32], recording: &mut Recording) -> Result<(), Error> {
        recording.tensors.truncate(self.program().tensors().len());
        self.run_with(input, |tensor, values| recording.set(tensor, values))
    }
}
