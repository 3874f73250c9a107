//! NVIDIA GPUs, through the CUDA driver.
//!
//! The driver is opened at run time, so that one program runs with and without it, and only behind the gate: [`probe`]
//! and [`CudaDevice::open`] answer with a [`GpuAbsent`] where there is nothing to use. Work is queued on one stream of
//! the device's primary context, by the thread that opened it.

mod check;
mod clock;
mod context;
mod driver;
mod emulated;
mod figures;
mod gate;
mod graph;
mod hold;
mod launch;
mod layout;
mod library;
mod memory;
mod module;
mod operands;
mod problem;
mod route;
mod tensor_map;
mod timer;

use super::{Device, DeviceError, DeviceInfo, GpuAbsent, Job, Prepared, Reading, Telemetry};
pub use emulated::{emulate, emulator};

use crate::baseline::WORKSPACE_BYTES;
use crate::record::Counters;
use context::Context;
use driver::Failed;
use gate::Gate;
use operands::{Workspace, needed_bytes, out_of_memory};
use problem::{CudaProblem, workspace};
use route::{Site, route};
use std::cell::OnceCell;
use std::rc::Rc;
use timer::Timer;

/// The CUDA devices, in the driver's order, or why there are none.
///
/// # Errors
/// No driver, or none that will do; no device, or none new enough.
pub fn probe() -> Result<Vec<DeviceInfo>, GpuAbsent> {
    let gate = gate::gate()?;
    let devices = list(gate).map_err(absent)?;
    let needed = gate::lowest_cc();
    match devices.iter().map(|device| device.cc).max() {
        None => Err(GpuAbsent::NoDevice),
        Some(cc) if cc < needed => Err(GpuAbsent::DeviceTooOld { cc, needed }),
        Some(_) => Ok(devices),
    }
}

fn list(gate: &Gate) -> Result<Vec<DeviceInfo>, Failed> {
    (0..figures::count(&gate.driver)?).map(|ordinal| figures::figures(gate, ordinal)).collect()
}

/// A driver that starts and then cannot describe its devices is as good as one that does not start.
fn absent(failed: Failed) -> GpuAbsent {
    GpuAbsent::Init { code: failed.code, name: failed.name }
}

/// An open CUDA device.
pub struct CudaDevice {
    context: Rc<Context>,
    info: DeviceInfo,
    telemetry: Telemetry,
    timer: OnceCell<Rc<Timer>>,
}

impl CudaDevice {
    /// Opens the device at an ordinal: takes a share in its primary context. Kernels are loaded as they are needed.
    ///
    /// # Errors
    /// There is no such device, or it is too old, or the driver failed.
    pub fn open(ordinal: u32) -> Result<CudaDevice, DeviceError> {
        let gate = gate::gate()?;
        let count = figures::count(&gate.driver)?;
        if count == 0 {
            return Err(GpuAbsent::NoDevice.into());
        }
        if ordinal >= count {
            return Err(GpuAbsent::NoSuchDevice { ordinal, count }.into());
        }
        let info = figures::figures(gate, ordinal)?;
        let needed = gate::lowest_cc();
        if info.cc < needed {
            return Err(GpuAbsent::DeviceTooOld { cc: info.cc, needed }.into());
        }
        let context = Context::open(gate, ordinal, info.cc, info.record.units)?;
        let telemetry = Telemetry::new(info.record.pci_bus_id.as_deref());
        Ok(CudaDevice { context, info, telemetry, timer: OnceCell::new() })
    }

    fn timer(&self) -> Result<&Rc<Timer>, DeviceError> {
        if let Some(timer) = self.timer.get() {
            return Ok(timer);
        }
        let timer = Rc::new(Timer::new(&self.context)?);
        Ok(self.timer.get_or_init(|| timer))
    }
}

impl std::fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CudaDevice").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Device for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn free_bytes(&self) -> u64 {
        // 0 where the driver cannot say: it then cannot allocate either, and that call reports why.
        self.context.bind().and_then(|()| self.context.free_bytes()).unwrap_or(0)
    }

    fn prepare(&self, job: &Job<'_>) -> Result<Box<dyn Prepared>, DeviceError> {
        self.context.bind()?;
        let prepare = || CudaProblem::new(&self.context, self.timer()?, job);
        // Not only the operands take memory: kernels do when they are loaded, and so does the timer.
        let problem = prepare().map_err(|error| {
            let need = match problem::baseline_wanted(job) {
                Some(_) => Workspace { bytes: WORKSPACE_BYTES as u64, for_each_copy: false },
                None => {
                    route(job.variant).and_then(|r| workspace(r, &Site::of(&self.context, job))).unwrap_or_default()
                }
            };
            out_of_memory(error, &self.context, needed_bytes(job, need))
        })?;
        Ok(Box::new(problem))
    }

    fn reading(&self) -> Reading {
        self.telemetry.reading()
    }

    fn counters(&self) -> Option<Counters> {
        emulated::counters()
    }

    fn findings(&self) -> Option<String> {
        emulated::findings()
    }

    fn reset_counters(&self) {
        emulated::reset_counters();
    }

    fn shuffle(&self, seed: u64) -> bool {
        emulated::shuffle(seed)
    }
}
