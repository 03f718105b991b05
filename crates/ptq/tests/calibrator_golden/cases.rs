//! The index of the goldens, and what a case came to.

use crate::npy::Array;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A folder with `index.json` and the arrays that it names.
pub(crate) struct Goldens {
    folder: PathBuf,
    pub(crate) index: Value,
    inputs: RefCell<BTreeMap<String, Rc<Vec<f32>>>>,
}

impl Goldens {
    pub(crate) fn open(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("index.json")).unwrap();
        let index = serde_json::from_str(&text).unwrap();
        Self { folder: folder.to_owned(), index, inputs: RefCell::default() }
    }

    /// The array of a file that the index names.
    pub(crate) fn array(&self, file: &Value) -> Array {
        Array::read(&self.folder.join(file.as_str().unwrap()))
    }

    /// An input, flattened: one that the index lists, or a file in `aux`.
    pub(crate) fn input(&self, name: &str) -> Rc<Vec<f32>> {
        let file = match &self.index["inputs"][name]["file"] {
            Value::Null => Value::from(format!("aux/{name}.npy")),
            listed => listed.clone(),
        };
        let read = || Rc::new(self.array(&file).into_f32());
        Rc::clone(self.inputs.borrow_mut().entry(name.to_owned()).or_insert_with(read))
    }

    pub(crate) fn shape(&self, name: &str) -> Vec<usize> {
        serde_json::from_value(self.index["inputs"][name]["shape"].clone()).unwrap()
    }

    /// The batches of a case.
    pub(crate) fn batches(&self, case: &Value) -> Vec<Vec<f32>> {
        let name = case["input"].as_str().unwrap();
        let values = self.input(name);
        let splits = &self.index["inputs"][name]["splits"][case["split"].to_string()];
        let splits: Vec<(usize, usize)> = serde_json::from_value(splits.clone()).unwrap();
        splits.into_iter().map(|(start, end)| values[start..end].to_vec()).collect()
    }
}

/// How a case compares with the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Every bit is the same, or both raise the same.
    Exact,
    /// Within the tolerance of its calibrator.
    Within,
    /// An error here, by decision.
    Refused,
}

/// What a case came to, or what is wrong.
pub(crate) type Verdict = Result<Outcome, String>;

/// The worst of several.
pub(crate) fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    verdicts.into_iter().try_fold(Outcome::Exact, |worst, verdict| Ok(worst.max(verdict?)))
}

/// A golden float: `{"f32": .., "hex": "0x.."}` or the hexadecimal alone.
pub(crate) fn float(value: &Value) -> f32 {
    let hex = value.as_str().or_else(|| value["hex"].as_str()).unwrap();
    f32::from_bits(u32::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap())
}

/// Floats between two, `u32::MAX` if only one is NaN.
fn ulps(a: f32, b: f32) -> u32 {
    let rank = |x: f32| {
        let magnitude = (x.to_bits() & 0x7fff_ffff) as i32;
        if x.is_sign_negative() { -magnitude } else { magnitude }
    };
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0,
        (false, false) => rank(a).abs_diff(rank(b)),
        _ => u32::MAX,
    }
}

/// Compares floats. All NaN are one; zeros of different sign are within any tolerance.
pub(crate) fn compare(what: &str, got: f32, want: f32, tolerance: u32) -> Verdict {
    if got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan() {
        return Ok(Outcome::Exact);
    }
    let distance = ulps(got, want);
    if distance <= tolerance {
        return Ok(Outcome::Within);
    }
    Err(format!("{what}: {got} ({:08x}) for {want} ({:08x}), {distance} ulp", got.to_bits(), want.to_bits()))
}

/// Compares things that must be equal.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &[T], want: &[T]) -> Verdict {
    if got.len() != want.len() {
        return Err(format!("{what}: {} for {}", got.len(), want.len()));
    }
    match got.iter().zip(want).position(|(got, want)| got != want) {
        Some(at) => Err(format!("{what}: at {at} {:?} for {:?}", got[at], want[at])),
        None => Ok(Outcome::Exact),
    }
}

/// Bits of floats, for [`same`].
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}
