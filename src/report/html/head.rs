//! What the page says of a run besides its cells: warnings, facts and reasons.

use super::super::clean;
use super::cell::{Status, Strings, shorten};
use super::columns::digits;
use super::group::{Group, Reason};
use super::model::Model;
use super::verdicts;
use crate::record::{DeviceKind, Manifest, Outcome};
use serde_json::{Value, json};

/// Folders listed, kinds of reasons listed.
const MOST_FOLDERS: usize = 64;
const MOST_REASONS: usize = 200;

/// What a reader has to know before trusting the numbers, a sentence each.
pub(super) fn notes(group: &Group, shown: usize) -> Vec<String> {
    let manifest = group.manifest();
    let mut notes = Vec::new();
    if manifest.device.kind == DeviceKind::Emulated {
        notes.push(
            "This run was made on the emulated device. It counts what a kernel does and has no time: \
             nothing here is a throughput."
                .to_owned(),
        );
    }
    notes.extend(group.missing().into_iter().map(|m| format!("Of this plan, {m}.")));
    for folder in &group.folders {
        let name = if group.folders.len() > 1 { format!("{}: ", folder.name()) } else { String::new() };
        let progress = &folder.manifest.progress;
        let left = progress.planned.saturating_sub(progress.ok + progress.failed);
        match progress.outcome {
            Outcome::Complete => {}
            Outcome::Budget => notes.push(format!("{name}The time budget ran out before {left} cells were reached.")),
            Outcome::Running => notes.push(format!("{name}The run has not ended, or it was killed.")),
            Outcome::Interrupted => notes.push(format!("{name}The run was interrupted.")),
            Outcome::Error => notes.push(format!("{name}An error ended the run.")),
        }
        notes.extend(folder.notes.iter().map(|n| format!("{name}{n}")));
    }
    let throttled = group.cells.iter().filter(|c| c.throttled > 0).count();
    if throttled > 0 {
        let timed = group.cells.iter().filter(|c| c.samples > 0).count();
        notes.push(format!(
            "In {throttled} of {timed} cells with samples the device held its clock back in some of them."
        ));
    }
    if shown < group.cells.len() {
        notes.push(format!(
            "This page shows {shown} of {} cells, so that it stays under 8 MiB: whole lines of the maps were left out, spread \
             over all residues, and nothing was averaged. The counts and reasons are of all cells. All are in the journal and in \
             summary.csv.",
            group.cells.len()
        ));
    }
    notes
}

/// All of a run but its cells.
pub(super) fn head(group: &Group, notes: &[String], bins: usize, strings: &Strings, model: Option<&Model>) -> Value {
    let manifest = group.manifest();
    let device = &manifest.device;
    let status = |s: Status| ["ok", "skipped", "failed", "unknown"][s as usize];
    let reason = |r: &Reason| json!({ "status": status(r.status), "text": r.text, "count": r.count, "shape": r.shape });
    let reasons = group.reasons(strings);
    let mut found = Vec::new();
    let mut notes = notes.to_vec();
    for folder in &group.folders {
        let (value, note) = verdicts::read(&folder.dir);
        notes.extend(note.map(|n| format!("{}: {n}", folder.name())));
        if !value.is_null() {
            found.push(json!({ "folder": folder.name(), "verdicts": value }));
        }
    }
    json!({
        "device": clean(&device.name),
        "kind": match device.kind {
            DeviceKind::Cuda => "cuda",
            DeviceKind::Cpu => "cpu",
            DeviceKind::Emulated => "emulated",
        },
        "units": device.units,
        "peak_flop_per_cycle": digits(device.peak_flop_per_cycle, 6),
        "max_clock_mhz": device.max_clock_mhz,
        "bandwidth_bytes_per_s": model.and_then(Model::bandwidth),
        "model": model.map(|m| clean(&m.origin)),
        "facts": facts(manifest),
        "folders": group.folders.iter().take(MOST_FOLDERS).map(|f| json!({
            "name": f.name(),
            "facts": folder_facts(&f.manifest, f.samples),
            "timeline": f.timeline.clone().json(bins),
        })).collect::<Vec<_>>(),
        "folders_total": group.folders.len(),
        "counts": group.counts(),
        "samples": group.folders.iter().map(|f| f.samples).sum::<u64>(),
        "notes": notes,
        "reasons": reasons.iter().take(MOST_REASONS).map(reason).collect::<Vec<_>>(),
        "reasons_total": reasons.len(),
        "verdicts": found,
    })
}

fn bytes(bytes: u64) -> String {
    let (value, unit) = match bytes {
        0..1_048_576 => (bytes as f64 / 1024.0, "KiB"),
        1_048_576..1_073_741_824 => (bytes as f64 / 1_048_576.0, "MiB"),
        _ => (bytes as f64 / 1_073_741_824.0, "GiB"),
    };
    format!("{value:.1} {unit}")
}

type Facts = Vec<[String; 2]>;

fn put(facts: &mut Facts, name: &str, text: impl AsRef<str>) {
    // Line by line: a line's end steers a terminal, and nothing in a page.
    let lines: Vec<String> = text.as_ref().lines().map(clean).collect();
    facts.push([name.to_owned(), shorten(&lines.join("\n"), 20_000)]);
}

/// What was measured on what: the same for all folders of a group.
fn facts(manifest: &Manifest) -> Facts {
    let Manifest { device, .. } = manifest;
    let mut facts = Facts::new();
    let units = if device.kind == DeviceKind::Cpu { "threads" } else { "multiprocessors" };
    put(&mut facts, "Device", &device.name);
    if let Some(capability) = &device.compute_capability {
        put(&mut facts, "Compute capability", capability);
    }
    put(&mut facts, "Driver", &device.driver);
    put(&mut facts, "Units", format!("{} {units}", device.units));
    let known = |value: f64, text: String| if value > 0.0 { text } else { "unknown".to_owned() };
    let peak = device.peak_flop_per_cycle;
    put(&mut facts, "Peak", known(peak, format!("{peak:.0} FLOP a cycle")));
    put(&mut facts, "Last-level cache", known(device.l2_bytes as f64, bytes(device.l2_bytes)));
    put(&mut facts, "Memory", known(device.memory_bytes as f64, bytes(device.memory_bytes)));
    put(&mut facts, "Highest clock", device.max_clock_mhz.map_or("unknown".to_owned(), |c| format!("{c} MHz")));
    if let Some(cap) = device.power_cap_mw {
        put(&mut facts, "Power limit", format!("{} W", f64::from(cap) / 1000.0));
    }
    put(&mut facts, "Clock source", &device.clock_source);
    put(&mut facts, "Telemetry", &device.telemetry);
    put(
        &mut facts,
        "Program",
        format!("{} {}, revision {}", manifest.program, manifest.version, manifest.git_revision),
    );
    put(&mut facts, "Kernels", &manifest.kernel_source);
    put(&mut facts, "Seed", manifest.seed.to_string());
    put(&mut facts, "Data", format!("{}, generated by {}", manifest.distribution, manifest.generator));
    put(&mut facts, "Stopping", stopping(&manifest.stopping));
    put(&mut facts, "Plan", serde_json::to_string_pretty(&manifest.plan).unwrap_or_default());
    if !manifest.kernel_hashes.is_empty() {
        let hashes: Vec<String> = manifest.kernel_hashes.iter().map(|(k, v)| format!("{k} {v}")).collect();
        put(&mut facts, "Kernel hashes (SHA-256 of PTX)", hashes.join("\n"));
    }
    facts
}

/// When sampling stops, for people: times in milliseconds, names without underscores.
fn stopping(settings: &Value) -> String {
    let Some(settings) = settings.as_object() else { return settings.to_string() };
    let each = settings.iter().map(|(name, value)| match (name.strip_suffix("_ns"), value.as_f64()) {
        (Some(name), Some(ns)) => format!("{} {} ms", name.replace('_', " "), ns / 1e6),
        _ => format!("{} {value}", name.replace('_', " ")),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// What differs from folder to folder.
fn folder_facts(manifest: &Manifest, samples: u64) -> Facts {
    let Manifest { host, progress, device, .. } = manifest;
    let mut facts = Facts::new();
    put(&mut facts, "Command", manifest.command.join(" "));
    put(&mut facts, "Started", &manifest.started);
    put(&mut facts, "Shard", format!("{} of {}", manifest.shard[0], manifest.shard[1]));
    put(&mut facts, "Host", format!("{}, {} ({} cores, {})", host.os, host.cpu, host.cores, bytes(host.memory_bytes)));
    if let Some(uuid) = &device.uuid {
        put(&mut facts, "Device identifier", uuid);
    }
    if let Some(pci) = &device.pci_bus_id {
        put(&mut facts, "PCI address", pci);
    }
    let outcome = match progress.outcome {
        Outcome::Running => "not ended, or killed",
        Outcome::Complete => "complete",
        Outcome::Budget => "out of budget",
        Outcome::Interrupted => "interrupted",
        Outcome::Error => "ended by an error",
    };
    put(&mut facts, "Outcome", outcome);
    put(
        &mut facts,
        "Cells",
        format!(
            "{} planned: {} ok, {} skipped, {} failed; {samples} samples",
            progress.planned, progress.ok, progress.skipped, progress.failed
        ),
    );
    let share = 100.0 * progress.kernel_time_share;
    put(&mut facts, "Wall time", format!("{:.1} s, {share:.0} % of it inside kernels", progress.wall_ns as f64 * 1e-9));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_for_people() {
        let text = stopping(&json!({ "cell_ns": 110_000_000, "min_samples": 10, "relative_width": 0.005 }));
        assert_eq!(text, "cell 110 ms; min samples 10; relative width 0.005");
        assert_eq!(stopping(&json!("by hand")), "\"by hand\"");
    }
}
