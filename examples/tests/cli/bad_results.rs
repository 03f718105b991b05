//! Results, annotations, outcomes and options that `evaluate` and `compare` can't use.

use crate::rows::{Row, check};
use crate::support::{ANNOTATIONS, quantized, run, succeed, text};
use std::path::Path;

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    text(&path).to_owned()
}

/// A row per program, with a file in the place of one of its inputs.
fn rows_with(what: &str, annotations: &str, results: &str, says: &[&str]) -> [Row; 3] {
    let good = quantized().detections("float");
    let evaluate = ["--annotations", annotations, "--results", results];
    let first = ["--annotations", annotations, "--baseline", results, "--candidate", &good];
    let second = ["--annotations", annotations, "--baseline", &good, "--candidate", results];
    [
        Row::new(what, "evaluate", &evaluate, says),
        Row::new(what, "compare", &first, says),
        Row::new(what, "compare", &second, says),
    ]
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = text(&folder.path().join("missing.json")).to_owned();
    let broken = write(folder.path(), "broken.json", "[\n{\"image_id\": 1,\n\"bbox\": oops}]");
    let row = r#"[{"image_id": 987654, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]"#;
    let stranger = write(folder.path(), "stranger.json", row);
    let negative =
        write(folder.path(), "negative.json", &row.replace("987654", "1").replace("0, 1, 1", "0, -1, 1"));
    let good = quantized().detections("max");
    let rows = [
        rows_with("missing results", ANNOTATIONS, &missing, &[&missing, "No such file"]),
        rows_with("results that are not JSON", ANNOTATIONS, &broken, &[&broken, "line 3"]),
        rows_with("unknown image", ANNOTATIONS, &stranger, &[&stranger, "image id 987654", "index 0"]),
        rows_with("negative size", ANNOTATIONS, &negative, &[&negative, "`bbox`", "index 0"]),
        rows_with("missing annotations", &missing, &good, &[&missing, "No such file"]),
        rows_with("annotations that are results", &good, &good, &[&good]),
    ];
    check(&rows.into_iter().flatten().collect::<Vec<_>>(), folder.path());
}

#[test]
fn options_of_an_evaluation_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let good = quantized().detections("max");
    let words = write(folder.path(), "words.txt", "one two");
    let nowhere = text(&folder.path().join("nowhere.txt")).to_owned();
    let evaluate = ["--annotations", ANNOTATIONS, "--results", &good];
    let compare = ["--annotations", ANNOTATIONS, "--baseline", &good, "--candidate", &good];
    let shared: [(&str, &[&str], &[&str]); 8] = [
        ("too few caps", &["--max-dets", "1,10"], &["--max-dets 1,10"]),
        ("threshold", &["--iou-thresholds", "0.5,1.5"], &["--iou-thresholds 1.5"]),
        ("area", &["--area", "tiny"], &["--area tiny"]),
        ("area ends", &["--area", "tiny=9..1"], &["--area tiny=9..1"]),
        ("image", &["--images-subset", "987654"], &["--images-subset 987654"]),
        ("list of images", &["--images-subset", &words], &["--images-subset", &words]),
        ("missing list", &["--images-subset", &nowhere], &[&nowhere, "No such file"]),
        ("category", &["--categories", "unicorn"], &["--categories unicorn"]),
    ];
    let mut rows = Vec::new();
    for (what, options, says) in shared {
        rows.push(Row::new(what, "evaluate", &[&evaluate[..], options].concat(), says));
        rows.push(Row::new(what, "compare", &[&compare[..], options].concat(), says));
    }
    let own: [(&str, &[&str], &[&str]); 7] = [
        ("shard", &["--shard", "3/2"], &["--shard 3/2"]),
        ("shard", &["--shard", "0/2"], &["--shard 0/2"]),
        ("extension", &["--pr-curve", "curve.pdf"], &["--pr-curve curve.pdf", ".svg or .png"]),
        ("no extension", &["--pr-curve", "curve"], &["--pr-curve curve"]),
        ("overlap", &["--confusion", "c.csv", "--iou", "0"], &["--iou 0"]),
        ("score", &["--confusion", "c.csv", "--score", "NaN"], &["--score NaN"]),
        ("no annotations", &[], &["--annotations", "YOLO_ASSETS"]),
    ];
    for (what, options, says) in own {
        let base = if options.is_empty() { &evaluate[2..] } else { &evaluate[..] };
        rows.push(Row::new(what, "evaluate", &[base, options].concat(), says));
    }
    let own: [(&str, &[&str], &[&str]); 5] = [
        ("tolerance", &["--tolerance", "-0.1"], &["--tolerance -0.1"]),
        ("tolerance", &["--tolerance", "NaN"], &["--tolerance NaN"]),
        ("confidence", &["--confidence", "1"], &["--confidence 1"]),
        ("confidence", &["--confidence", "-1"], &["--confidence -1"]),
        ("samples", &["--samples", "1"], &["--samples 1"]),
    ];
    for (what, options, says) in own {
        rows.push(Row::new(what, "compare", &[&compare[..], options].concat(), says));
    }
    check(&rows, folder.path());
}

#[test]
fn ids_that_occur_twice_are_refused_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let case = "fixtures/coco/ids_zero_and_duplicate";
    let (truth, results) = (format!("{case}/gt.json"), format!("{case}/dt.json"));
    let arguments = ["--annotations", &truth, "--results", &results, "--policy", "strict"];
    check(&[Row::new("duplicate id", "evaluate", &arguments, &[&truth, "repeats the id"])], folder.path());
}

#[test]
fn outcomes_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let good = quantized().detections("max");
    let save = |name: &str, options: &[&str]| {
        let files = ["--annotations", ANNOTATIONS, "--results", &good, "--save-outcomes"];
        succeed("evaluate", &[&files[..], &[&path(name)], options].concat());
        path(name)
    };
    let (first, second) = (save("first", &["--shard", "1/2"]), save("second", &["--shard", "2/2"]));
    let other = save("other", &["--shard", "2/2", "--max-dets", "1,2,3"]);
    let text = std::fs::read_to_string(&first).unwrap();
    let cut = write(folder.path(), "cut", &text[..text.len() / 2]);
    let damaged = write(folder.path(), "damaged", &text.replacen("\"ranks\":[0", "\"ranks\":[7", 1));
    let missing = path("missing");
    let rows = [
        Row::new(
            "the same part twice",
            "evaluate",
            &["--merge", &first, &second, &first],
            &["image id", "more than one"],
        ),
        Row::new("other parameters", "evaluate", &["--merge", &first, &other], &["the parameters differ"]),
        Row::new("cut off", "evaluate", &["--merge", &cut], &[&cut, "--save-outcomes"]),
        Row::new(
            "damaged",
            "evaluate",
            &["--merge", &first, &damaged],
            &[&damaged, "ranks on an image with gaps"],
        ),
        Row::new("results", "evaluate", &["--merge", &good], &[&good, "--save-outcomes"]),
        Row::new("missing", "evaluate", &["--merge", &first, &missing], &[&missing, "No such file"]),
    ];
    check(&rows, folder.path());
}

#[test]
fn outputs_are_checked_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let taken = write(folder.path(), "taken", "mine");
    let below = format!("{taken}/below/x.csv");
    let directory = text(&folder.path().join("folder.csv")).to_owned();
    std::fs::create_dir(&directory).unwrap();
    // annotations that do not exist show that outputs were looked at first
    let evaluate = ["evaluate", "--annotations", "missing.json", "--results", "missing.json"];
    let compare = [
        "compare",
        "--annotations",
        "missing.json",
        "--baseline",
        "missing.json",
        "--candidate",
        "missing.json",
    ];
    for (program, option) in [
        (&evaluate[..], "--pr-curve"),
        (&evaluate, "--confusion"),
        (&evaluate, "--save-outcomes"),
        (&compare, "--csv"),
    ] {
        for (output, named) in [(&below, &taken), (&directory, &directory)] {
            let ended = run(program[0], &[&program[1..], &[option, output]].concat());
            assert_eq!(ended.code, Some(2), "{option}: {}", ended.stderr);
            assert!(
                ended.stderr.starts_with("error: ") && ended.stderr.lines().count() == 1,
                "{}",
                ended.stderr
            );
            assert_eq!(ended.stderr.matches(named.as_str()).count(), 1, "{option}: {}", ended.stderr);
        }
    }
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "mine");
}

#[test]
fn outputs_never_replace_inputs_or_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(folder.path(), "input.json", "[]");
    let detour =
        format!("{}/../{}/input.json", text(folder.path()), folder.path().file_name().unwrap().display());
    let csv = text(&folder.path().join("new.csv")).to_owned();
    let evaluate = ["--annotations", ANNOTATIONS, "--results", &input];
    let compare = ["--annotations", ANNOTATIONS, "--baseline", &input, "--candidate", &input];
    let rows: [(&str, &[&str], &[&str], &str); 4] = [
        ("evaluate", &evaluate, &["--save-outcomes", &input], &input),
        ("evaluate", &evaluate, &["--confusion", &detour], &detour),
        ("evaluate", &evaluate, &["--confusion", &csv, "--pr-curve", &csv], &csv),
        ("compare", &compare, &["--csv", &input], &input),
    ];
    for (program, files, options, named) in rows {
        let ended = run(program, &[files, options].concat());
        let expected = format!("error: {named}: is also an input or another output; name another file\n");
        assert_eq!((ended.code, ended.stderr), (Some(2), expected), "{program} {options:?}");
    }
    assert_eq!(std::fs::read_to_string(&input).unwrap(), "[]");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
