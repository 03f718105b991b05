//! Arguments of the benchmark.

use crate::Failure;
use crate::measurement::Measurement;
use crate::sets::{SETS, Set};

/// The argument by which the program asks itself for a measurement, given as JSON.
pub(crate) const MEASURE: &str = "--measure";

const USAGE: &str = "options: --rounds N, --set d100,d300, --threads 1,2, --json, --bootstrap SAMPLES";

/// What the program was started for.
pub(crate) enum Command {
    Measure(Measurement),
    Benchmark(Options),
    /// By `cargo test --all-targets`, which runs benchmarks as well: without `--bench`, nothing is measured.
    Nothing,
}

/// What to measure and how to tell.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) sets: Vec<&'static Set>,
    pub(crate) threads: Vec<usize>,
    pub(crate) json: bool,
    /// Compare two detectors by so many samples instead.
    pub(crate) bootstrap: Option<usize>,
}

impl Command {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let threads = if cfg!(feature = "rayon") { vec![1, 2] } else { vec![1] };
        let sets = SETS.iter().collect();
        let mut options = Options { rounds: 5, sets, threads, json: false, bootstrap: None };
        let mut asked_by_cargo_bench = false;
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value; {USAGE}"));
            match name.as_str() {
                MEASURE => return Ok(Self::Measure(serde_json::from_str(&value()?)?)),
                "--rounds" => options.rounds = positive(&value()?)?,
                "--set" => options.sets = list(&value()?, Set::by_name)?,
                "--threads" => options.threads = list(&value()?, threads_of)?,
                "--bootstrap" => options.bootstrap = Some(positive(&value()?)?),
                "--json" => options.json = true,
                "--bench" => asked_by_cargo_bench = true,
                _ => return Err(format!("unknown argument {name}; {USAGE}").into()),
            }
        }
        if asked_by_cargo_bench { Ok(Self::Benchmark(options)) } else { Ok(Self::Nothing) }
    }
}

fn list<T>(text: &str, element: fn(&str) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    text.split(',').map(element).collect()
}

fn positive(text: &str) -> Result<usize, Failure> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{text}` is not a number from 1 up; {USAGE}").into()),
    }
}

fn threads_of(text: &str) -> Result<usize, Failure> {
    let threads = positive(text)?;
    if threads > 1 && !cfg!(feature = "rayon") {
        return Err("more than one thread needs `--features rayon`".into());
    }
    Ok(threads)
}
