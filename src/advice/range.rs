//! The sizes of one free dimension: where time steps, and which sizes use what they pay for.

use super::Planner;
use super::nearby::resized;
use crate::model::{coulom_batch, full_wave_batch};
use crate::problem::Problem;
use serde::Serialize;

/// One size and its cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The size.
    pub value: u64,
    /// Predicted time.
    pub time_ns: f64,
    /// The kernel that is fastest.
    pub kernel: String,
}

/// Neighbouring sizes that cost the same, within a few per cent: their largest is the one to choose.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plateau {
    /// Smallest size.
    pub from: u64,
    /// Largest size.
    pub to: u64,
    /// Time at the largest.
    pub time_ns: f64,
    /// The same for one unit of the size: what an image or a row costs.
    pub unit_ns: f64,
    /// By how much the next size is dearer, as a share; 0 at the end of the range.
    pub step: f64,
    /// The kernel at the largest.
    pub kernel: String,
}

/// What the sizes of a dimension cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Range {
    /// `m`, `n` or `k`.
    pub dimension: &'static str,
    /// Every size in ascending order.
    pub points: Vec<Point>,
    /// What Coulom's formula and an exact count of tiles say of full waves.
    pub full_waves: Vec<FullWave>,
}

/// Batches that fill a number of waves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FullWave {
    /// The number of waves.
    pub waves: u64,
    /// int(waves · tile area · slots / (rows · columns)): Coulom's formula with slots = multiprocessors x occupancy.
    pub coulom: u64,
    /// The largest size whose tiles fit into these waves.
    pub exact: u64,
    /// The tile and the slots that it was computed with.
    pub tile: [u64; 3],
    /// Multiprocessors times occupancy.
    pub slots: u64,
}

/// The sizes of a range that are gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thinned {
    /// In ascending order, each once.
    pub sizes: Vec<u64>,
    /// Sizes that were asked for.
    pub of: usize,
    /// Beyond the smallest quarter only multiples of this are among them; `None` where all are.
    pub multiple: Option<u64>,
}

/// At most `most` of the sizes: the smallest quarter as they are, then multiples of a power of two, and the largest.
///
/// Edges of tiles are multiples of 8, so that among large sizes the ones worth having are such multiples too: the size just below
/// one pays for the same tiles, and its rows are no better aligned.
pub fn thinned(mut sizes: Vec<u64>, most: usize) -> Thinned {
    sizes.sort_unstable();
    sizes.dedup();
    let of = sizes.len();
    if of <= most {
        return Thinned { sizes, of, multiple: None };
    }
    let (first, rest) = sizes.split_at(most / 4);
    let room = most - first.len() - 1;
    let (last, mut multiple) = (sizes[of - 1], 8);
    while rest.iter().filter(|&&v| v % multiple == 0).count() > room && multiple < 1 << 62 {
        multiple *= 2;
    }
    let kept = rest.iter().copied().filter(|&v| v % multiple == 0 || v == last);
    Thinned { sizes: first.iter().copied().chain(kept).collect(), of, multiple: Some(multiple) }
}

/// A step of less than this share of the time is not one.
const STEP: f64 = 0.03;

impl Range {
    /// Predicts every size; `values` in any order, `rows` of the GEMM for each unit where the dimension is m.
    pub fn new(problem: &Problem, dimension: &'static str, values: &[u64], rows: u64, planner: &Planner) -> Range {
        let mut values = values.to_vec();
        values.sort_unstable();
        values.dedup();
        let at = |value: u64| resized(problem, dimension, if dimension == "m" { value * rows } else { value });
        let points = values.iter().map(|&value| {
            let best = planner.best(&at(value));
            Point { value, time_ns: best.prediction.total_ns(), kernel: best.name }
        });
        let points: Vec<Point> = points.collect();
        let full_waves = match (dimension, values.last()) {
            ("m", Some(&last)) => full_waves(&at(last), last, rows, planner),
            _ => Vec::new(),
        };
        Range { dimension, points, full_waves }
    }

    /// The plateaus of a dimension of which every unit counts, in ascending order.
    pub fn plateaus(&self) -> Vec<Plateau> {
        let mut plateaus: Vec<Plateau> = Vec::new();
        let mut low = 0.0;
        for point in &self.points {
            let starts = plateaus.is_empty() || point.time_ns > low * (1.0 + STEP);
            if starts {
                if let Some(last) = plateaus.last_mut() {
                    last.step = point.time_ns / last.time_ns - 1.0;
                }
                low = point.time_ns;
                plateaus.push(Plateau {
                    from: point.value,
                    to: point.value,
                    time_ns: 0.0,
                    unit_ns: 0.0,
                    step: 0.0,
                    kernel: String::new(),
                });
            }
            let last = plateaus.last_mut().expect("one was begun");
            low = low.min(point.time_ns);
            (last.to, last.time_ns, last.unit_ns) =
                (point.value, point.time_ns, point.time_ns / point.value.max(1) as f64);
            last.kernel.clone_from(&point.kernel);
        }
        plateaus
    }

    /// The sizes of a dimension of which only the smallest is needed, each faster than all smaller ones by a per cent or more.
    pub fn paddings(&self) -> Vec<&Point> {
        let mut kept: Vec<&Point> = Vec::new();
        for point in &self.points {
            if kept.last().is_none_or(|last| point.time_ns < last.time_ns * 0.99) {
                kept.push(point);
            }
        }
        kept
    }

    /// The size with the least time for one unit.
    pub fn cheapest_unit(&self) -> Option<&Point> {
        let unit = |p: &Point| p.time_ns / p.value.max(1) as f64;
        self.points.iter().min_by(|a, b| unit(a).total_cmp(&unit(b)))
    }
}

/// Full waves of the kernel that is fastest for the largest size, while they stay within it, at most eight.
fn full_waves(largest: &Problem, last: u64, rows: u64, planner: &Planner) -> Vec<FullWave> {
    let best = planner.best(largest);
    if planner.description.is_cpu() {
        return Vec::new();
    }
    let (tile, slots) = (best.execution.tile, best.prediction.waves.slots);
    (1..=8)
        .filter_map(|waves| {
            let exact = full_wave_batch(waves, tile, slots, rows, largest.n)?;
            let coulom = coulom_batch(waves, tile, slots, rows, largest.n);
            (exact <= last).then_some(FullWave { waves, coulom, exact, tile, slots })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::Family;
    use crate::model::DeviceDescription;
    use proptest::prelude::*;

    fn planner() -> Planner {
        Planner::described(DeviceDescription::named("h100-sxm").unwrap(), Family::Library)
    }

    proptest! {
        #[test]
        fn a_long_range_is_thinned_and_keeps_its_ends(from in 0u64..1 << 20, len in 1u64..20_000, step in 1u64..100, most in 8usize..600) {
            let all: Vec<u64> = (0..len).map(|i| from + i * step).collect();
            let found = thinned(all.iter().rev().copied().collect(), most);
            prop_assert!(found.sizes.len() <= most && found.of == all.len());
            prop_assert_eq!((found.sizes.first(), found.sizes.last()), (all.first(), all.last()));
            prop_assert!(found.sizes.is_sorted_by(|a, b| a < b));
            let multiple = found.multiple.unwrap_or(1);
            // Nothing is left out but what the multiple says.
            let expected = all.iter().enumerate().filter(|(i, v)| {
                found.multiple.is_none() || *i < most / 4 || *v % multiple == 0 || *i + 1 == all.len()
            });
            prop_assert!(expected.map(|(_, v)| v).eq(found.sizes.iter()));
        }
    }

    #[test]
    fn plateaus_cover_the_range_and_end_before_steps() {
        let values: Vec<u64> = (1..=600).collect();
        let range = Range::new(&Problem::new(1, 4096, 4096), "m", &values, 1, &planner());
        let plateaus = range.plateaus();
        assert_eq!(plateaus[0].from, 1);
        assert_eq!(plateaus.last().unwrap().to, 600);
        for pair in plateaus.windows(2) {
            assert_eq!(pair[0].to + 1, pair[1].from);
            let time = |v: u64| range.points[v as usize - 1].time_ns;
            assert!(time(pair[1].from) > time(pair[0].from) * (1.0 + STEP));
            assert!((time(pair[1].from) / time(pair[0].to) - 1.0 - pair[0].step).abs() < 1e-12);
        }
        // Weights are read once whatever the batch: the first plateau is long.
        assert!(plateaus[0].to >= 64, "{:?}", plateaus[0]);
    }

    #[test]
    fn padding_stops_where_it_no_longer_pays() {
        let values: Vec<u64> = (50257..=50432).collect();
        let range = Range::new(&Problem::new(16384, 1, 768), "n", &values, 1, &planner());
        let kept: Vec<u64> = range.paddings().iter().map(|p| p.value).collect();
        assert_eq!(kept[0], 50257, "what is asked for comes first");
        assert_eq!(kept.last().unwrap() % 8, 0, "{kept:?}");
        assert!(kept.len() >= 2 && kept.len() < 8, "{kept:?}");
    }

    #[test]
    fn coulom_s_batches_of_the_go_net_are_full_waves() {
        let values: Vec<u64> = (1..=120).collect();
        let range = Range::new(&Problem::new(361, 256, 2304), "m", &values, 361, &planner());
        assert!(!range.full_waves.is_empty());
        for full in &range.full_waves {
            let [m, n, _] = full.tile;
            assert_eq!(full.coulom, full.waves * m * n * full.slots / (361 * 256));
            let tiles = |batch: u64| (batch * 361).div_ceil(m) * 256u64.div_ceil(n);
            assert!(tiles(full.exact) <= full.waves * full.slots && tiles(full.exact + 1) > full.waves * full.slots);
        }
    }
}
