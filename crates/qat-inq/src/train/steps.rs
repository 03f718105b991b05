//! Steps that are learned.

use super::Quantizers;
use crate::Error;
use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

/// The steps of a network's quantisers as parameters: factors of the steps at the start, 1 at first, so that one learning rate suits steps of all sizes.
#[derive(Module, Debug)]
pub struct LearnedSteps {
    maps: Param<Tensor<1>>,
    kernels: Param<Tensor<1>>,
}

/// Ids that no parameter of a network has: these are places in its graph.
const IDS: [u64; 2] = [1 << 40, (1 << 40) + 1];
/// Smallest factor: a step that becomes negative would turn signs.
const LEAST: f32 = 1e-3;

impl LearnedSteps {
    /// Factors of 1 for all steps of `first`.
    #[must_use]
    pub fn new(first: &Quantizers, device: &Device) -> Self {
        let counts = [first.maps.len(), first.kernels.values().map(|kernel| kernel.steps.len()).sum()];
        Self::of_factors(counts.map(|count| vec![1.0; count]), device)
    }

    /// Factors that [`LearnedSteps::factors`] gave.
    #[must_use]
    pub fn of_factors(factors: [Vec<f32>; 2], device: &Device) -> Self {
        let [maps, kernels] = factors.map(|values| {
            let count = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [count]), device)
        });
        let parameter = |index: usize, value: Tensor<1>| {
            Param::initialized(ParamId::from(IDS[index]), value).set_require_grad(true)
        };
        Self { maps: parameter(0, maps), kernels: parameter(1, kernels) }
    }

    /// The factors: of feature maps, and of weights in the order of names, with the channels of each.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub fn factors(&self) -> Result<[Vec<f32>; 2], Error> {
        let read = |name: &str, parameter: &Param<Tensor<1>>| {
            let data = parameter.val().inner().into_data();
            let fault = |reason: String| Error::Device { parameter: name.to_owned(), reason };
            data.try_into_vec_as::<f32>().map_err(|error| fault(error.to_string()))
        };
        Ok([read("steps of feature maps", &self.maps)?, read("steps of weights", &self.kernels)?])
    }

    /// The quantisers with the steps as they are now; those that are not learned keep theirs, and weights get steps that their form allows.
    ///
    /// # Errors
    /// [`Error::Device`]; [`Error::Steps`] if these are steps of other quantisers.
    pub fn quantizers(&self, first: &Quantizers) -> Result<Quantizers, Error> {
        let mut now = first.clone();
        let [maps, kernels] = self.factors()?;
        let expected = [first.maps.len(), first.kernels.values().map(|kernel| kernel.steps.len()).sum()];
        if expected != [maps.len(), kernels.len()] {
            return Err(Error::Steps { expected, found: [maps.len(), kernels.len()] });
        }
        for (map, factor) in now.maps.iter_mut().zip(maps).filter(|(map, _)| map.learned) {
            map.step *= factor.max(LEAST);
        }
        let steps = now.kernels.values_mut().flat_map(|kernel| {
            let form = kernel.form;
            kernel.steps.iter_mut().map(move |step| (form, step))
        });
        for ((form, step), factor) in steps.zip(kernels) {
            *step = form.nearest(*step * factor.max(LEAST));
        }
        Ok(now)
    }

    /// The factor of a feature map's step.
    pub(super) fn map(&self, index: usize) -> Tensor<1> {
        self.maps.val().narrow(0, index, 1)
    }

    /// The factors of a convolution's steps, of which those before it have `start`.
    pub(super) fn kernel(&self, start: usize, count: usize) -> Tensor<1> {
        self.kernels.val().narrow(0, start, count)
    }
}
