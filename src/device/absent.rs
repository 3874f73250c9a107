//! Why there is no GPU to use: an answer, never a panic.

use thiserror::Error;

/// Why a CUDA device cannot be used here. Each says what is missing and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GpuAbsent {
    /// The driver's library is not installed.
    #[error("no CUDA driver: libcuda.so.1 is not on the loader's path; install the NVIDIA driver, or use --device cpu")]
    DriverMissing,
    /// The library found is the linker's stand-in from a CUDA toolkit.
    #[error(
        "the libcuda that was found is a CUDA toolkit's stub, not a driver; take the toolkit's stubs folder off LD_LIBRARY_PATH, or use --device cpu"
    )]
    Stub,
    /// The driver works and sees no device.
    #[error("the CUDA driver sees no device; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu")]
    NoDevice,
    /// An ordinal beyond the last device.
    #[error(
        "there is no device cuda:{ordinal}: the CUDA driver sees {count}, counted from cuda:0; check CUDA_VISIBLE_DEVICES"
    )]
    NoSuchDevice {
        /// The ordinal asked for.
        ordinal: u32,
        /// Devices that there are.
        count: u32,
    },
    /// The driver is older than what this program was built for.
    #[error(
        "the driver supports up to CUDA {} and CUDA {} is needed, {why}; install NVIDIA driver {} or later, or use --device cpu",
        dotted(*found), dotted(*needed), branch(*needed)
    )]
    DriverTooOld {
        /// What `cuDriverGetVersion` said, such as 12040 for CUDA 12.4.
        found: u32,
        /// The lowest version that will do, in the same form.
        needed: u32,
        /// What needs it.
        why: DriverFloor,
    },
    /// The library lacks a function that a driver of its version has.
    #[error("the CUDA driver's library has no function {symbol}; reinstall the NVIDIA driver, or use --device cpu")]
    DriverIncomplete {
        /// The function's exported name.
        symbol: &'static str,
    },
    /// The device is older than the kernels.
    #[error(
        "the device has compute capability {}.{} and the kernels need {}.{} or later; use another device, or --device cpu",
        cc / 10, cc % 10, needed / 10, needed % 10
    )]
    DeviceTooOld {
        /// Its compute capability, times ten.
        cc: u32,
        /// The lowest that will do, times ten.
        needed: u32,
    },
    /// The emulated device's library is not beside this program.
    #[error(
        "the emulated device cannot be opened (looked at {looked}); build with the feature `emulator`, or name the library in GEMMSCOPE_EMULATOR"
    )]
    EmulatorMissing {
        /// Where it was looked for, or what went wrong there.
        looked: String,
    },
    /// The driver is there and does not start.
    #[error("the CUDA driver does not start: {name} ({code}); {}", remedy(*code))]
    Init {
        /// Number of its error.
        code: u32,
        /// Name of its error.
        name: String,
    },
}

/// What sets the lowest version of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverFloor {
    /// A function that this program calls.
    Function(&'static str),
    /// The PTX inside this program.
    Ptx {
        /// Version of the PTX ISA, before the dot.
        major: u32,
        /// And after it.
        minor: u32,
    },
}

impl std::fmt::Display for DriverFloor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DriverFloor::Function(name) => write!(f, "for its function {name}"),
            DriverFloor::Ptx { major, minor } => write!(f, "for the kernels' PTX {major}.{minor}"),
        }
    }
}

impl GpuAbsent {
    /// A stable name of the case, for programs that read `devices --json`.
    pub fn kind(&self) -> &'static str {
        match self {
            GpuAbsent::DriverMissing => "driver_missing",
            GpuAbsent::Stub => "stub",
            GpuAbsent::NoDevice => "no_device",
            GpuAbsent::NoSuchDevice { .. } => "no_such_device",
            GpuAbsent::DriverTooOld { .. } => "driver_too_old",
            GpuAbsent::DriverIncomplete { .. } => "driver_incomplete",
            GpuAbsent::DeviceTooOld { .. } => "device_too_old",
            GpuAbsent::EmulatorMissing { .. } => "emulator_missing",
            GpuAbsent::Init { .. } => "init",
        }
    }
}

/// `12.4` for 12040, the form of `cuDriverGetVersion`.
pub(super) fn dotted(version: u32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// The first branch of the NVIDIA driver for Linux that supports a version of CUDA.
fn branch(version: u32) -> String {
    match version {
        12080 => "570".to_owned(),
        12090 => "575".to_owned(),
        13000 => "580".to_owned(),
        other => format!("for CUDA {}", dotted(other)),
    }
}

/// What to do about an error of `cuInit`.
fn remedy(code: u32) -> &'static str {
    match code {
        46 => "another process holds the device exclusively: end it, or set the compute mode to default",
        802 => "start nvidia-fabricmanager, which this machine's GPUs need",
        803 => "libcuda and the kernel module differ in version: reboot, or reinstall the NVIDIA driver",
        804 => "take the CUDA forward-compatibility package off LD_LIBRARY_PATH: this device does not support it",
        805..=809 => "check the MPS server, or unset CUDA_MPS_PIPE_DIRECTORY",
        999 => "check that the nvidia kernel modules are loaded and that /dev/nvidia* can be opened",
        _ => "check nvidia-smi, or use --device cpu",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_names_its_cause_and_a_remedy() {
        let ptx = DriverFloor::Ptx { major: 9, minor: 0 };
        let cases = [
            (GpuAbsent::DriverMissing, "libcuda.so.1", "--device cpu"),
            (GpuAbsent::Stub, "stub", "LD_LIBRARY_PATH"),
            (GpuAbsent::NoDevice, "no device", "CUDA_VISIBLE_DEVICES"),
            (GpuAbsent::NoSuchDevice { ordinal: 3, count: 2 }, "cuda:3", "sees 2"),
            (GpuAbsent::DriverTooOld { found: 12040, needed: 13000, why: ptx }, "CUDA 12.4", "NVIDIA driver 580"),
            (
                GpuAbsent::DriverTooOld { found: 11040, needed: 12080, why: DriverFloor::Function("cuX") },
                "CUDA 12.8 is needed, for its function cuX",
                "NVIDIA driver 570",
            ),
            (GpuAbsent::DriverIncomplete { symbol: "cuY" }, "cuY", "reinstall"),
            (GpuAbsent::DeviceTooOld { cc: 61, needed: 80 }, "capability 6.1", "8.0 or later"),
            (
                GpuAbsent::Init { code: 803, name: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH".to_owned() },
                "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)",
                "reboot",
            ),
        ];
        for (absent, cause, remedy) in cases {
            let text = absent.to_string();
            assert!(text.contains(cause) && text.contains(remedy), "{}: {text}", absent.kind());
        }
    }

    #[test]
    fn a_version_without_a_known_branch_still_has_a_remedy() {
        let absent = GpuAbsent::DriverTooOld { found: 13000, needed: 14020, why: DriverFloor::Function("cuZ") };
        assert!(absent.to_string().contains("driver for CUDA 14.2 or later"), "{absent}");
    }
}
