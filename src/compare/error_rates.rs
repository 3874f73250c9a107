//! How often a comparison of two runs is wrong, over many pairs of runs that nobody made.

use super::judge::Observed;
use super::{Group, Verdict, judge};
use crate::stats::Estimate;
use crate::stats::noise::normal;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TRIALS: usize = 1000;
const CELLS: usize = 90;
const THRESHOLD: f64 = 0.03;

/// Cells that no group holds together.
const SCATTERED: [usize; 6] = [4, 17, 35, 50, 68, 83];

/// What is wrong with a pair of runs, and what changed between them. All figures are shares of a time.
#[derive(Clone, Copy)]
struct World {
    /// Standard deviation of what all cells of one run have in common, by the clock and in cycles.
    clock: f64,
    cycles: f64,
    /// Of a cell in a run.
    cell: f64,
    /// Chance that a cell of a run is disturbed as a whole, by up to a half, in cycles too.
    disturbed: f64,
    /// Change of each cell, and of each cell of the first group, which are a third of all.
    all: f64,
    third: f64,
    /// Change of each cell of the second group, which are six.
    six: f64,
    /// Change of six cells that have nothing in common.
    scattered: f64,
    /// Whether cells wait for memory, so that the clock changes their cycles and not their time.
    by_memory: bool,
    has_clocks: bool,
    /// Whether others use the device as well.
    shared: bool,
}

const SAME: World = World {
    clock: 0.015,
    cycles: 0.005,
    cell: 0.006,
    disturbed: 0.0,
    all: 0.0,
    third: 0.0,
    six: 0.0,
    scattered: 0.0,
    by_memory: false,
    has_clocks: true,
    shared: false,
};

impl World {
    fn pair(&self, rng: &mut ChaCha8Rng) -> Vec<Observed> {
        let both = |sd: f64, rng: &mut ChaCha8Rng| sd * (normal(rng) - normal(rng));
        let (clock, common) = (both(self.clock, rng), both(self.cycles, rng));
        (0..CELLS)
            .map(|i| {
                let mut cycles = common + both(self.cell, rng) + self.all.ln_1p();
                cycles += if i % 3 == 0 { self.third.ln_1p() } else { 0.0 };
                cycles += if i % 15 == 1 { self.six.ln_1p() } else { 0.0 };
                cycles += if SCATTERED.contains(&i) { self.scattered.ln_1p() } else { 0.0 };
                for sign in [-1.0, 1.0] {
                    if rng.random::<f64>() < self.disturbed {
                        cycles += sign * 0.5 * rng.random::<f64>();
                    }
                }
                let estimate = |value: f64| Estimate { value, se: 0.003, df: 11.0 };
                let [time, cycles] = if self.by_memory { [cycles, cycles - clock] } else { [cycles + clock, cycles] };
                Observed { time: estimate(time), cycles: self.has_clocks.then(|| estimate(cycles)) }
            })
            .collect()
    }

    /// Shares of slower, faster, same and unclear, and how often the first change of a group that is named is of the right one.
    fn rates(&self, seed: u64) -> ([f64; 4], f64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let of = |name: &str, is: &dyn Fn(usize) -> bool| Group {
            name: name.to_owned(),
            cells: (0..CELLS).filter(|&i| is(i)).collect(),
        };
        // Groups as runs have them: some that are changed, and many that have nothing to do with it.
        let mut groups = vec![of("third", &|i| i % 3 == 0), of("six", &|i| i % 15 == 1)];
        for by in [2, 5, 7, 9, 11] {
            groups.extend((0..by).map(|r| of(&format!("{r} of {by}"), &|i| i % by == r)));
        }
        let (mut counts, mut named) = ([0usize; 4], 0);
        for _ in 0..TRIALS {
            let found = judge(&self.pair(&mut rng), &groups, THRESHOLD, self.shared);
            counts[match found.overall.verdict {
                Verdict::Slower => 0,
                Verdict::Faster => 1,
                Verdict::Same => 2,
                Verdict::Unclear => 3,
            }] += 1;
            named += usize::from(found.groups.first().is_some_and(|g| g.name == "third" || g.name == "six"));
        }
        let share = |count: usize| count as f64 / TRIALS as f64;
        (counts.map(share), share(named))
    }
}

/// The rows of the table in `docs/METHODOLOGY.md`: run it with `--nocapture`.
#[test]
fn two_runs_are_judged_as_the_methodology_states() {
    // Without a change: at most one in twenty says slower, and at least this many say same. With one: most say slower.
    let without = [
        ("the same program, GPU with clocks", SAME, 0.9),
        ("the same, 5 % of the cells of each run disturbed", World { disturbed: 0.05, ..SAME }, 0.65),
        ("the same, without clocks", World { has_clocks: false, ..SAME }, 0.75),
        ("the same, GPU with clocks, limited by memory", World { by_memory: true, ..SAME }, 0.7),
        ("the same, twice the noise from cell to cell", World { cell: 0.012, ..SAME }, 0.9),
        (
            "the same, a CPU that others use, 5 % of the cells disturbed",
            World { cell: 0.015, disturbed: 0.05, shared: true, ..SAME },
            0.5,
        ),
    ];
    let with = [
        ("all cells 3 % slower, GPU with clocks", World { all: 0.03, ..SAME }, false),
        ("all cells 5 % slower, GPU with clocks", World { all: 0.05, ..SAME }, false),
        ("all cells 5 % slower, limited by memory", World { all: 0.05, by_memory: true, ..SAME }, false),
        ("six cells of 90 20 % slower that have nothing in common", World { scattered: 0.2, ..SAME }, false),
        ("a third of the cells 3 % slower, all of one kernel", World { third: 0.03, ..SAME }, true),
        ("the same, 5 % of the cells disturbed as well", World { third: 0.03, disturbed: 0.05, ..SAME }, true),
        ("the same on a CPU that others use", World { third: 0.03, shared: true, ..SAME }, true),
        ("six cells of 90 20 % slower, all of one alignment", World { six: 0.2, ..SAME }, true),
    ];
    let row = |what: &str, [slower, faster, same, unclear]: [f64; 4], named: f64| {
        let [slower, faster, same, unclear, named] = [slower, faster, same, unclear, named].map(|x| 100.0 * x);
        println!(
            "{what}: slower {slower:.1} %, faster {faster:.1} %, same {same:.1} %, unclear {unclear:.1} %; right group {named:.1} %"
        );
    };
    for (i, (what, world, same)) in without.into_iter().enumerate() {
        let (rates, named) = world.rates(100 + i as u64);
        row(what, rates, named);
        assert!(rates[0] <= 0.05 && rates[1] <= 0.05 && rates[2] >= same, "{what}: {rates:?}");
    }
    for (i, (what, world, of_group)) in with.into_iter().enumerate() {
        let (rates, named) = world.rates(200 + i as u64);
        row(what, rates, named);
        // A shift of all cells has to be there in time too, where the clocks of two runs differ; from a group's that difference cancels.
        let least = match (world.all * 100.0).round() as u32 {
            3 => 0.7,
            5 => 0.9,
            _ => 0.95,
        };
        assert!(rates[0] >= least && rates[1] <= 0.01, "{what}: {rates:?}");
        assert!(!of_group || named >= 0.95, "{what}: {named}");
    }
}
