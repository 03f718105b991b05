//! Rules of programs, and what becomes of damaged files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use quant_core::{
    Activation, Constant, ConvGeometry, Description, Error, Executor, Format, Multiplier, Program,
    QuantParams, Rounding, Step, StepOp, TensorInfo,
};
use std::collections::BTreeMap;

const QUANTIZED: Format = Format::I8(QuantParams { scale: 0.01, zero_point: 3 });

fn geometry() -> ConvGeometry {
    ConvGeometry {
        in_channels: 2,
        out_channels: 3,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
        border: 0,
    }
}

/// image -> quantise -> convolution -> pooling.
fn parts() -> (Description, BTreeMap<String, Constant>) {
    let tensor = |name: &str, channels, format| TensorInfo { name: name.into(), channels, format };
    let step = |name: &str, op, inputs: &[usize], output| Step {
        name: name.into(),
        op,
        inputs: inputs.to_vec(),
        output,
    };
    let conv = StepOp::ConvI8 {
        geometry: geometry(),
        weight: "w".into(),
        bias: "b".into(),
        cut: None,
        multipliers: "m".into(),
        rounding: Rounding::HalfUp,
        activation: Some((Activation::Silu, Format::I16(QuantParams { scale: 0.001, zero_point: 0 }))),
    };
    let description = Description {
        tensors: vec![
            tensor("image", 2, Format::F32),
            tensor("q", 2, QUANTIZED),
            tensor("c", 3, QUANTIZED),
            tensor("p", 3, QUANTIZED),
        ],
        steps: vec![
            step("quantize", StepOp::Quantize, &[0], 1),
            step("conv", conv, &[1], 2),
            step("pool", StepOp::MaxPool { kernel: 2, stride: 2, padding: 0 }, &[2], 3),
        ],
        outputs: vec![3],
    };
    let constants = [
        ("w", Constant::I8((0..54).map(|i| i as i8 * 2 - 50).collect())),
        ("b", Constant::I32(vec![1, -2, 3])),
        ("m", Constant::I32(vec![1 << 30, 35, 1 << 29, 34, 1 << 30, 36])),
    ];
    (description, constants.into_iter().map(|(name, constant)| (name.to_owned(), constant)).collect())
}

fn program() -> Program {
    let (description, constants) = parts();
    let mut program = Program::new(description, constants).unwrap();
    program.metadata.insert("class_names".into(), "[\"a\", \"b\"]".into());
    program
}

#[test]
fn a_saved_program_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.safetensors");
    program().save(&path).unwrap();
    assert_eq!(Program::load(&path).unwrap(), program());
    assert!(program().to_bytes().unwrap() == program().to_bytes().unwrap(), "equal programs are equal files");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_batch_is_a_whole_number_of_images() {
    let program = program();
    let mut executor = Executor::new(&program, 4, 4).unwrap();
    let image = executor.shapes()[0].iter().product::<usize>();
    let mut count = 0;
    executor.run_batch(&vec![0.5; 3 * image], |index, _| count += 1 + index).unwrap();
    assert_eq!(count, 6);
    for (found, expected) in [(0, image), (image - 1, image), (2 * image + 1, 3 * image)] {
        let error = executor.run_batch(&vec![0.5; found], |_, _| panic!("run")).unwrap_err();
        let wrong =
            matches!(error, Error::InputLength { found: f, expected: e } if (f, e) == (found, expected));
        assert!(wrong, "{error}");
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, []).unwrap();
    assert!(matches!(Program::load(&empty), Err(Error::File { .. })));
    assert!(matches!(Program::load(folder.path()), Err(Error::Io { .. })));
    assert!(matches!(Program::load(&folder.path().join("missing")), Err(Error::Io { .. })));
    #[cfg(unix)]
    assert!(matches!(Program::load("/dev/null".as_ref()), Err(Error::Io { .. })));
}

#[test]
fn every_damaged_byte_and_every_truncation_is_noticed() {
    let bytes = program().to_bytes().unwrap();
    for at in 0..bytes.len() {
        assert!(Program::from_bytes(&bytes[..at]).is_err(), "truncated to {at}");
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(other) = Program::from_bytes(&damaged) {
                assert_eq!(other, program(), "byte {at}, bit {bit}: another program was read");
            }
        }
    }
}

#[test]
fn broken_rules_are_named() {
    type Change = fn(&mut Description, &mut BTreeMap<String, Constant>);
    let rows: [(&str, Change); 15] = [
        ("reads a later tensor", |d, _| d.steps[1].inputs = vec![3]),
        ("writes a tensor twice", |d, _| d.steps[2].output = 2),
        ("reads beyond the tensors", |d, _| d.steps[1].inputs = vec![9]),
        ("has no output", |d, _| d.outputs.clear()),
        ("has a missing output", |d, _| d.outputs = vec![7]),
        ("has wrong channels", |d, _| d.tensors[2].channels = 4),
        ("pools into another quantiser", |d, _| {
            d.tensors[3].format = Format::I8(QuantParams { scale: 0.02, zero_point: 3 });
        }),
        ("quantises to floats", |d, _| d.tensors[1].format = Format::F32),
        ("has a scale of zero", |d, _| {
            d.tensors[1].format = Format::I8(QuantParams { scale: 0.0, zero_point: 0 });
        }),
        ("has a zero point out of range", |d, _| {
            d.tensors[1].format = Format::I8(QuantParams { scale: 1.0, zero_point: 300 });
        }),
        ("has a stride of zero", |d, _| d.steps[2].op = StepOp::MaxPool { kernel: 2, stride: 0, padding: 0 }),
        ("pads beyond its window", |d, _| {
            d.steps[2].op = StepOp::MaxPool { kernel: 1, stride: 1, padding: 1 << 63 };
        }),
        ("lacks weights", |_, c| drop(c.remove("w"))),
        ("has too few biases", |_, c| drop(c.insert("b".into(), Constant::I32(vec![0; 2])))),
        ("has a shift out of range", |_, c| {
            drop(c.insert("m".into(), Constant::I32(vec![1, 63, 1, 1, 1, 1])));
        }),
    ];
    let missed: Vec<&str> = rows
        .iter()
        .filter(|(_, change)| {
            let (mut description, mut constants) = parts();
            change(&mut description, &mut constants);
            Program::new(description, constants).is_ok()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(missed.is_empty(), "accepted although it {missed:?}");
}

#[test]
fn sums_that_could_overflow_are_refused() {
    let (description, mut constants) = parts();
    constants.insert("b".into(), Constant::I32(vec![0, i32::MAX, 0]));
    let error = Program::new(description, constants).unwrap_err();
    assert!(matches!(error, Error::Accumulator { channel: 1, .. }), "{error}");
}

#[test]
fn sizes_are_checked_when_an_executor_is_made_and_run() {
    let program = program();
    assert!(matches!(Executor::new(&program, 1, 5), Err(Error::Shape { .. })));
    assert!(matches!(Executor::new(&program, 0, 0), Err(Error::Shape { .. })));
    for side in [1 << 15, 1 << 31, usize::MAX] {
        assert!(matches!(Executor::new(&program, side, side), Err(Error::Shape { .. })), "{side}");
    }
    let mut executor = Executor::new(&program, 4, 6).unwrap();
    assert!(matches!(executor.run(&[0.0; 47]), Err(Error::InputLength { found: 47, expected: 48 })));
    let nan = [f32::NAN; 48];
    executor.run(&nan).unwrap();
}

#[test]
fn two_inputs_of_unequal_size_are_refused() {
    let (mut description, constants) = parts();
    let info = |name: &str, channels| TensorInfo { name: name.into(), channels, format: QUANTIZED };
    description.tensors.push(info("cat", 6));
    let rescale: Vec<Option<Multiplier>> = vec![None, None];
    let op = StepOp::Concat { rescale, rounding: Rounding::HalfUp };
    description.steps.push(Step { name: "cat".into(), op, inputs: vec![2, 3], output: 4 });
    let program = Program::new(description, constants).unwrap();
    assert!(matches!(Executor::new(&program, 8, 8), Err(Error::Shape { .. })));
}
