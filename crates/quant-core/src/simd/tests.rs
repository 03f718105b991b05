//! Every variant beside the portable one, bit for bit, and the checks in front of them.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Cases of each kind; an interpreter gets fewer.
const CASES: u64 = if cfg!(miri) { 4 } else { 200 };

/// Seeds, each with a stream of pseudo-random numbers (an LCG's high bits).
fn cases() -> impl Iterator<Item = Random> {
    (0..CASES).map(Random)
}

#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    fn among<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    fn within(&mut self, low: i32, high: i32) -> i32 {
        (i64::from(low) + i64::from(self.next()) % (i64::from(high) - i64::from(low) + 1)) as i32
    }

    /// Of magnitudes from 2^-20 to 2^20, and never zero.
    fn float(&mut self) -> f32 {
        let fraction = 1.0 + self.within(0, 1 << 23) as f32 / (1 << 23) as f32;
        fraction * 2f32.powi(self.within(-20, 19)) * self.among(&[-1.0, 1.0])
    }

    /// Any, or one of the ends.
    fn byte(&mut self) -> u8 {
        let any = self.next() as u8;
        self.among(&[any, any, 0, 255])
    }

    fn integer(&mut self) -> i32 {
        let any = self.next() as i32;
        self.among(&[any, any >> 12, 0, -1, i32::MIN, i32::MAX])
    }

    fn many<T>(&mut self, count: usize, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..count).map(|_| value(self)).collect()
    }
}

const PORTABLE: Isa = Isa(Level::Portable);

/// All but the portable one.
fn variants() -> Vec<Isa> {
    let mut list = Isa::available();
    list.retain(|&isa| isa != PORTABLE);
    println!("compared with portable: {:?}", list.iter().map(|isa| isa.name()).collect::<Vec<_>>());
    list
}

/// Values that a tile is read from, as many as it reads and not one more.
struct Source<T> {
    values: Vec<T>,
    stride: usize,
    depth: usize,
}

impl<T> Source<T> {
    fn new(random: &mut Random, pixels: usize, depth: usize, value: impl FnMut(&mut Random) -> T) -> Self {
        let stride = depth + random.among(&[0, 0, 1, 3, 16]);
        Self { values: random.many((pixels - 1) * stride + depth, value), stride, depth }
    }

    fn rows(&self) -> Rows<'_, T> {
        Rows { values: &self.values, stride: self.stride, depth: self.depth }
    }
}

/// Depths of one to three sources, multiples of `group`.
fn depths(random: &mut Random, group: usize) -> Vec<usize> {
    let most = if cfg!(miri) { 8 } else { 96 };
    let mut depths = random.many(1, |random| group * (1 + random.below(most / group)));
    depths.resize(1 + random.below(3), group);
    if !cfg!(miri) && random.below(20) == 0 {
        depths[0] = 4096;
    }
    depths
}

#[test]
fn tiles_of_bytes_are_equal() {
    let variants = variants();
    for mut random in cases() {
        for (pixels, channels) in sizes() {
            let depths = depths(&mut random, 4);
            let sources: Vec<_> =
                depths.iter().map(|&depth| Source::new(&mut random, pixels, depth, Random::byte)).collect();
            let rows: Vec<_> = sources.iter().map(Source::rows).collect();
            let values = random.many(depths.iter().sum::<usize>() * channels, |random| random.byte() as i8);
            let weights = Weights { values: &values, channels };
            let run = |isa| {
                let mut sums = [[77; TILE_CHANNELS]; TILE_PIXELS];
                tile_u8(isa, &rows, weights, pixels, &mut sums);
                sums.map(|sums| sums[..channels].to_vec())[..pixels].to_vec()
            };
            let want = run(PORTABLE);
            for &isa in &variants {
                assert_eq!(run(isa), want, "{}: {pixels} x {channels} of {depths:?}", isa.name());
            }
        }
    }
}

/// All numbers of pixels and channels of a tile; an interpreter gets few.
fn sizes() -> impl Iterator<Item = (usize, usize)> {
    let step = if cfg!(miri) { 6 } else { 1 };
    let pixels = (1..=TILE_PIXELS).step_by(step);
    pixels.flat_map(|pixels| [(pixels, TILE_CHANNELS / 2), (pixels, TILE_CHANNELS)])
}

#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn sums_of_bytes_wrap_around() {
    let depth = 4 * 40_000;
    let (bytes, values) = (vec![255u8; depth], vec![-128i8; depth * TILE_CHANNELS]);
    let rows = [Rows { values: &bytes, stride: depth, depth }];
    for isa in Isa::available() {
        let mut sums = [[0; TILE_CHANNELS]; TILE_PIXELS];
        tile_u8(isa, &rows, Weights { values: &values, channels: TILE_CHANNELS }, 1, &mut sums);
        let sum = -128 * 255 * depth as i64;
        assert!(sum < i64::from(i32::MIN));
        assert_eq!(sums[0], [sum as i32; TILE_CHANNELS], "{}", isa.name());
    }
}

#[test]
fn tiles_of_floats_are_equal() {
    let variants = variants();
    for mut random in cases() {
        for (pixels, channels) in sizes() {
            let depths = depths(&mut random, 1);
            let sources: Vec<_> =
                depths.iter().map(|&depth| Source::new(&mut random, pixels, depth, Random::float)).collect();
            let rows: Vec<_> = sources.iter().map(Source::rows).collect();
            let values = random.many(depths.iter().sum::<usize>() * channels, Random::float);
            let weights = Weights { values: &values, channels };
            let run = |isa| {
                let mut sums = [[7.7; TILE_CHANNELS]; TILE_PIXELS];
                tile_f32(isa, &rows, weights, pixels, &mut sums);
                sums.map(|sums| bits(&sums[..channels]))[..pixels].to_vec()
            };
            let want = run(PORTABLE);
            for &isa in &variants {
                assert_eq!(run(isa), want, "{}: {pixels} x {channels} of {depths:?}", isa.name());
            }
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Of 16 bits: any, or one of the ends.
fn word(random: &mut Random) -> i16 {
    let any = random.next() as i16;
    random.among(&[any, any, i16::MIN, i16::MAX])
}

#[test]
fn tiles_of_words_are_equal() {
    let variants = variants();
    for mut random in cases() {
        for (pixels, channels) in sizes() {
            let mut depths = depths(&mut random, 2);
            depths[0] += random.among(&[0, 0, 512]);
            let planes = random.among(&[1, 2]);
            let sources: Vec<_> =
                depths.iter().map(|&depth| Source::new(&mut random, pixels, depth, word)).collect();
            let rows: Vec<_> = sources.iter().map(Source::rows).collect();
            let count = planes * depths.iter().sum::<usize>() * channels;
            let values = random.many(count, |random| {
                let any = random.within(-128, 128) as i16;
                random.among(&[any, any, -128, 128])
            });
            let weights = Weights { values: &values, channels };
            let run = |isa| {
                let mut sums = [[77; TILE_CHANNELS]; TILE_PIXELS];
                tile_i16(isa, &rows, weights, pixels, &mut sums);
                sums.map(|sums| sums[..channels].to_vec())[..pixels].to_vec()
            };
            let want = run(PORTABLE);
            for &isa in &variants {
                assert_eq!(run(isa), want, "{}: {pixels} x {channels} of {depths:?}", isa.name());
            }
        }
    }
}

#[test]
fn wide_sums_and_words_are_finished_equally() {
    let mut moderate_cases = 0;
    for mut random in cases() {
        let table = Words::new(random.many(if cfg!(miri) { 512 } else { 1 << 16 }, word));
        let (pixels, channels) = (1 + random.below(TILE_PIXELS), 1 + random.below(TILE_CHANNELS));
        let shifts: &[i32] = random.among(&[&[33, 40, 60][..], &[33], &[0, 31, 32, 62]]);
        let raise = random.many(TILE_CHANNELS, |random| random.among(&[0, 0, 1, 5]));
        let wide = |random: &mut Random| i64::from(random.integer()) << random.among(&[0, 3, 9]);
        let bias = random.many(TILE_CHANNELS, wide);
        let sums: Tile<i64> = std::array::from_fn(|_| std::array::from_fn(|_| wide(&mut random)));
        let shift = random.many(TILE_CHANNELS, |random| random.among(shifts));
        let mantissa = random.many(TILE_CHANNELS, |random| random.within(0, i32::MAX));
        let stride = channels + random.among(&[0, 1, 30]);
        for table in [None, Some(&table)] {
            let (low, high) = table.map_or((-32768, 32767), |_| (0, if cfg!(miri) { 511 } else { 65535 }));
            let zero_point = random.among(&[0, 1, -1, 32768]);
            for rounding in Rounding::ALL {
                let run = |isa, moderate| {
                    let how = Requantize {
                        bias: &bias[..],
                        raise: &raise,
                        mantissa: &mantissa,
                        shift: &shift,
                        rounding,
                        zero_point,
                        low,
                        high,
                        moderate,
                    };
                    let (mut q, mut values) =
                        ([[0; TILE_CHANNELS]; TILE_PIXELS], vec![7i16; (pixels - 1) * stride + channels]);
                    requantize_wide(isa, &sums, pixels, &how, &mut q);
                    let mut target = Target { values: &mut values, stride, channels };
                    store_i16(isa, &q, pixels, table, &mut target);
                    (q, values)
                };
                let want = run(PORTABLE, false);
                let moderate = shift.iter().all(|shift| MODERATE_WIDE.contains(shift));
                moderate_cases += usize::from(moderate);
                for isa in Isa::available() {
                    assert_eq!(run(isa, moderate), want, "{}: {rounding:?} {shift:?}", isa.name());
                }
            }
        }
    }
    assert!(moderate_cases > 0);
}

/// Entries of [`Requantize`].
#[derive(Debug)]
struct Factors {
    bias: Vec<i32>,
    raise: Vec<i32>,
    mantissa: Vec<i32>,
    shift: Vec<i32>,
    zero_point: i32,
    range: (i32, i32),
}

impl Factors {
    /// Of the ordinary, all in the range that has fast ways, or of any shift.
    fn new(random: &mut Random, range: (i32, i32)) -> Self {
        let shifts: &[i32] =
            random.among(&[&[36, 40, 44][..], &[32], &[60], &[32, 45, 60], &[0, 31, 32, 60, 62]]);
        Self {
            bias: random.many(TILE_CHANNELS, Random::integer),
            raise: random.many(TILE_CHANNELS, |random| random.among(&[0, 0, 1, 2, 31])),
            mantissa: random.many(TILE_CHANNELS, |random| {
                let any = random.within(0, i32::MAX);
                random.among(&[any, any, 0, 1, 1 << 30, i32::MAX])
            }),
            shift: random.many(TILE_CHANNELS, |random| random.among(shifts)),
            zero_point: random.among(&[0, 0, 1, -1, 128, -128, 255, 1 << 15, 1 << 28, i32::MIN, i32::MAX]),
            range,
        }
    }

    fn how(&self, rounding: Rounding) -> Requantize<'_, i32> {
        Requantize {
            bias: &self.bias,
            raise: &self.raise,
            mantissa: &self.mantissa,
            shift: &self.shift,
            rounding,
            zero_point: self.zero_point,
            low: self.range.0,
            high: self.range.1,
            moderate: self.zero_point.unsigned_abs() <= MODERATE_ZERO
                && self.shift.iter().all(|shift| MODERATE.contains(shift)),
        }
    }

    /// By the definition alone.
    fn slow(&self, rounding: Rounding) -> Requantize<'_, i32> {
        Requantize { moderate: false, ..self.how(rounding) }
    }
}

fn sums(random: &mut Random) -> Tile<i32> {
    std::array::from_fn(|_| std::array::from_fn(|_| random.integer()))
}

#[test]
fn requantisation_is_equal() {
    let mut moderate = 0;
    for mut random in cases() {
        let (a, b) = (random.integer(), random.integer());
        let range = random.among(&[(a.min(b), a.max(b)), (-128, 127), (i32::MIN, i32::MAX)]);
        let factors = Factors::new(&mut random, range);
        let (sums, pixels) = (sums(&mut random), random.below(TILE_PIXELS + 1));
        for rounding in Rounding::ALL {
            let run = |isa, how: &Requantize<'_, i32>| {
                let mut sums = sums;
                requantize(isa, &mut sums, pixels, how);
                sums
            };
            let (how, want) = (factors.how(rounding), run(PORTABLE, &factors.slow(rounding)));
            moderate += usize::from(how.moderate);
            for isa in Isa::available() {
                assert_eq!(run(isa, &how), want, "{}: {rounding:?} {factors:?}", isa.name());
            }
        }
    }
    assert!(moderate > 0);
}

#[test]
fn finished_bytes_are_equal() {
    for mut random in cases() {
        let entries = random.among(&[256, if cfg!(miri) { 512 } else { 1 << 16 }]);
        let table = Bytes::new(random.many(entries, Random::byte));
        for (table, last) in [(None, 255), (Some(&table), entries as i32 - 1)] {
            let (a, b) = (random.within(0, last), random.within(0, last));
            let range = random.among(&[(a.min(b), a.max(b)), (0, last)]);
            let factors = Factors::new(&mut random, range);
            let (sums, pixels) = (sums(&mut random), 1 + random.below(TILE_PIXELS));
            let channels = 1 + random.below(TILE_CHANNELS);
            let stride = channels + random.among(&[0, 1, 7, 64]);
            let background = random.many((pixels - 1) * stride + channels, Random::byte);
            for rounding in Rounding::ALL {
                let run = |isa, how: &Requantize<'_, i32>| {
                    let (mut sums, mut values) = (sums, background.clone());
                    let mut target = Target { values: &mut values, stride, channels };
                    finish_u8(isa, &mut sums, pixels, how, table, &mut target);
                    values
                };
                let want = run(PORTABLE, &factors.slow(rounding));
                for isa in Isa::available() {
                    let found = run(isa, &factors.how(rounding));
                    assert_eq!(found, want, "{}: {rounding:?} {channels} {factors:?}", isa.name());
                }
            }
        }
    }
}

#[test]
fn additions_are_equal() {
    let variants = variants();
    for mut random in cases() {
        let count = random.below(100);
        let (a, b) = (random.many(count, Random::byte), random.many(count, |random| random.integer() as i16));
        for rounding in Rounding::ALL {
            let how = Sum {
                mantissas: [random.within(0, 1 << 24), random.among(&[0, 1, 1 << 24])],
                shift: random.among(&[0, 1, 20, 24, 31, 32, 40, 62]),
                rounding,
                zero_points: std::array::from_fn(|_| random.within(-32768, 32767)),
                range: random.among(&[(-128, 127), (0, 100), (-1, -1)]),
            };
            let run = |isa| {
                let (mut x, mut y, mut z) = (vec![0u8; count], vec![0i16; count], vec![0i16; count]);
                add(isa, &a, &b, &how, &mut x);
                add(isa, &a, &a, &how, &mut y);
                add(isa, &b, &b, &how, &mut z);
                (x, y, z)
            };
            let want = run(PORTABLE);
            for &isa in &variants {
                assert_eq!(run(isa), want, "{}: {how:?}", isa.name());
            }
        }
    }
}

#[test]
fn quantised_values_are_equal() {
    let variants = variants();
    for mut random in cases() {
        let count = random.below(100);
        let values = random.many(count, |random| {
            let (any, half) = (random.float(), random.within(-1000, 1000) as f32 / 2.0);
            random.among(&[any, any, half, half, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN])
        });
        let (scale, zero_point) = (random.among(&[1.0, 0.25, 0.007, 3e4]), random.within(-128, 127));
        let range = random.among(&[(-128, 127), (-32768, 32767), (0, 15)]);
        let run = |isa| {
            let mut out = vec![0; count];
            quantize(isa, &values, &mut out, scale, zero_point, range);
            out
        };
        let want = run(PORTABLE);
        for &isa in &variants {
            assert_eq!(run(isa), want, "{}: {values:?} by {scale}", isa.name());
        }
    }
}

#[test]
fn activations_are_equal() {
    const ALL: [Activation; 6] = [
        Activation::Silu,
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Sigmoid,
        Activation::Hardswish,
    ];
    let variants = variants();
    for mut random in cases() {
        let (bias, values) = (random.many(TILE_CHANNELS, Random::float), random.many(101, Random::float));
        let tile: Tile<f32> = std::array::from_fn(|_| std::array::from_fn(|_| random.float()));
        let pixels = random.below(TILE_PIXELS + 1);
        for activation in ALL.map(Some).into_iter().chain([None]) {
            let run = |isa| {
                let (mut tile, mut values) = (tile, values.clone());
                bias_activation(isa, &mut tile, pixels, &bias, activation);
                if let Some(activation) = activation {
                    activate(isa, &mut values, activation);
                }
                // Zeros of either sign count as one number.
                let all = tile.as_flattened().iter().chain(&values);
                all.map(|v| (v + 0.0).to_bits()).collect::<Vec<_>>()
            };
            let want = run(PORTABLE);
            for &isa in &variants {
                assert_eq!(run(isa), want, "{}: {activation:?}", isa.name());
            }
        }
    }
}

/// Whether every instruction set refuses `call`.
fn refused(call: impl Fn(Isa)) -> bool {
    Isa::available().into_iter().all(|isa| catch_unwind(AssertUnwindSafe(|| call(isa))).is_err())
}

/// Calls `tile_u8` with rows and weights that are there, and descriptions of them that may be wrong.
fn read_tile((stride, depth): (usize, usize), channels: usize, pixels: usize) -> impl Fn(Isa) {
    move |isa| {
        let (bytes, values) = ([1u8; 3 * 12 + 8], [1i8; 8 * TILE_CHANNELS]);
        let rows = [Rows { values: &bytes, stride, depth }];
        let weights = Weights { values: &values, channels };
        tile_u8(isa, &rows, weights, pixels, &mut [[0; TILE_CHANNELS]; TILE_PIXELS]);
        let (bytes, values) = (bytes.map(f32::from), values.map(f32::from));
        let rows = [Rows { values: &bytes, stride, depth }];
        let weights = Weights { values: &values, channels };
        tile_f32(isa, &rows, weights, pixels, &mut [[0.0; TILE_CHANNELS]; TILE_PIXELS]);
    }
}

#[test]
fn tiles_beyond_their_slices_are_refused() {
    let last = TILE_PIXELS + 1;
    assert!(!refused(read_tile((12, 8), TILE_CHANNELS, 4)), "what is there is read");
    for (rows, channels, pixels, fault) in [
        ((13, 8), TILE_CHANNELS, 4, "rows too far apart"),
        ((12, 8), TILE_CHANNELS, 5, "a row too many"),
        ((12, 12), TILE_CHANNELS, 1, "weights of 8 depths, values of 12"),
        ((12, 12), TILE_CHANNELS / 2, 4, "a row too long"),
        ((12, 6), TILE_CHANNELS, 1, "half a group"),
        ((12, 8), TILE_CHANNELS / 4, 1, "a width that no variant has"),
        ((12, 8), TILE_CHANNELS, 0, "no pixels"),
        ((0, 8), TILE_CHANNELS, last, "more pixels than a tile has"),
        ((usize::MAX / 2 + 1, 8), TILE_CHANNELS, 3, "a stride whose double overflows"),
        ((0, usize::MAX - 3), TILE_CHANNELS, 1, "a depth whose product overflows"),
    ] {
        assert!(refused(read_tile(rows, channels, pixels)), "{fault}");
    }
}

#[test]
fn requantisation_beyond_slices_is_refused() {
    let entries = [32; TILE_CHANNELS];
    let zero = || [[0; TILE_CHANNELS]; TILE_PIXELS];
    let how = Requantize {
        bias: &entries,
        raise: &[0; TILE_CHANNELS],
        mantissa: &entries,
        shift: &entries,
        rounding: Rounding::HalfUp,
        zero_point: 0,
        low: 0,
        high: 255,
        moderate: true,
    };
    let short = &entries[1..];
    for how in [
        Requantize { bias: short, ..how },
        Requantize { raise: short, ..how },
        Requantize { mantissa: short, ..how },
        Requantize { shift: short, ..how },
    ] {
        assert!(refused(|isa| requantize(isa, &mut zero(), 1, &how)));
    }
    assert!(refused(|isa| requantize(isa, &mut zero(), TILE_PIXELS + 1, &how)));
    let bias = [0.0; TILE_CHANNELS];
    assert!(refused(|isa| bias_activation(isa, &mut [[0.0; 32]; 12], 1, &bias[1..], None)));
    assert!(refused(|isa| bias_activation(isa, &mut [[0.0; 32]; 12], 13, &bias, None)));

    let finish = |how: Requantize<'_, i32>, entries: Option<usize>, pixels, (len, stride, channels)| {
        refused(|isa| {
            let (table, mut values) = (entries.map(|count| Bytes::new(vec![0; count])), vec![0; len]);
            let mut target = Target { values: &mut values, stride, channels };
            finish_u8(isa, &mut zero(), pixels, &how, table.as_ref(), &mut target);
        })
    };
    assert!(!finish(how, None, 3, (2 * 40 + 32, 40, 32)), "what is there is written");
    assert!(!finish(how, Some(256), 3, (2 * 40 + 32, 40, 32)), "what is there is looked up");
    assert!(finish(how, None, 3, (2 * 40 + 31, 40, 32)), "a short target");
    assert!(finish(how, None, 3, (2 * 31 + 32, 31, 32)), "pixels that overlap");
    assert!(finish(how, None, 3, (100, usize::MAX / 2 + 1, 32)), "a stride whose double overflows");
    assert!(finish(how, None, 1, (64, 64, 33)), "more channels than a tile has");
    assert!(finish(how, None, 13, (13 * 32, 32, 32)), "more pixels than a tile has");
    assert!(finish(how, Some(255), 1, (32, 32, 32)), "a short table");
    assert!(finish(Requantize { low: -1, ..how }, Some(256), 1, (32, 32, 32)), "arguments below a table");
    assert!(finish(Requantize { high: 256, ..how }, None, 1, (32, 32, 32)), "results beyond a byte");
    assert!(finish(Requantize { low: 0, high: -1, ..how }, Some(0), 1, (32, 32, 32)), "an empty table");
}
