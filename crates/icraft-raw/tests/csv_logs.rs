//! Logs of every profile: what cells may look like, what is refused, and that what is written reads back.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

use icraft_raw::{
    CsvError, FtmpRow, Granularity, MixRow, ParamsAndOutput, Profile, RawRow, SaturationMethod, read_ftmps,
    read_mix_config, read_raws, write_ftmps, write_mix_config, write_raws,
};
use proptest::prelude::*;

const HEADER: &str = "raw_id,size,max,sat,scale,exp";

fn raw(profile: Profile, text: &str) -> RawRow {
    read_raws(text, &profile.raw_columns()).unwrap().remove(0)
}

#[test]
fn legacy_cells_are_read_however_they_are_wrapped() {
    let expected = [0.5, 0.25, 0.125];
    for cell in [
        "0.5 0.25 0.125",
        "[0.5 0.25 0.125]",
        "[0.5; 0.25; 0.125;]",
        "[ 0.5 0.25 0.125 ]",
        "(0.5)  (0.25) (0.125)",
        "{0.5; 0.25; 0.125};",
        "1*0.5 0.25. 1.25e-1]",
    ] {
        let row = raw(Profile::BuyiV2, &format!("7,1x1x8x3,1,1,{cell},0"));
        assert_eq!(row.scale, expected, "{cell}");
    }
    // a last digit is never taken for a terminator
    assert_eq!(raw(Profile::BuyiV2, "7,3,,,0.123 0.125 0.127,").scale, [0.123, 0.125, 0.127]);
    assert_eq!(raw(Profile::BuyiV2, "7,1x1x8x3,3*2,2*1 3,[3*0.5],").max, [2.0; 3]);
}

#[test]
fn each_profile_has_its_scale_and_its_biases() {
    let printed = Profile::BuyiV2.raw_columns();
    let rows =
        read_raws(&format!("{HEADER}\r\n3,3x3x2x2,1 2,1 2,0.5 0.3,0 0\r\n\r\n4,2,,,0.25,0\r\n"), &printed)
            .unwrap();
    assert_eq!(rows.iter().map(|row| row.is_bias(&printed)).collect::<Vec<_>>(), [false, true]);
    assert_eq!(rows[0].scales(&printed).unwrap(), [0.5, 0.3]);
    assert_eq!(rows[1].scales(&printed).unwrap(), [0.25]);

    let jdy = Profile::Jdy.raw_columns();
    let rows = read_raws("3,3x3x2x2,1 2,1 2,0.7,?,5 -3\n4,2,,,0,,9", &jdy).unwrap();
    assert_eq!(rows.iter().map(|row| row.is_bias(&jdy)).collect::<Vec<_>>(), [false, true]);
    assert_eq!(rows[0].scales(&jdy).unwrap(), [1.0 / 32.0, 8.0]);
    assert_eq!(rows[1].scales(&jdy).unwrap(), [1.0 / 512.0]);
    assert!(matches!(rows[1].scales(&printed), Err(CsvError::NoScale { id: 4 })));
    let extremes = read_raws("1,2,,,0,,149 -127", &jdy).unwrap().remove(0).scales(&jdy).unwrap();
    assert_eq!(extremes, [f32::from_bits(1), 2f32.powi(127)]);
}

#[test]
fn columns_can_be_set() {
    let columns = icraft_raw::RawColumns { scale: 2, max: 4, ..Profile::Xir.raw_columns() };
    let row = read_raws("raw_id,size,scale,sat,max,exp\n1,2,0.5,1,9,0", &columns).unwrap().remove(0);
    assert_eq!((row.scale, row.max), (vec![0.5], vec![9.0]));
}

#[test]
fn transposed_convolutions_have_their_channels_before_the_last_axis() {
    assert_eq!(raw(Profile::Xir, "1,2x2x3x4,1 2 3,,,").max, [1.0, 2.0, 3.0]);
    assert_eq!(raw(Profile::Xir, "1,2x2x3x4,1 2 3 4,,,").max.len(), 4);
}

#[test]
fn feature_maps() {
    let columns = Profile::Xir.ftmp_columns();
    let text = "ftmp_id,size,max,sat,normratio,scale,exp\n0,1x8x8x2,255 255,254.96889 254.96889,2 2,1,0\n";
    let rows = read_ftmps(text, &columns).unwrap();
    assert_eq!(rows[0].norm_ratio, [2.0, 2.0]);
    assert_eq!(write_ftmps(&rows, &columns), text);
    // A row that the compiler wrote: its widest candidate, of 4096 bins and 32 candidates, to the last bit but one.
    let (max, sat) = (f64::from(rows[0].max[0]), f64::from(rows[0].sat[0]));
    let expected = max / 4096.0 * (4095.0 / 4096.0 * 128.0 * 32.0 + 0.5);
    assert!((sat - expected).abs() <= 1.0 / 65536.0, "{sat} {expected}");
}

#[test]
fn mixed_precision_of_either_header() {
    let text = include_str!("data/segrnn_cls_mix_config_8.csv");
    let rows = read_mix_config(text).unwrap();
    assert_eq!(rows.len(), text.lines().count() - 1);
    let first = MixRow {
        operation: 0,
        kind: "icraft::xir::InputNode".to_owned(),
        dtype: "fp32".to_owned(),
        bits: ParamsAndOutput { params: 32, output: 32 },
        saturation: ParamsAndOutput { params: SaturationMethod::Null, output: SaturationMethod::Null },
        per: ParamsAndOutput { params: Granularity::Tensor, output: Granularity::Tensor },
        order: None,
    };
    assert_eq!(rows[0], first);
    assert_eq!(rows[1].dtype, "int8");
    let written = write_mix_config(&rows).unwrap();
    assert!(written.starts_with(
        "op_id,op_type,dtype,value_range_in_bits,saturation,per,order\n0,icraft::xir::InputNode,fp32,32;32,"
    ));
    assert_eq!(read_mix_config(&written).unwrap(), rows);
    let unwritable = MixRow { kind: "a,b".to_owned(), ..first };
    assert!(matches!(write_mix_config(&[unwritable]), Err(CsvError::Unwritable { id: 0, .. })));
}

#[test]
fn damaged_logs_are_refused_each_for_its_reason() {
    let raws = |profile: Profile, text: &str| read_raws(text, &profile.raw_columns()).map(|_| ());
    let xir = |text: &str| raws(Profile::Xir, text);
    let jdy = |text: &str| raws(Profile::Jdy, text);
    let ftmps = |text: &str| read_ftmps(text, &Profile::Xir.ftmp_columns()).map(|_| ());
    let mix = |text: &str| {
        let header = "op_id,op_type,dtype,value_range_in_bits,saturation,per,order";
        read_mix_config(&format!("{header}\n{text}")).map(|_| ())
    };
    let header = |text: &str| read_mix_config(text).map(|_| ());
    type Reader<'r> = &'r dyn Fn(&str) -> Result<(), CsvError>;
    let (xir, jdy, ftmps, mix, header): (Reader<'_>, Reader<'_>, Reader<'_>, Reader<'_>, Reader<'_>) =
        (&xir, &jdy, &ftmps, &mix, &header);
    let table: &[(Reader<'_>, &str, &str)] = &[
        (xir, "1,3,,,0.5", "row 1: has 5 columns, `exp` is looked for in column 5"),
        (jdy, "1,3,,,0.5,0", "row 1: has 6 columns, `exp` is looked for in column 6"),
        (xir, "raw_id,size,max,scale,sat,exp\n", "the header has `sat` in column 4, the profile in column 3"),
        (ftmps, "ftmp_id,size,max,sat,scale,exp,normratio\n", "the header has `normratio` in column 6"),
        (xir, "1,3,,,1,0\nx,3,,,1,0", "row 2, column 0: id \"x\" is no integer"),
        (xir, "1,3,,,1,0\n99999999999999999999,3,,,1,0", "row 2, column 0: id \"99999999999999999999\""),
        (xir, "1,3,,,1,0\n\n1,3,,,1,0", "row 3: id 1 stands in row 1 already"),
        (xir, "1,3x,,,1,0", "row 1, column 1: size \"3x\" is no list"),
        (xir, "1,3x-1,,,1,0", "row 1, column 1: size \"3x-1\""),
        (xir, "1,99999999999999999999x1,,,1,0", "row 1, column 1: size"),
        (xir, "1,3,,,nan,0", "row 1, column 4 (`scale`): \"nan\" is no number"),
        (xir, "1,3,,,inf,0", "row 1, column 4 (`scale`): \"inf\" is no number"),
        (xir, "1,3,,,1e39,0", "row 1, column 4 (`scale`): \"1e39\" is beyond the range of f32"),
        (xir, "1,3,,,-0.5,0", "row 1, column 4 (`scale`): \"-0.5\" is negative"),
        (xir, "1,3,-1,,1,0", "row 1, column 2 (`max`): \"-1\" is negative"),
        (xir, "1,3,,,1nan,0", "row 1, column 4 (`scale`): \"1nan\" is no number"),
        (xir, "1,3,,,1.5e-,0", "row 1, column 4 (`scale`): \"1.5e-\" is no number"),
        (xir, "1,3,,,3*,0", "row 1, column 4 (`scale`): \"3*\" is no number"),
        (xir, "1,3,,,0x10,0", "row 1, column 4 (`scale`): \"0x10\" is no number"),
        (xir, "1,3,,,0*1,0", "row 1, column 4 (`scale`): \"0*1\" has a run length"),
        (xir, "1,3,,,-3*1,0", "row 1, column 4 (`scale`): \"-3*1\" has a run length"),
        (xir, "1,3,,,3*1*2,0", "row 1, column 4 (`scale`): \"3*1*2\" is no number"),
        (xir, "1,3,,,1 2,0", "row 1, column 4 (`scale`): 2 values, or more; size [3] allows 1 or 3"),
        (xir, "1,3,,,1 2 3 4,0", "row 1, column 4 (`scale`): 4 values, or more; size [3] allows 1 or 3"),
        (xir, "1,3,,,99999999999*1,0", "row 1, column 4 (`scale`): 99999999999 values"),
        (xir, "1,3,,,99999999999999999999999*1,0", "row 1, column 4 (`scale`): 18446744073709551615 values"),
        (xir, "1,99999999999,,,99999999999*1,0", "row 1, column 4: run lengths of the file add up to more"),
        (xir, "1,,,,99999999999*1,0", "row 1, column 4: run lengths of the file add up to more"),
        (xir, "1,3,,,1,0.5", "row 1, column 5 (`exp`): \"0.5\" is no integer of 32 bits"),
        (xir, "1,3,,,1,x", "row 1, column 5 (`exp`): \"x\" is no number"),
        (jdy, "1,3,,,1,,150", "row 1, column 6 (`exp`): \"150\" is an exponent outside -127..=149"),
        (ftmps, "1,1x1x1x3,1 2,,,1,0", "row 1, column 2 (`max`): 2 values"),
        (header, "", "the header \"\" is none of"),
        (header, "op_id,op_type\n1,a", "the header \"op_id,op_type\" is none of"),
        (mix, "1,a,int8,8,kld;kld,tensor;tensor,-", "row 2, column 3 (`value_range_in_bits`): \"8\""),
        (mix, "1,a,int8,8;65,kld;kld,tensor;tensor,-", "row 2, column 3 (`value_range_in_bits`): \"8;65\""),
        (
            mix,
            "1,a,int8,8;8,kld;kl,tensor;tensor,-",
            "row 2, column 4 (`saturation`): \"kld;kl\" is not kld, ems",
        ),
        (mix, "1,a,int8,8;8,kld;kld,tensor;group=0,-", "row 2, column 5 (`per`): \"tensor;group=0\""),
        (mix, "1,a,int8,8;8,kld;kld,tensor;tensor,x", "row 2, column 6 (`order`): \"x\""),
        (
            mix,
            "1,a,int8,8;8,kld;kld,tensor;tensor",
            "row 2: has 6 columns, `order` is looked for in column 6",
        ),
        (mix, "1,a,i,8;8,kld;kld,tensor;tensor,-\n1,a,i,8;8,kld;kld,tensor;tensor,-", "row 3: id 1"),
    ];
    let found = |read: &Reader<'_>, text| {
        read(text).map_or_else(|error| error.to_string(), |()| "accepted".to_owned())
    };
    let wrong: Vec<String> = table
        .iter()
        .map(|(read, text, expected)| (text, found(read, text), expected))
        .filter(|(_, found, expected)| !found.starts_with(**expected))
        .map(|(text, found, expected)| format!("{text:?}: {found}, expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Short rows whose runs are each allowed by their size, but not all together.
#[test]
fn run_lengths_are_limited_over_the_whole_file() {
    let text: String = (0..10_000).map(|id| format!("{id},1000000,,,1000000*1,0\n")).collect();
    let error = read_raws(&text, &Profile::Xir.raw_columns()).unwrap_err();
    assert!(matches!(error, CsvError::TooManyValues { row: 5, .. }), "{error}");
}

fn values(channels: usize) -> impl Strategy<Value = Vec<f32>> {
    let value = (0u32..0x7f80_0000).prop_map(f32::from_bits);
    proptest::sample::select(vec![0, 1, channels])
        .prop_flat_map(move |n| proptest::collection::vec(value.clone(), n))
}

fn exponents(channels: usize) -> impl Strategy<Value = Vec<i32>> {
    proptest::sample::select(vec![0, 1, channels])
        .prop_flat_map(|n| proptest::collection::vec(-127i32..=149, n))
}

fn any_raw() -> impl Strategy<Value = RawRow> {
    (1usize..6).prop_flat_map(|channels| {
        let vectors = (values(channels), values(channels), values(channels), exponents(channels));
        (any::<i64>(), vectors).prop_map(move |(id, (max, sat, scale, exp))| RawRow {
            id,
            size: vec![3, 3, 7, channels],
            max,
            sat,
            scale,
            exp,
        })
    })
}

fn different_ids<T>(mut rows: Vec<T>, id: impl Fn(&T) -> i64) -> Vec<T> {
    rows.sort_by_key(&id);
    rows.dedup_by_key(|row| id(row));
    rows
}

proptest! {
    #[test]
    fn what_is_written_reads_back(rows in proptest::collection::vec(any_raw(), 0..8)) {
        let rows = different_ids(rows, |row| row.id);
        for profile in [Profile::BuyiV2, Profile::Jdy, Profile::Xir] {
            let columns = profile.raw_columns();
            let text = write_raws(&rows, &columns);
            prop_assert!(!text.contains("  ") && !text.contains(" ,") && !text.contains(" \n"));
            prop_assert_eq!(&read_raws(&text, &columns).unwrap(), &rows);
            let ftmps: Vec<FtmpRow> = rows
                .iter()
                .cloned()
                .map(|RawRow { id, size, max, sat, scale, exp }| FtmpRow { id, size, norm_ratio: max.clone(), max, sat, scale, exp })
                .collect();
            let columns = profile.ftmp_columns();
            prop_assert_eq!(read_ftmps(&write_ftmps(&ftmps, &columns), &columns).unwrap(), ftmps);
        }
    }

    #[test]
    fn anything_is_survived(text in "([0-9x., *e\\[\\]-]|\n|nan){0,60}") {
        let _ = read_raws(&text, &Profile::Xir.raw_columns());
        let _ = read_ftmps(&text, &Profile::Jdy.ftmp_columns());
        let _ = read_mix_config(&text);
    }
}
