//! Verdicts on records that nobody measured: every claim to every verdict, and every way in which records mislead.

use super::synthetic::{Truth, World, cost_by, cost_of, gpu, manifest, plain_ns, wanted};
use super::*;
use crate::device::{DeviceInfo, cpu};
use crate::record::{CellRecord, DeviceKind, Finding, Manifest, Role, Status, Verdict};
use crate::stats::noise::Noise;
use crate::sweep::Cell;

/// Half a percent of jitter, and the recorded machine's other troubles.
const CALM: Noise = Noise { jitter: 0.005, drift: 0.01, memory: 0.9, outliers: 0.005, lasting: 0.3, unseen: 0.0005 };

fn world(device: DeviceInfo, cost_ns: &dyn Fn(&[Cell], usize) -> f64) -> World<'_> {
    World { device, noise: CALM, blocks: 12, cost_ns, clock_mhz: [None; 2] }
}

fn verdict(claims: &[&Claim], run: (Manifest, Vec<CellRecord>)) -> Verdict {
    judge(claims, &Records::new(vec![run]).unwrap()).verdicts.remove(0)
}

/// A claim's verdict in a world where it is right, or wrong.
fn in_truth(claim: &Claim, device: &DeviceInfo, truth: Truth, change: impl Fn(&mut World<'_>)) -> Verdict {
    let cost = cost_of(claim, device, truth);
    let mut world = world(device.clone(), &cost);
    change(&mut world);
    verdict(&[claim], world.run(&[claim], 3))
}

/// The claims that records of a device can decide by what their arms cost.
fn measurable(device: &DeviceInfo) -> Vec<&'static Claim> {
    let bench = Bench::new(device);
    let without_costs =
        |q: &Question| matches!(q.evidence, Evidence::Spread(_) | Evidence::Onset(_) | Evidence::Refused { .. });
    claims().filter(|c| c.questions(&bench).is_ok_and(|q| !q.iter().any(without_costs))).collect()
}

#[test]
fn every_claim_is_supported_where_it_is_right_and_contradicted_where_it_is_wrong() {
    for (device, least) in [(gpu(132), 34), (gpu(108), 34), (cpu::info(), 14)] {
        let claims = measurable(&device);
        assert!(claims.len() >= least, "{}: {}", device.record.name, claims.len());
        for claim in claims {
            for (truth, finding) in [(Truth::Right, Finding::Supported), (Truth::Wrong, Finding::Contradicted)] {
                let v = in_truth(claim, &device, truth, |_| {});
                assert_eq!(v.verdict, finding, "{} on {}: {}", claim.id, device.record.name, v.reason);
                let effect = v.effect.as_ref().expect("a verdict has an effect");
                assert!(effect.lo <= effect.value && effect.value <= effect.hi, "{}: {effect:?}", claim.id);
                assert!(v.samples > 0 && v.p_corrected.is_some_and(|p| p <= 0.05), "{}: {v:?}", claim.id);
                assert!(!v.reason.is_empty());
            }
        }
    }
}

#[test]
fn records_without_any_scatter_are_judged_too() {
    let device = gpu(132);
    for claim in measurable(&device) {
        for (truth, finding) in [(Truth::Right, Finding::Supported), (Truth::Wrong, Finding::Contradicted)] {
            let none = Noise { jitter: 0.0, drift: 0.0, memory: 0.0, outliers: 0.0, lasting: 0.0, unseen: 0.0 };
            let v = in_truth(claim, &device, truth, |w| w.noise = none);
            assert_eq!(v.verdict, finding, "{}: {}", claim.id, v.reason);
            serde_json::from_str::<Verdict>(&serde_json::to_string(&v).unwrap()).unwrap();
        }
    }
}

#[test]
fn every_claim_is_unclear_where_noise_drowns_it() {
    let device = gpu(132);
    let (mut unclear, mut mistaken, mut all) = (0, 0, 0);
    for claim in measurable(&device) {
        for (truth, wrong) in [(Truth::Right, Finding::Contradicted), (Truth::Wrong, Finding::Supported)] {
            let v = in_truth(claim, &device, truth, |w| {
                w.noise = Noise { jitter: 2.0, drift: 2.0, unseen: 3.0, ..Noise::RECORDED };
            });
            mistaken += u32::from(v.verdict == wrong);
            assert!(v.p_corrected.is_some(), "{} was tried, and counts among those judged together", claim.id);
            unclear += u32::from(v.verdict == Finding::Unclear);
            all += 1;
        }
    }
    assert!(f64::from(mistaken) <= 0.05 * f64::from(all), "{mistaken} of {all}");
    // An effect of several times the cost can still be told in some of them.
    assert!(f64::from(unclear) >= 0.9 * f64::from(all), "{unclear} of {all}");
}

#[test]
fn every_claim_is_unclear_where_samples_are_too_few() {
    let device = gpu(132);
    for claim in measurable(&device) {
        let cost = cost_of(claim, &device, Truth::Right);
        let world = World { blocks: 1, ..world(device.clone(), &cost) };
        let (manifest, mut cells) = world.run(&[claim], 3);
        // One unit of each comparison, two samples an arm: whatever the repetitions measured, it is one of them now.
        let mut seen = std::collections::HashSet::new();
        let kept: std::collections::HashSet<Option<u64>> = cells
            .chunks(2)
            .filter(|c| {
                seen.insert(format!(
                    "{:?}",
                    c.iter().map(|r| (r.problem, &r.kernel, &r.variant, &r.regime)).collect::<Vec<_>>()
                ))
            })
            .map(|c| c[0].pair)
            .collect();
        cells.retain(|c| c.pair.is_none() || kept.contains(&c.pair));
        if cells.iter().any(|c| c.pair.is_none()) {
            continue;
        }
        let v = verdict(&[claim], (manifest, cells));
        assert_eq!(v.verdict, Finding::Unclear, "{}: {}", claim.id, v.reason);
        assert!(v.reason.contains("too few"), "{}: {}", claim.id, v.reason);
    }
}

#[test]
fn the_scatter_of_samples_decides_what_the_best_run_is_worth() {
    let claim = find("MM-04").unwrap();
    let device = gpu(132);
    let at = |noise| in_truth(claim, &device, Truth::Right, |w| (w.noise, w.blocks) = (noise, 30)).verdict;
    let steady = Noise { jitter: 0.0005, drift: 0.0, outliers: 0.0, ..CALM };
    assert_eq!(at(Noise::RECORDED.scaled(3.0)), Finding::Supported);
    assert_eq!(at(steady), Finding::Contradicted);
}

fn nv03() -> (&'static Claim, DeviceInfo) {
    (find("NV-03").unwrap(), gpu(132))
}

/// Records of a claim in which the second arm costs 8 % more, for a change that explains it away.
fn misleading(claim: &Claim, device: &DeviceInfo, clock: [Option<f64>; 2]) -> (Manifest, Vec<CellRecord>) {
    let cost = |cells: &[Cell], side: usize| plain_ns(&cells[0], device) * if side == 1 { 1.08 } else { 1.0 };
    World { clock_mhz: clock, ..world(device.clone(), &cost) }.run(&[claim], 5)
}

#[test]
fn an_effect_of_the_clock_is_not_put_down_to_alignment() {
    let (claim, device) = nv03();
    assert_eq!(verdict(&[claim], misleading(claim, &device, [None; 2])).verdict, Finding::Supported);
    assert_eq!(verdict(&[claim], misleading(claim, &device, [Some(1500.0); 2])).verdict, Finding::Supported);
    // The second arm ran at a clock that is 8 % lower: in cycles there is nothing.
    let v = verdict(&[claim], misleading(claim, &device, [Some(1620.0), Some(1500.0)]));
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("the clock differed"), "{}", v.reason);
    let cycles = v.effect.unwrap().in_cycles.unwrap();
    assert!((cycles[0] - 1.0).abs() < 0.01, "{cycles:?}");
}

#[test]
fn an_arm_that_alone_was_throttled_is_left_out() {
    let (claim, device) = nv03();
    let throttled = |role: Role| {
        let (manifest, mut cells) = misleading(claim, &device, [None; 2]);
        for cell in cells.iter_mut().filter(|c| c.role == Some(role)) {
            cell.throttled_samples = cell.samples.len() as u32;
            cell.samples.iter_mut().for_each(|s| s.throttled = true);
        }
        verdict(&[claim], (manifest, cells))
    };
    for role in [Role::Baseline, Role::Variant] {
        let v = throttled(role);
        assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
        assert!(v.reason.contains("only one arm was held back"), "{}", v.reason);
    }
    // Where both were, they were alike.
    let (manifest, mut cells) = misleading(claim, &device, [None; 2]);
    for cell in &mut cells {
        cell.samples.iter_mut().for_each(|s| s.throttled = true);
    }
    assert_eq!(verdict(&[claim], (manifest, cells)).verdict, Finding::Supported);
}

#[test]
fn being_held_back_is_part_of_what_data_cost_over_zeros() {
    let (claim, device) = (find("MM-01").unwrap(), gpu(132));
    // At a clock 8 % lower, for which the device gives its power cap as the reason.
    let (manifest, mut cells) = misleading(claim, &device, [Some(1620.0), Some(1500.0)]);
    for cell in cells.iter_mut().filter(|c| c.distribution.is_none()) {
        cell.throttled_samples = cell.samples.len() as u32;
        cell.samples.iter_mut().for_each(|s| (s.throttled, s.throttle_bits) = (true, Some(0x4)));
    }
    let v = verdict(&[claim], (manifest.clone(), cells.clone()));
    assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
    let cycles = v.effect.unwrap().in_cycles.unwrap();
    assert!((cycles[0] - 1.0).abs() < 0.01, "in cycles there is nothing: {cycles:?}");
    // Nor where they were not measured in turn.
    cells.iter_mut().for_each(|c| (c.pair, c.role) = (None, None));
    let v = verdict(&[claim], (manifest, cells));
    assert!(!v.reason.contains("held back") && v.effect.is_some(), "{}", v.reason);
}

#[test]
fn a_kernel_that_changed_between_the_arms_is_not_compared() {
    let (claim, device) = nv03();
    let (manifest, mut cells) = misleading(claim, &device, [None; 2]);
    for cell in cells.iter_mut().filter(|c| c.role == Some(Role::Variant)) {
        cell.variant = "128x128x32-a8".to_owned();
    }
    let v = verdict(&[claim], (manifest, cells));
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("dispatch changed"), "{}", v.reason);
}

#[test]
fn another_kernel_with_the_same_tile_will_do_if_both_arms_ran_it() {
    let (claim, device) = nv03();
    let renamed = |variant: &str, kernel: &str| {
        let (manifest, mut cells) = misleading(claim, &device, [None; 2]);
        for cell in &mut cells {
            (cell.kernel, cell.variant) = (kernel.to_owned(), variant.to_owned());
        }
        verdict(&[claim], (manifest, cells)).verdict
    };
    assert_eq!(renamed("128x128x32-a8", "04_mma"), Finding::Supported);
    // Another tile is another experiment, and an unknown kernel is none.
    assert_eq!(renamed("64x64x32-a16", "04_mma"), Finding::NotMeasurable);
    assert_eq!(renamed("128x128x32-a16", "99_unknown"), Finding::NotMeasurable);
}

#[test]
fn cells_are_found_by_what_they_are() {
    let (claim, device) = nv03();
    let (manifest, mut cells) = misleading(claim, &device, [None; 2]);
    // Other numbers, other parts, another order.
    for cell in &mut cells {
        cell.cell = 10_000 - cell.cell;
        cell.pair = cell.pair.map(|p| 900 - p);
        cell.part = "anything".to_owned();
    }
    cells.reverse();
    assert_eq!(verdict(&[claim], (manifest.clone(), cells.clone())).verdict, Finding::Supported);
    // The roles the other way round.
    for cell in &mut cells {
        cell.role = cell.role.map(|r| if r == Role::Baseline { Role::Variant } else { Role::Baseline });
    }
    assert_eq!(verdict(&[claim], (manifest.clone(), cells.clone())).verdict, Finding::Supported);
    // Cells that were measured alone decide what is larger than what they may be off by.
    for cell in &mut cells {
        (cell.pair, cell.role) = (None, None);
    }
    let v = verdict(&[claim], (manifest.clone(), cells.clone()));
    assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
    assert!(v.questions[0].comparisons[0].note.as_ref().unwrap().contains("not measured in turn"));
    // Nothing of it at all.
    let v = verdict(&[claim], (manifest, Vec::new()));
    assert_eq!(v.verdict, Finding::NotMeasurable);
    assert!(v.reason.contains("none of its cells"), "{}", v.reason);
    assert!(v.needs.unwrap().contains("3840x3840x3840 nn ld 3904,3904,3904"));
    assert!(v.questions[0].reason.contains("no record of 3840x3840x3840"));
}

#[test]
fn the_small_scale_is_judged_where_the_full_one_is_not_there() {
    let claim = find("NV-12").unwrap();
    let device = gpu(132);
    let spec = spec(&[claim], &Bench::new(&device).at(Scale::Small));
    let largest = spec.listed.iter().map(|l| l.first.problem.flop()).max().unwrap();
    assert!(largest < 1 << 29, "{largest}");
    // A column of tiles more costs a whole wave of six.
    let cost = |cells: &[Cell], side: usize| {
        let waves = |c: &Cell| (c.problem.m.div_ceil(128) * c.problem.n.div_ceil(256)).div_ceil(6) as f64;
        100_000.0 * waves(&cells[side])
    };
    let v = verdict(&[claim], world(device.clone(), &cost).run_spec(&spec, 3));
    assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
}

#[test]
fn records_that_are_damaged_are_left_out_and_said_to_be() {
    let (claim, device) = nv03();
    type Damage<'a> = &'a dyn Fn(&mut CellRecord);
    let damages: [(&str, Damage<'_>); 6] = [
        ("failed", &|c| (c.status, c.reason) = (Status::Failed, Some("wrong result".to_owned()))),
        ("skipped", &|c| (c.status, c.reason) = (Status::Skipped, Some("not reached".to_owned()))),
        ("no time", &|c| c.samples.iter_mut().for_each(|s| s.elapsed_ns = 0)),
        ("no time", &|c| c.samples.iter_mut().for_each(|s| s.launches = 0)),
        ("not that of its samples", &|c| c.median_ns = c.median_ns.map(|m| 3 * m)),
        ("more than the device can do", &|c| {
            c.samples.iter_mut().for_each(|s| s.elapsed_ns /= 100);
            c.median_ns = c.median_ns.map(|m| m / 100);
        }),
    ];
    for (what, damage) in damages {
        // All of them: nothing is left to judge.
        let (manifest, mut cells) = misleading(claim, &device, [None; 2]);
        cells.iter_mut().for_each(damage);
        let v = verdict(&[claim], (manifest, cells));
        assert_eq!(v.verdict, Finding::Unclear, "{what}: {}", v.reason);
        assert!(v.reason.contains(what), "{what}: {}", v.reason);
        // One unit of each comparison: the others decide, and the record says what is missing.
        let (manifest, mut cells) = misleading(claim, &device, [None; 2]);
        let pairs: Vec<Option<u64>> = cells.iter().map(|c| c.pair).collect();
        for (i, cell) in cells.iter_mut().enumerate() {
            if pairs[i].is_some_and(|p| p % 7 == 0) {
                damage(cell);
            }
        }
        let v = verdict(&[claim], (manifest, cells));
        assert_eq!(v.verdict, Finding::Supported, "{what}: {}", v.reason);
        assert!(v.questions[0].comparisons[0].note.as_ref().unwrap().contains(what));
    }
}

#[test]
fn a_few_samples_without_a_time_cost_their_blocks_alone() {
    let (claim, device) = nv03();
    let (manifest, mut cells) = misleading(claim, &device, [None; 2]);
    cells.iter_mut().for_each(|c| c.samples[5].elapsed_ns = 0);
    let v = verdict(&[claim], (manifest, cells));
    assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
    // Three comparisons, seven units of twelve blocks each, and one block of each unit is lost.
    assert_eq!(v.samples, 3 * 7 * 11 * 4);
}

#[test]
fn the_same_records_twice_are_the_same_evidence() {
    let (claim, device) = nv03();
    let run = misleading(claim, &device, [None; 2]);
    let once = verdict(&[claim], run.clone());
    let twice = judge(&[claim], &Records::new(vec![run.clone(), run.clone()]).unwrap()).verdicts.remove(0);
    assert_eq!(once, twice);
    let (manifest, mut cells) = run;
    cells.extend(cells.clone());
    assert_eq!(verdict(&[claim], (manifest, cells)), once);
}

#[test]
fn devices_are_not_mixed_and_an_emulated_one_has_no_time() {
    let (claim, device) = nv03();
    let run = misleading(claim, &device, [None; 2]);
    let mut other = run.clone();
    other.0.device.name = "Another".to_owned();
    let error = Records::new(vec![run.clone(), other]).unwrap_err();
    assert!(matches!(error, RecordsError::Devices { .. }), "{error}");
    // Equal names, and identifiers that say they are two.
    let mut twins = [run.clone(), run.clone()];
    for (i, twin) in twins.iter_mut().enumerate() {
        twin.0.device.uuid = Some(format!("GPU-{i}"));
    }
    assert!(Records::new(twins.to_vec()).is_err());
    // Even records that have times say nothing if the device has none.
    let mut emulated = run;
    emulated.0.device.kind = DeviceKind::Emulated;
    let verdicts = judge(&claims().collect::<Vec<_>>(), &Records::new(vec![emulated]).unwrap());
    for v in &verdicts.verdicts {
        let by_arithmetic = v.device.is_empty();
        assert!(by_arithmetic || v.verdict == Finding::NotMeasurable, "{}: {}", v.claim, v.reason);
    }
    assert!(verdicts.verdicts.iter().filter(|v| v.reason.starts_with("an emulated device has no time")).count() > 30);
}

#[test]
fn effects_that_point_both_ways_are_no_absence_of_one() {
    let claim = find("DR-06").unwrap();
    let device = gpu(132);
    // Large problems lose 6 %, and small ones win it: on average, nothing.
    let cost = |cells: &[Cell], side: usize| {
        let sign = if cells[side].problem.n > 3000 { 1.06 } else { 1.0 / 1.06 };
        plain_ns(&cells[0], &device) * 2.0 * if side == 1 { sign } else { 1.0 }
    };
    let v = verdict(&[claim], world(device.clone(), &cost).run(&[claim], 5));
    assert_eq!(v.verdict, Finding::Contradicted, "{}", v.reason);
    assert!(v.reason.contains("an effect of their own"), "{}", v.reason);
}

/// A claim's verdict where the questions whose text begins like this have the other answer.
fn with_a_no(id: &str, begins: &str) -> Verdict {
    let (claim, device) = (find(id).unwrap(), gpu(132));
    let cost = cost_by(claim, &device, Truth::Right, |q, c| {
        wanted(q, c, if q.asks.starts_with(begins) { Truth::Wrong } else { Truth::Right })
    });
    verdict(&[claim], world(device.clone(), &cost).run(&[claim], 3))
}

#[test]
fn a_claim_is_unclear_where_there_is_nothing_for_it_to_be_about() {
    // No tail for stream-K to remove; no cost of alignment where the batch is contiguous.
    for (id, premise, claimed) in
        [("HW-07", "with a tile for each CTA", "with stream-K"), ("DR-01", "stored by column", "a batch of 8 i + 1")]
    {
        let v = with_a_no(id, premise);
        assert_eq!(v.verdict, Finding::Unclear, "{id}: {}", v.reason);
        assert!(v.reason.contains("nothing for the claim to be about"), "{id}: {}", v.reason);
        assert_eq!(with_a_no(id, claimed).verdict, Finding::Contradicted, "{id}");
    }
}

#[test]
fn what_a_claim_does_not_say_does_not_contradict_it() {
    let v = with_a_no("FK-01", "with the padding in the strides alone");
    assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
    assert_eq!(v.questions.len(), 2);
    assert_eq!(v.questions[1].finding, Finding::Contradicted);
    assert_eq!(with_a_no("FK-01", "a vocabulary").verdict, Finding::Contradicted);
}

#[test]
fn without_any_effect_few_verdicts_say_that_there_is_one() {
    // Every arm costs what its work costs, on a machine as noisy as the recorded one: who asks for an effect must not find it.
    let device = gpu(132);
    let all = measurable(&device);
    let (mut asked, mut said) = (0, 0);
    for claim in &all {
        let questions = claim.questions(&Bench::new(&device)).unwrap();
        let wants_one = questions.iter().all(|q| {
            matches!((&q.evidence, q.rule), (Evidence::Mean { .. }, crate::stats::Rule::AtLeast { contradict, .. }) if contradict >= 0.0)
        });
        if !wants_one {
            continue;
        }
        let per = questions[0].comparisons()[0].per;
        let cost = |cells: &[Cell], side: usize| {
            let scale = per.of(&cells[side].problem) / per.of(&cells[0].problem);
            3.0 * plain_ns(&cells[0], &device) * scale
        };
        for seed in 0..20 {
            let world = World { noise: Noise::RECORDED, ..world(device.clone(), &cost) };
            asked += 1;
            said += u32::from(verdict(&[claim], world.run(&[claim], seed)).verdict == Finding::Supported);
        }
    }
    assert!(asked >= 200, "{asked}");
    assert!(f64::from(said) <= 0.05 * f64::from(asked), "{said} of {asked}");
}

#[test]
fn verdicts_are_a_function_of_the_records() {
    let (claim, device) = nv03();
    let run = misleading(claim, &device, [Some(1500.0); 2]);
    let all: Vec<&Claim> = claims().collect();
    let judged = || serde_json::to_string(&judge(&all, &Records::new(vec![run.clone()]).unwrap())).unwrap();
    assert_eq!(judged(), judged());
    let empty = judge(&all, &Records::new(vec![(manifest(&device, 1), Vec::new())]).unwrap());
    assert_eq!(empty.verdicts.len(), all.len());
}
