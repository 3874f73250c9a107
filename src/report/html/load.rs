//! Reads a run's folder line by line: the samples of one cell at a time are in memory.

use super::cell::{Cell, Strings, shorten};
use super::line::Line;
use super::timeline::Timeline;
use crate::record::{ARCHIVE_FILE, DeviceKind, JournalError, Manifest, SAMPLES_FILE, after_mark, read_manifest};
use crate::report::ReportError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// A line longer than this is left out: a million samples of one cell take half of it.
const LONGEST_LINE: usize = 256 << 20;

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Folder {
    pub dir: PathBuf,
    pub manifest: Manifest,
    pub cells: Vec<Cell>,
    pub timeline: Timeline,
    /// Samples in all.
    pub samples: u64,
    /// What was left out or cannot be right, a sentence each.
    pub notes: Vec<String>,
}

impl Folder {
    /// The folder's own name, without where it lies.
    pub fn name(&self) -> String {
        let path = std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone());
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        super::super::clean(&name)
    }
}

/// Reads a folder.
///
/// # Errors
/// There is no manifest of this program, or no journal that can be opened.
pub(super) fn load(dir: &Path, strings: &mut Strings) -> Result<Folder, ReportError> {
    let manifest = read_manifest(dir)?;
    let mut path = dir.join(SAMPLES_FILE);
    let archived = !path.exists() && dir.join(ARCHIVE_FILE).exists();
    if archived {
        path = dir.join(ARCHIVE_FILE);
    }
    let error = |source| ReportError::Journal(JournalError::Read { path: path.clone(), source });
    let file = File::open(&path).map_err(error)?;
    let bytes: Box<dyn Read> = if archived { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut folder = Folder {
        dir: dir.to_owned(),
        manifest,
        cells: Vec::new(),
        timeline: Timeline::default(),
        samples: 0,
        notes: Vec::new(),
    };
    read(BufReader::with_capacity(1 << 20, bytes), &mut folder, strings).map_err(error)?;
    Ok(folder)
}

/// One line into `line`, without its end. `None` at the end of the journal; `Some(false)` for a line without an end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Option<bool>> {
    line.clear();
    let mut length = 0;
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Ok((length > 0).then_some(false));
        }
        let end = available.iter().position(|&b| b == b'\n');
        let taken = end.unwrap_or(available.len());
        length += taken + usize::from(end.is_some());
        // What is beyond the limit is read and forgotten; its length shows that it was there.
        if line.len() <= LONGEST_LINE {
            line.extend_from_slice(&available[..taken]);
        }
        reader.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Some(true));
        }
    }
}

fn read(mut reader: impl BufRead, folder: &mut Folder, strings: &mut Strings) -> std::io::Result<()> {
    let timeless = folder.manifest.device.kind == DeviceKind::Emulated;
    let (mut number, mut refused, mut first_refusal, mut timed) = (0u64, 0u64, None, 0u64);
    let mut bytes = Vec::new();
    loop {
        let whole = match next_line(&mut reader, &mut bytes) {
            Ok(None) => break,
            Ok(Some(whole)) => whole,
            // An archive that was cut off or damaged still holds what lies before.
            Err(e)
                if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput) =>
            {
                folder.notes.push(format!("The journal ends early, after line {number}: {e}."));
                break;
            }
            Err(e) => return Err(e),
        };
        number += 1;
        let text = if number == 1 { after_mark(&bytes) } else { &bytes };
        // Other programs leave the last line without an end.
        if !whole && serde_json::from_slice::<Line<'_>>(text).is_err() {
            folder.notes.push(format!("Line {number}, the journal's last, is torn and left out."));
            break;
        }
        let mut refuse = |why: String| {
            refused += 1;
            first_refusal.get_or_insert_with(|| format!("line {number}: {}", shorten(&why, 200)));
        };
        if bytes.len() > LONGEST_LINE {
            refuse(format!("longer than {LONGEST_LINE} bytes"));
            continue;
        }
        // A list would be taken for the fields in their order.
        if text.trim_ascii_start().first() != Some(&b'{') {
            refuse("expected an object".to_owned());
            continue;
        }
        let line: Line<'_> = match serde_json::from_slice(text) {
            Ok(line) => line,
            Err(error) => {
                refuse(error.to_string());
                continue;
            }
        };
        let samples = line.samples.as_deref().unwrap_or_default();
        let count = samples.len() as u64;
        samples.iter().for_each(|s| folder.timeline.add(s));
        match Cell::of(line, timeless, strings) {
            Some((cell, had_time)) => {
                folder.samples += count;
                timed += u64::from(had_time);
                folder.cells.push(cell);
            }
            None => refuse("no m, n and k that are whole numbers".to_owned()),
        }
    }
    if let Some(first) = first_refusal {
        let lines = if refused == 1 { "1 line is" } else { &format!("{refused} lines are") };
        folder
            .notes
            .push(super::super::clean(&format!("{lines} no record of a cell and left out; the first is {first}.")));
    }
    if timed > 0 {
        folder
            .notes
            .push(format!("{timed} records of the emulated device carry times; it has none, and they are left out."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn folder(journal: &[u8]) -> Folder {
        let dir = tempfile::tempdir().unwrap();
        crate::record::write_manifest(dir.path(), &fixture::run(Vec::new()).manifest).unwrap();
        std::fs::write(dir.path().join(SAMPLES_FILE), journal).unwrap();
        load(dir.path(), &mut Strings::default()).unwrap()
    }

    #[test]
    fn lines_that_are_no_records_are_counted_and_the_rest_is_read() {
        let good = r#"{"m": 64, "n": 64, "k": 64, "status": "ok", "tflops": 3}"#;
        let journal =
            format!("{good}\nnonsense\n\n[1, 2]\n{{\"m\": 1e999}}\n{{\"cell\": 3}}\n{good}\n{{\"m\": 64, \"n\"");
        let folder = folder(journal.as_bytes());
        assert_eq!(folder.cells.len(), 2);
        let notes = folder.notes.join(" ");
        assert!(notes.contains("Line 8") && notes.contains("torn"), "{notes}");
        assert!(notes.contains("5 lines are no record") && notes.contains("line 2: expected"), "{notes}");
    }

    #[test]
    fn bytes_that_are_no_text_are_a_line_left_out() {
        let folder = folder(b"\xff\xfe{}\n{\"m\":1,\"n\":1,\"k\":1,\"status\":\"ok\",\"kernel\":\"\xff\"}\n\x00\n");
        assert_eq!(folder.cells.len(), 0);
        assert!(folder.notes[0].contains("3 lines"), "{:?}", folder.notes);
    }

    #[test]
    fn an_archive_that_was_cut_off_gives_what_lies_before() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        crate::record::write_manifest(dir.path(), &fixture::run(Vec::new()).manifest).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        for m in 1..2000 {
            writeln!(gz, r#"{{"m": {m}, "n": 64, "k": 64, "status": "ok", "tflops": 3}}"#).unwrap();
        }
        let whole = gz.finish().unwrap();
        std::fs::write(dir.path().join(ARCHIVE_FILE), &whole[..whole.len() / 2]).unwrap();
        let folder = load(dir.path(), &mut Strings::default()).unwrap();
        assert!(folder.cells.len() > 500 && folder.cells.len() < 1500, "{}", folder.cells.len());
        assert!(folder.notes[0].contains("ends early"), "{:?}", folder.notes);
    }

    #[test]
    fn a_folder_without_records_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = load(dir.path(), &mut Strings::default()).unwrap_err().to_string();
        assert!(error.contains("manifest.json"), "{error}");
        crate::record::write_manifest(dir.path(), &fixture::run(Vec::new()).manifest).unwrap();
        let error = load(dir.path(), &mut Strings::default()).unwrap_err().to_string();
        assert!(error.contains(SAMPLES_FILE), "{error}");
    }
}
