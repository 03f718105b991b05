//! Random numbers that stay the same: ChaCha with 8 rounds, and our own maps from its 64-bit words to what is needed.
//!
//! No distribution of the crate `rand` is used, for those may change with its versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// 2^-53, the distance of the numbers that [`unit`] draws.
const UNIT_STEP: f64 = 1.0 / 9_007_199_254_740_992.0;

/// What a generator is for; the last eight bytes of its key.
const FOR_SAMPLE: &[u8; 8] = b"sample\0\0";
const FOR_ORDER: &[u8; 8] = b"order\0\0\0";

/// The generator of all that is random about sample `index` in an epoch.
///
/// Its 256-bit key is `seed`, `epoch` and `index` as little-endian 64-bit words and the bytes `sample\0\0`, so that no
/// two samples share a stream.
pub fn sample_random(seed: u64, epoch: u64, index: usize) -> ChaCha8Rng {
    keyed(seed, epoch, index as u64, FOR_SAMPLE)
}

/// The generator of an epoch's order.
fn order_random(seed: u64, epoch: u64) -> ChaCha8Rng {
    keyed(seed, epoch, 0, FOR_ORDER)
}

fn keyed(seed: u64, epoch: u64, index: u64, purpose: &[u8; 8]) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [seed.to_le_bytes(), epoch.to_le_bytes(), index.to_le_bytes(), *purpose];
    for (part, word) in key.chunks_exact_mut(8).zip(words) {
        part.copy_from_slice(&word);
    }
    ChaCha8Rng::from_seed(key)
}

/// A multiple of 2^-53, uniform in [0, 1): the upper 53 bits of a word.
pub(super) fn unit<R: Rng + ?Sized>(random: &mut R) -> f64 {
    (random.next_u64() >> 11) as f64 * UNIT_STEP
}

/// Uniform between `low` and `high`: `low + (high - low) * unit`.
pub(super) fn uniform<R: Rng + ?Sized>(random: &mut R, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(random)
}

/// True with `probability`; never for 0, always for 1. Takes one word in any case.
pub(super) fn chance<R: Rng + ?Sized>(random: &mut R, probability: f64) -> bool {
    unit(random) < probability
}

/// A whole number in [0, bound): `floor(word * bound / 2^64)`, whose bias is below `bound / 2^64`.
pub(super) fn below<R: Rng + ?Sized>(random: &mut R, bound: usize) -> usize {
    ((u128::from(random.next_u64()) * bound as u128) >> 64) as usize
}

/// Fisher and Yates: position `last`, from the end downwards, changes places with one of [0, last].
pub(super) fn shuffle<R: Rng + ?Sized, T>(random: &mut R, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(random, last + 1));
    }
}

/// The samples of an epoch in random order.
pub(super) fn epoch_order(seed: u64, epoch: u64, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    shuffle(&mut order_random(seed, epoch), &mut order);
    order
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Taken from a ChaCha written in Python, independently: a change of version must not change what a seed means.
    #[test]
    fn streams_stay_what_they_are() {
        let mut random = sample_random(1, 2, 3);
        let words = [random.next_u64(), random.next_u64()];
        assert_eq!(words, [18_390_981_206_128_728_024, 7_781_913_575_361_417_487]);
        assert_eq!(epoch_order(1, 2, 8), [6, 5, 1, 0, 4, 3, 7, 2]);
    }

    #[test]
    fn streams_differ_by_seed_epoch_index_and_purpose() {
        let keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)];
        let mut first: HashSet<u64> = keys.map(|(s, e, i)| sample_random(s, e, i).next_u64()).into();
        first.insert(order_random(0, 0).next_u64());
        assert_eq!(first.len(), 7);
    }

    #[test]
    fn numbers_lie_where_they_should() {
        let mut random = sample_random(7, 0, 0);
        let mut counts = [0; 5];
        let mut sum = 0.0;
        for _ in 0..10_000 {
            counts[below(&mut random, 5)] += 1;
            let value = uniform(&mut random, -2.0, 4.0);
            assert!((-2.0..4.0).contains(&value));
            sum += value;
            assert!(chance(&mut random, 1.0) && !chance(&mut random, 0.0));
        }
        assert!(counts.iter().all(|&count| (1850..2150).contains(&count)), "{counts:?}"); // 2000, sigma 40
        assert!((sum / 1e4 - 1.0).abs() < 0.09, "{sum}"); // sigma 0.017
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..6000 {
            *counts.entry(epoch_order(5, epoch, 3)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}"); // 1000, sigma 29
    }
}
