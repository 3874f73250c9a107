//! Measures the candidates for a problem in turn, several times over.

use super::verdict::{Verdict, judge};
use crate::catalog::Kernel;
use crate::data::{Distribution, Tables};
use crate::device::{Device, DeviceError, Job, Prepared};
use crate::dispatch::{Candidate, Dispatcher, Entry, Form, NoKernel, Outcome, Selector};
use crate::measure::{Pace, Regime, RunClock, Stopping, measure};
use crate::problem::{Problem, ProblemError};
use crate::record::Sample;
use crate::stats::median;
use crate::verify::{HostReference, Wrong, check, error_bound, rows_to_check};
use thiserror::Error;

/// FLOP that the check of a candidate may cost.
const CHECK_FLOP: u64 = 1 << 32;

/// How to tune.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// Most candidates that are measured, the fastest by the model first.
    pub candidates: usize,
    /// How often all of them are measured, each time in fresh memory.
    pub repetitions: usize,
    /// When to stop sampling.
    pub stopping: Stopping,
    /// Seed of the data, which is uniform between -1 and 1.
    pub seed: u64,
}

/// A candidate and its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Raced {
    /// `KERNEL/VARIANT`.
    pub name: String,
    /// What the model says, in nanoseconds.
    pub predicted_ns: f64,
    /// Median over all repetitions, in nanoseconds; `None` where it was not measured.
    pub median_ns: Option<f64>,
    /// Why it has no time.
    pub dropped: Option<String>,
    /// Whether it was dropped because its result was wrong.
    pub wrong: bool,
}

/// What came of tuning a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// The candidates, the model's choice first.
    pub raced: Vec<Raced>,
    /// What was proved; `None` where there was nothing to choose from.
    pub verdict: Option<Verdict>,
    /// What to remember; `None` where there was nothing to choose from.
    pub entry: Option<Entry>,
}

/// A problem that cannot be tuned.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TuneError {
    /// It is none.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// No kernel can run it.
    #[error(transparent)]
    NoKernel(#[from] NoKernel),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Measures the candidates for a problem and judges them.
///
/// All are measured in turn, so that drift falls on each alike, in the device's usual regime: cold on a GPU. One that does not fit beside
/// the others or whose result is wrong is dropped.
///
/// `dispatcher` should have no measurements of its own, so that the first candidate is the model's choice.
///
/// # Errors
/// The problem is none, no kernel can run it, or the device failed.
pub fn tune(
    device: &dyn Device,
    dispatcher: &Dispatcher,
    problem: &Problem,
    conditions: &Conditions,
    clock: &mut RunClock,
) -> Result<Tuning, TuneError> {
    problem.validate()?;
    // For its reason, where there is no candidate.
    dispatcher.choose(problem, &Selector::Auto)?;
    let mut candidates = dispatcher.rank(problem, &Selector::Auto).candidates;
    candidates.truncate(conditions.candidates.max(1));
    let tables = Distribution::Uniform.tables(problem.dtype);
    Ok(race(problem, &candidates, conditions.repetitions, &mut |round, running| {
        one_repetition(device, problem, &tables, conditions, round == 0, running, clock)
    })?)
}

/// A candidate that still takes part.
struct Running<'a> {
    candidate: &'a Candidate,
    raced: Raced,
    /// Times of a launch, in nanoseconds, for each repetition.
    times: Vec<Vec<f64>>,
}

impl<'a> Running<'a> {
    fn new(candidate: &'a Candidate) -> Self {
        let (name, predicted_ns) = (candidate.name(), candidate.predicted_ns());
        let raced = Raced { name, predicted_ns, median_ns: None, dropped: None, wrong: false };
        Running { candidate, raced, times: Vec::new() }
    }

    fn drop_out(&mut self, why: impl ToString, wrong: bool) {
        (self.raced.dropped, self.raced.wrong) = (Some(why.to_string()), wrong);
    }
}

/// Measures the candidates of a repetition, or drops some.
type Repetition<'a> = dyn FnMut(usize, &mut [&mut Running<'_>]) -> Result<(), DeviceError> + 'a;

/// Has `repetition` measure all candidates that are left, or drop some, `repetitions` times.
fn race(
    problem: &Problem,
    candidates: &[Candidate],
    repetitions: usize,
    repetition: &mut Repetition<'_>,
) -> Result<Tuning, DeviceError> {
    let mut all: Vec<Running<'_>> = candidates.iter().map(Running::new).collect();
    if all.len() > 1 {
        for round in 0..repetitions.max(1) {
            let mut left: Vec<&mut Running<'_>> = all.iter_mut().filter(|r| r.raced.dropped.is_none()).collect();
            repetition(round, &mut left)?;
        }
    }
    for running in &mut all {
        let times: Vec<f64> = running.times.iter().flatten().copied().collect();
        running.raced.median_ns = median(&times).filter(|_| running.raced.dropped.is_none());
    }
    let left: Vec<&Running<'_>> = all.iter().filter(|r| r.raced.median_ns.is_some()).collect();
    // Without the model's choice there is nothing to compare with, and nothing is remembered.
    let first = all.first().filter(|first| first.raced.median_ns.is_some());
    let (mut verdict, mut entry) = (None, None);
    if let (Some(first), [_, _, ..]) = (first, &left[..]) {
        let rounds = left.iter().map(|r| r.times.len()).min().unwrap_or(0);
        let by_round: Vec<Vec<Vec<f64>>> =
            (0..rounds).map(|round| left.iter().map(|r| r.times[round].clone()).collect()).collect();
        verdict = judge(&by_round);
        let (winner, outcome) = match verdict {
            Some(Verdict::Faster { candidate, .. }) => (left[candidate], Outcome::Faster),
            _ => (first, Outcome::Confirmed),
        };
        let kernel: &Kernel = winner.candidate.choice.kernel;
        entry = verdict.map(|_| Entry {
            form: Form::of(problem),
            kernel: kernel.name.clone(),
            variant: winner.candidate.choice.variant.name.clone(),
            outcome,
            median_ns: winner.raced.median_ns.unwrap_or_default(),
            model: first.raced.name.clone(),
            model_ns: first.raced.median_ns.unwrap_or_default(),
            measured: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
    }
    Ok(Tuning { raced: all.into_iter().map(|r| r.raced).collect(), verdict, entry })
}

/// Measures all candidates that are left, in turn, and checks what they computed.
fn one_repetition(
    device: &dyn Device,
    problem: &Problem,
    tables: &Tables,
    conditions: &Conditions,
    checks: bool,
    left: &mut [&mut Running<'_>],
    clock: &mut RunClock,
) -> Result<(), DeviceError> {
    let kind = device.info().kind();
    let rotate_bytes = if Regime::usual(kind).rotates(kind) { device.info().cold_bytes() } else { 0 };
    let mut taking_part: Vec<&mut Running<'_>> = Vec::new();
    let mut prepared: Vec<Box<dyn Prepared>> = Vec::new();
    for running in left {
        let (kernel, variant) = (running.candidate.choice.kernel, running.candidate.choice.variant);
        let job = Job { problem, kernel, variant, tables, seed: conditions.seed, rotate_bytes };
        match device.prepare(&job) {
            Ok(ready) => {
                prepared.push(ready);
                taking_part.push(running);
            }
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => running.drop_out(error, false),
        }
    }
    if checks {
        let rows = rows_to_check(problem, CHECK_FLOP, conditions.seed);
        let mut reference = HostReference::default();
        let mut right = Vec::new();
        for (running, mut ready) in taking_part.into_iter().zip(prepared) {
            ready.launch()?;
            let bound = error_bound(problem, &running.candidate.choice.kernel.unit, Distribution::Uniform);
            match check(ready.as_mut(), 0, problem, &bound, &rows, conditions.seed, &mut reference) {
                Ok(_) => right.push((running, ready)),
                Err(Wrong::Device(error)) => return Err(error),
                Err(wrong) => running.drop_out(wrong, true),
            }
        }
        (taking_part, prepared) = right.into_iter().unzip();
    }
    if prepared.is_empty() {
        return Ok(());
    }
    let measured = measure(device, &mut prepared, Pace::Steady, &conditions.stopping, clock)?;
    for (running, measured) in taking_part.into_iter().zip(measured) {
        running.times.push(measured.samples.iter().map(Sample::per_launch_ns).collect());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::{self, CpuDevice};
    use crate::dispatch::rank;
    use crate::record::DeviceKind;

    fn candidates(problem: &Problem) -> Vec<Candidate> {
        let mut gpu = cpu::info();
        (gpu.cc, gpu.record.kind, gpu.record.units) = (90, DeviceKind::Emulated, 8);
        rank(problem, &Selector::Auto, &gpu).candidates
    }

    /// A race in which candidate `i` takes `time(i, round)`, always.
    fn raced(time: fn(usize, usize) -> f64) -> Tuning {
        let problem = Problem::new(256, 256, 256);
        race(&problem, &candidates(&problem)[..3], 3, &mut |round, left| {
            for (i, running) in left.iter_mut().enumerate() {
                running.times.push((0..10).map(|s| time(i, round) * (1.0 + 1e-4 * f64::from(s % 3))).collect());
            }
            Ok(())
        })
        .unwrap()
    }

    #[test]
    fn the_winner_is_remembered_with_what_it_was_compared_with() {
        let tuning = raced(|i, _| [100.0, 120.0, 80.0][i]);
        assert!(matches!(tuning.verdict, Some(Verdict::Faster { candidate: 2, .. })), "{:?}", tuning.verdict);
        let entry = tuning.entry.unwrap();
        assert_eq!(format!("{}/{}", entry.kernel, entry.variant), tuning.raced[2].name);
        assert_eq!((entry.model, entry.outcome), (tuning.raced[0].name.clone(), Outcome::Faster));
        assert!((entry.median_ns / entry.model_ns - 0.8).abs() < 1e-3);
    }

    #[test]
    fn what_does_not_come_again_keeps_the_model_s_choice() {
        let tuning = raced(|i, round| if i == 1 + round % 2 { 80.0 } else { 100.0 });
        assert_eq!(tuning.verdict, Some(Verdict::Unstable { winners: 2 }));
        let entry = tuning.entry.unwrap();
        assert_eq!(format!("{}/{}", entry.kernel, entry.variant), tuning.raced[0].name);
        assert_eq!(entry.outcome, Outcome::Confirmed);
    }

    #[test]
    fn a_wrong_or_misfit_candidate_never_wins_and_without_the_model_s_choice_nothing_is_remembered() {
        let problem = Problem::new(256, 256, 256);
        let dropping = |which: usize| {
            race(&problem, &candidates(&problem)[..3], 2, &mut |round, left| {
                for (i, running) in left.iter_mut().enumerate() {
                    if round == 0 && i == which {
                        running.drop_out("wrong result", true);
                    } else {
                        running.times.push(vec![if running.raced.name.contains('0') { 50.0 } else { 60.0 }; 10]);
                    }
                }
                Ok(())
            })
            .unwrap()
        };
        let tuning = dropping(1);
        assert!(tuning.raced[1].wrong && tuning.raced[1].median_ns.is_none());
        assert_ne!(tuning.entry.map(|e| format!("{}/{}", e.kernel, e.variant)), Some(tuning.raced[1].name.clone()));
        assert_eq!(dropping(0).entry, None);
    }

    #[test]
    fn the_cpu_has_nothing_to_choose() {
        let device = CpuDevice::new();
        let dispatcher = Dispatcher::new(device.info());
        let conditions = Conditions { candidates: 8, repetitions: 3, stopping: Stopping::default(), seed: 1 };
        let mut clock = RunClock::starting_at(0);
        let tuning = tune(&device, &dispatcher, &Problem::new(64, 64, 64), &conditions, &mut clock).unwrap();
        assert_eq!((tuning.raced.len(), tuning.verdict, tuning.entry), (1, None, None));
        assert_eq!(clock.kernel_ns, 0);
    }

    #[test]
    fn candidates_are_checked_and_timed_on_a_real_device() {
        // The CPU's kernel against itself.
        let device = CpuDevice::new();
        let problem = Problem::new(40, 30, 20);
        let one = rank(&problem, &Selector::Auto, device.info()).candidates.remove(0);
        let stopping = Stopping { cell_ns: 2_000_000, min_samples: 6, max_samples: 10, ..Stopping::default() };
        let conditions = Conditions { candidates: 2, repetitions: 2, stopping, seed: 1 };
        let tables = Distribution::Uniform.tables(problem.dtype);
        let mut clock = RunClock::starting_at(0);
        let tuning = race(&problem, &[one.clone(), one], 2, &mut |round, left| {
            one_repetition(&device, &problem, &tables, &conditions, round == 0, left, &mut clock)
        })
        .unwrap();
        assert!(tuning.raced.iter().all(|r| r.median_ns.is_some_and(|ns| ns > 0.0)), "{tuning:?}");
        assert!(tuning.verdict.is_some());
    }
}
