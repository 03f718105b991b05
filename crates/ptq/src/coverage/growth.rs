//! How a tensor's range grows with the number of images, from the largest magnitude on each image.

/// The largest of the first `k` maxima, for every `k` from 1: the range that a calibration on the first `k` images would have seen.
#[must_use]
pub fn running_maxima(maxima: &[f32]) -> Vec<f32> {
    let widen = |range: &mut f32, maximum: &f32| {
        *range = range.max(*maximum);
        Some(*range)
    };
    maxima.iter().scan(0.0, widen).collect()
}

/// Expected largest of `images` maxima that are drawn without replacement from `n` given ones, each set being equally likely; 0
/// for none. More than `n` are taken for `n`.
///
/// With `x_0 >= x_1 >= ...` in descending order the largest is `x_j` with probability `C(n - 1 - j, k - 1) / C(n, k)`, since the
/// other `k - 1` are among the `n - 1 - j` that follow; so the result is `sum over j of x_j C(n - 1 - j, k - 1) / C(n, k)`, in f64.
#[must_use]
pub fn expected_maximum(descending: &[f32], images: usize) -> f64 {
    let (n, k) = (descending.len(), images.min(descending.len()));
    let mut chance = if k == 0 { 0.0 } else { k as f64 / n as f64 };
    let mut expected = 0.0;
    for (place, maximum) in descending.iter().take((n - k + 1).min(n)).enumerate() {
        expected += chance * f64::from(*maximum);
        // C(n - 2 - j, k - 1) / C(n - 1 - j, k - 1)
        chance *= (n - k - place) as f64 / (n - 1 - place).max(1) as f64;
    }
    expected
}

/// Share of the range that the last doubling of the number of images added, on average over all orders: `1 - E(n/2) / E(n)`, half
/// rounded up; 0 where all is zero, 1 for a single image, of which nothing is known. It estimates what the next doubling would add.
#[must_use]
pub fn doubling_growth(descending: &[f32]) -> f64 {
    match descending {
        [] => 0.0,
        [largest, ..] if *largest == 0.0 => 0.0,
        [_] => 1.0,
        [largest, ..] => {
            1.0 - expected_maximum(descending, descending.len().div_ceil(2)) / f64::from(*largest)
        }
    }
}

/// Share of the range that the image with the largest maximum contributes beyond the second, `(x_0 - x_1) / x_0`; 0 where all is
/// zero, 1 for a single image.
#[must_use]
pub fn influence(descending: &[f32]) -> f64 {
    let [first, second] = [0, 1].map(|place| descending.get(place).copied().map_or(0.0, f64::from));
    if first > 0.0 { (first - second) / first } else { 0.0 }
}

/// How many images exceed all that came before them, the first left out.
#[must_use]
pub fn records(maxima: &[f32]) -> usize {
    let running = running_maxima(maxima);
    running.windows(2).filter(|pair| pair[1] > pair[0]).count()
}

/// How many records `images` images have on average, if their order does not matter and no two have equal maxima:
/// `1/2 + 1/3 + ... + 1/n`.
#[must_use]
pub fn expected_records(images: usize) -> f64 {
    (2..=images).map(|image| 1.0 / image as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The plain way: all sets of `k`.
    fn mean_of_all_sets(values: &[f32], k: usize) -> f64 {
        let sets = (0u32..1 << values.len()).filter(|set| set.count_ones() as usize == k);
        let largest = |set: u32| {
            let chosen = values.iter().enumerate().filter(|(place, _)| set >> place & 1 == 1);
            chosen.map(|(_, value)| f64::from(*value)).fold(0.0, f64::max)
        };
        let all: Vec<f64> = sets.map(largest).collect();
        all.iter().sum::<f64>() / all.len() as f64
    }

    proptest! {
        #[test]
        fn expected_maxima_are_means_over_all_sets(mut values in prop::collection::vec(0f32..100.0, 1..10)) {
            values.sort_by(|a, b| b.total_cmp(a));
            for k in 1..=values.len() {
                let (found, expected) = (expected_maximum(&values, k), mean_of_all_sets(&values, k));
                prop_assert!((found - expected).abs() <= 1e-12 * expected.max(1.0), "{k}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn curves_of_few_images() {
        assert_eq!(running_maxima(&[2.0, 1.0, 3.0]), [2.0, 2.0, 3.0]);
        assert_eq!((records(&[2.0, 1.0, 3.0, 3.0, 4.0]), records(&[]), records(&[1.0])), (2, 0, 0));
        assert!((expected_records(3) - 5.0 / 6.0).abs() < 1e-15 && expected_records(1) == 0.0);
        assert_eq!(
            (influence(&[4.0, 3.0, 1.0]), influence(&[4.0]), influence(&[0.0, 0.0])),
            (0.25, 1.0, 0.0)
        );
        // Of 4 and 2, one alone gives 3 on average: a quarter of the range came with the other.
        assert_eq!(doubling_growth(&[4.0, 2.0]), 0.25);
        let rows = [
            doubling_growth(&[]),
            doubling_growth(&[0.0; 3]),
            doubling_growth(&[5.0]),
            doubling_growth(&[5.0; 8]),
        ];
        assert_eq!(rows.map(|growth| (growth * 1e9).round() / 1e9), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(
            (expected_maximum(&[], 3), expected_maximum(&[5.0], 3), expected_maximum(&[5.0], 0)),
            (0.0, 5.0, 0.0)
        );
    }
}
