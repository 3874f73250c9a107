//! An estimate with its standard error, and how to make one that a few outliers do not carry away.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Share of wrong decisions that is put up with: intervals are 95 % intervals.
pub const ALPHA: f64 = 0.05;

/// Values above this many are put into so many contiguous batches first, so that neighbours which resemble each other count once.
const BATCHES: usize = 12;

/// An estimated quantity whose error, over its standard error, follows Student's t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error.
    pub se: f64,
    /// Degrees of freedom of the standard error.
    pub df: f64,
}

impl Estimate {
    /// The mean of values that are independent of each other, without the most extreme fifth on either side where there are
    /// six or more.
    ///
    /// This is Tukey and McLaughlin's interval: a trimmed mean with a winsorised variance. With fewer than two values, or
    /// with one that is not finite, there is none.
    pub fn of_independent(values: &[f64]) -> Option<Estimate> {
        let n = values.len();
        if n < 2 || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let cut = if n < 6 { 0 } else { (n / 5).max(1) };
        let kept = &sorted[cut..n - cut];
        let value = kept.iter().sum::<f64>() / kept.len() as f64;
        let (low, high) = (kept[0], kept[kept.len() - 1]);
        let winsorised: Vec<f64> = sorted.iter().map(|v| v.clamp(low, high)).collect();
        let mean = winsorised.iter().sum::<f64>() / n as f64;
        let variance = winsorised.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let share = kept.len() as f64 / n as f64;
        Some(Estimate { value, se: (variance / n as f64).sqrt() / share, df: (kept.len() - 1) as f64 })
    }

    /// The centre of values in the order in which they were taken, where neighbours may resemble each other.
    ///
    /// Contiguous batches are reduced to their medians first: a machine that is slow for a while then counts as often as it
    /// was slow, and not as often as it was sampled.
    pub fn of_series(values: &[f64]) -> Option<Estimate> {
        if values.len() <= BATCHES {
            return Estimate::of_independent(values);
        }
        let n = values.len();
        let batch = |i: usize| &values[i * n / BATCHES..(i + 1) * n / BATCHES];
        let medians: Option<Vec<f64>> = (0..BATCHES).map(|i| super::median(batch(i))).collect();
        Estimate::of_independent(&medians?)
    }

    /// The same estimate with another independent error of this size in it.
    #[must_use]
    pub fn with_error(self, se: f64) -> Estimate {
        Estimate { se: self.se.hypot(se), ..self }
    }

    /// The interval that holds the truth with a probability of `1 - alpha`.
    pub fn interval(&self, alpha: f64) -> (f64, f64) {
        let half = self.se * self.t().inverse_cdf(1.0 - alpha / 2.0);
        (self.value - half, self.value + half)
    }

    /// One-sided p-value of the hypothesis that the truth is `bound` or less.
    pub fn p_at_most(&self, bound: f64) -> f64 {
        self.tail(self.value - bound)
    }

    /// One-sided p-value of the hypothesis that the truth is `bound` or more.
    pub fn p_at_least(&self, bound: f64) -> f64 {
        self.tail(bound - self.value)
    }

    /// Probability of a distance at least this large by chance.
    fn tail(&self, distance: f64) -> f64 {
        if self.se > 0.0 { self.t().sf(distance / self.se) } else { f64::from(u8::from(distance <= 0.0)) }
    }

    fn t(&self) -> StudentsT {
        // More degrees of freedom than this are as good as a normal distribution.
        StudentsT::new(0.0, 1.0, self.df.clamp(1.0, 1e6)).expect("one and more degrees of freedom")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_interval_is_students_where_nothing_is_trimmed() {
        // Student's sleep data, difference of the first five subjects: worked by hand.
        let e = Estimate::of_independent(&[1.2, 2.4, 1.3, 1.3, 0.0]).unwrap();
        assert!((e.value - 1.24).abs() < 1e-12);
        assert!((e.se - (0.723 / 5.0f64).sqrt()).abs() < 1e-9, "{}", e.se);
        // t of 4 degrees of freedom at 97.5 %: 2.776.
        let (lo, hi) = e.interval(0.05);
        assert!(((hi - lo) / 2.0 / e.se - 2.7764).abs() < 1e-3);
    }

    #[test]
    fn outliers_move_the_centre_by_less_than_the_others_scatter() {
        let steady: Vec<f64> = (0..12).map(|i| 1.0 + 0.01 * f64::from(i % 4)).collect();
        let mut struck = steady.clone();
        (struck[3], struck[7]) = (9.0, 4.0);
        let (a, b) = (Estimate::of_independent(&steady).unwrap(), Estimate::of_independent(&struck).unwrap());
        assert!((a.value - b.value).abs() < 0.01, "{} {}", a.value, b.value);
        assert!(b.se < 0.02);
    }

    #[test]
    fn p_values_agree_with_the_interval() {
        let e = Estimate { value: 1.0, se: 0.25, df: 9.0 };
        let (lo, hi) = e.interval(0.05);
        assert!((e.p_at_most(lo) - 0.025).abs() < 1e-9 && (e.p_at_least(hi) - 0.025).abs() < 1e-9);
        assert!((e.p_at_most(1.0) - 0.5).abs() < 1e-9);
        let exact = Estimate { value: 1.0, se: 0.0, df: 3.0 };
        assert_eq!((exact.p_at_most(0.5), exact.p_at_most(1.5), exact.p_at_least(0.5)), (0.0, 1.0, 1.0));
    }

    #[test]
    fn too_few_or_broken_values_give_no_estimate() {
        assert_eq!(Estimate::of_independent(&[1.0]), None);
        assert_eq!(Estimate::of_series(&[1.0, f64::NAN, 2.0]), None);
        assert_eq!(Estimate::of_series(&[f64::INFINITY; 40]), None);
    }

    proptest! {
        #[test]
        fn shifting_and_scaling_the_values_does_so_to_the_interval(
            values in prop::collection::vec(-5.0f64..5.0, 2..60), shift in -3.0f64..3.0, scale in 0.1f64..10.0,
        ) {
            let moved: Vec<f64> = values.iter().map(|v| v * scale + shift).collect();
            let (a, b) = (Estimate::of_series(&values).unwrap(), Estimate::of_series(&moved).unwrap());
            prop_assert!((a.value * scale + shift - b.value).abs() < 1e-9 * (1.0 + b.value.abs()));
            prop_assert!((a.se * scale - b.se).abs() < 1e-9 * (1.0 + b.se));
            prop_assert_eq!(a.df, b.df);
        }
    }
}
