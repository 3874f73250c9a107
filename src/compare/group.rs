//! Whether a group of cells, such as those of one kernel or of one alignment, moved together against all others.
//!
//! A cell that moved alone may have been disturbed. Cells that have something in common and all moved were not: what disturbs a run does not know
//! which kernel is running.

use super::judge::{Cycles, Observed, Verdict};
use crate::stats::median;
use serde::Serialize;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// Cells that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common, in a few words.
    pub name: String,
    /// Which cells, by index, in order.
    pub cells: Vec<usize>,
}

/// A group that moved as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupChange {
    /// What its cells have in common.
    pub name: String,
    /// How many they are.
    pub cells: usize,
    /// Time of B over time of A, less 1, the median over the group.
    pub change: f64,
    /// The same against all cells outside of the group.
    pub own: f64,
    /// Half of the 95 % interval of `own`.
    pub half_width: f64,
    /// Chance of so large a change by noise, corrected for the number of groups.
    pub adjusted_p: f64,
    /// Slower or faster.
    pub verdict: Verdict,
    /// Whether the cycles agree.
    pub cycles: Cycles,
}

/// Fewest cells of a group, and fewest outside of it.
const FEWEST: usize = 3;
const OUTSIDE: usize = 6;

/// Level at which a group counts after correction for their number: it alone ends a build.
const LEVEL: f64 = 0.01;

/// Share of a group's cells that must have moved by half of what the group did.
const TOGETHER: f64 = 0.65;

/// Share of cells that may be disturbed on one side at worst. A group is small, and disturbances come in runs of cells: it takes more to put them out of the question than
/// among all cells.
const AT_WORST_DISTURBED: f64 = 0.06;

/// Most groups that are named.
const MOST: usize = 5;

/// The groups that moved by `threshold`, a logarithm, or more, the surest first. The cells of one that was found do not count for the next.
///
/// `tail_df` are the degrees of freedom of the noise from cell to cell, `shared` as for [`super::judge`].
pub fn moved(observed: &[Observed], groups: &[Group], threshold: f64, tail_df: f64, shared: bool) -> Vec<GroupChange> {
    let mut left: Vec<bool> = vec![true; observed.len()];
    let mut found = Vec::new();
    let mut distinct: Vec<&Group> = Vec::new();
    for group in groups {
        if !distinct.iter().any(|other| other.cells == group.cells) {
            distinct.push(group);
        }
    }
    while found.len() < MOST {
        let tried: Vec<Tried> = distinct.iter().filter_map(|g| Tried::new(g, observed, &left, tail_df)).collect();
        let count = tried.len() as f64;
        let best = tried.into_iter().filter(|t| t.convinces(threshold, count)).max_by(|a, b| a.z().total_cmp(&b.z()));
        let Some(best) = best else { break };
        best.group.cells.iter().for_each(|&i| left[i] = false);
        found.push(best.change(observed, count, shared));
    }
    found
}

/// A group held against the cells outside of it.
struct Tried<'a> {
    group: &'a Group,
    /// Indices of its cells that are still free, and of those outside.
    inside: Vec<usize>,
    outside: Vec<usize>,
    /// Median change of the group, and how far that is from the others'.
    change: f64,
    own: f64,
    error: f64,
    df: f64,
    /// How many cells moved by half of that or more.
    along: usize,
}

impl<'a> Tried<'a> {
    fn new(group: &'a Group, observed: &[Observed], left: &[bool], df: f64) -> Option<Self> {
        let mut is_inside = vec![false; observed.len()];
        group.cells.iter().for_each(|&i| is_inside[i] = true);
        let inside: Vec<usize> = group.cells.iter().copied().filter(|&i| left[i]).collect();
        let outside: Vec<usize> = (0..observed.len()).filter(|&i| left[i] && !is_inside[i]).collect();
        // Of two parts the smaller is the one that moved.
        if inside.len() < FEWEST || outside.len() < OUTSIDE || inside.len() > outside.len() {
            return None;
        }
        let time = |i: &usize| observed[*i].time.value;
        let centre = |cells: &[usize]| median(&cells.iter().map(time).collect::<Vec<_>>());
        let (here, there) = (centre(&inside)?, centre(&outside)?);
        // The scatter of either part around its own centre; of a few cells it says little, and the others' counts too.
        let scatter = |cells: &[usize], centre: f64| {
            1.4826 * median(&cells.iter().map(|i| (time(i) - centre).abs()).collect::<Vec<_>>()).unwrap_or(0.0)
        };
        let within = median(&inside.iter().map(|&i| observed[i].time.se).collect::<Vec<_>>())?;
        let beside = scatter(&outside, there);
        let here_scatter = scatter(&inside, here).max(beside).max(within);
        // A median's standard error is a quarter more than a mean's.
        let of = |scatter: f64, count: usize| 1.2533 * scatter / (count as f64).sqrt();
        let error = of(here_scatter, inside.len()).hypot(of(beside, outside.len()));
        let own = here - there;
        let along = inside.iter().filter(|i| (time(i) - there) * own.signum() >= own.abs() / 2.0).count();
        // A median of many cells does not have the tails of one.
        let df = df.max(inside.len() as f64 - 1.0);
        Some(Tried { group, inside, outside, change: here, own, error, df, along })
    }

    fn z(&self) -> f64 {
        if self.error > 0.0 { self.own.abs() / self.error } else { f64::MAX }
    }

    /// Two-sided p-value of no change at all.
    fn p(&self) -> f64 {
        match (self.own == 0.0, self.error > 0.0) {
            (true, _) => 1.0,
            (false, false) => 0.0,
            (false, true) => 2.0 * self.t().sf(self.z()),
        }
    }

    fn t(&self) -> StudentsT {
        StudentsT::new(0.0, 1.0, self.df).expect("four and more degrees of freedom")
    }

    fn convinces(&self, threshold: f64, groups: f64) -> bool {
        let count = self.inside.len();
        // So many of them disturbed by chance.
        let disturbed =
            Binomial::new(AT_WORST_DISTURBED, count as u64).expect("a share").sf((self.along as u64).saturating_sub(1));
        // As with a shift of all cells, one of just the threshold is not to be missed in half of the cases.
        let large = self.own.abs() + 2.5 * self.error >= threshold && self.own.abs() >= threshold / 2.0;
        large
            && self.along as f64 >= TOGETHER * count as f64
            && self.p() * groups <= LEVEL
            && disturbed * groups <= LEVEL
    }

    fn change(&self, observed: &[Observed], groups: f64, shared: bool) -> GroupChange {
        let cycles = |cells: &[usize]| -> Option<f64> {
            let each: Option<Vec<f64>> = cells.iter().map(|&i| Some(observed[i].cycles?.value)).collect();
            median(&each?)
        };
        let half = self.own.abs() / 2.0;
        let sign = self.own.signum();
        let confirmed = match cycles(&self.inside).zip(cycles(&self.outside)) {
            None => Cycles::Unknown,
            // Where cycles are the program's alone, a group that only kept away from what all others did has not changed.
            Some((here, there)) if (here - there) * sign >= half && (shared || here * sign >= half) => {
                Cycles::Confirmed
            }
            Some(_) => Cycles::Clock,
        };
        GroupChange {
            name: self.group.name.clone(),
            cells: self.inside.len(),
            change: self.change.exp_m1(),
            own: self.own.exp_m1(),
            half_width: self.t().inverse_cdf(0.975) * self.error,
            adjusted_p: (self.p() * groups).min(1.0),
            verdict: if self.own > 0.0 { Verdict::Slower } else { Verdict::Faster },
            cycles: confirmed,
        }
    }
}
