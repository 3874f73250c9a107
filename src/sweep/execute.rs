//! Measures one unit on an open device: dispatch, prepare, time, check, record.

use super::plan::{Cell, pace};
use crate::baseline::BaselineError;
use crate::data::{Distribution, Tables};
use crate::device::{Device, DeviceError, Job, Prepared};
use crate::dispatch::{Choice, Dispatcher, Selector, select};
use crate::measure::{Measured, Pace, RunClock, Stopping, block_ratios, measure, refuse_implausible};
use crate::problem::{DType, Problem};
use crate::record::{CellRecord, DeviceKind, Status};
use crate::stats::median_interval;
use crate::tune;
use crate::verify::{self, HostReference, rows_to_check};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;

/// FLOP that the reference of a cell may cost on a GPU, where FP64 is slow, and on a CPU, where it is half as fast as FP32.
const CHECK_FLOP: [u64; 2] = [1 << 32, 1 << 36];

/// Launches at most that a check on fresh poison makes, each on the next copy; it then looks at the last.
const FRESH_LAUNCHES: usize = 4;

/// What a worker needs to know besides the cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// Seed of the data.
    pub seed: u64,
    /// Distribution of the data.
    pub distribution: Distribution,
    /// When to stop sampling.
    pub stopping: Stopping,
    /// The file with measurements that dispatch goes by; `None` for the model alone.
    #[serde(default)]
    pub tuned: Option<PathBuf>,
}

/// What came of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitOutcome {
    /// A record for each of its cells.
    pub records: Vec<CellRecord>,
    /// Time inside launches.
    pub kernel_ns: u64,
    /// The device cannot be used by this process any more.
    pub fatal: bool,
}

/// Runs units on one device.
pub struct Executor {
    device: Box<dyn Device>,
    dispatcher: Dispatcher,
    conditions: Conditions,
    tables: HashMap<(DType, Distribution), Tables>,
    reference: HostReference,
    heartbeat: Option<fn()>,
}

/// Why a cell has no number.
struct NoNumber {
    status: Status,
    reason: String,
    fatal: bool,
}

impl NoNumber {
    fn skipped(reason: impl ToString) -> Self {
        NoNumber { status: Status::Skipped, reason: reason.to_string(), fatal: false }
    }

    fn failed(reason: impl ToString) -> Self {
        NoNumber { status: Status::Failed, reason: reason.to_string(), fatal: false }
    }
}

impl From<DeviceError> for NoNumber {
    fn from(error: DeviceError) -> Self {
        let fatal = error.is_fatal();
        let reason = error.to_string();
        // What does not fit, and a library that is not here, were never tried.
        let untried = match &error {
            DeviceError::OutOfMemory { .. } => true,
            DeviceError::Baseline(why) => !matches!(why, BaselineError::Call { .. }),
            _ => false,
        };
        let status = if untried { Status::Skipped } else { Status::Failed };
        NoNumber { status, reason, fatal }
    }
}

impl Executor {
    /// An executor on an open device. A file of measurements that cannot be used is reported and left out.
    pub fn new(device: Box<dyn Device>, conditions: Conditions) -> Self {
        let dispatcher = tune::dispatcher(device.info(), conditions.tuned.as_deref());
        Executor {
            device,
            dispatcher,
            conditions,
            tables: HashMap::new(),
            reference: HostReference::default(),
            heartbeat: None,
        }
    }

    /// The same executor, which calls `heartbeat` between launches, at most once a second.
    pub fn with_heartbeat(self, heartbeat: fn()) -> Self {
        Executor { heartbeat: Some(heartbeat), ..self }
    }

    /// The device.
    pub fn device(&self) -> &dyn Device {
        self.device.as_ref()
    }

    /// Measures the cells of a unit, beginning `at_ns` after the start of the run.
    pub fn run(&mut self, cells: &[Cell], at_ns: u64) -> UnitOutcome {
        let mut clock = RunClock::starting_at(at_ns).with_heartbeat(self.heartbeat);
        let mut records: Vec<CellRecord> =
            cells.iter().map(|cell| blank(cell, &self.device.info().record.name)).collect();
        let outcome = self.measured(cells, &mut records, &mut clock);
        let mut fatal = false;
        if let Err(mut none) = outcome {
            fatal = none.fatal;
            if let Some(findings) = self.device.findings() {
                none.reason = format!("{}: {findings}", none.reason);
            }
            for record in &mut records {
                // One side of a comparison alone says nothing, so both share the reason. Samples stay, as evidence; a time and a
                // throughput that cannot be trusted do not.
                record.status = none.status;
                record.reason = Some(none.reason.clone());
                (record.median_ns, record.median_lo_ns, record.median_hi_ns) = (None, None, None);
                (record.tflops, record.flop_per_cycle) = (None, None);
                (record.pair_ratio, record.pair_ratio_lo, record.pair_ratio_hi) = (None, None, None);
            }
        }
        UnitOutcome { records, kernel_ns: clock.kernel_ns, fatal }
    }

    fn measured(&mut self, cells: &[Cell], records: &mut [CellRecord], clock: &mut RunClock) -> Result<(), NoNumber> {
        let info = self.device.info().clone();
        let mut choices = Vec::new();
        let mut problems = Vec::new();
        for (cell, record) in cells.iter().zip(records.iter_mut()) {
            cell.problem.validate().map_err(NoNumber::skipped)?;
            let selector = selector(&cell.kernel, info.kind()).map_err(NoNumber::failed)?;
            let choice = self.dispatcher.choose(&cell.problem, &selector).map_err(NoNumber::skipped)?;
            record.kernel.clone_from(&choice.kernel.name);
            record.variant.clone_from(&choice.variant.name);
            record.dispatch.clone_from(&choice.why);
            choices.push(choice);
        }
        for cell in cells {
            let (dtype, distribution) = (cell.problem.dtype, self.distribution(cell));
            self.tables.entry((dtype, distribution)).or_insert_with(|| distribution.tables(dtype));
        }
        for (cell, choice) in cells.iter().zip(&choices) {
            problems.push(self.prepare(cell, choice)?);
        }
        for (record, prepared) in records.iter_mut().zip(&problems) {
            if let Some(chosen) = prepared.chosen() {
                record.dispatch = format!("{}; {chosen}", record.dispatch);
            }
        }
        if info.kind() == DeviceKind::Emulated {
            return self.counted(cells, &choices, &mut problems, records);
        }
        let pace = pace(cells, info.kind()).map_err(NoNumber::failed)?;
        let measured = measure(self.device.as_ref(), &mut problems, pace, &self.conditions.stopping, clock)?;
        if let [first, second] = &measured[..]
            && !matches!(pace, Pace::Onset { .. })
        {
            let ratios = block_ratios(&first.samples, &second.samples);
            if let Some(interval) = median_interval(&ratios) {
                records[1].pair_ratio = Some(interval.median);
                records[1].pair_ratio_lo = Some(interval.lo);
                records[1].pair_ratio_hi = Some(interval.hi);
            }
        }
        for ((cell, (prepared, record)), measured) in
            cells.iter().zip(problems.iter().zip(records.iter_mut())).zip(&measured)
        {
            record.copies = u32::try_from(prepared.copies()).ok();
            record.workspace_bytes = Some(prepared.workspace_bytes()).filter(|&bytes| bytes > 0);
            fill_in(record, &cell.problem, pace, measured.clone());
        }
        for (((cell, choice), (prepared, record)), measured) in
            cells.iter().zip(&choices).zip(problems.iter_mut().zip(records.iter_mut())).zip(&measured)
        {
            refuse_implausible(measured, &cell.problem, &info).map_err(NoNumber::failed)?;
            if cell.problem.beta == 0.0 {
                // What the timed launches left. With another beta every launch has added to C.
                self.check(cell, choice, prepared.as_mut(), 0, record)?;
            }
            // And once more on fresh poison: a kernel that was right once and then did nothing would pass the first check.
            prepared.reset_c()?;
            let copies = prepared.copies();
            let last = (self.conditions.seed ^ cell.cell) as usize % copies.min(FRESH_LAUNCHES);
            for _ in 0..=last {
                prepared.launch()?;
            }
            self.check(cell, choice, prepared.as_mut(), last, record)?;
        }
        Ok(())
    }

    /// One launch of each cell on a device that counts and has no time.
    fn counted(
        &mut self,
        cells: &[Cell],
        choices: &[Choice],
        problems: &mut [Box<dyn Prepared>],
        records: &mut [CellRecord],
    ) -> Result<(), NoNumber> {
        for ((cell, choice), (prepared, record)) in
            cells.iter().zip(choices).zip(problems.iter_mut().zip(records.iter_mut()))
        {
            self.device.reset_counters();
            prepared.launch()?;
            record.counters = self.device.counters().map(Box::new);
            record.workspace_bytes = Some(prepared.workspace_bytes()).filter(|&bytes| bytes > 0);
            self.check(cell, choice, prepared.as_mut(), 0, record)?;
            record.status = Status::Ok;
        }
        Ok(())
    }

    /// Checks one copy of C.
    fn check(
        &mut self,
        cell: &Cell,
        choice: &Choice,
        prepared: &mut dyn Prepared,
        copy: usize,
        record: &mut CellRecord,
    ) -> Result<(), NoNumber> {
        let budget = CHECK_FLOP[usize::from(self.device.info().kind() == DeviceKind::Cpu)];
        let (seed, distribution) = (self.conditions.seed, self.distribution(cell));
        let bound = verify::error_bound(&cell.problem, &choice.kernel.unit, distribution);
        let rows = rows_to_check(&cell.problem, budget, seed);
        let data_id = distribution.data_id(seed);
        let check = verify::check(prepared, copy, &cell.problem, &bound, &rows, data_id, &mut self.reference);
        record.check = Some(check.map_err(|wrong| match wrong {
            verify::Wrong::Device(error) => error.into(),
            other => NoNumber::failed(other),
        })?);
        Ok(())
    }

    /// What a cell's operands are drawn from.
    fn distribution(&self, cell: &Cell) -> Distribution {
        cell.distribution.unwrap_or(self.conditions.distribution)
    }

    fn prepare(&self, cell: &Cell, choice: &Choice) -> Result<Box<dyn Prepared>, DeviceError> {
        let info = self.device.info();
        let rotate_bytes = if cell.regime.rotates(info.kind()) { info.cold_bytes() } else { 0 };
        self.device.prepare(&Job {
            problem: &cell.problem,
            kernel: choice.kernel,
            variant: choice.variant,
            tables: &self.tables[&(cell.problem.dtype, self.distribution(cell))],
            seed: self.conditions.seed,
            rotate_bytes,
        })
    }
}

/// The plan has resolved `all` already, so a cell's kernel stands for one selector.
fn selector(name: &str, kind: DeviceKind) -> Result<Selector, String> {
    let selectors = select(name, kind).map_err(|e| e.to_string())?;
    selectors.into_iter().next().ok_or_else(|| format!("{name:?} selects no kernel"))
}

/// A record of a cell that nothing is known of yet.
pub fn blank(cell: &Cell, device: &str) -> CellRecord {
    CellRecord {
        cell: cell.cell,
        part: cell.part.clone(),
        pair: cell.pair,
        role: cell.role,
        problem: cell.problem,
        device: device.to_owned(),
        kernel: cell.kernel.clone(),
        variant: String::new(),
        dispatch: String::new(),
        regime: cell.regime.name().to_owned(),
        distribution: cell.distribution.map(|d| d.name().to_owned()),
        dwell_ns: None,
        idle_ns: None,
        status: Status::Failed,
        reason: None,
        median_ns: None,
        median_lo_ns: None,
        median_hi_ns: None,
        tflops: None,
        flop_per_cycle: None,
        pair_ratio: None,
        pair_ratio_lo: None,
        pair_ratio_hi: None,
        copies: None,
        workspace_bytes: None,
        stop: None,
        throttled_samples: 0,
        warm: None,
        check: None,
        counters: None,
        samples: Vec::new(),
    }
}

fn fill_in(record: &mut CellRecord, problem: &Problem, pace: Pace, measured: Measured) {
    let flop = problem.flop() as f64;
    let round = |ns: f64| Some(ns.round() as u64);
    record.status = Status::Ok;
    record.stop = Some(measured.stop);
    record.throttled_samples = measured.samples.iter().filter(|s| s.throttled).count() as u32;
    match pace {
        Pace::Steady => {}
        Pace::Sustained { dwell_ns } => record.dwell_ns = Some(dwell_ns),
        Pace::Onset { idle_ns, .. } => {
            // A launch has no one time while a load begins: the samples are what was measured, and nothing stands for them.
            record.idle_ns = Some(idle_ns);
            record.samples = measured.samples;
            return;
        }
    }
    record.median_ns = round(measured.time_ns.median);
    record.median_lo_ns = round(measured.time_ns.lo);
    record.median_hi_ns = round(measured.time_ns.hi);
    record.tflops = Some(flop / measured.time_ns.median * 1e-3);
    record.flop_per_cycle = measured.cycles.map(|cycles| flop / cycles);
    record.warm = Some(measured.warm);
    record.samples = measured.samples;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::CpuDevice;
    use crate::measure::Regime;
    use crate::record::Role;

    fn executor() -> Executor {
        let stopping = Stopping { min_samples: 4, max_samples: 6, cell_ns: 5_000_000, ..Stopping::default() };
        let conditions = Conditions { seed: 7, distribution: Distribution::Uniform, stopping, tuned: None };
        Executor::new(Box::new(CpuDevice::new()), conditions)
    }

    fn pair(regimes: [Regime; 2], problem: Problem) -> Vec<Cell> {
        let arms = [(Role::Baseline, Some(Distribution::Zeros)), (Role::Variant, None)].into_iter().zip(regimes);
        let cell = |(number, ((role, distribution), regime))| Cell {
            cell: number,
            part: "test".to_owned(),
            pair: Some(0),
            role: Some(role),
            problem,
            kernel: "cpu_sgemm".to_owned(),
            regime,
            distribution,
        };
        (0..).zip(arms).map(cell).collect()
    }

    #[test]
    fn zeros_and_data_are_measured_in_turn_and_each_is_checked_against_its_own_product() {
        for beta in [0.0, 0.5] {
            let problem = Problem { beta, ..Problem::new(48, 40, 32) };
            let outcome = executor().run(&pair([Regime::Sustained; 2], problem), 0);
            // A reference that is kept from the one to the other would call one of them wrong.
            let [zeros, data] = &outcome.records[..] else { panic!("two cells, two records") };
            for record in [zeros, data] {
                assert_eq!(record.status, Status::Ok, "beta {beta}: {:?}", record.reason);
                assert_eq!(
                    (record.regime.as_str(), record.dwell_ns, record.samples.len()),
                    ("sustained", Some(50_000_000), 4)
                );
                assert_eq!(record.check.as_ref().map(|c| c.elements), Some(48 * 40));
            }
            assert_eq!([&zeros.distribution, &data.distribution], [&Some("zeros".to_owned()), &None]);
            // Sums of zeros are exact, and those of data are not.
            let worst = |r: &CellRecord| r.check.as_ref().map_or(f64::NAN, |c| c.worst);
            assert!(beta != 0.0 || worst(zeros) == 0.0 && worst(data) > 0.0, "{} {}", worst(zeros), worst(data));
            let dwelt = 5 * 50_000_000;
            assert!(outcome.kernel_ns > dwelt, "{} ns, and the dwells alone take {dwelt}", outcome.kernel_ns);
        }
    }

    #[test]
    fn regimes_that_cannot_be_measured_in_turn_are_refused_with_the_reason() {
        let outcome = executor().run(&pair([Regime::Sustained, Regime::Hot], Problem::new(8, 8, 8)), 0);
        for record in &outcome.records {
            assert_eq!(record.status, Status::Failed);
            let reason = record.reason.as_deref().unwrap_or_default();
            assert!(reason.contains("sustained and hot cannot be measured in turn"), "{reason}");
        }
    }
}
