//! What the repetitions of a race prove: a winner counts only where it wins every time, and by more than noise.

use crate::stats::{ALPHA, Unit, block_log_ratios, median, repeated};

/// What came of a race. Candidates are numbered from 0, which is the model's choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The model's choice was the fastest every time.
    Confirmed,
    /// Another was the fastest every time, and beyond noise.
    Faster {
        /// Which.
        candidate: usize,
        /// Its time over that of the model's choice: less than 1.
        ratio: f64,
        /// The largest ratio that the measurements allow, at 95 % for all candidates together.
        at_most: f64,
    },
    /// Another was the fastest every time, and the difference may be noise.
    Noise {
        /// Which.
        candidate: usize,
        /// Its time over that of the model's choice.
        ratio: f64,
    },
    /// Not the same candidate was the fastest every time.
    Unstable {
        /// How many different ones were.
        winners: usize,
    },
}

/// Judges repetitions of a race, each with the times of every candidate in the order in which they were taken, A B C C B A.
///
/// `None` without a repetition in which every candidate has a time.
pub fn judge(repetitions: &[Vec<Vec<f64>>]) -> Option<Verdict> {
    let medians = |times: &Vec<Vec<f64>>| times.iter().map(|t| median(t)).collect::<Option<Vec<f64>>>();
    let fastest = |times: &Vec<Vec<f64>>| {
        let medians = medians(times)?;
        (0..medians.len()).min_by(|&a, &b| medians[a].total_cmp(&medians[b]))
    };
    let mut winners = repetitions.iter().map(fastest).collect::<Option<Vec<usize>>>()?;
    let candidates = repetitions.first()?.len();
    winners.sort_unstable();
    winners.dedup();
    let candidate = match winners[..] {
        [0] => return Some(Verdict::Confirmed),
        [candidate] => candidate,
        _ => return Some(Verdict::Unstable { winners: winners.len() }),
    };
    let unit = |times: &Vec<Vec<f64>>| Unit { blocks: block_log_ratios(&times[0], &times[candidate]) };
    let units: Vec<Unit> = repetitions.iter().map(unit).collect();
    let all: Vec<f64> = units.iter().flat_map(|u| u.blocks.iter().copied()).collect();
    let ratio = median(&all).map_or(1.0, f64::exp);
    // The winner is the best of several, so that each of them has its share of the error (Bonferroni).
    let alpha = ALPHA / candidates.saturating_sub(1).max(1) as f64;
    let at_most = repeated(&units).map_or(f64::INFINITY, |estimate| estimate.interval(alpha).1.exp());
    // At least two repetitions: what was seen once may not come again.
    if repetitions.len() > 1 && at_most < 1.0 {
        return Some(Verdict::Faster { candidate, ratio, at_most });
    }
    Some(Verdict::Noise { candidate, ratio })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Repetitions of candidates with these mean times, noise of this relative size on each sample and on each repetition.
    fn races(means: &[f64], noise: f64, seed: u64) -> Vec<Vec<Vec<f64>>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut jitter = |mean: f64, size: f64| mean * (1.0 + size * (rng.random::<f64>() - 0.5));
        let mut one = || {
            let moods: Vec<f64> = means.iter().map(|&mean| jitter(mean, noise)).collect();
            moods.iter().map(|&mood| (0..10).map(|_| jitter(mood, noise)).collect()).collect()
        };
        (0..3).map(|_| one()).collect()
    }

    #[test]
    fn a_clear_winner_is_found_and_a_clear_choice_confirmed() {
        let found = judge(&races(&[100.0, 120.0, 90.0], 0.01, 1)).unwrap();
        let Verdict::Faster { candidate: 2, ratio, at_most } = found else { panic!("{found:?}") };
        assert!((0.88..0.92).contains(&ratio) && ratio <= at_most && at_most < 0.95, "{found:?}");
        assert_eq!(judge(&races(&[80.0, 120.0, 90.0], 0.01, 1)), Some(Verdict::Confirmed));
    }

    #[test]
    fn equals_are_seldom_told_apart() {
        // All eight are alike: whatever is called faster is an error, and 5 % of the trials may end in one.
        let trials = 400;
        let wrong = (0..trials)
            .filter(|&seed| matches!(judge(&races(&[100.0; 8], 0.02, seed)), Some(Verdict::Faster { .. })))
            .count();
        assert!(wrong * 20 <= trials as usize, "{wrong} of {trials}");
    }

    #[test]
    fn different_winners_leave_it_to_the_model() {
        let times = |a: f64, b: f64| vec![vec![100.0; 10], vec![a; 10], vec![b; 10]];
        assert_eq!(judge(&[times(90.0, 95.0), times(95.0, 90.0)]), Some(Verdict::Unstable { winners: 2 }));
    }

    #[test]
    fn one_repetition_or_too_few_samples_prove_nothing() {
        let mut once = races(&[100.0, 50.0], 0.01, 3);
        once.truncate(1);
        assert!(matches!(judge(&once), Some(Verdict::Noise { candidate: 1, .. })));
        let few = vec![vec![vec![100.0], vec![50.0]]; 2];
        assert!(matches!(judge(&few), Some(Verdict::Noise { candidate: 1, .. })));
        assert_eq!(judge(&[]), None);
        assert_eq!(judge(&[vec![vec![1.0], Vec::new()]]), None);
    }
}
