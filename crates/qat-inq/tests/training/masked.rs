//! Whatever the optimizer does, frozen values keep their bits, and the others move as they would without masks.

use super::{read, tensor, values};
use burn::module::{Module, Param};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use qat_inq::{Error, Masked, Masks};

#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Net {
    first: Layer,
}

const SHAPE: [usize; 2] = [4, 6];

fn net(weight: &[f32], device: &Device) -> Net {
    let bias = Param::from_tensor(tensor(&values("bias", SHAPE[0], [-1.0, 1.0]), [SHAPE[0]], device));
    Net { first: Layer { weight: Param::from_tensor(tensor(weight, SHAPE, device)), bias } }
}

fn optimizer(kind: usize) -> ModuleOptimizer {
    match kind {
        0 => {
            let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0).with_nesterov(true);
            let decay = burn::optim::decay::WeightDecayConfig::new(0.05);
            SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(decay)).init()
        }
        1 => AdamConfig::new().init(),
        _ => AdamWConfig::new().with_weight_decay(0.1).init(),
    }
}

/// A loss that is not linear in any parameter.
fn loss(net: &Net, seed: usize, device: &Device) -> Tensor<1> {
    let x = tensor::<2>(&values(&format!("x{seed}"), 3 * SHAPE[1], [-1.0, 1.0]), [3, SHAPE[1]], device);
    let y = x.matmul(net.first.weight.val().transpose()) + net.first.bias.val().unsqueeze::<2>();
    y.square().mean()
}

fn gradients(net: &Net, seed: usize, device: &Device) -> GradientsParams {
    GradientsParams::from_grads(loss(net, seed, device).backward(), net)
}

fn masks(mask: Vec<bool>) -> Masks {
    [("first.weight".to_owned(), mask)].into_iter().collect()
}

fn weight(net: &Net) -> Vec<f32> {
    read(net.first.weight.val().inner())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn frozen_values_keep_their_bits(
        kind in 0usize..3,
        mask in prop::collection::vec(any::<bool>(), 24),
        odd in prop::sample::select(vec![-0.0f32, f32::MIN_POSITIVE / 8.0, 1e30, -7.25]),
        place in 0usize..24,
    ) {
        let device = Device::flex().autodiff();
        let mut start = values("weight", 24, [-1.0, 1.0]);
        start[place] = odd;
        let mut trained = net(&start, &device);
        let mut masked = Masked::new(optimizer(kind), &trained, &masks(mask.clone())).unwrap();
        for step in 0..4 {
            let gradients = gradients(&trained, step, &device);
            trained = masked.step(0.05, trained, gradients);
            masked.check(&trained).unwrap();
        }
        let moved = weight(&trained);
        for (index, frozen) in mask.iter().enumerate() {
            if *frozen {
                prop_assert_eq!(moved[index].to_bits(), start[index].to_bits());
            }
        }
        // A bias has no mask.
        prop_assert_ne!(read(trained.first.bias.val().inner()), values("bias", SHAPE[0], [-1.0, 1.0]));
    }
}

#[test]
fn free_values_move_as_without_masks() {
    let device = Device::flex().autodiff();
    let start = values("weight", 24, [-1.0, 1.0]);
    for kind in 0..3 {
        let (mut plain, mut free) = (net(&start, &device), net(&start, &device));
        let mut one = optimizer(kind);
        let mut other = Masked::new(optimizer(kind), &free, &masks(vec![false; 24])).unwrap();
        let mut half = net(&start, &device);
        let mask: Vec<bool> = (0..24).map(|index| index % 2 == 0).collect();
        let mut masked = Masked::new(optimizer(kind), &half, &masks(mask)).unwrap();
        for step in 0..3 {
            let found = [gradients(&plain, step, &device), gradients(&free, step, &device)];
            let [mine, same] = found;
            plain = one.step(0.02, plain, mine);
            free = other.step(0.02, free, same);
            if step == 0 {
                let own = gradients(&half, step, &device);
                half = masked.step(0.02, half, own);
                // Elementwise optimizers: half of the values moved as all would have.
                for (index, (kept, all)) in weight(&half).iter().zip(weight(&plain)).enumerate() {
                    let expected = if index % 2 == 0 { start[index] } else { all };
                    assert_eq!(kept.to_bits(), expected.to_bits(), "optimizer {kind}, value {index}");
                }
            }
        }
        assert_eq!(weight(&plain), weight(&free));
    }
}

#[test]
fn a_step_goes_down_the_slope_of_what_is_free() {
    let device = Device::flex().autodiff();
    let start = values("weight", 24, [-1.0, 1.0]);
    let begun = net(&start, &device);
    let mask: Vec<bool> = (0..24).map(|index| index < 10).collect();
    let mut masked = Masked::new(SgdConfig::new().init(), &begun, &masks(mask.clone())).unwrap();
    let found = gradients(&begun, 0, &device);
    let moved = weight(&masked.step(0.1, begun, found));
    let at = |values: &[f32]| f64::from(loss(&net(values, &device), 0, &device).into_scalar::<f32>());
    for index in 0..24 {
        let difference = |shift: f32| {
            let mut values = start.clone();
            values[index] += shift;
            at(&values)
        };
        let slope = (difference(1e-2) - difference(-1e-2)) / 2e-2;
        let expected = if mask[index] { 0.0 } else { -0.1 * slope };
        let found = f64::from(moved[index]) - f64::from(start[index]);
        assert!((found - expected).abs() < 2e-5, "{index}: {found} for {expected}");
    }
}

#[test]
fn what_moves_frozen_values_is_told() {
    let device = Device::flex().autodiff();
    let begun = net(&values("weight", 24, [-1.0, 1.0]), &device);
    let masked = Masked::new(optimizer(0), &begun, &masks(vec![true; 24])).unwrap();
    let found = gradients(&begun, 0, &device);
    let moved = optimizer(0).step(0.1, begun, found);
    assert!(
        matches!(masked.check(&moved), Err(Error::Moved { parameter, index: 0, .. }) if parameter == "first.weight")
    );
}

#[test]
fn masks_of_another_model_are_told() {
    let device = Device::flex().autodiff();
    let begun = net(&values("weight", 24, [-1.0, 1.0]), &device);
    let wrong = Masked::new(optimizer(0), &begun, &masks(vec![true; 23])).err().unwrap();
    assert!(matches!(wrong, Error::Mask { expected: 23, found: 24, .. }), "{wrong}");
    let unknown: Masks = [("second.weight".to_owned(), vec![true; 24])].into_iter().collect();
    let wrong = Masked::new(optimizer(0), &begun, &unknown).err().unwrap();
    assert!(matches!(&wrong, Error::Missing { parameter } if parameter == "second.weight"), "{wrong}");
}
