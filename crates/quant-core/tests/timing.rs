//! Timed runs compute what others do, and account for all of their time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use quant_core::{
    Activation, Constant, ConvGeometry, Description, Error, Executor, Format, Program, QuantParams, Rounding,
    Step, StepOp, StepTimes, TensorInfo, Values,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const CHANNELS: usize = 4;
const SIZE: [usize; 2] = [64, 48];
const RUNS: u32 = 20;

/// Two activations of the image side by side, in a tensor that only a pointwise convolution reads, so that nobody has to join them.
fn program(first: StepOp, format: Format) -> Program {
    let geometry = ConvGeometry {
        in_channels: 2 * CHANNELS,
        out_channels: CHANNELS,
        kernel: [1; 2],
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
        groups: 1,
        border: 0,
    };
    let conv = match format {
        Format::F32 => StepOp::ConvF32 { geometry, weight: "w".into(), bias: "b".into(), activation: None },
        _ => StepOp::ConvI8 {
            geometry,
            weight: "w".into(),
            bias: "b".into(),
            cut: None,
            multipliers: "m".into(),
            rounding: Rounding::HalfUp,
            activation: None,
        },
    };
    let join = StepOp::Concat { rescale: vec![None; 2], rounding: Rounding::HalfUp };
    let rows = [
        ("first", first, vec![0], CHANNELS),
        ("other", StepOp::Activation(Activation::Silu), vec![1], CHANNELS),
        ("join", join, vec![1, 2], 2 * CHANNELS),
        ("conv", conv, vec![3], CHANNELS),
    ];
    let tensor = |name: &str, channels, format| TensorInfo { name: name.into(), channels, format };
    let mut tensors = vec![tensor("image", CHANNELS, Format::F32)];
    let mut steps = Vec::new();
    for (index, (name, op, inputs, channels)) in rows.into_iter().enumerate() {
        tensors.push(tensor(name, channels, format));
        steps.push(Step { name: name.into(), op, inputs, output: index + 1 });
    }
    let count = 2 * CHANNELS * CHANNELS;
    let constants = match format {
        Format::F32 => [("w", Constant::F32(vec![0.5; count])), ("b", Constant::F32(vec![0.1; CHANNELS]))]
            .map(|(name, values)| (name.to_owned(), values))
            .into(),
        _ => BTreeMap::from([
            ("w".to_owned(), Constant::I8(vec![3; count])),
            ("b".to_owned(), Constant::I32(vec![7; CHANNELS])),
            ("m".to_owned(), Constant::I32([1 << 30, 34].repeat(CHANNELS))),
        ]),
    };
    Program::new(Description { tensors, steps, outputs: vec![4] }, constants).unwrap()
}

fn programs() -> [Program; 2] {
    let integers = Format::I8(QuantParams { scale: 0.01, zero_point: -3 });
    [program(StepOp::Activation(Activation::Relu), Format::F32), program(StepOp::Quantize, integers)]
}

fn image() -> Vec<f32> {
    (0..CHANNELS * SIZE[0] * SIZE[1]).map(|i| (i % 251) as f32 / 250.0).collect()
}

/// The output, whatever its type, bit by bit.
fn bits(executor: &Executor<'_>) -> Vec<u32> {
    match executor.outputs().next().unwrap().1 {
        Values::F32(values) => values.iter().map(|v| v.to_bits()).collect(),
        Values::I8(values) => values.iter().map(|&v| v as u32).collect(),
        Values::I16(values) => values.iter().map(|&v| v as u32).collect(),
    }
}

#[test]
fn timed_runs_give_the_same_outputs_and_times_of_all_that_is_done() {
    for program in programs() {
        let mut executor = Executor::new(&program, SIZE[0], SIZE[1]).unwrap();
        executor.run(&image()).unwrap();
        let expected = bits(&executor);
        let mut times = StepTimes::default();
        let start = Instant::now();
        for _ in 0..RUNS {
            executor.run_timed(&image(), &mut times).unwrap();
            assert_eq!(bits(&executor), expected);
        }
        let elapsed = start.elapsed();
        assert_eq!(times.steps.len(), program.steps().len());
        for (step, time) in program.steps().iter().zip(&times.steps) {
            assert_eq!(step.name == "join", time.is_zero(), "{}: {time:?}", step.name);
        }
        assert!(!times.remainder.is_zero());
        assert!(times.total() <= elapsed, "{times:?} in {elapsed:?}");
    }
}

#[test]
fn nothing_is_added_for_an_input_of_another_length() {
    let [program, _] = programs();
    let mut executor = Executor::new(&program, SIZE[0], SIZE[1]).unwrap();
    let mut times = StepTimes::default();
    let refused = executor.run_timed(&[0.0; 5], &mut times);
    assert!(matches!(refused, Err(Error::InputLength { found: 5, .. })), "{refused:?}");
    assert!(times.total().is_zero());
}

#[test]
fn times_add_up_part_by_part() {
    let times = |steps: &[u64], remainder| StepTimes {
        steps: steps.iter().map(|&ms| Duration::from_millis(ms)).collect(),
        remainder: Duration::from_millis(remainder),
    };
    let mut sum = StepTimes::default();
    sum += &times(&[1, 20], 300);
    sum += &times(&[4, 50], 600);
    assert_eq!(sum, times(&[5, 70], 900));
    assert_eq!(sum.total(), Duration::from_millis(975));
}
