//! What the changes of all cells say together.

use super::group::{Group, GroupChange, moved};
use crate::stats::{Estimate, false_discovery, median};
use serde::Serialize;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

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

/// Chance that is put up with for disturbed cells of a run without an effect to lie so unevenly.
const SIDES: f64 = 0.02;

/// Where the tails of the noise begin, in standard deviations, and the same chance for the cells in them.
const TAIL: f64 = 2.5;
const TAILS: f64 = 0.005;

/// Share of all cells that may be disturbed as a whole, on either side, without any of it being the program's.
const DISTURBED: f64 = 0.025;

/// How many thresholds all cells together must have moved where no clocks were recorded: two runs of one program are off by 1 or 2 %.
const WITHOUT_CLOCKS: f64 = 1.5;

/// Fewest cells from which the noise between two runs can be estimated.
const ENOUGH: usize = 12;

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

fn overall(
    cells: &[CellChange],
    far: &[f64],
    groups: &[GroupChange],
    shift: &Shift,
    threshold: f64,
    shared: bool,
) -> Overall {
    let say = |verdict, why: String| Overall { verdict, why };
    if cells.is_empty() {
        return say(Verdict::Unclear, "no cell was measured in both runs".to_owned());
    }
    let real = |c: &&CellChange, verdict| c.verdict == verdict && c.cycles != Cycles::Clock;
    let count = |verdict| cells.iter().filter(|c| real(c, verdict)).count();
    let (slower, faster) = (count(Verdict::Slower), count(Verdict::Faster));
    let clock = cells
        .iter()
        .filter(|c| matches!(c.verdict, Verdict::Slower | Verdict::Faster) && c.cycles == Cycles::Clock)
        .count();
    let convincing = |here: usize, there: usize, verdict| {
        let by_sides = chance_of_sides(here, here + there) <= SIDES && chance_of_disturbed(here, cells.len()) <= SIDES;
        // On a quiet machine none that moved the other way says the same.
        let alone = there == 0 && shift.scatter <= threshold && chance_of_disturbed(here, cells.len()) <= SIDES;
        // Cells too little apart from the others to be called changed one by one may still all lie on one side.
        let sign = if verdict == Verdict::Slower { 1.0 } else { -1.0 };
        let beyond = |sign: f64| {
            let beyond = |(z, c): &(&f64, &CellChange)| {
                *z * sign > TAIL && c.own.abs() >= threshold && c.cycles != Cycles::Clock
            };
            far.iter().zip(cells).filter(beyond).count()
        };
        let (tail, other) = (beyond(sign), beyond(-sign));
        let by_tails =
            here > 0 && chance_of_sides(tail, tail + other) <= TAILS && chance_of_disturbed(tail, cells.len()) <= TAILS;
        by_sides || alone || by_tails
    };
    let per_cent = |share: f64| format!("{:+.1} %", share * 100.0);
    let of = cells.len();
    let common = if shift.time.abs() >= threshold {
        format!("; all cells together moved by {}", per_cent(shift.time))
    } else {
        String::new()
    };
    let of_groups = |verdict| -> Option<String> {
        let real = groups.iter().filter(|g| g.verdict == verdict && g.cycles != Cycles::Clock);
        let named = real.map(|g| format!("the {} cells with {} by {}", g.cells, g.name, per_cent(g.own)));
        let named: Vec<String> = named.collect();
        (!named.is_empty()).then(|| named.join(", "))
    };
    if let Some(named) = of_groups(Verdict::Slower) {
        return say(Verdict::Slower, format!("against all others slower are {named}{common}"));
    }
    if convincing(slower, faster, Verdict::Slower) {
        return say(Verdict::Slower, format!("{slower} of {of} cells are slower and {faster} faster{common}"));
    }
    // All at once: a program, a driver, or the machine. Cycles of a device that nobody shares tell.
    // Of a median, whose error is a quarter more than a mean's.
    let error = 1.2533 * shift.scatter / (of as f64).sqrt();
    let size = shift.time.ln_1p().abs();
    let moved_together = size >= 3.0 * error && size >= threshold / 2.0;
    let in_cycles = match shift.cycles {
        // Cycles do not know the clock, by which two runs are off for reasons of their own.
        Some(cycles) => cycles.ln_1p() * shift.time.signum() + 2.5 * error >= threshold.ln_1p(),
        // Without clocks the change is taken for the program's, as far as nobody else uses the device and it is more than runs differ by anyway.
        None => shift.time.abs() >= WITHOUT_CLOCKS * threshold,
    };
    if moved_together && !shared && in_cycles && of >= ENOUGH {
        let verdict = if shift.time > 0.0 { Verdict::Slower } else { Verdict::Faster };
        let how = if shift.cycles.is_some() { "in cycles as in time" } else { "and no clocks were recorded to blame" };
        return say(verdict, format!("all cells together moved by {}, {how}", per_cent(shift.time)));
    }
    if let Some(named) = of_groups(Verdict::Faster) {
        return say(Verdict::Faster, format!("against all others faster are {named}{common}"));
    }
    if convincing(faster, slower, Verdict::Faster) {
        return say(Verdict::Faster, format!("{faster} of {of} cells are faster and {slower} slower{common}"));
    }
    if moved_together && !shared && shift.time.abs() >= threshold && shift.cycles.is_some() && !in_cycles {
        return say(
            Verdict::Unclear,
            format!(
                "all cells together moved by {} in time and not in cycles: the clock changed",
                per_cent(shift.time)
            ),
        );
    }
    // A cell in twenty is soon disturbed where others use the device, or where cells moved both ways.
    let few = (slower + faster) * 20 <= of && (shared || slower > 0 && faster > 0);
    if slower + faster > 0 && !few {
        return say(
            Verdict::Unclear,
            format!(
                "{slower} of {of} cells look slower and {faster} faster, which single disturbances can do as well; measure those cells again{common}"
            ),
        );
    }
    if let Some(g) = groups.first() {
        return say(
            Verdict::Unclear,
            format!(
                "the {} cells with {} moved by {} in time and not in cycles: the clock did{common}",
                g.cells,
                g.name,
                per_cent(g.own)
            ),
        );
    }
    if clock > 0 {
        return say(
            Verdict::Unclear,
            format!("{clock} of {of} cells changed in time and not in cycles: the clock did{common}"),
        );
    }
    if shift.time.abs() >= threshold {
        return say(
            Verdict::Unclear,
            format!(
                "all cells together moved by {}: two runs made one after the other cannot tell a change of the program from one of the machine",
                per_cent(shift.time)
            ),
        );
    }
    if let Some(cycles) = shift.cycles.filter(|c| !shared && c.abs() >= threshold) {
        return say(
            Verdict::Unclear,
            format!(
                "all cells together moved by {} in cycles and by {} in time: the clock made up for it",
                per_cent(cycles),
                per_cent(shift.time)
            ),
        );
    }
    if of < ENOUGH {
        return say(
            Verdict::Unclear,
            format!("{of} cells are too few to see the noise between two runs; {ENOUGH} are enough"),
        );
    }
    // Of many cells the middle is known well even so. On a device that others use too, that is as much as there is to know.
    let whole_is_known = shared && 2.5 * error <= threshold.ln_1p();
    if shift.scatter > threshold && !whole_is_known {
        return say(
            Verdict::Unclear,
            format!(
                "no cell stands out, and the runs differ by {:.1} % from cell to cell, more than the threshold of {:.1} %",
                shift.scatter * 100.0,
                threshold * 100.0
            ),
        );
    }
    let unseen = if shift.scatter > threshold {
        format!(
            "; from cell to cell the runs differ by {:.1} %, so that changes of single cells below {:.0} % are not seen",
            shift.scatter * 100.0,
            250.0 * shift.scatter
        )
    } else {
        String::new()
    };
    let stand_out = if slower + faster > 0 {
        format!("{slower} of {of} cells look slower and {faster} faster, no more than single disturbances do")
    } else {
        "no cell stands out".to_owned()
    };
    say(Verdict::Same, format!("{stand_out}, and all together moved by {}{unseen}", per_cent(shift.time)))
}

/// Chance that at least `here` of `all` disturbed cells lie on one side, where each lies on either with the same chance.
fn chance_of_sides(here: usize, all: usize) -> f64 {
    if here == 0 {
        return 1.0;
    }
    Binomial::new(0.5, all as u64).expect("one half is a probability").sf(here as u64 - 1)
}

/// Chance that at least `here` of `all` cells are disturbed on one side.
fn chance_of_disturbed(here: usize, all: usize) -> f64 {
    if here == 0 {
        return 1.0;
    }
    Binomial::new(DISTURBED, all as u64).expect("a share").sf(here as u64 - 1)
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
