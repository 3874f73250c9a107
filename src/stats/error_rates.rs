//! How often verdicts are wrong, measured on noise like the recorded one.

use super::noise::Noise;
use super::{ALPHA, Decision, Rule, Unit, block_log_ratios, decide, false_discovery, median_interval, repeated};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const TRIALS: u32 = 1000;

/// Shares of yes, of no, and of neither over many experiments.
fn rates(noise: Noise, effect: f64, rule: Rule, repetitions: usize, blocks: usize, seed: u64) -> [f64; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut counts = [0u32; 3];
    for _ in 0..TRIALS {
        let units: Vec<Unit> = (0..repetitions)
            .map(|_| {
                let (a, b) = noise.pair(blocks, effect, &mut rng);
                Unit { blocks: block_log_ratios(&a, &b) }
            })
            .collect();
        let decision = repeated(&units).map_or(Decision::Neither, |e| decide(&e, rule, ALPHA));
        let i = match decision {
            Decision::Yes(_) => 0,
            Decision::No(_) => 1,
            Decision::Between | Decision::Neither => 2,
        };
        counts[i] += 1;
    }
    counts.map(|c| f64::from(c) / f64::from(TRIALS))
}

/// An effect, however small: the interval excludes none.
const ANY: Rule = Rule::AtLeast { support: 0.0, contradict: 0.0 };
/// An effect of 3 % that one of half a percent is not.
const THREE_PERCENT: Rule = Rule::AtLeast { support: 0.03, contradict: 0.005 };
/// No effect of 3 %.
const NONE: Rule = Rule::Within { within: 0.01, outside: 0.03 };

/// The noise of the requirement: 1 % jitter, with drift, disturbances and repetitions that are off.
const ONE_PERCENT: Noise = Noise { jitter: 0.01, ..Noise::RECORDED };

/// Repetitions and blocks of each: as `validate` runs them, fewer, and a single long cell of somebody else's records.
const DESIGNS: [(usize, usize); 6] = [(7, 12), (5, 12), (3, 24), (1, 50), (1, 12), (2, 20)];

#[test]
fn without_an_effect_one_is_seen_in_at_most_five_percent() {
    for (i, (repetitions, blocks)) in DESIGNS.into_iter().enumerate() {
        for (j, noise) in [Noise::RECORDED, ONE_PERCENT, Noise::RECORDED.scaled(2.0)].into_iter().enumerate() {
            // An effect of either sign is a mistake here.
            let [up, down, _] = rates(noise, 0.0, ANY, repetitions, blocks, (10 * i + j) as u64);
            // Three standard errors of 1000 trials are 2 %.
            assert!(up + down <= 0.05 + 0.02, "{repetitions} x {blocks}, noise {j}: {up} {down}");
        }
    }
}

#[test]
fn three_percent_under_one_percent_noise_are_found() {
    for (i, (repetitions, blocks)) in DESIGNS.into_iter().enumerate() {
        let [found, denied, _] = rates(ONE_PERCENT, 0.03, THREE_PERCENT, repetitions, blocks, 100 + i as u64);
        assert!(found >= 0.95 && denied <= 0.01, "{repetitions} x {blocks}: found {found}, denied {denied}");
    }
}

#[test]
fn its_absence_is_found_as_well() {
    for (i, (repetitions, blocks)) in DESIGNS.into_iter().enumerate() {
        let [none, some, _] = rates(ONE_PERCENT, 0.0, NONE, repetitions, blocks, 200 + i as u64);
        assert!(none >= 0.95 && some <= 0.01, "{repetitions} x {blocks}: none {none}, some {some}");
        let [found, denied, _] = rates(ONE_PERCENT, 0.0, THREE_PERCENT, repetitions, blocks, 250 + i as u64);
        assert!(found <= 0.01 && denied >= 0.95, "{repetitions} x {blocks}: found {found}, denied {denied}");
    }
}

#[test]
fn more_noise_makes_verdicts_unclear_and_not_wrong() {
    for (i, (repetitions, blocks)) in DESIGNS.into_iter().enumerate() {
        for (by, least_unclear) in [(2.0, 0.0), (10.0, 0.5)] {
            let noise = ONE_PERCENT.scaled(by);
            let seed = 300 + 10 * i as u64;
            let [_, denied, unclear] = rates(noise, 0.03, THREE_PERCENT, repetitions, blocks, seed);
            assert!(denied <= 0.05 + 0.02, "{repetitions} x {blocks}, noise x {by}: denied {denied}");
            assert!(unclear >= least_unclear, "{repetitions} x {blocks}, noise x {by}: unclear {unclear}");
            let [found, _, unclear] = rates(noise, 0.0, THREE_PERCENT, repetitions, blocks, seed + 1);
            assert!(found <= 0.05 + 0.02, "{repetitions} x {blocks}, noise x {by}: found {found}");
            assert!(unclear >= least_unclear, "{repetitions} x {blocks}, noise x {by}: unclear {unclear}");
        }
    }
}

/// The rows of the table in `docs/METHODOLOGY.md`: run it with `--nocapture`.
#[test]
fn the_rates_that_the_methodology_states() {
    let rows: [(&str, Noise, f64, Rule); 5] = [
        ("no effect, recorded noise: an effect of either sign", Noise::RECORDED, 0.0, ANY),
        ("3 % under 1 % of jitter: at least 3 %", ONE_PERCENT, 0.03, THREE_PERCENT),
        ("no effect under 1 % of jitter: none", ONE_PERCENT, 0.0, NONE),
        ("3 % under doubled noise", ONE_PERCENT.scaled(2.0), 0.03, THREE_PERCENT),
        ("3 % under ten times the noise", ONE_PERCENT.scaled(10.0), 0.03, THREE_PERCENT),
    ];
    for (i, (what, noise, effect, rule)) in rows.into_iter().enumerate() {
        let [yes, no, unclear] = rates(noise, effect, rule, 7, 12, 400 + i as u64);
        // Of an effect of either sign, both answers are mistakes.
        let (says, opposite) = if rule == ANY { (yes + no, 0.0) } else { (yes, no) };
        let [says, opposite, unclear] = [says, opposite, unclear].map(|share| 100.0 * share);
        println!("{what}: {says:.1} % say so, {opposite:.1} % the opposite, {unclear:.1} % neither, of {TRIALS}");
        assert!(opposite <= 5.0 && (rule != ANY || says <= 7.0), "{what}");
    }
}

#[test]
fn an_interval_for_independent_samples_would_err_more_often() {
    // One long cell each, measured apart: the order statistics of its samples do not know that the machine wanders.
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let trials = 500;
    let mut naive = 0;
    for _ in 0..trials {
        let (a, _) = Noise::RECORDED.pair(100, 0.0, &mut rng);
        let interval = median_interval(&a).unwrap();
        naive += u32::from(!(interval.lo..=interval.hi).contains(&1.0));
    }
    assert!(naive > trials / 8, "{naive} of {trials}");
}

#[test]
fn of_many_verdicts_taken_together_one_in_twenty_is_wrong_at_most() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (mut wrong, mut given, mut due) = (0.0, 0.0, 0.0);
    for _ in 0..100 {
        // Forty claims: half of the effects are there, half are as small as the rule calls none.
        let claims: Vec<(f64, Decision)> = (0..40)
            .map(|i| {
                let effect = if i % 2 == 0 { 0.03 } else { 0.005 };
                let units: Vec<Unit> = (0..7)
                    .map(|_| {
                        let (a, b) = ONE_PERCENT.pair(12, effect, &mut rng);
                        Unit { blocks: block_log_ratios(&a, &b) }
                    })
                    .collect();
                (effect, repeated(&units).map_or(Decision::Neither, |e| decide(&e, THREE_PERCENT, ALPHA)))
            })
            .collect();
        let p: Vec<f64> = claims.iter().map(|(_, d)| d.p().unwrap_or(1.0)).collect();
        for ((effect, decision), p) in claims.iter().zip(false_discovery(&p)) {
            due += 1.0;
            if p <= ALPHA {
                given += 1.0;
                let right = if *effect == 0.03 {
                    matches!(decision, Decision::Yes(_))
                } else {
                    matches!(decision, Decision::No(_))
                };
                wrong += f64::from(u8::from(!right));
            }
        }
    }
    assert!(wrong / given <= 0.05, "{wrong} of {given}");
    assert!(given / due >= 0.9, "{given} of {due}");
}
