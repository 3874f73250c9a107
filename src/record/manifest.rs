//! `manifest.json`: what was run, on what, by which program, and how far it came.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

use super::{MANIFEST_FILE, replace_file};

/// Version of the manifest and of the journal's lines.
pub const SCHEMA_VERSION: u32 = 1;

/// What kind of device a run was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// An NVIDIA GPU.
    Cuda,
    /// The host's processor.
    Cpu,
    /// A CUDA driver made of software: right results and counters, and no time.
    Emulated,
}

impl DeviceKind {
    /// Whether it runs the CUDA kernels.
    pub const fn runs_cuda(self) -> bool {
        matches!(self, DeviceKind::Cuda | DeviceKind::Emulated)
    }
}

/// The device and all of its state that a time depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// CUDA or CPU.
    pub kind: DeviceKind,
    /// Its name, as the driver or the operating system gives it.
    pub name: String,
    /// Universal identifier, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// PCI address, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci_bus_id: Option<String>,
    /// Compute capability, such as `9.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<String>,
    /// Streaming multiprocessors, or threads that the CPU's GEMM uses.
    pub units: u32,
    /// Most FLOP a cycle that the whole device can do with this type.
    pub peak_flop_per_cycle: f64,
    /// Size of the last-level cache that operands are rotated through.
    pub l2_bytes: u64,
    /// Memory that operands can be placed in.
    pub memory_bytes: u64,
    /// Highest clock of the multiprocessors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_clock_mhz: Option<u32>,
    /// Power limit in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_cap_mw: Option<u32>,
    /// Driver version, or `none`.
    pub driver: String,
    /// State of the telemetry: `nvml 580.65` or the reason why there is none.
    pub telemetry: String,
    /// Where each sample's clock comes from.
    pub clock_source: String,
}

/// The machine around the device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Operating system and architecture.
    pub os: String,
    /// Processor.
    pub cpu: String,
    /// Logical processors that this process may use.
    pub cores: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Not yet, or it was killed.
    Running,
    /// Every planned cell has its line.
    Complete,
    /// The time budget ran out.
    Budget,
    /// Ctrl-C.
    Interrupted,
    /// An error ended it.
    Error,
}

/// How far a run came, over all its resumptions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// How it ended.
    pub outcome: Outcome,
    /// Cells in the plan, or in this shard of it.
    pub planned: u64,
    /// Cells measured.
    pub ok: u64,
    /// Cells skipped.
    pub skipped: u64,
    /// Cells failed.
    pub failed: u64,
    /// Wall time.
    pub wall_ns: u64,
    /// Time inside launches, warm-up included.
    pub kernel_ns: u64,
    /// `kernel_ns` over `wall_ns`.
    pub kernel_time_share: f64,
}

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Always `gemmscope`.
    pub program: String,
    /// Version of the program.
    pub version: String,
    /// Git revision that it was built from, or `unknown`.
    pub git_revision: String,
    /// The command line, without the path of the program.
    pub command: Vec<String>,
    /// When the run began, RFC 3339, UTC.
    pub started: String,
    /// Seed of the plan's order and of the data.
    pub seed: u64,
    /// Name of the random generator of the data.
    pub generator: String,
    /// Distribution of the data.
    pub distribution: String,
    /// This shard and the number of shards, counted from 1.
    pub shard: [u64; 2],
    /// The plan: whatever the planner needs to make it again.
    pub plan: serde_json::Value,
    /// When to stop sampling.
    pub stopping: serde_json::Value,
    /// The machine.
    pub host: HostRecord,
    /// The device.
    pub device: DeviceRecord,
    /// Where the kernels came from: the compiler's version, or `prebuilt`, or the library on a CPU.
    pub kernel_source: String,
    /// SHA-256 of each kernel file's PTX.
    pub kernel_hashes: BTreeMap<String, String>,
    /// How far it came.
    pub progress: Progress,
}

/// A manifest that cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {path}: {source}; nothing that was already written is lost")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a manifest of this program.
    #[error("{path} is not a manifest of gemmscope: {why}; choose another folder")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A later program wrote it.
    #[error(
        "{path} has schema version {found}, and this program reads up to {SCHEMA_VERSION}; use gemmscope {version} or later"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The program that wrote it.
        version: String,
    },
}

/// Reads `DIR/manifest.json`.
///
/// # Errors
/// The file is missing, belongs to another program or to a later version of this one.
pub fn read_manifest(dir: &Path) -> Result<Manifest, ManifestError> {
    let path = dir.join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?;
    let foreign = |why: String| ManifestError::Foreign { path: path.clone(), why };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| foreign(e.to_string()))?;
    if value["program"] != "gemmscope" {
        return Err(foreign(match &value["program"] {
            serde_json::Value::String(other) => format!("it was written by {other:?}"),
            _ => "it has no field \"program\" that says \"gemmscope\"".to_owned(),
        }));
    }
    match value["schema_version"].as_u64() {
        Some(found) if found > u64::from(SCHEMA_VERSION) => {
            let version = value["version"].as_str().unwrap_or("of that version").to_owned();
            Err(ManifestError::Newer { path, found, version })
        }
        Some(_) => serde_json::from_value(value).map_err(|e| foreign(e.to_string())),
        None => Err(foreign("it has no schema version".to_owned())),
    }
}

/// Writes `DIR/manifest.json`, replacing an older one in a single step.
///
/// # Errors
/// The folder cannot be written; the older manifest is then still whole.
pub fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), ManifestError> {
    let path = dir.join(MANIFEST_FILE);
    let mut text = serde_json::to_string_pretty(manifest).expect("a manifest has no map with keys other than strings");
    text.push('\n');
    replace_file(&path, text.as_bytes()).map_err(|source| ManifestError::Write { path: path.clone(), source })
}
