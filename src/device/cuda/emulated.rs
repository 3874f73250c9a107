//! The emulated device: a shared library with the driver's C interface, opened by path in place of the driver.
//!
//! Nothing else in this program knows of it. It must be opened before the gate is, since a process has one driver.

use crate::device::GpuAbsent;
use crate::record::Counters;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{c_char, c_int, c_uint};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The library's file name. It is none that a loader looks for, so that it never comes before a real driver.
const FILE: &str = "libgpu_emulator.so";
/// Names another file.
const VARIABLE: &str = "GEMMSCOPE_EMULATOR";
/// How the library is to work, unless the environment says otherwise: every finding fails the launch, but for the races of one
/// kernel whose blocks write to the same place on purpose, the last one winning; and blocks run on all cores.
const SETTINGS: [(&str, &str); 3] =
    [("GPU_EMULATOR_STRICT", "1"), ("GPU_EMULATOR_ALLOW_RACE", "clock_stamp"), ("GPU_EMULATOR_THREADS", "0")];

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
    for (name, value) in SETTINGS {
        if std::env::var_os(name).is_none() {
            // SAFETY: the emulated device is asked for by the main thread before it starts others, and before the library,
            // which reads the variable, is opened.
            unsafe { std::env::set_var(name, value) };
        }
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

/// What the launches since the last reset did.
pub(super) fn counters() -> Option<Counters> {
    serde_json::from_str(&text("gpuemu_counters_json")?).ok()
}

/// What was found wrong since the last reset, a finding a line.
pub(super) fn findings() -> Option<String> {
    text("gpuemu_findings").filter(|findings| !findings.is_empty())
}

/// The text that one of the library's own functions gives.
fn text(symbol: &str) -> Option<String> {
    type Give = unsafe extern "C" fn(*mut c_char, usize) -> usize;
    // SAFETY: the library exports its text functions with this signature, or does not export them.
    let give = unsafe { library()?.get::<Give>(symbol).ok()? };
    // SAFETY: with no buffer it only returns the length of the text, without the zero at its end.
    let length = unsafe { give(std::ptr::null_mut(), 0) };
    let mut bytes = vec![0u8; length + 1];
    // SAFETY: it writes at most the given length.
    unsafe { give(bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes.truncate(length);
    String::from_utf8(bytes).ok()
}

/// Has the next launches checked for writing, together, each byte of an output once: rows of `row_bytes` bytes, `pitch` bytes apart.
/// Without the emulated device nothing happens.
pub(super) fn expect_written_once(address: u64, row_bytes: u64, rows: u64, pitch: u64, launches: usize) {
    type Expect = unsafe extern "C" fn(u64, u64, u64, u64, c_uint) -> c_uint;
    // SAFETY: the library exports the function with this signature, or does not export it.
    if let Some(expect) = library().and_then(|l| unsafe { l.get::<Expect>("gpuemu_expect_written_once").ok() }) {
        // SAFETY: it takes numbers and keeps them.
        unsafe { expect(address, row_bytes, rows, pitch, launches as c_uint) };
    }
}

/// Has warps and asynchronous copies of the launches to come take turns as a number says; 0 is the plain order. Says whether the
/// device can do so.
pub(super) fn shuffle(seed: u64) -> bool {
    type Shuffle = unsafe extern "C" fn(u64) -> c_uint;
    // SAFETY: as above.
    let shuffle = library().and_then(|l| unsafe { l.get::<Shuffle>("gpuemu_shuffle").ok() });
    // SAFETY: it takes a number and keeps it.
    shuffle.is_some_and(|shuffle| unsafe { shuffle(seed) } == 0)
}

/// Sets the counters to zero and forgets the findings.
pub(super) fn reset_counters() {
    type Reset = unsafe extern "C" fn() -> c_int;
    // SAFETY: as above; whatever it returns is of no interest.
    if let Some(reset) = library().and_then(|l| unsafe { l.get::<Reset>("gpuemu_counters_reset").ok() }) {
        // SAFETY: it takes nothing and changes only the library's own counters.
        unsafe { reset() };
    }
}
