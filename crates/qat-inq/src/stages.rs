//! INQ from stage to stage: what is put on its grid, and what is frozen.

use crate::{Error, Grid, Nesting, Partition, partition};
use nn_graph::{Params, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Which weights go to the grid when a stage begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// Those that are frozen, as in the paper.
    Frozen,
    /// All, as published scripts for Icraft do: those that are free leave the grid in training again.
    All,
}

/// Frozen weights of a network: by name of the parameter, in the order of its values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Masks(BTreeMap<String, Vec<bool>>);

/// How INQ goes: the grids, and by what weights are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Inq {
    /// The values that weights may have, by name of the parameter. Parameters without a grid are never frozen.
    pub grids: BTreeMap<String, Grid>,
    /// By what weights are chosen.
    pub partition: Partition,
    /// What becomes of weights that were frozen before.
    pub nesting: Nesting,
    /// Which weights go to the grid.
    pub projection: Projection,
    /// Parameters that are frozen as a whole from the first stage on.
    pub whole: BTreeSet<String>,
}

impl Inq {
    /// As in the paper: the largest weights first, what is frozen stays so, and nothing else is touched.
    #[must_use]
    pub fn new(grids: BTreeMap<String, Grid>) -> Self {
        Self {
            grids,
            partition: Partition::Magnitude,
            nesting: Nesting::Cumulative,
            projection: Projection::Frozen,
            whole: BTreeSet::new(),
        }
    }

    /// Begins a stage: chooses which weights are frozen, `ratio` of those of every parameter, and puts them on their grids.
    ///
    /// # Errors
    /// [`Error::Missing`] for a grid of a parameter that is not there; those of [`partition`] and [`Grid::project`].
    pub fn begin(
        &self,
        params: &Params,
        before: Option<&Masks>,
        ratio: f64,
    ) -> Result<(Params, Masks), Error> {
        let mut params = params.clone();
        let mut masks = Masks::default();
        for (name, grid) in &self.grids {
            let tensor = params.get_mut(name).ok_or_else(|| Error::Missing { parameter: name.clone() })?;
            let ratio = if self.whole.contains(name) { 1.0 } else { ratio };
            let before = before.and_then(|masks| masks.get(name));
            let mask = partition(name, tensor.data(), before, ratio, (self.partition, self.nesting))?;
            let mut on_grid = tensor.data().to_vec();
            grid.project(&mut on_grid, rows(tensor))?;
            let moved = tensor.data_mut().iter_mut().zip(on_grid).zip(&mask);
            for ((value, on_grid), _) in
                moved.filter(|(_, frozen)| **frozen || self.projection == Projection::All)
            {
                *value = on_grid;
            }
            masks.0.insert(name.clone(), mask);
        }
        Ok((params, masks))
    }

    /// How many of the frozen weights are not on their grid: none, unless something else than training moved them.
    ///
    /// # Errors
    /// [`Error::Missing`] and those of [`Grid::count_off`].
    pub fn count_off(&self, params: &Params, masks: &Masks) -> Result<usize, Error> {
        let mut count = 0;
        for (name, mask) in &masks.0 {
            let missing = || Error::Missing { parameter: name.clone() };
            let tensor = params.get(name).ok_or_else(missing)?;
            let grid = self.grids.get(name).ok_or_else(missing)?;
            // Free values count as if they were on the grid.
            let mut values = tensor.data().to_vec();
            grid.project(&mut values, rows(tensor))?;
            let frozen = values.iter_mut().zip(tensor.data()).zip(mask).filter(|(_, frozen)| **frozen);
            frozen.for_each(|((value, found), _)| *value = *found);
            count += grid.count_off(&values, rows(tensor))?;
        }
        Ok(count)
    }
}

/// A row of a weight is an output channel.
fn rows(tensor: &Tensor) -> usize {
    tensor.shape().first().copied().unwrap_or(1)
}

impl Masks {
    /// The mask of a parameter.
    #[must_use]
    pub fn get(&self, parameter: &str) -> Option<&[bool]> {
        self.0.get(parameter).map(Vec::as_slice)
    }

    /// All masks, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[bool])> {
        self.0.iter().map(|(name, mask)| (name.as_str(), mask.as_slice()))
    }

    /// Frozen weights, and all that have a mask.
    #[must_use]
    pub fn counts(&self) -> [usize; 2] {
        let frozen = self.0.values().flatten().filter(|&&frozen| frozen).count();
        [frozen, self.0.values().map(Vec::len).sum()]
    }

    /// The masks as parameters, 1 for frozen and 0 for free, to be stored like these.
    #[must_use]
    pub fn to_params(&self) -> Params {
        let numbers = |mask: &Vec<bool>| mask.iter().map(|&frozen| f32::from(u8::from(frozen))).collect();
        self.0.iter().map(|(name, mask)| (name.clone(), Tensor::vector(numbers(mask)))).collect()
    }

    /// The way back from [`Masks::to_params`]: what is not 0 is frozen.
    #[must_use]
    pub fn from_params(params: &Params) -> Self {
        let frozen = |tensor: &Tensor| tensor.data().iter().map(|&value| value != 0.0).collect();
        Self(params.iter().map(|(name, tensor)| (name.clone(), frozen(tensor))).collect())
    }
}

impl FromIterator<(String, Vec<bool>)> for Masks {
    fn from_iter<I: IntoIterator<Item = (String, Vec<bool>)>>(masks: I) -> Self {
        Self(masks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UniformGrid;
    use quant_core::Rounding;

    fn inq(names: &[&str]) -> Inq {
        let grid = Grid::Uniform(UniformGrid::new(&[0.5], -3, 3, Rounding::HalfAway).unwrap());
        Inq::new(names.iter().map(|name| ((*name).to_owned(), grid.clone())).collect())
    }

    fn params() -> Params {
        let tensor = |values: Vec<f32>| Tensor::new(vec![2, values.len() / 2], values).unwrap();
        [
            ("a".to_owned(), tensor(vec![0.9, -0.1, 0.3, 7.0])),
            ("b".to_owned(), tensor(vec![0.1, 0.2])),
            ("bias".to_owned(), Tensor::vector(vec![0.123])),
        ]
        .into()
    }

    #[test]
    fn stages_freeze_more_and_more() {
        let inq = inq(&["a", "b"]);
        let (first, half) = inq.begin(&params(), None, 0.5).unwrap();
        assert_eq!(first["a"].data(), [1.0, -0.1, 0.3, 1.5]);
        assert_eq!(first["bias"], params()["bias"]);
        assert_eq!(half.counts(), [3, 6]);
        assert_eq!(inq.count_off(&first, &half).unwrap(), 0);
        let (last, all) = inq.begin(&first, Some(&half), 1.0).unwrap();
        assert_eq!(last["a"].data(), [1.0, 0.0, 0.5, 1.5]);
        assert_eq!((all.counts(), inq.count_off(&last, &all).unwrap()), ([6, 6], 0));
        assert_eq!(Masks::from_params(&all.to_params()), all);
    }

    #[test]
    fn variants_do_as_they_say() {
        let mut variant = Inq { projection: Projection::All, nesting: Nesting::Redrawn, ..inq(&["a", "b"]) };
        variant.whole.insert("b".to_owned());
        let (stage, masks) = variant.begin(&params(), None, 0.5).unwrap();
        assert_eq!(stage["a"].data(), [1.0, 0.0, 0.5, 1.5]);
        assert_eq!(masks.get("b"), Some(&[true, true][..]));
        assert_eq!(masks.get("a"), Some(&[true, false, false, true][..]));
    }

    #[test]
    fn what_moved_or_is_missing_is_told() {
        let inq = inq(&["a"]);
        let (mut stage, masks) = inq.begin(&params(), None, 0.5).unwrap();
        stage.get_mut("a").unwrap().data_mut()[0] += 1e-6;
        assert_eq!(inq.count_off(&stage, &masks).unwrap(), 1);
        let error = super::tests::inq(&["c"]).begin(&params(), None, 0.5).unwrap_err();
        assert!(matches!(error, Error::Missing { parameter } if parameter == "c"));
    }
}
