//! Runs that begin in the middle: from every step, after every kind of change, and from recordings that don't fit.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use quant_core::{
    Activation, Constant, ConvGeometry, Description, Error, Executor, Format, Program, QuantParams,
    Recording, Remainder, Rounding, SharedMultipliers, Step, StepOp, TensorInfo, Values,
};
use std::collections::BTreeMap;

const QUANTIZED: Format = Format::I8(QuantParams { scale: 0.02, zero_point: -3 });
const SIZE: [usize; 2] = [6, 4];

fn pointwise() -> ConvGeometry {
    ConvGeometry {
        in_channels: 2,
        out_channels: 2,
        kernel: [1; 2],
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
        groups: 1,
        border: 0,
    }
}

/// image -> a -> b -> sum of a and b -> c, and beside it d of a; c and d leave. Buffers are shared by a and c.
fn parts() -> (Description, BTreeMap<String, Constant>) {
    let mut constants = BTreeMap::new();
    let mut conv = |name: &str, weights: [i8; 4]| {
        let named = |kind: &str| format!("{name}.{kind}");
        constants.insert(named("weight"), Constant::I8(weights.to_vec()));
        constants.insert(named("bias"), Constant::I32(vec![5, -9]));
        constants.insert(named("multipliers"), Constant::I32(vec![1 << 30, 36, 1 << 30, 35]));
        StepOp::ConvI8 {
            geometry: pointwise(),
            weight: named("weight"),
            bias: named("bias"),
            cut: None,
            multipliers: named("multipliers"),
            rounding: Rounding::HalfUp,
            activation: Some((Activation::Silu, Format::I16(QuantParams { scale: 0.001, zero_point: 0 }))),
        }
    };
    let multipliers = Some(SharedMultipliers::from_real(&[0.5, 0.5]).unwrap());
    let rows = [
        ("quantize", StepOp::Quantize, vec![0]),
        ("a", conv("a", [90, -40, 17, 66]), vec![1]),
        ("b", conv("b", [-70, 55, 101, 3]), vec![2]),
        ("sum", StepOp::Add { multipliers, rounding: Rounding::HalfUp }, vec![2, 3]),
        ("d", conv("d", [44, 1, -99, 20]), vec![2]),
        ("c", conv("c", [-8, 120, 31, -77]), vec![4]),
    ];
    let tensor = |name: &str, format| TensorInfo { name: name.into(), channels: 2, format };
    let mut tensors = vec![tensor("image", Format::F32)];
    let mut steps = Vec::new();
    for (index, (name, op, inputs)) in rows.into_iter().enumerate() {
        tensors.push(tensor(name, QUANTIZED));
        steps.push(Step { name: name.into(), op, inputs, output: index + 1 });
    }
    (Description { tensors, steps, outputs: vec![6, 5] }, constants)
}

fn program() -> Program {
    let (description, constants) = parts();
    Program::new(description, constants).unwrap()
}

fn image(seed: u32) -> Vec<f32> {
    (0..48u32).map(|i| ((i * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0).collect()
}

fn recorded(program: &Program, input: &[f32]) -> Recording {
    let mut recording = Recording::default();
    Executor::new(program, SIZE[0], SIZE[1]).unwrap().record(input, &mut recording).unwrap();
    recording
}

fn outputs(executor: &Executor<'_>) -> Vec<(usize, Vec<i8>)> {
    let owned = |(tensor, values): (usize, Values<'_>)| match values {
        Values::I8(values) => (tensor, values.to_vec()),
        _ => panic!("not 8-bit"),
    };
    executor.outputs().map(owned).collect()
}

fn whole_run(program: &Program, input: &[f32]) -> Vec<(usize, Vec<i8>)> {
    let mut executor = Executor::new(program, SIZE[0], SIZE[1]).unwrap();
    executor.run(input).unwrap();
    outputs(&executor)
}

#[test]
fn a_recording_holds_every_tensor_of_the_last_run() {
    let program = program();
    let mut executor = Executor::new(&program, SIZE[0], SIZE[1]).unwrap();
    let mut recording = Recording::default();
    executor.record(&image(1), &mut recording).unwrap();
    executor.record(&image(2), &mut recording).unwrap();
    let mut shown = 0;
    executor
        .run_with(&image(2), |tensor, values| {
            assert_eq!(recording.get(tensor), Some(values), "tensor {tensor}");
            shown += 1;
        })
        .unwrap();
    assert_eq!(shown, program.tensors().len());
    assert_eq!(recording.get(shown), None);
    assert_eq!(recording.bytes(), 4 * 48 + 6 * 48);
    assert_eq!(recording, recorded(&program, &image(2)));
}

#[test]
fn a_suffix_from_any_step_equals_the_whole_run() {
    let program = program();
    let recording = recorded(&program, &image(3));
    let expected = whole_run(&program, &image(3));
    let mut executor = Executor::new(&program, SIZE[0], SIZE[1]).unwrap();
    for first in 0..=program.steps().len() + 1 {
        // What another image left in the buffers must not show.
        executor.run(&image(4)).unwrap();
        let remainder = Remainder::suffix(&program, first);
        let mut computed = 0;
        executor.resume_with(&remainder, &recording, |_, _| computed += 1).unwrap();
        assert_eq!(outputs(&executor), expected, "from step {first}");
        assert_eq!(computed, program.steps().len().saturating_sub(first));
    }
}

#[test]
fn a_change_costs_the_steps_that_depend_on_it() {
    type Change = fn(&mut Description, &mut BTreeMap<String, Constant>);
    let finer = Format::I8(QuantParams { scale: 0.01, zero_point: -3 });
    let rows: [(&str, Change, &[usize]); 6] = [
        ("nothing", |_, _| {}, &[]),
        (
            "weights of a",
            |_, c| drop(c.insert("a.weight".into(), Constant::I8(vec![1; 4]))),
            &[1, 2, 3, 4, 5],
        ),
        ("bias of b", |_, c| drop(c.insert("b.bias".into(), Constant::I32(vec![0; 2]))), &[2, 3, 5]),
        (
            "rounding of the sum",
            |d, _| {
                if let StepOp::Add { rounding, .. } = &mut d.steps[3].op {
                    *rounding = Rounding::Floor;
                }
            },
            &[3, 5],
        ),
        ("inputs of c", |d, _| d.steps[5].inputs = vec![3], &[5]),
        ("name of d", |d, _| d.steps[4].name = "e".into(), &[4]),
    ];
    let recorded_program = program();
    let recording = recorded(&recorded_program, &image(5));
    let mut wrong = Vec::new();
    let mut check = |what: &str, changed: Program, steps: &[usize]| {
        let remainder = Remainder::between(&recorded_program, &changed);
        let base = Executor::new(&recorded_program, SIZE[0], SIZE[1]).unwrap();
        let mut executor = base.sharing(&changed).unwrap();
        executor.resume(&remainder, &recording).unwrap();
        if remainder.steps() != steps || outputs(&executor) != whole_run(&changed, &image(5)) {
            wrong.push(format!("{what}: steps {:?}", remainder.steps()));
        }
    };
    for (what, change, steps) in rows {
        let (mut description, mut constants) = parts();
        change(&mut description, &mut constants);
        check(what, Program::new(description, constants).unwrap(), steps);
    }
    let (mut description, constants) = parts();
    description.tensors[3].format = finer;
    check("format of b", Program::new(description, constants).unwrap(), &[2, 3, 5]);
    // One more tensor and step in front shift all indices.
    let (mut description, constants) = parts();
    for step in &mut description.steps {
        step.inputs.iter_mut().for_each(|id| *id += usize::from(*id > 0));
        step.output += 1;
    }
    description.outputs = vec![7, 6];
    description.tensors.insert(1, description.tensors[1].clone());
    description
        .steps
        .insert(0, Step { name: "again".into(), op: StepOp::Quantize, inputs: vec![0], output: 1 });
    check("a step in front", Program::new(description, constants).unwrap(), &[0]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_remainder_can_stop_at_a_tensor() {
    let program = program();
    let recording = recorded(&program, &image(6));
    let remainder = Remainder::suffix(&program, 1).towards(&program, 4);
    assert_eq!(remainder.steps(), [1, 2, 3]);
    let mut executor = Executor::new(&program, SIZE[0], SIZE[1]).unwrap();
    let mut seen = Vec::new();
    executor
        .resume_with(&remainder, &recording, |tensor, values| {
            assert_eq!(recording.get(tensor), Some(values));
            seen.push(tensor);
        })
        .unwrap();
    assert_eq!(seen, [2, 3, 4]);
}

#[test]
fn clones_run_apart() {
    let program = program();
    let mut first = Executor::new(&program, SIZE[0], SIZE[1]).unwrap();
    first.run(&image(7)).unwrap();
    let mut second = first.clone();
    assert!(outputs(&second).iter().all(|(_, values)| values.is_empty()), "nothing has run");
    second.run(&image(8)).unwrap();
    assert_eq!(outputs(&first), whole_run(&program, &image(7)));
    assert_eq!(outputs(&second), whole_run(&program, &image(8)));
    // The memory of one serves another, whatever it holds.
    let mut third = first.clone();
    third.recycle(second);
    third.run(&image(9)).unwrap();
    assert_eq!(outputs(&third), whole_run(&program, &image(9)));
}

#[test]
fn recordings_that_do_not_fit_are_refused() {
    let program = program();
    let recording = recorded(&program, &image(9));
    let (mut description, constants) = parts();
    description.tensors.iter_mut().skip(6).for_each(|tensor| tensor.name = "other".into());
    description.steps.truncate(4);
    description.tensors.truncate(5);
    description.outputs = vec![4];
    let shorter = Program::new(description, constants).unwrap();
    let suffix = Remainder::suffix(&program, 3);
    let rows = [
        ("empty", &program, [6, 4], &suffix, Recording::default()),
        ("another size", &program, [4, 4], &suffix, recording.clone()),
        ("another program", &shorter, [6, 4], &suffix, recording.clone()),
        ("too short", &program, [6, 4], &Remainder::suffix(&shorter, 3), recorded(&shorter, &image(9))),
    ];
    for (what, program, size, remainder, recording) in rows {
        let mut executor = Executor::new(program, size[0], size[1]).unwrap();
        let result = executor.resume(remainder, &recording);
        assert!(matches!(result, Err(Error::Recording { .. })), "{what}: {result:?}");
    }
}
