//! Takes samples until they say enough: of one problem, or of two in turn, A B B A, so that drift falls on both alike.

use super::{RunClock, Stopping, one_sample};
use crate::device::{Device, DeviceError, Prepared};
use crate::record::{Sample, Stop};
use crate::stats::median_interval;

/// Samples of each problem, and why sampling stopped. Before each turn the problem runs untimed for `dwell_ns` of device time, where that
/// is not 0: two samples in a row are one turn, and a problem that is measured alone has but one.
pub(super) fn sample(
    device: &dyn Device,
    problems: &mut [Box<dyn Prepared>],
    batches: &[u32],
    dwell_ns: u64,
    stopping: &Stopping,
    clock: &mut RunClock,
) -> Result<(Vec<Vec<Sample>>, Stop), DeviceError> {
    let count = problems.len();
    let mut samples = vec![Vec::new(); count];
    let limit_ns = stopping.cell_ns * count as u64;
    let mut start_ns = clock.kernel_ns;
    let mut turn = None;
    // Half a block forwards and half of it backwards: A B B A.
    let order: Vec<usize> = if count == 1 { vec![0] } else { (0..count).chain((0..count).rev()).collect() };
    loop {
        for &i in &order {
            if dwell_ns > 0 {
                if turn.replace(i) != Some(i) {
                    // A dwell is no part of the time that the cell may take.
                    start_ns += dwell(problems[i].as_mut(), batches[i], dwell_ns, clock)?;
                }
            } else if count > 1 && problems[i].copies() == 1 {
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

/// Runs a problem for at least so long, in device time, and returns for how long.
fn dwell(prepared: &mut dyn Prepared, launches: u32, ns: u64, clock: &mut RunClock) -> Result<u64, DeviceError> {
    let (start_ns, begun_ns) = (clock.kernel_ns, clock.now_ns());
    // A device whose timer stands still dwells by the host's.
    while clock.kernel_ns - start_ns < ns && clock.now_ns() - begun_ns < 2 * ns {
        clock.kernel_ns += prepared.time(launches)?.elapsed_ns;
        clock.beat();
    }
    Ok(clock.kernel_ns - start_ns)
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
        sample(&FakeDevice::new(), &mut boxed, &batches, 0, stopping, &mut clock).expect("the fake does not fail")
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
    fn each_turn_of_a_pair_and_the_first_of_a_single_cell_begin_with_a_dwell() {
        let stopping = Stopping { min_samples: 6, max_samples: 6, cell_ns: 1_000_000, ..Stopping::default() };
        let dwelt = |count: usize| {
            // The counter of the drift, which is zero here, counts the calls of all problems.
            let calls = FakeProblem::shared_drift(0.0);
            let mut boxed: Vec<Box<dyn Prepared>> = (0..count)
                .map(|_| Box::new(FakeProblem::steady(1e6).jitter(0.1).drifting(&calls)) as Box<dyn Prepared>)
                .collect();
            let mut clock = RunClock::starting_at(0);
            let batches = vec![1; count];
            let (samples, _) =
                sample(&FakeDevice::new(), &mut boxed, &batches, 20_000_000, &stopping, &mut clock).unwrap();
            assert!(samples.iter().all(|s| s.len() == 6));
            (calls.0.get(), clock.kernel_ns)
        };
        // A, B B, A A, B B, A A, B B, A: seven turns of about 20 launches, and twelve samples.
        let (calls, ns) = dwelt(2);
        assert!((7 * 19 + 12..=7 * 22 + 12).contains(&calls), "{calls}");
        assert!(ns > 7 * 20_000_000, "{ns}");
        let (calls, _) = dwelt(1);
        assert!((19 + 6..=22 + 6).contains(&calls), "{calls}");
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
