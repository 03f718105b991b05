//! What is checked in every row, from a file or from memory.

use crate::error::{Error, Position, Record};
use crate::json::rows::{Field, locate};
use crate::policy::{NegativeSizes, ReadLimits};

/// A row whose content is refused; it becomes an [`Error`] where row number and place are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    field: Field,
    /// Which number of the field, if it is a list.
    element: usize,
    reason: Reason,
}

#[derive(Debug, Clone, Copy)]
enum Reason {
    Missing,
    NotFinite(f64),
    Negative(f64),
}

impl Refusal {
    #[cold]
    pub(crate) fn into_error(self, record: Record, position: Option<Position>) -> Error {
        let field = self.field.name();
        match self.reason {
            Reason::Missing => Error::MissingField { record, position, field },
            Reason::NotFinite(value) => Error::NotFinite { record, position, field, value },
            Reason::Negative(value) => Error::NegativeSize { record, position, field, value },
        }
    }

    /// Where in the text of the record the refused value starts; the record's own start if it is missing.
    #[cold]
    pub(crate) fn locate(&self, record: &[u8]) -> usize {
        locate(self.field, self.element, record).unwrap_or(0)
    }
}

/// The value of a field, or the refusal that names it.
#[inline]
pub(crate) fn required<T>(field: Field, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or(Refusal { field, element: 0, reason: Reason::Missing })
}

/// Refuses NaN, infinities and, depending on the policy, negative widths and heights.
#[inline]
pub(crate) fn check_box(bbox: &[f64; 4], policy: NegativeSizes) -> Result<(), Refusal> {
    for (element, &value) in bbox.iter().enumerate() {
        check_finite(Field::Bbox, element, value)?;
    }
    check_size(Field::Bbox, 2, bbox[2], policy)?;
    check_size(Field::Bbox, 3, bbox[3], policy)
}

/// Refuses NaN and infinities.
#[inline]
pub(crate) fn check_finite(field: Field, element: usize, value: f64) -> Result<(), Refusal> {
    if value.is_finite() { Ok(()) } else { Err(Refusal { field, element, reason: Reason::NotFinite(value) }) }
}

/// Refuses negative numbers, depending on the policy.
#[inline]
pub(crate) fn check_size(
    field: Field,
    element: usize,
    value: f64,
    policy: NegativeSizes,
) -> Result<(), Refusal> {
    if value < 0.0 && policy == NegativeSizes::Reject {
        return Err(Refusal { field, element, reason: Reason::Negative(value) });
    }
    Ok(())
}

/// Refuses a row whose number would not fit 32 bits.
pub(crate) fn check_row_count(record: Record, rows: usize) -> Result<(), Error> {
    let limit = ReadLimits { rows: usize::MAX, ..ReadLimits::DEFAULT }.most_rows();
    if rows >= limit { Err(Error::TooManyRows { record, position: None, limit }) } else { Ok(()) }
}
