//! Medians of the rounds, as a table or as JSON.

use std::fmt;

use serde::Serialize;

use crate::evaluation_run::Stages;
use crate::published::{PUBLISHED, PUBLISHED_MACHINE, Published};
use crate::resources::{Cost, machine};
use crate::series::{CostSpread, Series, Spread};

#[derive(Debug, Serialize)]
struct Row {
    set: &'static str,
    threads: usize,
    whole: CostSpread,
    load: CostSpread,
    evaluate: CostSpread,
    summarise: CostSpread,
    peak_mebibytes: Spread,
}

impl Row {
    fn new(series: &Series) -> Self {
        let stage = |of: fn(&Stages) -> Cost| series.cost(|run| of(&run.stages));
        Self {
            set: series.set.name,
            threads: series.threads,
            whole: series.cost(|run| run.whole),
            load: stage(|stages| stages.load),
            evaluate: stage(|stages| stages.evaluate),
            summarise: stage(|stages| stages.summarise),
            peak_mebibytes: series.spread(|run| run.peak_bytes as f64 / f64::from(1 << 20)),
        }
    }
}

/// How many times as fast more threads are than one, by the medians of wall time.
#[derive(Debug, Serialize)]
struct SpeedUp {
    set: &'static str,
    threads: usize,
    factor: f64,
}

impl SpeedUp {
    fn new(row: &Row, rows: &[Row]) -> Option<Self> {
        let one = rows.iter().find(|one| one.set == row.set && one.threads == 1 && row.threads > 1)?;
        let factor = one.whole.wall_seconds.median / row.whole.wall_seconds.median;
        Some(Self { set: row.set, threads: row.threads, factor })
    }
}

/// The outcome of the benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: String,
    rounds: usize,
    rows: Vec<Row>,
    speed_ups: Vec<SpeedUp>,
    published_machine: &'static str,
    published: [Published; 5],
}

impl Report {
    pub(crate) fn new(rounds: usize, series: &[Series]) -> Self {
        let rows: Vec<Row> = series.iter().map(Row::new).collect();
        let speed_ups = rows.iter().filter_map(|row| SpeedUp::new(row, &rows)).collect();
        let published_machine = PUBLISHED_MACHINE;
        Self { machine: machine(), rounds, rows, speed_ups, published_machine, published: PUBLISHED }
    }

    fn write_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} {:>7}", "set", "threads")?;
        for name in ["CPU", "wall", "wall: load", "evaluate", "summarise"] {
            write!(f, " {name:>15}")?;
        }
        writeln!(f, " {:>8}", "peak MiB")?;
        for row in &self.rows {
            write!(f, "{:<5} {:>7} {:>15}", row.set, row.threads, row.whole.cpu_seconds)?;
            for cost in [&row.whole, &row.load, &row.evaluate, &row.summarise] {
                write!(f, " {:>15}", cost.wall_seconds)?;
            }
            writeln!(f, " {:>8.0}", row.peak_mebibytes.median)?;
        }
        Ok(())
    }

    fn write_peers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = ["CPU s d100", "CPU s d300", "peak MiB d300"];
        writeln!(f, "\n{:<30} {:>12} {:>12} {:>14}", "one thread", cells[0], cells[1], cells[2])?;
        for peer in &self.published {
            let (d100, d300) = (peer.cpu_seconds_d100, peer.cpu_seconds_d300);
            let (name, peak) = (peer.program, peer.peak_mebibytes_d300);
            writeln!(f, "{name:<30} {d100:>12.2} {d300:>12.2} {peak:>14.0}")?;
        }
        let (d100, d300) = (self.on_one_thread("d100"), self.on_one_thread("d300"));
        let seconds = |row: Option<&Row>| cell(row.map(|row| row.whole.cpu_seconds.median), 2);
        let peak = cell(d300.map(|row| row.peak_mebibytes.median), 0);
        writeln!(f, "{:<30} {:>12} {:>12} {peak:>14}", "coco-eval, here", seconds(d100), seconds(d300))?;
        writeln!(f, "\nThe other programs were not measured here but on {};", self.published_machine)?;
        writeln!(f, "their CPU time is the whole process's, the start of the Python interpreter included.")
    }

    /// The run that published figures are to be held against.
    fn on_one_thread(&self, set: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.set == set && row.threads == 1)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "coco-eval, whole runs, a fresh process each; all figures equal pycocotools' to the bit"
        )?;
        writeln!(f, "{}; rounds: {}; seconds as median (minimum)\n", self.machine, self.rounds)?;
        self.write_rows(f)?;
        for SpeedUp { set, threads, factor } in &self.speed_ups {
            writeln!(f, "{set}: speed-up on {threads} threads {factor:.2} (medians of wall time)")?;
        }
        self.write_peers(f)
    }
}

/// A number, or a dash for what was not measured.
fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}
