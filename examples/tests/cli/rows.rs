//! Rows of tables of bad input, and what has to come of each.

use crate::support::run;
use std::fmt::Write;
use std::path::Path;

/// One call that has to fail.
pub(crate) struct Row {
    /// What is wrong.
    pub(crate) what: String,
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    /// Parts of the message, each once.
    pub(crate) says: Vec<String>,
}

impl Row {
    pub(crate) fn new(what: &str, program: &'static str, arguments: &[&str], says: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        Self { what: what.to_owned(), program, arguments: owned(arguments), says: owned(says) }
    }
}

/// Runs every row, with its output below `folder`; fails with all rows that don't end as they should: exit code 2, the last line on
/// stderr an error that says what is wrong, nothing on stdout, and nothing written.
pub(crate) fn check(rows: &[Row], folder: &Path) {
    let mut report = String::new();
    for (index, row) in rows.iter().enumerate() {
        let out = folder.join(format!("out-{index}"));
        for fault in faults(row, &out) {
            writeln!(report, "{} ({}): {fault}", row.what, row.program).unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn faults(row: &Row, out: &Path) -> Vec<String> {
    let mut arguments: Vec<&str> = row.arguments.iter().map(String::as_str).collect();
    let json = format!("{}.json", out.display());
    match row.program {
        "ckpt2raw" => arguments.extend(["--out-raw", out.to_str().unwrap(), "--out-json", &json]),
        "val" => arguments.extend(["--save-json", out.to_str().unwrap()]),
        "bench" | "inspect" => {}
        "calibrate" if arguments.contains(&"--show") || arguments.contains(&"--coverage") => {}
        "evaluate" => arguments.extend(["--save-outcomes", out.to_str().unwrap()]),
        "compare" => arguments.extend(["--csv", out.to_str().unwrap()]),
        _ => arguments.extend(["--out", out.to_str().unwrap()]),
    }
    let ended = run(row.program, &arguments);
    let last = ended.stderr.lines().last().unwrap_or_default();
    let errors = ended.stderr.lines().filter(|line| line.starts_with("error:")).count();
    let mut faults = Vec::new();
    let mut require = |holds: bool, rule: &str| {
        if !holds {
            faults.push(format!("{rule}: code {:?}, stderr: {}", ended.code, ended.stderr));
        }
    };
    require(ended.code == Some(2), "exit code 2");
    require(errors == 1 && last.starts_with("error: "), "one error, on the last line");
    require(!ended.stderr.contains("panicked"), "no panic");
    require(ended.stdout.is_empty(), "nothing on stdout");
    require(!out.exists() && !Path::new(&json).exists(), "nothing written");
    for part in &row.says {
        require(last.matches(part.as_str()).count() == 1, &format!("says once `{part}`"));
    }
    faults
}
