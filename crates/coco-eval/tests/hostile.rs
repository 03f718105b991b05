//! Files made to exhaust memory, stack or patience. Small limits prove that nothing long is held: what a
//! window of these limits cannot hold is either skipped piece by piece or refused.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

use std::cell::Cell;
use std::io::{self, Read};

use coco_eval::{
    Annotation, Category, Detections, DuplicateIds, Error, GroundTruth, Image, InputPolicy, JsonFault,
    Position, ReadLimits, Record, UnknownIds,
};

const MIB: u64 = 1 << 20;
const ROW: &str = r#"{"image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":1}"#;

/// `head`, then `body` over and over for `length` bytes, then `tail`; it counts what is taken from it.
struct Endless<'t> {
    head: &'t [u8],
    body: &'t [u8],
    tail: &'t [u8],
    length: u64,
    at: u64,
    taken: &'t Cell<u64>,
}

impl<'t> Endless<'t> {
    fn new(head: &'t str, body: &'t str, length: u64, tail: &'t str, taken: &'t Cell<u64>) -> Self {
        Self { head: head.as_bytes(), body: body.as_bytes(), tail: tail.as_bytes(), length, at: 0, taken }
    }
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        if !self.head.is_empty() {
            count = self.head.read(buffer)?;
        } else if self.length > 0 {
            let most = buffer.len().min(usize::try_from(self.length).unwrap());
            for byte in &mut buffer[..most] {
                *byte = self.body[(self.at % self.body.len() as u64) as usize];
                self.at += 1;
            }
            self.length -= most as u64;
            count = most;
        } else if !self.tail.is_empty() {
            count = self.tail.read(buffer)?;
        }
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}

fn small() -> InputPolicy {
    let limits = ReadLimits { record_bytes: 4096, rows: 1000, buffer_bytes: 1024 };
    InputPolicy { limits, ..InputPolicy::default() }
}

#[test]
fn long_files_are_skipped_or_refused_in_little_memory() {
    let truth = |source: Endless<'_>| GroundTruth::from_json_reader(source, small()).unwrap_err();
    let results = |source: Endless<'_>| {
        Detections::from_json_reader(source, small())
            .map_or_else(|e| e.to_string(), |d| format!("{} rows", d.len()))
    };
    let truth = |source: Endless<'_>| truth(source).to_string();
    type Reader<'r> = &'r dyn Fn(Endless<'_>) -> String;
    let (truth, results): (Reader<'_>, Reader<'_>) = (&truth, &results);
    let row_start = format!("[{ROW},{{\"x\":");
    let rows = format!("{ROW},");
    let missing = "no `annotations` list";
    type Case<'c> = (&'c str, Reader<'c>, &'c str, &'c str, u64, &'c str, &'c str, u64);
    // name, reader, start, what is repeated for so many bytes, end, part of the message, bytes read at most
    let table: &[Case<'_>] = &[
        // skipped, all of it read
        (
            "string in a section",
            truth,
            r#"{"x":""#,
            "a\u{e9}\\u00e9\\ud83d\\ude00",
            2100 * 10_000,
            "\"}",
            missing,
            u64::MAX,
        ),
        ("list in a section", truth, r#"{"x":[0"#, ",1", 16 * MIB, "]}", missing, u64::MAX),
        (
            "object in a section",
            truth,
            r#"{"x":{"a":0"#,
            ",\"a\":[{}]",
            9 * 1_000_000,
            "}}",
            missing,
            u64::MAX,
        ),
        ("sections", truth, r#"{"x":0"#, ",\"x\":{}", 7 * 1_000_000, "}", missing, u64::MAX),
        ("repeated lists", truth, r#"{"x":0"#, ",\"images\":[]", 12 * 1_000_000, "}", missing, u64::MAX),
        ("white space", truth, "{", " \n", 16 * MIB, "}", missing, u64::MAX),
        ("white space behind", results, "[]", " ", 16 * MIB, "", "0 rows", u64::MAX),
        (
            "white space between rows",
            results,
            &format!("[{ROW}"),
            "\t",
            16 * MIB,
            &format!(",{ROW}]"),
            "2 rows",
            u64::MAX,
        ),
        // refused, little of it read
        (
            "brackets",
            results,
            "",
            "[",
            1 << 30,
            "",
            "result at index 0, line 1, byte 1: expected a record",
            1024,
        ),
        (
            "brackets in a section",
            truth,
            r#"{"x":"#,
            "[",
            1 << 30,
            "",
            "file, line 1, byte 133: brackets nested more",
            1024,
        ),
        (
            "brackets in a row",
            results,
            &row_start,
            "[",
            1 << 30,
            "",
            "result at index 1, line 1, byte 192: brackets nested",
            2048,
        ),
        (
            "objects in a row",
            results,
            &row_start,
            "{\"a\":",
            1 << 30,
            "",
            "result at index 1, line 1, byte 704: brackets nested",
            4096,
        ),
        (
            "string in a row",
            results,
            &row_start,
            "\"",
            1,
            "",
            "result at index 1, line 1, byte 65: the file ends too early",
            4096,
        ),
        (
            "long row",
            results,
            &row_start,
            "[1],",
            1 << 30,
            "",
            "result at index 1, line 1, byte 68: expected a name",
            4096,
        ),
        (
            "list in a row",
            results,
            &format!("{row_start}[0"),
            ",1",
            1 << 30,
            "",
            "index 1, line 1, byte 59: longer than 4096 bytes",
            8192,
        ),
        (
            "string in a row",
            results,
            &format!("{row_start}\""),
            "x",
            1 << 30,
            "",
            "index 1, line 1, byte 59: longer than 4096 bytes",
            8192,
        ),
        (
            "spaces in a row",
            results,
            &row_start,
            " ",
            1 << 30,
            "",
            "index 1, line 1, byte 59: longer than 4096 bytes",
            8192,
        ),
        (
            "digits",
            results,
            r#"[{"score":"#,
            "1",
            1 << 30,
            "",
            "index 0, line 1, byte 1: longer than 4096 bytes",
            8192,
        ),
        (
            "digits in a section",
            truth,
            "{\"x\":",
            "1",
            1 << 30,
            "",
            "file, line 1, byte 5: longer than 4096 bytes",
            8192,
        ),
        (
            "name of a section",
            truth,
            "{\"",
            "x",
            1 << 30,
            "",
            "file, line 1, byte 1: longer than 4096 bytes",
            8192,
        ),
        (
            "name of an image",
            truth,
            r#"{"images":[{"id":1,"file_name":""#,
            "x",
            1 << 30,
            "",
            "image at index 0, line 1, byte 11: longer than",
            8192,
        ),
        (
            "10^9 rows",
            results,
            "[",
            &rows,
            58 * 1_000_000_000,
            "",
            "result at index 1000, line 1, byte 58001: beyond the limit of 1000 rows",
            60_000,
        ),
        (
            "10^9 images",
            truth,
            r#"{"images":["#,
            "{\"id\":1},",
            9 * 1_000_000_000,
            "",
            "image at index 1000, line 1, byte 9011: beyond the limit",
            11_000,
        ),
        ("binary", results, "", "\0", 1 << 30, "", "file, line 1, byte 0: expected a list", 1024),
    ];
    let mut faults = Vec::new();
    for (name, read, head, body, length, tail, clause, most) in table {
        let taken = Cell::new(0);
        let message = read(Endless::new(head, body, *length, tail, &taken));
        if !message.contains(clause) || taken.get() > *most {
            faults
                .push(format!("{name}: {message:?} lacks {clause:?}, or {} bytes are too many", taken.get()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn default_limits_stop_a_gigabyte_of_brackets_at_once() {
    let taken = Cell::new(0);
    let source = Endless::new(r#"{"info":"#, "[{\"a\":", 1 << 30, "", &taken);
    let error = GroundTruth::from_json_reader(source, InputPolicy::default()).unwrap_err();
    let position = Position { line: 1, byte: 8 + 6 * 64 };
    assert!(
        matches!(error, Error::TooDeep { record: Record::File, position: found } if found == position),
        "{error}"
    );
    assert!(taken.get() <= MIB);
}

#[test]
fn nesting_up_to_the_limit_is_skipped() {
    for (depth, sound) in [(128, true), (129, false)] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let row = ROW.replace("\"score\"", &format!("\"x\":{open}{close},\"score\""));
        assert_eq!(Detections::from_json(format!("[{row}]").as_bytes(), small()).is_ok(), sound);
        let file = format!(r#"{{"x":{open}{close},"images":[],"categories":[],"annotations":[]}}"#);
        assert_eq!(GroundTruth::from_json(file.as_bytes(), small()).is_ok(), sound);
    }
}

/// Gives some bytes, then an error.
struct Failing<'t>(&'t [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            count => Ok(count),
        }
    }
}

#[test]
fn failing_sources_are_told_from_short_ones() {
    let head = format!("[\n{ROW},");
    let policy = InputPolicy { limits: ReadLimits { buffer_bytes: 16, ..ReadLimits::DEFAULT }, ..small() };
    let error = Detections::from_json_reader(Failing(head.as_bytes()), policy).unwrap_err();
    let Error::Read { position, cause, .. } = error else { panic!("{error}") };
    assert_eq!((position, cause.kind()), (Position { line: 2, byte: 2 }, io::ErrorKind::ConnectionReset));
    let error = Detections::from_json_reader(head.as_bytes(), policy).unwrap_err();
    let end = Position { line: 2, byte: 60 };
    assert!(
        matches!(error, Error::Json { fault: JsonFault::UnexpectedEnd, position, .. } if position == end),
        "{error}"
    );
}

#[test]
fn folders_and_cut_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = GroundTruth::from_json_file(folder.path(), small()).unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if path == folder.path()), "{error}");
    let path = folder.path().join("results.json");
    let text = format!("[{}{ROW}]", format!("{ROW},\n").repeat(500));
    std::fs::write(&path, &text).unwrap();
    assert_eq!(Detections::from_json_file(&path, small()).unwrap().len(), 501);
    for cut in [0, 1, 2, 5000, 20_000, text.len() - 1] {
        std::fs::File::options().write(true).open(&path).unwrap().set_len(cut as u64).unwrap();
        std::fs::write(&path, &text[..cut]).unwrap();
        let error = Detections::from_json_file(&path, small()).unwrap_err();
        let ended = matches!(error, Error::Json { fault: JsonFault::UnexpectedEnd, position, .. } if position.byte == cut as u64);
        assert!(ended, "{error}");
    }
}

const SECTIONS: &str = r#"{"annotations":[{"id":1}],"annotations":[
{"id":5,"image_id":1,"category_id":2,"bbox":[0,0,1,1],"area":1,"iscrowd":0},
{"id":6,"image_id":9,"category_id":2,"bbox":[0,0,1,1],"area":1,"iscrowd":0},
{"id":5,"image_id":1,"category_id":8,"bbox":[0,0,1,1],"area":1,"iscrowd":0}],
"images":[{"id":9}],"images":[{"id":1}],"categories":[{"id":8}],"categories":[{"id":2}]}"#;

#[test]
fn of_repeated_sections_the_last_counts() {
    let text = SECTIONS.replace(r#"[{"id":1}],"annotations""#, r#"[],"annotations""#);
    let truth = GroundTruth::from_json(text.as_bytes(), InputPolicy::default()).unwrap();
    assert_eq!(truth.ids(), [5, 6, 5]);
    assert_eq!((truth.images()[0].id, truth.images().len()), (1, 1));
    assert_eq!((truth.categories()[0].id, truth.categories().len()), (2, 1));
    let twice = text.replace(
        r#""annotations":[]"#,
        &text[text.find("\"annotations\":[\n").unwrap()..text.find("\n\"images").unwrap() - 1],
    );
    assert_eq!(GroundTruth::from_json(twice.as_bytes(), InputPolicy::default()).unwrap().len(), 3);
}

#[test]
fn what_only_shows_in_the_end_is_named() {
    let text = SECTIONS.replace(r#"[{"id":1}],"annotations""#, r#"[],"annotations""#);
    let error = |policy| GroundTruth::from_json(text.as_bytes(), policy).unwrap_err().to_string();
    let reject = InputPolicy { unknown_ids: UnknownIds::Reject, ..InputPolicy::default() };
    let unknown = error(reject);
    assert!(
        unknown.contains("annotation id 6 (index 1), line 3, byte 111: ")
            && unknown.contains("`image_id` 9 is not listed"),
        "{unknown}"
    );
    assert_eq!(error(InputPolicy::STRICT), unknown);
    let reject = InputPolicy { duplicate_ids: DuplicateIds::Reject, ..InputPolicy::default() };
    let duplicate = error(reject);
    assert!(duplicate.starts_with("annotation id 5 (index 2), line 4, byte 188: "), "{duplicate}");
    assert!(duplicate.contains("repeats the id of annotation id 5 (index 0)"), "{duplicate}");
    let known = text.replace("\"image_id\":9", "\"image_id\":1").replacen("\"id\":5", "\"id\":4", 1);
    let error = GroundTruth::from_json(known.as_bytes(), InputPolicy::STRICT).unwrap_err().to_string();
    assert!(error.contains("`category_id` 8 is not listed"), "{error}");
}

#[test]
fn rows_from_memory_have_no_position() {
    let row = Annotation { id: 1, image_id: 2, category_id: 3, bbox: [0.0; 4], area: 0.0, crowd: false };
    let new = |row: Annotation, policy| {
        let (images, categories) =
            (vec![Image { id: 2, file_name: None }], vec![Category { id: 3, name: None }]);
        GroundTruth::new(images, categories, [row], policy)
    };
    assert!(new(row, InputPolicy::STRICT).is_ok());
    let error = new(Annotation { category_id: 4, ..row }, InputPolicy::STRICT).unwrap_err();
    assert!(matches!(error, Error::UnknownId { position: None, field: "category_id", id: 4, .. }), "{error}");
    assert!(new(Annotation { category_id: 4, ..row }, InputPolicy::PYCOCOTOOLS).is_ok());
    let error = new(Annotation { area: -1.0, ..row }, InputPolicy::STRICT).unwrap_err();
    assert!(matches!(error, Error::NegativeSize { position: None, .. }), "{error}");
}
