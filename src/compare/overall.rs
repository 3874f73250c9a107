//! What two runs are to each other as a whole: one verdict, and why.

use super::group::GroupChange;
use super::judge::{CellChange, Cycles, ENOUGH, Overall, Shift, Verdict};
use statrs::distribution::{Binomial, DiscreteCDF};

/// Chance that is put up with for disturbed cells of a run without an effect to lie so unevenly.
const SIDES: f64 = 0.02;

/// Where the tails of the noise begin, in standard deviations, and the same chance for the cells in them.
const TAIL: f64 = 2.5;
const TAILS: f64 = 0.005;

/// Share of all cells that may be disturbed as a whole, on either side, without any of it being the program's.
const OFTEN_DISTURBED: f64 = 0.025;

/// Fewest cells that are a finding by themselves where none moved the other way: disturbances do that in one case of 32.
const FEW_ALONE: usize = 5;

/// Two-sided chance from which on cells that moved lie on both sides evenly, and most of all cells that may do so: what disturbs a run disturbs
/// either of the two.
const EVENLY: f64 = 0.3;
const MOST_DISTURBED: f64 = 0.15;

/// Standard deviation of what all cells of two runs of one program differ by in cycles, as a share: half a percent for each run. An assumption, since
/// no GPU has been measured yet.
const RUNS_DIFFER: f64 = 0.007;

/// One-sided quantile of the normal distribution at 5 %.
const ONE_SIDED: f64 = 1.645;

/// Share of the threshold by which time must have changed where cycles say that all cells did: cycles of cells that wait for memory follow the clock.
const IN_TIME: f64 = 1.0 / 3.0;

/// Share by which the clocks of two runs on one device may differ without a change of anything but the clock.
const CLOCK_PLAYS: f64 = 0.05;

/// How many thresholds all cells together must have moved where no clocks were recorded: two runs of one program are off by 1 or 2 %.
const WITHOUT_CLOCKS: f64 = 1.5;

/// The verdict on two runs from the cells' and the groups'. `far` is how far each cell lies from what all have in common, in standard errors.
pub fn overall(
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
        // On a device of one's own so do five and more that stand far out of a quiet run.
        let few_alone = !shared && here >= FEW_ALONE && shift.scatter <= threshold / 2.0;
        let alone =
            there == 0 && (few_alone || shift.scatter <= threshold && chance_of_disturbed(here, cells.len()) <= SIDES);
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
    let margin = threshold.ln_1p();
    let together = match shift.cycles {
        // A change that two runs of one program hardly ever show, and that may be as large as the threshold: one of just the threshold is not
        // to be missed in half of the cases.
        Some(cycles) => {
            let (cycles, known_to) = (cycles.ln_1p(), ONE_SIDED * error.hypot(RUNS_DIFFER));
            let size = cycles.abs();
            size >= known_to
                && size + known_to >= margin
                && shift.time.ln_1p() * cycles.signum() >= (IN_TIME * margin).max(3.0 * error)
        }
        // Without clocks the change is taken for the program's, as far as nobody else uses the device and it is more than runs differ by anyway.
        None => shift.time.abs() >= WITHOUT_CLOCKS * threshold && shift.time.ln_1p().abs() >= 3.0 * error,
    };
    if together && !shared && of >= ENOUGH {
        let verdict = if shift.time > 0.0 { Verdict::Slower } else { Verdict::Faster };
        let how = match shift.cycles {
            Some(cycles) => format!("and by {} in cycles", per_cent(cycles)),
            None => "and no clocks were recorded to blame".to_owned(),
        };
        return say(verdict, format!("all cells together moved by {} in time, {how}", per_cent(shift.time)));
    }
    if let Some(named) = of_groups(Verdict::Faster) {
        return say(Verdict::Faster, format!("against all others faster are {named}{common}"));
    }
    if convincing(faster, slower, Verdict::Faster) {
        return say(Verdict::Faster, format!("{faster} of {of} cells are faster and {slower} slower{common}"));
    }
    // The program took the cycles that it took before, and the clock was another, as it is from one run to the next.
    let by_clock = shift.cycles.filter(|cycles| {
        !shared && cycles.abs() < threshold && (shift.time.ln_1p() - cycles.ln_1p()).abs() <= CLOCK_PLAYS
    });
    if let Some(cycles) = shift.cycles
        && !shared
        && by_clock.is_none()
        && shift.time.abs() >= threshold
        && cycles.abs() < threshold
    {
        return say(
            Verdict::Unclear,
            format!(
                "all cells together moved by {} in time and by {} in cycles: the clocks differ by more than those of two runs on one device do by themselves",
                per_cent(shift.time),
                per_cent(cycles)
            ),
        );
    }
    // A cell in twenty is soon disturbed where others use the device, or where cells moved both ways.
    let both_ways = slower > 0 && faster > 0;
    let evenly = both_ways
        && 2.0 * chance_of_sides(slower.max(faster), slower + faster) >= EVENLY
        && (slower + faster) as f64 <= MOST_DISTURBED * of as f64;
    let few = (slower + faster) * 20 <= of && (shared || both_ways) || evenly;
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
    if shift.time.abs() >= threshold && by_clock.is_none() {
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
    let whole_is_known = shared && 2.5 * error <= margin;
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
        format!(
            "{slower} of {of} cells look slower and {faster} faster, as single disturbances do; measure those again to be sure of them"
        )
    } else {
        "no cell stands out".to_owned()
    };
    let together = match by_clock {
        Some(cycles) if shift.time.abs() >= threshold => {
            format!("{} in time and {} in cycles: the clock was another", per_cent(shift.time), per_cent(cycles))
        }
        _ => per_cent(shift.time),
    };
    say(Verdict::Same, format!("{stand_out}, and all together moved by {together}{unseen}"))
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
    Binomial::new(OFTEN_DISTURBED, all as u64).expect("a share").sf(here as u64 - 1)
}
