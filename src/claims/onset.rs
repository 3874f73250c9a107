//! What records of how a load begins say: whether a device swings at first by more than it does later.
//!
//! A record is cut into two windows of [`WINDOW_NS`], and each window into bins, of which each counts with its median: what lasts for a few
//! samples alone is no swing. The swing of a window is ln(P90 / P10) of its bins. A machine that is never steady swings in both windows
//! alike, and independent causes add up by their squares, so that what the load's beginning adds is the difference of the squares.

use super::evidence::{Both, Compared, describe, mean, ratio_of_squares};
use super::judge::Judge;
use super::records::Found;
use crate::record::{ComparisonRecord, Sample};
use crate::stats::{Estimate, median};
use crate::sweep::Arm;

/// The window in which clocks are said to swing, and the one after it that shows how they are otherwise.
pub(super) const WINDOW_NS: u64 = 3_000_000_000;

/// Bins of a window at most, and at least. A bin holds two samples or more, on average.
const BINS: [usize; 2] = [10, 30];

/// Records of a cell that it takes: how they scatter is the only measure of the error.
const MIN_RECORDS: usize = 3;

impl Judge<'_> {
    /// By how much more each cell swings in the first window than in the second: by its clock where every sample's is known, else by its times.
    pub fn onset(&self, arms: &[Arm]) -> (Vec<Compared>, Option<Both>) {
        let compared: Vec<Compared> = arms.iter().map(|arm| self.onset_of(arm)).collect();
        let effect = mean(&compared, 0.0);
        (compared, effect)
    }

    fn onset_of(&self, arm: &Arm) -> Compared {
        let records: Vec<&Found> = self.index.of(arm).collect();
        let mut why = None;
        let (mut by_clock, mut by_time, mut samples) = (Vec::new(), Vec::new(), 0);
        for found in records.iter().filter(|f| f.name() == arm.kernel_name()) {
            let clocks: Option<Vec<f64>> = found.record.samples.iter().map(clock).collect();
            let excess = |values: &[f64]| excess(&found.record.samples, values);
            match found.unusable.clone().map_or_else(|| excess(&found.times), Err) {
                Ok(of_time) => {
                    by_time.push(of_time);
                    by_clock.push(clocks.and_then(|clocks| excess(&clocks).ok()));
                    samples += found.times.len() as u64;
                }
                Err(reason) => why = why.or(Some(reason)),
            }
        }
        // Half of the records by the one and half by the other would be no measure of either.
        let by_clock: Option<Vec<f64>> = by_clock.into_iter().collect();
        let (excesses, by) = match &by_clock {
            Some(by_clock) => (by_clock, "clock"),
            None => (&by_time, "time of a launch"),
        };
        let effect = if excesses.len() >= MIN_RECORDS { Estimate::of_independent(excesses) } else { None };
        let note = match (&effect, records.len()) {
            (Some(_), _) => why.map(|why| format!("left out: {why}")),
            (None, 0) => Some(format!("there is no record of {}", describe(arm))),
            (None, _) => Some(why.unwrap_or_else(|| {
                format!("{} records of {} are too few: {MIN_RECORDS} are the least", excesses.len(), describe(arm))
            })),
        };
        let seconds = WINDOW_NS / 1_000_000_000;
        let record = ComparisonRecord {
            first: format!("{by} of {}, second {seconds} to {}", describe(arm), 2 * seconds),
            second: format!("its first {seconds} seconds"),
            ratio: effect.as_ref().map(ratio_of_squares),
            samples,
            repetitions: excesses.len() as u64,
            note,
        };
        Compared { effect: effect.map(Both::of_time), record, any: !records.is_empty(), shared: 0.0, in_turn: false }
    }
}

fn clock(sample: &Sample) -> Option<f64> {
    sample.clock_mhz.filter(|mhz| mhz.is_finite() && *mhz > 0.0)
}

/// The square of the first window's swing less that of the second's.
///
/// # Errors
/// A window has too few samples.
pub(super) fn excess(samples: &[Sample], values: &[f64]) -> Result<f64, String> {
    let begin = samples.iter().map(|s| s.at_ns).min().unwrap_or(0);
    let windows = [0, 1].map(|window| -> Vec<(u64, f64)> {
        let within = |s: &Sample| s.at_ns - begin;
        let here = samples.iter().zip(values).filter(|(s, value)| within(s) / WINDOW_NS == window && value.is_finite());
        here.map(|(s, value)| (within(s) % WINDOW_NS, *value)).collect()
    });
    let fewest = windows.iter().map(Vec::len).min().unwrap_or(0);
    let bins = (fewest / 2).min(BINS[1]);
    if bins < BINS[0] {
        return Err(format!(
            "{fewest} samples in a window of {} s are too few: {} are the least",
            WINDOW_NS / 1_000_000_000,
            2 * BINS[0]
        ));
    }
    let [first, second] = windows.map(|window| swing(&window, bins));
    match (first, second) {
        (Some(first), Some(second)) => Ok(first.powi(2) - second.powi(2)),
        _ => Err("its samples leave most of a window out".to_owned()),
    }
}

/// ln(P90 / P10) of the bins' medians; `None` where a third of the bins are empty.
fn swing(window: &[(u64, f64)], bins: usize) -> Option<f64> {
    let mut binned: Vec<Vec<f64>> = vec![Vec::new(); bins];
    for (at_ns, value) in window {
        binned[(at_ns * bins as u64 / WINDOW_NS) as usize].push(*value);
    }
    let mut medians: Vec<f64> = binned.iter().filter_map(|bin| median(bin)).collect();
    medians.sort_by(f64::total_cmp);
    (3 * medians.len() >= 2 * bins).then(|| (quantile(&medians, 0.9) / quantile(&medians, 0.1)).ln())
}

/// A quantile of sorted values, between the nearest two.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + place.fract() * (above - below)
}
