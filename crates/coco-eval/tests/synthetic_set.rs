//! The benchmark's generator writes the files that the reference's figures were taken on, byte for byte.
//!
//! The digests are of files by the first implementation of the same model, in Python with numpy.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

#[path = "support/sha256.rs"]
mod sha256;
#[path = "../benches/support/synthetic.rs"]
mod synthetic;

use synthetic::{Recipe, Synthetic, write_detections, write_ground_truth};

/// Images, categories, objects, detections per image, seed; digests of ground truth and detections.
type Row = ([usize; 4], u64, [&'static str; 2]);

const ROWS: [Row; 6] = [
    (
        [50, 80, 300, 20],
        20171,
        [
            "7d3b616b6dce26c4d4529d2449e851b80e7310c9bde3697b93431c4aa61e4455",
            "b8e52631dfcb2c625c372daf98f603b73951657e163feec4e32ed2bc8b2d917e",
        ],
    ),
    // a fixed quota
    (
        [7, 3, 40, 300],
        5,
        [
            "858cdee153ae85bc0ed4f4a5e3ef3197ed6d82e4e58bb54accc30dd27b94159b",
            "42617de7008a3f48b2c8ae8dacd42cad472a3cb722ee9434b5b55e9c779e3bd1",
        ],
    ),
    // detections cut at the quota, an empty image
    (
        [50, 80, 300, 4],
        9,
        [
            "4047031919267fed4382a6d2124cba48088780ef0aed98f9a0b265d37292e22a",
            "69ed5f04066c92b673d0c5f4668fa6561c8019eab511c6466ee695739276c573",
        ],
    ),
    // objects added
    (
        [30, 12, 400, 12],
        3,
        [
            "738db4bcf3f5c575eaf186dda1f556268d97850fa0104d34184e039eccfefa79",
            "9509e6d85cd61737ffa6c2208fe067c949070176a46ee255f25a41272a8cd6b8",
        ],
    ),
    // one of each
    (
        [1, 1, 5, 40],
        77,
        [
            "3d122d7976850e4f2923c55ec83efe45f091424dd2d24593e6b06cf6537d43ed",
            "3514be9a615f5c18cdafd27119f4872ca375bb43a1a07295597715732ae76b11",
        ],
    ),
    // objects taken away, empty images, the largest seed
    (
        [300, 25, 700, 6],
        u64::MAX,
        [
            "4193e37c5e1be1153f53ca0dc874e550f6d07923d1cb3763738be0d6707125d5",
            "d648ae5544415757b7b18d73eef9c2f9e3ba0c20c8200b789ed466fd9c235e6f",
        ],
    ),
];

#[test]
fn files_are_those_of_the_first_implementation() {
    let mut faults = Vec::new();
    for ([images, categories, objects, detections], seed, expected) in ROWS {
        let recipe = Recipe { images, categories, objects, detections, seed };
        for (name, text, digest) in files(&recipe, expected) {
            if sha256::hex(&text) != digest {
                faults.push(format!("{name} of {recipe:?}, {} bytes", text.len()));
            }
        }
    }
    assert!(faults.is_empty(), "these differ:\n{}", faults.join("\n"));
}

fn files(recipe: &Recipe, expected: [&'static str; 2]) -> [(&'static str, Vec<u8>, &'static str); 2] {
    let set = Synthetic::new(recipe);
    let (mut ground_truth, mut detections) = (Vec::new(), Vec::new());
    write_ground_truth(&set, &mut ground_truth).unwrap();
    write_detections(&set, &mut detections).unwrap();
    [("ground truth", ground_truth, expected[0]), ("detections", detections, expected[1])]
}
