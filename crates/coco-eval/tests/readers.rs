//! Hostile and odd input: errors that say where, no panic, and files that read back as written.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

use coco_eval::{Detection, Detections, EvalParams, GroundTruth, InputPolicy, evaluate};

const GOOD: &str = r#"{"info":{"year":[1,{"a":null}]},"images":[{"id":3,"file_name":"a.jpg","width":640.5},{"id":-1}],
"categories":[{"id":1,"name":"x","supercategory":"y"}],"annotations":[
{"id":11,"image_id":3,"category_id":1,"bbox":[1,2,3.5,4],"area":14,"iscrowd":false,"segmentation":[[1,2]],"ignore":1},
{"iscrowd":1,"area":2.5e1,"bbox":[0,0,5,5],"category_id":1,"image_id":-1,"id":-9007199254740993}]}"#;

fn annotations_error(json: &str) -> String {
    GroundTruth::from_json(json.as_bytes(), InputPolicy::default()).unwrap_err().to_string()
}

fn results_error(json: &str) -> String {
    Detections::from_json(json.as_bytes(), InputPolicy::default()).unwrap_err().to_string()
}

/// Compares (input, parts of the message with `...` between them) pairs and names all that differ.
fn check(rows: &[(String, &str)], error: fn(&str) -> String) {
    let mut faults = Vec::new();
    for (json, clause) in rows {
        let message = error(json);
        let mut rest = Some(message.as_str());
        for part in clause.split("...") {
            rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, behind)| behind);
        }
        if rest.is_none() {
            let start: String = json.chars().take(300).collect();
            faults.push(format!("{message:?} lacks {clause:?} for {start}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn annotations_are_read() {
    let truth = GroundTruth::from_json(GOOD.as_bytes(), InputPolicy::default()).unwrap();
    assert_eq!(truth.len(), 2);
    assert_eq!(truth.images().iter().map(|image| image.id).collect::<Vec<_>>(), [-1, 3]);
    assert_eq!(truth.images()[1].file_name.as_deref(), Some("a.jpg"));
    assert_eq!(truth.categories()[0].name.as_deref(), Some("x"));
    assert_eq!(truth.ids(), [11, -9_007_199_254_740_993]);
    assert_eq!(truth.boxes()[0], [1.0, 2.0, 3.5, 4.0]);
    assert_eq!((truth.areas(), truth.crowds()), (&[14.0, 25.0][..], &[false, true][..]));
}

#[test]
fn of_equal_image_ids_the_last_is_kept() {
    let json = r#"{"images":[{"id":1,"file_name":"a"},{"id":0},{"id":1,"file_name":"b"}],"categories":[],"annotations":[]}"#;
    let truth = GroundTruth::from_json(json.as_bytes(), InputPolicy::default()).unwrap();
    let names: Vec<_> = truth.images().iter().map(|image| (image.id, image.file_name.as_deref())).collect();
    assert_eq!(names, [(0, None), (1, Some("b"))]);
}

#[test]
fn faulty_annotations_are_named() {
    let swap = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    };
    let rows = [
        (
            swap("[1,2,3.5,4]", "[1,2,NaN,4]"),
            "annotation id 11 (index 0), line 3, byte 218: field `bbox`: expected a number",
        ),
        (
            swap("[1,2,3.5,4]", "[1,2,1e999,4]"),
            "annotation id 11 (index 0), line 3, byte 218: field `bbox`: a number beyond the range",
        ),
        (
            swap("[1,2,3.5,4]", "[1,2,3.5]"),
            "annotation id 11 (index 0), line 3, byte 221: field `bbox`: expected a list of four",
        ),
        (
            swap("[1,2,3.5,4]", "[1,2,3.5,4,5]"),
            "annotation id 11 (index 0), line 3, byte 223: field `bbox`: expected a list of four",
        ),
        (
            swap("[1,2,3.5,4]", "null"),
            "annotation id 11 (index 0), line 3, byte 213: field `bbox`: expected a list of four",
        ),
        (
            swap("[1,2,3.5,4]", "[1,2,-3.5,4]"),
            "annotation id 11 (index 0), line 3, byte 218: negative size in `bbox`: -3.5; boxes are",
        ),
        (swap("2.5e1", "-25"), "(index 1), line 4, byte 307: negative size in `area`: -25"),
        (swap("2.5e1", "\"25\""), "annotation at index 1, line 4, byte 307: field `area`: expected a number"),
        (swap("\"iscrowd\":false,", ""), "annotation id 11 (index 0), line 3, byte 168: no `iscrowd`"),
        (swap("\"area\":14,", ""), "annotation id 11 (index 0), line 3, byte 168: no `area`"),
        (swap("\"id\":11,", ""), "annotation at index 0, line 3, byte 168: no `id`"),
        (
            swap("\"id\":11", "\"id\":11.0"),
            "annotation at index 0, line 3, byte 174: field `id`: expected an integer",
        ),
        (
            swap("\"id\":11", "\"id\":99999999999999999999"),
            "annotation at index 0, line 3, byte 174: field `id`: an integer beyond",
        ),
        (swap("\"image_id\":3", "\"image_id\":\"3\""), "field `image_id`"),
        (swap("\"iscrowd\":1", "\"iscrowd\":\"no\""), "field `iscrowd`"),
        (swap("\"images\":", "\"pictures\":"), "no `images` list"),
        (swap("\"categories\":", "\"classes\":"), "no `categories` list"),
        (swap("\"annotations\":", "\"objects\":"), "no `annotations` list"),
        (swap("{\"id\":-1}", "{\"file_name\":\"b\"}"), "image at index 1"),
        (swap("\"name\":\"x\"", "\"name\":4"), "category at index 0"),
        ("[]".into(), "file, line 1, byte 0: expected an object"),
        (String::new(), "file, line 1, byte 0: the file ends too early"),
        (format!("\u{feff}{GOOD}"), "file, line 1, byte 0: expected an object"),
        (format!("{GOOD} x"), "file, line 4, byte 386: only white space may follow"),
        (swap("[[1,2]]", "[[1,2],]"), "annotation id 11 (index 0), line 3, byte 273: expected a JSON value"),
        (swap("\"year\":", "\"year\""), "file, line 1, byte 15: expected `:`"),
        (
            swap("\"a.jpg\"", "\"a\\x.jpg\""),
            "image at index 0, line 1, byte 64: field `file_name`: an escape",
        ),
        (swap("\"a.jpg\"", "\"\\ud800.jpg\""), "field `file_name`: half of a surrogate pair"),
        (swap("\"a.jpg\"", "\"\n\""), "field `file_name`: a control character"),
    ];
    check(&rows, annotations_error);
}

#[test]
fn faulty_results_are_named() {
    let one = |fields: &str| {
        format!(r#"[{{"image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":1}},{{{fields}}}]"#)
    };
    let rows = [
        (
            one(r#""image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":NaN"#),
            "result at index 1, line 1, byte 114: field `score`: expected a number",
        ),
        (
            one(r#""image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":-Infinity"#),
            "index 1, ...: field `score`: expected a number",
        ),
        (
            one(r#""image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":null"#),
            "result at index 1, line 1, byte 114: field `score`: expected a number",
        ),
        (
            one(r#""image_id":1,"category_id":1,"bbox":[0,0,1,-1],"score":1"#),
            "result at index 1, line 1, byte 103: negative size in `bbox`: -1",
        ),
        (
            one(r#""image_id":1,"category_id":1,"bbox":[],"score":1"#),
            "result at index 1, line 1, byte 97: field `bbox`: expected a number",
        ),
        (
            one(r#""image_id":1,"category_id":1,"bbox":[0,0,1,1]"#),
            "result at index 1, line 1, byte 59: no `score`",
        ),
        (one(r#""image_id":1,"category_id":1,"score":1"#), "result at index 1, line 1, byte 59: no `bbox`"),
        (
            one(r#""category_id":1,"bbox":[0,0,1,1],"score":1"#),
            "result at index 1, line 1, byte 59: no `image_id`",
        ),
        (
            one(r#""image_id":1,"bbox":[0,0,1,1],"score":1"#),
            "result at index 1, line 1, byte 59: no `category_id`",
        ),
        ("[1]".into(), "result at index 0, line 1, byte 1: expected a record"),
        ("{}".into(), "file, line 1, byte 0: expected a list"),
        ("[".into(), "file, line 1, byte 1: the file ends too early"),
        ("[{},]".into(), "result at index 0, line 1, byte 1: no `image_id`"),
        ("[".repeat(100_000), "result at index 0, line 1, byte 1: expected a record"),
        (
            format!(r#"[{{"x":{}"#, "[".repeat(100_000)),
            "result at index 0, line 1, byte 134: brackets nested more than 128 deep",
        ),
    ];
    check(&rows, results_error);
}

#[test]
fn truncated_files_never_panic() {
    for end in 0..GOOD.len() {
        assert!(
            GroundTruth::from_json(&GOOD.as_bytes()[..end], InputPolicy::default()).is_err(),
            "{end} bytes"
        );
    }
    let mut bytes = GOOD.as_bytes().to_vec();
    for at in 0..bytes.len() {
        let kept = std::mem::replace(&mut bytes[at], 0xFF);
        let _ = GroundTruth::from_json(&bytes, InputPolicy::default());
        bytes[at] = kept;
    }
}

#[test]
fn rows_from_memory_are_checked() {
    let good = Detection { image_id: 1, category_id: 1, bbox: [0.0, 0.0, 1.0, 1.0], score: 0.5 };
    let mut detections = Detections::new(InputPolicy::default());
    detections.push(&good).unwrap();
    let error = detections.push(&Detection { score: f64::NAN, ..good }).unwrap_err().to_string();
    assert!(error.contains("result at index 1: `score` has NaN"), "{error}");
    let bbox = [0.0, f64::INFINITY, 1.0, 1.0];
    let error = detections.push_image(1, [(1, good.bbox, 0.4), (1, bbox, 0.3)]).unwrap_err().to_string();
    assert!(error.contains("result at index 2: `bbox` has inf"), "{error}");
    assert_eq!(detections.len(), 2);
}

#[test]
fn results_ignore_fields_of_their_own() {
    let json = r#"[{"id":"x","area":null,"iscrowd":[],"score":1,"score":2,"bbox":[0,0,1,1],"category_id":1,"image_id":3}]"#;
    let detections = Detections::from_json(json.as_bytes(), InputPolicy::default()).unwrap();
    assert_eq!(detections.scores(), [2.0]); // of a repeated key the last value counts, as in Python
    assert!(Detections::from_json(b"[]", InputPolicy::default()).unwrap().is_empty());
}

#[test]
fn escapes_in_names_are_resolved() {
    let json = r#"[{"\u0069mage\u005Fid":3,"category\u005fid":1,"b\u0062ox":[0,0,1,1],"score\n":[],"\u0073core":2}]"#;
    let detections = Detections::from_json(json.as_bytes(), InputPolicy::default()).unwrap();
    assert_eq!((detections.image_ids(), detections.scores()), (&[3][..], &[2.0][..]));
    let json = r#"{"\u0069mages":[],"categories":[],"annot\u0061tions":[]}"#;
    assert!(GroundTruth::from_json(json.as_bytes(), InputPolicy::default()).unwrap().is_empty());
}

#[test]
fn unknown_image_is_named() {
    let truth = GroundTruth::from_json(GOOD.as_bytes(), InputPolicy::default()).unwrap();
    let mut detections = Detections::new(InputPolicy::default());
    detections.push_image(3, [(1, [0.0; 4], 0.5)]).unwrap();
    detections.push_image(404, [(1, [0.0; 4], 0.5)]).unwrap();
    let error = evaluate(&truth, &detections, &EvalParams::default()).unwrap_err().to_string();
    assert!(error.contains("index 1 is for image id 404"), "{error}");
}

#[test]
fn too_few_caps_are_an_error() {
    let truth = GroundTruth::from_json(GOOD.as_bytes(), InputPolicy::default()).unwrap();
    let params = EvalParams { max_detections: vec![100], ..EvalParams::default() };
    let evaluation = evaluate(&truth, &Detections::default(), &params).unwrap();
    assert_eq!(evaluation.mean_recall(&coco_eval::Selection::default()), 0.0);
    assert!(evaluation.summarize().unwrap_err().to_string().contains("got 1"));
}

#[test]
fn missing_file_is_named() {
    let error = Detections::from_json_file("no/such.json", InputPolicy::default()).unwrap_err().to_string();
    assert!(error.contains("no/such.json"), "{error}");
}

#[test]
fn results_read_back_as_written() {
    let mut detections = Detections::new(InputPolicy::default());
    let (third, tiny) = (1.0 / 3.0, f64::MIN_POSITIVE / 8.0);
    let awkward = [third, 1e300, tiny, 0.1 + 0.2];
    detections.push_image(i64::MIN, [(1, awkward, third), (2, [-0.0, 0.0, 1.0, 640.0], -1e-7)]).unwrap();
    detections.push_image(i64::MAX, [(1, [0.1, 0.2, 0.3, 0.7], f64::from(0.3f32))]).unwrap();
    let mut text = Vec::new();
    detections.write_json(&mut text).unwrap();
    let again = Detections::from_json(&text, InputPolicy::default()).unwrap();
    assert_eq!(again.iter().collect::<Vec<_>>(), detections.iter().collect::<Vec<_>>());
    let text = String::from_utf8(text).unwrap();
    let last = r#"{"image_id":9223372036854775807,"category_id":1,"bbox":[0.1,0.2,0.3,0.7],"score":0.30000001192092896}]"#;
    assert!(text.ends_with(last), "{text}");
}

#[test]
fn writing_replaces_the_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    std::fs::write(&path, "old").unwrap();
    let mut detections = Detections::new(InputPolicy::default());
    detections.push_image(3, [(1, [0.0, 0.0, 2.0, 2.0], 0.5)]).unwrap();
    detections.write_json_file(&path).unwrap();
    assert_eq!(Detections::from_json_file(&path, InputPolicy::default()).unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(detections.write_json_file(folder.path().join("missing/results.json")).is_err());
}
