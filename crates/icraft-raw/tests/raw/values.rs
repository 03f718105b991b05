//! Integers from numbers and back, and which integers a stage has.

use icraft_raw::{
    BitWidth, IntegerGrid, IntegerRange, QuantizedElement, RawType, Role, Stage, TensorScales, TieRounding,
    ValueError, decode, decode_into, payload, quantize,
};
use proptest::prelude::*;

const EIGHT: IntegerGrid =
    IntegerGrid { bits: 8, range: IntegerRange::Symmetric, ties: TieRounding::HalfAway };

#[test]
fn stages_have_the_element_types_of_their_width() {
    use BitWidth::{Eight, Sixteen, Twelve};
    use RawType::{F32, I8, I16, I32};
    for stage in [Stage::Parsed, Stage::Optimized, Stage::Normed] {
        for width in [Eight, Twelve, Sixteen] {
            assert_eq!(stage.element_type(width, Role::Weight), F32);
            assert_eq!(stage.element_type(width, Role::Bias), F32);
        }
    }
    for (width, weight, bias, bits) in
        [(Eight, I8, I16, (8, 16)), (Twelve, I16, I32, (12, 24)), (Sixteen, I16, I32, (16, 32))]
    {
        assert_eq!(Stage::Quantized.element_type(width, Role::Weight), weight);
        assert_eq!(Stage::Quantized.element_type(width, Role::Bias), bias);
        assert_eq!((width.value_bits(Role::Weight), width.value_bits(Role::Bias)), bits);
        assert_eq!(BitWidth::from_bits(bits.0), Some(width));
    }
    assert_eq!(BitWidth::from_bits(10), None);
    assert_eq!([F32, I8, I16, I32].map(RawType::bytes), [4, 1, 2, 4]);
}

#[test]
fn ties_go_away_from_zero_or_to_the_even_integer() {
    let weights = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, 1.4];
    let even = IntegerGrid { ties: TieRounding::HalfEven, ..EIGHT };
    let one = TensorScales::PerTensor(1.0);
    assert_eq!(quantize::<i8>(&weights, one, EIGHT).unwrap().values, [1, 2, 3, -1, -2, -3, 0, 1]);
    assert_eq!(quantize::<i8>(&weights, one, even).unwrap().values, [0, 2, 2, 0, -2, -2, 0, 1]);
}

#[test]
fn a_quotient_that_only_f32_takes_for_a_tie_is_none() {
    // As f32, the quotients are 67.5 and 128.5; the true ones are a little less, and a little more.
    let rows = [
        (0x428F_84F8, 0x3F88_13E2, 67.5, TieRounding::HalfAway, 67),
        (0x430F_A70D, 0x3F8F_17F5, 128.5, TieRounding::HalfEven, 129),
    ];
    for (weight, scale, tie, ties, expected) in rows {
        let (weight, scale) = (f32::from_bits(weight), f32::from_bits(scale));
        assert_eq!(weight / scale, tie);
        let found = quantize::<i16>(
            &[weight],
            TensorScales::PerTensor(scale),
            IntegerGrid { bits: 16, ties, ..EIGHT },
        );
        assert_eq!(found.unwrap().values, [expected]);
    }
}

#[test]
fn clamped_values_are_counted() {
    let weights = [200.0, 127.4, 127.5, -127.4, -127.6, -128.4, -128.6, 0.0];
    let full = IntegerGrid { range: IntegerRange::Full, ..EIGHT };
    let symmetric = quantize::<i8>(&weights, TensorScales::PerTensor(1.0), EIGHT).unwrap();
    assert_eq!((symmetric.values, symmetric.clamped), (vec![127, 127, 127, -127, -127, -127, -127, 0], 5));
    let full = quantize::<i8>(&weights, TensorScales::PerTensor(1.0), full).unwrap();
    assert_eq!((full.values, full.clamped), (vec![127, 127, 127, -127, -128, -128, -128, 0], 3));
}

#[test]
fn every_width_ends_at_its_own_limits() {
    let extreme = [f32::MAX, f32::MIN];
    for (bits, greatest) in [(8u32, 127i64), (12, 2047), (16, 32767), (24, 8_388_607), (32, 2_147_483_647)] {
        let symmetric = IntegerGrid { bits, ..EIGHT };
        let full = IntegerGrid { range: IntegerRange::Full, ..symmetric };
        let found = quantize::<i32>(&extreme, TensorScales::PerTensor(f32::MIN_POSITIVE), symmetric).unwrap();
        assert_eq!(
            (found.values.iter().map(|&q| i64::from(q)).collect(), found.clamped),
            (vec![greatest, -greatest], 2)
        );
        let found = quantize::<i32>(&extreme, TensorScales::PerTensor(1.0), full).unwrap();
        assert_eq!(found.values.iter().map(|&q| i64::from(q)).collect::<Vec<_>>(), [greatest, -greatest - 1]);
    }
    let twelve =
        quantize::<i16>(&extreme, TensorScales::PerTensor(1.0), IntegerGrid { bits: 12, ..EIGHT }).unwrap();
    assert_eq!(twelve.values, [2047, -2047]);
}

#[test]
fn channels_have_scales_of_their_own() {
    // Two rows of three output channels.
    let weights = [1.0, 2.0, 3.0, -1.0, -2.0, -3.0];
    let scales = TensorScales::PerChannel(&[0.5, 1.0, 1.5]);
    let found = quantize::<i8>(&weights, scales, EIGHT).unwrap();
    assert_eq!(found.values, [2, 2, 2, -2, -2, -2]);
    assert_eq!(decode::<i8>(&payload(&found.values), scales).unwrap(), weights);
}

#[test]
fn bad_scales_widths_and_numbers_are_refused() {
    let quantized = |weights: &[f32], scales| quantize::<i8>(weights, scales, EIGHT).unwrap_err();
    for scale in [0.0, -1.0, f32::INFINITY] {
        assert_eq!(
            quantized(&[1.0], TensorScales::PerTensor(scale)),
            ValueError::Scale { channel: 0, scale }
        );
        let second = [1.0, scale];
        assert_eq!(
            decode::<i8>(&[1, 2], TensorScales::PerChannel(&second)),
            Err(ValueError::Scale { channel: 1, scale })
        );
    }
    assert!(matches!(
        quantized(&[1.0], TensorScales::PerTensor(f32::NAN)),
        ValueError::Scale { channel: 0, .. }
    ));
    let count = ValueError::ScaleCount { elements: 3, scales: 2 };
    assert_eq!(quantized(&[1.0; 3], TensorScales::PerChannel(&[1.0; 2])), count);
    assert_eq!(
        decode::<i8>(&[], TensorScales::PerChannel(&[])),
        Err(ValueError::ScaleCount { elements: 0, scales: 0 })
    );
    assert_eq!(
        quantized(&[0.0, f32::INFINITY], TensorScales::PerTensor(1.0)),
        ValueError::NotFinite { index: 1, value: f32::INFINITY }
    );
    assert!(matches!(
        quantized(&[f32::NAN], TensorScales::PerTensor(1.0)),
        ValueError::NotFinite { index: 0, .. }
    ));
    for (bits, fits) in [(1, false), (2, true), (8, true), (9, false), (0, false), (u32::MAX, false)] {
        let found = quantize::<i8>(&[0.0], TensorScales::PerTensor(1.0), IntegerGrid { bits, ..EIGHT });
        assert_eq!(found.is_ok(), fits, "{bits} bits");
        assert!(fits || found == Err(ValueError::Bits { bits, element: RawType::I8 }));
    }
    let partial = ValueError::PartialElement { length: 3, element: RawType::I16 };
    assert_eq!(decode::<i16>(&[0; 3], TensorScales::PerTensor(1.0)), Err(partial));
    let mut short = [9.0];
    assert_eq!(
        decode_into::<i16>(&[0; 4], TensorScales::PerTensor(1.0), &mut short),
        Err(ValueError::Destination { elements: 2, destination: 1 })
    );
    assert_eq!(short, [9.0]);
}

/// The definition, one element at a time.
fn naive<T: Copy + Into<f64>>(values: &[T], scales: &[f32]) -> Vec<u32> {
    let real = |(i, &q): (usize, &T)| ((q.into() * f64::from(scales[i % scales.len()])) as f32).to_bits();
    values.iter().enumerate().map(real).collect()
}

fn decoded<T: QuantizedElement>(values: &[T], scales: &[f32]) -> Vec<u32> {
    let reals = decode::<T>(&payload(values), TensorScales::PerChannel(scales)).unwrap();
    reals.iter().map(|real| real.to_bits()).collect()
}

proptest! {
    #[test]
    fn decoding_is_one_product_per_element(
        scales in prop::collection::vec(1e-6f32..10.0, 1..300),
        rows in 0usize..5,
        seed: u64,
    ) {
        let count = rows * scales.len();
        let longs: Vec<i32> = (0..count as u64).map(|i| (seed.wrapping_mul(2 * i + 1) >> 29) as i32).collect();
        let words: Vec<i16> = longs.iter().map(|&q| q as i16).collect();
        let bytes: Vec<i8> = longs.iter().map(|&q| q as i8).collect();
        prop_assert_eq!(decoded(&longs, &scales), naive(&longs, &scales));
        prop_assert_eq!(decoded(&words, &scales), naive(&words, &scales));
        prop_assert_eq!(decoded(&bytes, &scales), naive(&bytes, &scales));
        let one = decode::<i16>(&payload(&words), TensorScales::PerTensor(scales[0])).unwrap();
        prop_assert_eq!(one.iter().map(|r| r.to_bits()).collect::<Vec<_>>(), naive(&words, &scales[..1]));
    }

    #[test]
    fn a_decoded_integer_quantises_to_itself(
        values in prop::collection::vec(-32767i16..=32767, 0..600),
        scale in 1e-6f32..10.0,
        ties in prop::sample::select(vec![TieRounding::HalfAway, TieRounding::HalfEven]),
    ) {
        let reals = decode::<i16>(&payload(&values), TensorScales::PerTensor(scale)).unwrap();
        let grid = IntegerGrid { bits: 16, range: IntegerRange::Symmetric, ties };
        let again = quantize::<i16>(&reals, TensorScales::PerTensor(scale), grid).unwrap();
        prop_assert_eq!((again.values, again.clamped), (values, 0));
    }
}
