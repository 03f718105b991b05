//! The error of every layer's result.

use crate::analysis::files::ErrorsPart;
use crate::analysis::job::Job;
use crate::analysis::state::State;
use crate::error::{Error, Result};
use crate::images::{decode, prepare};
use crate::workers;
use ptq::Fusion;
use ptq::analysis::{ErrorFigures, ErrorProgram, ErrorSums, LayerErrors};
use quant_core::{Executor, Recording};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a block of images gives.
#[derive(Serialize, Deserialize)]
struct Block {
    /// By image: its position, and isolated and accumulated sums of every layer.
    images: Vec<(u64, Vec<[ErrorSums; 2]>)>,
}

/// What a thread needs.
struct Worker<'p> {
    float: Executor<'p>,
    integer: Executor<'p>,
    recordings: [Recording; 2],
}

/// Errors of all layers; `None` if the run is to end before.
///
/// # Errors
/// Calibration, lowering, images that can't be read (unless skipped).
pub fn errors(job: &Job, state: &State) -> Result<Option<ErrorsPart>> {
    let network = job.network(&job.config(&job.quantizers()?, |_| None))?;
    let program = ErrorProgram::new(&job.float(Fusion::EveryTensor)?, &network.program, &job.layers)?;
    let size = job.settings.size;
    let float = Executor::new(program.program(), size.height, size.width)?;
    let integer = network.executor()?;
    let worker =
        || Ok(Worker { float: float.clone(), integer: integer.clone(), recordings: Default::default() });
    let Some(blocks) = state.blocks(|range| block(job, &program, &worker, range))? else { return Ok(None) };
    let mut errors = LayerErrors::default();
    blocks.into_iter().flat_map(|block| block.images).for_each(|(image, sums)| errors.set(image, sums));
    if errors.images() == 0 {
        return Err(Error::AllBad { count: job.dataset.images.len() });
    }
    Ok(Some(ErrorsPart { images: errors.images(), layers: errors.rows(program.layers()) }))
}

fn block<'p>(
    job: &Job,
    program: &ErrorProgram,
    worker: &(impl Fn() -> Result<Worker<'p>> + Sync),
    range: Range<usize>,
) -> Result<Block> {
    let label = format!("images from {}", range.start + 1);
    let work = |worker: &mut Worker<'p>, index: usize| {
        let index = range.start + index;
        let picture = decode(&job.dataset.images[index].path);
        let Some(picture) = workers::skip_bad(picture, job.settings.skip_bad)? else { return Ok(None) };
        let (input, _) = prepare(&picture, job.settings.size)?;
        let [float, integer] = &mut worker.recordings;
        worker.float.record(&input, float)?;
        worker.integer.record(&input, integer)?;
        Ok(Some((index as u64, program.observe(float, integer)?)))
    };
    let (found, _) = workers::for_each(job.threads, range.len(), &label, worker, work)?;
    Ok(Block { images: found.into_iter().flatten().collect() })
}

impl ErrorsPart {
    /// A line per layer, or the `top` layers with the most noise of their own.
    #[must_use]
    pub fn table(&self, top: Option<usize>) -> String {
        let mut rows: Vec<_> = self.layers.iter().collect();
        if let Some(top) = top {
            let noise = |figures: ErrorFigures| figures.sqnr_db.unwrap_or(f64::INFINITY);
            rows.sort_by(|a, b| noise(a.isolated).total_cmp(&noise(b.isolated)));
            rows.truncate(top);
        }
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(5);
        let heads = "    SQNR   cosine  rel. L1 rounding  clipping   clipped";
        let mut lines = vec![
            format!("{:<width$} {:^56} {:^56}", "", "this layer alone", "everything up to here"),
            format!("{:<width$} {heads} {heads}", "layer"),
        ];
        let line = |row: &&ptq::analysis::LayerErrorRow| {
            format!("{:<width$} {} {}", row.name, figures(row.isolated), figures(row.accumulated))
        };
        lines.extend(rows.iter().map(line));
        lines.join("\n")
    }
}

fn figures(figures: ErrorFigures) -> String {
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
    };
    let power = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1e}"));
    format!(
        "{:>8} {:>8.5} {:>8} {:>8} {:>9} {:>8.3}%",
        number(figures.sqnr_db, 2),
        figures.cosine,
        number(figures.relative_l1, 5),
        power(figures.rounding),
        power(figures.saturation),
        100.0 * figures.clipped
    )
}
