//! Reading `samples.jsonl`. The writer is `sweep::journal`.

use super::{ARCHIVE_FILE, CellRecord, SAMPLES_FILE};
use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A journal that cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line in its midst is not a record.
    #[error("{path}, line {line}: not a record of a cell: {why}; the lines before it are whole")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

/// A last line that a killed writer left unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornLine {
    /// Which line, from 1.
    pub line: u64,
    /// Where it begins, in bytes.
    pub offset: u64,
}

/// What a journal holds.
#[derive(Debug, Clone)]
pub struct Journal<T = CellRecord> {
    /// One record a cell, in the order in which they were written.
    pub cells: Vec<T>,
    /// The torn last line, if there is one. It is not among the cells.
    pub torn: Option<TornLine>,
}

/// Reads every line of `DIR/samples.jsonl`, or of `DIR/samples.jsonl.gz` where the run has been archived.
///
/// A last line without an end is reported in [`Journal::torn`] and left out.
///
/// # Errors
/// The file cannot be read, or a line other than the last is not a record.
pub fn read_journal(dir: &Path) -> Result<Journal, JournalError> {
    read_lines(dir)
}

/// As [`read_journal`], without the samples: a small fraction of the memory.
///
/// # Errors
/// As [`read_journal`].
pub fn read_summaries(dir: &Path) -> Result<Journal, JournalError> {
    let Journal { cells, torn } = read_lines::<Summary>(dir)?;
    Ok(Journal { cells: cells.into_iter().map(|s| s.0).collect(), torn })
}

/// Reads the records that can be used, for readers that go on where `--resume` must not: lines that are no record are left out, as is a
/// torn last one, and a warning says how many.
///
/// # Errors
/// The file cannot be read, or none of its lines is a record.
pub fn read_usable(dir: &Path) -> Result<Vec<CellRecord>, JournalError> {
    let mut refused = Vec::new();
    let mut cells: Vec<CellRecord> = Vec::new();
    let torn = each_line_or(
        dir,
        LastLine::AsItIs,
        |cell, _| cells.push(cell),
        |line, error| {
            refused.push((line, error.to_string()));
            Ok(())
        },
    )?;
    // Sizes that no problem has: what is worked out from them would overflow.
    let mut impossible = None;
    let before = cells.len();
    cells.retain(|cell| cell.problem.validate().map_err(|e| impossible.get_or_insert((cell.cell, e)).0).is_ok());
    if let Some((cell, why)) = impossible {
        let count = before - cells.len();
        let path = journal_path(dir).0;
        log::warn!(
            "{}: {count} records of no possible problem are left out; the first is cell {cell}: {why}",
            path.display()
        );
    }
    if let Some(torn) = torn {
        log::warn!("{}: line {} of the journal is torn and left out", dir.display(), torn.line);
    }
    if let Some((line, why)) = refused.first() {
        if cells.is_empty() {
            return Err(JournalError::Line { path: journal_path(dir).0, line: *line, why: why.clone() });
        }
        let (count, lines) = (refused.len(), if refused.len() == 1 { "line is" } else { "lines are" });
        log::warn!(
            "{}: {count} {lines} no record of a cell and left out; the first is line {line}: {why}",
            dir.display()
        );
    }
    Ok(cells)
}

/// A record whose samples were skipped while parsing.
struct Summary(CellRecord);

impl<'de> serde::Deserialize<'de> for Summary {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut record = CellRecord::deserialize(deserializer)?;
        record.samples = Vec::new();
        Ok(Summary(record))
    }
}

/// The journal of a folder, and whether it is an archive.
fn journal_path(dir: &Path) -> (PathBuf, bool) {
    let (path, archive) = (dir.join(SAMPLES_FILE), dir.join(ARCHIVE_FILE));
    if !path.exists() && archive.exists() { (archive, true) } else { (path, false) }
}

fn read_lines<T: DeserializeOwned>(dir: &Path) -> Result<Journal<T>, JournalError> {
    let mut cells = Vec::new();
    let torn = each_line(dir, |cell, _| cells.push(cell))?;
    Ok(Journal { cells, torn })
}

/// Hands every record of a run's journal to `take`, with the bytes of the file where its line lies, and returns the torn last line.
///
/// # Errors
/// As [`read_journal`].
pub(crate) fn each_line<T: DeserializeOwned>(
    dir: &Path,
    take: impl FnMut(T, Range<u64>),
) -> Result<Option<TornLine>, JournalError> {
    each_line_or(dir, LastLine::Ended, take, |line, error| {
        Err(JournalError::Line { path: journal_path(dir).0, line, why: error.to_string() })
    })
}

/// What the last line of a journal has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastLine {
    /// It has an end, as this program's writers leave it; the next line goes behind it.
    Ended,
    /// It may do without, as other programs leave it, where it is a record all the same.
    AsItIs,
}

/// The same, and asks what to do about a line in the journal's midst that is no record.
fn each_line_or<T: DeserializeOwned>(
    dir: &Path,
    last: LastLine,
    mut take: impl FnMut(T, Range<u64>),
    mut refuse: impl FnMut(u64, serde_json::Error) -> Result<(), JournalError>,
) -> Result<Option<TornLine>, JournalError> {
    let (path, archived) = journal_path(dir);
    let read = |source| JournalError::Read { path: path.clone(), source };
    let file = File::open(&path).map_err(read)?;
    let bytes: Box<dyn Read> = if archived { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = BufReader::new(bytes);
    let mut bytes = Vec::new();
    let (mut line, mut offset) = (0, 0);
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes).map_err(read)? as u64;
        if length == 0 {
            return Ok(None);
        }
        line += 1;
        let text = if line == 1 { after_mark(&bytes) } else { &bytes };
        if bytes.last() != Some(&b'\n') {
            let record = if last == LastLine::AsItIs { serde_json::from_slice(text).ok() } else { None };
            let Some(record) = record else { return Ok(Some(TornLine { line, offset })) };
            take(record, offset..offset + length);
            return Ok(None);
        }
        match serde_json::from_slice(text) {
            Ok(record) => take(record, offset..offset + length),
            Err(error) => {
                // A crash of the whole machine can leave a last line that is complete and still nonsense.
                if reader.fill_buf().map_err(read)?.is_empty() {
                    return Ok(Some(TornLine { line, offset }));
                }
                refuse(line, error)?;
            }
        }
        offset += length;
    }
}

/// The bytes without the byte order mark that some editors put before a text.
pub fn after_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn an_archived_journal_reads_like_a_plain_one() {
        let dir = tempfile::tempdir().unwrap();
        let plain = "[1]\n[2]\n[3";
        std::fs::write(dir.path().join(SAMPLES_FILE), plain).unwrap();
        let read = || read_lines::<Vec<u32>>(dir.path()).unwrap();
        let before = read();
        assert_eq!((before.cells.len(), before.torn), (2, Some(TornLine { line: 3, offset: 8 })));
        let file = File::create(dir.path().join(ARCHIVE_FILE)).unwrap();
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::best());
        gz.write_all(plain.as_bytes()).unwrap();
        gz.finish().unwrap();
        std::fs::remove_file(dir.path().join(SAMPLES_FILE)).unwrap();
        let after = read();
        assert_eq!((after.cells, after.torn), (before.cells, before.torn));
    }

    #[test]
    fn what_only_reads_takes_a_last_record_without_an_end_and_a_mark_before_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let cell = |number: u32| {
            format!(
                r#"{{"cell":{number},"m":8,"n":8,"k":8,"layout":"nn","dtype":"f16","lda":8,"ldb":8,"ldc":8,"kernel":"01_naive","regime":"hot","status":"failed"}}"#
            )
        };
        let write = |text: String| std::fs::write(dir.path().join(SAMPLES_FILE), text).unwrap();
        write(format!("\u{feff}{}\n{}", cell(1), cell(2)));
        let numbers: Vec<u64> = read_usable(dir.path()).unwrap().iter().map(|c| c.cell).collect();
        assert_eq!(numbers, [1, 2]);
        // Who goes on writing puts a line behind it.
        let journal = read_journal(dir.path()).unwrap();
        assert_eq!((journal.cells.len(), journal.torn.map(|t| t.line)), (1, Some(2)));
        write(format!("{}\n{}", cell(1), &cell(2)[..40]));
        assert_eq!(read_usable(dir.path()).unwrap().len(), 1);
    }
}
