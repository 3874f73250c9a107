//! The gate to the driver: nothing else touches it before this says that it is there, starts and is new enough.

use super::driver::{self, Driver, GetErrorName};
use super::emulated;
use crate::catalog::{capability, catalog, images};
use crate::device::GpuAbsent;
use crate::device::absent::DriverFloor;
use cudarc::driver::sys;
use std::ffi::{c_int, c_uint};
use std::sync::OnceLock;

/// The driver version that exports all functions that are called, the newest of them `cuEventElapsedTime_v2`.
const FUNCTIONS_SINCE: u32 = 12080;

/// The driver, opened once for the whole process, and its version in the form of `cuDriverGetVersion`.
pub(super) struct Gate {
    pub driver: Driver,
    pub version: u32,
}

/// Opens the driver, or says why there is none. The answer stays the same until the process ends.
pub(super) fn gate() -> Result<&'static Gate, GpuAbsent> {
    static GATE: OnceLock<Result<Gate, GpuAbsent>> = OnceLock::new();
    GATE.get_or_init(open).as_ref().map_err(GpuAbsent::clone)
}

fn open() -> Result<Gate, GpuAbsent> {
    // SAFETY: opens and closes a library; a driver's has no initialisers that depend on this program.
    if emulated::library().is_none() && !unsafe { sys::is_culib_present() } {
        return Err(GpuAbsent::DriverMissing);
    }
    // SAFETY: the library is present, and the signatures are those of cuda.h with the result as a number. These three
    // have been the same in every driver since CUDA 6.0.
    let (init, get_version) = unsafe {
        (
            driver::find::<unsafe extern "C" fn(c_uint) -> c_uint>("cuInit")?,
            driver::find::<unsafe extern "C" fn(*mut c_int) -> c_uint>("cuDriverGetVersion")?,
        )
    };
    // SAFETY: as above. A library so old that it cannot name its errors can still fail to start.
    let get_name = unsafe { driver::find::<GetErrorName>("cuGetErrorName") };
    let failed = |code| {
        let name = get_name.map_or_else(|_| "an error without a name".to_owned(), |get| driver::name(get, code));
        Err(GpuAbsent::Init { code, name })
    };
    // SAFETY: 0 is the only flag there is.
    match unsafe { init(0) } {
        driver::SUCCESS => {}
        driver::STUB_LIBRARY => return Err(GpuAbsent::Stub),
        driver::NO_DEVICE => return Err(GpuAbsent::NoDevice),
        code => return failed(code),
    }
    let mut version = 0;
    // SAFETY: writes one integer.
    match unsafe { get_version(&mut version) } {
        driver::SUCCESS => {}
        code => return failed(code),
    }
    let version = u32::try_from(version).unwrap_or(0);
    // Before any newer symbol is looked up, so that an old driver is called old and not incomplete.
    check_version(version, images().iter().map(|image| image.ptx_version))?;
    // SAFETY: the library is present, it has started, and its version has these functions with these signatures.
    Ok(Gate { driver: unsafe { Driver::resolve()? }, version })
}

/// Whether a driver of a version has the functions, and can take kernels of these PTX versions.
///
/// Only the major version of CUDA counts for the PTX: a driver loads cubins of a later toolkit of its own major
/// version. Where there is no cubin for the device and the PTX is too new as well, loading says so.
fn check_version(found: u32, ptx_versions: impl Iterator<Item = (u32, u32)>) -> Result<(), GpuAbsent> {
    if found < FUNCTIONS_SINCE {
        let why = DriverFloor::Function("cuEventElapsedTime_v2");
        return Err(GpuAbsent::DriverTooOld { found, needed: FUNCTIONS_SINCE, why });
    }
    match ptx_versions.max() {
        Some((major, minor)) if found / 1000 < cuda_of_ptx(major, minor) / 1000 => {
            let needed = cuda_of_ptx(major, minor);
            Err(GpuAbsent::DriverTooOld { found, needed, why: DriverFloor::Ptx { major, minor } })
        }
        _ => Ok(()),
    }
}

/// The CUDA version that introduced a version of the PTX ISA, in the form of `cuDriverGetVersion`.
pub(super) fn cuda_of_ptx(major: u32, minor: u32) -> u32 {
    let (cuda_major, cuda_minor) = match (major, minor) {
        // CUDA 12.6 brought no new PTX, so 8.6 came with 12.7.
        (8, minor) if minor >= 6 => (12, minor + 1),
        (major, minor) => (major + 4, minor),
    };
    cuda_major * 1000 + cuda_minor * 10
}

/// The lowest compute capability, times ten, that this program's kernels and helpers run on.
pub(super) fn lowest_cc() -> u32 {
    let catalog = catalog();
    let kernels = catalog.kernels.iter().map(|kernel| kernel.min_cc).min().unwrap_or(0);
    let helpers = catalog.helpers.iter().filter_map(|helper| {
        let file = catalog.files.iter().find(|file| file.path == helper.file)?;
        capability(&file.ptx_arch)
    });
    helpers.max().unwrap_or(0).max(kernels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ptx_versions_map_to_the_toolkits_that_brought_them() {
        // The table of release notes in the PTX ISA manual.
        let table = [
            ((7, 8), 11080),
            ((8, 0), 12000),
            ((8, 5), 12050),
            ((8, 6), 12070),
            ((8, 7), 12080),
            ((8, 8), 12090),
            ((9, 0), 13000),
            ((9, 1), 13010),
        ];
        for ((major, minor), cuda) in table {
            assert_eq!(cuda_of_ptx(major, minor), cuda, "PTX {major}.{minor}");
        }
    }

    #[test]
    fn an_old_driver_is_refused_for_its_functions_before_its_ptx() {
        let check = |found| check_version(found, [(8, 0), (9, 0)].into_iter());
        let Err(GpuAbsent::DriverTooOld { found: 11040, needed: 12080, why: DriverFloor::Function(_) }) = check(11040)
        else {
            panic!("{:?}", check(11040));
        };
        let why = DriverFloor::Ptx { major: 9, minor: 0 };
        assert_eq!(check(12080), Err(GpuAbsent::DriverTooOld { found: 12080, needed: 13000, why }));
        assert_eq!(check(13000), Ok(()));
        assert_eq!(check_version(13000, [(9, 3)].into_iter()), Ok(()), "its cubins load in any driver for CUDA 13");
        assert_eq!(check_version(12080, std::iter::empty()), Ok(()));
    }

    #[test]
    fn some_device_generation_is_the_lowest() {
        assert!((70..=90).contains(&lowest_cc()), "{}", lowest_cc());
    }
}
