//! The median and its interval from order statistics.

use statrs::distribution::{Binomial, DiscreteCDF};

/// A median and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MedianInterval {
    /// The median.
    pub median: f64,
    /// Lower end of the interval.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
}

impl MedianInterval {
    /// Width of the interval as a share of the median.
    pub fn relative_width(&self) -> f64 {
        (self.hi - self.lo) / self.median
    }
}

/// The fewest samples for which two order statistics can enclose the median with 95 % confidence.
pub const MIN_SAMPLES: usize = 6;

/// Median and its distribution-free 95 % interval from order statistics.
///
/// The interval runs from the j-th smallest to the j-th largest sample, where j is the largest number for which
/// P(Binomial(n, 1/2) < j) is at most 2.5 %. It holds for any continuous distribution of independent samples. With fewer than
/// [`MIN_SAMPLES`] no such pair exists and the answer is `None`, as it is where a sample is not finite.
pub fn median_interval(samples: &[f64]) -> Option<MedianInterval> {
    let n = samples.len();
    if n < MIN_SAMPLES || samples.iter().any(|s| !s.is_finite()) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = interval_rank(n);
    Some(MedianInterval { median: median_of_sorted(&sorted), lo: sorted[rank], hi: sorted[n - 1 - rank] })
}

/// The zero-based rank of the interval's lower end: the largest r with P(Binomial(n, 1/2) <= r) <= 2.5 %.
fn interval_rank(n: usize) -> usize {
    let binomial = Binomial::new(0.5, n as u64).expect("one half is a probability");
    // Start just below the normal approximation; a few steps then find the exact rank.
    let guess = (n as f64 / 2.0 - 0.98 * (n as f64).sqrt() - 2.0).max(0.0) as u64;
    let mut rank = guess;
    while rank > 0 && binomial.cdf(rank) > 0.025 {
        rank -= 1;
    }
    while binomial.cdf(rank + 1) <= 0.025 {
        rank += 1;
    }
    rank as usize
}

/// Median of samples; `None` for none.
pub fn median(samples: &[f64]) -> Option<f64> {
    if samples.is_empty() {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(median_of_sorted(&sorted))
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    if n % 2 == 1 { sorted[n / 2] } else { f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn ranks_match_published_tables() {
        // Order statistics (1-based) of the 95 % interval of a median: n = 6 -> 1, 10 -> 2, 20 -> 6, 50 -> 18, 100 -> 40.
        for (n, one_based) in [(6, 1), (9, 2), (10, 2), (20, 6), (50, 18), (100, 40)] {
            assert_eq!(interval_rank(n) + 1, one_based, "n = {n}");
        }
    }

    #[test]
    fn too_few_or_broken_samples_have_no_interval() {
        assert_eq!(median_interval(&[1.0; 5]), None);
        assert_eq!(median_interval(&[1.0, 2.0, f64::NAN, 4.0, 5.0, 6.0, 7.0]), None);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
    }

    #[test]
    fn the_interval_covers_the_true_median_as_often_as_it_says() {
        // Skewed samples, as times are: the square of a uniform variable has median 1/4.
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let trials = 4000;
        let covered = (0..trials)
            .filter(|_| {
                let samples: Vec<f64> = (0..25).map(|_| rng.random::<f64>().powi(2)).collect();
                let i = median_interval(&samples).unwrap();
                i.lo <= 0.25 && 0.25 <= i.hi
            })
            .count() as f64
            / f64::from(trials);
        // Exact coverage for n = 25 is 95.7 %; four standard errors of this simulation are 1.3 %.
        assert!((0.944..=0.970).contains(&covered), "{covered}");
    }

    proptest! {
        #[test]
        fn intervals_hold_their_median_and_are_widest_for_few(samples in prop::collection::vec(0.1f64..10.0, 6..400)) {
            let i = median_interval(&samples).unwrap();
            prop_assert!(i.lo <= i.median && i.median <= i.hi);
            prop_assert!(i.relative_width() >= 0.0);
            prop_assert_eq!(Some(i.median), median(&samples));
        }
    }
}
