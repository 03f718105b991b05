//! Each quirk in the tables of `docs/calibrator-compat*.md` is named in exactly one place of the sources, and none other is.

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
    let quirks = |page: &str| {
        let text = fs::read_to_string(root.join("../../docs").join(page)).unwrap();
        let ids = text.split("## Quirks").nth(1).unwrap().lines().filter_map(|line| {
            let (id, _) = line.strip_prefix("| `")?.split_once('`')?;
            Some((id.to_owned(), Vec::new()))
        });
        ids.collect::<Vec<_>>()
    };
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    homes.extend(quirks("calibrator-compat.md"));
    homes.extend(quirks("calibrator-compat-ppq-aimet.md"));
    assert!(homes.len() > 45, "table not found");
    let mut faults = Vec::new();
    for path in sources(&root.join("src")) {
        let file = path.strip_prefix(root).unwrap().display().to_string();
        // A doc comment may break the line between the two words.
        let lines = fs::read_to_string(&path).unwrap();
        let words: Vec<&str> =
            lines.split_whitespace().filter(|word| !["///", "//!", "//"].contains(word)).collect();
        for mention in words.join(" ").split("quirk `").skip(1) {
            let id = mention.split('`').next().unwrap();
            match homes.get_mut(id) {
                Some(files) => files.push(file.clone()),
                None => faults.push(format!("{file} names `{id}`, which the table lacks")),
            }
        }
    }
    let astray = homes.iter().filter(|(_, files)| files.len() != 1);
    faults.extend(astray.map(|(id, files)| format!("`{id}` is in {files:?}")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_else_uses_compat() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = fs::read_dir(&crates).unwrap().map(|entry| entry.unwrap().path().join("src"));
    let files = folders.chain([crates.join("../examples")]).filter(|path| path.is_dir());
    let users: Vec<PathBuf> = files
        .flat_map(|folder| sources(&folder))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !path.components().any(|part| part.as_os_str() == "compat"))
        .filter(|path| fs::read_to_string(path).unwrap().contains("compat::"))
        .collect();
    assert!(users.is_empty(), "{users:?}");
}
