//! Fast execution beside the naive twin, bit for bit: every instruction set, operator, rounding mode, format, and thread count.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod naive;

use naive::Data;
use proptest::prelude::*;
use quant_core::{
    Activation, Constant, ConvGeometry, Cut, Description, Executor, Format, Isa, Multiplier, Program,
    QuantParams, Rounding, ScaleForm, SharedMultipliers, Step, StepOp, TensorInfo, Values,
};
use std::collections::BTreeMap;

/// A stream of pseudo-random numbers (an LCG; its high bits are good enough here).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn within(&mut self, low: i32, high: i32) -> i32 {
        low + (self.next() % (high - low + 1) as u32) as i32
    }

    fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 31) as f32
    }
}

fn i8_format(scale: f32, zero_point: i32) -> Format {
    Format::I8(QuantParams { scale, zero_point })
}

fn i12_format(scale: f32, zero_point: i32) -> Format {
    Format::I12(QuantParams { scale, zero_point })
}

fn i16_format(scale: f32, zero_point: i32) -> Format {
    Format::I16(QuantParams { scale, zero_point })
}

/// Builds programs step by step.
struct Builder {
    description: Description,
    constants: BTreeMap<String, Constant>,
}

impl Builder {
    fn new(channels: usize) -> Self {
        let image = TensorInfo { name: "image".into(), channels, format: Format::F32 };
        Self {
            description: Description { tensors: vec![image], steps: vec![], outputs: vec![] },
            constants: BTreeMap::new(),
        }
    }

    fn step(&mut self, op: StepOp, inputs: &[usize], channels: usize, format: Format) -> usize {
        let output = self.description.tensors.len();
        self.description.tensors.push(TensorInfo { name: format!("t{output}"), channels, format });
        self.description.steps.push(Step { name: format!("s{output}"), op, inputs: inputs.to_vec(), output });
        output
    }

    fn conv_i8(&mut self, g: ConvGeometry, input: usize, how: &ConvCase, random: &mut Random) -> usize {
        let name = |kind: &str| format!("{kind}{}", self.description.tensors.len());
        let (weight, bias, multipliers) = (name("weight"), name("bias"), name("multipliers"));
        let extreme = how.extreme;
        let mut value = |low: i32, high: i32| {
            if extreme { [low, high][random.next() as usize % 2] } else { random.within(low, high) }
        };
        let weights = (0..g.out_channels * g.depth()).map(|_| value(-128, 127) as i8).collect();
        let biases = (0..g.out_channels).map(|_| value(-30_000, 30_000)).collect();
        let shifts = how.shifts;
        let pairs =
            (0..g.out_channels).flat_map(|_| [value(1 << 29, i32::MAX), value(shifts.0, shifts.1)]).collect();
        self.constants.insert(weight.clone(), Constant::I8(weights));
        self.constants.insert(bias.clone(), Constant::I32(biases));
        self.constants.insert(multipliers.clone(), Constant::I32(pairs));
        let op = StepOp::ConvI8 {
            geometry: g,
            weight,
            bias,
            cut: how.cut,
            multipliers,
            rounding: how.rounding,
            activation: how.activation,
        };
        self.step(op, &[input], g.out_channels, how.output)
    }

    fn conv_i16(
        &mut self,
        g: ConvGeometry,
        input: usize,
        wide: bool,
        how: &ConvCase,
        random: &mut Random,
    ) -> usize {
        let name = |kind: &str| format!("{kind}{}", self.description.tensors.len());
        let (weight, bias, multipliers) = (name("weight"), name("bias"), name("multipliers"));
        let extreme = how.extreme;
        let mut value = |low: i32, high: i32| {
            if extreme { [low, high][random.next() as usize % 2] } else { random.within(low, high) }
        };
        let count = g.out_channels * g.depth();
        let weights = if wide {
            Constant::I16((0..count).map(|_| value(-32768, 32767) as i16).collect())
        } else {
            Constant::I8((0..count).map(|_| value(-128, 127) as i8).collect())
        };
        let biases = (0..g.out_channels).map(|_| i64::from(value(i32::MIN + 1, i32::MAX)) * 100).collect();
        let shifts = how.shifts;
        let pairs =
            (0..g.out_channels).flat_map(|_| [value(1 << 29, i32::MAX), value(shifts.0, shifts.1)]).collect();
        self.constants.insert(weight.clone(), weights);
        self.constants.insert(bias.clone(), Constant::I64(biases));
        self.constants.insert(multipliers.clone(), Constant::I32(pairs));
        let op = StepOp::ConvI16 {
            geometry: g,
            weight,
            bias,
            cut: how.cut,
            multipliers,
            rounding: how.rounding,
            activation: how.activation,
        };
        self.step(op, &[input], g.out_channels, how.output)
    }

    fn conv_f32(&mut self, g: ConvGeometry, input: usize, random: &mut Random) -> usize {
        let weights = (0..g.out_channels * g.depth()).map(|_| random.unit() - 0.5).collect();
        let biases = (0..g.out_channels).map(|_| random.unit() - 0.5).collect();
        let name = |kind: &str| format!("{kind}{}", self.description.tensors.len());
        let (weight, bias) = (name("weight"), name("bias"));
        self.constants.insert(weight.clone(), Constant::F32(weights));
        self.constants.insert(bias.clone(), Constant::F32(biases));
        let op = StepOp::ConvF32 { geometry: g, weight, bias, activation: None };
        self.step(op, &[input], g.out_channels, Format::F32)
    }

    fn finish(mut self) -> Program {
        self.description.outputs = vec![self.description.tensors.len() - 1];
        Program::new(self.description, self.constants).unwrap()
    }
}

struct ConvCase {
    rounding: Rounding,
    activation: Option<(Activation, Format)>,
    output: Format,
    cut: Option<Cut>,
    /// Only lowest and highest values.
    extreme: bool,
    /// Range of the factors' shifts.
    shifts: (i32, i32),
}

/// Runs `program` with every instruction set and compares every tensor with the naive twin's, floats by their bits.
fn assert_equal(program: &Program, size: [usize; 2], random: &mut Random) {
    let count = program.tensors()[0].channels * size[0] * size[1];
    let image: Vec<f32> = (0..count).map(|_| random.unit() * 1.2 - 0.1).collect();
    let expected = naive::run(program, size, &image);
    for isa in Isa::available() {
        let mut executor = Executor::with_isa(program, size[0], size[1], isa).unwrap();
        executor
            .run_with(&image, |tensor, values| {
                let equal = match (values, &expected[tensor].data) {
                    (Values::F32(a), Data::Float(b)) => {
                        a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
                    }
                    (Values::I8(a), Data::Integer(b)) => {
                        a.iter().map(|&v| i64::from(v)).eq(b.iter().copied())
                    }
                    (Values::I16(a), Data::Integer(b)) => {
                        a.iter().map(|&v| i64::from(v)).eq(b.iter().copied())
                    }
                    _ => false,
                };
                assert!(equal, "{} on {}", program.tensors()[tensor].name, isa.name());
            })
            .unwrap();
        let shown: Vec<Values<'_>> = executor.outputs().map(|(_, values)| values).collect();
        let mut plain = Executor::with_isa(program, size[0], size[1], isa).unwrap();
        plain.run(&image).unwrap();
        assert!(plain.outputs().map(|(_, values)| values).eq(shown), "without showing, on {}", isa.name());
    }
}

fn geometry() -> impl Strategy<Value = (ConvGeometry, [usize; 2])> {
    let pair = |range: std::ops::RangeInclusive<usize>| prop::array::uniform2(range);
    let groups = prop_oneof![3 => Just(1usize), 1 => 2usize..=3];
    // An interpreter gets few channels and pixels.
    let (most, size) = if cfg!(miri) { (4, 3..=6) } else { (140, 1..=30) };
    // Deep patches make blocks of few pixels, so that blocks begin anywhere in a row.
    let inputs = prop_oneof![4 => 1usize..=12.min(most), 1 => 100.min(most)..=most];
    (groups, inputs, 1usize..=20, pair(1..=7), pair(1..=3), pair(0..=4), pair(1..=2), pair(size))
        .prop_filter_map(
            "the kernel fits",
            |(groups, inputs, outputs, kernel, stride, padding, dilation, size)| {
                let (in_channels, out_channels) = (inputs * groups, outputs * groups);
                let g = ConvGeometry {
                    in_channels,
                    out_channels,
                    kernel,
                    stride,
                    padding,
                    dilation,
                    groups,
                    border: 0,
                };
                g.output_size(size).map(|_| (g, size))
            },
        )
}

/// No cut, or one of up to eight bits.
fn cut(seed: u64, bits: u8) -> Option<Cut> {
    let rounding = Rounding::ALL[seed as usize / 64 % Rounding::ALL.len()];
    (!seed.is_multiple_of(4)).then_some(Cut { shift: (seed / 4 % 9) as u8, bits, rounding })
}

fn rounding() -> impl Strategy<Value = Rounding> {
    prop::sample::select(Rounding::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 60 }))]

    #[test]
    fn integer_convolution((g, size) in geometry(), rounding in rounding(), kind in 0..5, zero in -128..=127i32, extreme: bool, odd: bool, seed: u64) {
        let random = &mut Random(seed);
        let silu = |argument| Some((Activation::Silu, argument));
        let (activation, output) = [
            (None, i8_format(0.05, zero)),
            (None, i16_format(0.001, 7)),
            (silu(i16_format(0.000_5, 0)), i8_format(0.06, zero)),
            (silu(i8_format(0.07, -3)), i8_format(0.06, zero)),
            (Some((Activation::LeakyRelu { slope: 0.1 }, i16_format(0.000_5, 0))), i16_format(0.000_4, 0)),
        ][kind as usize];
        let mut builder = Builder::new(g.in_channels);
        let scale = if extreme { 1e-4 } else { 0.005 };
        let input = builder.step(StepOp::Quantize, &[0], g.in_channels, i8_format(scale, zero));
        // Factors of any size; with those that networks have results lie inside of their range.
        let shifts = if odd { (0, 62) } else { [(36, 42), (28, 34)][seed as usize / 512 % 2] };
        let g = ConvGeometry { border: [0, -128 - zero, 127 - zero][seed as usize % 3], ..g };
        let cut = cut(seed, 16);
        builder.conv_i8(g, input, &ConvCase { rounding, activation, output, cut, extreme, shifts }, random);
        assert_equal(&builder.finish(), size, random);
    }

    #[test]
    fn wide_convolution((g, size) in geometry(), rounding in rounding(), kind in 0..7, zero in -300..=300i32, wide: bool, twelve: bool, extreme: bool, odd: bool, seed: u64) {
        let random = &mut Random(seed);
        let silu = |argument| Some((Activation::Silu, argument));
        let (activation, output) = [
            (None, i16_format(0.001, zero)),
            (None, i8_format(0.05, 9)),
            (silu(i16_format(0.000_5, 0)), i16_format(0.000_4, zero)),
            (silu(i16_format(0.000_5, 0)), i8_format(0.06, -100)),
            (None, i12_format(0.01, zero)),
            (silu(i12_format(0.006, 0)), i12_format(0.005, zero)),
            (silu(i16_format(0.000_5, 0)), i12_format(0.005, zero)),
        ][kind as usize];
        let mut builder = Builder::new(g.in_channels);
        let scale = if extreme { 1e-6 } else { 0.000_05 };
        let input = builder.step(StepOp::Quantize, &[0], g.in_channels, if twelve { i12_format(16.0 * scale, zero) } else { i16_format(scale, zero) });
        let least = if twelve { -2048 } else { -32768 };
        let usual = if wide { (46, 54) } else { (40, 48) };
        let shifts = if odd { (0, 62) } else { [usual, (30, 36)][seed as usize / 512 % 2] };
        let g = ConvGeometry { border: [0, least - zero, -1 - least - zero][seed as usize % 3], ..g };
        let cut = cut(seed, 32);
        builder.conv_i16(g, input, wide, &ConvCase { rounding, activation, output, cut, extreme, shifts }, random);
        assert_equal(&builder.finish(), size, random);
    }

    /// Two branches, one of them with a shortcut, joined and read by pointwise convolutions: nothing may need a copy.
    #[test]
    fn joined_branches(a in 1usize..40, b in 1usize..40, quads: bool, precision in 0..3, size in prop::array::uniform2(2usize..20), seed: u64) {
        let random = &mut Random(seed);
        let (a, b) = if quads { (4 * a, 4 * b) } else { (a, b) };
        let conv = |inputs: usize, outputs: usize, side: usize| ConvGeometry {
            in_channels: inputs,
            out_channels: outputs,
            kernel: [side; 2],
            stride: [1; 2],
            padding: [side / 2; 2],
            dilation: [1; 2],
            groups: 1, border: 0
        };
        let mut builder = Builder::new(3);
        let narrow = i8_format(0.05, -4);
        let wide = i16_format(0.000_3, 12);
        let format = [narrow, wide, Format::F32][precision as usize];
        let mut convolve = |builder: &mut Builder, g, input: usize| match precision {
            0 => builder.conv_i8(g, input, &ConvCase { rounding: Rounding::HalfUp, activation: None, output: narrow, cut: None, extreme: false, shifts: (38, 42) }, random),
            1 => builder.conv_i16(g, input, true, &ConvCase { rounding: Rounding::HalfUp, activation: None, output: wide, cut: None, extreme: false, shifts: (46, 50) }, random),
            _ => builder.conv_f32(g, input, random),
        };
        let image = match precision {
            2 => 0,
            1 => builder.step(StepOp::Quantize, &[0], 3, i16_format(0.000_05, 0)),
            _ => builder.step(StepOp::Quantize, &[0], 3, i8_format(0.005, -7)),
        };
        let x = convolve(&mut builder, conv(3, a, 3), image);
        let y = convolve(&mut builder, conv(a, a, 1), x);
        let multipliers = format.params().map(|_| SharedMultipliers::from_real(&[1.0, 1.0]).unwrap());
        let sum = builder.step(StepOp::Add { multipliers, rounding: Rounding::HalfUp }, &[x, y], a, format);
        let z = convolve(&mut builder, conv(3, b, 1), image);
        let concat = match seed % 2 {
            0 if precision < 2 => StepOp::Join,
            _ => StepOp::Concat { rescale: vec![None; 2], rounding: Rounding::HalfUp },
        };
        let joined = builder.step(concat, &[sum, z], a + b, format);
        let left = convolve(&mut builder, conv(a + b, 20, 1), joined);
        let right = convolve(&mut builder, conv(a + b, 20, 1), joined);
        let multipliers = format.params().map(|_| SharedMultipliers::from_real(&[0.5, 0.5]).unwrap());
        builder.step(StepOp::Add { multipliers, rounding: Rounding::HalfUp }, &[left, right], 20, format);
        assert_equal(&builder.finish(), size, random);
    }

    #[test]
    fn float_convolution((g, size) in geometry(), seed: u64) {
        let random = &mut Random(seed);
        let mut builder = Builder::new(g.in_channels);
        builder.conv_f32(g, 0, random);
        assert_equal(&builder.finish(), size, random);
    }

    #[test]
    fn other_operators(channels in 1usize..6, size in prop::array::uniform2(4usize..if cfg!(miri) { 5 } else { 12 }), rounding in rounding(), bits in prop::sample::select(vec![8, 12, 16]), zero in -100..100i32, seed: u64) {
        let random = &mut Random(seed);
        let size = size.map(|side| 2 * side);
        let mut b = Builder::new(channels);
        let format = match bits {
            8 => i8_format,
            12 => i12_format,
            _ => i16_format,
        };
        let first = match bits {
            8 => i8_format(0.004, zero),
            12 => i12_format(0.000_5, 5),
            _ => i16_format(0.000_03, 5),
        };
        let narrow = format(0.006, -zero);
        let x = b.step(StepOp::Quantize, &[0], channels, first);
        let y = b.step(StepOp::Activation(Activation::Hardswish), &[x], channels, narrow);
        let factors = [f64::from(first.params().unwrap().scale) / 0.009, 0.006 / 0.009];
        let multipliers = Some(SharedMultipliers::from_real(&factors).unwrap());
        let sum = format(0.009, 11);
        let s = b.step(StepOp::Add { multipliers, rounding }, &[x, y], channels, sum);
        let factor = Multiplier::from_real(0.006 / 0.009, ScaleForm::default()).unwrap();
        let rescale = vec![Some(factor), None];
        let joined = b.step(StepOp::Concat { rescale, rounding }, &[y, s], 2 * channels, sum);
        let pooled = b.step(StepOp::MaxPool { kernel: 5, stride: 1, padding: 2 }, &[joined], 2 * channels, sum);
        let halved = b.step(StepOp::MaxPool { kernel: 2, stride: 2, padding: 0 }, &[pooled], 2 * channels, sum);
        let grown = b.step(StepOp::Upsample { scale: 2 }, &[halved], 2 * channels, sum);
        let deep = b.step(StepOp::SpaceToDepth, &[grown], 8 * channels, sum);
        b.step(StepOp::Dequantize, &[deep], 8 * channels, Format::F32);
        assert_equal(&b.finish(), size, random);
    }

    #[test]
    fn a_tensor_read_twice_is_kept_as_long_as_needed(channels in 1usize..4, seed: u64) {
        let random = &mut Random(seed);
        let mut b = Builder::new(channels);
        let plain = Rounding::default();
        let add = || StepOp::Add { multipliers: None, rounding: plain };
        let x = b.step(add(), &[0, 0], channels, Format::F32);
        let y = b.step(add(), &[x, 0], channels, Format::F32);
        let j = b.step(StepOp::Concat { rescale: vec![None; 3], rounding: plain }, &[x, y, x], 3 * channels, Format::F32);
        let s = b.step(add(), &[j, j], 3 * channels, Format::F32);
        let t = b.step(add(), &[s, s], 3 * channels, Format::F32);
        b.step(add(), &[s, t], 3 * channels, Format::F32);
        assert_equal(&b.finish(), [4, 5], random);
    }

    #[test]
    fn float_operators(channels in 1usize..6, size in prop::array::uniform2(3usize..10), seed: u64) {
        let random = &mut Random(seed);
        let size = size.map(|side| 2 * side);
        let mut b = Builder::new(channels);
        let plain = Rounding::default();
        let s = b.step(StepOp::Add { multipliers: None, rounding: plain }, &[0, 0], channels, Format::F32);
        let j = b.step(StepOp::Concat { rescale: vec![None; 2], rounding: plain }, &[0, s], 2 * channels, Format::F32);
        let p = b.step(StepOp::MaxPool { kernel: 3, stride: 2, padding: 1 }, &[j], 2 * channels, Format::F32);
        let u = b.step(StepOp::Upsample { scale: 4 }, &[p], 2 * channels, Format::F32);
        b.step(StepOp::SpaceToDepth, &[u], 8 * channels, Format::F32);
        assert_equal(&b.finish(), size, random);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn large_layers_are_equal_for_every_thread_count() {
    let random = &mut Random(5);
    let g = ConvGeometry {
        in_channels: 24,
        out_channels: 40,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
        border: 0,
    };
    let mut b = Builder::new(24);
    let x = b.step(StepOp::Quantize, &[0], 24, i8_format(1.0 / 255.0, -128));
    let activation = Some((Activation::Silu, i16_format(0.000_5, 0)));
    let how = ConvCase {
        rounding: Rounding::HalfUp,
        activation,
        output: i8_format(0.06, -120),
        cut: None,
        extreme: false,
        shifts: (36, 42),
    };
    b.conv_i8(g, x, &how, random);
    let program = b.finish();
    let image: Vec<f32> = (0..24 * 120 * 90).map(|_| random.unit()).collect();
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut executor = Executor::new(&program, 120, 90).unwrap();
        pool.install(|| executor.run(&image)).unwrap();
        let output = executor.outputs().next().unwrap().1;
        let Values::I8(values) = output else { panic!("not 8-bit") };
        values.to_vec()
    };
    let one = bytes(1);
    for threads in [2, 3, 7] {
        assert_eq!(bytes(threads), one, "{threads} threads");
    }
}

#[test]
fn fused_float_activation_is_close_to_double_precision_and_equal_on_every_isa() {
    let random = &mut Random(9);
    let mut b = Builder::new(3);
    b.step(StepOp::Activation(Activation::Silu), &[0], 3, Format::F32);
    let program = b.finish();
    let image: Vec<f32> = (0..3 * 31 * 17).map(|_| random.unit() * 40.0 - 20.0).collect();
    let runs: Vec<Vec<u32>> = Isa::available()
        .into_iter()
        .map(|isa| {
            let mut executor = Executor::with_isa(&program, 31, 17, isa).unwrap();
            executor.run(&image).unwrap();
            let Some((_, Values::F32(values))) = executor.outputs().next() else { panic!("not float") };
            for (&x, &y) in image.iter().zip(values) {
                let want = Activation::Silu.eval(f64::from(x));
                assert!(
                    (f64::from(y) - want).abs() <= 1e-6 * want.abs().max(1e-6),
                    "silu({x}) = {y}, not {want}"
                );
            }
            values.iter().map(|v| v.to_bits()).collect()
        })
        .collect();
    assert!(runs.windows(2).all(|pair| pair[0] == pair[1]));
}
