//! numpy 2.2.6 on x86-64.

use super::{check_bins, extremes, to_count};
use crate::compat::Error;
use std::ops::Add;

/// Counts and edges of a histogram.
pub(crate) type Counted = (Vec<u64>, Vec<f32>);

/// `numpy.sum` of contiguous values: pairwise, with eight running sums over up to 128 values.
pub(crate) fn sum<T: Copy + Default + Add<Output = T>>(values: &[T]) -> T {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(T::default(), |total, &x| total + x);
    }
    if n > 128 {
        let half = n / 2 - n / 2 % 8;
        return sum(&values[..half]) + sum(&values[half..]);
    }
    let mut lanes = [T::default(); 8];
    lanes.copy_from_slice(&values[..8]);
    let rest = &values[8..];
    for vector in rest.chunks_exact(8) {
        lanes.iter_mut().zip(vector).for_each(|(lane, &x)| *lane = *lane + x);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let total = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest.chunks_exact(8).remainder().iter().fold(total, |total, &x| total + x)
}

/// `numpy.histogram(values, bins)`: the range is that of the values.
pub(crate) fn histogram(values: &[f32], bins: usize) -> Result<Counted, Error> {
    let Some((low, high)) = extremes(values) else {
        return Ok((vec![0; check_bins(bins)?], edges_from_zero(1.0, bins)));
    };
    histogram_in(values, bins, low, high)
}

/// `numpy.histogram(values, bins, range=(low, high))` with both ends in f32.
pub(crate) fn histogram_in(values: &[f32], bins: usize, low: f32, high: f32) -> Result<Counted, Error> {
    let (low, high) = outer_edges(low, high, check_bins(bins)?)?;
    let edges = edges(low, high, bins);
    Ok((count(values, &edges), edges))
}

/// `numpy.histogram(values, bins, range=(0, high))`: the lower end is a Python integer, so that edges are made in f64 and rounded once.
pub(crate) fn histogram_from_zero(values: &[f32], bins: usize, high: f32) -> Result<Counted, Error> {
    if high == 0.0 {
        return histogram_in(values, bins, 0.0, 0.0);
    }
    let (_, high) = outer_edges(0.0, high, check_bins(bins)?)?;
    let edges = edges_from_zero(high, bins);
    Ok((count(values, &edges), edges))
}

/// quirk `half-around-constants`: an empty range `[v, v]` becomes `[v - 1/2, v + 1/2]`.
fn outer_edges(low: f32, high: f32, bins: usize) -> Result<(f32, f32), Error> {
    if !(low.is_finite() && high.is_finite()) {
        return Err(Error::NonFiniteRange { low: low.into(), high: high.into() });
    }
    let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
    if !(high - low).is_finite() || low >= high {
        return Err(Error::Unresolved { low, high, bins });
    }
    Ok((low, high))
}

/// `numpy.linspace(low, high, bins + 1)` in f32: product and sum each rounded, the last value exact.
fn edges(low: f32, high: f32, bins: usize) -> Vec<f32> {
    let (span, div) = (high - low, bins as f32);
    let step = span / div;
    // A step that underflows to zero is not used.
    let offset = |i: usize| if step == 0.0 { i as f32 / div * span } else { i as f32 * step };
    let inner = (0..bins).map(|i| offset(i) + low);
    inner.chain([high]).collect()
}

/// The same from the integer 0: in f64, rounded to f32 at the end.
fn edges_from_zero(high: f32, bins: usize) -> Vec<f32> {
    let step = f64::from(high) / bins as f64;
    (0..bins).map(|i| (i as f64 * step) as f32).chain([high]).collect()
}

/// Counts for edges of equal distance: the bin is computed in f32, then moved by one if the edges say so; the last one is closed.
fn count(values: &[f32], edges: &[f32]) -> Vec<u64> {
    let bins = edges.len() - 1;
    let (low, high) = (edges[0], edges[bins]);
    let (span, scale) = (high - low, bins as f32);
    let mut counts = vec![0u64; bins];
    for &x in values {
        if !(x >= low && x <= high) {
            continue;
        }
        let mut bin = (((x - low) / span * scale) as usize).min(bins - 1);
        if x < edges[bin] {
            bin -= 1;
        }
        if bin != bins - 1 && x >= edges[bin + 1] {
            bin += 1;
        }
        counts[bin] += 1;
    }
    counts
}

/// `numpy.histogram(values, bins=edges)`: each bin holds `edges[k] <= x < edges[k + 1]`, the last one its end too; compared in f64.
///
/// quirk `below-the-first-edge`: values below the first edge are dropped.
pub(crate) fn histogram_with(values: &[f32], edges: &[f64]) -> Vec<u64> {
    let bins = edges.len() - 1;
    let (low, high) = (edges[0], edges[bins]);
    let per_width = bins as f64 / (high - low);
    let mut counts = vec![0u64; bins];
    for x in values.iter().map(|&x| f64::from(x)).filter(|x| (low..=high).contains(x)) {
        // A guess that is right for equal distances, then the edges decide.
        let mut bin = (((x - low) * per_width) as usize).min(bins - 1);
        while x < edges[bin] {
            bin -= 1;
        }
        while bin + 1 < bins && x >= edges[bin + 1] {
            bin += 1;
        }
        counts[bin] += 1;
    }
    counts
}

/// `numpy.arange(last + width, maximum + width, width)` of f32 scalars, which numpy 2 makes in f64: sums of the arguments are rounded to
/// f32, steps between values are exact.
///
/// # Errors
/// [`Error::ZeroWidth`], [`Error::Bins`].
pub(crate) fn arange_f32(last: f32, maximum: f32, width: f32) -> Result<Vec<f64>, Error> {
    let (start, stop) = (last + width, maximum + width);
    if width == 0.0 {
        return Err(Error::ZeroWidth { maximum });
    }
    let count = to_count(f64::from((stop - start) / width).ceil())?;
    Ok(fill(start.into(), (start + width).into(), count))
}

/// The same of f64 scalars.
pub(crate) fn arange_f64(last: f64, maximum: f32, width: f64) -> Result<Vec<f64>, Error> {
    let (start, stop) = (last + width, f64::from(maximum) + width);
    if width == 0.0 {
        return Err(Error::ZeroWidth { maximum });
    }
    let count = to_count(((stop - start) / width).ceil())?;
    Ok(fill(start, start + width, count))
}

fn fill(start: f64, next: f64, count: usize) -> Vec<f64> {
    let value = |i: usize| if i == 1 { next } else { start + i as f64 * (next - start) };
    (0..count).map(value).collect()
}

/// `numpy.log` of a positive, finite, normal f32 with AVX2 or AVX-512.
///
/// quirk `approximate-log`: a rational approximation, wrong by up to 4 units in the last place.
#[allow(clippy::excessive_precision, reason = "digits as numpy's npy_simd_data.h gives them")]
pub(crate) fn log(x: f32) -> f32 {
    const P: [f32; 6] = [
        2.589979117907922693523e-02,
        3.808837741388407920751e-01,
        1.480000633576506585156e+00,
        2.112677543073053063722e+00,
        9.999999999999998702752e-01,
        0.0,
    ];
    const Q: [f32; 6] = [
        5.875095403124574342950e-03,
        1.546476374983906719538e-01,
        9.864942958519418960339e-01,
        2.453006071784736363091e+00,
        2.612677543073109236779e+00,
        1.0,
    ];
    // x = mantissa 2^exponent with the mantissa in (sqrt(1/2), sqrt(2)].
    let mut exponent = (x.to_bits() >> 23) as i32 - 126;
    let mut mantissa = f32::from_bits(x.to_bits() & 0x007f_ffff | 126 << 23);
    if mantissa <= std::f32::consts::FRAC_1_SQRT_2 {
        mantissa += mantissa;
        exponent -= 1;
    }
    let y = mantissa - 1.0;
    let horner = |c: [f32; 6]| c[1..].iter().fold(c[0], |sum, &c| sum.mul_add(y, c));
    (exponent as f32).mul_add(std::f32::consts::LN_2, horner(P) / horner(Q))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of numpy 2.2.6 on a machine with AVX-512.
    #[test]
    fn log_has_the_bits_of_numpy() {
        for (x, expected) in TABLE {
            assert_eq!(log(f32::from_bits(x)).to_bits(), expected, "{}", f32::from_bits(x));
        }
    }

    const TABLE: [(u32, u32); 20] = [
        (0x3c05_485b, 0xc099_f889),
        (0x39b9_9be9, 0xc0fe_46e5),
        (0x3e66_be10, 0xbfbe_bde2),
        (0x4147_63b6, 0x4021_7373),
        (0x4464_2552, 0x40da_1ef6),
        (0x3ff7_37b0, 0x3f28_824f),
        (0x3d14_b159, 0xc054_3771),
        (0x3c13_ba95, 0xc096_ad86),
        (0x42b2_af3d, 0x408f_c25a),
        (0x468e_1e95, 0x411c_f06e),
        (0x40a4_6857, 0x3fd1_7c86),
        (0x3a20_3da1, 0xc0ec_cc92),
        (0x3f80_0000, 0x0000_0000),
        (0x3f35_04f3, 0xbeb1_7218),
        (0x3f35_04f4, 0xbeb1_7215),
        (0x3fb5_04f3, 0x3eb1_7218),
        (0x3f7f_ffff, 0xb380_0001),
        (0x0da2_4260, 0xc28a_27b5),
        (0x7f61_b1e6, 0x42b1_3196),
        (0x4000_0000, 0x3f31_7218),
    ];

    /// Values of numpy 2.2.6.
    #[test]
    fn ranges_of_f32_are_f64() {
        let bits = |bits: u32| f32::from_bits(bits);
        let values = arange_f32(bits(0x408c_ee78), bits(0x4205_3333), bits(0x3b0c_ee78)).unwrap();
        assert_eq!(values.len(), 13438);
        assert_eq!(values[5392].to_bits(), 0x4030_007f_b000_0000);
        assert_eq!(values[13437].to_bits(), 0x4040_a6c8_f000_0000);
        assert_eq!(arange_f64(1.0, 2.0, 0.25).unwrap(), [1.25, 1.5, 1.75, 2.0]);
        assert_eq!(arange_f32(1.0, 2.0, 0.0), Err(Error::ZeroWidth { maximum: 2.0 }));
    }

    #[test]
    fn edges_decide_where_the_quotient_is_wrong() {
        let values: Vec<f32> = (0..2048).map(|i| i as f32).collect();
        let (counts, edges) = histogram(&values, 300).unwrap();
        let naive = |k: usize| {
            let inside = |x: f32| x >= edges[k] && (x < edges[k + 1] || k == 299 && x == edges[300]);
            values.iter().filter(|&&x| inside(x)).count() as u64
        };
        assert_eq!(counts, (0..300).map(naive).collect::<Vec<_>>());
        let wide: Vec<f64> = edges.iter().map(|&e| e.into()).collect();
        assert_eq!(histogram_with(&values, &wide), counts);
    }

    proptest::proptest! {
        #[test]
        fn given_edges_decide(
            values in proptest::collection::vec(-1.0f32..5.0, 0..100), steps in proptest::collection::vec(0.0f64..1.0, 1..20)
        ) {
            let edges: Vec<f64> = [0.1].into_iter().chain(steps.iter().scan(0.1, |sum, step| {
                *sum += step;
                Some(*sum)
            })).collect();
            let (bins, last) = (edges.len() - 1, edges[edges.len() - 1]);
            let inside = |k: usize, x: f64| x >= edges[k] && (x < edges[k + 1] || k + 1 == bins && x == last);
            let naive = |k| values.iter().filter(|&&x| inside(k, x.into())).count() as u64;
            proptest::prop_assert_eq!(histogram_with(&values, &edges), (0..bins).map(naive).collect::<Vec<_>>());
        }
    }

    #[test]
    fn constants_have_a_bin_in_the_middle() {
        let (counts, edges) = histogram(&[0.7; 5], 4).unwrap();
        assert_eq!((counts, edges[0], edges[4]), (vec![0, 0, 5, 0], 0.7 - 0.5, 1.2));
        assert!(histogram(&[f32::NAN], 4).is_err());
        assert!(histogram(&[3e38, -3e38], 4).is_err());
        assert!(histogram(&[1e30; 2], 4).is_err());
    }

    #[test]
    fn empty_data_span_zero_to_one() {
        assert_eq!(histogram(&[], 4).unwrap(), (vec![0; 4], vec![0.0, 0.25, 0.5, 0.75, 1.0]));
    }

    #[test]
    fn sums_of_whole_numbers_are_exact() {
        for n in [0, 1, 7, 8, 127, 128, 129, 1000, 4097] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            assert_eq!(sum(&values), f64::from(n) * f64::from(n - 1) / 2.0, "{n}");
        }
    }
}
