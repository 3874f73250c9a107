//! Verdicts on how a load begins, from records that nobody measured.

use super::synthetic::{gpu, manifest, plain_ns};
use super::*;
use crate::device::DeviceInfo;
use crate::record::{CellRecord, Finding, Manifest, Sample, Status, Verdict};
use crate::stats::noise::Noise;
use crate::sweep::{Cell, blank};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;

const TRIALS: usize = 200;

/// A sample each 20 ms.
const STEP_NS: u64 = 20_000_000;

/// Six seconds of them.
const SAMPLES: usize = 300;

const NOISES: [Noise; 5] = [
    Noise { jitter: 0.002, drift: 0.0, memory: 0.0, outliers: 0.0, lasting: 0.0, unseen: 0.0 },
    Noise { jitter: 0.005, drift: 0.002, memory: 0.9, outliers: 0.005, lasting: 0.3, unseen: 0.0 },
    Noise { jitter: 0.012, drift: 0.003, memory: 0.97, outliers: 0.0125, lasting: 0.375, unseen: 0.0 },
    Noise { jitter: 0.005, drift: 0.005, memory: 0.9, outliers: 0.05, lasting: 0.5, unseen: 0.0 },
    Noise { jitter: 0.012, drift: 0.01, memory: 0.9, outliers: 0.0125, lasting: 0.375, unseen: 0.0 },
];

/// How a device's time goes after a load has begun: what `t` seconds add to its logarithm, given a depth.
type Shape = fn(depth: f64, t: f64) -> f64;

/// Nearly three seconds of swinging by about the depth, then none.
fn rings(depth: f64, t: f64) -> f64 {
    if t < 2.8 { 0.53 * depth * (4.0 * PI * t).sin() } else { 0.0 }
}

/// A clock that sinks by an eighth more than the depth within three seconds.
fn sinks(depth: f64, t: f64) -> f64 {
    1.25 * depth * (t / 3.0).min(1.0)
}

/// Swinging that never ends.
fn never_settles(depth: f64, t: f64) -> f64 {
    depth / 2.0 * (4.0 * PI * t).sin()
}

/// A device that gets slower as long as it is watched.
fn drifts(depth: f64, t: f64) -> f64 {
    depth * t / 6.0
}

/// Records of MM-03 with that many repetitions.
struct World {
    device: DeviceInfo,
    noise: Noise,
    repetitions: u32,
    /// The clock that belongs to a factor of the time, if there is one.
    clock_mhz: fn(f64) -> Option<f64>,
}

impl World {
    fn records(&self, shape: impl Fn(f64) -> f64, seed: u64) -> (Manifest, Vec<CellRecord>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut spec = spec(&[find("MM-03").unwrap()], &Bench::new(&self.device));
        spec.listed.iter_mut().for_each(|l| l.repetitions = self.repetitions);
        let plan = Plan::new(&spec, self.device.kind(), seed).unwrap();
        let units: Vec<Vec<Cell>> = (0..plan.units()).map(|i| plan.unit(i)).collect();
        let record = |(i, unit): (usize, &Vec<Cell>)| {
            let cell = &unit[0];
            let (first, second) = self.noise.pair(SAMPLES / 4, 0.0, &mut rng);
            // In the order in which they were taken: A B B A.
            let noise = first.chunks(2).zip(second.chunks(2)).flat_map(|(a, b)| [a[0], b[0], b[1], a[1]]);
            let base = 2.0 * plain_ns(cell, &self.device);
            let mut record = blank(cell, &self.device.record.name);
            let (kernel, variant) = cell.kernel.split_once('/').expect("claims name variants");
            (record.kernel, record.variant) = (kernel.to_owned(), variant.to_owned());
            (record.status, record.idle_ns) = (Status::Ok, Some(2_000_000_000));
            record.samples = (0..)
                .zip(noise)
                .map(|(step, noise)| {
                    let swing = shape((step * STEP_NS) as f64 * 1e-9).exp();
                    Sample {
                        at_ns: 10_000_000_000 * i as u64 + step * STEP_NS,
                        elapsed_ns: (base * noise * swing) as u64,
                        launches: 1,
                        clock_mhz: (self.clock_mhz)(swing),
                        power_mw: None,
                        temperature_c: None,
                        throttle_bits: None,
                        throttled: false,
                    }
                })
                .collect();
            record
        };
        let cells = units.iter().enumerate().map(record).collect();
        (manifest(&self.device, seed), cells)
    }

    fn verdict(&self, shape: impl Fn(f64) -> f64, seed: u64) -> Verdict {
        verdict(self.records(shape, seed))
    }
}

fn verdict(run: (Manifest, Vec<CellRecord>)) -> Verdict {
    judge(&[find("MM-03").unwrap()], &Records::new(vec![run]).unwrap()).verdicts.remove(0)
}

fn calm() -> World {
    World { device: gpu(132), noise: NOISES[1], repetitions: REPETITIONS, clock_mhz: |_| None }
}

#[test]
fn what_swings_and_settles_is_told_from_what_never_does() {
    let world = calm();
    for (shape, depth, finding) in [
        (rings as Shape, 0.05, Finding::Supported),
        (sinks, 0.05, Finding::Supported),
        (never_settles, 0.05, Finding::Contradicted),
        (drifts, 0.05, Finding::Contradicted),
        (rings, 0.0, Finding::Contradicted),
    ] {
        let v = world.verdict(|t| shape(depth, t), 4);
        assert_eq!(v.verdict, finding, "{depth}: {}", v.reason);
        assert_eq!(v.samples, u64::from(REPETITIONS) * SAMPLES as u64);
    }
    let effect = world.verdict(|t| rings(0.05, t), 4).effect.unwrap();
    assert!((1.035..1.06).contains(&effect.value) && effect.lo < effect.value, "{effect:?}");
}

#[test]
fn where_the_clock_is_known_it_decides() {
    let swinging = |t: f64| rings(0.05, t);
    let clocked = |clock_mhz| World { clock_mhz, ..calm() };
    // Something else slows the launches: another program, memory.
    let v = clocked(|_| Some(1500.0)).verdict(swinging, 4);
    assert_eq!(v.verdict, Finding::Contradicted, "{}", v.reason);
    let v = clocked(|factor| Some(1500.0 / factor)).verdict(swinging, 4);
    assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
    assert!(v.questions[0].comparisons[0].first.starts_with("clock of 4096x4096x4096"), "{v:?}");
}

#[test]
fn records_that_cannot_show_it_are_left_out_with_the_reason() {
    let run = |change: &dyn Fn(&mut CellRecord)| {
        let (manifest, mut cells) = calm().records(|t| rings(0.05, t), 4);
        cells.iter_mut().for_each(change);
        verdict((manifest, cells))
    };
    let v = run(&|c| c.samples.truncate(160));
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("10 samples in a window of 3 s are too few"), "{}", v.reason);
    // Two of seven records: nothing shows how they scatter.
    let v = run(&|c| {
        if c.cell > 1 {
            c.samples.clear()
        }
    });
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    assert!(v.reason.contains("no samples"), "{}", v.reason);
    // A gap of two and a half seconds in the first window.
    let v = run(&|c| {
        let begin = c.samples[0].at_ns;
        c.samples.retain(|s| !(300_000_000..2_500_000_000).contains(&(s.at_ns - begin)));
    });
    assert_eq!(v.verdict, Finding::Unclear, "{}", v.reason);
    // The same cells as a steady measurement are no answer.
    let v = run(&|c| c.regime = "cold".to_owned());
    assert_eq!(v.verdict, Finding::NotMeasurable, "{}", v.reason);
}

#[test]
fn no_other_claim_takes_a_load_that_begins_for_a_steady_one() {
    let records = Records::new(vec![calm().records(|t| rings(0.05, t), 4)]).unwrap();
    let all: Vec<&Claim> = claims().filter(|c| c.id != "MM-03" && c.facts.is_none()).collect();
    for v in judge(&all, &records).verdicts {
        assert_eq!(v.verdict, Finding::NotMeasurable, "{}: {}", v.claim, v.reason);
    }
}

#[test]
fn another_problem_and_another_number_of_repetitions_will_do() {
    let (manifest, mut cells) = calm().records(|t| rings(0.05, t), 4);
    cells.truncate(4);
    for cell in &mut cells {
        cell.problem = crate::Problem::new(2048, 4096, 4096);
        cell.samples.iter_mut().for_each(|s| s.elapsed_ns /= 2);
    }
    let v = verdict((manifest, cells));
    assert_eq!(v.verdict, Finding::Supported, "{}", v.reason);
    assert!(v.reason.contains("by cells like the planned ones"), "{}", v.reason);
}

/// A row of the table in `docs/METHODOLOGY.md`: run it with `--nocapture`.
#[test]
fn verdicts_on_random_beginnings_are_hardly_ever_the_opposite_of_the_truth() {
    let mut rng = ChaCha8Rng::seed_from_u64(23);
    let (mut right, mut wrong) = (0, 0);
    for trial in 0..TRIALS {
        let swings = rng.random::<bool>();
        let beyond = 0.06 * rng.random::<f64>().powi(2);
        // What swings does so by 2 % and up to 6 % more; what does not may swing for ever, drift, or stand still.
        let shapes: [Shape; 2] = if swings { [rings, sinks] } else { [never_settles, drifts] };
        let shape = shapes[rng.random_range(0..2)];
        let depth = if swings { 0.02 + beyond } else { beyond };
        let noise = NOISES[rng.random_range(0..NOISES.len())];
        let world = World { noise, repetitions: rng.random_range(3..=7), ..calm() };
        let found = world.verdict(|t| shape(depth, t), trial as u64).verdict;
        let (should, opposite) = match swings {
            true => (Finding::Supported, Finding::Contradicted),
            false => (Finding::Contradicted, Finding::Supported),
        };
        right += usize::from(found == should);
        wrong += usize::from(found == opposite);
    }
    let share = |count: usize| 100.0 * count as f64 / TRIALS as f64;
    let open = TRIALS - right - wrong;
    println!(
        "beginning of a load (MM-03): {:.1} % right, {:.1} % unclear, {:.1} % the opposite, of {TRIALS}",
        share(right),
        share(open),
        share(wrong)
    );
    assert!(share(wrong) <= 1.0 && share(right) >= 60.0, "{right} right, {wrong} wrong");
}
