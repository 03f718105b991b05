//! Small changes to good files: refused or read, without a panic, and with the same answer in every way of asking.

use icraft_raw::{Generation, RawFile};

use crate::exercise::exercise;
use crate::files::{good, xir};

/// A sequence of pseudo-random numbers (xorshift).
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Sets bytes, lengthens, cuts.
fn mutate(bytes: &mut Vec<u8>, draws: &mut Draws) {
    const VALUES: [u8; 8] = [0, 1, 2, 0x1C, 0x7F, 0x80, 0xA5, 0xFF];
    for _ in 0..=draws.below(3) {
        match draws.below(8) {
            0 => bytes.truncate(draws.below(bytes.len() + 1)),
            1 => bytes.extend_from_within(..draws.below(bytes.len() + 1)),
            _ if bytes.is_empty() => {}
            2 => {
                let at = draws.below(bytes.len());
                bytes[at] ^= 1 << draws.below(8);
            }
            _ => {
                let at = draws.below(bytes.len());
                bytes[at] = VALUES[draws.below(VALUES.len())];
            }
        }
    }
}

#[test]
fn mutated_files_are_read_or_refused() {
    let seeds = [
        good(Generation::Legacy),
        good(Generation::Xir),
        xir(&[(1, 56), (2, 52), (3, 56)], &[1, 2, 3, 4, 5, 6]),
        xir(&[], &[]),
    ];
    let mut draws = Draws(0x9E37_79B9_7F4A_7C15);
    let mut read = 0;
    for round in 0..40_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        mutate(&mut bytes, &mut draws);
        exercise(&bytes);
        read += usize::from(RawFile::from_bytes(bytes).is_ok());
    }
    // Both outcomes have to be common for the test to tell anything.
    assert!((4_000..36_000).contains(&read), "{read}");
}
