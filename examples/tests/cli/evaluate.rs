//! `evaluate` on the cases in `fixtures/coco`, the demonstration, and the assets' results.

use crate::support::{
    ANNOTATIONS, assets_pair, quantized, read_json, run, succeed, succeed_json, text, workspace,
};
use serde_json::Value;
use std::collections::BTreeSet;

const CASES: &str = "fixtures/coco";

/// Arguments for a case.
fn case(name: &str) -> Vec<String> {
    let expected = read_json(&workspace().join(format!("{CASES}/{name}/expected.json")));
    let file = |file: &str| format!("{CASES}/{name}/{file}");
    let mut arguments =
        vec!["--annotations".to_owned(), file("gt.json"), "--results".to_owned(), file("dt.json")];
    arguments.extend(["--policy", "pycocotools"].map(str::to_owned));
    if let Some(caps) = expected["params"]["overrides"]["maxDets"].as_array() {
        let caps: Vec<String> = caps.iter().map(Value::to_string).collect();
        arguments.extend(["--max-dets".to_owned(), caps.join(",")]);
    }
    arguments
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn figures_and_arrays_are_pycocotools() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(workspace().join(CASES)).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let expected = read_json(&path.join("expected.json"));
        let report = succeed_json("evaluate", &borrowed(&case(name)));
        let mut compare = |what: &str, found: &Value, expected: &Value| {
            if found != expected {
                wrong.push(format!("{name}, {what}: {found}, not {expected}"));
            }
        };
        compare("stats", &report["stats"], &expected["stats"]);
        for (array, expected) in expected["arrays"].as_object().unwrap() {
            for key in ["shape", "sha256"] {
                compare(array, &report["arrays"][array][key], &expected[key]);
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 15);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lines_are_pycocotools() {
    let printed = succeed("evaluate", &borrowed(&case("many_dets_300")));
    let stats = read_json(&workspace().join(format!("{CASES}/many_dets_300/expected.json")))["stats"].clone();
    let stat = |i: usize| format!("{:.3}", stats[i].as_f64().unwrap());
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 12);
    let expected = [
        (0, format!(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = {}", stat(0))),
        (1, format!(" Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=300 ] = {}", stat(1))),
        (4, format!(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=medium | maxDets=300 ] = {}", stat(4))),
        (6, format!(" Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = {}", stat(6))),
        (9, format!(" Average Recall     (AR) @[ IoU=0.50:0.95 | area= small | maxDets=300 ] = {}", stat(9))),
    ];
    let wrong: Vec<_> = expected.iter().filter(|(at, line)| lines[*at] != line).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{printed}");
    assert!(lines[0].ends_with("= -1.000"), "{printed}");
}

#[test]
fn strange_ids_are_warned_of() {
    let ended = run("evaluate", &borrowed(&case("ids_zero_and_duplicate")));
    let warnings: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!((ended.code, warnings.len()), (Some(0), 2), "{}", ended.stderr);
    assert!(warnings[0].starts_with("warning: ") && warnings[0].contains("more than once"), "{warnings:?}");
    assert!(warnings[1].starts_with("warning: ") && warnings[1].contains("the id 0"), "{warnings:?}");
}

/// Arguments for the demonstration's detections by the network `max`.
fn demonstration() -> [String; 4] {
    ["--annotations", ANNOTATIONS, "--results", &quantized().detections("max")].map(str::to_owned)
}

#[test]
fn merged_parts_equal_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let options = ["--max-dets", "1,5,100", "--area", "tiny=0..400"];
    let all = demonstration();
    let all = [&borrowed(&all)[..], &options].concat();
    let save = |name: &str, options: &[&str]| {
        let ended = run("evaluate", &[&all[..], options, &["--save-outcomes", &path(name)]].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("outcomes on"), "{}", ended.stderr);
        ended.stdout
    };
    for part in 1..=30 {
        let printed = save(&format!("thirty-{part}"), &["--shard", &format!("{part}/30")]);
        assert!(printed.is_empty(), "{printed}");
    }
    ["1/3", "2/3", "3/3"]
        .iter()
        .for_each(|part| _ = save(&format!("three-{}", &part[..1]), &["--shard", part]));
    let whole = save("whole", &[]);
    let mut expected = succeed_json("evaluate", &all);
    assert!(expected.as_object_mut().unwrap().remove("detections").unwrap().as_u64() > Some(0));
    let two = [path("three-3"), path("three-1")];
    succeed("evaluate", &[&["--merge"], &borrowed(&two)[..], &["--save-outcomes", &path("two")]].concat());
    let thirty: Vec<String> = (1..=30).rev().map(|part| path(&format!("thirty-{part}"))).collect();
    let sets = [thirty, vec![path("three-2"), path("two")], vec![path("whole")]];
    for parts in sets {
        let merge = [&["--merge"], &borrowed(&parts)[..]].concat();
        assert_eq!(succeed("evaluate", &merge), whole, "{parts:?}");
        assert_eq!(succeed_json("evaluate", &merge), expected, "{parts:?}");
    }
    let named = ["--merge", &path("two"), "--annotations", ANNOTATIONS, "--per-class"];
    let ended = run("evaluate", &named);
    assert!(ended.stderr.contains("13 images of the annotations are in none"), "{}", ended.stderr);
    let name = read_json(&workspace().join(ANNOTATIONS))["categories"][0]["name"].clone();
    assert!(ended.stdout.contains(name.as_str().unwrap()), "{}", ended.stdout);
}

#[test]
fn threads_and_saving_change_nothing() {
    let all = demonstration();
    let all = borrowed(&all);
    let folder = tempfile::tempdir().unwrap();
    let saved = text(&folder.path().join("below/outcomes.json")).to_owned();
    let expected = succeed_json("evaluate", &all);
    for options in [["--threads", "1"], ["--threads", "3"], ["--save-outcomes", &saved]] {
        assert_eq!(succeed_json("evaluate", &[&all[..], &options].concat()), expected, "{options:?}");
    }
}

#[test]
fn categories_are_listed_by_id_or_by_precision() {
    let all = demonstration();
    let all = [&borrowed(&all)[..], &["--per-class"]].concat();
    let rows = |options: &[&str]| {
        let report = succeed_json("evaluate", &[&all[..], options].concat());
        let rows = report["per_category"].as_array().unwrap().clone();
        let of = |key: &str| rows.iter().map(|row| row[key].as_f64().unwrap()).collect::<Vec<_>>();
        (of("category_id"), of("ap"), report["stats"][0].as_f64().unwrap())
    };
    let (ids, precisions, mean) = rows(&[]);
    assert!(ids.len() == 6 && ids.is_sorted(), "{ids:?}");
    assert!((precisions.iter().sum::<f64>() / 6.0 - mean).abs() < 1e-12, "{precisions:?}");
    let (_, falling, _) = rows(&["--sort", "ap"]);
    assert!(falling.is_sorted_by(|a, b| a >= b), "{falling:?}");
    let table = succeed("evaluate", &all);
    let precision = |line| table.lines().nth(line).unwrap().split_whitespace().nth(2).unwrap();
    let expected = [0, 1].map(|category| format!("{:.4}", precisions[category]));
    assert_eq!([precision(14), precision(15)], expected, "{table}");
}

#[test]
fn subsets_leave_the_rest_out() {
    let all = demonstration();
    let all = borrowed(&all);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("ids.txt");
    let annotations = read_json(&workspace().join(ANNOTATIONS));
    let ids: Vec<String> = (0..5).map(|i| annotations["images"][i]["id"].to_string()).collect();
    std::fs::write(&list, ids.join("\n")).unwrap();
    let report = |options: &[&str]| succeed_json("evaluate", &[&all[..], options].concat());
    let (by_file, by_ids) =
        (report(&["--images-subset", text(&list)]), report(&["--images-subset", &ids.join(",")]));
    assert_eq!(by_file, by_ids);
    assert_eq!(by_file["images"], 5);
    let category = &annotations["categories"][1];
    let by_name = report(&["--categories", category["name"].as_str().unwrap()]);
    assert_eq!(by_name, report(&["--categories", &category["id"].to_string()]));
    assert_eq!(by_name["arrays"]["recall"]["shape"], serde_json::json!([10, 1, 4, 3]));
    let pooled = report(&["--class-agnostic", "--iou-thresholds", "0.5,0.75", "--per-class"]);
    assert_eq!(pooled["arrays"]["recall"]["shape"], serde_json::json!([2, 1, 4, 3]));
    assert_eq!(pooled["per_category"][0]["name"], "all as one");
}

#[test]
fn an_area_range_of_ones_own_is_measured_beside_the_others() {
    let all = demonstration();
    let all = borrowed(&all);
    // the same range under another name has the same figures
    let options = ["--area", "another=0..1024", "--area", "none=1e11..1e12"];
    let report = succeed_json("evaluate", &[&all[..], &options].concat());
    assert_eq!(report["areas"][0]["ap"], report["stats"][3]);
    assert_eq!(report["areas"][0]["ar"], report["stats"][9]);
    assert_eq!(report["areas"][1]["ap"], -1.0);
    let lines = succeed("evaluate", &[&all[..], &options].concat());
    assert_eq!(lines.lines().count(), 16);
    assert!(lines.lines().nth(12).unwrap().contains("| area=another |"), "{lines}");
}

#[test]
fn curves_are_tables_or_drawings() {
    let all = demonstration();
    let all = borrowed(&all);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, options: &[&str]| {
        let path = folder.path().join(name);
        succeed("evaluate", &[&all[..], &["--pr-curve", text(&path)], options].concat());
        std::fs::read(path).unwrap()
    };
    let write_text = |name: &str, options: &[&str]| String::from_utf8(write(name, options)).unwrap();
    let mean = write_text("mean.csv", &[]);
    let rows: Vec<Vec<&str>> = mean.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len()), (102, 11));
    assert_eq!(
        (rows[0][0], rows[0][1], rows[0][9], rows[0][10]),
        ("recall", "iou_0.50", "iou_0.90", "iou_0.95")
    );
    let number = |text: &str| text.parse::<f64>().unwrap();
    let stats = succeed_json("evaluate", &all)["stats"].clone();
    let column = |c: usize| rows[1..].iter().map(|row| number(row[c])).sum::<f64>() / 101.0;
    assert!((column(1) - stats[1].as_f64().unwrap()).abs() < 1e-12, "AP50 is the mean of its curve");
    let long = write_text("long.csv", &["--per-class"]);
    assert_eq!(long.lines().count(), 1 + 6 * 10 * 101);
    assert_eq!(long.lines().next().unwrap(), "category_id,category,iou_threshold,recall,precision,score");
    assert!(long.lines().all(|line| line.split(',').count() == 6), "{long}");
    let drawing = write_text("curve.SVG", &[]);
    let lines =
        drawing.lines().filter(|line| line.starts_with("<polyline") && line.contains("stroke-width=\"2\""));
    assert_eq!((lines.count(), drawing.matches("\nIoU 0.").count()), (10, 10), "{drawing}");
    assert!(drawing.contains(&format!("AP {:.4}", stats[0].as_f64().unwrap())), "{drawing}");
    assert!(drawing.starts_with("<svg ") && drawing.ends_with("</svg>\n") && !drawing.contains("NaN"));
    let pixels = image::load_from_memory(&write("curve.png", &[])).unwrap().into_rgb8();
    assert_eq!(pixels.dimensions(), (1080, 720));
    let colours: BTreeSet<_> = pixels.pixels().map(|p| p.0).filter(|[r, g, b]| r != g || g != b).collect();
    assert!(colours.len() >= 10, "each line has its colour: {colours:?}");
}

#[test]
fn errors_and_confusions_add_up() {
    let all = demonstration();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confusion.csv");
    // the categories with objects, since TIDE counts one with detections alone as 0
    let rows =
        succeed_json("evaluate", &[&borrowed(&all)[..], &["--per-class"]].concat())["per_category"].clone();
    let found = rows.as_array().unwrap().iter().filter(|row| row["positives"] != 0);
    let ids = found.map(|row| row["category_id"].to_string()).collect::<Vec<_>>().join(",");
    let options =
        ["--categories", &ids, "--tide", "--confusion", text(&path), "--score", "0.3", "--iou", "0.6"];
    let all = [&borrowed(&all)[..], &options].concat();
    let report = succeed_json("evaluate", &all);
    assert!((report["tide"]["ap"].as_f64().unwrap() - report["stats"][1].as_f64().unwrap()).abs() < 0.01);
    assert_eq!(report["tide"]["errors"].as_object().unwrap().len(), 6);
    assert_eq!((&report["confusion"]["iou"], &report["confusion"]["score"]), (&0.6.into(), &0.3.into()));
    let table = std::fs::read_to_string(&path).unwrap();
    let objects: u64 = report["confusion"]["categories"][0]["objects"].as_u64().unwrap();
    let first: u64 =
        table.lines().nth(1).unwrap().split(',').skip(1).map(|n| n.parse::<u64>().unwrap()).sum();
    assert_eq!(first, objects, "{table}");
    let printed = succeed("evaluate", &all);
    assert!(["AP at IoU 0.5", "Dupe", "FalseNeg"].iter().all(|word| printed.contains(word)), "{printed}");
}

#[test]
fn the_assets_have_their_published_figures() {
    let Some([annotations, float, quantized]) = assets_pair() else { return };
    for results in [float, quantized] {
        let published =
            std::fs::read_to_string(results.replace("predictions.json", "pycocotools.txt")).unwrap();
        let arguments = ["--annotations", &annotations, "--results", &results];
        let printed = succeed("evaluate", &arguments);
        assert!(published.starts_with(&printed), "{results}:\n{printed}");
        let stats = published.lines().find_map(|line| line.strip_prefix("stats=")).unwrap();
        let stats: Value = serde_json::from_str(stats).unwrap();
        assert_eq!(succeed_json("evaluate", &arguments)["stats"], stats, "{results}");
    }
}
