//! `report.html`: runs as one page that needs nothing but a browser, no network and no other file.
//!
//! A journal is read line by line and its samples are reduced to what the page shows of them, so a million samples need
//! little memory and take little room. What comes from a record is only ever shown as text.

mod cell;
mod columns;
mod group;
mod head;
mod line;
mod load;
mod model;
mod page;
mod thin;
mod timeline;
mod verdicts;

use super::ReportError;
use crate::record::replace_file;
use std::path::{Path, PathBuf};

/// Name of the page in a run's folder.
pub const PAGE_FILE: &str = "report.html";

/// What [`write_page`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Cells that the runs hold.
    pub cells: usize,
    /// Cells on the page: fewer where a page with all of them would be too large.
    pub shown: usize,
    /// Samples that were read.
    pub samples: u64,
    /// What the page warns its reader of, one sentence each.
    pub notes: Vec<String>,
}

/// Writes the page of one or more runs to `path`, replacing an older one in a single step.
///
/// Folders that are shards of one plan are shown as one run. Runs on different devices, of different plans or versions, and
/// repetitions of a run stand side by side, and no number is made of two of them.
///
/// # Errors
/// No folder is given, one has no manifest of this program or no journal, or the page cannot be written.
pub fn write_page(path: &Path, dirs: &[PathBuf], title: Option<&str>) -> Result<Page, ReportError> {
    if dirs.is_empty() {
        return Err(ReportError::NoRuns);
    }
    let mut strings = cell::Strings::default();
    let folders = dirs.iter().map(|dir| load::load(dir, &mut strings)).collect::<Result<Vec<_>, _>>()?;
    let samples = folders.iter().map(|f| f.samples).sum();
    let groups = group::group(folders);
    let made = page::make(&groups, &strings, title);
    replace_file(path, made.html.as_bytes()).map_err(|source| ReportError::Write { path: path.to_owned(), source })?;
    Ok(Page {
        path: path.to_owned(),
        bytes: made.html.len() as u64,
        cells: groups.iter().map(|g| g.cells.len()).sum(),
        shown: made.shown,
        samples,
        notes: made.notes,
    })
}
