//! The journal's writer: one writer a folder, a unit's lines in one write, and nothing lost but the unit in flight.

use crate::problem::Problem;
use crate::record::{ARCHIVE_FILE, CellRecord, JournalError, SAMPLES_FILE, Status, each_line, replace_file_with};
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The file whose lock makes this process a folder's one writer.
pub const LOCK_FILE: &str = ".lock";

/// A folder that cannot be written to.
#[derive(Debug, Error)]
pub enum FolderError {
    /// It cannot be made or opened.
    #[error("cannot write in {path}: {source}; choose another folder with --out")]
    Unwritable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process writes there.
    #[error("another gemmscope is writing in {path}; wait for it, or choose another folder with --out")]
    Busy {
        /// Which one.
        path: PathBuf,
    },
    /// The journal is compressed.
    #[error("{path} is an archived journal; unpack it with gunzip to go on with its run")]
    Archived {
        /// Which file.
        path: PathBuf,
    },
    /// A line could not be written.
    #[error(
        "cannot write to {path}: {source}; the {whole} cells before it are safe: make room, then go on with --resume"
    )]
    Append {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
        /// Cells that are in the journal.
        whole: u64,
    },
    /// The journal that is there cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The right to write in a folder, kept until it is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Makes the folder if need be and locks it.
///
/// # Errors
/// It cannot be made or written to, or another process has it.
pub fn lock_folder(dir: &Path) -> Result<FolderLock, FolderError> {
    let unwritable = |source| FolderError::Unwritable { path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(unwritable)?;
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK_FILE)).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(FolderError::Busy { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unwritable(source)),
    }
}

/// An open journal.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
    path: PathBuf,
    length: u64,
    cells: u64,
}

/// A cell that a journal has, as far as going on needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Its number.
    pub cell: u64,
    /// Name of its part.
    pub part: Arc<str>,
    /// What was multiplied.
    pub problem: Problem,
    /// What its operands were drawn from, where it is not what the run's are.
    pub distribution: Option<Arc<str>>,
    /// What became of it.
    pub status: Status,
}

/// What a journal held when it was opened to go on.
#[derive(Debug, Default)]
pub struct Resumed {
    /// The cells that are done.
    pub done: Vec<Done>,
    /// Lines dropped because they were torn.
    pub torn: u64,
    /// Cells dropped because the other half of their comparison is missing.
    pub halves: u64,
    /// Cells dropped because they had not been reached.
    pub not_reached: u64,
    /// Lines dropped because another line of the same cell is as good.
    pub twice: u64,
    /// Where the run's clock stood at the end of the last sample.
    pub clock_ns: u64,
    /// Time inside the launches of all samples. Warm-ups leave no samples.
    pub sampled_ns: u64,
}

/// A line of a journal: what must be known to keep or drop it. A record with its samples would take a hundred times the memory.
struct Line {
    done: Done,
    pair: Option<u64>,
    not_reached: bool,
    bytes: Range<u64>,
    clock_ns: u64,
    sampled_ns: u64,
}

impl Line {
    fn new(record: CellRecord, bytes: Range<u64>, parts: &mut HashMap<String, Arc<str>>) -> Self {
        let (mut clock_ns, mut sampled_ns) = (0u64, 0u64);
        for sample in &record.samples {
            clock_ns = clock_ns.max(sample.at_ns.saturating_add(sample.elapsed_ns));
            sampled_ns = sampled_ns.saturating_add(sample.elapsed_ns);
        }
        let not_reached = record.not_reached();
        let CellRecord { cell, part, pair, problem, distribution, status, .. } = record;
        let mut kept_once = |text: String| match parts.get(&text) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(parts.entry(text.clone()).or_insert_with(|| text.into())),
        };
        let (part, distribution) = (kept_once(part), distribution.map(&mut kept_once));
        let done = Done { cell, part, problem, distribution, status };
        Line { done, pair, not_reached, bytes, clock_ns, sampled_ns }
    }
}

impl JournalWriter {
    /// Begins a journal in an empty folder.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(dir: &Path) -> Result<Self, FolderError> {
        let path = dir.join(SAMPLES_FILE);
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)
            .map_err(|source| FolderError::Unwritable { path: path.clone(), source })?;
        Ok(JournalWriter { file, path, length: 0, cells: 0 })
    }

    /// Opens a journal to go on with it, leaving out what must be measured again: a torn last line, half a comparison, and
    /// cells that an earlier run did not reach.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn resume(dir: &Path) -> Result<(Self, Resumed), FolderError> {
        let path = dir.join(SAMPLES_FILE);
        let archive = dir.join(ARCHIVE_FILE);
        if archive.exists() {
            return Err(FolderError::Archived { path: archive });
        }
        if !path.exists() {
            return Ok((JournalWriter::create(dir)?, Resumed::default()));
        }
        let (mut kept, mut parts) = (Vec::new(), HashMap::new());
        let torn = each_line(dir, |record, bytes| kept.push(Line::new(record, bytes, &mut parts)))?;
        let mut resumed = Resumed { torn: u64::from(torn.is_some()), ..Resumed::default() };
        let mut sides = HashMap::new();
        for pair in kept.iter().filter_map(|line| line.pair) {
            *sides.entry(pair).or_insert(0) += 1;
        }
        kept.retain(|line| {
            let half = !line.not_reached && line.pair.is_some_and(|pair| sides[&pair] != 2);
            resumed.not_reached += u64::from(line.not_reached);
            resumed.halves += u64::from(half);
            !line.not_reached && !half
        });
        resumed.twice = drop_repeated(&mut kept);
        for line in &kept {
            resumed.clock_ns = resumed.clock_ns.max(line.clock_ns);
            resumed.sampled_ns = resumed.sampled_ns.saturating_add(line.sampled_ns);
        }
        let unwritable = |source| FolderError::Unwritable { path: path.clone(), source };
        if resumed.torn + resumed.halves + resumed.not_reached + resumed.twice > 0 {
            // A new file in one step: a crash here leaves the old journal.
            let mut old = BufReader::new(File::open(&path).map_err(unwritable)?);
            replace_file_with(&path, |new| kept.iter().try_for_each(|line| copy(&mut old, &line.bytes, new)))
                .map_err(unwritable)?;
        }
        let mut file = OpenOptions::new().write(true).open(&path).map_err(unwritable)?;
        let length = file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        resumed.done = kept.into_iter().map(|line| line.done).collect();
        let cells = resumed.done.len() as u64;
        Ok((JournalWriter { file, path, length, cells }, resumed))
    }

    /// Appends the records of a unit in a single write.
    ///
    /// # Errors
    /// The disk is full or gone. What was written of the unit is taken back if that is still possible; `resume` drops it if not.
    pub fn append(&mut self, records: &[CellRecord]) -> Result<(), FolderError> {
        let text = lines(records);
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.flush());
        if let Err(source) = written {
            let _ = self.file.set_len(self.length);
            return Err(FolderError::Append { path: self.path.clone(), source, whole: self.cells });
        }
        self.length += text.len() as u64;
        self.cells += records.len() as u64;
        Ok(())
    }
}

/// Copies a line from where it lies in the old file.
fn copy(old: &mut BufReader<File>, bytes: &Range<u64>, new: &mut dyn Write) -> std::io::Result<()> {
    let at = old.stream_position()?;
    // Within the buffer this reads nothing again.
    old.seek_relative(bytes.start as i64 - at as i64)?;
    let length = bytes.end - bytes.start;
    match std::io::copy(&mut old.take(length), new)? {
        copied if copied == length => Ok(()),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Leaves one line a cell, the last that was measured, or else the last, and returns how many were dropped.
fn drop_repeated(kept: &mut Vec<Line>) -> u64 {
    let mut best = HashMap::new();
    for (i, line) in kept.iter().enumerate() {
        let slot = best.entry(line.done.cell).or_insert(i);
        if line.done.status == Status::Ok || kept[*slot].done.status != Status::Ok {
            *slot = i;
        }
    }
    let before = kept.len();
    let mut i = 0;
    kept.retain(|line| {
        i += 1;
        best[&line.done.cell] == i - 1
    });
    (before - kept.len()) as u64
}

fn lines(records: &[CellRecord]) -> String {
    let mut text = String::new();
    for record in records {
        text.push_str(&serde_json::to_string(record).expect("a record has no map with keys other than strings"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NOT_REACHED, Role, read_journal};
    use crate::sweep::execute::blank;
    use crate::sweep::plan::Cell;
    use proptest::prelude::*;

    fn record(cell: u64, pair: Option<u64>) -> CellRecord {
        let role = pair.map(|_| if cell.is_multiple_of(2) { Role::Baseline } else { Role::Variant });
        let planned = Cell {
            cell,
            part: "test".to_owned(),
            pair,
            role,
            problem: Problem::new(1 + cell, 2, 3),
            kernel: "cpu_sgemm".to_owned(),
            regime: crate::measure::Regime::Hot,
            distribution: None,
        };
        CellRecord { status: Status::Ok, ..blank(&planned, "CPU") }
    }

    fn journal(dir: &Path, units: &[Vec<CellRecord>]) {
        let mut writer = JournalWriter::create(dir).unwrap();
        units.iter().for_each(|unit| writer.append(unit).unwrap());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_byte_a_kill_falls_on_whole_units_survive(cut in 0usize..6000) {
            let dir = tempfile::tempdir().unwrap();
            let units: Vec<_> = (0..5).map(|u| vec![record(2 * u, Some(u)), record(2 * u + 1, Some(u))]).collect();
            journal(dir.path(), &units);
            let path = dir.path().join(SAMPLES_FILE);
            let bytes = std::fs::read(&path).unwrap();
            let cut = cut.min(bytes.len());
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let whole = units.iter().scan(0, |end, unit| { *end += lines(unit).len(); Some(*end) }).filter(|&e| e <= cut).count();
            let (mut writer, resumed) = JournalWriter::resume(dir.path()).unwrap();
            prop_assert_eq!(resumed.done.len(), 2 * whole);
            writer.append(&units[4]).unwrap();
            let cells: Vec<u64> = read_journal(dir.path()).unwrap().cells.iter().map(|c| c.cell).collect();
            let expected: Vec<u64> = (0..2 * whole as u64).chain([8, 9]).collect();
            prop_assert_eq!(cells, expected);
        }
    }

    #[test]
    fn cells_that_were_not_reached_are_measured_on_resume() {
        let dir = tempfile::tempdir().unwrap();
        let skipped = CellRecord {
            status: Status::Skipped,
            reason: Some(format!("{NOT_REACHED}: the budget of 1 s was spent")),
            ..record(1, None)
        };
        journal(dir.path(), &[vec![record(0, None)], vec![skipped]]);
        let (_, resumed) = JournalWriter::resume(dir.path()).unwrap();
        assert_eq!((resumed.done.len(), resumed.not_reached), (1, 1));
        assert_eq!(read_journal(dir.path()).unwrap().cells.len(), 1);
    }

    #[test]
    fn lines_that_stay_are_copied_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SAMPLES_FILE);
        // Fields of a later program, and spaces, are another writer's; lines of all lengths, so that no buffer's end is special.
        let line = |cell: u64| {
            let text = lines(&[record(cell, None)]);
            text.replacen('{', &format!("{{ \"note\": \"{}\", ", "x".repeat(1 << (cell % 15))), 1)
        };
        let whole: Vec<String> = (0..40).map(line).collect();
        let mut text = String::new();
        for (i, line) in whole.iter().enumerate() {
            text += line;
            // A second line of the same cell takes the place of the first.
            if i % 7 == 3 {
                text += line;
            }
        }
        std::fs::write(&path, text + "{ torn").unwrap();
        let (_, resumed) = JournalWriter::resume(dir.path()).unwrap();
        assert_eq!((resumed.done.len(), resumed.torn, resumed.twice), (40, 1, 6));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole.concat());
    }

    #[test]
    fn a_cell_that_is_there_twice_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let failed = CellRecord { status: Status::Failed, ..record(1, None) };
        journal(dir.path(), &[vec![record(0, None)], vec![record(1, None)], vec![record(0, None)], vec![failed]]);
        let (_, resumed) = JournalWriter::resume(dir.path()).unwrap();
        assert_eq!(resumed.twice, 2);
        let left = read_journal(dir.path()).unwrap().cells;
        assert_eq!(left.iter().map(|r| r.cell).collect::<Vec<_>>(), [1, 0]);
        assert!(left.iter().all(|r| r.status == Status::Ok), "a failure must not take the place of a measurement");
    }

    #[test]
    fn nonsense_in_the_midst_is_an_error_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        journal(dir.path(), &[vec![record(0, None)]]);
        let path = dir.path().join(SAMPLES_FILE);
        let line = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{line}{{\"cell\": 1}}\n{line}")).unwrap();
        let error = JournalWriter::resume(dir.path()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3, "nothing may be lost");
    }

    #[test]
    fn an_archived_run_is_not_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(ARCHIVE_FILE), "").unwrap();
        let error = JournalWriter::resume(dir.path()).unwrap_err().to_string();
        assert!(error.contains("gunzip"), "{error}");
        assert!(!dir.path().join(SAMPLES_FILE).exists());
    }

    #[test]
    fn a_folder_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock_folder(dir.path()).unwrap();
        assert!(matches!(lock_folder(dir.path()), Err(FolderError::Busy { .. })));
        drop(first);
        assert!(lock_folder(dir.path()).is_ok());
    }
}
