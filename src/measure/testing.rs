//! A device whose times are made up, to test how they are measured.

use super::Measured;
use crate::device::{
    CheckCounts, Device, DeviceError, DeviceInfo, ErrorBound, HostView, Job, Prepared, Reading, Timing,
};
use crate::record::{DeviceKind, DeviceRecord, Stop};
use crate::stats::MedianInterval;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::rc::Rc;

pub(super) struct FakeDevice(DeviceInfo);

impl FakeDevice {
    pub fn new() -> Self {
        FakeDevice(DeviceInfo {
            record: DeviceRecord {
                kind: DeviceKind::Cuda,
                name: "made up".to_owned(),
                uuid: None,
                pci_bus_id: None,
                compute_capability: None,
                units: 1,
                peak_flop_per_cycle: 1000.0,
                l2_bytes: 1 << 20,
                memory_bytes: 1 << 30,
                max_clock_mhz: Some(1000),
                power_cap_mw: None,
                driver: "none".to_owned(),
                telemetry: "none".to_owned(),
                clock_source: "none".to_owned(),
            },
            cc: 90,
            timer_resolution_ns: 500.0,
        })
    }
}

impl Device for FakeDevice {
    fn info(&self) -> &DeviceInfo {
        &self.0
    }
    fn free_bytes(&self) -> u64 {
        1 << 30
    }
    fn prepare(&self, job: &Job<'_>) -> Result<Box<dyn Prepared>, DeviceError> {
        Ok(Box::new(FakeProblem::steady(job.problem.flop() as f64)))
    }
    fn reading(&self) -> Reading {
        Reading::default()
    }
}

pub(super) struct FakeProblem {
    ns: f64,
    jitter: f64,
    settle: Option<(u32, f64)>,
    drift: Option<(Rc<Cell<u32>>, f64)>,
    calls: u32,
    copies: usize,
    rng: ChaCha8Rng,
}

impl FakeProblem {
    pub fn steady(ns: f64) -> Self {
        FakeProblem {
            ns,
            jitter: 0.0,
            settle: None,
            drift: None,
            calls: 0,
            copies: 1,
            rng: ChaCha8Rng::seed_from_u64(5),
        }
    }

    /// Uniform noise of this relative size.
    pub fn jitter(self, jitter: f64) -> Self {
        FakeProblem { jitter, ..self }
    }

    /// Each of the first `calls` samples is faster than the one before by this share.
    pub fn settling(self, calls: u32, step: f64) -> Self {
        FakeProblem { settle: Some((calls, step)), ..self }
    }

    pub fn shared_drift(step: f64) -> (Rc<Cell<u32>>, f64) {
        (Rc::new(Cell::new(0)), step)
    }

    pub fn drifting(self, drift: &(Rc<Cell<u32>>, f64)) -> Self {
        FakeProblem { drift: Some(drift.clone()), ..self }
    }

    pub fn rotating(self, copies: usize) -> Self {
        FakeProblem { copies, ..self }
    }

    pub fn boxed(self) -> impl Prepared {
        self
    }
}

impl Prepared for FakeProblem {
    fn time(&mut self, launches: u32) -> Result<Timing, DeviceError> {
        let mut ns = self.ns * (1.0 + self.jitter * (self.rng.random::<f64>() - 0.5));
        if let Some((calls, step)) = self.settle {
            ns *= 1.0 + step * f64::from(calls.saturating_sub(self.calls));
        }
        if let Some((count, step)) = &self.drift {
            ns *= 1.0 + step * f64::from(count.get());
            count.set(count.get() + 1);
        }
        self.calls += 1;
        Ok(Timing { elapsed_ns: (ns * f64::from(launches)) as u64, clock_mhz: None })
    }
    fn launch(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
    fn reset_c(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
    fn copies(&self) -> usize {
        self.copies
    }
    fn check(&mut self, _: usize, _: &[u32], _: &ErrorBound) -> Result<Option<CheckCounts>, DeviceError> {
        Ok(Some(CheckCounts::default()))
    }
    fn with_host_view(&mut self, _: usize, _: &mut dyn FnMut(HostView<'_>)) -> Result<(), DeviceError> {
        Ok(())
    }
}

pub(super) fn measured(ns: f64, clock_mhz: Option<f64>) -> Measured {
    Measured {
        samples: Vec::new(),
        stop: Stop::Time,
        warm: true,
        time_ns: MedianInterval { median: ns, lo: ns, hi: ns },
        cycles: clock_mhz.map(|mhz| ns * mhz * 1e-3),
    }
}
