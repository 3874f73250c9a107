//! One comparison of two problems: blocks A B B A, their logarithmic ratios, and the same comparison made several times.

use super::{Estimate, median};

/// Fewest blocks A B B A, over all repetitions, from which anything is concluded.
pub const MIN_BLOCKS: usize = 5;

/// What one measurement of a comparison may be off by for reasons that none of its blocks shows, such as where its operands happen
/// to lie: a standard deviation of ln(B / A). It is only used where there are too few repetitions to see it. The 81 comparisons of the
/// committed CPU record scatter by 1.0 % where their blocks explain 0.6 %, so by 0.8 % at most for other reasons.
const UNSEEN_PAIRED: f64 = 0.005;

/// The same as a share of a single block's scatter, on a machine that is noisier: in that record it is between none and 0.4.
const UNSEEN_OF_SCATTER: f64 = 0.3;

/// The same for two cells that were measured apart from each other, each minutes away from the other. Cells of one size that the
/// committed CPU record holds 81 times scatter by 2.8 %.
pub const UNSEEN_APART: f64 = 0.02;

/// Fewest repetitions whose own scatter is the measure of their error.
const REPETITIONS: usize = 3;

/// One measurement of a comparison: the blocks of one unit of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// ln(B / A) of each block, in order.
    pub blocks: Vec<f64>,
}

/// ln(B / A) of each block A B B A, from the costs of A and of B in the order in which each was taken.
///
/// A linear drift falls on both halves alike and cancels. Samples left over at the end have no block.
pub fn block_log_ratios(first: &[f64], second: &[f64]) -> Vec<f64> {
    let pairs = first.chunks_exact(2).zip(second.chunks_exact(2));
    pairs.map(|(a, b)| ((b[0] + b[1]) / (a[0] + a[1])).ln()).collect()
}

/// ln(B / A) of a comparison from all its repetitions; `None` where they are too few.
///
/// From `REPETITIONS` on, what counts is how the repetitions scatter, because a machine can be in another mood for the whole of
/// one; their standard error is never taken for less than their blocks tell. Below, an error that cannot be seen is added.
pub fn repeated(units: &[Unit]) -> Option<Estimate> {
    let units: Vec<&Unit> = units.iter().filter(|u| !u.blocks.is_empty()).collect();
    if units.iter().map(|u| u.blocks.len()).sum::<usize>() < MIN_BLOCKS {
        return None;
    }
    let each: Vec<Option<Estimate>> = units.iter().map(|u| Estimate::of_series(&u.blocks)).collect();
    if units.len() < REPETITIONS {
        let blocks: Vec<f64> = units.iter().flat_map(|u| u.blocks.iter().copied()).collect();
        let series = Estimate::of_series(&blocks)?;
        let scatter = series.se * (blocks.len() as f64).sqrt();
        let unseen = UNSEEN_PAIRED.max(UNSEEN_OF_SCATTER * scatter);
        return Some(series.with_error(unseen / (units.len() as f64).sqrt()));
    }
    // The median: with a handful of repetitions, one that a disturbance has carried away spoils the scatter of all.
    let centres: Option<Vec<f64>> = units.iter().map(|u| median(&u.blocks)).collect();
    let between = Estimate::of_independent(&centres?)?;
    let within: Vec<f64> = each.iter().flatten().map(|e| e.se).collect();
    let least = median(&within).map_or(0.0, |se| se / (units.len() as f64).sqrt());
    Some(Estimate { se: between.se.max(least), ..between })
}

/// How the measurements of two cells lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Among each other, so that several of each average out what the machine did meanwhile.
    Mixed,
    /// All of one cell's after all of the other's: what the machine did meanwhile falls on one of them.
    OneAfterTheOther,
}

/// ln(B / A) of two cells that were not measured in turn, from their costs in the order in which they were taken.
///
/// Each further independent measurement of a cell is another series. Nothing cancels the drift between the cells, so an error that the
/// samples do not show is added, or what the repetitions of the cells show where that is more.
pub fn unpaired(first: &[Vec<f64>], second: &[Vec<f64>], order: Order) -> Option<Estimate> {
    let arm = |series: &[Vec<f64>]| -> Option<Estimate> {
        let logs: Vec<Vec<f64>> = series.iter().map(|s| s.iter().map(|v| v.ln()).collect()).collect();
        let each: Vec<Estimate> =
            logs.iter().filter(|s| s.len() >= 2 * MIN_BLOCKS).filter_map(|s| Estimate::of_series(s)).collect();
        let count = each.len() as f64;
        match each.as_slice() {
            [] => None,
            [one] => Some(one.with_error(UNSEEN_APART)),
            several => {
                let centres: Vec<f64> = several.iter().map(|e| e.value).collect();
                let between = Estimate::of_independent(&centres)?;
                let least = match order {
                    Order::Mixed => UNSEEN_APART / count.sqrt(),
                    Order::OneAfterTheOther => UNSEEN_APART,
                };
                // Few repetitions may agree by chance: never less than the unseen error, whose size is known.
                let (se, df) = if between.se > least { (between.se, between.df) } else { (least, 30.0) };
                Some(Estimate { value: between.value, se, df })
            }
        }
    };
    Some(difference(&arm(second)?, &arm(first)?))
}

/// One estimate less another that is independent of it.
pub fn difference(a: &Estimate, b: &Estimate) -> Estimate {
    let (va, vb) = (a.se.powi(2), b.se.powi(2));
    Estimate { value: a.value - b.value, se: (va + vb).sqrt(), df: welch(&[(va, a.df), (vb, b.df)]) }
}

/// The mean of independent estimates, each with the same weight; `None` for none.
pub fn combine(estimates: &[Estimate]) -> Option<Estimate> {
    let count = estimates.len() as f64;
    let parts: Vec<(f64, f64)> = estimates.iter().map(|e| ((e.se / count).powi(2), e.df)).collect();
    let value = estimates.iter().map(|e| e.value).sum::<f64>() / count;
    let se = parts.iter().map(|p| p.0).sum::<f64>().sqrt();
    (!estimates.is_empty()).then(|| Estimate { value, se, df: welch(&parts) })
}

/// ln(B / (s·A1 + (1 - s)·A2)) from independent estimates of ln(B / A1) and of ln(B / A2).
pub fn interpolated(first: &Estimate, second: &Estimate, share: f64) -> Estimate {
    let parts = [share * (-first.value).exp(), (1.0 - share) * (-second.value).exp()];
    let line = parts[0] + parts[1];
    // To first order each estimate's error counts by its part of the line.
    let [a, b] = [(parts[0] / line * first.se).powi(2), (parts[1] / line * second.se).powi(2)];
    Estimate { value: -line.ln(), se: (a + b).sqrt(), df: welch(&[(a, first.df), (b, second.df)]) }
}

/// Degrees of freedom of a sum of variances, after Welch and Satterthwaite.
fn welch(parts: &[(f64, f64)]) -> f64 {
    let sum: f64 = parts.iter().map(|p| p.0).sum();
    let spread: f64 = parts.iter().map(|(v, df)| v * v / df).sum();
    if spread > 0.0 { sum * sum / spread } else { parts.iter().map(|p| p.1).fold(1.0, f64::max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_on_the_line_between_two_others_has_no_effect() {
        let known = |value: f64, se: f64| Estimate { value, se, df: 6.0 };
        for (constant, slope) in [(1.0, 0.0), (0.0, 1.0), (3.0, 0.5)] {
            let time = |k: f64| constant + slope * k;
            let [a, b] = [64.0, 128.0].map(|k| known((time(80.0) / time(k)).ln(), 0.01));
            let on_the_line = interpolated(&a, &b, 0.75);
            assert!(on_the_line.value.abs() < 1e-12, "{on_the_line:?}");
            assert!((0.00707..=0.01).contains(&on_the_line.se), "{on_the_line:?}");
            let above = interpolated(&known(a.value + 0.05, 0.01), &known(b.value + 0.05, 0.01), 0.75);
            assert!((above.value - 0.05).abs() < 1e-12);
        }
    }

    #[test]
    fn a_linear_drift_cancels_in_every_block() {
        // Each sample is 1 % of the first longer than the one before; B takes 3 % more than A.
        let cost = |i: usize| 1.0 + 0.01 * i as f64;
        let first: Vec<f64> = (0..20).flat_map(|b| [cost(4 * b), cost(4 * b + 3)]).collect();
        let second: Vec<f64> = (0..20).flat_map(|b| [1.03 * cost(4 * b + 1), 1.03 * cost(4 * b + 2)]).collect();
        let blocks = block_log_ratios(&first, &second);
        assert_eq!(blocks.len(), 20);
        assert!(blocks.iter().all(|r| (r - 1.03f64.ln()).abs() < 1e-12));
        assert_eq!(block_log_ratios(&[1.0, 2.0, 3.0], &[1.0, 2.0]).len(), 1);
    }

    #[test]
    fn repetitions_that_disagree_widen_the_interval() {
        let unit = |centre: f64| Unit { blocks: (0..20).map(|i| centre + 1e-4 * f64::from(i % 5)).collect() };
        let agree = repeated(&[0.01, 0.01, 0.01, 0.01].map(unit)).unwrap();
        let differ = repeated(&[0.00, 0.02, 0.00, 0.02].map(unit)).unwrap();
        assert!((agree.value - differ.value).abs() < 1e-3);
        assert!(differ.se > 0.004 && agree.se < 0.001, "{} {}", differ.se, agree.se);
        // Two cannot show it, so it is assumed.
        let two = repeated(&[0.01, 0.01].map(unit)).unwrap();
        assert!(two.se > 0.002, "{}", two.se);
    }

    #[test]
    fn too_few_blocks_give_nothing() {
        let unit = |n: usize| Unit { blocks: vec![0.1; n] };
        assert_eq!(repeated(&[]), None);
        assert_eq!(repeated(&[unit(4)]), None);
        assert!(repeated(&[unit(5)]).is_some());
        assert!(repeated(&[unit(2), unit(2), unit(1)]).is_some());
        assert_eq!(unpaired(&[vec![1.0; 20]], &[vec![1.0; 9]], Order::Mixed), None);
    }

    #[test]
    fn cells_measured_apart_are_never_compared_closely() {
        let steady = vec![1.0; 100];
        let e = unpaired(std::slice::from_ref(&steady), std::slice::from_ref(&steady), Order::Mixed).unwrap();
        let (lo, hi) = e.interval(0.05);
        assert!(lo < -0.03 && hi > 0.03, "{lo} {hi}");
        let several = vec![steady; 6];
        let narrower = unpaired(&several, &several, Order::Mixed).unwrap();
        assert!(narrower.se < e.se / 2.0);
        // Many of each do not help where a drift lies between the two.
        let after = unpaired(&several, &several, Order::OneAfterTheOther).unwrap();
        assert!(after.se >= e.se, "{} {}", after.se, e.se);
    }

    #[test]
    fn sums_of_estimates_add_their_variances() {
        let a = Estimate { value: 3.0, se: 0.3, df: 4.0 };
        let b = Estimate { value: 1.0, se: 0.4, df: 4.0 };
        let d = difference(&a, &b);
        assert!((d.value - 2.0).abs() < 1e-12 && (d.se - 0.5).abs() < 1e-12);
        assert!(d.df > 4.0 && d.df <= 8.0, "{}", d.df);
        let mean = combine(&[a, b]).unwrap();
        assert!((mean.value - 2.0).abs() < 1e-12 && (mean.se - 0.25).abs() < 1e-12);
        assert_eq!(combine(&[]), None);
    }
}
