//! Numbered draws: any draw of any stream can be asked for alone, in any order.

/// Increment of splitmix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Prime of FNV-1a, which spreads seeds over the streams.
const SEED_FACTOR: u64 = 0x100_0000_01b3;

/// Independent streams of 32-bit draws.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    seed: u64,
}

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Draw number `index` of a stream, in [0, 2^32).
    pub(crate) fn bits(self, stream: u64, index: usize) -> i64 {
        let start = mix(self.seed.wrapping_mul(SEED_FACTOR).wrapping_add(stream));
        let state = start.wrapping_add((index as u64 + 1).wrapping_mul(GOLDEN));
        (mix(state) >> 32) as i64
    }

    /// Draw number `index` of a stream, in [0, `end`), by multiplication and shift.
    pub(crate) fn below(self, stream: u64, index: usize, end: i64) -> i64 {
        (self.bits(stream, index) * end) >> 32
    }

    /// Draw number `index` of a stream, distributed as a table says.
    pub(crate) fn by_table(self, stream: u64, index: usize, table: &[Knot]) -> i64 {
        interpolate(self.bits(stream, index), table)
    }
}

/// Output function of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// 2014, with Stafford's variant 13 of the constants).
fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// A point of an inverse cumulative distribution: probability in thousandths, value.
pub(crate) type Knot = (i64, i64);

/// The value at probability `bits` / 2^32, linear between knots. The first knot lies at 0, the last at 1000.
fn interpolate(bits: i64, table: &[Knot]) -> i64 {
    let thousandths = bits * 1000; // 32 fractional bits
    let above = table.partition_point(|&(probability, _)| probability << 32 <= thousandths);
    let ((from, low), (to, high)) = (table[above - 1], table[above]);
    let span = ((to << 32) - (from << 32)) >> 12;
    let fraction = ((thousandths - (from << 32)) >> 12) * 1024 / span; // in [0, 1023]
    low + (((high - low) * fraction) >> 10)
}
