//! The strings of the later generation: what is read, how it is printed, what is refused.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

use icraft_raw::{ExpressionError, Layout, NormRatios, PerAxis, Scale, Scales, StorageType};
use proptest::prelude::*;

#[test]
fn words() {
    let table = [
        ("@sint(8)", StorageType::Signed(8)),
        ("@uint(64)", StorageType::Unsigned(64)),
        ("@fp(32)", StorageType::Float(32)),
        ("@bf(16)", StorageType::BrainFloat(16)),
    ];
    for (text, storage) in table {
        assert_eq!(text.parse::<StorageType>().unwrap(), storage);
        assert_eq!(storage.to_string(), text);
    }
    for axes in ["NHWC", "*", "OIHWo32i32", "*C**c3"] {
        let layout: Layout = format!("@layout({axes})").parse().unwrap();
        assert_eq!((layout.axes(), layout.to_string()), (axes, format!("@layout({axes})")));
    }
}

#[test]
fn runs_expand_to_channels() {
    let ratios: NormRatios = "@norm_ratios([axis=-1]2*0.13699304,1*0.5,0.5)".parse().unwrap();
    assert_eq!(ratios.0.axis(), Some(-1));
    assert_eq!(ratios.0.runs(), [(2, 0.13699304), (2, 0.5)]);
    assert_eq!(ratios.0.expand(4).unwrap(), [0.13699304, 0.13699304, 0.5, 0.5]);
    assert_eq!(ratios.0.shared(), None);
    assert_eq!(ratios.to_string(), "@norm_ratios([axis=-1]2*0.13699304,2*0.5)");
    assert_eq!(ratios.0.expand(5), Err(ExpressionError::Count { found: 4, expected: 5 }));
    let one: Scales = "@scales(0.25)".parse().unwrap();
    assert_eq!(one.expand(3).unwrap(), [0.25; 3]);
    let empty: Scales = "@scales([axis=4])".parse().unwrap();
    assert_eq!((empty.count(), empty.expand(0).unwrap().len()), (0, 0));
}

/// The compiler prints 2^-12, halfway between two shortest numbers, as the even one.
#[test]
fn hardware_scales() {
    let text =
        "@exp_scales([axis=4]128/21/6.1035156e-05,2*185/18/0.000705719,128/19/0.00024414062,129*1/8/1)";
    let scales: Scales = text.parse().unwrap();
    assert_eq!(scales.to_string(), text);
    let Scales::Exponent(list) = &scales else { unreachable!("{text}") };
    let consistent: Vec<bool> = list.runs().iter().map(|(_, scale)| scale.is_consistent()).collect();
    assert_eq!(consistent, [true, true, true, false], "1/8/1 marks padded channels");
    assert_eq!(list.runs()[0].1, Scale::new(128, 21));
    assert_eq!(scales.count(), 133);
    assert!(!Scale { value: 0.5, ..Scale::new(255, 20) }.is_consistent());
    assert_eq!(Scale::new(255, u32::MAX).value, 0.0);
}

#[test]
fn each_fault_has_its_place() {
    fn fault<T: std::str::FromStr<Err = ExpressionError>>(text: &str) -> String {
        text.parse::<T>().map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
    }
    let (storage, layout) = (fault::<StorageType>, fault::<Layout>);
    let (ratios, scales) = (fault::<NormRatios>, fault::<Scales>);
    type Reader = fn(&str) -> String;
    let table: &[(Reader, &str, &str)] = &[
        (storage, "", "byte 0: expected @"),
        (storage, "sint(8)", "byte 0: expected @"),
        (storage, "@int(8)", "byte 0: expected `@sint("),
        (storage, "@sint(0)", "byte 6: \"0\" is no integer of 1 to 64 bits"),
        (storage, "@sint(65)", "byte 6: \"65\""),
        (storage, "@sint(+8)", "byte 6: \"+8\""),
        (storage, "@sint(8", "byte 7: expected )"),
        (storage, "@sint(8))", "byte 8: expected the end, found \")\""),
        (layout, "@layout()", "byte 8: expected letters of axes"),
        (layout, "@layout(N H)", "byte 9: expected )"),
        (ratios, "@scales(1)", "byte 0: expected `@norm_ratios("),
        (ratios, "@norm_ratios(0)", "byte 13: \"0\" is no finite positive number"),
        (ratios, "@norm_ratios(nan)", "byte 13: \"nan\""),
        (ratios, "@norm_ratios(1e39)", "byte 13: \"1e39\""),
        (ratios, "@norm_ratios(-1)", "byte 13: \"-1\""),
        (ratios, "@norm_ratios(2*)", "byte 15: \"\" is no finite positive number"),
        (ratios, "@norm_ratios(1,)", "accepted"),
        (ratios, "@norm_ratios([axis=x]1)", "byte 19: \"x\""),
        (ratios, "@norm_ratios([axis=99999999999]1)", "byte 19: \"99999999999\""),
        (ratios, "@norm_ratios([axis=1 1)", "byte 19: \"1 1\""),
        (ratios, "@norm_ratios(0*1)", "byte 13: a run of 0 channels"),
        (ratios, "@norm_ratios(-2*1)", "byte 13: \"-2\""),
        (ratios, "@norm_ratios(99999999999999999999*1)", "byte 13: \"99999999999999999999\""),
        (ratios, "@norm_ratios(18446744073709551615*1,1*2)", "byte 36: the runs up to here"),
        (scales, "@scales(-0)", "byte 8: \"-0\" is no finite non-negative number"),
        (scales, "@exp_scales(1/2)", "byte 15: expected /"),
        (scales, "@exp_scales(-1/2/3)", "byte 12: \"-1\""),
        (scales, "@exp_scales(1/2.5/3)", "byte 14: \"2.5\""),
        (scales, "@exp_scales(4294967296/1/1)", "byte 12: \"4294967296\""),
        (scales, "@scal\u{e9}s(1)", "byte 5: expected ("),
    ];
    let wrong: Vec<String> = table
        .iter()
        .map(|(read, text, expected)| (text, read(text), expected))
        .filter(|(_, found, expected)| !found.starts_with(**expected))
        .map(|(text, found, expected)| format!("{text}: {found}, expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A run length costs no memory before a tensor's channels say that it is right.
#[test]
fn huge_runs_are_kept_as_runs() {
    let ratios: NormRatios = "@norm_ratios(99999999999*1)".parse().unwrap();
    assert_eq!(ratios.0.runs(), [(99_999_999_999, 1.0)]);
    assert!(ratios.0.expand(64).is_err());
}

fn axis() -> impl Strategy<Value = Option<i32>> {
    proptest::option::of(any::<i32>())
}

fn positive() -> impl Strategy<Value = f32> {
    (1u32..0x7f80_0000).prop_map(f32::from_bits)
}

proptest! {
    #[test]
    fn printing_and_reading_are_inverse(
        axis in axis(),
        values in proptest::collection::vec((1usize..5, positive()), 0..20),
        scales in proptest::collection::vec((1usize..5, any::<u32>(), any::<u32>(), positive()), 0..20),
    ) {
        let ratios = NormRatios(PerAxis::from_runs(axis, &values).unwrap());
        prop_assert_eq!(&ratios.to_string().parse::<NormRatios>().unwrap(), &ratios);
        prop_assert_eq!(PerAxis::from_values(axis, &ratios.0.expand(ratios.0.count()).unwrap()), ratios.0);
        let runs: Vec<(usize, Scale)> = scales
            .into_iter()
            .map(|(count, mantissa, shift, value)| (count, Scale { mantissa, shift, value }))
            .collect();
        let scales = Scales::Exponent(PerAxis::from_runs(axis, &runs).unwrap());
        prop_assert_eq!(scales.to_string().parse::<Scales>().unwrap(), scales);
    }

    #[test]
    fn anything_is_survived(text in "@?(norm_ratios|scales|exp_scales|sint|layout)?[(]?([0-9*/,.e=-]|[axis=|]){0,24}[)]?") {
        let _ = text.parse::<StorageType>();
        let _ = text.parse::<Layout>();
        if let Ok(ratios) = text.parse::<NormRatios>() {
            prop_assert_eq!(ratios.to_string().parse::<NormRatios>().unwrap(), ratios);
        }
        if let Ok(scales) = text.parse::<Scales>() {
            prop_assert_eq!(scales.to_string().parse::<Scales>().unwrap(), scales);
        }
    }
}
