//! Finds by measuring which kernel to run, where the model may be wrong, and remembers it.
//!
//! One concept a file: the measurement of all candidates in turn (`race`), what its repetitions prove (`verdict`), and the file that keeps
//! what was found (`cache`).

use crate::device::DeviceInfo;
use crate::dispatch::{Dispatcher, Tuned};
use crate::record::DeviceKind;
use std::path::Path;

mod cache;
mod race;
mod verdict;

pub use cache::{CacheError, Key, Loaded, add, default_path, load};
pub use race::{Conditions, Raced, TuneError, Tuning, tune};
pub use verdict::{Verdict, judge};

/// What a file holds for a device. What cannot be used is logged, and the model then decides alone.
pub fn measured(info: &DeviceInfo, path: &Path) -> Option<Tuned> {
    // Elsewhere there is one kernel, or no time.
    if info.kind() != DeviceKind::Cuda {
        return None;
    }
    match load(path, &Key::of(info)) {
        Ok(Loaded { tuned, note }) => {
            if let Some(note) = note {
                log::info!("{note}");
            }
            tuned
        }
        Err(why) => {
            log::warn!("{why}; kernels are chosen without it");
            None
        }
    }
}

/// A dispatcher for a device with the measurements of a file, as far as they can be used.
pub fn dispatcher(info: &DeviceInfo, tuned: Option<&Path>) -> Dispatcher {
    Dispatcher::new(info).tuned(tuned.and_then(|path| measured(info, path)))
}
