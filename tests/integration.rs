//! The command as a user meets it. One binary; a module a subject.

/// `explain`, `advise` and `compare`: what is predicted, and two runs held against each other.
mod answers;
/// The library baseline, played by a few lines of C on the emulated device.
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod baseline;
/// A headless Chromium, for the pages.
#[cfg(unix)]
mod browser;
/// Running the command and reading what it wrote.
mod command;
/// What `devices` answers for drivers that are missing, old, broken or stubs.
mod driver;
/// The emulated device, and all the faults that it can be told to have.
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod emulated;
/// Sub-commands that measure nothing: devices, kernels, errors of usage.
mod inspect;
/// `report.html`: what it says, and how it behaves in a browser.
#[cfg(unix)]
mod page;
/// What must not be lost: kills, full disks, second writers, foreign folders.
mod reliability;
/// Sweeps from the command line to the pictures.
mod sweeping;
/// Claims: measured, judged, and judged again from records alone.
mod validating;
