//! Takes samples until they say enough: of one problem, or of two in turn, A B B A, so that drift falls on both alike.

use super::{RunClock, Stopping, one_sample};
use crate::device::{Device, DeviceError, Prepared};
use crate::record::{Sample, Stop};
use crate::stats::median_interval;

/// Samples of each problem, and why sampling stopped.
pub(super) fn sample(
    device: &dyn Device,
    problems: &mut [Box<dyn Prepared>],
    batches: &[u32],
    stopping: &Stopping,
    clock: &mut RunClock,
) -> Result<(Vec<Vec<Sample>>, Stop), DeviceError> {
    let count = problems.len();
    let mut samples = vec![Vec::new(); count];
    let limit_ns = stopping.cell_ns * count as u64;
    let start_ns = clock.kernel_ns;
    // Half a block forwards and half of it backwards: A B B A.
    let order: Vec<usize> = if count == 1 { vec![0] } else { (0..count).chain((0..count).rev()).collect() };
    loop {
        for &i in &order {
            if count > 1 && problems[i].copies() == 1 {
                // The other problem's operands are in the cache now. One launch brings this one's own back, as if the other were
                // not there. Cold launches need none, and one more would shift each batch to other copies than the one before.
                clock.kernel_ns += problems[i].time(1)?.elapsed_ns;
            }
            samples[i].push(one_sample(device, problems[i].as_mut(), batches[i], clock)?);
        }
        let taken = samples[0].len();
        if taken < stopping.min_samples {
            // A cell that takes far longer than planned still ends, with as many samples as an interval needs.
            if clock.kernel_ns - start_ns < 4 * limit_ns || taken < crate::stats::MIN_SAMPLES {
                continue;
            }
            return Ok((samples, Stop::Time));
        }
        if samples.iter().all(|s| narrow(s, stopping.relative_width)) {
            return Ok((samples, Stop::Interval));
        }
        if taken >= stopping.max_samples {
            return Ok((samples, Stop::Samples));
        }
        if clock.kernel_ns - start_ns >= limit_ns {
            return Ok((samples, Stop::Time));
        }
    }
}

fn narrow(samples: &[Sample], width: f64) -> bool {
    let times: Vec<f64> = samples.iter().map(Sample::per_launch_ns).collect();
    median_interval(&times).is_some_and(|i| i.relative_width() < width)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FakeDevice, FakeProblem};
    use super::*;

    fn sampled(problems: Vec<FakeProblem>, stopping: &Stopping) -> (Vec<Vec<Sample>>, Stop) {
        let mut boxed: Vec<Box<dyn Prepared>> =
            problems.into_iter().map(|p| Box::new(p) as Box<dyn Prepared>).collect();
        let batches = vec![1; boxed.len()];
        let mut clock = RunClock::starting_at(0);
        sample(&FakeDevice::new(), &mut boxed, &batches, stopping, &mut clock).expect("the fake does not fail")
    }

    #[test]
    fn it_stops_on_evidence_on_time_or_on_count() {
        let stopping = Stopping::default();
        let (samples, stop) = sampled(vec![FakeProblem::steady(1e6).jitter(0.001)], &stopping);
        assert_eq!((samples[0].len(), stop), (10, Stop::Interval));
        let (samples, stop) = sampled(vec![FakeProblem::steady(1e6).jitter(0.5)], &stopping);
        assert_eq!(stop, Stop::Time);
        assert!((300..=700).contains(&samples[0].len()), "{}", samples[0].len());
        let few = Stopping { max_samples: 20, ..Stopping::default() };
        assert_eq!(sampled(vec![FakeProblem::steady(1e6).jitter(0.5)], &few).1, Stop::Samples);
        // A launch of 10 s: six samples, not ten.
        let (samples, stop) = sampled(vec![FakeProblem::steady(1e10).jitter(0.5)], &stopping);
        assert_eq!((samples[0].len(), stop), (6, Stop::Time));
    }

    #[test]
    fn only_hot_pairs_bring_their_operands_back_before_a_sample() {
        let stopping = Stopping { min_samples: 10, max_samples: 10, ..Stopping::default() };
        for (copies, launches_a_sample) in [(1, 2), (8, 1)] {
            // The counter of the drift, which is zero here, counts the calls of both problems.
            let calls = FakeProblem::shared_drift(0.0);
            let problem = || FakeProblem::steady(1e6).drifting(&calls).rotating(copies);
            let (samples, _) = sampled(vec![problem(), problem()], &stopping);
            let taken = (samples[0].len() + samples[1].len()) as u32;
            assert_eq!(calls.0.get(), launches_a_sample * taken, "{copies} copies");
        }
    }

    #[test]
    fn pairs_are_interleaved_so_that_drift_cancels() {
        // The device slows down by 0.1 % with every sample that anybody takes; A and B are equal.
        let drift = FakeProblem::shared_drift(0.001);
        let pair = vec![FakeProblem::steady(1e6).drifting(&drift), FakeProblem::steady(1e6).drifting(&drift)];
        let (samples, _) = sampled(pair, &Stopping { max_samples: 40, ..Stopping::default() });
        let total = |i: usize| samples[i].iter().map(Sample::per_launch_ns).sum::<f64>();
        assert!((total(0) / total(1) - 1.0).abs() < 1e-6, "{}", total(0) / total(1));
        assert_eq!(samples[0].len(), samples[1].len());
        let order: Vec<u64> = samples[0].iter().map(|s| s.at_ns).collect();
        assert!(order.is_sorted());
    }
}
