//! Incremental network quantisation.

use super::arguments::TuneArguments;
use super::report::{self, Stage};
use super::session::{Progress, Session};
use super::target::Target;
use super::tuner::{Optimizers, Quantised, Tuner};
use crate::arguments::thread_count;
use crate::error::{Error, Result};
use crate::output::{check_writable, create_folder, note};
use nn_graph::{Params, write_safetensors};
use qat_inq::{Inq, Masks, Nesting, Partition, Projection, Ratios};
use quant_core::Rounding;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// By what weights are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PartitionArgument {
    /// The largest first
    Magnitude,
    /// By the seed
    Random,
}

/// How INQ goes, and all that is common to training.
#[derive(Debug, Clone, clap::Args)]
pub struct InqArguments {
    /// Shares of the weights that are frozen, stage by stage
    #[arg(long, value_delimiter = ',', default_value = "0.5,0.75,0.875,1")]
    pub ratios: Vec<f64>,
    /// Let the last ratio be below 1, as published scripts do, which end at 0.99
    #[arg(long)]
    pub open_ended: bool,
    /// Steps of every stage
    #[arg(long, default_value_t = 100)]
    pub steps: u64,
    /// By what weights are chosen
    #[arg(long, value_enum, default_value = "magnitude")]
    pub partition: PartitionArgument,
    /// Choose anew from all weights at every stage, as published scripts do: what was frozen may be free again
    #[arg(long)]
    pub redrawn: bool,
    /// Put all weights on their grid at the start of every stage, as published scripts do, not only those that are frozen
    #[arg(long)]
    pub project_all: bool,
    /// Freeze the first convolution as a whole
    #[arg(long)]
    pub freeze_first: bool,
    /// Leave feature maps in real numbers in training, as published scripts do at 8 bits
    #[arg(long)]
    pub float_maps: bool,
    /// Folder for what comes of it
    #[arg(long, default_value = "out/inq")]
    pub out: PathBuf,
    /// What is common.
    #[command(flatten)]
    pub tune: TuneArguments,
}

/// Trains in stages, and writes to the folder: `last.state`, from which it goes on; the networks of every stage, in real numbers and as integers;
/// `last.safetensors`, the parameters; `summary.json`; for Icraft its pairs of files.
///
/// # Errors
/// All that can go wrong; what was written before stays.
pub fn inq(arguments: &InqArguments) -> Result<()> {
    let ratios = match arguments.open_ended {
        true => Ratios::open_ended(&arguments.ratios)?,
        false => Ratios::new(&arguments.ratios)?,
    };
    check_writable(&arguments.out)?;
    let threads = thread_count(arguments.tune.evaluation.threads);
    let target = Target::load(&arguments.tune.target, threads)?;
    let session = Session::open(&arguments.tune, &target, &arguments.out)?;
    let way = Way { arguments, inq: way(arguments, &target)?, session: &session };
    note(format_args!(
        "{}: {} stages of {} steps on {} images",
        target.model().graph.name(),
        ratios.stages().len(),
        arguments.steps,
        session.image_count()
    ));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| way.go(ratios.stages()))
}

fn way(arguments: &InqArguments, target: &Target) -> Result<Inq> {
    let graph = &target.model().graph;
    let mut inq = Inq::new(target.quantizers.grids(graph, Rounding::HalfAway)?);
    if arguments.partition == PartitionArgument::Random {
        inq.partition = Partition::Random { seed: arguments.tune.seed };
    }
    if arguments.redrawn {
        inq.nesting = Nesting::Redrawn;
    }
    if arguments.project_all {
        inq.projection = Projection::All;
    }
    let mut convolutions = graph.nodes().iter().filter(|node| matches!(node.op, nn_graph::Op::Conv(_)));
    if let (true, Some(first)) = (arguments.freeze_first, convolutions.next()) {
        inq.whole.insert(format!("{}.weight", first.name));
    }
    Ok(inq)
}

/// INQ on data that is open.
struct Way<'a> {
    arguments: &'a InqArguments,
    inq: Inq,
    session: &'a Session<'a>,
}

/// Where it stands.
struct Standing {
    params: Params,
    masks: Option<Masks>,
    optimizers: Optimizers,
    progress: Progress,
}

impl Way<'_> {
    fn settings(&self) -> String {
        let InqArguments { ratios, steps, partition, redrawn, project_all, freeze_first, float_maps, .. } =
            self.arguments;
        let own = (ratios, steps, partition, redrawn, project_all, freeze_first, float_maps);
        format!("inq {own:?} {}", self.arguments.tune.settings())
    }

    fn go(&self, ratios: &[f64]) -> Result<()> {
        let Self { session, .. } = self;
        let mut standing = self.standing()?;
        create_folder(session.out)?;
        if standing.progress.all_steps == 0 {
            report::save_untrained(session)?;
        }
        for &ratio in &ratios[standing.progress.stages..] {
            self.stage(&mut standing, ratio)?;
        }
        let path = session.out.join("last.safetensors");
        let metadata = BTreeMap::from([("model".to_owned(), session.target.model().graph.name().to_owned())]);
        write_safetensors(&path, &standing.params, &metadata)
            .map_err(|error| Error::model(&path)(error.into()))?;
        session.target.write(&standing.params, &session.target.quantizers, session.out)?;
        report::finish(session, "inq", self.stages(&standing, ratios), standing.progress.all_steps)
    }

    /// From the beginning, or from where it was left.
    fn standing(&self) -> Result<Standing> {
        let settings = self.settings();
        Ok(match self.session.state(&settings)? {
            Some(state) => Standing {
                params: state.parameters_of("network")?.clone(),
                masks: state.parameters.get("masks").map(Masks::from_params),
                optimizers: state.optimizers,
                progress: state.progress,
            },
            None => Standing {
                params: self.session.target.model().params.clone(),
                masks: None,
                optimizers: Optimizers::new(),
                progress: Progress { settings, ..Progress::default() },
            },
        })
    }

    fn stage(&self, standing: &mut Standing, ratio: f64) -> Result<()> {
        let Self { arguments, inq, session } = self;
        let begun = standing.progress.step > 0;
        let masks = match (&standing.masks, begun) {
            (Some(masks), true) => masks.clone(),
            (before, _) => {
                let (params, masks) = inq.begin(&standing.params, before.as_ref(), ratio)?;
                standing.params = params;
                masks
            }
        };
        let quantised = if arguments.float_maps { Quantised::Nothing } else { Quantised::Maps };
        let mut tuner = Tuner::new(session.target, &arguments.tune, (&standing.params, &masks), &quantised)?;
        if begun {
            tuner = tuner.resume(&arguments.tune, &masks, (&standing.optimizers, None))?;
        }
        session.stage(&mut tuner, &mut standing.progress, (&masks, arguments.steps))?;
        standing.params = tuner.params()?;
        let off = inq.count_off(&standing.params, &masks)?;
        if off > 0 {
            return Err(Error::OffGrid { count: off, ratio });
        }
        report::save(session, &name(ratio), &standing.params, &session.target.quantizers)?;
        session.keep(&standing.params, Some(&masks), (None, Optimizers::new()), &standing.progress)?;
        note(format_args!(
            "ratio {ratio}: {} of {} weights frozen, mean loss {:.5}",
            masks.counts()[0],
            masks.counts()[1],
            standing.progress.losses.last().copied().unwrap_or_default()
        ));
        standing.masks = Some(masks);
        Ok(())
    }

    /// Rows of the summary.
    fn stages(&self, standing: &Standing, ratios: &[f64]) -> Vec<Stage> {
        let weights = standing.masks.as_ref().map_or(0, |masks| masks.counts()[1]);
        let row = |name: String, ratio: Option<f64>, loss: Option<f64>| Stage {
            name,
            ratio,
            frozen: ratio.map_or(0, |ratio| self.frozen(ratio)),
            weights,
            loss,
            ap_float: None,
            ap_integer: None,
        };
        let stages = ratios.iter().zip(&standing.progress.losses);
        let stages = stages.map(|(&ratio, &loss)| row(name(ratio), Some(ratio), Some(loss)));
        [row("ptq".to_owned(), None, None)].into_iter().chain(stages).collect()
    }

    /// How many weights are frozen at a ratio.
    fn frozen(&self, ratio: f64) -> usize {
        let params = &self.session.target.model().params;
        let of = |name: &String| {
            let count = params.get(name).map_or(0, |weight| weight.data().len());
            let ratio = if self.inq.whole.contains(name) { 1.0 } else { ratio };
            (ratio * count as f64).round() as usize
        };
        self.inq.grids.keys().map(of).sum()
    }
}

fn name(ratio: f64) -> String {
    format!("inq-{ratio}")
}
