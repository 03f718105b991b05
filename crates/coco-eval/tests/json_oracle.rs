//! The readers against `serde_json` and against themselves: mutated files, numbers in every notation, windows
//! of every size, several threads.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

#[path = "support/json_tree.rs"]
mod json_tree;
#[path = "support/random.rs"]
mod random;

use std::path::PathBuf;

use coco_eval::{Detections, GroundTruth, InputPolicy, ReadLimits};
use json_tree::{Names, Row, Tree};
use random::Random;

const ANNOTATIONS: &str = r#"{"info":{"year":[1,{"a":null}],"b":true},"images":[{"id":3,"file_name":"\u00e9\ud83d\ude00.jpg","width":640.5},
{"id":-1}, {"file_name": null, "id": 7}],"licenses":[[],{},"},{"],
"categories":[{"id":1,"name":"größe","supercategory":"y"}],"annotations":[
{"id":11,"image_id":3,"category_id":1,"bbox":[1,2.25,3.5,4],"area":14,"iscrowd":false,"segmentation":[[1,2]],"ignore":1},
{"iscrowd":1,"area":2.5e1,"bbox":[0,0,5,5],"category_id":1,"image_id":-1,"segmentation":{"counts":[1,2],"size":[3,4]},"id":-9007199254740993}]}"#;

const RESULTS: &str = r#"[{"image_id":42,"category_id":18,"bbox":[258.15,41.29,348.26,243.78],"score":0.236},
{"image_id": 73, "category_id": 11, "bbox": [61.0, 22.75, 504, 609.67], "score": 0.318},
{"score":1e-3,"bbox":[-0.5,0.30000001192092896,1E2,7],"x":"\"},{\"","category_id":-4,"image_id":1},
{"image_id":42,"category_id":18,"bbox":[258.15,41.29,348.26,243.78],"score":0.5}]"#;

const TOKENS: [&str; 56] = [
    ",",
    ":",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    " ",
    "\n",
    "\t",
    "\r",
    "\u{b}",
    "\u{feff}",
    "null",
    "true",
    "false",
    "nul",
    "0",
    "-0",
    "-",
    "+1",
    "01",
    ".5",
    "1.",
    "0.0",
    "12345678",
    "1234567.5",
    "9.0071992547409935e15",
    "1e5",
    "1E+2",
    "1e",
    "4e-320",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "NaN",
    "Infinity",
    "1e400",
    "{}",
    "[]",
    "\"id\":5,",
    "\"\\u0069d\":7,",
    "\"score\":2,",
    "\"bbox\":[1,2,3,4],",
    "\"area\":-1,",
    "\"images\":[],",
    "\"annotations\":[],",
    "\"x\":[{\"y\":[]}],",
    "\\u00e9",
    "\\ud800",
    "\\ud83d\\ude00",
    "é",
    "{\"id\":1},",
    "\"file_name\":null,",
];

/// A good text with one to three faults or changes.
fn mutated(text: &str, random: &mut Random) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64) as usize;
        let end = bytes.len().min(at + random.below(40) as usize);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => drop(bytes.splice(at..at, random.pick(&TOKENS).bytes())),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// What `serde_json` makes of `bytes`; the inner `None` is a refusal, the outer one that it cannot tell.
///
/// It refuses numbers beyond f64 where the readers skip them.
fn oracle<T>(bytes: &[u8], read: fn(&Tree) -> Option<T>) -> Option<Option<T>> {
    match serde_json::from_slice::<Tree>(bytes) {
        Ok(tree) => Some(read(&tree)),
        Err(fault) if fault.to_string().contains("number out of range") => None,
        Err(_) => Some(None),
    }
}

fn rows_of_results(table: &Detections) -> Vec<Row> {
    let bits = |bbox: [f64; 4], score: f64| bbox.into_iter().chain([score]).map(f64::to_bits).collect();
    table.iter().map(|row| (vec![row.image_id, row.category_id], bits(row.bbox, row.score))).collect()
}

fn rows_of_annotations(table: &GroundTruth) -> (Names, Names, Vec<Row>) {
    let images = table.images().iter().map(|image| (image.id, image.file_name.clone())).collect();
    let categories = table.categories().iter().map(|category| (category.id, category.name.clone())).collect();
    let rows = (0..table.len()).filter_map(|row| table.get(row)).map(|row| {
        let ids = vec![row.id, row.image_id, row.category_id, i64::from(row.crowd)];
        (ids, row.bbox.into_iter().chain([row.area]).map(f64::to_bits).collect())
    });
    (images, categories, rows.collect())
}

fn policy(limits: ReadLimits) -> InputPolicy {
    InputPolicy { limits, ..InputPolicy::default() }
}

/// Rows or the message, through a window of `limits`.
fn results(bytes: &[u8], limits: ReadLimits) -> Result<Vec<Row>, String> {
    Detections::from_json(bytes, policy(limits))
        .map(|table| rows_of_results(&table))
        .map_err(|e| e.to_string())
}

fn streamed_results(bytes: &[u8], limits: ReadLimits) -> Result<Vec<Row>, String> {
    let read = Detections::from_json_reader(bytes, policy(limits));
    read.map(|table| rows_of_results(&table)).map_err(|e| e.to_string())
}

fn annotations(bytes: &[u8], limits: ReadLimits) -> Result<(Names, Names, Vec<Row>), String> {
    let read = GroundTruth::from_json(bytes, policy(limits));
    read.map(|table| rows_of_annotations(&table)).map_err(|e| e.to_string())
}

/// Compares a reader with `serde_json` on mutations of `text`, and with itself through small windows.
fn check_mutations<T: PartialEq + std::fmt::Debug>(
    text: &str,
    expected: fn(&Tree) -> Option<T>,
    read: fn(&[u8], ReadLimits) -> Result<T, String>,
) {
    let mut random = Random(1);
    let (mut faults, mut accepted, mut refused, mut unclear) = (Vec::new(), 0, 0, 0);
    for case in 0..30_000 {
        let bytes = mutated(text, &mut random);
        let found = read(&bytes, ReadLimits::DEFAULT);
        match oracle(&bytes, expected) {
            Some(expected) if expected.as_ref() != found.as_ref().ok() => {
                let shown = String::from_utf8_lossy(&bytes);
                faults.push(format!("case {case}: {found:?}, expected {expected:?} for {shown}"));
            }
            Some(Some(_)) => accepted += 1,
            Some(None) => refused += 1,
            None => unclear += 1,
        }
        let buffer_bytes = 1 + random.below(64) as usize;
        let small = read(&bytes, ReadLimits { buffer_bytes, ..ReadLimits::DEFAULT });
        if small != found {
            faults.push(format!("case {case}: {small:?} through {buffer_bytes} bytes, else {found:?}"));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults[..faults.len().min(5)].join("\n"));
    assert!(accepted > 800 && refused > 10_000 && unclear < 1000, "{accepted} {refused} {unclear}");
}

#[test]
fn mutated_annotations_are_read_as_by_serde_json() {
    check_mutations(ANNOTATIONS, json_tree::annotations, annotations);
}

#[test]
fn mutated_results_are_read_as_by_serde_json() {
    check_mutations(RESULTS, json_tree::results, results);
}

#[test]
fn mutated_results_are_streamed_as_by_serde_json() {
    check_mutations(RESULTS, json_tree::results, streamed_results);
}

#[test]
fn records_are_measured_the_same_through_every_window() {
    let mut random = Random(2);
    let mut too_long = 0;
    for _ in 0..5_000 {
        let record_bytes = 1 + random.below(200) as usize;
        let wide = ReadLimits { record_bytes, ..ReadLimits::DEFAULT };
        let narrow = ReadLimits { buffer_bytes: 1 + random.below(300) as usize, ..wide };
        let (first, second) = (mutated(ANNOTATIONS, &mut random), mutated(RESULTS, &mut random));
        assert_eq!(
            annotations(&first, wide),
            annotations(&first, narrow),
            "{record_bytes} {narrow:?} {}",
            String::from_utf8_lossy(&first)
        );
        let found = results(&second, wide);
        assert_eq!(found, streamed_results(&second, narrow));
        assert_eq!(found, results(&second, narrow));
        too_long += u32::from(found.is_err_and(|message| message.contains("longer than")));
    }
    assert!(too_long > 1000, "{too_long}");
}

/// A number in JSON notation.
fn random_number(random: &mut Random) -> String {
    let digits = |count: u64, random: &mut Random| -> String {
        (0..count).map(|_| char::from(b'0' + random.below(10) as u8)).collect()
    };
    let mut text = String::from(if random.one_in(4) { "-" } else { "" });
    let longest = random.pick(&[3, 8, 20, 400]);
    let whole = digits(1 + random.below(longest), random);
    let whole = whole.trim_start_matches('0');
    text += if whole.is_empty() { "0" } else { whole };
    if random.one_in(4) {
        return text + &format!("e{}", random.below(700) as i64 - 350);
    }
    if !random.one_in(5) {
        let longest = random.pick(&[3, 8, 25, 400]);
        text += ".";
        text += &digits(1 + random.below(longest), random);
    }
    if random.one_in(5) {
        text += random.pick(&["e", "E", "e+", "E-", "e-0"]);
        text += &digits(1 + random.below(3), random);
    }
    text
}

#[test]
fn numbers_are_rounded_as_by_the_standard_library() {
    let mut random = Random(3);
    let mut texts: Vec<String> = (0..100_000).map(|_| random_number(&mut random)).collect();
    for bits in (0..50_000).map(|_| random.next()) {
        let value = f64::from_bits(bits);
        if value.is_finite() {
            texts.extend([format!("{value:e}"), format!("{value}")]);
        }
    }
    // beyond 64 bits, where sums of digits wrap round to small ones
    texts.extend(
        ["18446744073709551617", "184467440737095516.17", "-18446744073709551620e-3"].map(String::from),
    );
    for whole in 0..1200 {
        texts.extend((0..30).map(|fraction| format!("{whole}.{fraction}")));
        texts.extend([format!("-{whole}.0625"), format!("{whole}")]);
    }
    let mut faults = Vec::new();
    for text in &texts {
        let end = random.pick(&["", " ", "\n", ",\"x\":0", "\t"]);
        let json = format!(
            r#"[{{"image_id":1,"category_id":1,"bbox":[{text},0{end_box},1,1],"score":{text}{end}}}]"#,
            end_box = end.trim_end_matches(",\"x\":0")
        );
        let expected = text.parse::<f64>().ok().filter(|value| value.is_finite()).map(f64::to_bits);
        let found = results(json.as_bytes(), ReadLimits { buffer_bytes: 4096, ..ReadLimits::DEFAULT }).ok();
        let found = found.map(|rows| (rows[0].1[0], rows[0].1[4]));
        if found != expected.map(|bits| (bits, bits)) {
            faults.push(format!("{text}: {found:?}, expected {expected:?}"));
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {}\n{}",
        faults.len(),
        texts.len(),
        faults[..faults.len().min(20)].join("\n")
    );
}

#[test]
fn integers_are_read_in_integer_notation_only() {
    let table = [
        ("0", Some(0)),
        ("7", Some(7)),
        ("-7", Some(-7)),
        ("1234567", Some(1_234_567)),
        ("12345678", Some(12_345_678)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("-0", None),
        ("00", None),
        ("01", None),
        ("+1", None),
        ("1.0", None),
        ("1e0", None),
        ("", None),
        ("-", None),
        ("0x1", None),
        ("1_0", None),
        ("\"1\"", None),
        ("true", None),
        ("null", None),
        ("[1]", None),
    ];
    for (text, expected) in table {
        let json = format!(r#"[{{"image_id":{text},"category_id":1,"bbox":[0,0,1,1],"score":1}}]"#);
        let found = results(json.as_bytes(), ReadLimits::DEFAULT).ok().map(|rows| rows[0].0[0]);
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn real_annotations_are_read_as_by_serde_json() {
    let Some(assets) = std::env::var_os("YOLO_ASSETS").map(PathBuf::from) else {
        println!("skipped: YOLO_ASSETS is not set");
        return;
    };
    let bytes = std::fs::read(assets.join("coco/instances_val206.json")).unwrap();
    let expected = oracle(&bytes, json_tree::annotations).unwrap().unwrap();
    assert!(expected.0.len() == 206 && expected.2.len() > 1000);
    for buffer_bytes in [1, 1000, 1 << 20] {
        let found = annotations(&bytes, ReadLimits { buffer_bytes, ..ReadLimits::DEFAULT }).unwrap();
        assert!(found == expected, "through {buffer_bytes} bytes");
    }
}

/// A results file with odd spacing, rows inside strings and unread fields, and at times a fault.
fn tricky_results(random: &mut Random) -> Vec<u8> {
    let row = |random: &mut Random| {
        format!(
            r#"{{"image_id":{},"category_id":1,"bbox":[{}.5,0,1,1],"score":0.{}}}"#,
            random.below(1000),
            random.below(1000),
            random.below(1000)
        )
    };
    let rows: Vec<String> = (0..random.below(300))
        .map(|_| {
            let (plain, decoy) = (row(random), row(random));
            let open = &plain[..plain.len() - 1];
            match random.below(12) {
                0 => format!(r#"{open},"caption":"a}},{{b }} , {{"}}"#),
                1 => format!(r#"{open},"caption":"}},{}"}}"#, decoy.replace('"', "\\\"")),
                2 => format!(r#"{open},"parts":[{{}},{decoy},{decoy}]}}"#),
                3 => format!(r#"{{"parts":[{decoy},{decoy},{decoy}],{}"#, &plain[1..]),
                4 if random.one_in(150) => plain.replace(".5", ".").to_string(),
                5 if random.one_in(150) => plain.replace("score", "scare"),
                6 if random.one_in(150) => plain.replace(",1,1]", ",1,-1]"),
                7 if random.one_in(300) => plain + "]",
                _ => plain,
            }
        })
        .collect();
    let mut text = String::from("[");
    for (index, row) in rows.iter().enumerate() {
        text += if index > 0 { random.pick(&[",", ",\n", " , ", "\n,\r\n\t"]) } else { "" };
        text += row;
    }
    text += random.pick(&["]", "]\n", "\n] ", "", "] x"]);
    text.into_bytes()
}

/// Without the feature `rayon` both readers are the same, but for the source.
#[test]
fn files_read_in_parts_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    let mut random = Random(4);
    let (mut sound, mut faulty) = (0, 0);
    for case in 0..3000 {
        let bytes = tricky_results(&mut random);
        let rows = if random.one_in(10) { random.below(200) as usize } else { 1 << 20 };
        let limits = ReadLimits { rows, ..ReadLimits::DEFAULT };
        let expected = streamed_results(&bytes, limits);
        let limits = ReadLimits { buffer_bytes: 1 + random.below(300) as usize, ..limits };
        assert_eq!(results(&bytes, limits), expected, "case {case}: {}", String::from_utf8_lossy(&bytes));
        if case % 10 == 0 {
            std::fs::write(&path, &bytes).unwrap();
            let found = Detections::from_json_file(&path, policy(limits));
            let found = found.map(|table| rows_of_results(&table)).map_err(|e| e.to_string());
            assert_eq!(found, expected, "case {case} from disk");
        }
        if expected.is_ok() { sound += 1 } else { faulty += 1 }
    }
    assert!(sound > 500 && faulty > 500, "{sound} sound, {faulty} faulty");
}
