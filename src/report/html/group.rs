//! Which folders are shown as one: the shards of one plan on one kind of device. All others stand side by side.

use super::cell::{Cell, Status, Strings};
use super::load::Folder;
use crate::record::Manifest;
use crate::report::merge::{missing, same_plan};
use std::collections::{BTreeMap, HashMap};

/// Folders that are one run.
#[derive(Debug)]
pub(super) struct Group {
    /// In the order in which they were named; at least one. Their cells are in [`Group::cells`].
    pub folders: Vec<Folder>,
    /// Each cell of the plan once, ordered by part, kernel, variant, regime and shape.
    pub cells: Vec<Cell>,
}

/// Why cells have no number, with the same digits or not, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub status: Status,
    /// The reason as its first cell gives it.
    pub text: String,
    pub count: u64,
    /// That cell's shape.
    pub shape: [u64; 9],
}

impl Group {
    /// The manifest of the first folder, which the others equal in plan, seed, device and program.
    pub fn manifest(&self) -> &Manifest {
        &self.folders[0].manifest
    }

    /// Cells by status: ok, skipped, failed, unknown.
    pub fn counts(&self) -> [u64; 4] {
        let mut counts = [0; 4];
        self.cells.iter().for_each(|c| counts[c.status as usize] += 1);
        counts
    }

    /// Shards that no folder holds, a sentence each.
    pub fn missing(&self) -> Vec<String> {
        let manifests: Vec<&Manifest> = self.folders.iter().map(|f| &f.manifest).collect();
        missing(&manifests).into_iter().map(|m| format!("{} {} missing", m.shards, m.verb())).collect()
    }

    /// Why cells have no number, the worst and then the most frequent first.
    pub fn reasons(&self, strings: &Strings) -> Vec<Reason> {
        let mut kinds: BTreeMap<(Status, String), Reason> = BTreeMap::new();
        // A reason is one string in many cells: its kind is worked out once.
        let mut kind_of: HashMap<u32, String> = HashMap::new();
        for cell in self.cells.iter().filter(|c| c.status != Status::Ok) {
            let text = strings.get(cell.reason);
            let kind = kind_of
                .entry(cell.reason)
                .or_insert_with(|| text.chars().filter(|c| !c.is_ascii_digit()).collect())
                .clone();
            let first = || Reason { status: cell.status, text: text.to_owned(), count: 0, shape: cell.shape };
            kinds.entry((cell.status, kind)).or_insert_with(first).count += 1;
        }
        let mut reasons: Vec<Reason> = kinds.into_values().collect();
        reasons.sort_by_key(|r| (std::cmp::Reverse((r.status != Status::Skipped, r.count)), r.shape));
        reasons
    }
}

/// Puts folders together. Two that both measured a cell are two runs, and not shards of one.
pub(super) fn group(folders: Vec<Folder>) -> Vec<Group> {
    struct Open {
        group: Group,
        /// Where each numbered cell is, and in which folder it was found.
        places: HashMap<u64, (usize, usize)>,
    }
    let mut open: Vec<Open> = Vec::new();
    for mut folder in folders {
        let cells = std::mem::take(&mut folder.cells);
        let ok = |cell: &Cell| cell.status == Status::Ok;
        let fits = |o: &Open| {
            let clash = |c: &Cell| {
                let place = c.number.and_then(|n| o.places.get(&n));
                ok(c) && place.is_some_and(|&(i, _)| ok(&o.group.cells[i]))
            };
            same_plan(o.group.manifest(), &folder.manifest) && !cells.iter().any(clash)
        };
        let place = open.iter().position(fits).unwrap_or_else(|| {
            open.push(Open { group: Group { folders: Vec::new(), cells: Vec::new() }, places: HashMap::new() });
            open.len() - 1
        });
        let Open { group, places } = &mut open[place];
        let number = group.folders.len();
        group.folders.push(folder);
        let mut numbers: Vec<u64> = cells.iter().filter_map(|c| c.number).collect();
        numbers.sort_unstable();
        if group.cells.is_empty() && numbers.windows(2).all(|w| w[0] != w[1]) {
            // A journal without a second try is taken over as it is: a copy would double the memory.
            places.extend(cells.iter().enumerate().filter_map(|(i, c)| Some((c.number?, (i, number)))));
            group.cells = cells;
            continue;
        }
        for cell in cells {
            let Some(key) = cell.number else {
                group.cells.push(cell);
                continue;
            };
            match places.get(&key) {
                // Within a folder a later line is a second try of a resumed run.
                Some(&(i, from)) if !ok(&group.cells[i]) || (ok(&cell) && from == number) => group.cells[i] = cell,
                Some(_) => {}
                None => {
                    places.insert(key, (group.cells.len(), number));
                    group.cells.push(cell);
                }
            }
        }
    }
    let order = |c: &Cell| (c.part, c.kernel, c.variant, c.regime, c.shape, c.number);
    open.into_iter()
        .map(|mut o| {
            o.group.cells.sort_by_key(order);
            o.group
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Run, fixture};

    fn folder(run: &Run, strings: &mut Strings) -> Folder {
        let dir = tempfile::tempdir().unwrap();
        crate::record::write_manifest(dir.path(), &run.manifest).unwrap();
        let lines: String = run.cells.iter().map(|c| serde_json::to_string(c).unwrap() + "\n").collect();
        std::fs::write(dir.path().join(crate::record::SAMPLES_FILE), lines).unwrap();
        super::super::load::load(dir.path(), strings).unwrap()
    }

    fn grouped(runs: &[Run]) -> Vec<Group> {
        let mut strings = Strings::default();
        group(runs.iter().map(|r| folder(r, &mut strings)).collect())
    }

    fn shards() -> [Run; 2] {
        let all = fixture::shapes(&[64, 128], &[64, 128], 1024);
        let mut shards = [all.clone(), all];
        for (i, shard) in shards.iter_mut().enumerate() {
            shard.manifest.shard = [i as u64 + 1, 2];
            shard.cells.retain(|c| c.cell % 2 == i as u64);
        }
        shards
    }

    #[test]
    fn shards_are_one_and_repetitions_and_other_devices_are_not() {
        let [a, b] = shards();
        let whole = grouped(&[a.clone(), b.clone()]);
        assert_eq!((whole.len(), whole[0].cells.len(), whole[0].folders.len()), (1, 4, 2));
        assert!(whole[0].missing().is_empty());
        assert_eq!(grouped(std::slice::from_ref(&a))[0].missing(), ["shard 2 of 2 is missing"]);
        assert_eq!(grouped(&[a.clone(), a.clone()]).len(), 2);
        let mut other = b;
        other.manifest.device.name = "Another".to_owned();
        assert_eq!(grouped(&[a, other]).len(), 2);
    }

    #[test]
    fn a_measured_cell_wins_and_a_second_try_replaces_the_first() {
        let [a, mut b] = shards();
        let mut skipped = a.cells[0].clone();
        fixture::skip(&mut skipped);
        b.cells.push(skipped);
        for runs in [[a.clone(), b.clone()], [b.clone(), a.clone()]] {
            let groups = grouped(&runs);
            assert_eq!((groups.len(), groups[0].counts()), (1, [4, 0, 0, 0]));
        }
        let mut again = a.clone();
        again.cells.push(again.cells[0].clone());
        again.cells.last_mut().unwrap().tflops = Some(7.0);
        let groups = grouped(&[again]);
        assert!(groups[0].cells.len() == 2 && groups[0].cells.iter().any(|c| c.tflops == Some(7.0)));
    }

    #[test]
    fn reasons_that_differ_in_numbers_are_one_kind() {
        let mut run = fixture::shapes(&[64, 128], &[64, 128, 192], 1024);
        for cell in &mut run.cells[..3] {
            fixture::skip(cell);
            cell.reason = Some(format!("needs {} bytes", cell.problem.n));
        }
        fixture::fail(&mut run.cells[4]);
        let mut strings = Strings::default();
        let groups = group(vec![folder(&run, &mut strings)]);
        let reasons = groups[0].reasons(&strings);
        assert_eq!(groups[0].counts(), [2, 3, 1, 0]);
        assert_eq!(
            reasons.iter().map(|r| (r.status, r.count)).collect::<Vec<_>>(),
            [(Status::Failed, 1), (Status::Skipped, 3)]
        );
    }
}
