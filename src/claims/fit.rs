//! How much of the scatter of times over many shapes the model explains.

use super::bench::{Bench, Need, Pick, WAVE_TILE};
use super::experiment::{Evidence, Question, Weight};
use crate::problem::Problem;
use crate::stats::{Estimate, Rule};
use crate::sweep::Arm;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// Shapes in the experiment.
const SHAPES: usize = 24;

/// Standard deviation of ln(time) that shapes must have at least: of times that are all alike nothing is left to explain but noise.
const SPREAD: f64 = 0.3;

/// What is wrong with shapes on which the model was not tried.
pub const ALIKE: &str = "its shapes are too few, or their times too much alike, to try a model on: it takes 12 shapes that differ in two \
     dimensions or more, and times that scatter by a third";

/// Whether these problems are shapes of their own in more than one direction.
pub fn are_shapes(problems: &[Problem]) -> bool {
    let distinct = |of: fn(&Problem) -> u64| problems.iter().map(of).collect::<HashSet<u64>>().len();
    [distinct(|p| p.m), distinct(|p| p.n), distinct(|p| p.k)].into_iter().filter(|&n| n >= 3).count() >= 2
}

/// Times that the shapes are drawn again with replacement, to see how much the answer depends on which they are.
const RESAMPLES: usize = 400;

/// Random aligned shapes, the same ones everywhere.
pub fn plan(bench: &Bench) -> Result<Vec<Question>, Need> {
    bench.description()?;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let most = bench.size(4096, 512, 256) / 8;
    let mut size = |least: u64| 8 * rng.random_range((most / least).max(1)..=most);
    // From an eighth of the largest size on, so that time is not explained by the number of FLOP alone.
    let cells: Result<Vec<Arm>, Need> =
        (0..SHAPES).map(|_| bench.arm(Problem::new(size(8), size(8), size(4)), Pick::Tile(WAVE_TILE))).collect();
    Ok(vec![Question {
        asks: "the model explains nine tenths of the variance".to_owned(),
        evidence: Evidence::Fit(cells?),
        rule: Rule::AtLeast { support: 0.9, contradict: 0.8 },
        clock_is_effect: false,
        dispensable: false,
        weight: Weight::Claimed,
    }])
}

/// The share of the variance of ln(time) that predictions explain, up to one common factor, from (ln time, ln prediction) of each shape.
pub fn explained(points: &[(f64, f64)]) -> Option<Estimate> {
    if points.len() < SHAPES / 2 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let value = share(points)?;
    let resampled: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<(f64, f64)> = points.iter().map(|_| points[rng.random_range(0..points.len())]).collect();
            share(&drawn)
        })
        .collect();
    let mean = resampled.iter().sum::<f64>() / resampled.len() as f64;
    let variance = resampled.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (resampled.len() - 1) as f64;
    Some(Estimate { value, se: variance.sqrt(), df: (points.len() - 2) as f64 })
}

fn share(points: &[(f64, f64)]) -> Option<f64> {
    let variance = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64
    };
    let times: Vec<f64> = points.iter().map(|p| p.0).collect();
    let residuals: Vec<f64> = points.iter().map(|p| p.0 - p.1).collect();
    let total = variance(&times);
    (total >= SPREAD.powi(2) && total.is_finite()).then(|| 1.0 - variance(&residuals) / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_model_explains_all_and_a_constant_nothing() {
        let times: Vec<f64> = (0..24).map(|i| f64::from(i % 7) * 0.3).collect();
        let against = |f: &dyn Fn(usize, f64) -> f64| {
            let points: Vec<(f64, f64)> = times.iter().enumerate().map(|(i, t)| (*t, f(i, *t))).collect();
            explained(&points).unwrap()
        };
        let perfect = against(&|_, t| t - 3.0);
        assert!((perfect.value - 1.0).abs() < 1e-12 && perfect.se < 1e-9);
        assert!(against(&|_, _| 1.0).value.abs() < 1e-12);
        let rough = against(&|i, t| t + if i % 2 == 0 { 0.2 } else { -0.2 });
        assert!(rough.value > 0.5 && rough.value < 0.95 && rough.se > 0.005, "{rough:?}");
        assert_eq!(explained(&[(1.0, 1.0); 3]), None);
    }
}
