//! Records, and cells in them by what they are. The number of a cell means nothing here: records may come from any plan.

use crate::data::Distribution;
use crate::device::DeviceInfo;
use crate::measure::Regime;
use crate::problem::Problem;
use crate::record::{
    CellRecord, DeviceKind, DeviceRecord, JournalError, Manifest, ManifestError, Role, Sample, Status, read_manifest,
    read_usable,
};
use crate::stats::median;
use crate::sweep::Arm;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use thiserror::Error;

/// Largest share of samples without a time in a record that is still used.
const BROKEN_SHARE: f64 = 0.2;

/// How the reason of a skipped cell begins.
pub const SKIPPED: &str = "the cell was skipped";

/// NVML's bits for a clock held back under load: power cap, slowdown by hardware, by heat, and by the supply.
const LOSSES: u64 = 0x4 | 0x8 | 0x20 | 0x40 | 0x80;

/// Whether the device held its clock back during a sample, by its tag or by NVML's bits.
pub fn held_back(sample: &Sample) -> bool {
    sample.throttled || sample.throttle_bits.is_some_and(|bits| bits & LOSSES != 0)
}

/// Records that cannot be judged.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// A manifest that cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A journal that cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// None were given.
    #[error("no records were given; name the folder of a run")]
    None,
    /// Records of several devices.
    #[error(
        "the records are of {first:?} and of {second:?}, and verdicts are of one device; judge each folder by itself"
    )]
    Devices {
        /// The first device.
        first: String,
        /// Another.
        second: String,
    },
}

/// What two records of the same cell share: everything that the cell was asked for, but not its kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    numbers: [u64; 9],
    factors: [u32; 2],
    form: [&'static str; 2],
    regime: String,
    /// What its operands are drawn from, where its run's are from something else.
    distribution: Option<String>,
}

impl Key {
    /// The key of a record of a run.
    fn of_record(record: &CellRecord, manifest: &Manifest) -> Self {
        let own = record.distribution.as_deref().filter(|own| *own != manifest.distribution);
        Key { distribution: own.map(str::to_owned), ..Key::of(&record.problem, &record.regime) }
    }

    /// The key of an arm's cells.
    pub fn of_arm(arm: &Arm) -> Self {
        let distribution = arm.distribution.map(|d| d.name().to_owned());
        Key { distribution, ..Key::of(&arm.problem, arm.regime.name()) }
    }

    /// The key of a problem in a regime, of the run's own data.
    fn of(p: &Problem, regime: &str) -> Self {
        Key {
            numbers: [p.m, p.n, p.k, p.lda, p.ldb, p.ldc, p.offset_a, p.offset_b, p.offset_c],
            factors: [p.alpha.to_bits(), p.beta.to_bits()],
            form: [p.layout.name(), p.dtype.name()],
            regime: regime.to_owned(),
            distribution: None,
        }
    }
}

/// One record and what can be made of it.
#[derive(Debug)]
pub struct Found<'a> {
    /// The record.
    pub record: &'a CellRecord,
    /// Which of the runs it is of.
    pub run: usize,
    /// What it is a record of.
    pub key: Key,
    /// The other arm, by its index, where the two were measured in turn, and whether this one is the first.
    pub partner: Option<(usize, bool)>,
    /// Nanoseconds a launch of each sample; NaN where the sample has no time.
    pub times: Vec<f64>,
    /// Cycles a launch of each sample, where every sample's clock is known.
    pub cycles: Option<Vec<f64>>,
    /// What the rounding of its times may put their median off by, as a share and a standard deviation.
    pub rounding: f64,
    /// Why it cannot be used.
    pub unusable: Option<String>,
}

/// The records of one device, from one folder or several.
#[derive(Debug)]
pub struct Records {
    device: DeviceRecord,
    runs: Vec<(Manifest, Vec<CellRecord>)>,
}

/// Records by what they are.
pub struct Index<'a> {
    /// All that count: a record that was made again is replaced by its successor.
    pub found: Vec<Found<'a>>,
    /// The records of each cell.
    pub by_key: HashMap<Key, Vec<usize>>,
}

impl<'a> Index<'a> {
    /// The records of an arm's problem as the arm has it measured, with whatever kernel.
    pub fn of(&self, arm: &Arm) -> impl Iterator<Item = &Found<'a>> {
        let at = self.by_key.get(&Key::of_arm(arm)).map(Vec::as_slice).unwrap_or_default();
        at.iter().map(|&i| &self.found[i])
    }
}

impl Records {
    /// Reads the records of one or more folders.
    ///
    /// # Errors
    /// A folder has none that can be read, or they are of several devices.
    pub fn read(dirs: &[impl AsRef<Path>]) -> Result<Records, RecordsError> {
        let mut runs = Vec::new();
        for dir in dirs {
            let manifest = read_manifest(dir.as_ref())?;
            runs.push((manifest, read_usable(dir.as_ref())?));
        }
        Records::new(runs)
    }

    /// Takes records that are in memory.
    ///
    /// # Errors
    /// There are none, or they are of several devices.
    pub fn new(runs: Vec<(Manifest, Vec<CellRecord>)>) -> Result<Records, RecordsError> {
        let Some((first, _)) = runs.first() else { return Err(RecordsError::None) };
        // Equal devices differ by several percent, so that the same model is not enough where devices have identifiers.
        let same = |m: &Manifest| {
            let (a, b) = (&first.device, &m.device);
            a.kind == b.kind && a.name == b.name && (a.uuid == b.uuid || a.uuid.is_none() || b.uuid.is_none())
        };
        if let Some((other, _)) = runs.iter().find(|(m, _)| !same(m)) {
            let name = |m: &Manifest| match &m.device.uuid {
                Some(uuid) => format!("{} {uuid}", m.device.name),
                None => m.device.name.clone(),
            };
            return Err(RecordsError::Devices { first: name(first), second: name(other) });
        }
        Ok(Records { device: first.device.clone(), runs })
    }

    /// No records at all, of a device.
    pub fn none(device: DeviceRecord) -> Records {
        Records { device, runs: Vec::new() }
    }

    /// The device, as plans need it.
    pub fn device(&self) -> DeviceInfo {
        let record = self.device.clone();
        let cc = record.compute_capability.as_deref().and_then(capability).unwrap_or_else(|| {
            // Records without one are of a device that ran these kernels, so that it has at least what the first of them need.
            let least = crate::catalog::catalog().kernels.iter().map(|k| k.min_cc).min();
            if record.kind.runs_cuda() { least.unwrap_or(0) } else { 0 }
        });
        DeviceInfo { record, cc, timer_resolution_ns: 1000.0 }
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|(_, cells)| cells.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Indexes the records by what they are.
    pub fn index(&self) -> Index<'_> {
        let mut index = Index { found: Vec::new(), by_key: HashMap::new() };
        let mut copies: HashSet<(&str, u64, u64, String)> = HashSet::new();
        for (run, (manifest, cells)) in self.runs.iter().enumerate() {
            // Within a run the last good record of a cell counts: earlier ones were tried again. Records that share their number
            // without being one cell are kept apart.
            let tick = tick(cells);
            let mut latest: BTreeMap<_, &CellRecord> = BTreeMap::new();
            for record in cells {
                let side = record.role.map(|role| role == Role::Variant);
                let key = (record.cell, Key::of_record(record, manifest), record.pair, side);
                let was_ok = latest.get(&key).is_some_and(|r| r.status == Status::Ok);
                if record.status == Status::Ok || !was_ok {
                    latest.insert(key, record);
                }
            }
            let mut pairs: BTreeMap<u64, [Option<usize>; 2]> = BTreeMap::new();
            for ((cell, key, ..), record) in latest {
                // A folder that was copied, or named twice, holds nothing new.
                let content = format!("{key:?} {:?}", record.samples.first().map(|s| (s.at_ns, s.elapsed_ns)));
                if !copies.insert((&manifest.started, manifest.seed, cell, content)) {
                    continue;
                }
                let at = index.found.len();
                index.found.push(Found { run, ..Found::new(record, key.clone(), manifest, tick) });
                index.by_key.entry(key).or_default().push(at);
                if let (Some(pair), Some(role)) = (record.pair, record.role) {
                    pairs.entry(pair).or_default()[usize::from(role == Role::Variant)] = Some(at);
                }
            }
            for [first, second] in pairs.into_values() {
                if let (Some(first), Some(second)) = (first, second) {
                    index.found[first].partner = Some((second, true));
                    index.found[second].partner = Some((first, false));
                }
            }
        }
        index
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let parts = |k: &Key| (k.numbers, k.factors, k.form, k.regime.clone(), k.distribution.clone());
        parts(self).cmp(&parts(other))
    }
}

fn capability(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once('.')?;
    Some(10 * major.parse::<u32>().ok()? + minor.parse::<u32>().ok()?)
}

impl<'a> Found<'a> {
    fn new(record: &'a CellRecord, key: Key, manifest: &Manifest, tick: u64) -> Self {
        let time = |s: &Sample| {
            if s.elapsed_ns > 0 && s.launches > 0 { s.per_launch_ns() } else { f64::NAN }
        };
        let times: Vec<f64> = record.samples.iter().map(time).collect();
        let clock = |s: &Sample| s.clock_mhz.filter(|c| c.is_finite() && *c > 0.0);
        let cycles: Option<Vec<f64>> =
            record.samples.iter().zip(&times).map(|(s, t)| Some(t * clock(s)? * 1e-3)).collect();
        let cycles = cycles.filter(|c| !c.is_empty());
        let unusable = unusable(record, manifest, key.distribution.is_some(), &times).err();
        let elapsed: Vec<f64> =
            record.samples.iter().map(|s| s.elapsed_ns as f64).filter(|elapsed| *elapsed > 0.0).collect();
        // Rounding is uniform over a tick, and samples that are alike are all rounded alike.
        let rounding = median(&elapsed).map_or(0.0, |elapsed| tick as f64 / elapsed / 12f64.sqrt());
        Found { record, run: 0, key, partner: None, times, cycles, rounding, unusable }
    }

    /// How it was measured; `None` where this program knows no such regime or distribution.
    pub fn setting(&self) -> Option<(Regime, Option<Distribution>)> {
        let distribution = self.key.distribution.as_deref().map(str::parse).transpose().ok()?;
        Some((self.key.regime.parse().ok()?, distribution))
    }

    /// The kernel and the variant that ran.
    pub fn name(&self) -> String {
        if self.record.variant.is_empty() {
            self.record.kernel.clone()
        } else {
            format!("{}/{}", self.record.kernel, self.record.variant)
        }
    }

    /// Share of its samples that were taken while the device held its clock back.
    pub fn throttled_share(&self) -> f64 {
        let tagged = self.record.samples.iter().filter(|s| held_back(s)).count();
        let count = tagged.max(self.record.throttled_samples as usize);
        count as f64 / self.record.samples.len().max(1) as f64
    }
}

/// The step in which a run's times are counted: all are multiples of it.
fn tick(cells: &[CellRecord]) -> u64 {
    let elapsed = || cells.iter().flat_map(|c| &c.samples).map(|s| s.elapsed_ns).filter(|&elapsed| elapsed > 0);
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let step = elapsed().fold(0, gcd);
    // One time that never changes says nothing of its clock.
    if elapsed().all(|elapsed| elapsed == step) { 1 } else { step.max(1) }
}

/// Whether a record's times are times; `differs` tells whether its operands are drawn from something else than its run's.
fn unusable(record: &CellRecord, manifest: &Manifest, differs: bool, times: &[f64]) -> Result<(), String> {
    let why = || record.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
    match record.status {
        Status::Failed => return Err(format!("the cell failed{}", why())),
        Status::Skipped => return Err(format!("{SKIPPED}{}", why())),
        Status::Ok => {}
    }
    if manifest.device.kind == DeviceKind::Emulated {
        return Err("an emulated device has no time".to_owned());
    }
    if record.device != manifest.device.name && !record.device.is_empty() {
        return Err(format!(
            "the record is of {:?} and its run of {:?}; keep each device's records in a folder of their own",
            record.device, manifest.device.name
        ));
    }
    // A cell with a distribution of its own is found only by who asks for it.
    if !differs && !matches!(manifest.distribution.as_str(), "uniform" | "normal") {
        return Err(format!(
            "its operands were {}, which draw less power than data do; measure with --distribution uniform",
            manifest.distribution
        ));
    }
    if times.is_empty() {
        return Err("the record has no samples".to_owned());
    }
    let broken = times.iter().filter(|t| !t.is_finite()).count();
    if broken as f64 > BROKEN_SHARE * times.len() as f64 {
        return Err(format!("{broken} of {} samples have no time", times.len()));
    }
    record.contradiction(&manifest.device).map_or(Ok(()), Err)
}
