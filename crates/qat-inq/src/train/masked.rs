//! An optimizer that leaves frozen values alone.

use crate::{Error, Masks};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use std::collections::{BTreeMap, HashMap};

/// Any optimizer of Burn, with frozen values that do not move by a single bit, whatever its momentum, its decay of weights or its state would do
/// to them.
///
/// Before a step, gradients of frozen values become 0, so that they leave no trace in the optimizer's state; after it, frozen values get back the
/// bits that they had. Both take time in proportion to the parameters, not to the forward pass.
pub struct Masked {
    optimizer: ModuleOptimizer,
    frozen: HashMap<ParamId, Frozen>,
}

/// Frozen values of a parameter.
struct Frozen {
    name: String,
    /// True where a value is frozen.
    mask: Tensor<1, Bool>,
    /// All values, of which the frozen ones count.
    values: Tensor<1>,
    bits: Vec<(usize, f32)>,
}

impl Masked {
    /// Freezes what `masks` say of `module` at the values it has now. Parameters are known by their path, `model.0.conv.weight`. The optimizer
    /// should be new: what it knows of a stage before is of other weights.
    ///
    /// # Errors
    /// [`Error::Missing`] for the mask of a parameter that the module does not have; [`Error::Mask`] if it has another number of values;
    /// [`Error::Device`] if values can't be read.
    pub fn new<M: Module>(optimizer: ModuleOptimizer, module: &M, masks: &Masks) -> Result<Self, Error> {
        let mut collected = Collect { masks, path: Vec::new(), frozen: HashMap::new(), result: Ok(()) };
        module.visit(&mut collected);
        collected.result?;
        let frozen = collected.frozen;
        let found: BTreeMap<&str, ()> = frozen.values().map(|frozen| (frozen.name.as_str(), ())).collect();
        match masks.iter().find(|(name, _)| !found.contains_key(name)) {
            Some((name, _)) => Err(Error::Missing { parameter: name.to_owned() }),
            None => Ok(Self { optimizer, frozen }),
        }
    }

    /// Takes a step with everything but the frozen values.
    pub fn step<M: Module>(&mut self, rate: f64, module: M, mut gradients: GradientsParams) -> M {
        module.visit(&mut Silence { frozen: &self.frozen, gradients: &mut gradients });
        self.optimizer.step(rate, module, gradients).map(&mut Restore { frozen: &self.frozen })
    }

    /// Compares all frozen values with what they were, bit by bit.
    ///
    /// # Errors
    /// [`Error::Moved`] for the first that differs; [`Error::Device`].
    pub fn check<M: Module>(&self, module: &M) -> Result<(), Error> {
        let mut compare = Compare { frozen: &self.frozen, result: Ok(()) };
        module.visit(&mut compare);
        compare.result
    }

    /// The optimizer.
    #[must_use]
    pub fn optimizer(&self) -> &ModuleOptimizer {
        &self.optimizer
    }
}

/// Copies a parameter to memory.
fn read<const D: usize>(name: &str, value: Tensor<D>) -> Result<Vec<f32>, Error> {
    let reason = |reason: String| Error::Device { parameter: name.to_owned(), reason };
    value.into_data().try_into_vec_as::<f32>().map_err(|error| reason(error.to_string()))
}

/// A parameter on the device, without gradients.
fn flat<const D: usize>(parameter: &Param<Tensor<D>>) -> Tensor<1> {
    parameter.val().inner().flatten(0, D - 1)
}

struct Collect<'a> {
    masks: &'a Masks,
    path: Vec<String>,
    frozen: HashMap<ParamId, Frozen>,
    result: Result<(), Error>,
}

impl Collect<'_> {
    fn frozen<const D: usize>(
        &self,
        name: String,
        mask: &[bool],
        parameter: &Param<Tensor<D>>,
    ) -> Result<Frozen, Error> {
        let values = flat(parameter);
        let device: Device = values.device();
        let read = read(&name, values.clone())?;
        if read.len() != mask.len() {
            return Err(Error::Mask { parameter: name, expected: mask.len(), found: read.len() });
        }
        let bits = read.into_iter().enumerate().zip(mask).filter(|(_, frozen)| **frozen);
        Ok(Frozen {
            bits: bits.map(|(value, _)| value).collect(),
            mask: Tensor::from_data(TensorData::new(mask.to_vec(), [mask.len()]), &device),
            name,
            values,
        })
    }
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let Some(mask) = self.masks.get(&name) else { return };
        match self.frozen(name, mask, parameter) {
            Ok(frozen) => drop(self.frozen.insert(parameter.id, frozen)),
            Err(error) => self.result = std::mem::replace(&mut self.result, Ok(())).and(Err(error)),
        }
    }
}

/// Takes the gradients away from frozen values.
struct Silence<'a> {
    frozen: &'a HashMap<ParamId, Frozen>,
    gradients: &'a mut GradientsParams,
}

impl ModuleVisitor for Silence<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(frozen) = self.frozen.get(&parameter.id) else { return };
        if let Some(gradient) = self.gradients.remove::<D>(parameter.id) {
            let mask = frozen.mask.clone().reshape(gradient.dims());
            self.gradients.register(parameter.id, gradient.mask_fill(mask, 0.0));
        }
    }
}

/// Gives frozen values their bits back.
struct Restore<'a> {
    frozen: &'a HashMap<ParamId, Frozen>,
}

impl ModuleMapper for Restore<'_> {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(frozen) = self.frozen.get(&parameter.id) else { return parameter };
        parameter.map(|value| {
            let tracked = value.is_require_grad();
            let shape = value.dims();
            let (mask, kept) = (frozen.mask.clone().reshape(shape), frozen.values.clone().reshape(shape));
            Tensor::from_inner(value.inner().mask_where(mask, kept)).set_require_grad(tracked)
        })
    }
}

struct Compare<'a> {
    frozen: &'a HashMap<ParamId, Frozen>,
    result: Result<(), Error>,
}

impl Compare<'_> {
    fn compare<const D: usize>(frozen: &Frozen, parameter: &Param<Tensor<D>>) -> Result<(), Error> {
        let values = read(&frozen.name, flat(parameter))?;
        let moved = frozen.bits.iter().find(|(index, kept)| values[*index].to_bits() != kept.to_bits());
        match moved {
            None => Ok(()),
            Some(&(index, expected)) => {
                Err(Error::Moved { parameter: frozen.name.clone(), index, expected, found: values[index] })
            }
        }
    }
}

impl ModuleVisitor for Compare<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let (Some(frozen), Ok(())) = (self.frozen.get(&parameter.id), &self.result) {
            self.result = Self::compare(frozen, parameter);
        }
    }
}
