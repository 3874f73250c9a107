//! `manifest.json`: what was run, on what, by which program, and how far it came.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
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
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// PCI address, where there is one.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pci_bus_id: Option<String>,
    /// Compute capability, such as `9.0`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<String>,
    /// Streaming multiprocessors, or threads that the CPU's GEMM uses.
    pub units: u32,
    /// Most FLOP a cycle that the whole device can do with this type; 0 where nobody said.
    #[serde(default, deserialize_with = "lenient")]
    pub peak_flop_per_cycle: f64,
    /// Size of the last-level cache that operands are rotated through.
    #[serde(default, deserialize_with = "lenient")]
    pub l2_bytes: u64,
    /// Memory that operands can be placed in.
    #[serde(default, deserialize_with = "lenient")]
    pub memory_bytes: u64,
    /// Highest clock of the multiprocessors.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub max_clock_mhz: Option<u32>,
    /// Power limit in force.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub power_cap_mw: Option<u32>,
    /// Driver version, or `none`.
    #[serde(default, deserialize_with = "text")]
    pub driver: String,
    /// State of the telemetry: `nvml 580.65` or the reason why there is none.
    #[serde(default, deserialize_with = "text")]
    pub telemetry: String,
    /// Where each sample's clock comes from.
    #[serde(default, deserialize_with = "text")]
    pub clock_source: String,
}

/// The machine around the device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Operating system and architecture.
    #[serde(default, deserialize_with = "text")]
    pub os: String,
    /// Processor.
    #[serde(default, deserialize_with = "text")]
    pub cpu: String,
    /// Logical processors that this process may use.
    #[serde(default, deserialize_with = "lenient")]
    pub cores: u32,
    /// Memory, in bytes.
    #[serde(default, deserialize_with = "lenient")]
    pub memory_bytes: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Not yet, or it was killed.
    #[default]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// How it ended.
    #[serde(default, deserialize_with = "lenient")]
    pub outcome: Outcome,
    /// Cells in the plan, or in this shard of it.
    #[serde(default, deserialize_with = "lenient")]
    pub planned: u64,
    /// Cells measured.
    #[serde(default, deserialize_with = "lenient")]
    pub ok: u64,
    /// Cells skipped.
    #[serde(default, deserialize_with = "lenient")]
    pub skipped: u64,
    /// Cells failed.
    #[serde(default, deserialize_with = "lenient")]
    pub failed: u64,
    /// Wall time.
    #[serde(default, deserialize_with = "lenient")]
    pub wall_ns: u64,
    /// Time inside launches, warm-up included.
    #[serde(default, deserialize_with = "lenient")]
    pub kernel_ns: u64,
    /// `kernel_ns` over `wall_ns`.
    #[serde(default, deserialize_with = "lenient")]
    pub kernel_time_share: f64,
}

/// What some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Always `gemmscope`.
    pub program: String,
    /// Version of the program.
    #[serde(default, deserialize_with = "text")]
    pub version: String,
    /// Git revision that it was built from, or `unknown`.
    #[serde(default, deserialize_with = "text")]
    pub git_revision: String,
    /// The command line, without the path of the program.
    #[serde(default, deserialize_with = "lenient")]
    pub command: Vec<String>,
    /// When the run began, RFC 3339, UTC.
    #[serde(default, deserialize_with = "text")]
    pub started: String,
    /// Seed of the plan's order and of the data.
    #[serde(default, deserialize_with = "lenient")]
    pub seed: u64,
    /// Name of the random generator of the data.
    #[serde(default, deserialize_with = "text")]
    pub generator: String,
    /// Distribution of the data.
    pub distribution: String,
    /// This shard and the number of shards, counted from 1.
    #[serde(default = "whole", deserialize_with = "shard")]
    pub shard: [u64; 2],
    /// The plan: whatever the planner needs to make it again.
    #[serde(default)]
    pub plan: serde_json::Value,
    /// When to stop sampling.
    #[serde(default)]
    pub stopping: serde_json::Value,
    /// The machine.
    #[serde(default, deserialize_with = "lenient")]
    pub host: HostRecord,
    /// The device.
    pub device: DeviceRecord,
    /// Where the kernels came from: the compiler's version, or `prebuilt`, or the library on a CPU.
    #[serde(default, deserialize_with = "text")]
    pub kernel_source: String,
    /// SHA-256 of each kernel file's PTX.
    #[serde(default, deserialize_with = "lenient")]
    pub kernel_hashes: BTreeMap<String, String>,
    /// How far it came.
    #[serde(default, deserialize_with = "lenient")]
    pub progress: Progress,
}

/// A field that no judgement depends on: absent, or of another type than ours, it is as if nobody knew it.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(field: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(field)?;
    Ok(T::deserialize(value).unwrap_or_default())
}

/// The same for a text: whatever else it is, is shown as it is written.
fn text<'de, D: Deserializer<'de>>(field: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(field)? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    })
}

/// The one shard of a plan that is not divided.
fn whole() -> [u64; 2] {
    [1, 1]
}

fn shard<'de, D: Deserializer<'de>>(field: D) -> Result<[u64; 2], D::Error> {
    let value = serde_json::Value::deserialize(field)?;
    Ok(<[u64; 2]>::deserialize(value).unwrap_or_else(|_| whole()))
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
    let value: serde_json::Value =
        serde_json::from_str(text.trim_start_matches(BYTE_ORDER_MARK)).map_err(|e| foreign(e.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, ManifestError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MANIFEST_FILE), text).unwrap();
        read_manifest(dir.path())
    }

    const ESSENTIAL: &str = r#""schema_version": 1, "program": "gemmscope", "distribution": "uniform""#;

    #[test]
    fn what_no_judgement_depends_on_may_be_absent_or_of_another_type() {
        let few = read(&format!(
            "\u{feff}{{{ESSENTIAL}, \"device\": {{\"kind\": \"cuda\", \"name\": \"X\", \"units\": 4}}}}"
        ));
        let few = few.unwrap();
        assert_eq!((few.shard, few.device.units, few.device.peak_flop_per_cycle), ([1, 1], 4, 0.0));
        let odd = read(&format!(
            r#"{{{ESSENTIAL}, "kernel_source": {{"nvcc": "13.0"}}, "command": "gemmscope sweep", "seed": "7", "started": 5, "shard": "1/2",
                "host": [], "progress": 1, "kernel_hashes": null,
                "device": {{"kind": "cpu", "name": "X", "units": 4, "l2_bytes": "50 MB", "max_clock_mhz": "fast", "driver": 580.65}}}}"#
        ));
        let odd = odd.unwrap();
        assert_eq!((odd.kernel_source.as_str(), odd.started.as_str()), (r#"{"nvcc":"13.0"}"#, "5"));
        assert_eq!((odd.device.driver.as_str(), odd.device.max_clock_mhz, odd.shard), ("580.65", None, [1, 1]));
    }

    #[test]
    fn what_judgements_depend_on_has_to_be_there() {
        for (device, lacks) in [
            (r#"{"name": "X", "units": 4}"#, "kind"),
            (r#"{"kind": "cuda", "units": 4}"#, "name"),
            (r#"{"kind": "cuda", "name": "X"}"#, "units"),
        ] {
            let error = read(&format!("{{{ESSENTIAL}, \"device\": {device}}}")).unwrap_err().to_string();
            assert!(error.contains(lacks), "{error}");
        }
        let error = read(
            r#"{"schema_version": 1, "program": "gemmscope", "device": {"kind": "cpu", "name": "X", "units": 4}}"#,
        );
        assert!(error.unwrap_err().to_string().contains("distribution"));
    }
}
