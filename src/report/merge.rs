//! Which runs belong together, and which record of a cell counts.

use super::{ReportError, Run};
use crate::record::{CellRecord, DeviceKind, Manifest, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The shards of one plan on one kind of device, each cell once.
pub(super) struct Merged<'a> {
    /// One manifest a folder, in the order in which the folders were named.
    pub manifests: Vec<&'a Manifest>,
    /// The cells, by number.
    pub cells: Vec<&'a CellRecord>,
    /// Shards of the plan that no folder holds; more than one entry only where a plan was split in several ways.
    pub missing: Vec<Missing>,
}

/// Shards that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    /// Which, such as `shards 2, 4 of 4`.
    pub shards: String,
    /// How many.
    pub count: u64,
}

impl Missing {
    /// `is` or `are`.
    pub fn verb(&self) -> &'static str {
        if self.count == 1 { "is" } else { "are" }
    }
}

impl Merged<'_> {
    /// The device's name, with `CPU:` in front where it is no GPU.
    pub fn device(&self) -> String {
        let device = &self.manifests[0].device;
        let name = super::clean(&device.name);
        match device.kind {
            DeviceKind::Cpu if !name.starts_with("CPU") => format!("CPU: {name}"),
            _ => name,
        }
    }

    /// `cpu` or `cuda`.
    pub fn device_kind(&self) -> &'static str {
        match self.manifests[0].device.kind {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Cuda => "cuda",
            DeviceKind::Emulated => "emulated",
        }
    }
}

/// Whether two folders are shards of one plan, run by one program on one kind of device.
pub(super) fn same_plan(a: &Manifest, b: &Manifest) -> bool {
    (a.device.kind, &a.device.name) == (b.device.kind, &b.device.name)
        && (a.seed, &a.plan) == (b.seed, &b.plan)
        && (&a.version, &a.git_revision) == (&b.version, &b.git_revision)
}

/// Merges shards. Runs that differ in plan, seed, device or program stay apart, in the order of their first folder.
///
/// # Errors
/// The same cell was measured in two folders.
pub(super) fn merge(runs: &[Run]) -> Result<Vec<Merged<'_>>, ReportError> {
    let mut groups: Vec<Vec<&Run>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|g| same_plan(&g[0].manifest, &run.manifest)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    groups
        .into_iter()
        .map(|group| {
            let mut cells: BTreeMap<u64, (&CellRecord, usize)> = BTreeMap::new();
            for (folder, run) in group.iter().enumerate() {
                for record in &run.cells {
                    if let Some((older, older_folder)) = cells.get(&record.cell) {
                        let (was_ok, is_ok) = (older.status == Status::Ok, record.status == Status::Ok);
                        // Within a folder a later line is a resumed run's second try; across folders it is a mistake.
                        if was_ok && is_ok && *older_folder != folder {
                            return Err(duplicate(record.cell, &group[*older_folder].dir, &run.dir));
                        }
                        if was_ok && !is_ok {
                            continue;
                        }
                    }
                    cells.insert(record.cell, (record, folder));
                }
            }
            let manifests: Vec<&Manifest> = group.iter().map(|run| &run.manifest).collect();
            Ok(Merged {
                missing: missing(&manifests),
                manifests,
                cells: cells.into_values().map(|(record, _)| record).collect(),
            })
        })
        .collect()
}

/// Shards of one plan that none of its manifests holds. Where any way of splitting it is complete, nothing is missing.
pub(super) fn missing(manifests: &[&Manifest]) -> Vec<Missing> {
    /// More than these are counted and not listed.
    const MOST_LISTED: usize = 12;
    let mut ways: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for [shard, of] in manifests.iter().map(|m| m.shard) {
        ways.entry(of.max(1)).or_default().insert(shard);
    }
    let missing: Vec<Missing> = ways
        .into_iter()
        .map(|(of, present)| {
            let count = of - present.iter().filter(|shard| (1..=of).contains(shard)).count() as u64;
            let listed: Vec<String> =
                (1..=of).filter(|s| !present.contains(s)).take(MOST_LISTED).map(|s| s.to_string()).collect();
            let more = match count - listed.len() as u64 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let noun = if count == 1 { "shard" } else { "shards" };
            Missing { shards: format!("{noun} {}{more} of {of}", listed.join(", ")), count }
        })
        .collect();
    if missing.iter().any(|m| m.count == 0) { Vec::new() } else { missing }
}

fn duplicate(cell: u64, first: &Path, second: &Path) -> ReportError {
    ReportError::Duplicate { cell, first: first.to_owned(), second: second.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn two_shards() -> [Run; 2] {
        let all = fixture::shapes(&[64, 128], &[64, 128], 1024);
        let mut shards = [all.clone(), all];
        for (i, shard) in shards.iter_mut().enumerate() {
            shard.dir = format!("shard{i}").into();
            shard.manifest.shard = [i as u64 + 1, 2];
            shard.cells.retain(|c| c.cell % 2 == i as u64);
        }
        shards
    }

    #[test]
    fn shards_of_one_plan_become_one_run() {
        let shards = two_shards();
        let merged = merge(&shards).unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].cells.iter().map(|c| c.cell).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_measured_cell_wins_over_a_skipped_one_in_either_order() {
        let mut shards = two_shards();
        let mut skipped = shards[0].cells[1].clone();
        skipped.status = Status::Skipped;
        skipped.tflops = None;
        skipped.reason = Some("not reached: out of budget".to_owned());
        shards[1].cells.push(skipped);
        for _ in 0..2 {
            let merged = merge(&shards).unwrap();
            let cell = merged[0].cells.iter().find(|c| c.cell == 2).unwrap();
            assert_eq!(cell.status, Status::Ok);
            shards.reverse();
        }
    }

    #[test]
    fn a_cell_measured_in_two_folders_is_an_error_that_names_both() {
        let mut shards = two_shards();
        let again = shards[0].cells[1].clone();
        shards[1].cells.push(again);
        let text = merge(&shards).err().unwrap().to_string();
        assert!(text.contains("cell 2") && text.contains("shard0") && text.contains("shard1"), "{text}");
    }

    #[test]
    fn missing_shards_are_named_unless_one_way_of_splitting_is_complete() {
        let manifest = fixture::shapes(&[64], &[64], 64).manifest;
        let told = |shards: &[[u64; 2]]| -> Vec<String> {
            let manifests: Vec<Manifest> = shards.iter().map(|&shard| Manifest { shard, ..manifest.clone() }).collect();
            missing(&manifests.iter().collect::<Vec<_>>())
                .into_iter()
                .map(|m| format!("{} {} missing", m.shards, m.verb()))
                .collect()
        };
        assert!(told(&[[1, 1]]).is_empty());
        assert!(told(&[[2, 2], [1, 2]]).is_empty());
        assert_eq!(told(&[[1, 4], [3, 4]]), ["shards 2, 4 of 4 are missing"]);
        assert_eq!(told(&[[1, 2]]), ["shard 2 of 2 is missing"]);
        assert_eq!(told(&[[1, 2], [1, 3], [2, 3]]), ["shard 2 of 2 is missing", "shard 3 of 3 is missing"]);
        assert!(told(&[[1, 2], [1, 1]]).is_empty());
        // Damaged manifests neither hang nor panic.
        let many = told(&[[5, u64::MAX], [0, u64::MAX]]);
        assert!(many[0].starts_with("shards 1, 2, 3, 4, 6, ") && many[0].contains(" more of "), "{many:?}");
        assert_eq!(told(&[[7, 0]]), ["shard 1 of 1 is missing"]);
    }

    #[test]
    fn a_resumed_run_replaces_its_own_lines() {
        let mut run = fixture::shapes(&[64], &[64, 128], 1024);
        let mut again = run.cells[0].clone();
        again.tflops = Some(7.0);
        run.cells.push(again);
        let runs = [run];
        let merged = merge(&runs).unwrap();
        assert_eq!(merged[0].cells.len(), 2);
        assert_eq!(merged[0].cells[0].tflops, Some(7.0));
    }

    #[test]
    fn devices_plans_and_versions_stay_apart() {
        let run = fixture::shapes(&[64], &[64, 128], 1024);
        let mut other_device = run.clone();
        other_device.manifest.device.name = "Another GPU".to_owned();
        let mut other_plan = run.clone();
        other_plan.manifest.plan = serde_json::json!({"m": "1..9"});
        let mut other_version = run.clone();
        other_version.manifest.version = "9.9.9".to_owned();
        assert_eq!(merge(&[run, other_device, other_plan, other_version]).unwrap().len(), 4);
    }
}
