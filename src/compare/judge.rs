//! What became of each cell, and what all have in common. What that says of the runs as a whole is in `overall`.

use super::group::{Group, GroupChange, moved};
use super::overall::overall;
use crate::stats::{Estimate, false_discovery, median};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// What became of a cell, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Takes less time.
    Faster,
    /// Takes more time.
    Slower,
    /// Any change is smaller than the threshold.
    Same,
    /// The noise allows more than one of these.
    Unclear,
}

/// Whether a change of time is one of cycles as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cycles {
    /// It is.
    Confirmed,
    /// Time changed and cycles did not: the clock did.
    Clock,
    /// No clock was recorded.
    Unknown,
}

/// A cell's change, as logarithms of ratios B over A, so that more than 0 is slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// Of the time, with the error that the samples show.
    pub time: Estimate,
    /// Of the cycles.
    pub cycles: Option<Estimate>,
}

/// The verdict on a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CellChange {
    /// Time of B over time of A, less 1.
    pub change: f64,
    /// The same without what all cells have in common.
    pub own: f64,
    /// Half of the 95 % interval of `own`, scatter between the runs included.
    pub half_width: f64,
    /// Chance of so large a change by noise, after correction for the number of cells.
    pub adjusted_p: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the cycles agree.
    pub cycles: Cycles,
}

/// What all cells have in common.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shift {
    /// Median of B over A, less 1.
    pub time: f64,
    /// The same in cycles, where clocks were recorded.
    pub cycles: Option<f64>,
    /// How far a cell lies from it, typically: the noise between the two runs.
    pub scatter: f64,
}

/// The verdict on all cells, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overall {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub why: String,
}

/// Everything that was concluded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changes {
    /// A verdict a cell, in the order in which they were given.
    pub cells: Vec<CellChange>,
    /// Groups of cells that moved together, the surest first.
    pub groups: Vec<GroupChange>,
    /// What all have in common.
    pub shift: Shift,
    /// The verdict on all.
    pub overall: Overall,
}

/// Level at which a cell's change counts, after correction for their number.
const ALPHA: f64 = 0.05;

/// Fewest cells from which the noise between two runs can be estimated.
pub(super) const ENOUGH: usize = 12;

/// The noise between two runs that is assumed where there are too few cells to see it: cells of one size that the committed CPU
/// record holds 81 times scatter by 2.8 %.
const UNSEEN: f64 = 0.028;

/// Judges the changes of all cells.
///
/// `threshold` is the smallest change of interest, a share. `shared` says that the device is a processor which others use as well, whose
/// speed says nothing about the program: a shift of all cells is then never a finding.
///
/// The noise of a cell is its samples' and the scatter of all cells around their common shift, both robust against a tenth of the cells
/// having really changed. A cell's p-value is Student's with as many degrees of freedom as the tails of that scatter suggest, and the p-values are
/// corrected for their number (Benjamini and Hochberg). Without an effect the two runs are exchangeable, so that disturbed cells lie on either
/// side equally often: a regression needs more cells on its side than chance puts there, or a group of `groups` that moved as a whole.
pub fn judge(observed: &[Observed], groups: &[Group], threshold: f64, shared: bool) -> Changes {
    let time: Vec<f64> = observed.iter().map(|o| o.time.value).collect();
    let noise = Noise::of(&observed.iter().map(|o| o.time).collect::<Vec<_>>());
    let cycles = cycles(observed);
    let margin = threshold.ln_1p();
    let t = StudentsT::new(0.0, 1.0, noise.df).expect("four and more degrees of freedom");
    let own: Vec<f64> = time.iter().map(|d| d - noise.shift).collect();
    let errors: Vec<f64> = observed.iter().map(|o| o.time.se.hypot(noise.between)).collect();
    let p: Vec<f64> = own
        .iter()
        .zip(&errors)
        .map(|(r, s)| if *s > 0.0 { 2.0 * t.sf(r.abs() / s) } else { f64::from(u8::from(*r == 0.0)) })
        .collect();
    let adjusted = false_discovery(&p);
    let quantile = t.inverse_cdf(0.975);
    let cells: Vec<CellChange> = (0..observed.len())
        .map(|i| {
            let half_width = quantile * errors[i];
            // A change of just the threshold is found as often below it as above: one that reaches it within its error counts.
            let moved = adjusted[i] <= ALPHA && own[i].abs() + errors[i] >= margin;
            let verdict = match (moved, own[i] > 0.0) {
                (true, true) => Verdict::Slower,
                (true, false) => Verdict::Faster,
                // A cell is the same where its interval has no room for twice the threshold.
                (false, _) if own[i].abs() + half_width <= 2.0 * margin => Verdict::Same,
                (false, _) => Verdict::Unclear,
            };
            let confirmed = match &cycles {
                None => Cycles::Unknown,
                // Where cycles are the program's alone, a cell that only kept away from what all others did has not changed.
                Some((shift, own_cycles))
                    if own_cycles[i] * own[i].signum() >= own[i].abs() / 2.0
                        && (shared || (own_cycles[i] + shift) * own[i].signum() >= own[i].abs() / 2.0) =>
                {
                    Cycles::Confirmed
                }
                Some(_) => Cycles::Clock,
            };
            CellChange {
                change: time[i].exp_m1(),
                own: own[i].exp_m1(),
                half_width,
                adjusted_p: adjusted[i],
                verdict,
                cycles: confirmed,
            }
        })
        .collect();
    let shift = Shift {
        time: noise.shift.exp_m1(),
        cycles: cycles.as_ref().map(|(shift, _)| shift.exp_m1()),
        scatter: noise.scatter,
    };
    let far = own.iter().zip(&errors).map(|(r, s)| if *s > 0.0 { r / s } else { 0.0 }).collect::<Vec<_>>();
    let groups = if observed.len() < ENOUGH { Vec::new() } else { moved(observed, groups, margin, noise.df, shared) };
    let overall = overall(&cells, &far, &groups, &shift, threshold, shared);
    Changes { cells, groups, shift, overall }
}

/// The noise between two runs.
struct Noise {
    shift: f64,
    /// Robust standard deviation of the cells around the shift.
    scatter: f64,
    /// What of it the samples do not explain.
    between: f64,
    df: f64,
}

impl Noise {
    fn of(changes: &[Estimate]) -> Noise {
        let values: Vec<f64> = changes.iter().map(|e| e.value).collect();
        let count = values.len();
        let within = median(&changes.iter().map(|e| e.se).collect::<Vec<_>>()).unwrap_or(0.0);
        if count < ENOUGH {
            // Shift and scatter cannot be told apart: nothing is taken for common, and what cannot be seen is assumed.
            return Noise { shift: 0.0, scatter: UNSEEN, between: UNSEEN, df: 5.0 };
        }
        let shift = median(&values).unwrap_or(0.0);
        let mut distances: Vec<f64> = values.iter().map(|v| (v - shift).abs()).collect();
        distances.sort_by(f64::total_cmp);
        let at = |share: f64| distances[((count - 1) as f64 * share).round() as usize];
        // 1.4826 makes the median distance a standard deviation where the noise is normal.
        let scatter = 1.4826 * at(0.5);
        let between = (scatter.powi(2) - within.powi(2)).max(0.0).sqrt();
        Noise { shift, scatter, between, df: tails(at(0.72), at(0.45), count) }
    }
}

/// Degrees of freedom of Student's distribution whose 80 % and 50 % quantiles of the magnitude have the ratio of these, which are the 72 % and
/// 45 % quantiles of all cells: so they are of nine tenths of them, should a tenth have moved far away.
fn tails(far: f64, near: f64, count: usize) -> f64 {
    let ratio = if near > 0.0 { far / near } else { 2.0 };
    let of = |df: f64| {
        let t = StudentsT::new(0.0, 1.0, df).expect("positive");
        t.inverse_cdf(0.9) / t.inverse_cdf(0.75)
    };
    // With few cells the ratio itself is noise, and neither end of the list is believed.
    let believed: &[f64] = if count < 50 { &[6.0, 5.0] } else { &[20.0, 12.0, 8.0, 6.0, 5.0, 4.0] };
    let last = believed[believed.len() - 1];
    believed.iter().copied().find(|&df| ratio <= of(df) * 1.02).unwrap_or(last)
}

/// The common shift in cycles and each cell's own change beyond it; `None` unless every cell has its clocks.
fn cycles(observed: &[Observed]) -> Option<(f64, Vec<f64>)> {
    let values: Option<Vec<f64>> = observed.iter().map(|o| o.cycles.map(|c| c.value)).collect();
    let values = values.filter(|v| !v.is_empty())?;
    let shift = if values.len() < ENOUGH { 0.0 } else { median(&values)? };
    Some((shift, values.into_iter().map(|v| v - shift).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::noise::normal;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// How two runs of a machine differ from each other.
    #[derive(Clone, Copy)]
    struct Machine {
        /// Standard deviation of the shift between two runs.
        shift: f64,
        /// Of a cell around it, in each run.
        cell: f64,
        /// What the samples show of that.
        se: f64,
        /// Chance that a cell of a run is disturbed as a whole, by up to a half.
        disturbed: f64,
        /// Slow wandering over the cells of a run, in the order in which they were measured.
        drift: f64,
    }

    const QUIET: Machine = Machine { shift: 0.005, cell: 0.004, se: 0.003, disturbed: 0.0, drift: 0.0 };
    const USUAL: Machine = Machine { shift: 0.02, cell: 0.01, se: 0.004, disturbed: 0.005, drift: 0.008 };
    const HEAVY: Machine = Machine { shift: 0.15, cell: 0.3, se: 0.05, disturbed: 0.02, drift: 0.1 };

    /// Changes of `cells` cells, of which each tenth has really become slower by `effect`.
    fn observe(machine: Machine, cells: usize, effect: f64, rng: &mut ChaCha8Rng) -> Vec<Observed> {
        let shift = machine.shift * normal(rng);
        let mut drift = [0.0, 0.0];
        (0..cells)
            .map(|i| {
                let mut value = shift + if i % 10 == 5 { effect.ln_1p() } else { 0.0 };
                for (run, sign) in [(0, -1.0), (1, 1.0)] {
                    drift[run] = 0.95 * drift[run] + 0.31 * machine.drift * normal(rng);
                    let disturbance =
                        if rng.random::<f64>() < machine.disturbed { 0.5 * rng.random::<f64>() } else { 0.0 };
                    value += sign * (drift[run] + machine.cell * normal(rng) + disturbance);
                }
                Observed { time: Estimate { value, se: machine.se, df: 11.0 }, cycles: None }
            })
            .collect()
    }

    fn share(trials: usize, mut holds: impl FnMut(&mut ChaCha8Rng) -> bool) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        (0..trials).filter(|_| holds(&mut rng)).count() as f64 / trials as f64
    }

    #[test]
    fn two_runs_of_one_program_are_hardly_ever_a_regression() {
        for (machine, cells, at_most) in
            [(QUIET, 100, 0.01), (USUAL, 100, 0.03), (USUAL, 674, 0.03), (USUAL, 30, 0.03), (HEAVY, 81, 0.02)]
        {
            let wrong = share(1000, |rng| {
                judge(&observe(machine, cells, 0.0, rng), &[], 0.03, true).overall.verdict == Verdict::Slower
            });
            assert!(wrong <= at_most, "{cells} cells: {wrong}");
        }
    }

    #[test]
    fn many_noisy_cells_are_the_same_as_a_whole_where_others_use_the_device() {
        let machine = Machine { shift: 0.005, cell: 0.08, se: 0.02, disturbed: 0.01, drift: 0.0 };
        let verdicts = |cells: usize, shared: bool| {
            let same = |rng: &mut ChaCha8Rng| {
                let changes = judge(&observe(machine, cells, 0.0, rng), &[], 0.03, shared);
                changes.overall.verdict == Verdict::Same
                    && changes.overall.why.contains("changes of single cells below")
            };
            share(200, same)
        };
        assert!(verdicts(504, true) >= 0.9, "{}", verdicts(504, true));
        // The middle of thirty is not known to the threshold, and a device of one's own should not be so restless.
        assert_eq!((verdicts(30, true), verdicts(504, false)), (0.0, 0.0));
    }

    #[test]
    fn a_slowdown_of_a_tenth_of_the_cells_is_found() {
        for (machine, cells, effect) in [(QUIET, 60, 0.05), (QUIET, 100, 0.05), (USUAL, 100, 0.14), (USUAL, 674, 0.08)]
        {
            let found = share(300, |rng| {
                judge(&observe(machine, cells, effect, rng), &[], 0.03, true).overall.verdict == Verdict::Slower
            });
            assert!(found >= 0.95, "{cells} cells, {effect}: {found}");
        }
        // Which cells: nearly all that changed, and hardly any other.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let changes = judge(&observe(QUIET, 200, 0.05, &mut rng), &[], 0.03, true);
        let called: Vec<usize> = (0..200).filter(|&i| changes.cells[i].verdict == Verdict::Slower).collect();
        let right = called.iter().filter(|&&i| i % 10 == 5).count();
        assert!(right >= 18 && called.len() - right <= 2, "{called:?}");
    }

    #[test]
    fn more_noise_makes_it_unclear_and_not_wrong() {
        let verdicts = |machine| {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            (0..200)
                .map(|_| judge(&observe(machine, 81, 0.05, &mut rng), &[], 0.03, true).overall.verdict)
                .collect::<Vec<_>>()
        };
        let heavy = verdicts(HEAVY);
        assert!(heavy.iter().filter(|v| **v == Verdict::Unclear).count() >= 190);
        assert!(!heavy.contains(&Verdict::Same));
    }

    #[test]
    fn a_quiet_machine_says_same() {
        let same =
            share(200, |rng| judge(&observe(QUIET, 100, 0.0, rng), &[], 0.03, true).overall.verdict == Verdict::Same);
        assert!(same >= 0.95, "{same}");
    }

    /// A quiet change with clocks: of `time` in all cells, of which `cycles` is not the clock's.
    fn clocked(time: f64, cycles: f64) -> Vec<Observed> {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        (0..60)
            .map(|_| {
                let noise = 0.003 * normal(&mut rng);
                let estimate = |value: f64| Estimate { value: value + noise, se: 0.002, df: 11.0 };
                Observed { time: estimate(time), cycles: Some(estimate(cycles)) }
            })
            .collect()
    }

    #[test]
    fn a_shift_of_all_cells_is_a_finding_only_in_cycles_and_on_a_device_of_ones_own() {
        assert_eq!(judge(&clocked(0.06, 0.06), &[], 0.03, false).overall.verdict, Verdict::Slower);
        assert_eq!(judge(&clocked(-0.06, -0.06), &[], 0.03, false).overall.verdict, Verdict::Faster);
        let by_clock = judge(&clocked(0.06, 0.0), &[], 0.03, false).overall;
        assert_eq!(by_clock.verdict, Verdict::Unclear);
        assert!(by_clock.why.contains("clock"), "{}", by_clock.why);
        // What clocks differ by from run to run is no change of the program, and is said.
        let usual = judge(&clocked(0.04, 0.0), &[], 0.03, false).overall;
        assert_eq!(usual.verdict, Verdict::Same, "{}", usual.why);
        assert!(usual.why.contains("+4.1 % in time") && usual.why.contains("the clock was another"), "{}", usual.why);
        // Just the threshold is not to be missed, half of it is not one, and cycles alone, as of cells that wait for memory, are none either.
        assert_eq!(judge(&clocked(0.03, 0.03), &[], 0.03, false).overall.verdict, Verdict::Slower);
        assert_eq!(judge(&clocked(0.015, 0.028), &[], 0.03, false).overall.verdict, Verdict::Slower);
        assert_eq!(judge(&clocked(0.014, 0.014), &[], 0.03, false).overall.verdict, Verdict::Same);
        assert_eq!(judge(&clocked(0.0, 0.03), &[], 0.03, false).overall.verdict, Verdict::Unclear);
        let shared = judge(&clocked(0.06, 0.06), &[], 0.03, true).overall;
        assert_eq!(shared.verdict, Verdict::Unclear);
        assert!(shared.why.contains("+6.2 %"), "{}", shared.why);
    }

    #[test]
    fn a_cell_whose_clock_fell_is_not_called_slower_by_all() {
        let mut observed = clocked(0.0, 0.0);
        for o in observed.iter_mut().take(8) {
            o.time.value += 0.08;
        }
        let changes = judge(&observed, &[], 0.03, false);
        assert!(changes.cells[..8].iter().all(|c| c.verdict == Verdict::Slower && c.cycles == Cycles::Clock));
        assert_eq!(changes.overall.verdict, Verdict::Unclear);
        assert!(changes.overall.why.contains("clock"), "{}", changes.overall.why);
        for o in observed.iter_mut().take(8) {
            o.cycles.as_mut().unwrap().value += 0.08;
        }
        assert_eq!(judge(&observed, &[], 0.03, false).overall.verdict, Verdict::Slower);
    }

    #[test]
    fn identical_runs_and_no_runs_are_answered() {
        let still = Observed { time: Estimate { value: 0.0, se: 0.0, df: 5.0 }, cycles: None };
        assert_eq!(judge(&[still; 20], &[], 0.03, true).overall.verdict, Verdict::Same);
        assert_eq!(judge(&[still; 3], &[], 0.03, true).overall.verdict, Verdict::Unclear);
        assert_eq!(judge(&[], &[], 0.03, true).overall.verdict, Verdict::Unclear);
    }
}
