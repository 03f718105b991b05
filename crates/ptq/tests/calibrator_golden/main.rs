//! Compatible calibrators beside the tools that they repeat: every case of `$QUANT_GOLDENS/calibrators` and of `fixtures/calibrators`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers outside test functions")]

mod cases;
mod npy;
mod nvidia;
mod onnxruntime;

use cases::{Goldens, Outcome, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Families of `cases` and sections beside it that `calibrator_golden_ppq_aimet.rs` compares; here they are counted.
const WITHOUT_HANDLER: [&str; 5] = ["aimet", "misc_adaround", "misc_lsq", "misc_trt_cache", "ppq"];

/// Cases by outcome, and those without a handler.
#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<(String, String), BTreeMap<Outcome, usize>>,
    without_handler: BTreeMap<String, usize>,
    faults: Vec<String>,
}

type Handler = fn(&Goldens, &Value) -> Verdict;

impl Tally {
    fn of(goldens: &Goldens) -> Self {
        let mut tally = Self::default();
        for case in goldens.index["cases"].as_array().into_iter().flatten() {
            let family = case["family"].as_str().unwrap();
            let handler: Option<Handler> = match family {
                "nv" => Some(nvidia::check),
                "ort" => Some(onnxruntime::check),
                _ => None,
            };
            tally.check(goldens, family, case, handler);
        }
        for (section, rows) in goldens.index.as_object().unwrap() {
            if section.starts_with("misc_") {
                tally.section(goldens, section, rows);
            }
        }
        tally
    }

    fn section(&mut self, goldens: &Goldens, section: &str, rows: &Value) {
        let Some(rows) = rows.as_array() else {
            return self.check(goldens, section, rows, None);
        };
        for row in rows {
            let ort = row["id"].as_str().is_some_and(|id| id.starts_with("ort/"));
            let handler: Option<Handler> = match section {
                "misc_nv_fake_quant" => Some(nvidia::check_fake_quant),
                "misc_affine_quant" => Some(onnxruntime::check_affine),
                "misc_weights" if ort => Some(onnxruntime::check_weights),
                "misc_weights" => Some(nvidia::check_weights),
                _ => None,
            };
            self.check(goldens, section, row, handler);
        }
    }

    fn check(&mut self, goldens: &Goldens, family: &str, case: &Value, handler: Option<Handler>) {
        let Some(handler) = handler else {
            *self.without_handler.entry(family.to_owned()).or_default() += 1;
            return;
        };
        match handler(goldens, case) {
            Ok(outcome) => {
                let calibrator = case["calibrator"].as_str().unwrap_or_default().to_owned();
                *self
                    .outcomes
                    .entry((family.to_owned(), calibrator))
                    .or_default()
                    .entry(outcome)
                    .or_default() += 1;
            }
            Err(fault) => self.faults.push(format!("{}: {fault}", case["id"].as_str().unwrap())),
        }
    }

    fn print(&self) {
        println!(
            "{:<20} {:<32} {:>6} {:>6} {:>7} {:>8}",
            "family", "calibrator", "cases", "exact", "within", "refused"
        );
        for ((family, calibrator), outcomes) in &self.outcomes {
            let [exact, within, refused] = [Outcome::Exact, Outcome::Within, Outcome::Refused]
                .map(|outcome| outcomes.get(&outcome).copied().unwrap_or_default());
            let cases = exact + within + refused;
            println!("{family:<20} {calibrator:<32} {cases:>6} {exact:>6} {within:>7} {refused:>8}");
        }
        for (family, cases) in &self.without_handler {
            println!("{family:<20} {:<32} {cases:>6}", "without a handler");
        }
    }

    /// Prints the table and every fault; panics if there is one, or a family that is neither handled nor listed.
    fn settle(&self) {
        self.print();
        let known = |family: &&String| WITHOUT_HANDLER.contains(&family.as_str());
        let unknown: Vec<&String> = self.without_handler.keys().filter(|family| !known(family)).collect();
        assert!(unknown.is_empty(), "no handler for {unknown:?}");
        assert!(self.faults.is_empty(), "{} faults:\n{}", self.faults.len(), self.faults.join("\n"));
    }

    /// Panics if a calibrator other than the distribution needs its tolerance.
    fn assert_exact(&self) {
        let others = self.outcomes.iter().filter(|((_, calibrator), _)| calibrator != "distribution");
        let within: Vec<_> = others.filter(|(_, outcomes)| outcomes.contains_key(&Outcome::Within)).collect();
        assert!(within.is_empty(), "not to the bit any more: {within:?}");
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.values().filter_map(|outcomes| outcomes.get(&outcome)).sum()
    }
}

#[test]
fn golden_fixtures_are_repeated() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/calibrators");
    let tally = Tally::of(&Goldens::open(&folder));
    tally.settle();
    tally.assert_exact();
    assert!(tally.count(Outcome::Exact) > 150, "{} exact cases", tally.count(Outcome::Exact));
}

#[test]
fn golden_folder_is_repeated() {
    let Some(root) = std::env::var_os("QUANT_GOLDENS") else {
        eprintln!("QUANT_GOLDENS is not set; only fixtures/calibrators is compared");
        return;
    };
    let tally = Tally::of(&Goldens::open(&Path::new(&root).join("calibrators")));
    tally.settle();
    tally.assert_exact();
    // The two cases of quirk `nan-lanes`.
    assert_eq!(tally.count(Outcome::Refused), 2);
}
