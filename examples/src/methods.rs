//! Ways to choose the quantisers of activations.

use crate::error::{Error, Result};
use crate::images::{decode, prepare};
use crate::progress::bar;
use crate::workers;
use indicatif::ProgressBar;
use ptq::{ChosenMethods, Collection, Method, MethodSearch, Placement, WeightConfig};
use quant_core::Scheme;
use serde::{Serialize, Serializer};
use std::path::PathBuf;
use yolo_model::ImageSize;

use crate::network::Model;

/// One method for all tensors, or the best of several for each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MethodChoice {
    /// This one.
    Method(Method),
    /// The one of [`AUTO`] whose quantised outputs are closest to the float ones.
    Auto,
}

/// What `auto` chooses among.
pub const AUTO: [Method; 8] = [
    Method::Mse,
    Method::Percentile { percent: 99.99 },
    Method::Percentile { percent: 99.9 },
    Method::Percentile { percent: 99.999 },
    Method::Sqnr { clip_weight: 3.0 },
    Method::Entropy,
    Method::MinMax,
    Method::Max,
];

impl MethodChoice {
    /// Name as programs take and print it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            MethodChoice::Method(method) => method.name(),
            MethodChoice::Auto => "auto",
        }
    }

    /// Choices from names, `all` standing for the five classic methods. Twice the same would be written to one file, so once is enough.
    ///
    /// # Errors
    /// Names the one that is not known.
    pub fn parse_all(names: &[String]) -> Result<Vec<Self>> {
        let mut choices = Vec::new();
        for name in names {
            let named = match name.as_str() {
                "all" => Method::ALL.map(MethodChoice::Method).to_vec(),
                "auto" => vec![MethodChoice::Auto],
                name => vec![MethodChoice::Method(Method::from_name(name).ok_or_else(|| unknown(name))?)],
            };
            named.into_iter().for_each(|choice| {
                if !choices.contains(&choice) {
                    choices.push(choice);
                }
            });
        }
        Ok(choices)
    }

    /// The scheme that is used where `requested` is asked for; `auto` may mix.
    #[must_use]
    pub fn scheme(self, requested: Scheme) -> Scheme {
        match self {
            MethodChoice::Method(method) => method.scheme(requested),
            MethodChoice::Auto => requested,
        }
    }
}

const EXPECTED_METHOD: &str =
    "expected max, minmax, percentile, entropy, mse, sqnr, octav, aciq, aciq-gauss or aciq-laplace";
const EXPECTED_METHODS: &str = "expected all, auto, or some of max, minmax, percentile, entropy, mse, sqnr, octav, aciq, aciq-gauss, aciq-laplace";

fn unknown(name: &str) -> Error {
    Error::Argument { option: "--methods", value: name.to_owned(), expected: EXPECTED_METHODS }
}

/// The method of that name.
///
/// # Errors
/// Names `option` and the methods that there are.
pub fn parse_method(option: &'static str, name: &str) -> Result<Method> {
    let unknown = || Error::Argument { option, value: name.to_owned(), expected: EXPECTED_METHOD };
    Method::from_name(name).ok_or_else(unknown)
}

impl Serialize for MethodChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            MethodChoice::Method(method) => method.serialize(serializer),
            MethodChoice::Auto => serializer.serialize_str("auto"),
        }
    }
}

/// Images that layers are looked at with.
pub struct LayerImages {
    /// Where they are.
    pub paths: Vec<PathBuf>,
    /// How many are taken at most, the first that can be read.
    pub most: usize,
    /// Size of the network's input.
    pub size: ImageSize,
    /// Go on without those that can't be read.
    pub skip_bad: bool,
}

impl LayerImages {
    /// The images as networks take them, one after the other; `progress` counts them.
    pub fn inputs<'i>(&'i self, progress: &'i ProgressBar) -> impl Iterator<Item = Result<Vec<f32>>> + 'i {
        let inputs = self.paths.iter().filter_map(move |path| {
            let picture = workers::skip_bad(decode(path), self.skip_bad).transpose()?;
            progress.inc(1);
            Some(picture.and_then(|picture| Ok(prepare(&picture, self.size)?.0)))
        });
        inputs.take(self.most)
    }

    /// How many will be taken, if all can be read.
    #[must_use]
    pub fn count(&self) -> usize {
        self.paths.len().min(self.most)
    }

    /// The best of [`AUTO`]: for every group of tensors, or for all if that comes closer.
    ///
    /// # Errors
    /// An image that can't be read (unless skipped), or none that can.
    pub fn choose(
        &self,
        model: &Model,
        placement: &Placement,
        collection: &Collection,
        scheme: Scheme,
        weights: WeightConfig,
    ) -> Result<ChosenMethods> {
        let Model { graph, params, .. } = model;
        let size = [self.size.height, self.size.width];
        let search = MethodSearch { graph, params, placement, collection, methods: &AUTO, scheme, size };
        let progress = bar(2 * self.count(), "choosing methods");
        let choice = search.by_layers::<Error>(self.inputs(&progress), || ())?;
        let choice = search.settle::<Error>(choice, weights, self.inputs(&progress), || ())?;
        progress.finish_and_clear();
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_every_method() {
        for method in Method::PUBLISHED {
            for expected in [EXPECTED_METHOD, EXPECTED_METHODS] {
                assert!(
                    expected.split([' ', ',']).any(|word| word == method.name()),
                    "{expected}: {}",
                    method.name()
                );
            }
        }
    }
}
