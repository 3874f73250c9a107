//! The emulated device: a shared library with the driver's C interface, opened by path in place of the driver.
//!
//! Nothing else in this program knows of it. It must be opened before the gate is, since a process has one driver.

use crate::device::GpuAbsent;
use crate::record::Counters;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{c_char, c_int};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The library's file name. It is none that a loader looks for, so that it never comes before a real driver.
const FILE: &str = "libgpu_emulator.so";
/// Names another file.
const VARIABLE: &str = "GEMMSCOPE_EMULATOR";
/// A kernel whose blocks write to the same place on purpose: the last one wins.
const MEANT_RACE: (&str, &str) = ("GPU_EMULATOR_ALLOW_RACE", "clock_stamp");

static LIBRARY: OnceLock<Library> = OnceLock::new();

/// The emulated driver, if this process uses it.
pub(super) fn library() -> Option<&'static Library> {
    LIBRARY.get()
}

/// Makes the emulated driver this process's driver. Call it before anything else of this module.
///
/// # Errors
/// The library is not where cargo puts it, or cannot be opened.
pub fn emulate() -> Result<(), GpuAbsent> {
    if LIBRARY.get().is_some() {
        return Ok(());
    }
    let path = emulator()?;
    if std::env::var_os(MEANT_RACE.0).is_none() {
        // SAFETY: the emulated device is asked for by the main thread before it starts others, and before the library, which
        // reads the variable, is opened.
        unsafe { std::env::set_var(MEANT_RACE.0, MEANT_RACE.1) };
    }
    // SAFETY: the library is built with this program and its initialisers do not depend on it.
    let opened = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    let library =
        opened.map_err(|error| GpuAbsent::EmulatorMissing { looked: format!("{}: {error}", path.display()) })?;
    LIBRARY.get_or_init(|| library);
    Ok(())
}

/// Finds the emulated driver's library without opening it.
///
/// # Errors
/// It is not where cargo puts it.
pub fn emulator() -> Result<PathBuf, GpuAbsent> {
    let candidates = candidates();
    candidates.iter().find(|p| p.exists()).cloned().ok_or_else(|| GpuAbsent::EmulatorMissing {
        looked: candidates.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

/// Beside this program, and in the folder of dependencies that cargo builds it with.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return vec![path.into()];
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let folder = exe.parent().map(PathBuf::from).unwrap_or_default();
    vec![folder.join("deps").join(FILE), folder.join(FILE)]
}

/// What the launches since the last reset did, in the library's own words.
pub(super) fn counters() -> Option<Counters> {
    type GiveCounters = unsafe extern "C" fn(*mut c_char, usize) -> usize;
    // SAFETY: the library exports this function with this signature, or does not export it.
    let counters = unsafe { library()?.get::<GiveCounters>("gpuemu_counters_json").ok()? };
    // SAFETY: with no buffer it only returns the length of the text, without the zero at its end.
    let length = unsafe { counters(std::ptr::null_mut(), 0) };
    let mut text = vec![0u8; length + 1];
    // SAFETY: it writes at most the given length.
    unsafe { counters(text.as_mut_ptr().cast(), text.len()) };
    text.truncate(length);
    serde_json::from_slice(&text).ok()
}

/// Sets the counters to zero.
pub(super) fn reset_counters() {
    type Reset = unsafe extern "C" fn() -> c_int;
    // SAFETY: as above; whatever it returns is of no interest.
    if let Some(reset) = library().and_then(|l| unsafe { l.get::<Reset>("gpuemu_counters_reset").ok() }) {
        // SAFETY: it takes nothing and changes only the library's own counters.
        unsafe { reset() };
    }
}
