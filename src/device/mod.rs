//! What can run a GEMM here, and the few operations that measuring needs of it.
//!
//! [`probe`] says what is here and why the rest is not; it never panics, whatever the driver does. A [`Device`] prepares a
//! [`Problem`] in its memory and the [`Prepared`] problem is then launched, timed and checked.

pub mod absent;
pub mod cpu;
pub mod cuda;
mod telemetry;

pub use absent::GpuAbsent;
pub use telemetry::{Reading, Telemetry};

use crate::baseline::BaselineError;
use crate::catalog::{Kernel, Variant};
use crate::data::Tables;
use crate::problem::{Placement, Problem};
use crate::record::{Counters, DeviceKind, DeviceRecord};
use crate::scalar::Scalar;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// Elements of poison before and after C.
pub const GUARD: u64 = 64;

/// Which device was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first CUDA device, else the CPU.
    #[default]
    Auto,
    /// A CUDA device by ordinal. Its absence is then an error.
    Cuda(u32),
    /// The host's processor.
    Cpu,
    /// The emulated GPU.
    Emulated,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            "emulated" => Ok(DeviceChoice::Emulated),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(DeviceChoice::Cuda)
                .ok_or_else(|| format!("{text:?} is not a device: use auto, cuda:N, cpu or emulated")),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cuda(n) => write!(f, "cuda:{n}"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Emulated => f.write_str("emulated"),
        }
    }
}

/// Everything that can go wrong on a device.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DeviceError {
    /// There is no such GPU.
    #[error(transparent)]
    Absent(#[from] GpuAbsent),
    /// The problem does not fit.
    #[error("{}", out_of_memory(*needed_bytes, *free_bytes))]
    OutOfMemory {
        /// Bytes that the operands and the kernel's workspace take.
        needed_bytes: u64,
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// No image of the kernel can be loaded here.
    #[error("kernel file {file} cannot be loaded: {why}")]
    Image {
        /// Path below `kernels/`.
        file: String,
        /// What the driver said.
        why: String,
    },
    /// The kernel is not for the problem's type or layout.
    #[error("kernel {kernel} is not for {form}; `gemmscope kernels` lists what each one takes")]
    Form {
        /// The kernel.
        kernel: String,
        /// Type and layout of the problem.
        form: String,
    },
    /// The problem has more tiles than a launch can have CTAs.
    #[error(
        "variant {variant} needs {ctas} CTAs for this problem and a launch takes at most 2147483647; choose a larger tile, or reduce m or n"
    )]
    Grid {
        /// Name of the variant.
        variant: String,
        /// CTAs that it needs.
        ctas: u64,
    },
    /// The library baseline cannot run the problem, or is not here.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// A call of the driver failed.
    #[error("{call} failed with {name}{}", after(*sticky, *lost))]
    Driver {
        /// The driver's function.
        call: &'static str,
        /// Its error, by name and number.
        name: String,
        /// Whether every later call in this process will fail as well.
        sticky: bool,
        /// Whether the device itself is gone or broken, so that no kernel is to blame.
        lost: bool,
    },
}

fn out_of_memory(needed_bytes: u64, free_bytes: u64) -> String {
    if needed_bytes <= free_bytes {
        // The driver said no all the same: another process was quicker, or no one piece is large enough.
        return format!(
            "the driver refused the {needed_bytes} bytes that the problem needs, although it says that {free_bytes} are free; end other programs on the device, or reduce the sizes"
        );
    }
    format!(
        "the problem needs {needed_bytes} bytes and {free_bytes} are free; reduce the sizes, or use the hot regime, which keeps one copy"
    )
}

fn after(sticky: bool, lost: bool) -> &'static str {
    match (sticky, lost) {
        (_, true) => "; the device is gone or broken: see nvidia-smi and the kernel's log",
        (true, false) => "; the context is lost, and nothing more can run in this process",
        (false, false) => "",
    }
}

impl DeviceError {
    /// Whether the process cannot use the device any more.
    pub fn is_fatal(&self) -> bool {
        matches!(self, DeviceError::Absent(_) | DeviceError::Driver { sticky: true, .. })
    }

    /// Whether the device itself is gone or broken, so that no kernel is to blame.
    pub fn is_lost(&self) -> bool {
        matches!(self, DeviceError::Driver { lost: true, .. })
    }
}

/// A device's figures, as far as dispatch, measuring and records need them.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceInfo {
    /// What goes into the manifest.
    pub record: DeviceRecord,
    /// Compute capability times ten; 0 on a CPU.
    pub cc: u32,
    /// Resolution of the timer, in nanoseconds.
    pub timer_resolution_ns: f64,
}

impl DeviceInfo {
    /// CUDA or CPU.
    pub fn kind(&self) -> DeviceKind {
        self.record.kind
    }

    /// Bytes that rotated operands must exceed for a cold measurement: three times the last-level cache.
    pub fn cold_bytes(&self) -> u64 {
        3 * self.record.l2_bytes
    }
}

/// A problem to prepare.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Sizes, leading dimensions, offsets.
    pub problem: &'a Problem,
    /// The kernel to launch.
    pub kernel: &'a Kernel,
    /// And its variant.
    pub variant: &'a Variant,
    /// Bit patterns that the generator draws from, of the problem's type.
    pub tables: &'a Tables,
    /// Seed of the generator.
    pub seed: u64,
    /// Operands are copied until all copies together exceed this; 0 keeps one copy.
    pub rotate_bytes: u64,
}

/// The time of one batch of launches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Device time, in nanoseconds.
    pub elapsed_ns: u64,
    /// Clock during the batch, where the device can tell.
    pub clock_mhz: Option<f64>,
}

/// How far an element of C may be from the reference: `u_out·|c| + eps_sum·Σ|a·b| + tiny`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorBound {
    /// Rounding of the output, relative.
    pub u_out: f64,
    /// Rounding of the accumulation, relative to the sum of magnitudes.
    pub eps_sum: f64,
    /// Absolute slack for subnormal outputs.
    pub tiny: f64,
}

/// What a check on the device found.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CheckCounts {
    /// Elements compared with the reference.
    pub checked: u64,
    /// Of these, elements beyond the bound.
    pub bad: u64,
    /// Row and column of the first bad element.
    pub first_bad: Option<(u64, u64)>,
    /// The largest error as a share of its bound.
    pub worst: f64,
    /// Elements of C, all of it, that still hold the poison.
    pub untouched: u64,
    /// Elements of C, all of it, that are NaN.
    pub nan: u64,
    /// Elements of C's padding and guard bands that were written.
    pub padding_touched: u64,
}

/// An operand in the host's memory.
#[derive(Debug, Clone, Copy)]
pub struct HostMatrix<'a> {
    /// Elements as they are stored, from element (0, 0) of the matrix.
    pub bytes: &'a [u8],
    /// Their format.
    pub scalar: Scalar,
    /// Stored rows and columns, and leading dimension; the offset does not apply to `bytes`.
    pub placement: Placement,
}

impl<'a> HostMatrix<'a> {
    /// A stored row, without its padding.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &'a [u8] {
        if self.placement.cols == 0 {
            return &[];
        }
        let width = self.scalar.bytes();
        let (ld, cols) = (self.placement.ld as usize, self.placement.cols as usize);
        &self.bytes[row * ld * width..][..cols * width]
    }

    /// The value at a stored row and column.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn value(&self, row: usize, col: usize) -> f64 {
        self.scalar.decode(self.scalar.bits_at(self.bytes, row * self.placement.ld as usize + col))
    }
}

/// The operands of a prepared problem as the host sees them.
#[derive(Debug, Clone, Copy)]
pub struct HostView<'a> {
    /// Left factor.
    pub a: HostMatrix<'a>,
    /// Right factor.
    pub b: HostMatrix<'a>,
    /// Result.
    pub c: HostMatrix<'a>,
    /// C as it was before the launch; `None` where beta is 0.
    pub c_before: Option<HostMatrix<'a>>,
    /// C's whole buffer, guard bands and padding included.
    pub c_buffer: &'a [u8],
    /// Where element (0, 0) of C lies in `c_buffer`, in elements.
    pub c_start: usize,
}

/// A problem in a device's memory.
pub trait Prepared {
    /// Launches `launches` times, each on the next copy of the operands, and returns the device time of all of them.
    ///
    /// # Errors
    /// The driver failed, or the launch did.
    fn time(&mut self, launches: u32) -> Result<Timing, DeviceError>;

    /// Launches once on the next copy and waits for it, without timing.
    ///
    /// # Errors
    /// The driver failed, or the launch did.
    fn launch(&mut self) -> Result<(), DeviceError>;

    /// Puts every copy of C back to what it was at first: poison where beta is 0, else random values in poisoned padding.
    ///
    /// # Errors
    /// The driver failed.
    fn reset_c(&mut self) -> Result<(), DeviceError>;

    /// Copies of the operands that launches rotate through.
    fn copies(&self) -> usize;

    /// Bytes of memory that the kernel works in besides the operands.
    fn workspace_bytes(&self) -> u64 {
        0
    }

    /// What runs, where preparing has chosen among several implementations that are not told apart by a variant's name.
    fn chosen(&self) -> Option<String> {
        None
    }

    /// Checks copy `copy` of C on the device itself: the given rows against an FP64 reference, all of C for poison and NaN, all
    /// padding and guard bands for writes. `None` where the device has no way of its own: the host then checks.
    ///
    /// # Errors
    /// The driver failed.
    fn check(&mut self, copy: usize, rows: &[u32], bound: &ErrorBound) -> Result<Option<CheckCounts>, DeviceError>;

    /// Hands copy `copy` of the operands to `look`, bringing them to the host first where they are not there.
    ///
    /// # Errors
    /// The driver failed.
    fn with_host_view(&mut self, copy: usize, look: &mut dyn FnMut(HostView<'_>)) -> Result<(), DeviceError>;
}

/// A device that can run GEMMs.
pub trait Device {
    /// Its figures.
    fn info(&self) -> &DeviceInfo;

    /// Bytes that operands may take now.
    fn free_bytes(&self) -> u64;

    /// Places a problem's operands in the device's memory, filled by the generator, padding poisoned.
    ///
    /// # Errors
    /// It does not fit, no image of the kernel loads, or the driver failed.
    fn prepare(&self, job: &Job<'_>) -> Result<Box<dyn Prepared>, DeviceError>;

    /// Power, temperature and throttle bits, as far as they can be had now.
    fn reading(&self) -> Reading;

    /// What all launches since [`Device::reset_counters`] did, where the device counts: sectors, wavefronts, instructions.
    fn counters(&self) -> Option<Counters> {
        None
    }

    /// What a device that checks its kernels has found wrong since [`Device::reset_counters`], a finding a line.
    fn findings(&self) -> Option<String> {
        None
    }

    /// Sets the counters to zero and forgets the findings, where there are any.
    fn reset_counters(&self) {}

    /// Runs the warps and asynchronous copies of later launches in an order that a number decides; 0 is the plain one. Says whether
    /// the device can: only an emulated one does.
    fn shuffle(&self, _seed: u64) -> bool {
        false
    }
}

/// What is here, and why the rest is not.
#[derive(Debug)]
pub struct Probe {
    /// The GPUs, or why there are none.
    pub cuda: Result<Vec<DeviceInfo>, GpuAbsent>,
    /// The host's processor.
    pub cpu: DeviceInfo,
    /// NVML's version, or why there is no telemetry.
    pub telemetry: Result<String, String>,
    /// The emulated device's library, or why it cannot be opened. Probing does not open it.
    pub emulated: Result<PathBuf, GpuAbsent>,
}

/// Looks for devices. Never fails: what is missing is part of the answer.
pub fn probe() -> Probe {
    Probe { cuda: cuda::probe(), cpu: cpu::info(), telemetry: telemetry::state(), emulated: cuda::emulator() }
}

/// Settles which device is meant, and describes it without opening it.
///
/// # Errors
/// A device was asked for by name and is not here.
pub fn find(choice: DeviceChoice) -> Result<(DeviceChoice, DeviceInfo), GpuAbsent> {
    let cuda = |ordinal: u32| -> Result<DeviceInfo, GpuAbsent> {
        let devices = cuda::probe()?;
        let count = devices.len() as u32;
        devices.into_iter().nth(ordinal as usize).ok_or(GpuAbsent::NoSuchDevice { ordinal, count })
    };
    match choice {
        DeviceChoice::Cpu => Ok((choice, cpu::info())),
        DeviceChoice::Cuda(ordinal) => Ok((choice, cuda(ordinal)?)),
        DeviceChoice::Emulated => {
            cuda::emulate()?;
            Ok((choice, cuda(0)?))
        }
        DeviceChoice::Auto => match cuda(0) {
            Ok(info) => Ok((DeviceChoice::Cuda(0), info)),
            Err(why) => {
                log::info!("no CUDA device: {why}");
                Ok((DeviceChoice::Cpu, cpu::info()))
            }
        },
    }
}

/// Opens the device that was asked for.
///
/// # Errors
/// A CUDA device was asked for by name and is not here, or it cannot be opened.
pub fn open(choice: DeviceChoice) -> Result<Box<dyn Device>, DeviceError> {
    let (choice, _) = find(choice)?;
    match choice {
        DeviceChoice::Cuda(ordinal) => Ok(Box::new(cuda::CudaDevice::open(ordinal)?)),
        DeviceChoice::Emulated => Ok(Box::new(cuda::CudaDevice::open(0)?)),
        DeviceChoice::Cpu | DeviceChoice::Auto => Ok(Box::new(cpu::CpuDevice::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_and_print_alike() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "emulated"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        let error = "gpu0".parse::<DeviceChoice>().unwrap_err();
        assert!(error.contains("gpu0") && error.contains("cuda:N"), "{error}");
    }
}
