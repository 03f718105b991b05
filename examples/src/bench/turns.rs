//! Runs of several configurations in turns, so that whatever else the machine does hits them alike.

use super::{Peaks, Products, TimedNetwork};
use crate::error::Result;
use crate::progress::bar;
use crate::resources::cpu_seconds;
use nn_graph::formula_uniform;
use quant_core::{Executor, StepTimes};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use yolo_model::ImageSize;

/// Runs before the first turn: weights are packed and memory is taken in the first of them.
const WARM_UP_RUNS: usize = 2;

/// One network at one size on a number of threads, and what its runs took.
pub struct Turn<'n> {
    /// The network.
    pub network: &'n TimedNetwork,
    /// Threads of its pool.
    pub threads: usize,
    /// Size of its input.
    pub size: ImageSize,
    /// What runs.
    pub executor: Executor<'n>,
    /// Wall time of every run, seconds.
    pub wall: Vec<f64>,
    /// CPU time of the process over all runs, seconds, where the system tells.
    pub cpu: Option<f64>,
    /// Times of the steps of every run, if they were asked for.
    pub steps: Vec<StepTimes>,
    pool: Arc<ThreadPool>,
    image: Arc<[f32]>,
}

impl Turn<'_> {
    /// Runs once without counting.
    fn warm_up(&mut self) -> Result<()> {
        let Self { executor, pool, image, .. } = self;
        Ok(pool.install(|| executor.run(image))?)
    }

    /// Runs twice, and counts the second run: the first brings weights and feature maps back into the caches, from where the other
    /// configurations have driven them.
    fn run(&mut self, by_step: bool) -> Result<()> {
        self.warm_up()?;
        let Self { executor, pool, image, .. } = self;
        let mut steps = StepTimes::default();
        let (before, start) = (cpu_seconds(), Instant::now());
        pool.install(|| if by_step { executor.run_timed(image, &mut steps) } else { executor.run(image) })?;
        let wall = start.elapsed().as_secs_f64();
        self.cpu = self.cpu.zip(before).zip(cpu_seconds()).map(|((sum, before), after)| sum + after - before);
        self.wall.push(wall);
        self.steps.extend(by_step.then_some(steps));
        Ok(())
    }
}

/// All configurations.
pub struct Turns<'n>(Vec<Turn<'n>>);

impl<'n> Turns<'n> {
    /// Every network on every number of threads at every size; weights are shared among the numbers of threads.
    ///
    /// # Errors
    /// A size that does not fit the network, or takes too much memory; threads that can't be started.
    pub fn new(networks: &'n [TimedNetwork], threads: &[usize], sizes: &[ImageSize]) -> Result<Self> {
        let pool = |&threads: &usize| Ok(Arc::new(ThreadPoolBuilder::new().num_threads(threads).build()?));
        let pools = threads.iter().map(pool).collect::<Result<Vec<_>>>()?;
        let mut turns = Vec::new();
        for timed in networks {
            for &size in sizes {
                timed.network.head.level_sizes(size)?;
                let executor = Executor::new(&timed.network.program, size.height, size.width)?;
                let image = image(&executor);
                turns.extend(pools.iter().zip(threads).map(|(pool, &threads)| Turn {
                    network: timed,
                    threads,
                    size,
                    executor: executor.clone(),
                    wall: Vec::new(),
                    cpu: Some(0.0),
                    steps: Vec::new(),
                    pool: Arc::clone(pool),
                    image: Arc::clone(&image),
                }));
            }
        }
        Ok(Self(turns))
    }

    /// Runs each configuration once per turn, and measures the peaks of what they multiply; with `by_step` also times of steps.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn run(mut self, turns: usize, by_step: bool) -> Result<(Vec<Turn<'n>>, Peaks)> {
        let progress = bar(turns, "timing");
        for _ in 0..WARM_UP_RUNS {
            self.0.iter_mut().try_for_each(Turn::warm_up)?;
        }
        let mut operands = BTreeSet::new();
        self.0.iter().for_each(|turn| operands.extend(Products::of(&turn.executor).operands()));
        let mut peaks = Peaks::new(operands.into_iter());
        for _ in 0..turns {
            self.0.iter_mut().try_for_each(|turn| turn.run(by_step))?;
            peaks.measure();
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok((self.0, peaks))
    }
}

/// An image of evenly distributed values in `[0, 1)`, the same in every process.
fn image(executor: &Executor<'_>) -> Arc<[f32]> {
    let count: usize = executor.shapes()[0].iter().product();
    (0..count as u64).map(|index| formula_uniform("bench", index) as f32).collect()
}
