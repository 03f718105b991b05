//! The tensors of a run, kept.

use crate::{Error, Executor, Values};

#[derive(Debug, Clone, PartialEq)]
enum Owned {
    F32(Vec<f32>),
    I8(Vec<i8>),
    I16(Vec<i16>),
}

impl Owned {
    fn empty_like(values: Values<'_>) -> Self {
        match values {
            Values::F32(_) => Owned::F32(Vec::new()),
            Values::I8(_) => Owned::I8(Vec::new()),
            Values::I16(_) => Owned::I16(Vec::new()),
        }
    }

    /// Takes over `values`; the memory is used again where the type has not changed.
    fn set(&mut self, values: Values<'_>) {
        match (&mut *self, values) {
            (Owned::F32(kept), Values::F32(v)) => replace(kept, v),
            (Owned::I8(kept), Values::I8(v)) => replace(kept, v),
            (Owned::I16(kept), Values::I16(v)) => replace(kept, v),
            _ => {
                *self = Self::empty_like(values);
                self.set(values);
            }
        }
    }

    fn values(&self) -> Values<'_> {
        match self {
            Owned::F32(v) => Values::F32(v),
            Owned::I8(v) => Values::I8(v),
            Owned::I16(v) => Values::I16(v),
        }
    }
}

fn replace<T: Copy>(kept: &mut Vec<T>, values: &[T]) {
    kept.clear();
    kept.extend_from_slice(values);
}

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
            self.tensors.resize(tensor + 1, Owned::I8(Vec::new()));
        }
        self.tensors[tensor].set(values);
    }

    /// Gives the memory of a tensor back; a run that needs it is refused.
    pub fn forget(&mut self, tensor: usize) {
        if let Some(kept) = self.tensors.get_mut(tensor) {
            *kept = Owned::I8(Vec::new());
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
