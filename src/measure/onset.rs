//! How a load begins on a device at rest: samples from the very first launch on, where others warm up.

use super::warmup::batch;
use super::{RunClock, Stopping, one_sample};
use crate::device::{Device, DeviceError, Prepared};
use crate::record::Sample;

/// How long a sample lasts: short against the swing of a clock, long against what reading the telemetry takes.
const SAMPLE_NS: f64 = 20_000_000.0;

/// Lets the device rest for the first time and takes samples for the second, both in nanoseconds.
///
/// How many launches make a sample is found out before the rest, by which the code is loaded and the batch is ready too: what the first
/// sample shows is the device, and not the program.
pub(super) fn watch(
    device: &dyn Device,
    prepared: &mut dyn Prepared,
    (idle_ns, watch_ns): (u64, u64),
    stopping: &Stopping,
    clock: &mut RunClock,
) -> Result<Vec<Sample>, DeviceError> {
    let target_ns = stopping.sample_ns(device.info().timer_resolution_ns).max(SAMPLE_NS);
    let mut launches = 1;
    for _ in 0..3 {
        let per_launch_ns = one_sample(device, prepared, launches, clock)?.per_launch_ns();
        launches = batch(target_ns, per_launch_ns, prepared.copies());
    }
    // Not timed: the batch that will be.
    one_sample(device, prepared, launches, clock)?;
    clock.idle(idle_ns);
    let (start_ns, begun_ns) = (clock.now_ns(), clock.kernel_ns);
    let mut samples = Vec::new();
    loop {
        samples.push(one_sample(device, prepared, launches, clock)?);
        // Time inside launches is less than time, but on a device whose times are made up.
        if clock.now_ns() - start_ns >= watch_ns || clock.kernel_ns - begun_ns >= watch_ns {
            return Ok(samples);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FakeDevice, FakeProblem};
    use super::*;

    #[test]
    fn the_first_launches_are_samples_and_each_lasts_as_long() {
        // Each of the first 40 calls is 1 % of the settled time faster than the one before.
        let mut problem = FakeProblem::steady(1e6).settling(40, 0.01);
        let mut clock = RunClock::starting_at(0);
        let samples =
            watch(&FakeDevice::new(), &mut problem, (0, 2_000_000_000), &Stopping::default(), &mut clock).unwrap();
        let per_launch: Vec<f64> = samples.iter().map(Sample::per_launch_ns).collect();
        // Four calls were the probe's.
        assert!(per_launch[0] > 1.3e6, "{per_launch:?}");
        assert!(per_launch[..30].is_sorted_by(|a, b| a >= b));
        assert!(samples.iter().all(|s| s.launches == samples[0].launches && s.elapsed_ns > 10_000_000));
        let watched: u64 = samples.iter().map(|s| s.elapsed_ns).sum();
        assert!((2_000_000_000..2_100_000_000).contains(&watched), "{watched}");
    }

    #[test]
    fn the_device_rests_before_the_first_sample_and_gives_signs_of_life() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static BEATS: AtomicU32 = AtomicU32::new(0);
        fn beat() {
            BEATS.fetch_add(1, Ordering::Relaxed);
        }
        let mut clock = RunClock::starting_at(0).with_heartbeat(Some(beat));
        let mut problem = FakeProblem::steady(1e8);
        let idle_ns = 1_300_000_000;
        let samples = watch(&FakeDevice::new(), &mut problem, (idle_ns, 1), &Stopping::default(), &mut clock).unwrap();
        assert!(samples[0].at_ns >= idle_ns, "{}", samples[0].at_ns);
        assert!(BEATS.load(Ordering::Relaxed) >= 1);
    }
}
