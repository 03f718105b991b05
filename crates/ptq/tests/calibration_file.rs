//! Calibration files: merging does not depend on order or split, and files that can't be right are refused.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers are test code too

use proptest::prelude::*;
use ptq::{
    CalibrationFile, CalibrationFileError, CalibrationImage, CalibrationManifest, Collection,
    PlacementOptions, Statistics,
};
use serde_json::{Value, json};

fn manifest() -> CalibrationManifest {
    CalibrationManifest {
        tool_version: "0.1.0".to_owned(),
        model: "small".to_owned(),
        model_sha256: "0a".repeat(32),
        architecture_sha256: "1b".repeat(32),
        preprocessing: "none".to_owned(),
        size: [8, 4],
        ties: PlacementOptions::default().into(),
    }
}

/// What a network that gives two tensors tells of images; an image is the four values of each.
fn collect(images: &[(usize, [f32; 4])]) -> CalibrationFile {
    let mut tensors = [("a", Statistics::default()), ("b", Statistics::default())];
    for (_, values) in images {
        tensors[0].1.observe(values);
        tensors[1].1.observe(&values.map(|value| value * -3.0));
    }
    let image = |(index, values): &(usize, [f32; 4])| CalibrationImage {
        name: format!("{index}.png"),
        sha256: format!("{index:064x}"),
        maxima: [1.0, -3.0]
            .map(|factor| {
                values.iter().map(|v| (v * factor).abs()).filter(|v| v.is_finite()).fold(0.0, f32::max)
            })
            .to_vec(),
    };
    let collection: Collection = tensors.into_iter().map(|(name, s)| (name.to_owned(), s)).collect();
    CalibrationFile::new(manifest(), images.iter().map(image).collect(), 1, collection).unwrap()
}

fn two_images() -> [CalibrationFile; 2] {
    [collect(&[(0, [1.0, 0.0, -2.0, 0.5])]), collect(&[(1, [0.25, 3.0, 4.0, -0.125])])]
}

proptest! {
    #[test]
    fn merged_bytes_depend_neither_on_order_nor_on_split(
        values in prop::collection::vec(prop::array::uniform4(prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::SUBNORMAL), 2..12),
        part_of in prop::collection::vec(0usize..4, 12),
    ) {
        let images: Vec<(usize, [f32; 4])> = values.into_iter().enumerate().collect();
        let part = |number: usize| images.iter().filter(|i| part_of[i.0] == number).copied().collect::<Vec<_>>();
        let parts: Vec<_> = (0..4).map(part).filter(|part| !part.is_empty()).map(|part| collect(&part)).collect();
        let merged = CalibrationFile::merge(parts.clone()).unwrap();
        let backwards = CalibrationFile::merge(parts.iter().rev().cloned()).unwrap();
        prop_assert_eq!(merged.to_json().unwrap(), backwards.to_json().unwrap());
        prop_assert_eq!(merged.images_skipped(), parts.len() as u64);
        let whole = collect(&images);
        prop_assert_eq!(merged.collection(), whole.collection());
        prop_assert_eq!(merged.images(), whole.images());
        // Part of the parts first, by way of files.
        let (first, rest) = parts.split_at(parts.len() / 2 + 1);
        let step = CalibrationFile::merge(first.iter().cloned()).unwrap();
        let step = CalibrationFile::from_json(step.to_json().unwrap().as_bytes()).unwrap();
        let stepwise = CalibrationFile::merge(rest.iter().cloned().chain([step])).unwrap();
        prop_assert_eq!(stepwise.to_json().unwrap(), merged.to_json().unwrap());
    }

    #[test]
    fn damaged_bytes_never_panic(place in 0usize..4000, byte in any::<u8>()) {
        let mut bytes = two_images()[0].to_json().unwrap().into_bytes();
        // What lacks only the last line feed is whole.
        let place = place % (bytes.len() - 1);
        bytes[place] = byte;
        if let Ok(file) = CalibrationFile::from_json(&bytes) {
            let text = file.to_json().unwrap();
            prop_assert_eq!(CalibrationFile::from_json(text.as_bytes()).unwrap(), file);
        }
        prop_assert!(CalibrationFile::from_json(&bytes[..place]).is_err());
    }
}

#[test]
fn bins_are_written_in_runs() {
    let text = two_images()[0].to_json().unwrap();
    let tensor = r#"{"name":"a","statistics":{"count":4,"zeros":1,"nan":0,"infinite":0,"bounds":[-2.0,1.0],"sum":[-0.5],"squares":[5.25],"#;
    let histogram =
        r#""histogram":{"exponent":2,"positive":[[0,[1]],[512,[1]],[1024,[1]]],"negative":[[2048,[1]]]}}}"#;
    assert!(text.contains(&format!("    {tensor}{histogram},\n")), "{text}");
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let [one, two] = two_images();
    let changed = |change: fn(&mut CalibrationManifest)| {
        let mut manifest = manifest();
        change(&mut manifest);
        CalibrationFile::new(manifest, two.images().to_vec(), 0, two.collection().clone()).unwrap()
    };
    let fewer: Collection =
        two.collection().iter().take(1).map(|(name, s)| (name.to_owned(), s.clone())).collect();
    let mut fewer_maxima = two.images().to_vec();
    fewer_maxima[0].maxima.truncate(1);
    let fewer = CalibrationFile::new(manifest(), fewer_maxima, 0, fewer).unwrap();
    let rows = [
        (one.clone(), "the images 0.png and 0.png"),
        (fewer, "the tensor b"),
        (changed(|m| m.model_sha256 = "2c".repeat(32)), "different model sha256: 0a0a"),
        (changed(|m| m.architecture_sha256 = "2c".repeat(32)), "different architecture"),
        (changed(|m| m.size = [4, 8]), "different input size: 8x4 and 4x8"),
        (changed(|m| m.preprocessing = "grey".to_owned()), "different preprocessing"),
        (changed(|m| m.ties.concat = ptq::ConcatPolicy::Tie), "concat policy: tie-exclusive and tie"),
        (changed(|m| m.ties.tie_add = true), "tie_add: false and true"),
        (changed(|m| m.model = "other".to_owned()), "model name: small and other"),
        (changed(|m| m.tool_version = "9".to_owned()), "tool version: 0.1.0 and 9"),
    ];
    let wrong = rows.into_iter().filter_map(|(part, says)| {
        let found = CalibrationFile::merge([one.clone(), part]).err().map(|e| e.to_string());
        (!found.as_ref().is_some_and(|text| text.contains(says))).then(|| format!("{says}: {found:?}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(matches!(CalibrationFile::merge([]), Err(CalibrationFileError::Empty { what: "parts" })));
    assert!(CalibrationFile::merge([one, two]).is_ok());
}

#[test]
fn a_file_for_another_model_says_so() {
    let [one, _] = two_images();
    let mut wanted = manifest();
    (wanted.model, wanted.tool_version) = ("renamed".to_owned(), "9".to_owned());
    one.check(&wanted, one.collection()).unwrap();
    wanted.model_sha256 = "2c".repeat(32);
    let message = one.check(&wanted, one.collection()).unwrap_err().to_string();
    let expected = format!(
        "made for model sha256 {}, this one is {}; calibrate again",
        "0a".repeat(32),
        "2c".repeat(32)
    );
    assert_eq!(message, expected);
}

#[test]
fn tensors_have_to_be_those_of_the_placement() {
    let [one, _] = two_images();
    let named = |names: &[&str]| -> Collection {
        names.iter().map(|name| ((*name).to_owned(), Statistics::default())).collect()
    };
    let rows = [
        (&["a", "b"][..], None),
        (&["a", "b", "c"], Some("has no statistics of the tensor c, which the model needs; calibrate again")),
        (&["b"], Some("has statistics of the tensor a, for which this model has no use; calibrate again")),
        (&["a", "x"], Some("has no statistics of the tensor x, which the model needs; calibrate again")),
    ];
    for (names, expected) in rows {
        let found = one.check(&manifest(), &named(names)).err().map(|e| e.to_string());
        assert_eq!(found.as_deref(), expected, "{names:?}");
    }
}

#[test]
fn a_content_counts_once_whatever_its_name() {
    let [one, two] = two_images();
    let mut renamed = two.images().to_vec();
    renamed[0].sha256.clone_from(&one.images()[0].sha256);
    let renamed = CalibrationFile::new(manifest(), renamed, 0, two.collection().clone()).unwrap();
    let message = CalibrationFile::merge([one, renamed]).unwrap_err().to_string();
    assert!(message.contains("images 0.png and 1.png have the same content (sha256 0000"), "{message}");
}

#[test]
fn more_tensors_than_networks_have_are_refused_before_they_take_memory() {
    let mut file: Value = serde_json::from_str(&two_images()[0].to_json().unwrap()).unwrap();
    let tensor = file["tensors"][0].clone();
    let numbered = |number: usize| {
        let mut tensor = tensor.clone();
        tensor["name"] = json!(number.to_string());
        tensor
    };
    file["tensors"] = (0..4097).map(numbered).collect();
    let message = CalibrationFile::from_json(file.to_string().as_bytes()).unwrap_err().to_string();
    assert_eq!(message, "there are 4097 tensors, but a file holds at most 4096; is it damaged?");
}

#[test]
fn files_that_cannot_be_right_are_refused() {
    let text = two_images()[0].to_json().unwrap();
    let good: Value = serde_json::from_str(&text).unwrap();
    let twice = json!([good["images"][0], good["images"][0]]);
    let doubled = json!([good["tensors"][0], good["tensors"][0]]);
    let rows: [(&str, Value, &str); 21] = [
        ("/images/0/maxima", json!([2.0]), "the image 0.png has 1 maxima, but there are 2 tensors"),
        ("/images/0/maxima/0", json!(1.5), "a: the images' maxima reach 1.5, the bounds 2,"),
        ("/images/0/maxima/1", json!(1e39), "number out of range"),
        ("/images/0/maxima/1", json!(-6.0), "b: the images' maxima reach 0, the bounds 6,"),
        ("/images/0/maxima", json!({}), "not a calibration file"),
        ("/format_version", json!(2), "version 2"),
        ("/format_version", json!("1"), "not a calibration file"),
        ("/manifest/model_sha256", json!("abc"), "model_sha256 is \"abc\""),
        ("/manifest/architecture_sha256", json!("X".repeat(64)), "architecture_sha256"),
        ("/manifest/size", json!([0, 4]), "size is \"[0, 4]\""),
        ("/manifest/size", json!([4, 1 << 20]), "size"),
        ("/manifest", json!({}), "missing field"),
        ("/images", json!([]), "no images"),
        ("/images", twice, "0.png"),
        ("/images/0/sha256", json!(""), "an image's sha256"),
        ("/images_skipped", json!(-1), "not a calibration file"),
        ("/tensors", json!([]), "no tensors"),
        ("/tensors", doubled, "the tensor a is there more than once"),
        ("/tensors/0/statistics/count", json!(5), "a: the histogram has 4 values, but 5 are finite"),
        ("/tensors/1/statistics/histogram/positive/0/0", json!(4096), "b: a run of 1 counts at bin 4096"),
        ("/tensors/0/name", json!(7), "not a calibration file"),
    ];
    let refuses = |value: &Value| CalibrationFile::from_json(value.to_string().as_bytes()).err();
    assert!(refuses(&good).is_none());
    let wrong = rows.iter().filter_map(|(place, value, says)| {
        let mut changed = good.clone();
        *changed.pointer_mut(place).unwrap() = value.clone();
        let found = refuses(&changed).map(|e| e.to_string());
        (!found.as_ref().is_some_and(|t| t.contains(says))).then(|| format!("{place}: {found:?}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn counts_beyond_the_format_are_refused_and_do_not_overflow() {
    let half = 1u64 << 52;
    let part = |index: usize| {
        let file = collect(&[(index, [1.0; 4])]);
        let text = file.to_json().unwrap();
        let text = text.replace("\"count\":4", &format!("\"count\":{half}"));
        let (one, nine) = (half as f64, half as f64 * 9.0);
        let text =
            text.replace("\"sum\":[4.0],\"squares\":[4.0]", &format!("\"sum\":[{one}],\"squares\":[{one}]"));
        let three = half as f64 * -3.0;
        let text = text.replace(
            "\"sum\":[-12.0],\"squares\":[36.0]",
            &format!("\"sum\":[{three}],\"squares\":[{nine}]"),
        );
        CalibrationFile::from_json(text.replace("[4]", &format!("[{half}]")).as_bytes()).unwrap()
    };
    let message = CalibrationFile::merge((0..3).map(part)).unwrap_err().to_string();
    assert_eq!(message, "a: more than 2^53 values; the file is damaged, calibrate again");
}

#[test]
fn values_have_to_come_from_the_images() {
    let file = collect(&[(0, [1.0; 4]), (1, [2.0; 4]), (2, [3.0; 4])]);
    let listed = |count: usize| -> Vec<CalibrationImage> {
        let maxima = vec![3.0, 9.0];
        let image = |i| CalibrationImage {
            name: format!("{i}.png"),
            sha256: format!("{i:064x}"),
            maxima: maxima.clone(),
        };
        (0..count).map(image).collect()
    };
    let with = |count| CalibrationFile::new(manifest(), listed(count), 0, file.collection().clone());
    assert!(with(2).is_ok(), "12 values of 2 images");
    let message = with(5).unwrap_err().to_string();
    assert!(message.starts_with("a: 12 values can't come from 5 images of one size"), "{message}");
}
