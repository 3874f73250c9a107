//! Which cells of two runs belong together, and what else differs between the runs.

use super::group::Group;
use super::judge::{Changes, Observed, Overall, Verdict, judge};
use crate::measure::Regime;
use crate::problem::Operand;
use crate::record::{CellRecord, DeviceKind, Manifest, Status};
use crate::stats::Estimate;
use serde::Serialize;
use std::collections::BTreeMap;

/// A cell that was measured in both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observation {
    /// The cell as it was in the first run, without its samples.
    pub cell: CellRecord,
    /// Median time in the first run.
    pub first_ns: u64,
    /// Median time in the second.
    pub second_ns: u64,
}

/// A cell that only one run measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lost {
    /// What it is: sizes, kernel, regime.
    pub what: String,
    /// `A` or `B`: the run that has a number.
    pub measured_in: &'static str,
    /// Why the other has none.
    pub why: String,
}

/// Something in the manifests that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field.
    pub field: &'static str,
    /// The first run's.
    pub first: String,
    /// The second run's.
    pub second: String,
}

/// Two runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Cells that both measured.
    pub pairs: Vec<Observation>,
    /// The verdicts on them, in the same order.
    pub changes: Changes,
    /// Cells that one measured.
    pub lost: Vec<Lost>,
    /// What differs between the manifests.
    pub differences: Vec<Difference>,
}

/// Pairs the cells of two runs, with their samples, by problem, kernel, variant, regime and data, and judges their changes. Cells that show how a load
/// begins are left out.
///
/// A problem that a plan holds several times is paired in the plan's order.
pub fn compare(first: (&Manifest, &[CellRecord]), second: (&Manifest, &[CellRecord]), threshold: f64) -> Comparison {
    let (a, b) = (keyed(first.1), keyed(second.1));
    let usable =
        |cell: &CellRecord, run: &Manifest| cell.contradiction(&run.device).map_or_else(|| observe(cell), |_| None);
    let (in_a, in_b) = (|cell: &CellRecord| usable(cell, first.0), |cell: &CellRecord| usable(cell, second.0));
    let mut pairs = Vec::new();
    let mut observed = Vec::new();
    let mut lost = Vec::new();
    for (key, cell) in &a {
        match b.get(key) {
            Some(other) => match (in_a(cell), in_b(other)) {
                (Some(x), Some(y)) => {
                    observed.push(change(&x, &y));
                    pairs.push(Observation {
                        cell: CellRecord { samples: Vec::new(), ..(*cell).clone() },
                        first_ns: cell.median_ns.unwrap_or_default(),
                        second_ns: other.median_ns.unwrap_or_default(),
                    });
                }
                (Some(_), None) => lost.push(Lost { what: what(cell), measured_in: "A", why: why(other, second.0) }),
                (None, Some(_)) => lost.push(Lost { what: what(cell), measured_in: "B", why: why(cell, first.0) }),
                (None, None) => {}
            },
            None if in_a(cell).is_some() => {
                let why = elsewhere(cell, second);
                lost.push(Lost { what: what(cell), measured_in: "A", why });
            }
            None => {}
        }
    }
    for (key, cell) in &b {
        if !a.contains_key(key) && in_b(cell).is_some() {
            lost.push(Lost { what: what(cell), measured_in: "B", why: elsewhere(cell, first) });
        }
    }
    let shared = first.0.device.kind != DeviceKind::Cuda || second.0.device.kind != DeviceKind::Cuda;
    let cells: Vec<&CellRecord> = pairs.iter().map(|p| &p.cell).collect();
    let mut changes = judge(&observed, &groups(&cells, shared), threshold, shared);
    if first.0.distribution != second.0.distribution {
        changes.overall = Overall {
            verdict: Verdict::Unclear,
            why: format!(
                "the operands were {} in A and {} in B, which draw unlike power; measure both with the same --distribution",
                first.0.distribution, second.0.distribution
            ),
        };
    }
    Comparison { pairs, changes, lost, differences: differences(first.0, second.0) }
}

/// Cells that have something in common: what ran, where its operands were, how they are placed, and, on a device of its own, how large they are.
/// On a processor that others use too, what they do falls on large problems and on small ones unlike.
fn groups(cells: &[&CellRecord], shared: bool) -> Vec<Group> {
    let mut by_name: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
    for (i, cell) in cells.iter().enumerate() {
        let p = &cell.problem;
        let aligned = Operand::ALL.iter().map(|&o| p.align_bytes(o)).min().unwrap_or(0).min(128);
        let rows = format!("rows at multiples of {aligned} bytes");
        let kernel = format!("kernel {}", cell.kernel);
        let mut names = vec![
            kernel.clone(),
            format!("kernel {}/{}", cell.kernel, cell.variant),
            format!("regime {}", cell.setting()),
            format!("layout {}", p.layout.name()),
            format!("type {}", p.dtype.name()),
            format!("{kernel} and regime {}", cell.setting()),
            rows.clone(),
            if aligned < 16 { "rows at less than 16 bytes".to_owned() } else { "rows at 16 bytes or more".to_owned() },
            format!("{kernel} and {rows}"),
        ];
        if !shared {
            for (name, size) in [("m", p.m), ("n", p.n), ("k", p.k)] {
                let least = 1u64 << (size.max(1).ilog2() / 2 * 2);
                names.push(format!("{name} from {least} to {}", 4 * least - 1));
            }
        }
        for (order, name) in names.into_iter().enumerate() {
            by_name.entry((order, name)).or_default().push(i);
        }
    }
    by_name.into_iter().map(|((_, name), cells)| Group { name, cells }).collect()
}

/// What a cell is paired by; the last number counts cells that are otherwise alike.
type Key = (String, u64);

fn keyed(cells: &[CellRecord]) -> BTreeMap<Key, &CellRecord> {
    // How a load begins is no time of a launch, and there is nothing to hold it against.
    // A record that was made again, as by a resumption, is replaced by its successor.
    let mut latest: BTreeMap<(u64, String), &CellRecord> = BTreeMap::new();
    for cell in cells.iter().filter(|c| c.regime != Regime::Onset.name()) {
        let problem = serde_json::to_string(&cell.problem).expect("a problem has no map");
        let key = format!("{problem} {} {} {} {:?}", cell.kernel, cell.variant, cell.setting(), cell.role);
        let was_ok = latest.get(&(cell.cell, key.clone())).is_some_and(|c| c.status == Status::Ok);
        if cell.status == Status::Ok || !was_ok {
            latest.insert((cell.cell, key), cell);
        }
    }
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    latest
        .into_iter()
        .map(|((_, key), cell)| {
            let nth = seen.entry(key.clone()).and_modify(|n| *n += 1).or_insert(0);
            ((key, *nth), cell)
        })
        .collect()
}

/// Centres of the logarithms of a cell's times and cycles.
struct Centre {
    time: Estimate,
    cycles: Option<Estimate>,
}

fn observe(cell: &CellRecord) -> Option<Centre> {
    if cell.status != Status::Ok {
        return None;
    }
    let times: Vec<f64> = cell.samples.iter().map(|s| s.per_launch_ns().ln()).collect();
    let cycles: Option<Vec<f64>> =
        cell.samples.iter().map(|s| s.clock_mhz.map(|mhz| (s.per_launch_ns() * mhz).ln())).collect();
    // A record without enough samples still has its medians.
    let exact = |value: f64| Estimate { value: value.ln(), se: 0.0, df: 1.0 };
    let median = cell.median_ns.filter(|&ns| ns > 0).map(|ns| exact(ns as f64));
    let median_cycles = cell.flop_per_cycle.filter(|f| *f > 0.0).map(|f| exact(cell.problem.flop() as f64 / f));
    Some(Centre {
        time: Estimate::of_series(&times).or(median)?,
        cycles: cycles.and_then(|c| Estimate::of_series(&c)).or(median_cycles.filter(|c| c.value.is_finite())),
    })
}

fn change(first: &Centre, second: &Centre) -> Observed {
    let difference = crate::stats::difference;
    let cycles = first.cycles.zip(second.cycles).map(|(a, b)| difference(&b, &a));
    Observed { time: difference(&second.time, &first.time), cycles }
}

/// A cell in a few words.
pub(super) fn what(cell: &CellRecord) -> String {
    let p = &cell.problem;
    let mut text = format!("{} x {} x {}", p.m, p.n, p.k);
    for (name, ld, compact) in [
        ("lda", p.lda, p.placement(crate::problem::Operand::A).cols),
        ("ldb", p.ldb, p.placement(crate::problem::Operand::B).cols),
        ("ldc", p.ldc, p.placement(crate::problem::Operand::C).cols),
    ] {
        if ld != compact.max(1) {
            text += &format!(" {name} {ld}");
        }
    }
    for (name, offset) in [("A", p.offset_a), ("B", p.offset_b), ("C", p.offset_c)] {
        if offset > 0 {
            text += &format!(" {name}+{offset}");
        }
    }
    format!("{text} {} {}, {}/{}, {}", p.dtype.name(), p.layout.name(), cell.kernel, cell.variant, cell.setting())
}

impl Observation {
    /// The cell in a few words.
    pub fn what(&self) -> String {
        what(&self.cell)
    }
}

fn why(cell: &CellRecord, run: &Manifest) -> String {
    if let (Status::Ok, Some(why)) = (cell.status, cell.contradiction(&run.device)) {
        return format!("not to be used: {why}");
    }
    let status = if cell.status == Status::Failed { "failed" } else { "not measured" };
    match &cell.reason {
        Some(reason) => format!("{status}: {reason}"),
        None => status.to_owned(),
    }
}

/// Why a run lacks a cell: another kernel was chosen, it failed, or it was never planned.
fn elsewhere(cell: &CellRecord, (run, other): (&Manifest, &[CellRecord])) -> String {
    match other.iter().find(|o| o.problem == cell.problem && o.setting() == cell.setting()) {
        Some(o) if o.status == Status::Ok => format!("ran with {}/{} there", o.kernel, o.variant),
        Some(o) => why(o, run),
        None => "not in the other run's plan".to_owned(),
    }
}

fn differences(a: &Manifest, b: &Manifest) -> Vec<Difference> {
    let hashes = |m: &Manifest| serde_json::to_string(&m.kernel_hashes).expect("strings");
    let fields: [(&'static str, String, String); 12] = [
        ("device", a.device.name.clone(), b.device.name.clone()),
        ("device uuid", a.device.uuid.clone().unwrap_or_default(), b.device.uuid.clone().unwrap_or_default()),
        ("driver", a.device.driver.clone(), b.device.driver.clone()),
        ("power cap (mW)", format!("{:?}", a.device.power_cap_mw), format!("{:?}", b.device.power_cap_mw)),
        ("units", a.device.units.to_string(), b.device.units.to_string()),
        ("processor", a.host.cpu.clone(), b.host.cpu.clone()),
        ("version", a.version.clone(), b.version.clone()),
        ("git revision", a.git_revision.clone(), b.git_revision.clone()),
        ("kernels", a.kernel_source.clone(), b.kernel_source.clone()),
        ("kernel hashes", hashes(a), hashes(b)),
        ("seed", a.seed.to_string(), b.seed.to_string()),
        ("data", a.distribution.clone(), b.distribution.clone()),
    ];
    fields
        .into_iter()
        .filter(|(_, x, y)| x != y)
        .map(|(field, first, second)| match field {
            "kernel hashes" => Difference { field, first: "those of A".to_owned(), second: "others".to_owned() },
            _ => Difference { field, first, second },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Cycles, Verdict};
    use crate::problem::Problem;
    use crate::report::fixture;
    use crate::stats::noise::normal;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A run of 60 cells whose times scatter by half a per cent; each tenth takes `factor` times as long, in cycles too.
    fn run(seed: u64, factor: f64) -> (Manifest, Vec<CellRecord>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let cells = (0..60u64)
            .map(|i| {
                let problem = Problem::new(64 + 8 * i, 512, 512);
                let slow = if i % 10 == 3 { factor } else { 1.0 };
                fixture::cell(problem, 300.0 / slow * (0.005 * normal(&mut rng)).exp())
            })
            .collect();
        let run = fixture::run(cells);
        (run.manifest, run.cells)
    }

    fn against(a: &(Manifest, Vec<CellRecord>), b: &(Manifest, Vec<CellRecord>)) -> Comparison {
        compare((&a.0, &a.1), (&b.0, &b.1), 0.03)
    }

    #[test]
    fn a_tenth_that_is_slower_is_found_and_the_reverse_is_faster() {
        let (before, after) = (run(1, 1.0), run(2, 1.06));
        let slower = against(&before, &after);
        assert_eq!(slower.changes.overall.verdict, Verdict::Slower, "{}", slower.changes.overall.why);
        for (pair, change) in slower.pairs.iter().zip(&slower.changes.cells) {
            let moved = (pair.cell.problem.m - 64) / 8 % 10 == 3;
            assert_eq!(change.verdict == Verdict::Slower, moved, "{}", pair.what());
            assert!(!moved || change.cycles == Cycles::Confirmed);
        }
        assert_eq!(against(&after, &before).changes.overall.verdict, Verdict::Faster);
        assert_eq!(against(&before, &run(3, 1.0)).changes.overall.verdict, Verdict::Same);
        assert_eq!(against(&before, &before).changes.overall.verdict, Verdict::Same);
    }

    /// A run of 60 cells, each of whose times takes as many times as long as `factor` says; without clocks where told so.
    fn scaled(seed: u64, clocks: bool, factor: impl Fn(u64) -> f64) -> (Manifest, Vec<CellRecord>) {
        let (manifest, mut cells) = run(seed, 1.0);
        for (i, cell) in (0u64..).zip(&mut cells) {
            let by = factor(i);
            cell.samples.iter_mut().for_each(|s| s.elapsed_ns = (s.elapsed_ns as f64 * by) as u64);
            cell.median_ns = cell.median_ns.map(|ns| (ns as f64 * by) as u64);
            cell.tflops = cell.tflops.map(|t| t / by);
            cell.flop_per_cycle = cell.flop_per_cycle.map(|f| f / by).filter(|_| clocks);
            if !clocks {
                cell.samples.iter_mut().for_each(|s| s.clock_mhz = None);
            }
        }
        (manifest, cells)
    }

    #[test]
    fn a_change_of_just_the_threshold_is_found_both_ways_round() {
        let found = (0..20).filter(|&seed| {
            let (before, after) = (run(seed, 1.0), scaled(seed + 100, true, |_| 1.03));
            let there = against(&before, &after).changes.overall.verdict;
            let back = against(&after, &before).changes.overall.verdict;
            assert_eq!(there == Verdict::Slower, back == Verdict::Faster, "{seed}: {there:?}, {back:?}");
            there == Verdict::Slower
        });
        assert!(found.count() >= 19);
    }

    #[test]
    fn cells_that_did_not_change_are_no_regression_where_the_others_became_faster() {
        for seed in 0..10 {
            let (before, after) = (scaled(seed, true, |i| if i % 5 < 3 { 1.1 } else { 1.0 }), run(seed + 100, 1.0));
            assert_eq!(against(&before, &after).changes.overall.verdict, Verdict::Faster, "{seed}");
            assert_eq!(against(&after, &before).changes.overall.verdict, Verdict::Slower, "{seed}");
        }
    }

    #[test]
    fn on_a_device_of_its_own_a_change_counts_without_clocks_too() {
        let before = scaled(1, false, |_| 1.0);
        assert_eq!(against(&before, &scaled(2, false, |_| 1.0)).changes.overall.verdict, Verdict::Same);
        let all = against(&before, &scaled(3, false, |_| 1.05)).changes.overall;
        assert_eq!(all.verdict, Verdict::Slower, "{}", all.why);
        assert!(all.why.contains("no clocks were recorded"), "{}", all.why);
        // One cell may have been disturbed: it is named, and to be measured again.
        let one = against(&before, &scaled(4, false, |i| if i == 7 { 1.2 } else { 1.0 })).changes;
        assert_eq!(one.overall.verdict, Verdict::Unclear, "{}", one.overall.why);
        assert_eq!(one.cells.iter().filter(|c| c.verdict == Verdict::Slower).count(), 1);
        // A few per cent are what two runs of one program differ by.
        let shift = against(&before, &scaled(5, false, |_| 1.035)).changes.overall;
        assert_eq!(shift.verdict, Verdict::Unclear, "{}", shift.why);
    }

    #[test]
    fn a_third_that_is_slower_by_just_the_threshold_is_named_by_what_it_has_in_common() {
        let named = |change: &dyn Fn(u64, &mut CellRecord), slow: &dyn Fn(u64) -> bool, seed: u64| {
            let mut before = scaled(seed, true, |_| 1.0);
            let mut after = scaled(seed + 100, true, |i| if slow(i) { 1.03 } else { 1.0 });
            for run in [&mut before, &mut after] {
                (0u64..).zip(&mut run.1).for_each(|(i, cell)| change(i, cell));
            }
            let (there, back) = (against(&before, &after), against(&after, &before));
            assert_eq!(there.changes.overall.verdict, Verdict::Slower, "{seed}: {}", there.changes.overall.why);
            assert_eq!(back.changes.overall.verdict, Verdict::Faster, "{seed}: {}", back.changes.overall.why);
            let group = there.changes.groups[0].clone();
            assert!((group.own - 0.03).abs() < 0.006 && group.cycles == Cycles::Confirmed, "{group:?}");
            (group.name, group.cells)
        };
        for seed in 0..5 {
            let kernel = named(
                &|i, cell| cell.kernel = if i % 3 == 1 { "03_wmma" } else { "04_mma" }.to_owned(),
                &|i| i % 3 == 1,
                seed,
            );
            assert_eq!(kernel, ("kernel 03_wmma".to_owned(), 20));
            let odd = named(&|i, cell| cell.problem.lda += u64::from(i % 4 == 2), &|i| i % 4 == 2, seed);
            assert_eq!(odd, ("rows at multiples of 2 bytes".to_owned(), 15));
        }
    }

    #[test]
    fn cells_that_moved_both_ways_in_like_numbers_were_disturbed() {
        let moved = |slower: &'static [u64], faster: &'static [u64]| {
            let factor = |i: u64| match (slower.contains(&i), faster.contains(&i)) {
                (true, _) => 1.2,
                (_, true) => 1.0 / 1.2,
                _ => 1.0,
            };
            against(&run(1, 1.0), &scaled(2, true, factor)).changes
        };
        let even = moved(&[3, 20, 41], &[9, 33]);
        assert_eq!(even.overall.verdict, Verdict::Same, "{}", even.overall.why);
        assert!(even.overall.why.contains("3 of 60 cells look slower and 2 faster"), "{}", even.overall.why);
        assert_eq!(even.cells.iter().filter(|c| c.verdict == Verdict::Slower).count(), 3);
        // Nearly all on one side, or too many of them, are no disturbances.
        assert_eq!(moved(&[3, 20, 41, 52], &[]).overall.verdict, Verdict::Unclear);
        let many = moved(&[3, 20, 41, 52, 55], &[9, 33, 38, 47, 58]);
        assert_eq!(many.overall.verdict, Verdict::Unclear, "{}", many.overall.why);
    }

    #[test]
    fn records_that_contradict_themselves_and_operands_of_another_kind_are_not_compared() {
        let (before, mut picos) = (run(1, 1.0), run(2, 1.0));
        // Picoseconds where nanoseconds should be, and a throughput that gives it away.
        for cell in &mut picos.1 {
            cell.samples.iter_mut().for_each(|s| s.elapsed_ns *= 1000);
            cell.median_ns = cell.median_ns.map(|ns| ns * 1000);
        }
        let found = against(&before, &picos);
        assert!(found.pairs.is_empty());
        assert!(found.lost.iter().all(|l| l.why.starts_with("not to be used: ")), "{:?}", found.lost[0]);
        let mut zeros = run(3, 1.0 / 1.1);
        zeros.0.distribution = "zeros".to_owned();
        let overall = against(&before, &zeros).changes.overall;
        assert_eq!(overall.verdict, Verdict::Unclear);
        assert!(overall.why.contains("--distribution"), "{}", overall.why);
    }

    #[test]
    fn zeros_are_held_against_zeros_and_the_beginning_of_a_load_against_nothing() {
        let marked = |seed: u64, speed: f64| {
            let (manifest, mut cells) = run(seed, 1.0);
            let mut zeros = cells.clone();
            for cell in &mut zeros {
                cell.cell += 1000;
                cell.distribution = Some("zeros".to_owned());
                cell.samples.iter_mut().for_each(|s| s.elapsed_ns = (s.elapsed_ns as f64 / speed) as u64);
                cell.median_ns = cell.median_ns.map(|ns| (ns as f64 / speed) as u64);
                cell.tflops = cell.tflops.map(|t| t * speed);
            }
            let mut onset = cells[0].clone();
            (onset.cell, onset.regime) = (2000, "onset".to_owned());
            cells.extend(zeros);
            cells.push(onset);
            (manifest, cells)
        };
        let found = against(&marked(1, 1.2), &marked(2, 1.2));
        assert_eq!((found.pairs.len(), found.lost.len()), (120, 0));
        assert!(found.pairs.iter().all(|p| (p.first_ns as f64 / p.second_ns as f64 - 1.0).abs() < 0.1));
        assert_eq!(found.pairs.iter().filter(|p| p.what().contains("zeros")).count(), 60);
        let without = marked(2, 1.2).1.into_iter().filter(|c| c.distribution.is_none()).collect();
        let found = against(&marked(1, 1.2), &(marked(2, 1.2).0, without));
        assert_eq!((found.pairs.len(), found.lost.len()), (60, 60));
        assert_eq!(found.lost[0].why, "not in the other run's plan");
    }

    #[test]
    fn cells_of_one_run_are_named_with_the_other_s_reason() {
        let a = run(1, 1.0);
        let mut b = run(2, 1.0);
        fixture::fail(&mut b.1[0]);
        fixture::skip(&mut b.1[1]);
        b.1[2].variant = "64x64x32-a16".to_owned();
        b.1.truncate(59);
        let found = against(&a, &b);
        assert_eq!(found.pairs.len(), 56);
        let why = |m: u64| -> Vec<(&str, &str)> {
            let of = |l: &&Lost| l.what.starts_with(&format!("{m} x"));
            found.lost.iter().filter(of).map(|l| (l.measured_in, l.why.as_str())).collect()
        };
        assert!(why(64)[0].1.starts_with("failed: wrong result"), "{:?}", why(64));
        assert!(why(72)[0].1.contains("not reached"));
        assert_eq!(why(80).len(), 2, "each run has a variant that the other has not");
        assert!(why(80)[0].1.contains("ran with 04_mma/64x64x32-a16 there"), "{:?}", why(80));
        assert_eq!(why(64 + 8 * 59), [("A", "not in the other run's plan")]);
    }

    #[test]
    fn what_differs_between_the_machines_is_said() {
        let a = run(1, 1.0);
        let mut b = run(1, 1.0);
        (b.0.device.driver, b.0.seed) = ("590.10".to_owned(), 7);
        b.0.kernel_hashes.insert("gemm/04_mma.cu".to_owned(), "00".to_owned());
        let fields: Vec<&str> = against(&a, &b).differences.iter().map(|d| d.field).collect();
        assert_eq!(fields, ["driver", "kernel hashes", "seed"]);
        assert_eq!(against(&a, &a).differences, []);
    }

    #[test]
    fn cells_that_a_plan_holds_twice_are_paired_in_order() {
        let twice = |tflops: [f64; 2]| {
            let cells = tflops.map(|t| fixture::cell(Problem::new(512, 512, 512), t)).to_vec();
            let run = fixture::run(cells);
            (run.manifest, run.cells)
        };
        let (a, mut b) = (twice([100.0, 200.0]), twice([100.0, 200.0]));
        b.1.reverse();
        let found = against(&a, &b);
        assert_eq!(found.pairs.len(), 2);
        assert!(found.pairs.iter().all(|p| p.first_ns == p.second_ns));
        // Every line of one run twice, as a journal that was appended to itself: nothing new.
        let again: Vec<CellRecord> = a.1.iter().chain(&a.1).cloned().collect();
        let found = against(&(a.0.clone(), again), &a);
        assert_eq!((found.pairs.len(), found.lost.len()), (2, 0));
    }
}
