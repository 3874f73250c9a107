//! Cells that stand in for planned ones: where records hold none of a question's own cells, the same comparison at other sizes.
//!
//! What makes two records the comparison that was planned is read off the plan: which sizes, strides and offsets its arms share, how well each
//! operand is aligned, in which direction and how far sizes differ, how many waves of tiles each arm takes, and, where memory has a say, how many
//! FLOP each arm does a byte. Everything else is free.

use super::bench::Bench;
use super::experiment::{Comparison, Evidence, Held, Per, Question};
use super::facts::intensity;
use super::fit::are_shapes;
use super::judge::Judge;
use super::records::{Found, Key};
use super::sound::named;
use crate::data::Distribution;
use crate::device::DeviceInfo;
use crate::measure::Regime;
use crate::problem::{Operand, Problem};
use crate::record::{DeviceKind, Status};
use crate::stats::Rule;
use crate::sweep::Arm;
use std::collections::{BTreeMap, HashSet};

/// How far a size may be from the planned one, as a factor.
const WINDOW: f64 = 4.0;

/// The same of a size that is what differs between the arms.
const FAR_WINDOW: f64 = 2.0;

/// Sizes that differ by up to this share are neighbours.
const NEAR: f64 = 0.07;

/// Bytes of a line of a GPU's cache.
const LINE: u64 = 128;

/// How far the number of FLOP a byte may be from the planned one where memory has a say, as a logarithm.
const INTENSITY: f64 = 0.35;

/// How far the last wave's share of a whole one may be from the planned one.
const LAST_WAVE: f64 = 0.2;

/// Most comparisons that stand in for one, and most cells that are tried for an arm.
const MOST: usize = 16;
const TRIED: usize = 192;

/// A recorded problem, its regime, and what its operands were drawn from where its run's were from something else.
type Place = (Problem, Regime, Option<Distribution>);

impl Judge<'_> {
    /// The evidence that records hold in place of a question's own, the nearest first. Cells that are nearer to another question of the claim are
    /// left to that one. `None` where there is none.
    ///
    /// # Errors
    /// There are such cells, and the reason why they cannot be used.
    pub fn stand_ins(&self, q: &Question, all: &[Question]) -> Result<Option<Evidence>, String> {
        let bench = Bench::new(self.device);
        let rivals: Vec<Sketch<'_>> = all
            .iter()
            .filter(|other| *other != q)
            .flat_map(|other| other.comparisons().into_iter().map(|c| Sketch::new(other, c, &bench)))
            .collect();
        let mut why = None;
        let mut instead = |planned: &[Comparison]| -> Vec<Comparison> {
            let mut found: Vec<Comparison> = Vec::new();
            for c in planned {
                let sketch = Sketch::new(q, c, &bench);
                let mut of = |sketch: &Sketch<'_>, in_turn_alone: bool| -> Vec<Comparison> {
                    let mut new = Vec::new();
                    for (a, b) in self.places_like(sketch, &rivals) {
                        let arm = |planned: &Arm, (problem, regime, distribution): Place| Arm {
                            problem,
                            regime,
                            distribution,
                            ..planned.clone()
                        };
                        let one = Comparison { first: arm(&c.first, a), second: arm(&c.second, b), ..c.clone() };
                        let compared = self.compare(&one);
                        match compared.effect {
                            Some(_) if in_turn_alone && !compared.in_turn => {}
                            Some(_) => new.push(one),
                            None => why = why.take().or(compared.record.note),
                        }
                    }
                    new
                };
                // Best are rows aligned as planned up to a whole line, which may be worth something by itself.
                let to_the_line = sketch.to_the_line().map(|s| of(&s, true)).unwrap_or_default();
                let new = if to_the_line.is_empty() { of(&sketch, false) } else { to_the_line };
                new.into_iter().for_each(|one| {
                    if !found.contains(&one) {
                        found.push(one);
                    }
                });
            }
            found
        };
        let evidence = match &q.evidence {
            Evidence::Mean { comparisons, less } => {
                let evidence = Evidence::Mean { comparisons: instead(comparisons), less: instead(less) };
                let whole = matches!(&evidence, Evidence::Mean { comparisons, less: off }
                    if !comparisons.is_empty() && off.is_empty() == less.is_empty());
                whole.then_some(evidence)
            }
            Evidence::Between(planned) => {
                let side = |i: usize| planned.iter().map(|pair| pair[i].clone()).collect::<Vec<Comparison>>();
                let found = super::between::pairs(instead(&side(0)), instead(&side(1)));
                (!found.is_empty()).then_some(Evidence::Between(found))
            }
            Evidence::Best(groups) => {
                // A problem counts where all the tiles of a group ran it.
                let found: Vec<Vec<Comparison>> = groups.iter().map(|g| instead(g)).collect();
                let mut by_problem: BTreeMap<Key, Vec<Comparison>> = BTreeMap::new();
                for c in found.into_iter().flatten() {
                    let of = by_problem.entry(Key::of_arm(&c.first)).or_default();
                    if !of.contains(&c) {
                        of.push(c);
                    }
                }
                let whole: Vec<Vec<Comparison>> = by_problem
                    .into_values()
                    .filter(|g| groups.iter().any(|planned| planned.len() == g.len()))
                    .collect();
                (!whole.is_empty()).then_some(Evidence::Best(whole))
            }
            Evidence::Spread(_) => {
                let arms = self.cells(is_steady, |_| true);
                (!arms.is_empty()).then_some(Evidence::Spread(arms.into_iter().take(MOST).collect()))
            }
            Evidence::Onset(_) => {
                let arms = self.cells(|setting| setting == (Regime::Onset, None), |_| true);
                (!arms.is_empty()).then_some(Evidence::Onset(arms.into_iter().take(MOST).collect()))
            }
            Evidence::Fit(_) => {
                let aligned = |p: &Problem| Operand::ALL.iter().all(|&o| p.align_bytes(o) >= 16);
                let mut by_kernel: BTreeMap<(String, &str), Vec<Arm>> = BTreeMap::new();
                for arm in self.cells(is_steady, aligned) {
                    by_kernel.entry((arm.kernel.clone(), arm.regime.name())).or_default().push(arm);
                }
                let problems = |arms: &[Arm]| arms.iter().map(|a| a.problem).collect::<Vec<Problem>>();
                let shapes = by_kernel.into_values().filter(|arms| are_shapes(&problems(arms)));
                shapes.max_by_key(Vec::len).map(Evidence::Fit)
            }
            // It takes cells of other sizes as they are.
            Evidence::Refused { .. } => None,
        };
        match (evidence, why) {
            (None, Some(why)) => Err(why),
            (evidence, _) => Ok(evidence),
        }
    }

    /// The cells that ran on kernels of the catalog, those with the most samples first.
    fn cells(&self, measured: impl Fn(Setting) -> bool, wanted: impl Fn(&Problem) -> bool) -> Vec<Arm> {
        let mut cells: Vec<(Arm, usize)> = Vec::new();
        let mut seen: HashSet<(&Key, String)> = HashSet::new();
        for found in self.index.found.iter().filter(|f| f.unusable.is_none() && wanted(&f.record.problem)) {
            let (kernel, Some(setting)) = (found.name(), found.setting().filter(|s| measured(*s))) else { continue };
            let (regime, distribution) = setting;
            let ours = named(&kernel, self.device.kind()).is_some_and(|(k, _)| k.name != "cublaslt");
            if ours && seen.insert((&found.key, kernel.clone())) {
                cells.push((Arm { problem: found.record.problem, kernel, regime, distribution }, found.times.len()));
            }
        }
        cells.sort_by_key(|(_, samples)| std::cmp::Reverse(*samples));
        cells.into_iter().map(|(arm, _)| arm).collect()
    }
}

/// How a cell was measured, and what its operands were drawn from where that is not what its run's were.
type Setting = (Regime, Option<Distribution>);

/// Whether cells were measured as those of a sweep are: warm, and on the data of their run.
fn is_steady(setting: Setting) -> bool {
    matches!(setting, (Regime::Hot | Regime::Cold, None))
}

/// What was recorded: problems that were measured in turn, and problems, each once, by the numbers of their first records.
#[derive(Debug)]
pub(super) struct Places {
    pairs: Vec<[u32; 2]>,
    alone: Vec<u32>,
}

fn place(found: &Found<'_>) -> Option<Place> {
    (found.record.status == Status::Ok).then_some(())?;
    let (regime, distribution) = found.setting()?;
    Some((found.record.problem, regime, distribution))
}

impl Places {
    /// The places of an index's records, whose numbers `by_key` has in the order of their keys.
    pub fn of(found: &[Found<'_>], by_key: &[u32]) -> Places {
        // Equal keys have one rank, so that a key is compared with its neighbour alone.
        let mut rank = vec![0u32; found.len()];
        for (ranked, alike) in by_key.chunk_by(|&a, &b| found[a as usize].key == found[b as usize].key).enumerate() {
            alike.iter().for_each(|&i| rank[i as usize] = ranked as u32);
        }
        let (mut pairs, mut alone) = (Vec::new(), Vec::new());
        let (mut seen_pairs, mut seen) = (HashSet::new(), vec![false; found.len()]);
        for (i, f) in found.iter().enumerate() {
            if place(f).is_none() {
                continue;
            }
            if !std::mem::replace(&mut seen[rank[i] as usize], true) {
                alone.push(i as u32);
            }
            if let Some((partner, _)) = f.partner
                && place(&found[partner]).is_some()
                && seen_pairs.insert([rank[i], rank[partner]])
            {
                pairs.push([i as u32, partner as u32]);
            }
        }
        Places { pairs, alone }
    }
}

impl Judge<'_> {
    /// The pairs of problems that are like a comparison's, the nearest first: those measured in turn, or else any.
    fn places_like(&self, sketch: &Sketch<'_>, rivals: &[Sketch<'_>]) -> Vec<(Place, Place)> {
        let places = self.index.places();
        let at = |i: u32| place(&self.index.found[i as usize]).expect("only such records have a place");
        let mut found: Vec<(f64, Place, Place)> = Vec::new();
        let take = |a: &Place, b: &Place, found: &mut Vec<(f64, Place, Place)>| {
            if !sketch.like(a, b, self.device) {
                return;
            }
            let distance = sketch.distance(a, b);
            let taken = rivals.iter().any(|r| r.distance(a, b) < distance - 1e-9 && r.like(a, b, self.device));
            if !taken {
                found.push((distance, *a, *b));
            }
        };
        for [a, b] in &places.pairs {
            take(&at(*a), &at(*b), &mut found);
        }
        if found.is_empty() {
            let nearest = |planned: &Arm| -> Vec<Place> {
                let problem = |i: u32| &self.index.found[i as usize].record.problem;
                let apart = places.alone.iter().map(|&i| (apart(&planned.problem, problem(i)), i));
                let mut near: Vec<(f64, u32)> = apart.filter(|(apart, _)| apart.is_finite()).collect();
                let order = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
                if near.len() > TRIED {
                    near.select_nth_unstable_by(TRIED, order);
                    near.truncate(TRIED);
                }
                near.sort_by(order);
                near.into_iter().map(|(_, i)| at(i)).collect()
            };
            let (first, second) = (nearest(&sketch.c.first), nearest(&sketch.c.second));
            for a in &first {
                for b in &second {
                    take(a, b, &mut found);
                }
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.into_iter().take(MOST).map(|(_, a, b)| (a, b)).collect()
    }
}

fn sizes(p: &Problem) -> [u64; 3] {
    [p.m, p.n, p.k]
}

/// Distance of two problems' sizes, a sum of logarithms of factors; infinite where one is too far off or they are of different kinds.
fn apart(planned: &Problem, p: &Problem) -> f64 {
    if (planned.layout, planned.dtype) != (p.layout, p.dtype) || (planned.alpha, planned.beta) != (p.alpha, p.beta) {
        return f64::INFINITY;
    }
    let factors = || sizes(planned).into_iter().zip(sizes(p)).map(|(x, y)| y.max(1) as f64 / x.max(1) as f64);
    // Most records are far off, and a logarithm is dear.
    if factors().any(|factor| !(0.99 / WINDOW..1.01 * WINDOW).contains(&factor)) {
        return f64::INFINITY;
    }
    factors()
        .map(|factor| factor.ln().abs())
        .fold(0.0, |sum, d| if d > WINDOW.ln() + 1e-9 { f64::INFINITY } else { sum + d })
}

/// What makes two problems a comparison's.
struct Sketch<'a> {
    c: &'a Comparison,
    /// Alignment in bytes from which on no difference is made.
    cap: u64,
    /// FLOP that the device does while memory gives a byte; 0 where that is not known.
    ratio: f64,
    units: f64,
    /// Whether the arms' sizes are no neighbours.
    far: bool,
    /// Whether the number of waves is part of what is compared.
    waves: bool,
}

impl<'a> Sketch<'a> {
    fn new(q: &Question, c: &'a Comparison, bench: &Bench) -> Sketch<'a> {
        let (a, b) = (&c.first.problem, &c.second.problem);
        let differs = |cap: &u64| Operand::ALL.iter().any(|&o| class(a, o, *cap) != class(b, o, *cap));
        // The least class that tells the arms apart; among equal sizes that can be one beyond the width of loads.
        let caps: &[u64] = if c.held.contains(&Held::Sizes) { &[16, 128, 2048] } else { &[16] };
        let cap = caps.iter().copied().find(|cap| differs(cap)).unwrap_or(16);
        let far = sizes(a).into_iter().zip(sizes(b)).any(|(x, y)| (y as f64 / x as f64).ln().abs() > NEAR);
        let held = c.held.contains(&Held::Tiles) || c.held.contains(&Held::Sizes) && c.first.kernel == c.second.kernel;
        // That a row more makes no difference to the others is said of any number of waves.
        let said_of_any =
            c.per == Per::Row && matches!(q.rule, Rule::Within { .. }) || matches!(q.evidence, Evidence::Best(_));
        let waves = !(bench.is_cpu() || far || held || said_of_any);
        Sketch { c, cap, ratio: bench.flop_per_byte().unwrap_or(0.0), units: bench.units() as f64, far, waves }
    }

    /// The same with rows aligned as planned up to a cache line of 128 bytes, where that is more.
    fn to_the_line(&self) -> Option<Sketch<'a>> {
        (self.cap < LINE).then_some(Sketch { cap: LINE, ..*self })
    }

    fn distance(&self, a: &Place, b: &Place) -> f64 {
        apart(&self.c.first.problem, &a.0) + apart(&self.c.second.problem, &b.0)
    }

    fn like(&self, (a, regime_a, data_a): &Place, (b, regime_b, data_b): &Place, device: &DeviceInfo) -> bool {
        let (first, second) = (&self.c.first.problem, &self.c.second.problem);
        if apart(first, a) + apart(second, b) == f64::INFINITY {
            return false;
        }
        let aligned = |planned, p| Operand::ALL.iter().all(|&o| class(planned, o, self.cap) == class(p, o, self.cap));
        aligned(first, a)
            && aligned(second, b)
            && self.placed_alike(a, b)
            && (0..3).all(|d| self.differ_alike(d, a, b, device))
            && self.as_much_memory(first, a)
            && self.as_much_memory(second, b)
            && self.as_many_waves(a, b, device)
            && self.regimes(*regime_a, *regime_b)
            && (self.c.first.distribution, self.c.second.distribution) == (*data_a, *data_b)
    }

    /// Whether, sizes being equal, the same strides and offsets are what differs.
    fn placed_alike(&self, a: &Problem, b: &Problem) -> bool {
        let places = |p: &Problem| [p.lda, p.ldb, p.ldc, p.offset_a, p.offset_b, p.offset_c];
        let (first, second) = (places(&self.c.first.problem), places(&self.c.second.problem));
        let (a, b) = (places(a), places(b));
        !self.c.held.contains(&Held::Sizes) || (0..6).all(|i| (first[i] == second[i]) == (a[i] == b[i]))
    }

    /// Whether m, n or k differs between the arms as it does in the plan.
    fn differ_alike(&self, d: usize, a: &Problem, b: &Problem, device: &DeviceInfo) -> bool {
        let [first, second, a, b] = [&self.c.first.problem, &self.c.second.problem, a, b].map(|p| sizes(p)[d].max(1));
        if first == second {
            return a == b;
        }
        let log = |x: u64, y: u64| (y as f64 / x as f64).ln();
        let (planned, found) = (log(first, second), log(a, b));
        // In the same tiles it does not matter which of the arms is the larger.
        let upward = (planned > 0.0) == (found > 0.0);
        let neighbours = planned.abs() <= NEAR;
        if a == b || !(upward || neighbours && self.c.held.contains(&Held::Tiles)) {
            return false;
        }
        let multiple = |x: u64, of: u32| x.trailing_zeros().min(of);
        if !neighbours {
            let within = |planned: u64, x: u64| log(planned, x).abs() <= FAR_WINDOW.ln() + 1e-9;
            let ratio = found / planned;
            return within(first, a)
                && within(second, b)
                && (0.5..=2.0).contains(&ratio)
                && multiple(first, 6) == multiple(a, 6)
                && multiple(second, 6) == multiple(b, 6);
        }
        let power = |x: u64| x.is_power_of_two();
        // Neighbours of equal alignment in equal tiles, of which one is a power of two: then that is what is asked about.
        let of_powers = (self.c.held.contains(&Held::Tiles) || device.kind() == DeviceKind::Cpu)
            && multiple(first, 3) == multiple(second, 3)
            && power(first) != power(second);
        found.abs() <= WINDOW * planned.abs() * 1.05
            && multiple(first, 3) == multiple(a, 3)
            && multiple(second, 3) == multiple(b, 3)
            && (!of_powers || (power(first), power(second)) == (power(a), power(b)))
    }

    /// Whether memory limits a problem as it does the planned one: not at all, or at about as many FLOP a byte. Between neighbours it makes no
    /// difference, unless the claim is about it.
    fn as_much_memory(&self, planned: &Problem, p: &Problem) -> bool {
        if !self.far && !self.c.held.contains(&Held::Regime) {
            return true;
        }
        let [x, y] = [planned, p].map(|p| intensity(p.m.max(1), p.n.max(1), p.k.max(1)));
        let free = |x: f64| x >= 2.0 * self.ratio;
        (free(x) && free(y)) || (y / x).ln().abs() <= INTENSITY
    }

    /// Whether the arms take as many waves of tiles as planned, where tiles are not held and sizes are near each other, or kernels with other
    /// tiles are compared.
    fn as_many_waves(&self, a: &Problem, b: &Problem, device: &DeviceInfo) -> bool {
        let c = self.c;
        if !self.waves {
            return true;
        }
        let sizes_held = c.held.contains(&Held::Sizes);
        let waves = |p: &Problem, name: &str| -> Option<f64> {
            let tile = named(name, device.kind())?.1.tile;
            let tiles = p.m.div_ceil(u64::from(tile[0].max(1))) * p.n.div_ceil(u64::from(tile[1].max(1)));
            Some(tiles as f64 / self.units)
        };
        let alike = |arm: &Arm, p: &Problem| match (waves(&arm.problem, &arm.kernel), waves(p, &arm.kernel)) {
            (Some(planned), Some(found)) => {
                let last = |w: f64| w - (w.ceil() - 1.0);
                (sizes_held || planned.ceil() == found.ceil()) && (last(planned) - last(found)).abs() <= LAST_WAVE
            }
            // The library's tiles are its own affair.
            _ => true,
        };
        alike(&c.first, a) && alike(&c.second, b)
    }

    /// Whether the arms are in the planned regimes, or, where the claim is not about memory, both in the other one.
    fn regimes(&self, in_a: Regime, in_b: Regime) -> bool {
        let (first, second) = (self.c.first.regime, self.c.second.regime);
        let plain = [first, in_a].into_iter().all(|r| is_steady((r, None)));
        (first, second) == (in_a, in_b)
            || first == second && in_a == in_b && plain && !self.c.held.contains(&Held::Regime)
    }
}

/// An operand's alignment in bytes, with everything from `cap` on as one.
fn class(problem: &Problem, operand: Operand, cap: u64) -> u64 {
    problem.align_bytes(operand).min(cap)
}
