//! How often verdicts on whole records are wrong: claims of each class, over random truths, noises and amounts of samples.

use super::synthetic::{Truth, World, cost_by, gpu};
use super::*;
use crate::record::Finding;
use crate::stats::Rule;
use crate::stats::noise::Noise;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TRIALS: usize = 200;

/// A claim of each class.
const CLASSES: [(&str, &str); 8] = [
    ("alignment", "NV-02"),
    ("waves", "NV-12"),
    ("powers of two", "DR-06"),
    ("trend with size", "NV-07"),
    ("choice of tile", "NV-19"),
    ("one effect over another", "DR-03"),
    ("cost of a row", "FK-06"),
    ("zeros and data", "MM-01"),
];

const NOISES: [Noise; 6] = [
    Noise { jitter: 0.01, drift: 0.0, memory: 0.0, outliers: 0.0, lasting: 0.0, unseen: 0.0 },
    Noise { jitter: 0.005, drift: 0.01, memory: 0.9, outliers: 0.005, lasting: 0.3, unseen: 0.0005 },
    Noise::RECORDED,
    Noise { jitter: 0.024, drift: 0.02, memory: 0.9, outliers: 0.0125, lasting: 0.375, unseen: 0.006 },
    Noise { jitter: 0.005, drift: 0.005, memory: 0.9, outliers: 0.05, lasting: 0.3, unseen: 0.001 },
    Noise { jitter: 0.005, drift: 0.03, memory: 0.97, outliers: 0.005, lasting: 0.3, unseen: 0.002 },
];

/// ln(B / A) of a comparison at which its question's answer is yes or no, by `beyond` more than it takes.
fn effect(q: &Question, c: &Comparison, truth: Truth, beyond: f64) -> f64 {
    if matches!(&q.evidence, Evidence::Mean { less, .. } if less.contains(c)) {
        return 0.0;
    }
    let best = matches!(q.evidence, Evidence::Best(_));
    match (q.rule, truth) {
        // The best of several arms saves as much, or none does.
        (Rule::AtLeast { support, .. }, Truth::Right) if best => -support - beyond,
        (Rule::AtLeast { .. }, Truth::Wrong) if best => beyond,
        (Rule::AtLeast { support, .. }, Truth::Right) => support + beyond,
        (Rule::AtLeast { contradict, .. }, Truth::Wrong) => contradict - beyond,
        (Rule::Within { within, .. }, Truth::Right) => (within - beyond).max(0.0),
        (Rule::Within { outside, .. }, Truth::Wrong) => outside + beyond,
    }
}

/// The rows of the table in `docs/METHODOLOGY.md`: run it with `--nocapture`.
#[test]
fn verdicts_on_random_records_are_hardly_ever_the_opposite_of_the_truth() {
    let device = gpu(132);
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    for (class, id) in CLASSES {
        let claim = find(id).unwrap();
        let (mut right, mut wrong) = (0, 0);
        for trial in 0..TRIALS {
            let truth = if rng.random::<bool>() { Truth::Right } else { Truth::Wrong };
            // From what it just takes to 6 % beyond.
            let beyond = 0.06 * rng.random::<f64>().powi(2);
            let cost = cost_by(claim, &device, truth, move |q, c| effect(q, c, truth, beyond));
            let noise = NOISES[rng.random_range(0..NOISES.len())];
            let (blocks, repetitions) = (rng.random_range(5..=24), rng.random_range(1..=7));
            let world = World { device: device.clone(), noise, blocks, cost_ns: &cost, clock_mhz: [None; 2] };
            let mut spec = spec(&[claim], &Bench::new(&device));
            spec.listed.iter_mut().for_each(|l| l.repetitions = repetitions);
            let records = Records::new(vec![world.run_spec(&spec, trial as u64)]).unwrap();
            let (should, opposite) = match truth {
                Truth::Right => (Finding::Supported, Finding::Contradicted),
                Truth::Wrong => (Finding::Contradicted, Finding::Supported),
            };
            let found = judge(&[claim], &records).verdicts[0].verdict;
            assert_ne!(found, Finding::NotMeasurable, "{id}");
            right += usize::from(found == should);
            wrong += usize::from(found == opposite);
        }
        let share = |count: usize| 100.0 * count as f64 / TRIALS as f64;
        let open = TRIALS - right - wrong;
        println!(
            "{class} ({id}): {:.1} % right, {:.1} % unclear, {:.1} % the opposite, of {TRIALS}",
            share(right),
            share(open),
            share(wrong)
        );
        assert!(share(wrong) <= 1.0 && share(right) >= 90.0, "{id}: {right} right, {wrong} wrong");
    }
}
