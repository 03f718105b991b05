//! An epoch in batches, made ahead of whoever consumes them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use rayon::prelude::*;

use super::random::epoch_order;
use super::{Augmentation, DataError, Label, Labelled, Result, Samples, sample_random};
use crate::image_size::CHANNELS;
use crate::{BatchLabel, ImageSize, to_planar_f32};

/// Batches that are being made or wait for the consumer, at most.
const AHEAD: usize = 2;

/// How long a thread of the pool without work waits before it looks for some again.
const IDLE: Duration = Duration::from_millis(1);

/// Which epoch, and how it is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchParams {
    /// Size of the training pictures.
    pub size: ImageSize,
    /// Samples of a batch, at least 1; the last may have fewer.
    pub batch: usize,
    /// Decides on everything random, together with the epoch.
    pub seed: u64,
    /// Which pass over the data, from 0.
    pub epoch: u64,
}

/// Some samples, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// batch x 3 x height x width, RGB, `value / 255`.
    pub images: Vec<f32>,
    /// The objects, in the order of the images.
    pub labels: Vec<BatchLabel>,
    /// The sample that each image was made from (a mosaic's first).
    pub indices: Vec<usize>,
}

/// The batches of an epoch.
///
/// The order is shuffled by (seed, epoch); each sample is made with [`sample_random`]`(seed, epoch, index)`. Up to two batches are
/// made ahead, on the threads of the rayon pool that `next` is called from: its current pool, or the global one. A batch
/// with a sample that cannot be made is an error in its place; the ones after it still come. Dropping the iterator
/// does not wait: samples being made are finished, no more are begun.
pub struct Batches {
    job: Arc<Job>,
    order: Vec<usize>, // samples of batches not begun, the last to come first
    underway: VecDeque<Receiver<Outcome>>,
}

/// A batch, or what a thread panicked with.
type Outcome = thread::Result<Result<Batch>>;

/// What every batch needs to know.
struct Job {
    samples: Arc<Samples>,
    augmentation: Augmentation,
    params: BatchParams,
    values: usize, // of one image
    abandoned: AtomicBool,
}

impl Batches {
    /// Prepares an epoch; nothing is decoded before the first batch is asked for.
    ///
    /// # Errors
    /// A setting outside its range, a batch of 0 samples, a size that is zero or too large.
    pub fn new(samples: Arc<Samples>, augmentation: Augmentation, params: BatchParams) -> Result<Self> {
        augmentation.check()?;
        if params.batch == 0 {
            return Err(DataError::Setting { name: "batch", value: 0.0, range: "at least 1" });
        }
        let values = params.size.value_count("training picture", CHANNELS)?;
        let in_batch = values.checked_mul(params.batch.min(samples.len()));
        let ImageSize { height, width } = params.size;
        let too_large = crate::Error::TooLarge { name: "batch", height, width, channels: CHANNELS };
        in_batch.ok_or(too_large)?;
        let mut order = epoch_order(params.seed, params.epoch, samples.len());
        order.reverse();
        let job = Arc::new(Job { samples, augmentation, params, values, abandoned: AtomicBool::new(false) });
        Ok(Self { job, order, underway: VecDeque::new() })
    }

    /// Begins batches until as many are underway as may be.
    fn begin(&mut self) {
        while self.underway.len() < AHEAD && !self.order.is_empty() {
            let rest = self.order.len().saturating_sub(self.job.params.batch);
            let indices: Vec<usize> = self.order.drain(rest..).rev().collect();
            let (sender, receiver) = sync_channel(1);
            let job = Arc::clone(&self.job);
            rayon::spawn(move || job.send(indices, &sender));
            self.underway.push_back(receiver);
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.begin();
        let outcome = wait(&self.underway.pop_front()?);
        self.begin();
        outcome.map(|outcome| outcome.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.underway.len() + self.order.len().div_ceil(self.job.params.batch);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        self.job.abandoned.store(true, Ordering::Relaxed);
    }
}

impl Job {
    /// Makes a batch and hands it over; nobody is there to take an abandoned one.
    fn send(&self, indices: Vec<usize>, receiver: &SyncSender<Outcome>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.make(indices)));
        let _ = receiver.send(outcome);
    }

    fn make(&self, indices: Vec<usize>) -> Result<Batch> {
        let mut images = vec![0.0; indices.len() * self.values];
        let places = images.par_chunks_exact_mut(self.values).zip(&indices);
        let made: Vec<Result<Vec<Label>>> =
            places.map(|(image, &index)| self.make_sample(index, image)).collect();
        let mut labels = Vec::new();
        for (image, of_image) in made.into_iter().enumerate() {
            labels.extend(of_image?.into_iter().map(|Label { class, bbox }| BatchLabel {
                image,
                class,
                bbox,
            }));
        }
        Ok(Batch { images, labels, indices })
    }

    /// Writes one image and returns its labels.
    fn make_sample(&self, index: usize, image: &mut [f32]) -> Result<Vec<Label>> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let BatchParams { size, seed, epoch, .. } = self.params;
        let mut random = sample_random(seed, epoch, index);
        let Labelled { picture, labels } = self.augmentation.draw(&self.samples, index, size, &mut random)?;
        to_planar_f32(&picture.pixels, size, image)?;
        Ok(labels)
    }
}

/// Waits for a batch. A thread of the pool works meanwhile: it may be the only one.
///
/// `None` cannot be: a sender sends before it goes.
fn wait(receiver: &Receiver<Outcome>) -> Option<Outcome> {
    loop {
        match receiver.try_recv() {
            Ok(outcome) => return Some(outcome),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        match rayon::yield_now() {
            None => return receiver.recv().ok(),
            Some(rayon::Yield::Executed) => {}
            Some(rayon::Yield::Idle) => match receiver.recv_timeout(IDLE) {
                Ok(outcome) => return Some(outcome),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            },
        }
    }
}
