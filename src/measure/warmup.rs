//! Launches until the clock and the time are stable, and finds out how many launches make a sample.

use super::{RunClock, Stopping, one_sample};
use crate::device::{Device, DeviceError, Prepared};

/// Samples that have to agree.
const WINDOW: usize = 5;
/// How far apart they may be, as a share of their median.
const AGREEMENT: f64 = 0.02;

/// The state that a warm-up ends in.
pub(super) struct Warmed {
    /// Launches in a sample.
    pub launches: u32,
    /// Whether time and clock had become stable.
    pub stable: bool,
}

pub(super) fn warm_up(
    device: &dyn Device,
    prepared: &mut dyn Prepared,
    stopping: &Stopping,
    clock: &mut RunClock,
) -> Result<Warmed, DeviceError> {
    let target_ns = stopping.sample_ns(device.info().timer_resolution_ns);
    let limit_ns = (stopping.cell_ns as f64 * stopping.warmup_share) as u64;
    let start_ns = clock.kernel_ns;
    // The first launch loads code and touches pages: it only says how many launches to try next.
    let copies = prepared.copies();
    let mut launches = batch(target_ns, one_sample(device, prepared, 1, clock)?.per_launch_ns(), copies);
    let mut times = Vec::new();
    let mut clocks = Vec::new();
    loop {
        let sample = one_sample(device, prepared, launches, clock)?;
        let per_launch = sample.per_launch_ns();
        let fitting = batch(target_ns, per_launch, copies);
        // A launch that got faster needs a larger batch, or the timer's resolution would show.
        if fitting > launches + launches / 4 {
            launches = fitting;
            times.clear();
            clocks.clear();
        } else {
            times.push(per_launch);
            clocks.push(sample.clock_mhz.unwrap_or(1.0));
        }
        let stable = agree(&times) && agree(&clocks);
        if stable || clock.kernel_ns - start_ns >= limit_ns {
            return Ok(Warmed { launches, stable });
        }
    }
}

/// Launches that last long enough together, in whole rounds through the copies or in equal parts of a round, so that a few
/// different batches serve for ever.
pub(super) fn batch(target_ns: f64, per_launch_ns: f64, copies: usize) -> u32 {
    let launches = (target_ns / per_launch_ns.max(1.0)).ceil().clamp(1.0, 100_000.0) as u32;
    let copies = u32::try_from(copies).unwrap_or(u32::MAX).max(1);
    if launches >= copies {
        return launches.next_multiple_of(copies);
    }
    (launches..copies).find(|&part| copies.is_multiple_of(part)).unwrap_or(copies)
}

/// Whether the last few values lie close together.
fn agree(values: &[f64]) -> bool {
    let Some(last) = values.len().checked_sub(WINDOW).map(|start| &values[start..]) else { return false };
    let min = last.iter().copied().fold(f64::INFINITY, f64::min);
    let max = last.iter().copied().fold(0.0, f64::max);
    max - min <= AGREEMENT * min
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FakeDevice, FakeProblem};
    use super::*;

    fn warmed(problem: FakeProblem, stopping: &Stopping) -> (Warmed, RunClock) {
        let mut clock = RunClock::starting_at(0);
        let warmed = warm_up(&FakeDevice::new(), &mut problem.boxed(), stopping, &mut clock);
        (warmed.expect("the fake does not fail"), clock)
    }

    #[test]
    fn a_sample_is_long_enough_for_the_timer() {
        let stopping = Stopping { min_sample_ns: 0, ..Stopping::default() };
        // The fake's timer has a resolution of 500 ns, so a sample must last 500 us: 250 launches of 2 us.
        let (w, _) = warmed(FakeProblem::steady(2_000.0), &stopping);
        assert!(w.stable && (250..=313).contains(&w.launches), "{}", w.launches);
        let (w, _) = warmed(FakeProblem::steady(3_000_000.0), &stopping);
        assert_eq!(w.launches, 1);
    }

    #[test]
    fn batches_fit_the_copies() {
        assert_eq!(batch(1e6, 1e4, 1), 100);
        assert_eq!(batch(1e6, 1e4, 64), 128);
        assert_eq!(batch(1e6, 1e4, 300), 100);
        assert_eq!(batch(1e6, 1e4, 307), 307, "a prime number of copies has no parts");
        assert_eq!(batch(1e6, 9e6, 12), 1);
    }

    #[test]
    fn it_waits_for_a_clock_that_settles_and_gives_up_at_its_limit() {
        let stopping = Stopping::default();
        let (w, clock) = warmed(FakeProblem::steady(1_000_000.0).settling(20, 0.05), &stopping);
        assert!(w.stable);
        assert!(clock.kernel_ns > 20_000_000, "it stopped while times still fell: {}", clock.kernel_ns);
        let (w, clock) = warmed(FakeProblem::steady(1_000_000.0).jitter(0.3), &stopping);
        assert!(!w.stable);
        let limit = (stopping.cell_ns as f64 * stopping.warmup_share) as u64;
        assert!((limit..limit + 10_000_000).contains(&clock.kernel_ns), "{}", clock.kernel_ns);
    }
}
