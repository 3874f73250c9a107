//! The run of a sweep from its first cell to its manifest's last word.

use super::execute::{Conditions, blank};
use super::journal::{Done, FolderError, JournalWriter, Resumed, lock_folder};
use super::plan::{Cell, Plan, PlanError, Spec, least_ns};
use super::worker::{Isolation, Worker, WorkerError};
use crate::catalog;
use crate::data::{Distribution, GENERATOR};
use crate::device::{DeviceChoice, DeviceInfo};
use crate::host;
use crate::record::{
    ARCHIVE_FILE, CellRecord, MANIFEST_FILE, Manifest, ManifestError, NOT_REACHED, Outcome, Progress, SAMPLES_FILE,
    SCHEMA_VERSION, Status, VERDICTS_FILE, read_manifest, write_manifest,
};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How old a running run's manifest may be.
const MANIFEST_PERIOD: Duration = Duration::from_secs(2);

/// What is made from a run's journal, pictures aside.
const MADE_AFTERWARDS: [&str; 3] = ["summary.csv", "report.html", VERDICTS_FILE];

/// What a damaged file can claim a run to have taken, at most: 146 years, so that no sum of times overflows.
const LONGEST_NS: u64 = 1 << 62;

/// Cells that were not reached are written so many at a time.
const MISSED_AT_A_TIME: usize = 4096;

/// A sweep to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to measure.
    pub spec: Spec,
    /// On which device; never [`DeviceChoice::Auto`], so that a resumed run cannot end up on another one.
    pub choice: DeviceChoice,
    /// That device, as [`crate::device::probe`] found it.
    pub device: DeviceInfo,
    /// Seed, distribution, stopping rule.
    pub conditions: Conditions,
    /// The folder to write to.
    pub out: PathBuf,
    /// Whether to go on with the run in that folder.
    pub resume: bool,
    /// Which shard of how many, counted from 1.
    pub shard: (u64, u64),
    /// Time after which no further unit is begun. One that dwells or rests for longer than is left is not begun either.
    pub budget: Option<Duration>,
    /// Where cells are measured.
    pub isolation: Isolation,
    /// The command line, for the manifest.
    pub command: Vec<String>,
}

/// What a run reports while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// It begins: cells of the plan, and of these the ones that a resumed run has already.
    Begin {
        /// Cells in all.
        cells: u64,
        /// What the journal held.
        resumed: &'a Resumed,
    },
    /// A unit is about to be measured.
    Unit(&'a [Cell]),
    /// A unit is in the journal.
    Done(&'a [CellRecord]),
}

/// A run that ended before its plan.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The device cannot be used.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// There is a run in the folder already.
    #[error("{path} holds a run already; go on with --resume, or choose another folder with --out")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A journal whose plan is lost.
    #[error(
        "{path} holds a journal without a {MANIFEST_FILE}, so that nobody knows its plan; bring the manifest back, or choose another folder with --out"
    )]
    Orphan {
        /// The folder.
        path: PathBuf,
    },
    /// A file that the run would write over.
    #[error(
        "{path} holds {file:?}, which this run would write over; move it away, or choose another folder with --out"
    )]
    InTheWay {
        /// The folder.
        path: PathBuf,
        /// The file.
        file: String,
    },
    /// There is none to go on with.
    #[error("{path} holds no run to go on with: it has no {MANIFEST_FILE}; leave out --resume to begin one there")]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// The journal does not belong to the manifest.
    #[error("cell {cell} of the journal in {path} is not a cell of its manifest's plan; the two are not of one run")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The first such cell.
        cell: u64,
    },
    /// The run in the folder is another one.
    #[error(
        "the run in {path} has another {what} ({theirs}, and now {ours}); go on with the same, or choose another folder with --out"
    )]
    Another {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the manifest says.
        theirs: String,
        /// What was asked for.
        ours: String,
    },
}

/// The manifest of the run in a folder that is to be resumed.
///
/// # Errors
/// There is none, or it is another program's or a later version's.
pub fn resumable(dir: &Path) -> Result<Manifest, SweepError> {
    if !dir.join(MANIFEST_FILE).exists() {
        let path = dir.to_owned();
        return Err(if holds_journal(dir) { SweepError::Orphan { path } } else { SweepError::Nothing { path } });
    }
    Ok(read_manifest(dir)?)
}

/// Runs a sweep and returns its manifest.
///
/// `stop` ends it after the unit in flight, as Ctrl-C does. `report` is told what happens.
///
/// # Errors
/// The plan, the folder or the device cannot be used. What was measured until then is in the journal.
pub fn run(options: &Options, stop: &AtomicBool, report: &mut dyn FnMut(Event<'_>)) -> Result<Manifest, SweepError> {
    let plan = Plan::new(&options.spec, options.device.kind(), options.conditions.seed)?
        .shard(options.shard.0, options.shard.1)?;
    let dir = &options.out;
    let _lock = lock_folder(dir)?;
    let (mut journal, resumed, mut manifest) = open_folder(options, plan.cells())?;
    refuse_foreign(&plan, &resumed.done, dir)?;
    report(Event::Begin { cells: plan.cells(), resumed: &resumed });
    let done: HashSet<u64> = resumed.done.iter().map(|r| r.cell).collect();
    // A killed run's manifest is older than its journal.
    let wall_before = manifest.progress.wall_ns.max(resumed.clock_ns).min(LONGEST_NS);
    let kernel_ns = manifest.progress.kernel_ns.max(resumed.sampled_ns).min(LONGEST_NS);
    let mut counts = Counts::new(kernel_ns, &resumed.done);
    write_manifest(dir, &manifest)?;

    let mut worker: Option<Worker> = None;
    let start = Instant::now();
    let wall_now = || wall_before + start.elapsed().as_nanos() as u64;
    let mut written = Instant::now();
    let mut outcome = Outcome::Complete;
    let mut error = None;
    // Cells that the budget did not reach, to be written many at a time.
    let mut missed = Vec::new();
    for position in 0..plan.units() {
        let cells = plan.unit(position);
        if cells.iter().all(|c| done.contains(&c.cell)) {
            continue;
        }
        if stop.load(Ordering::Relaxed) {
            outcome = Outcome::Interrupted;
            break;
        }
        if let Some(reason) = options.budget.and_then(|budget| over_budget(options, &cells, budget, start.elapsed())) {
            outcome = Outcome::Budget;
            missed.extend(cells.iter().map(|cell| not_reached(cell, &options.device, &reason)));
            if missed.len() >= MISSED_AT_A_TIME {
                journal.append(&missed)?;
                counts.add(&missed);
                missed.clear();
            }
            continue;
        }
        report(Event::Unit(&cells));
        let at_ns = wall_now();
        let result = measure_unit(&mut worker, options, &cells, at_ns, &mut counts);
        let appended = result.and_then(|records| {
            journal.append(&records)?;
            Ok(records)
        });
        match appended {
            Ok(records) => {
                counts.add(&records);
                report(Event::Done(&records));
            }
            Err(why) => {
                (outcome, error) = (Outcome::Error, Some(why));
                break;
            }
        }
        if written.elapsed() >= MANIFEST_PERIOD {
            let wall_ns = wall_now();
            manifest.progress = counts.progress(Outcome::Running, plan.cells(), wall_ns);
            write_manifest(dir, &manifest)?;
            written = Instant::now();
        }
    }
    if error.is_none() {
        journal.append(&missed)?;
        counts.add(&missed);
    }
    manifest.progress = counts.progress(outcome, plan.cells(), wall_now());
    let written = write_manifest(dir, &manifest);
    match error {
        Some(error) => Err(error),
        None => {
            written?;
            Ok(manifest)
        }
    }
}

/// Why a unit is not begun, where so much of the budget has been spent.
fn over_budget(options: &Options, cells: &[Cell], budget: Duration, spent: Duration) -> Option<String> {
    let whole = budget.as_secs_f64();
    if spent >= budget {
        return Some(format!("{NOT_REACHED}: the budget of {whole} s was spent"));
    }
    let least = Duration::from_nanos(least_ns(cells, options.device.kind(), &options.conditions.stopping));
    (least > budget - spent).then(|| {
        format!(
            "{NOT_REACHED}: it takes {:.1} s at least, and less was left of the budget of {whole} s",
            least.as_secs_f64()
        )
    })
}

/// A cell of the journal that the plan does not have, or has otherwise, means that the journal is another run's.
fn refuse_foreign(plan: &Plan, done: &[Done], dir: &Path) -> Result<(), SweepError> {
    let mut left: HashMap<u64, &Done> = done.iter().map(|r| (r.cell, r)).collect();
    if left.is_empty() {
        return Ok(());
    }
    for position in 0..plan.units() {
        for cell in plan.unit(position) {
            let data = cell.distribution.map(Distribution::name);
            let is =
                |r: &&Done| r.problem == cell.problem && *r.part == *cell.part && r.distribution.as_deref() == data;
            if left.get(&cell.cell).is_some_and(is) {
                left.remove(&cell.cell);
            }
        }
    }
    match left.keys().min() {
        None => Ok(()),
        Some(&cell) => Err(SweepError::Foreign { path: dir.to_owned(), cell }),
    }
}

fn measure_unit(
    worker: &mut Option<Worker>,
    options: &Options,
    cells: &[Cell],
    at_ns: u64,
    counts: &mut Counts,
) -> Result<Vec<CellRecord>, SweepError> {
    if worker.is_none() {
        *worker = Some(Worker::open(options.choice, options.conditions.clone(), options.isolation.clone())?);
    }
    let worker = worker.as_mut().expect("opened above");
    let outcome = worker.run(cells, at_ns, &options.device.record.name)?;
    counts.kernel_ns += outcome.kernel_ns;
    Ok(outcome.records)
}

fn not_reached(cell: &Cell, device: &DeviceInfo, reason: &str) -> CellRecord {
    CellRecord { status: Status::Skipped, reason: Some(reason.to_owned()), ..blank(cell, &device.record.name) }
}

/// What the manifest's progress is made of.
struct Counts {
    ok: u64,
    skipped: u64,
    failed: u64,
    kernel_ns: u64,
}

impl Counts {
    fn new(kernel_ns: u64, done: &[Done]) -> Self {
        let mut counts = Counts { ok: 0, skipped: 0, failed: 0, kernel_ns };
        done.iter().for_each(|cell| counts.count(cell.status));
        counts
    }

    fn count(&mut self, status: Status) {
        match status {
            Status::Ok => self.ok += 1,
            Status::Skipped => self.skipped += 1,
            Status::Failed => self.failed += 1,
        }
    }

    fn add(&mut self, records: &[CellRecord]) {
        records.iter().for_each(|record| self.count(record.status));
    }

    fn progress(&self, outcome: Outcome, planned: u64, wall_ns: u64) -> Progress {
        Progress {
            outcome,
            planned,
            ok: self.ok,
            skipped: self.skipped,
            failed: self.failed,
            wall_ns,
            kernel_ns: self.kernel_ns,
            kernel_time_share: self.kernel_ns as f64 / wall_ns.max(1) as f64,
        }
    }
}

fn holds_journal(dir: &Path) -> bool {
    [SAMPLES_FILE, ARCHIVE_FILE].iter().any(|name| dir.join(name).exists())
}

/// A folder may hold other files, but none that a run writes: they would be lost.
fn refuse_occupied(dir: &Path) -> Result<(), SweepError> {
    let path = dir.to_owned();
    if dir.join(MANIFEST_FILE).exists() {
        return Err(SweepError::Occupied { path });
    }
    if holds_journal(dir) {
        return Err(SweepError::Orphan { path });
    }
    let entries = std::fs::read_dir(dir).map_err(|source| FolderError::Unwritable { path: path.clone(), source })?;
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    let picture =
        |name: &str| name.starts_with("heatmap-") && [".svg", ".png"].iter().any(|extension| name.ends_with(extension));
    match names.into_iter().find(|name| MADE_AFTERWARDS.contains(&name.as_str()) || picture(name)) {
        Some(file) => Err(SweepError::InTheWay { path, file }),
        None => Ok(()),
    }
}

/// Begins a journal and a manifest, or takes up those that are there.
fn open_folder(options: &Options, cells: u64) -> Result<(JournalWriter, Resumed, Manifest), SweepError> {
    let dir = &options.out;
    let fresh = manifest(options, cells);
    if !options.resume {
        refuse_occupied(dir)?;
        // The manifest first: a run that is killed between the two can be gone on with.
        write_manifest(dir, &fresh)?;
        return Ok((JournalWriter::create(dir)?, Resumed::default(), fresh));
    }
    let old = resumable(dir)?;
    let another = |what, theirs: String, ours: String| {
        if theirs == ours { Ok(()) } else { Err(SweepError::Another { path: dir.clone(), what, theirs, ours }) }
    };
    another("device", old.device.name.clone(), fresh.device.name.clone())?;
    let machine = |m: &Manifest| {
        let d = &m.device;
        format!(
            "{}, {}, {} units, {} bytes of cache",
            d.uuid.as_deref().unwrap_or("no identifier"),
            m.host.cpu,
            d.units,
            d.l2_bytes
        )
    };
    another("machine", machine(&old), machine(&fresh))?;
    let program = |m: &Manifest| format!("{} {}", m.version, m.git_revision);
    another("program", program(&old), program(&fresh))?;
    another("stopping rule", old.stopping.to_string(), fresh.stopping.to_string())?;
    another("seed", old.seed.to_string(), fresh.seed.to_string())?;
    another("distribution", old.distribution.clone(), fresh.distribution.clone())?;
    another("shard", format!("{:?}", old.shard), format!("{:?}", fresh.shard))?;
    another("plan", old.plan.to_string(), fresh.plan.to_string())?;
    let kernels = |m: &Manifest| serde_json::to_string(&m.kernel_hashes).unwrap_or_default();
    another("set of kernels", kernels(&old), kernels(&fresh))?;
    let (journal, resumed) = JournalWriter::resume(dir)?;
    let running = Progress { outcome: Outcome::Running, ..old.progress.clone() };
    Ok((journal, resumed, Manifest { progress: running, ..old }))
}

fn manifest(options: &Options, planned: u64) -> Manifest {
    let cuda = options.device.kind().runs_cuda();
    let json = |value: Result<serde_json::Value, serde_json::Error>| value.expect("plain data");
    Manifest {
        schema_version: SCHEMA_VERSION,
        program: "gemmscope".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_revision: env!("GEMMSCOPE_GIT_REVISION").to_owned(),
        command: options.command.clone(),
        started: jiff::Timestamp::now().to_string(),
        seed: options.conditions.seed,
        generator: GENERATOR.to_owned(),
        distribution: options.conditions.distribution.name().to_owned(),
        shard: [options.shard.0, options.shard.1],
        plan: json(serde_json::to_value(&options.spec)),
        stopping: json(serde_json::to_value(&options.conditions.stopping)),
        host: host::record(),
        device: options.device.record.clone(),
        kernel_source: if cuda {
            catalog::kernel_source().to_owned()
        } else {
            "matrixmultiply through ndarray".to_owned()
        },
        kernel_hashes: if cuda {
            catalog::images().iter().map(|i| (i.file.to_owned(), i.ptx_sha256.to_owned())).collect()
        } else {
            Default::default()
        },
        progress: Progress {
            outcome: Outcome::Running,
            planned,
            ok: 0,
            skipped: 0,
            failed: 0,
            wall_ns: 0,
            kernel_ns: 0,
            kernel_time_share: 0.0,
        },
    }
}
