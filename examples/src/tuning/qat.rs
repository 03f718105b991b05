//! Quantisation-aware training.

use super::arguments::TuneArguments;
use super::report::{self, Stage};
use super::session::{Progress, Session};
use super::target::Target;
use super::tuner::{Quantised, Tuner};
use crate::arguments::thread_count;
use crate::error::{Error, Result};
use crate::output::{check_writable, create_folder, note};
use nn_graph::{Params, write_safetensors};
use qat_inq::{Masks, Quantizers};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What becomes of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StepsArgument {
    /// They are learned (LSQ)
    Learned,
    /// They stay as calibration has chosen them
    Fixed,
}

/// How quantisation-aware training goes, and all that is common to training.
#[derive(Debug, Clone, clap::Args)]
pub struct QatArguments {
    /// What becomes of the quantisers' steps
    #[arg(long, value_enum, default_value = "learned")]
    pub scales: StepsArgument,
    /// Steps of training
    #[arg(long, default_value_t = 400)]
    pub steps: u64,
    /// Folder for what comes of it
    #[arg(long, default_value = "out/qat")]
    pub out: PathBuf,
    /// What is common.
    #[command(flatten)]
    pub tune: TuneArguments,
}

/// Trains, and writes to the folder: `last.state`, from which it goes on; the networks before and after, in real numbers and as integers;
/// `last.safetensors`, the parameters; `summary.json`; for Icraft its pairs of files.
///
/// # Errors
/// All that can go wrong; what was written before stays.
pub fn qat(arguments: &QatArguments) -> Result<()> {
    check_writable(&arguments.out)?;
    let threads = thread_count(arguments.tune.evaluation.threads);
    let target = Target::load(&arguments.tune.target, threads)?;
    let session = Session::open(&arguments.tune, &target, &arguments.out)?;
    note(format_args!(
        "{}: {} steps on {} images",
        target.model().graph.name(),
        arguments.steps,
        session.image_count()
    ));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| go(arguments, &session))
}

fn go(arguments: &QatArguments, session: &Session<'_>) -> Result<()> {
    let target = session.target;
    let QatArguments { scales, steps, tune, .. } = arguments;
    let settings = format!("qat {:?} {}", (scales, steps), tune.settings());
    let state = session.state(&settings)?;
    create_folder(session.out)?;
    let mut progress = Progress { settings, ..Progress::default() };
    let quantised = match scales {
        StepsArgument::Learned => Quantised::Learned,
        StepsArgument::Fixed => Quantised::All,
    };
    let masks = Masks::default();
    let mut tuner = match &state {
        None => {
            report::save_untrained(session)?;
            Tuner::new(target, tune, (&target.model().params, &masks), &quantised)?
        }
        Some(state) => {
            progress = state.progress.clone();
            let tuner = Tuner::new(target, tune, (state.parameters_of("network")?, &masks), &quantised)?;
            tuner.resume(tune, &masks, (&state.optimizers, state.parameters.get("steps")))?
        }
    };
    if progress.stages == 0 {
        session.stage(&mut tuner, &mut progress, (&masks, *steps))?;
        session.keep(&tuner.params()?, None, (tuner.steps()?, tuner.optimizers()?), &progress)?;
    }
    let quantizers = tuner.quantizers()?;
    let params = report::on_grid(target, &tuner.params()?, &quantizers)?;
    write(session, &params, &quantizers)?;
    let weights = quantizers.kernels.keys().filter_map(|name| params.get(name));
    let weights: usize = weights.map(|weight| weight.data().len()).sum();
    let row = |name: &str, loss: Option<f64>| Stage {
        name: name.to_owned(),
        ratio: None,
        frozen: 0,
        weights,
        loss,
        ap_float: None,
        ap_integer: None,
    };
    let stages = vec![row("ptq", None), row("qat", progress.losses.last().copied())];
    report::finish(session, "qat", stages, progress.all_steps)
}

fn write(session: &Session<'_>, params: &Params, quantizers: &Quantizers) -> Result<()> {
    report::save(session, "qat", params, quantizers)?;
    let path = session.out.join("last.safetensors");
    let metadata = BTreeMap::from([("model".to_owned(), session.target.model().graph.name().to_owned())]);
    write_safetensors(&path, params, &metadata).map_err(|error| Error::model(&path)(error.into()))?;
    session.target.write(params, quantizers, session.out).map(drop)
}
