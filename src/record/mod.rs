//! The types of every file that a run writes, and how to read them back. Units are part of the names.
//!
//! `docs/FORMAT.md` describes the files for readers without Rust.

mod cell;
pub(crate) mod consistent;
mod counters;
mod journal;
mod manifest;
mod number;
mod replace;
mod verdict;

pub use cell::{CellRecord, Check, NOT_REACHED, Role, Sample, Status, Stop};
pub use counters::{Counters, Traffic, Wavefronts};
pub(crate) use journal::each_line;
pub use journal::{Journal, JournalError, TornLine, after_mark, read_journal, read_summaries, read_usable};
pub use manifest::{
    DeviceKind, DeviceRecord, HostRecord, Manifest, ManifestError, Outcome, Progress, SCHEMA_VERSION, read_manifest,
    write_manifest,
};
pub(crate) use replace::{replace_file, replace_file_with};
pub use verdict::{
    ComparisonRecord, Effect, EffectUnit, Finding, QuestionRecord, RuleRecord, Source, VERDICTS_FILE, VERDICTS_VERSION,
    Verdict, VerdictError, Verdicts, read_verdicts, write_verdicts,
};

/// Name of the manifest in a run's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Name of the journal in a run's folder.
pub const SAMPLES_FILE: &str = "samples.jsonl";
/// Name of the journal of a finished run that was compressed with gzip.
pub const ARCHIVE_FILE: &str = "samples.jsonl.gz";
