//! One value per channel, written in runs.

use super::ExpressionError;
use super::cursor::Cursor;
use std::fmt;

/// Values along one axis of a tensor, as runs of equal neighbours: `[axis=-1]32*0.5,32*0.25`.
///
/// Neighbouring runs never hold equal values, so two lists that expand to the same values are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct PerAxis<T> {
    axis: Option<i32>,
    runs: Vec<(usize, T)>,
    count: usize,
}

impl<T: Copy + PartialEq> PerAxis<T> {
    /// One value for all channels.
    pub fn uniform(axis: Option<i32>, channels: usize, value: T) -> Self {
        let runs = if channels == 0 { Vec::new() } else { vec![(channels, value)] };
        Self { axis, runs, count: channels }
    }

    /// One value per channel.
    pub fn from_values(axis: Option<i32>, values: &[T]) -> Self {
        let runs = values.chunk_by(PartialEq::eq).map(|run| (run.len(), run[0])).collect();
        Self { axis, runs, count: values.len() }
    }

    /// Runs of `(count, value)`, which need not differ from their neighbours.
    ///
    /// # Errors
    ///
    /// If a run is empty, or if no `usize` holds the number of values. Places in the error are positions in `runs`.
    pub fn from_runs(axis: Option<i32>, runs: &[(usize, T)]) -> Result<Self, ExpressionError> {
        let mut list = Self { axis, runs: Vec::with_capacity(runs.len()), count: 0 };
        for (at, &(length, value)) in runs.iter().enumerate() {
            list.push(at, length, value)?;
        }
        Ok(list)
    }

    /// The axis that the values lie along, negative from the end; none where the file names none.
    ///
    /// In hardware layouts (`NCHWc32`) it is an axis of the tensor before its channels were split.
    pub fn axis(&self) -> Option<i32> {
        self.axis
    }

    /// `(count, value)` of each run of equal values.
    pub fn runs(&self) -> &[(usize, T)] {
        &self.runs
    }

    /// Number of values, runs counted in full.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The value that all channels share, if they do.
    pub fn shared(&self) -> Option<T> {
        match self.runs.as_slice() {
            [(_, value)] => Some(*value),
            _ => None,
        }
    }

    /// The value of every channel.
    ///
    /// # Errors
    ///
    /// If the list holds neither one value nor `channels` values. Memory is taken for `channels` values only.
    pub fn expand(&self, channels: usize) -> Result<Vec<T>, ExpressionError> {
        match self.shared() {
            Some(value) if self.count == 1 => Ok(vec![value; channels]),
            _ if self.count != channels => {
                Err(ExpressionError::Count { found: self.count, expected: channels })
            }
            _ => Ok(self.runs.iter().flat_map(|&(count, value)| std::iter::repeat_n(value, count)).collect()),
        }
    }

    /// The same runs with every value replaced; `change` must keep different values apart.
    pub(super) fn map<U>(&self, change: impl Fn(T) -> U) -> PerAxis<U> {
        let runs = self.runs.iter().map(|&(count, value)| (count, change(value))).collect();
        PerAxis { axis: self.axis, runs, count: self.count }
    }

    /// `[axis=A]item,item...`, each item `[N*]value`; the list may be empty.
    pub(super) fn read<'t>(
        cursor: &mut Cursor<'t>,
        value: impl Fn(&mut Cursor<'t>) -> Result<T, ExpressionError>,
    ) -> Result<Self, ExpressionError> {
        let mut list = Self { axis: axis(cursor)?, runs: Vec::new(), count: 0 };
        while !cursor.stands(")") {
            let at = cursor.at;
            let length = run_length(cursor)?;
            list.push(at, length, value(cursor)?)?;
            if !cursor.accept(",") {
                break;
            }
        }
        Ok(list)
    }

    fn push(&mut self, at: usize, length: usize, value: T) -> Result<(), ExpressionError> {
        if length == 0 {
            return Err(ExpressionError::EmptyRun { at });
        }
        self.count = self.count.checked_add(length).ok_or(ExpressionError::TooManyChannels { at })?;
        match self.runs.last_mut() {
            Some(last) if last.1 == value => last.0 += length,
            _ => self.runs.push((length, value)),
        }
        Ok(())
    }
}

fn axis(cursor: &mut Cursor<'_>) -> Result<Option<i32>, ExpressionError> {
    if !cursor.accept("[axis=") {
        return Ok(None);
    }
    let axis = cursor.integer("32 bits")?;
    cursor.expect("]")?;
    Ok(Some(axis))
}

/// `N*`, or one where no star follows the digits.
fn run_length(cursor: &mut Cursor<'_>) -> Result<usize, ExpressionError> {
    let at = cursor.at;
    cursor.word();
    if !cursor.accept("*") {
        cursor.at = at;
        return Ok(1);
    }
    cursor.at = at;
    let length = cursor.integer("run length")?;
    cursor.expect("*")?;
    Ok(length)
}

impl<T: fmt::Display> fmt::Display for PerAxis<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(axis) = self.axis {
            write!(f, "[axis={axis}]")?;
        }
        for (index, (count, value)) in self.runs.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            if *count != 1 {
                write!(f, "{count}*")?;
            }
            write!(f, "{value}")?;
        }
        Ok(())
    }
}
