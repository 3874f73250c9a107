//! Tables and pictures from records alone: `summary.csv`, heatmaps as SVG and PNG, the same heatmaps in a terminal, and the
//! interactive page `report.html`.
//!
//! A [`Run`] is one folder's manifest and cells. Runs that are shards of one plan are merged; other devices, plans and
//! versions of the program get pictures of their own. The same records always give the same bytes.

mod alignment;
mod axes;
mod bins;
mod counts;
mod figure;
#[cfg(test)]
pub(crate) mod fixture;
mod grid;
mod html;
mod merge;
#[cfg(feature = "png")]
mod png;
mod scale;
mod svg;
mod table;
mod terminal;

pub use counts::{METRICS, Metric, TELLING, metrics};
pub use html::{PAGE_FILE, Page, write_page};
pub use table::SUMMARY_FILE;
pub use terminal::{terminal, terminal_of};

use crate::record::{
    CellRecord, JournalError, Manifest, ManifestError, Status, read_manifest, read_summaries, replace_file,
    replace_file_with,
};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// One folder's records.
#[derive(Debug, Clone)]
pub struct Run {
    /// The folder. It is only used to name the run in errors.
    pub dir: PathBuf,
    /// What was run, on what.
    pub manifest: Manifest,
    /// The cells; their samples are not needed.
    pub cells: Vec<CellRecord>,
}

/// What [`write_all`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The files, in the order in which they were written.
    pub files: Vec<PathBuf>,
    /// Rows of the table: one a cell, over all runs.
    pub rows: usize,
    /// What the runs lack, one sentence each, such as `shards 2, 4 of 4 of this plan are missing`.
    pub missing: Vec<String>,
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A manifest that cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A journal that cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nothing to report on.
    #[error("no run was given, and a report needs at least 1; name the folder of a sweep")]
    NoRuns,
    /// Two folders hold a measurement of the same cell.
    #[error(
        "cell {cell} of one plan was measured in both {first} and {second}, and a merged plan has each cell once; \
         leave one of the two folders out"
    )]
    Duplicate {
        /// The cell's number in the plan.
        cell: u64,
        /// The folder named first.
        first: PathBuf,
        /// The folder named later.
        second: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}; an older file of that name is still whole")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture cannot be drawn.
    #[error("cannot draw {name}: {why}; the journal is unharmed, and summary.csv holds the same numbers")]
    Draw {
        /// The picture's file name, without its extension.
        name: String,
        /// What failed.
        why: String,
    },
}

/// Reads a run's folder, leaving the samples out.
///
/// # Errors
/// The manifest or the journal is missing, foreign, newer than this program or damaged. A torn last line is no error: a
/// killed run leaves one; it is logged and left out.
pub fn load(dir: &Path) -> Result<Run, ReportError> {
    let manifest = read_manifest(dir)?;
    let journal = read_summaries(dir)?;
    if let Some(torn) = journal.torn {
        log::warn!("{}: line {} of the journal is torn and left out", dir.display(), torn.line);
    }
    let mut cells = journal.cells;
    cells.iter_mut().for_each(impossible_is_failed);
    Ok(Run { dir: dir.to_owned(), manifest, cells })
}

/// Takes the numbers from a cell whose problem cannot be, such as one of more FLOP than can be counted: nothing was measured of it, whatever
/// the record says. It stays as a cell that failed, with the reason.
fn impossible_is_failed(cell: &mut CellRecord) {
    let Err(why) = cell.problem.validate() else { return };
    if cell.status != Status::Ok {
        return;
    }
    (cell.status, cell.reason) = (Status::Failed, Some(format!("a record of a problem that cannot be: {why}")));
    (cell.median_ns, cell.median_lo_ns, cell.median_hi_ns) = (None, None, None);
    (cell.tflops, cell.flop_per_cycle, cell.counters) = (None, None, None);
    (cell.pair_ratio, cell.pair_ratio_lo, cell.pair_ratio_hi) = (None, None, None);
}

/// Writes `summary.csv` and every picture into `out`, which is made if it is missing.
///
/// Each file appears whole or not at all. Files of the same names are replaced.
///
/// # Errors
/// No run was given, two folders measured the same cell of one plan, or a file cannot be drawn or written.
pub fn write_all(out: &Path, runs: &[Run]) -> Result<Written, ReportError> {
    write(out, runs, figure::figures)
}

/// The same with pictures of other counts of an emulated device.
///
/// # Errors
/// As [`write_all`].
pub fn write_all_of(out: &Path, runs: &[Run], metrics: &[&Metric]) -> Result<Written, ReportError> {
    write(out, runs, |merged| figure::figures_of(merged, metrics))
}

fn write(
    out: &Path,
    runs: &[Run],
    figures: impl FnOnce(&[merge::Merged<'_>]) -> Vec<figure::Figure>,
) -> Result<Written, ReportError> {
    if runs.is_empty() {
        return Err(ReportError::NoRuns);
    }
    let merged = merge::merge(runs)?;
    std::fs::create_dir_all(out).map_err(|source| ReportError::Write { path: out.to_owned(), source })?;
    let mut written =
        Written { files: Vec::new(), rows: merged.iter().map(|m| m.cells.len()).sum(), missing: missing(&merged) };
    let table = out.join(SUMMARY_FILE);
    replace_file_with(&table, |file| table::csv(&merged, file))
        .map_err(|source| ReportError::Write { path: table.clone(), source })?;
    written.files.push(table);
    let mut put = |name: String, bytes: &[u8]| -> Result<(), ReportError> {
        let path = out.join(name);
        replace_file(&path, bytes).map_err(|source| ReportError::Write { path: path.clone(), source })?;
        written.files.push(path);
        Ok(())
    };
    for figure in figures(&merged) {
        let drawn = svg::draw(&figure)?;
        put(format!("{}.svg", figure.name), drawn.as_bytes())?;
        #[cfg(feature = "png")]
        put(format!("{}.png", figure.name), &png::render(&figure.name, &drawn)?)?;
    }
    Ok(written)
}

/// A sentence for each merged run that lacks shards, with the run's number in the table where there are several.
fn missing(merged: &[merge::Merged<'_>]) -> Vec<String> {
    let mut sentences = Vec::new();
    for (number, run) in merged.iter().enumerate() {
        let which = if merged.len() > 1 { format!("run {} ({}): ", number + 1, run.device()) } else { String::new() };
        for lack in &run.missing {
            sentences.push(format!("{which}{} of this plan {} missing", lack.shards, lack.verb()));
        }
    }
    sentences
}

/// Text from a record without characters that XML forbids, that a terminal would obey, or that reorder what is read.
pub(crate) fn clean(text: &str) -> String {
    let harmful = |c: char| {
        let reorders =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || reorders || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::fixture::{fail, shapes, skip, strides};
    use super::*;
    use crate::problem::Problem;
    use crate::record::{DeviceKind, Role, Sample, Stop, write_manifest};

    /// Runs that between them hold everything that makes a picture hard to draw.
    fn gallery() -> Vec<(&'static str, Vec<Run>)> {
        let steps = |from: u64, step: u64, count: u64| (0..count).map(|i| from + i * step).collect::<Vec<_>>();
        let mut gaps = shapes(&steps(128, 128, 16), &steps(256, 256, 24), 4096);
        for (i, cell) in gaps.cells.iter_mut().enumerate() {
            match i % 37 {
                5..=7 => skip(cell),
                20 => fail(cell),
                _ => {}
            }
        }
        gaps.cells.retain(|c| c.problem.m + c.problem.n < 7800);
        let mut large = shapes(&steps(1000, 1, 300), &steps(2000, 1, 300), 4096);
        large.cells.iter_mut().filter(|c| c.cell % 1000 < 150).for_each(skip);
        large.cells.iter_mut().filter(|c| c.cell % 977 < 3).for_each(fail);
        let mut line = shapes(&steps(1, 1, 64), &[4096], 4096);
        skip(&mut line.cells[60]);
        skip(&mut line.cells[61]);
        fail(&mut line.cells[40]);
        let mut cpu = shapes(&steps(60, 1, 12), &steps(60, 1, 12), 256);
        cpu.manifest.device.kind = DeviceKind::Cpu;
        cpu.manifest.device.name = "AMD EPYC 9654 96-Core Processor".to_owned();
        cpu.cells.iter_mut().for_each(|c| c.tflops = c.tflops.map(|t| t / 300.0));
        let mut long = shapes(&[64, 128], &[64, 128], 64);
        long.manifest.device.name =
            format!("{} <script>alert('x')</script> \u{1}", "Very Long Device Name ".repeat(12));
        let mut script = shapes(&[64, 128], &[64, 128, 192], 64);
        script.manifest.device.name = "<script>".to_owned();
        for cell in &mut script.cells {
            (cell.part, cell.kernel, cell.variant) = ("a&b".to_owned(), "\"k\"".to_owned(), "]]><v>".to_owned());
        }
        let mut few = shapes(&[64, 128, 192], &[64, 128, 192, 256], 64);
        few.cells.iter_mut().skip(1).for_each(skip);
        let powers: Vec<u64> = (0..12).map(|i| 1 << i).collect();
        let many = shapes(&steps(8, 8, 3000), &[4096], 4096);
        let batch: Vec<u64> = steps(1, 1, 16);
        let mut mixed = shapes(&batch, &steps(4088, 1, 17), 4096);
        mixed
            .cells
            .extend(strides(&[0, 1, 2, 4, 8, 16, 32, 64, 128, 256], &[0, 1, 2, 4, 8, 16, 32, 64, 128, 256]).cells);
        mixed.cells.iter_mut().enumerate().for_each(|(i, c)| c.cell = i as u64);
        let square = fixture::run(
            steps(992, 1, 65)
                .into_iter()
                .map(|s| Problem::new(s, s, s))
                .map(|p| fixture::cell(p, fixture::model(&p)))
                .collect(),
        );
        // Some numbers to be read with care: on a map with numbers, on one without, and on one with squares too small.
        let widen = |run: &mut Run, every: usize| {
            for (i, cell) in run.cells.iter_mut().enumerate() {
                cell.stop = Some(if i % every == 0 { Stop::Time } else { Stop::Interval });
                let width = if i % every == 0 { 8 } else { 200 };
                let median_ns = 1_000_000;
                cell.median_ns = Some(median_ns);
                (cell.median_lo_ns, cell.median_hi_ns) =
                    (Some(median_ns - median_ns / width), Some(median_ns + median_ns / width));
            }
        };
        let mut noisy = shapes(&steps(256, 256, 16), &steps(256, 256, 16), 4096);
        widen(&mut noisy, 5);
        let mut narrow = shapes(&steps(128, 128, 40), &steps(128, 128, 40), 4096);
        widen(&mut narrow, 7);
        let mut small = shapes(&steps(64, 64, 120), &steps(64, 64, 120), 4096);
        widen(&mut small, 3);
        let mut pairs = strides(&[0, 1, 2, 4, 8, 16, 32], &[0, 1, 2, 4, 8, 16, 32]);
        widen(&mut pairs, 4);
        pairs.manifest.shard = [2, 3];
        for (i, cell) in pairs.cells.iter_mut().enumerate().skip(1) {
            (cell.pair, cell.role) = (Some(i as u64), Some(Role::Variant));
            let (ratio, half) = (fixture::model(&cell.problem) / 680.0, if i % 5 == 0 { 0.06 } else { 0.002 });
            (cell.pair_ratio, cell.pair_ratio_lo, cell.pair_ratio_hi) =
                (Some(ratio), Some(ratio * (1.0 - half)), Some(ratio * (1.0 + half)));
        }
        vec![
            ("noisy", vec![noisy]),
            ("narrow", vec![narrow]),
            ("small", vec![small]),
            ("pairs", vec![pairs]),
            ("tiny", vec![shapes(&[256, 512], &[256, 512], 4096)]),
            ("typical", vec![gaps]),
            ("large", vec![large]),
            ("line", vec![line]),
            ("powers", vec![shapes(&powers, &[8192], 8192)]),
            ("many", vec![many]),
            ("single", vec![shapes(&[64], &[64], 64)]),
            ("cpu", vec![cpu]),
            ("long", vec![long]),
            ("devices", vec![script, few]),
            ("mixed", vec![mixed]),
            ("square", vec![square]),
            ("counted", vec![counted(&steps(64, 16, 20), &steps(64, 16, 30))]),
            ("counted-line", vec![counted(&steps(1, 1, 80), &[512])]),
        ]
    }

    /// Where a text is drawn: left, top, right, bottom. Widths are the layout's estimate.
    fn text_box(node: roxmltree::Node<'_, '_>) -> [f64; 4] {
        let number = |name: &str| node.attribute(name).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
        let (x, y, size) = (number("x"), number("y"), number("font-size"));
        let text = node.text().unwrap_or("").trim();
        let bold = if node.attribute("font-weight").is_some() { 1.14 } else { 1.0 };
        let width = f64::from(svg::text_width(text, 100)) / 100.0 * size * bold;
        let left = match node.attribute("text-anchor") {
            Some("end") => -width,
            Some("middle") => -width / 2.0,
            _ => 0.0,
        };
        let top = match node.attribute("dy") {
            Some("0.76em") => 0.0,
            Some("0.5ex") => -size / 2.0,
            _ => -size,
        };
        if node.attribute("transform").is_some_and(|t| t.contains("270")) {
            [x + top, y - left - width, x + top + size, y - left]
        } else {
            [x + left, y + top, x + left + width, y + top + size]
        }
    }

    #[test]
    fn a_record_of_a_problem_that_cannot_be_is_a_failed_cell() {
        let mut run = fixture::shapes(&[16, 32], &[8, 16], 8);
        (run.cells[0].problem.m, run.cells[0].problem.n, run.cells[0].problem.k) = (1 << 31, 1 << 31, 1 << 31);
        run.cells.iter_mut().for_each(impossible_is_failed);
        let failed: Vec<&CellRecord> = run.cells.iter().filter(|c| c.status == Status::Failed).collect();
        assert_eq!(failed.len(), 1);
        assert!(failed[0].median_ns.is_none() && failed[0].reason.as_deref().unwrap().contains("cannot be"));
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path(), &[run]).unwrap();
    }

    #[test]
    fn every_picture_is_valid_and_no_text_leaves_it_or_touches_another() {
        // Set this to a folder to keep the pictures and look at them.
        let keep = std::env::var_os("GEMMSCOPE_GALLERY").map(PathBuf::from);
        let scratch = tempfile::tempdir().unwrap();
        for (name, runs) in gallery() {
            let out = keep.as_deref().unwrap_or(scratch.path()).join(name);
            let written = write_all(&out, &runs).unwrap();
            assert_eq!(written.files[0].file_name().unwrap(), SUMMARY_FILE);
            assert!(written.files.len() > 1, "{name} has no picture");
            if keep.is_some() {
                std::fs::write(out.join("terminal.txt"), terminal(&runs, 80, false)).unwrap();
            }
            for path in written.files.iter().filter(|p| p.extension().is_some_and(|e| e == "svg")) {
                let file = path.display();
                let text = std::fs::read_to_string(path).unwrap();
                let svg = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
                let root = svg.root_element();
                let size = |name: &str| root.attribute(name).unwrap().parse::<f64>().unwrap();
                let (width, height) = (size("width"), size("height"));
                assert!(width <= 1250.0 && height <= 1100.0, "{file}: {width} x {height}");
                let drawn = ["svg", "rect", "line", "polyline", "polygon", "circle", "text"];
                for node in svg.descendants().filter(|n| n.is_element()) {
                    assert!(drawn.contains(&node.tag_name().name()), "{file}: a {:?}", node.tag_name());
                }
                let texts: Vec<([f64; 4], &str)> = svg
                    .descendants()
                    .filter(|n| n.has_tag_name("text"))
                    .map(|n| (text_box(n), n.text().unwrap_or("").trim()))
                    .collect();
                for (i, (a, text)) in texts.iter().enumerate() {
                    assert!(
                        a[0] >= -1.0 && a[1] >= -1.0 && a[2] <= width + 1.0 && a[3] <= height + 1.0,
                        "{file}: {text:?} at {a:?} leaves {width} x {height}"
                    );
                    for (b, other) in &texts[..i] {
                        let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
                        assert!(apart, "{file}: {text:?} at {a:?} touches {other:?} at {b:?}");
                    }
                }
                #[cfg(feature = "png")]
                {
                    let png = std::fs::read(path.with_extension("png")).unwrap();
                    let pixels = resvg::tiny_skia::Pixmap::decode_png(&png).unwrap();
                    let want = (width as u32 * png::SCALE, height as u32 * png::SCALE);
                    assert_eq!((pixels.width(), pixels.height()), want, "{file}");
                }
            }
        }
    }

    #[test]
    fn wide_intervals_are_marked_and_explained_and_narrow_ones_are_not() {
        /// Numbers with a sign in front, corner marks, and what the legend says of them.
        fn marks(sizes: &[u64], widen: usize) -> (usize, usize, Vec<String>) {
            let mut run = shapes(sizes, sizes, 4096);
            for cell in run.cells.iter_mut().take(widen) {
                (cell.median_ns, cell.median_lo_ns, cell.median_hi_ns) = (Some(1000), Some(950), Some(1001));
            }
            let runs = [run];
            let drawn = svg::draw(&figure::figures(&merge::merge(&runs).unwrap())[0]).unwrap();
            let svg = roxmltree::Document::parse(&drawn).unwrap();
            let texts = svg.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text());
            let (legend, numbers): (Vec<String>, Vec<String>) =
                texts.map(|t| t.trim().to_owned()).filter(|t| t.starts_with('~')).partition(|t| t.contains("wider"));
            let corner = |n: &roxmltree::Node<'_, '_>| {
                let points: Vec<&str> = n.attribute("points").unwrap_or("").split_whitespace().collect();
                points.len() == 4 && points[0] == points[3]
            };
            (numbers.len(), svg.descendants().filter(corner).count(), legend)
        }
        let sizes = |count: u64| (1..=count).map(|i| 256 * i).collect::<Vec<_>>();
        assert_eq!(marks(&sizes(16), 0), (0, 0, vec![]));
        // One corner is the legend's.
        assert_eq!(marks(&sizes(16), 9), (9, 10, vec!["~ interval wider than 5 %".to_owned()]));
        assert_eq!(marks(&sizes(45), 9), (0, 10, vec!["~ interval wider than 5 %".to_owned()]));
        let told = "~ interval wider than 5 %: 9 of 10000 squares, too small to mark".to_owned();
        assert_eq!(marks(&sizes(100), 9), (0, 0, vec![told]));
    }

    #[test]
    fn names_from_records_are_text_and_never_markup() {
        let mut run = shapes(&[64, 128], &[64, 128], 1024);
        run.manifest.device.name = "<script>alert(1)</script> & \u{0}\"co\u{1b}".to_owned();
        let out = tempfile::tempdir().unwrap();
        let written = write_all(out.path(), &[run]).unwrap();
        let text = std::fs::read_to_string(&written.files[1]).unwrap();
        assert!(!text.contains("<script"));
        let svg = roxmltree::Document::parse(&text).unwrap();
        let shown: String = svg.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text()).collect();
        assert!(shown.contains("<script>alert(1)</script> & \u{fffd}\"co"), "{shown}");
    }

    #[test]
    fn characters_that_steer_or_reorder_are_neutralised() {
        let text = "a\u{1b}b\u{202a}\u{202e}c\u{2066}\u{2069}d\u{200e}\u{200f}\u{61c}e\u{85}\n";
        assert_eq!(clean(text), "a?b??c??d???e??".replace('?', "\u{fffd}"));
        // Letters of scripts that run from right to left are no controls.
        assert_eq!(clean("שלום · 95 % ≥ 4"), "שלום · 95 % ≥ 4");
    }

    #[test]
    fn missing_shards_are_told_of_each_plan() {
        let mut run = shapes(&[64, 128], &[64, 128], 1024);
        run.manifest.shard = [1, 4];
        let mut third = run.clone();
        third.manifest.shard = [3, 4];
        third.cells.clear();
        let out = tempfile::tempdir().unwrap();
        let runs = [run, third];
        let written = write_all(out.path(), &runs).unwrap();
        assert_eq!(written.missing, ["shards 2, 4 of 4 of this plan are missing"]);
        let text = terminal(&runs, 200, false);
        assert_eq!(
            text.matches("TFLOP/s by m and n").count() + text.matches("GFLOP/s by m and n").count(),
            1,
            "{text}"
        );
        assert!(text.contains("shards 2, 4 of 4 are missing"), "{text}");
        assert!(terminal(&runs[..1], 200, false).contains("shards 2, 3, 4 of 4 are missing"));
        let [run, third] = runs;
        let mut other = shapes(&[64, 128], &[64, 128], 1024);
        other.manifest.device.name = "Other".to_owned();
        let whole = write_all(out.path(), std::slice::from_ref(&other)).unwrap();
        assert!(whole.missing.is_empty());
        let written = write_all(out.path(), &[other, run, third]).unwrap();
        assert_eq!(written.missing, ["run 2 (NVIDIA H100 80GB HBM3): shards 2, 4 of 4 of this plan are missing"]);
    }

    #[test]
    fn an_emulated_run_is_drawn_by_its_counts_and_never_by_a_time() {
        let run = counted(&[64, 128], &[64, 128]);
        let runs = std::slice::from_ref(&run);
        let out = tempfile::tempdir().unwrap();
        let written = write_all(out.path(), runs).unwrap();
        let drawn: Vec<String> = written
            .files
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == "svg"))
            .map(|f| f.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        // The other telling metrics have no number without shared memory and bytes by width.
        assert_eq!(drawn, ["heatmap-shape-sectors-m-n", "heatmap-shape-issued-m-n"]);
        assert!(std::fs::read_to_string(&written.files[0]).unwrap().contains(",emulated,"));
        let metrics = metrics(&["instructions".to_owned()]).unwrap();
        let other = write_all_of(out.path(), runs, &metrics).unwrap();
        assert!(other.files.iter().any(|f| f.ends_with("heatmap-shape-instructions-m-n.svg")));
        let mut said = terminal(runs, 80, false) + &terminal_of(runs, 80, false, &metrics);
        assert!(said.contains("Sectors of global memory") && said.contains("instructions per 1000"), "{said}");
        for file in written.files.iter().chain(&other.files).filter(|f| f.extension().is_some_and(|e| e == "svg")) {
            let svg = std::fs::read_to_string(file).unwrap();
            assert!(svg.contains("Counted by an emulated device"), "{}", file.display());
            said += &svg;
        }
        assert!(!["FLOP/s", "TFLOP", "GFLOP", " ns"].iter().any(|unit| said.contains(unit)), "{said}");
    }

    /// A run of an emulated device.
    fn counted(m: &[u64], n: &[u64]) -> Run {
        let mut run = shapes(m, n, 1024);
        run.manifest.device.kind = DeviceKind::Emulated;
        for cell in &mut run.cells {
            (cell.tflops, cell.median_ns, cell.median_lo_ns, cell.median_hi_ns) = (None, None, None, None);
            let p = &cell.problem;
            let tiles = p.m.div_ceil(64) * p.n.div_ceil(64);
            cell.counters = Some(Box::new(crate::record::Counters {
                bulk_load_bytes: tiles * 64 * p.k * 4,
                issued_macs: tiles * 64 * 64 * p.k,
                warp_instructions: tiles * p.k * 9,
                ..Default::default()
            }));
        }
        run
    }

    #[test]
    fn the_same_records_give_the_same_bytes_in_any_order() {
        let run = strides(&[0, 1, 2, 8], &[0, 1, 2, 8]);
        let mut shuffled = run.clone();
        shuffled.cells.reverse();
        let read = |run: Run| {
            let out = tempfile::tempdir().unwrap();
            let files = write_all(out.path(), &[run]).unwrap().files;
            files.iter().map(|f| (f.file_name().unwrap().to_owned(), std::fs::read(f).unwrap())).collect::<Vec<_>>()
        };
        let first = read(run);
        assert!(first.len() >= 3);
        assert!(first == read(shuffled));
    }

    #[test]
    fn files_are_replaced_and_nothing_else_is_left() {
        let out = tempfile::tempdir().unwrap();
        let run = shapes(&[64, 128], &[64, 128], 1024);
        std::fs::write(out.path().join(SUMMARY_FILE), "old").unwrap();
        let written = write_all(out.path(), std::slice::from_ref(&run)).unwrap();
        assert_eq!(written.rows, 4);
        assert!(std::fs::read_to_string(&written.files[0]).unwrap().starts_with("run,cell,"));
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), written.files.len());
        assert!(matches!(write_all(out.path(), &[]), Err(ReportError::NoRuns)));
        let blocked = out.path().join(SUMMARY_FILE).join("below-a-file");
        let error = write_all(&blocked, &[run]).unwrap_err().to_string();
        assert!(error.contains("below-a-file"), "{error}");
    }

    #[test]
    fn a_folder_of_100_000_cells_is_loaded_without_samples_and_in_reasonable_time() {
        let dir = tempfile::tempdir().unwrap();
        let sizes: Vec<u64> = (1..=320).collect();
        let mut run = shapes(&sizes, &sizes[..313], 512);
        assert!(run.cells.len() >= 100_000);
        let sample = |at_ns| Sample {
            at_ns,
            elapsed_ns: 1000,
            launches: 10,
            clock_mhz: None,
            power_mw: Some(500_000),
            temperature_c: None,
            throttle_bits: Some(0),
            throttled: false,
        };
        write_manifest(dir.path(), &run.manifest).unwrap();
        use std::io::Write;
        let mut journal = std::io::BufWriter::new(std::fs::File::create(dir.path().join("samples.jsonl")).unwrap());
        for cell in &mut run.cells {
            cell.samples = (0..8).map(sample).collect();
            serde_json::to_writer(&mut journal, cell).unwrap();
            journal.write_all(b"\n").unwrap();
            cell.samples = Vec::new();
        }
        journal.write_all(b"{\"cell\": 7, \"pa").unwrap();
        drop(journal);

        let clock = std::time::Instant::now();
        let loaded = load(dir.path()).unwrap();
        assert_eq!(loaded.cells.len(), run.cells.len(), "the torn line is left out");
        assert!(loaded.cells.iter().all(|c| c.samples.capacity() == 0));
        let written = write_all(dir.path(), &[loaded]).unwrap();
        assert_eq!(written.rows, run.cells.len());
        // An unoptimised build takes about ten seconds; anything quadratic would take hours.
        assert!(clock.elapsed().as_secs() < 120, "{:?}", clock.elapsed());
    }
}
