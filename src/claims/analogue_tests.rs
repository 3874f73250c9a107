//! Records of cells that no plan names: what is the same comparison, and what is another one.

use super::bench::{padded, strides};
use super::synthetic::{World, gpu, plain_ns};
use super::*;
use crate::data::Distribution;
use crate::measure::Regime;
use crate::problem::Problem;
use crate::record::{CellRecord, Finding, Manifest, Verdict};
use crate::stats::noise::Noise;
use crate::sweep::Cell;

const CALM: Noise = Noise { jitter: 0.005, drift: 0.01, memory: 0.9, outliers: 0.005, lasting: 0.3, unseen: 0.0005 };
const WAVE: &str = "04_mma/128x256x32-a16";
const MIDDLE: &str = "04_mma/128x128x32-a16";

fn arm(problem: Problem, kernel: &str) -> Arm {
    Arm { problem, kernel: kernel.to_owned(), regime: Regime::Cold, distribution: None }
}

fn records(pairs: &[(Arm, Arm)], cost_ns: &dyn Fn(&[Cell], usize) -> f64) -> (Manifest, Vec<CellRecord>) {
    let listed = pairs.iter().map(|(first, second)| Listed {
        part: "made elsewhere".to_owned(),
        first: first.clone(),
        second: Some(second.clone()),
        repetitions: 4,
    });
    let spec = Spec { preset: None, parts: Vec::new(), listed: listed.collect() };
    World { device: gpu(132), noise: CALM, blocks: 12, cost_ns, clock_mhz: [None; 2] }.run_spec(&spec, 3)
}

fn judged(id: &str, run: (Manifest, Vec<CellRecord>)) -> Verdict {
    judge(&[find(id).unwrap()], &Records::new(vec![run]).unwrap()).verdicts.remove(0)
}

/// A claim's verdict where the second arm of each pair costs `ratio` times as much as the first.
fn at(id: &str, pairs: &[(Arm, Arm)], ratio: f64) -> Verdict {
    let device = gpu(132);
    let cost = |cells: &[Cell], side: usize| 2.0 * plain_ns(&cells[0], &device) * if side == 1 { ratio } else { 1.0 };
    judged(id, records(pairs, &cost))
}

/// One column of tiles more than so many columns.
fn column_more(m: u64, n: u64, k: u64) -> (Arm, Arm) {
    (arm(Problem::new(m, n, k), WAVE), arm(Problem::new(m, n + 8, k), WAVE))
}

/// A claim, pairs that are its comparison at other sizes, and ratios at which it is right and wrong.
type Case = (&'static str, Vec<(Arm, Arm)>, f64, f64);

#[test]
fn a_claim_is_judged_by_the_same_comparison_at_other_sizes() {
    let square = |s: u64, off: u64, kernel: &str| arm(padded(Problem::new(s, s, s), 64 + off), kernel);
    let row = |m: u64| arm(Problem::new(m, 3072, 3072), MIDDLE);
    let depth = |k: u64, kernel: &str| arm(Problem::new(2048, 2048, k), kernel);
    let far = |ld: u64| arm(strides(Problem::new(512, 2048, 2048), ld, ld, ld), MIDDLE);
    let steps = [
        (depth(3064, MIDDLE), depth(3060, "04_mma/128x128x32-a8")),
        (depth(3060, "04_mma/128x128x32-a8"), depth(3058, "04_mma/128x128x32-a4")),
        // Another variant for odd rows than the plan's.
        (depth(3058, "04_mma/128x128x32-a4"), depth(3057, "04_mma/128x128x32-a2")),
    ];
    // The guide's own sizes for 132 multiprocessors, at half of its depth.
    let cases: [Case; 7] = [
        ("NV-12", vec![column_more(2816, 1536, 2048)], 1.9, 1.05),
        ("NV-12", vec![column_more(2816, 1536, 4096), column_more(1408, 3072, 2048)], 1.9, 1.05),
        ("NV-02", vec![(square(2048, 0, MIDDLE), square(2048, 1, "04_mma/128x128x32-a2"))], 1.2, 1.0),
        ("NV-03", vec![(square(6144, 0, MIDDLE), square(6144, 40, MIDDLE))], 1.06, 1.0),
        ("NV-05", steps.to_vec(), 1.08, 1.0),
        ("RA-06", vec![(row(1000), row(1001)), (row(2040), row(2043))], 1.06, 1.0),
        ("FK-10", vec![(far(2112), far(2048))], 1.06, 1.0),
    ];
    for (id, pairs, there, not_there) in cases {
        for (ratio, finding) in [(there, Finding::Supported), (not_there, Finding::Contradicted)] {
            let v = at(id, &pairs, ratio);
            assert_eq!(v.verdict, finding, "{id} at {ratio}: {}", v.reason);
            assert!(v.reason.contains("by cells like the planned ones"), "{id}: {}", v.reason);
        }
    }
}

#[test]
fn another_comparison_does_not_stand_in() {
    let square = |off: u64| arm(padded(Problem::new(2048, 2048, 2048), 64 + off), MIDDLE);
    let cases: [(&str, (Arm, Arm)); 6] = [
        // The wave before was not full; the tail is most of a wave; no wave begins.
        ("NV-12", column_more(2816, 1024, 4096)),
        (
            "NV-12",
            (arm(Problem::new(2816, 1536, 4096), WAVE), arm(Problem::new(2816, 1608, 4096), "04_mma/128x128x32-a16")),
        ),
        ("NV-12", column_more(2816, 1544, 4096)),
        // Both are aligned to 128 bytes; none is a power of two apart; it is a row of tiles more.
        ("NV-03", (square(0), square(64))),
        ("FK-10", (square(0), square(128))),
        ("RA-06", (arm(Problem::new(1024, 3072, 3072), MIDDLE), arm(Problem::new(1025, 3072, 3072), MIDDLE))),
    ];
    for (id, pair) in cases {
        for ratio in [1.0, 2.0] {
            let v = at(id, std::slice::from_ref(&pair), ratio);
            assert_eq!(v.verdict, Finding::NotMeasurable, "{id} {pair:?}: {}", v.reason);
        }
    }
    // Why cells that would do cannot be used is said.
    let changed = (square(0), arm(padded(Problem::new(2048, 2048, 2048), 65), "03_wmma/128x128x32"));
    let v = at("NV-02", &[changed], 1.3);
    assert_eq!(v.verdict, Finding::NotMeasurable);
    assert!(v.reason.contains("like them") && v.reason.contains("03_wmma"), "{}", v.reason);
}

#[test]
fn planned_cells_come_first() {
    // One arm alone is no comparison, and does not keep others from being asked.
    let pair = (
        arm(padded(Problem::new(2048, 2048, 2048), 64), MIDDLE),
        arm(padded(Problem::new(2048, 2048, 2048), 72), MIDDLE),
    );
    let lone = (arm(padded(Problem::new(3840, 3840, 3840), 64), MIDDLE), arm(Problem::new(3840, 3840, 3800), MIDDLE));
    assert_eq!(at("NV-03", &[lone, pair], 1.2).verdict, Finding::Supported);
    // The planned cells show nothing, others like them an effect: those are not asked.
    let square = |s: u64, off: u64| arm(padded(Problem::new(s, s, s), 64 + off), MIDDLE);
    let device = gpu(132);
    let cost = |cells: &[Cell], side: usize| {
        let slower = if cells[0].problem.m == 2048 && side == 1 { 1.2 } else { 1.0 };
        2.0 * plain_ns(&cells[0], &device) * slower
    };
    let pairs = [(square(3840, 0), square(3840, 8)), (square(2048, 0), square(2048, 8))];
    let v = judged("NV-03", records(&pairs, &cost));
    assert_eq!(v.verdict, Finding::Contradicted, "{}", v.reason);
    assert!(v.reason.contains("2 of 3 comparisons lack data"), "{}", v.reason);
    assert_eq!(at("NV-03", &pairs[1..], 1.2).verdict, Finding::Supported);
}

#[test]
fn the_other_regime_will_do_where_the_claim_is_not_about_memory() {
    let hot = |a: Arm| Arm { regime: Regime::Hot, ..a };
    let square = |off: u64| arm(padded(Problem::new(4096, 4096, 4096), 64 + off), MIDDLE);
    let odd = arm(padded(Problem::new(4096, 4096, 4096), 65), "04_mma/128x128x32-a2");
    assert_eq!(at("NV-02", &[(hot(square(0)), hot(odd))], 1.2).verdict, Finding::Supported);
    // Not one arm in each, and not where it is about memory.
    let small = |off: u64, kernel: &str| arm(padded(Problem::new(2048, 2048, 2048), 64 + off), kernel);
    let mixed = (hot(small(0, MIDDLE)), small(1, "04_mma/128x128x32-a2"));
    assert_eq!(at("NV-02", &[mixed], 1.2).verdict, Finding::NotMeasurable);
    let row = |m: u64| hot(arm(Problem::new(m, 8448, 7680), "10_split_k/16x128x32-a16"));
    assert_eq!(at("RA-12", &[(row(16), row(17))], 1.0).verdict, Finding::NotMeasurable);
}

#[test]
fn zeros_and_data_are_compared_at_other_sizes_but_never_in_another_regime() {
    let device = gpu(132);
    let questions = find("MM-01").unwrap().questions(&Bench::new(&device)).unwrap();
    let planned = questions[0].comparisons()[0].clone();
    let at_size = |arm: &Arm| Arm { problem: Problem::new(6144, 6144, 6144), ..arm.clone() };
    let (zeros, data) = (at_size(&planned.first), at_size(&planned.second));
    assert_eq!((zeros.distribution, data.distribution), (Some(Distribution::Zeros), None));
    assert_eq!(at("MM-01", &[(zeros.clone(), data.clone())], 1.1).verdict, Finding::Supported);
    assert_eq!(at("MM-01", &[(zeros.clone(), data.clone())], 1.0).verdict, Finding::Contradicted);
    // At a clock that both arms share, which is what a short warm-up leaves, there is nothing to be seen.
    let cold = |a: Arm| Arm { regime: Regime::Cold, ..a };
    let both_cold = (cold(zeros.clone()), cold(data.clone()));
    let integers = (Arm { distribution: Some(Distribution::Integers), ..zeros.clone() }, data.clone());
    for pair in [both_cold, integers, (data, zeros)] {
        let v = at("MM-01", std::slice::from_ref(&pair), 1.1);
        let expected = if pair.0.distribution.is_none() { Finding::Contradicted } else { Finding::NotMeasurable };
        assert_eq!(v.verdict, expected, "{pair:?}: {}", v.reason);
    }
}

#[test]
fn claims_about_single_cells_take_other_cells() {
    let device = gpu(132);
    let cost = |cells: &[Cell], _: usize| 2.0 * plain_ns(&cells[0], &device);
    let one = Listed {
        part: "made elsewhere".to_owned(),
        first: arm(Problem::new(3072, 3072, 3072), MIDDLE),
        second: None,
        repetitions: 1,
    };
    let spec = Spec { preset: None, parts: Vec::new(), listed: vec![one] };
    let best = |noise: Noise, blocks: usize| {
        let world = World { device: device.clone(), noise, blocks, cost_ns: &cost, clock_mhz: [None; 2] };
        judged("MM-04", world.run_spec(&spec, 3))
    };
    let steady = Noise { jitter: 0.0005, drift: 0.0, outliers: 0.0, ..CALM };
    // A single cell of many samples is several stretches of them.
    assert_eq!(best(Noise::RECORDED.scaled(3.0), 60).verdict, Finding::Supported);
    assert_eq!(best(steady, 60).verdict, Finding::Contradicted);
    let few = best(steady, 12);
    assert_eq!(few.verdict, Finding::Unclear);
    assert!(few.reason.contains("one with 60"), "{}", few.reason);
}

#[test]
fn two_arms_that_were_each_measured_against_one_baseline_are_compared_by_it() {
    // As a paired sweep of strides has them: every cell in turn with its aligned baseline, and no two steps with each other.
    let square = |off: u64, kernel: &str| arm(padded(Problem::new(3072, 3072, 3072), 128 + off), kernel);
    let steps = [(16, "a16"), (8, "a16"), (4, "a8"), (2, "a4"), (1, "a2")];
    let pairs: Vec<(Arm, Arm)> = steps
        .iter()
        .map(|(off, width)| (square(0, MIDDLE), square(*off, &format!("04_mma/128x128x32-{width}"))))
        .collect();
    let device = gpu(132);
    let verdict = |costs: [f64; 5]| {
        let cost = |cells: &[Cell], side: usize| {
            let off = cells[1].problem.lda - 3200;
            let step = steps.iter().position(|(o, _)| *o == off).unwrap();
            2.0 * plain_ns(&cells[0], &device) * if side == 1 { costs[step] } else { 1.0 }
        };
        judged("DR-02", records(&pairs, &cost))
    };
    let v = verdict([1.0, 1.0, 1.1, 1.2, 1.4]);
    assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
    let of_chain = v.questions[1].comparisons[0].note.as_deref().unwrap_or_default();
    assert!(of_chain.contains("against one and the same third"), "{of_chain}");
    // The step from 8 bytes to 4 is missing, which no pair shows by itself.
    let v = verdict([1.0, 1.0, 1.1, 1.1, 1.4]);
    assert_eq!(v.verdict, Finding::Contradicted, "{}", v.reason);
    assert!(v.reason.starts_with("4 bytes cost more than 8: no"), "{}", v.reason);
}

#[test]
fn one_line_of_shapes_does_not_try_the_model() {
    // A batch that grows within one wave takes one time: nothing is left to explain but noise.
    let device = gpu(132);
    let cost = |_: &[Cell], _: usize| 5e5;
    let alone = |problem: Problem| Listed {
        part: "made elsewhere".to_owned(),
        first: arm(problem, WAVE),
        second: None,
        repetitions: 1,
    };
    let verdict = |listed: Vec<Listed>| {
        let spec = Spec { preset: None, parts: Vec::new(), listed };
        let world = World { device: device.clone(), noise: CALM, blocks: 12, cost_ns: &cost, clock_mhz: [None; 2] };
        judged("DR-05", world.run_spec(&spec, 3))
    };
    let batches = (1..=40).map(|i| alone(Problem::new(8 * i, 2048, 2048))).collect();
    assert_eq!(verdict(batches).verdict, Finding::NotMeasurable);
    let equal = (1..=20).flat_map(|i| [1024, 1032, 1040].map(|n| alone(Problem::new(512 + 8 * i, n, 2048)))).collect();
    let v = verdict(equal);
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("too much alike"), "{}", v.reason);
}

#[test]
fn what_a_whole_line_is_worth_is_no_step_from_16_bytes_where_the_records_can_tell() {
    // Every cell against rows at whole lines, as a paired sweep has them: rows off a line cost 6 %, narrow loads nothing.
    let square = |off: u64, kernel: &str| arm(padded(Problem::new(3072, 3072, 3072), 128 + off), kernel);
    let pairs: Vec<(Arm, Arm)> = [(8, "a16"), (4, "a8"), (1, "a2")]
        .iter()
        .map(|(off, width)| (square(0, MIDDLE), square(*off, &format!("04_mma/128x128x32-{width}"))))
        .collect();
    let v = at("NV-02", &pairs, 1.06);
    assert_eq!(v.verdict, Finding::Contradicted, "{}", v.reason);
    // Where none are at 16 bytes and no better, those at whole lines have to do.
    assert_eq!(at("NV-02", &pairs[1..], 1.09).verdict, Finding::Supported);
}

#[test]
fn layers_that_do_not_fill_the_device_will_do_and_the_verdict_says_so() {
    let small = "04_mma/64x64x32-a16";
    let layer = |m: u64, edge: u64, kernel: &str| arm(Problem::new(m, edge, edge), kernel);
    let beyond = vec![(layer(128, 8192, WAVE), layer(129, 8192, WAVE))];
    for (ratio, finding) in [(1.0, Finding::Supported), (1.6, Finding::Contradicted)] {
        let v = at("RA-12", &beyond, ratio);
        assert_eq!(v.verdict, finding, "{}", v.reason);
        assert!(v.reason.contains("idle multiprocessors"), "{}", v.reason);
    }
    let batches =
        vec![(layer(2048, 4096, small), layer(192, 4096, small)), (layer(2048, 4096, small), layer(64, 4096, small))];
    // A row at batch 192 costs as much as on the plateau, and one at 64 half as much again; or all the same.
    let cost = |right: bool| {
        let device = gpu(132);
        move |cells: &[Cell], side: usize| {
            let p = cells[side].problem;
            let row = if right && p.m == 64 { 1.5 } else { 1.0 };
            2.0 * row * p.m as f64 * plain_ns(&cells[0], &device) / cells[0].problem.m as f64
        }
    };
    for (right, finding) in [(true, Finding::Supported), (false, Finding::Contradicted)] {
        let v = judged("NV-14", records(&batches, &cost(right)));
        assert_eq!(v.verdict, finding, "{}", v.reason);
        assert!(v.reason.contains("idle multiprocessors"), "{}", v.reason);
    }
    // What was planned is there, so nothing is said of idle multiprocessors.
    let planned = find("RA-12").unwrap().questions(&Bench::new(&gpu(132))).unwrap();
    let c = planned[0].comparisons()[0].clone();
    let v = at("RA-12", &[(c.first, c.second)], 1.0);
    assert!(v.verdict == Finding::Supported && !v.reason.contains("idle"), "{}", v.reason);
}
