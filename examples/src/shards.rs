//! Work in several parts: which images belong to a part, and outcomes of an evaluation on disk.

use crate::error::{Error, Result};
use coco_eval::{EvalParams, GroundTruth, Outcomes};
use std::path::{Path, PathBuf};

/// One of several parts of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// In [1, `parts`].
    number: usize,
    parts: usize,
}

impl Shard {
    /// `I/N`, the I-th of N parts.
    ///
    /// # Errors
    /// [`Error::Argument`] for anything but 1 <= I <= N.
    pub fn parse(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let shard = numbers.map(|(number, parts)| Self { number, parts });
        shard.filter(|shard| (1..=shard.parts).contains(&shard.number)).ok_or_else(|| Error::Argument {
            option: "--shard",
            value: text.to_owned(),
            expected: "expected I/N, the I-th of N parts, with I from 1 to N",
        })
    }

    /// The images of this part: of those selected, by ascending id, the I-th and every N-th after it.
    #[must_use]
    pub fn images(self, ground_truth: &GroundTruth, params: &EvalParams) -> Vec<i64> {
        let all = || ground_truth.images().iter().map(|image| image.id).collect();
        let mut ids = params.image_ids.clone().unwrap_or_else(all);
        ids.sort_unstable();
        ids.dedup();
        self.select(ids)
    }

    /// What of `all` belongs to this part: the I-th and every N-th after it.
    #[must_use]
    pub fn select<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.number - 1).step_by(self.parts).collect()
    }
}

/// Reads the outcomes of several parts and joins them.
///
/// # Errors
/// Names the file that can't be read; parts that do not belong together.
pub fn merge(paths: &[PathBuf]) -> Result<Outcomes> {
    let parts = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    Ok(Outcomes::merge(parts)?)
}

fn read(path: &Path) -> Result<Outcomes> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Outcomes { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use coco_eval::{Image, InputPolicy};

    #[test]
    fn parts_are_disjoint_and_complete() {
        let images = [5, -2, 9, 7, 1].map(|id| Image { id, file_name: None }).to_vec();
        let truth = GroundTruth::new(images, Vec::new(), [], InputPolicy::default()).unwrap();
        let of = |text| Shard::parse(text).unwrap().images(&truth, &EvalParams::default());
        assert_eq!((of("1/2"), of("2/2")), (vec![-2, 5, 9], vec![1, 7]));
        assert_eq!((of("1/1"), of("6/7")), (vec![-2, 1, 5, 7, 9], vec![]));
        let bad = ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2"];
        assert!(bad.iter().all(|text| Shard::parse(text).is_err()));
    }
}
