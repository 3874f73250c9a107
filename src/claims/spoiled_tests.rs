//! Records in which something went wrong: the verdict is the one that they deserve, or none with a reason that one can act on.

use super::synthetic::{Truth, World, cost_of, gpu, plain_ns};
use super::*;
use crate::device::DeviceInfo;
use crate::record::{CellRecord, Check, Finding, Manifest, Role, SAMPLES_FILE, Verdict, write_manifest};
use crate::stats::noise::Noise;
use crate::sweep::Cell;

const CALM: Noise = Noise { jitter: 0.005, drift: 0.01, memory: 0.9, outliers: 0.005, lasting: 0.3, unseen: 0.0005 };

type Run = (Manifest, Vec<CellRecord>);

fn judged(claim: &Claim, run: Run) -> Verdict {
    judge(&[claim], &Records::new(vec![run]).unwrap()).verdicts.remove(0)
}

/// Records of a claim whose second arms cost `effect` times the first.
fn records(claim: &Claim, device: &DeviceInfo, effect: f64) -> Run {
    // Not a round number, so that a clock's steps show.
    let cost =
        |cells: &[Cell], side: usize| 1.0371 * plain_ns(&cells[0], device) * if side == 1 { effect } else { 1.0 };
    World { device: device.clone(), noise: CALM, blocks: 12, cost_ns: &cost, clock_mhz: [None; 2] }.run(&[claim], 5)
}

fn nv03() -> (&'static Claim, DeviceInfo) {
    (find("NV-03").unwrap(), gpu(132))
}

/// Multiplies a record's times, and all that follows from them.
fn scale(cell: &mut CellRecord, by: f64) {
    cell.samples.iter_mut().for_each(|s| s.elapsed_ns = (s.elapsed_ns as f64 * by) as u64);
    let times: Vec<f64> = cell.samples.iter().map(crate::record::Sample::per_launch_ns).collect();
    cell.median_ns = crate::stats::median(&times).map(|m| m.round() as u64);
}

#[test]
fn another_kernel_beside_the_planned_one_has_no_say() {
    let (claim, device) = nv03();
    let (manifest, cells) = records(claim, &device, 1.0);
    let mut both = cells.clone();
    for mut cell in cells {
        // Of twice the time with rows at 16 bytes, and as often.
        (cell.kernel, cell.variant) = ("03_wmma".to_owned(), "128x128x32".to_owned());
        (cell.cell, cell.pair) = (cell.cell + 10_000, cell.pair.map(|p| p + 10_000));
        if cell.role == Some(Role::Variant) {
            scale(&mut cell, 2.0);
        }
        both.push(cell);
    }
    let v = judged(claim, (manifest.clone(), both.clone()));
    assert_eq!(v.verdict, Finding::Contradicted, "{}", v.reason);
    // Alone it stands in, and so do its cells that were not measured in turn.
    both.retain(|c| c.kernel == "03_wmma");
    assert_eq!(judged(claim, (manifest.clone(), both.clone())).verdict, Finding::Supported);
    both.iter_mut().for_each(|c| (c.pair, c.role) = (None, None));
    assert_eq!(judged(claim, (manifest, both)).verdict, Finding::Supported);
}

#[test]
fn no_other_kernel_stands_in_where_two_are_compared() {
    let device = gpu(132);
    for id in ["FK-08", "HW-07", "NV-16"] {
        let claim = find(id).unwrap();
        let cost = cost_of(claim, &device, Truth::Right);
        let world = World { device: device.clone(), noise: CALM, blocks: 12, cost_ns: &cost, clock_mhz: [None; 2] };
        let (manifest, mut cells) = world.run(&[claim], 5);
        // Which arm is which is told by what ran, not by the roles.
        for cell in &mut cells {
            cell.role = cell.role.map(|r| if r == Role::Baseline { Role::Variant } else { Role::Baseline });
        }
        let v = judged(claim, (manifest.clone(), cells.clone()));
        assert_eq!(v.verdict, Finding::Supported, "{id}: {}", v.reason);
        cells.retain(|c| c.kernel != "04_mma");
        let v = judged(claim, (manifest, cells));
        assert!(!matches!(v.verdict, Finding::Supported | Finding::Contradicted), "{id}: {}", v.reason);
    }
}

#[test]
fn samples_of_two_kinds_in_one_arm_are_no_effect() {
    let (claim, device) = nv03();
    let (manifest, mut cells) = records(claim, &device, 1.0);
    let mut drawn = 0u32;
    for cell in cells.iter_mut().filter(|c| c.role == Some(Role::Variant)) {
        for sample in &mut cell.samples {
            // Three in ten, spread evenly, so that more than half of the blocks A B B A hold one.
            drawn = (drawn + 7) % 23;
            sample.elapsed_ns *= if drawn < 7 { 10 } else { 1 };
        }
        scale(cell, 1.0);
    }
    let v = judged(claim, (manifest, cells));
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
}

#[test]
fn what_the_steps_of_the_clock_hide_is_not_decided() {
    let (claim, device) = nv03();
    let stepped = |step: u64, effect: f64| {
        let (manifest, mut cells) = records(claim, &device, effect);
        for cell in &mut cells {
            for s in &mut cell.samples {
                (s.elapsed_ns, s.launches) = ((s.per_launch_ns() as u64 + step / 2) / step * step, 1);
            }
            scale(cell, 1.0);
        }
        judged(claim, (manifest, cells))
    };
    // A launch takes about 530 µs: at steps of 100 µs an effect of 6 % is not seen, and one of 60 % is.
    let v = stepped(100_000, 1.06);
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert_eq!(stepped(100_000, 1.0).verdict, Finding::Unclear);
    assert_eq!(stepped(100_000, 1.6).verdict, Finding::Supported);
    assert_eq!(stepped(1_000, 1.06).verdict, Finding::Supported);
    assert_eq!(stepped(1_000, 1.0).verdict, Finding::Contradicted);
}

#[test]
fn numbers_that_contradict_each_other_are_left_out_with_the_reason() {
    let (claim, device) = nv03();
    type Damage<'a> = &'a dyn Fn(&mut Manifest, &mut CellRecord);
    let rate = |c: &CellRecord| c.median_ns.map(|ns| c.problem.flop() as f64 / ns as f64 * 1e-3);
    let damages: [(&str, Damage<'_>); 7] = [
        ("does not follow from its samples", &|_, c| c.tflops = rate(c).map(|t| t / 1000.0)),
        ("cannot be one of a device whose highest is", &|_, c| {
            c.samples.iter_mut().for_each(|s| s.clock_mhz = Some(1_500_000.0));
        }),
        ("cannot be one of a device whose highest is", &|_, c| {
            c.samples.iter_mut().for_each(|s| s.clock_mhz = Some(1.5));
        }),
        ("its result was wrong", &|_, c| {
            c.check = Some(Check { elements: 9, of: 9, worst: 3.5, reference: "host f64".to_owned() });
        }),
        ("its result was wrong", &|_, c| {
            c.check = Some(Check { elements: 9, of: 9, worst: f64::NAN, reference: "host f64".to_owned() });
        }),
        ("--distribution uniform", &|m, _| m.distribution = "zeros".to_owned()),
        ("a folder of their own", &|_, c| c.device = "NVIDIA A100-SXM4-80GB".to_owned()),
    ];
    for (reason, damage) in damages {
        let (mut manifest, mut cells) = records(claim, &device, 1.08);
        for cell in cells.iter_mut().filter(|c| c.role == Some(Role::Variant)) {
            damage(&mut manifest, cell);
        }
        let v = judged(claim, (manifest, cells));
        assert_eq!(v.verdict, Finding::Unclear, "{reason}: {}", v.reason);
        assert!(v.reason.contains(reason), "{reason}: {}", v.reason);
    }
    // A throughput that goes with the samples costs nothing, nor does one that was not kept up with them: they are the truth.
    for stale in [1.0, 1.08, 0.3, 40.0] {
        let (manifest, mut cells) = records(claim, &device, 1.08);
        cells.iter_mut().for_each(|c| c.tflops = rate(c).map(|t| t * stale));
        assert_eq!(judged(claim, (manifest, cells)).verdict, Finding::Supported, "{stale}");
    }
}

#[test]
fn cells_on_other_data_than_their_run_s_are_those_of_no_claim_that_does_not_ask_for_them() {
    let (claim, device) = nv03();
    let on = |data: &str| {
        let (manifest, mut cells) = records(claim, &device, 1.08);
        cells.iter_mut().for_each(|c| c.distribution = Some(data.to_owned()));
        judged(claim, (manifest, cells))
    };
    assert_eq!(on("zeros").verdict, Finding::NotMeasurable, "{}", on("zeros").reason);
    // What the run's operands are drawn from anyway.
    assert_eq!(on("uniform").verdict, Finding::Supported);
    // Zeros beside the data change nothing.
    let (manifest, mut cells) = records(claim, &device, 1.08);
    let alone = judged(claim, (manifest.clone(), cells.clone()));
    for mut cell in cells.clone() {
        (cell.cell, cell.pair) = (cell.cell + 10_000, cell.pair.map(|p| p + 10_000));
        cell.distribution = Some("zeros".to_owned());
        let by = if cell.role == Some(Role::Variant) { 0.5 } else { 1.0 };
        scale(&mut cell, by);
        cells.push(cell);
    }
    assert_eq!(judged(claim, (manifest, cells)), alone);
}

#[test]
fn the_driver_s_bits_say_that_an_arm_was_held_back_where_the_tag_does_not() {
    let (claim, device) = nv03();
    let with = |bits: u64| {
        let (manifest, mut cells) = records(claim, &device, 1.08);
        for cell in cells.iter_mut().filter(|c| c.role == Some(Role::Variant)) {
            cell.samples.iter_mut().for_each(|s| s.throttle_bits = Some(bits));
        }
        judged(claim, (manifest, cells))
    };
    // A slowdown by heat, and the idle state that is none.
    let v = with(0x20);
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("only one arm was held back"), "{}", v.reason);
    assert_eq!(with(0x1).verdict, Finding::Supported);
}

#[test]
fn arms_that_were_not_measured_in_turn_decide_large_effects_alone() {
    let (claim, device) = nv03();
    let apart = |effect: f64, after: u64| {
        let (manifest, mut cells) = records(claim, &device, effect);
        for cell in cells.iter_mut().filter(|c| c.role == Some(Role::Variant)) {
            cell.samples.iter_mut().for_each(|s| s.at_ns += after);
        }
        judged(claim, (manifest, cells))
    };
    // Each second arm right after its first, and all of them an hour after all firsts.
    for after in [100_000_000, 3_600_000_000_000] {
        let v = apart(1.3, after);
        assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
        assert!(v.questions[0].comparisons[0].note.as_ref().unwrap().contains("not measured in turn"));
    }
    let v = apart(1.04, 3_600_000_000_000);
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
}

#[test]
fn the_best_of_several_tiles_is_not_the_one_with_the_higher_clock() {
    let claim = find("NV-19").unwrap();
    let device = gpu(132);
    let at = |effect: f64, clock_mhz: [Option<f64>; 2]| {
        let cost =
            |cells: &[Cell], side: usize| 2.0 * plain_ns(&cells[0], &device) * if side == 1 { effect } else { 1.0 };
        let world = World { device: device.clone(), noise: CALM, blocks: 12, cost_ns: &cost, clock_mhz };
        judged(claim, world.run(&[claim], 5))
    };
    let steady = [Some(1500.0), Some(1500.0)];
    assert_eq!(at(0.8, steady).verdict, Finding::Supported);
    let v = at(0.8, [Some(1200.0), Some(1500.0)]);
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("the clock differed"), "{}", v.reason);
}

#[test]
fn effects_of_single_comparisons_have_to_be_there_in_cycles_too() {
    let claim = find("DR-06").unwrap();
    let device = gpu(132);
    let at = |clock: [Option<f64>; 2]| {
        let cost = |cells: &[Cell], side: usize| {
            let sign = if cells[side].problem.n > 3000 { 1.06 } else { 1.0 / 1.06 };
            plain_ns(&cells[0], &device) * 2.0 * if side == 1 { sign } else { 1.0 }
        };
        let world = World { device: device.clone(), noise: CALM, blocks: 12, cost_ns: &cost, clock_mhz: clock };
        judged(claim, world.run(&[claim], 5))
    };
    let v = at([Some(1500.0), Some(1500.0)]);
    assert_eq!(v.verdict, Finding::Contradicted, "{}", v.reason);
    assert!(v.reason.contains("an effect of their own"), "{}", v.reason);
}

#[test]
fn records_that_share_a_number_are_all_read() {
    let (claim, device) = nv03();
    let (manifest, mut cells) = records(claim, &device, 1.08);
    let once = judged(claim, (manifest.clone(), cells.clone()));
    cells.iter_mut().for_each(|c| c.cell = 0);
    let v = judged(claim, (manifest, cells));
    assert_eq!((v.verdict, v.samples), (once.verdict, once.samples), "{}", v.reason);
}

#[test]
fn a_line_that_is_no_record_costs_itself_alone() {
    let (claim, device) = nv03();
    let (manifest, cells) = records(claim, &device, 1.08);
    let line = |c: &CellRecord| serde_json::to_string(c).unwrap();
    let good: Vec<String> = cells.iter().map(line).collect();
    let read = |journal: String| {
        let dir = tempfile::tempdir().unwrap();
        write_manifest(dir.path(), &manifest).unwrap();
        std::fs::write(dir.path().join(SAMPLES_FILE), journal).unwrap();
        Records::read(&[dir.path()])
    };
    let negative = good[0].replacen("\"elapsed_ns\":", "\"elapsed_ns\":-", 1);
    assert_ne!(negative, good[0]);
    // A size that overflows every product, and rows that overlap.
    let sized = |name: &str, size: &str| {
        let from = good[1].find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
        let to = from + good[1][from..].find(',').unwrap();
        format!("{}{size}{}", &good[1][..from], &good[1][to..])
    };
    let impossible = format!("{}\n{}", sized("m", "18446744073709551615"), sized("lda", "1"));
    let spoiled = format!("{negative}\nnonsense\n{impossible}\n{}\n{{\"cell\":", good[1..].join("\n"));
    let records = read(spoiled).unwrap();
    assert_eq!(records.len(), cells.len() - 1);
    assert_eq!(judge(&[claim], &records).verdicts[0].verdict, Finding::Supported);
    let error = read("nonsense\nmore of it\nand more\n".to_owned()).unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn runs_that_disagree_are_not_averaged() {
    let (claim, device) = nv03();
    let both = |second: f64| {
        let first = records(claim, &device, 1.08);
        let (mut manifest, cells) = records(claim, &device, second);
        manifest.started = "2026-11-22T09:30:00Z".to_owned();
        judge(&[claim], &Records::new(vec![first, (manifest, cells)]).unwrap()).verdicts.remove(0)
    };
    assert_eq!(both(1.08).verdict, Finding::Supported);
    let v = both(1.0);
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("the runs disagree") && v.reason.contains("by itself"), "{}", v.reason);
}

#[test]
fn an_arm_of_another_unit_is_told_by_the_other_arm() {
    let (claim, device) = nv03();
    let (manifest, mut cells) = records(claim, &device, 1.0);
    for cell in cells.iter_mut().filter(|c| c.role == Some(Role::Variant)) {
        // Picoseconds, with everything that follows from them.
        cell.samples.iter_mut().for_each(|s| s.elapsed_ns *= 1000);
        (cell.median_ns, cell.tflops, cell.flop_per_cycle) = (cell.median_ns.map(|ns| 1000 * ns), None, None);
    }
    let v = judged(claim, (manifest, cells));
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("the unit of one of them is wrong"), "{}", v.reason);
}
