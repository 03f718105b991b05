//! Each quirk in the table of `docs/coco-eval.md` is named in exactly one place of the sources, and none
//! other is.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn every_quirk_has_one_home() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/coco-eval.md")).unwrap();
    let mut homes: BTreeMap<String, Vec<String>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(id, _)| (id.to_owned(), Vec::new()))
        .collect();
    assert!(homes.len() > 20, "table not found");
    let mut faults = Vec::new();
    for path in sources(&root.join("src")) {
        let file = path.file_name().unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        // a doc comment may break the line between the two words
        let text = text.replace("\n    ///", "").replace("\n///", "").replace("\n//!", "");
        for mention in text.split("quirk `").skip(1) {
            let id = mention.split('`').next().unwrap();
            match homes.get_mut(id) {
                Some(files) => files.push(file.clone()),
                None => faults.push(format!("{file} names `{id}`, which the table lacks")),
            }
        }
    }
    faults.extend(
        homes
            .iter()
            .filter(|(_, files)| files.len() != 1)
            .map(|(id, files)| format!("`{id}` is in {files:?}")),
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
