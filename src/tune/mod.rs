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

/// What a file that was asked for by name holds for a device. Where it has something for others alone, a note goes to the terminal.
///
/// # Errors
/// It is not there, cannot be read, or is not such a file.
pub fn asked_for(info: &DeviceInfo, path: &Path) -> Result<Option<Tuned>, CacheError> {
    if !path.exists() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(CacheError::Read { path: path.to_owned(), source });
    }
    let Loaded { tuned, note } = load(path, &Key::of(info))?;
    note.iter().for_each(|note| eprintln!("note: {note}"));
    Ok(tuned)
}

/// A dispatcher for a device with the measurements of a file, as far as they can be used.
pub fn dispatcher(info: &DeviceInfo, tuned: Option<&Path>) -> Dispatcher {
    Dispatcher::new(info).tuned(tuned.and_then(|path| measured(info, path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Entry, Form, Outcome, Selector};
    use crate::problem::Problem;

    #[test]
    fn a_file_that_was_tuned_into_is_gone_by_and_one_that_is_not_there_is_an_error() {
        let mut info = crate::device::cpu::info();
        (info.cc, info.record.kind, info.record.units) = (90, DeviceKind::Cuda, 132);
        info.record.name = "NVIDIA H100 80GB HBM3".to_owned();
        let problem = Problem::new(4096, 4096, 4096);
        let by_model = Dispatcher::new(&info).choose(&problem, &Selector::Auto).unwrap();
        let (kernel, variant) = ("05_wgmma".to_owned(), "128x128x64".to_owned());
        assert_ne!(by_model.kernel.name, kernel);
        let entry = Entry {
            form: Form::of(&problem),
            kernel,
            variant,
            outcome: Outcome::Faster,
            median_ns: 1.0,
            model: by_model.kernel.name.clone(),
            model_ns: 2.0,
            measured: "2026-01-02T03:04:05Z".to_owned(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuned.json");
        let missing = asked_for(&info, &path).unwrap_err().to_string();
        assert!(missing.contains("tuned.json") && missing.contains("--tuned"), "{missing}");
        add(&path, &Key::of(&info), vec![entry]).unwrap();
        let found = asked_for(&info, &path).unwrap();
        let chosen = Dispatcher::new(&info).tuned(found).choose(&problem, &Selector::Auto).unwrap();
        assert_eq!((chosen.kernel.name.as_str(), chosen.variant.name.as_str()), ("05_wgmma", "128x128x64"));
        // Measured with another driver, it says nothing about this one.
        info.record.driver = "1.2.3".to_owned();
        assert_eq!(asked_for(&info, &path).unwrap(), None);
    }
}
