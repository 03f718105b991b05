//! Means with the summation order of numpy.

/// Below this length numpy adds from left to right.
const LANES: usize = 8;
/// Up to this length numpy uses eight accumulators; above, it halves.
const BLOCK: usize = 128;

/// Sum of a slice in the order that numpy uses for contiguous f64 (quirk `pairwise-sum`).
///
/// Fewer than 8 values: left to right. Up to 128: eight running sums over stride 8, combined as
/// ((0+1)+(2+3))+((4+5)+(6+7)), then the tail from left to right. More: split at half the length rounded
/// down to a multiple of 8, and add the sums of both parts. A left fold differs in the last bits.
#[must_use]
pub fn pairwise_sum(values: &[f64]) -> f64 {
    if values.len() < LANES {
        return values.iter().fold(0.0, |sum, value| sum + value);
    }
    if values.len() <= BLOCK {
        return eight_lane_sum(values);
    }
    let half = values.len() / 2;
    let (left, right) = values.split_at(half - half % LANES);
    pairwise_sum(left) + pairwise_sum(right)
}

fn eight_lane_sum(values: &[f64]) -> f64 {
    let chunks = values.chunks_exact(LANES);
    let tail = chunks.remainder();
    let mut lane = [0.0; LANES];
    for chunk in chunks {
        for (sum, value) in lane.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    let combined = ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    tail.iter().fold(combined, |sum, value| sum + value)
}

/// Mean of the values above -1, or -1 when there is none (quirk `minus-one-is-undefined`).
#[must_use]
pub fn mean_of_defined(values: &[f64]) -> f64 {
    let defined: Vec<f64> = values.iter().copied().filter(|&value| value > -1.0).collect();
    if defined.is_empty() {
        return -1.0;
    }
    pairwise_sum(&defined) / defined.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_sum_exactly_at_every_length() {
        for n in 0..700 {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            assert_eq!(pairwise_sum(&values), f64::from(n * (n - 1) / 2), "{n} values");
        }
    }

    #[test]
    fn order_is_not_a_left_fold() {
        let values = vec![0.1; 1000];
        let left: f64 = values.iter().fold(0.0, |sum, value| sum + value);
        assert_ne!(pairwise_sum(&values), left);
        assert!((pairwise_sum(&values) - 100.0).abs() < 1e-12);
    }

    #[test]
    fn undefined_entries_do_not_count() {
        assert_eq!(mean_of_defined(&[-1.0, 0.5, -1.0, 1.0]), 0.75);
        assert_eq!(mean_of_defined(&[-1.0]), -1.0);
        assert_eq!(mean_of_defined(&[]), -1.0);
    }
}
