//! What records say of comparisons and of single cells: from samples to effects.

use super::REPETITIONS;
use super::bench::Bench;
use super::experiment::Comparison;
use super::judge::Judge;
use super::records::{Found, Key};
use super::sound::{Blocks, Fit, Unfit, blocks, fit, named};
use crate::model::predict;
use crate::problem::Problem;
use crate::record::{ComparisonRecord, DeviceKind};
use crate::stats::{
    ALPHA, Estimate, MIN_BLOCKS, Order, Rule, UNSEEN_APART, Unit, combine, difference, median, repeated, unpaired,
};
use crate::sweep::Arm;

/// Share of a question's groups of comparisons, or of its cells, that records must hold before they stand for all.
const ENOUGH: f64 = 0.5;

/// Share of a question's comparisons that records must hold before their mean stands for all. An effect that is there may be shown by one; that
/// there is none takes more of them.
pub(super) fn enough(rule: Rule) -> f64 {
    match rule {
        Rule::AtLeast { .. } => 0.0,
        Rule::Within { .. } => 0.3,
    }
}

/// Fewest samples of a cell from which its fastest says anything.
const MIN_SPREAD: usize = 20;

/// An effect as times and as cycles tell it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Both {
    pub time: Estimate,
    pub cycles: Option<Estimate>,
    /// The same by the medians of each arm's samples alone, without an error; the estimate's own where there are no pairs.
    pub of_medians: f64,
}

impl Both {
    /// The same done to estimates of time, of cycles and of medians; cycles where all parts have them.
    pub fn zip(parts: &[Both], f: impl Fn(&[Estimate]) -> Option<Estimate>) -> Option<Both> {
        let times: Vec<Estimate> = parts.iter().map(|b| b.time).collect();
        let cycles: Option<Vec<Estimate>> = parts.iter().map(|b| b.cycles).collect();
        let medians: Vec<Estimate> = parts.iter().map(|b| Estimate { value: b.of_medians, se: 0.0, df: 1.0 }).collect();
        Some(Both { time: f(&times)?, cycles: cycles.and_then(|c| f(&c)), of_medians: f(&medians)?.value })
    }

    /// An effect that is known in time alone.
    pub fn of_time(time: Estimate) -> Both {
        Both { time, cycles: None, of_medians: time.value }
    }

    /// The effect of the first arm over the second.
    fn reversed(self) -> Both {
        let turned = |e: Estimate| Estimate { value: -e.value, ..e };
        Both { time: turned(self.time), cycles: self.cycles.map(turned), of_medians: -self.of_medians }
    }

    /// One effect less another.
    pub fn less(self, other: Both) -> Option<Both> {
        Both::zip(&[self, other], |e| Some(difference(&e[0], &e[1])))
    }
}

/// What records say of one comparison.
pub(super) struct Compared {
    pub effect: Option<Both>,
    pub record: ComparisonRecord,
    /// Whether there is any record of it.
    pub any: bool,
    /// An error that all comparisons of a question have in common, so that it does not average out.
    pub shared: f64,
    /// Whether its arms were measured in turn, with each other or with one and the same third.
    pub in_turn: bool,
}

/// The units of a comparison.
#[derive(Debug, Default)]
struct Units {
    units: Vec<Blocks>,
    /// Why others were left out.
    notes: Vec<String>,
    /// Whether there are some whose arms were measured one after the other.
    not_in_turn: bool,
}

impl Blocks {
    /// Every second block, from the first or from the second on.
    fn half(&self, which: usize) -> Blocks {
        let every_second = |u: &Unit| Unit { blocks: u.blocks.iter().skip(which).step_by(2).copied().collect() };
        Blocks { time: every_second(&self.time), cycles: self.cycles.as_ref().map(every_second), ..*self }
    }
}

impl Judge<'_> {
    /// Everything that records say of a comparison.
    pub fn compare(&self, c: &Comparison) -> Compared {
        let Units { units, notes, not_in_turn } = self.units(c);
        let mut record = ComparisonRecord {
            first: describe(&c.first),
            second: describe(&c.second),
            ratio: None,
            samples: units.iter().map(|u| u.samples).sum(),
            repetitions: units.len() as u64,
            note: None,
        };
        let any = !units.is_empty() || !notes.is_empty();
        if let Some(mut effect) = paired_effect(&units) {
            record.note = (!notes.is_empty()).then(|| format!("left out: {}", notes.join("; ")));
            let mut shared = units.iter().map(|u| u.rounding).fold(0.0, f64::max);
            if let Some([low, high]) = disagreement(&units) {
                // Which of them is right is not for a mean to say.
                let apart = (high - low) / 2.0;
                shared = shared.hypot(apart);
                effect.time = effect.time.with_error(apart);
                effect.cycles = effect.cycles.map(|c| c.with_error(apart));
                let [low, high] = [low, high].map(|log| 100.0 * log.exp_m1());
                record.note =
                    Some(format!("{DISAGREE}: {low:+.1} % in one and {high:+.1} % in another; judge each by itself"));
            }
            record.ratio = Some(ratio(&effect.time));
            return Compared { effect: Some(effect), record, any, shared, in_turn: true };
        }
        if !units.is_empty() {
            let blocks: usize = units.iter().map(|u| u.time.blocks.len()).sum();
            record.note = Some(format!("{blocks} blocks of four samples are too few: {MIN_BLOCKS} are the least"));
            return Compared { effect: None, record, any, shared: 0.0, in_turn: false };
        }
        if !notes.is_empty() && !not_in_turn {
            record.note = Some(notes.join("; "));
            return Compared { effect: None, record, any, shared: 0.0, in_turn: false };
        }
        if let Some((effect, samples, repetitions)) = self.chained(c) {
            (record.samples, record.repetitions) = (samples, repetitions);
            record.ratio = Some(ratio(&effect.time));
            record.note = Some("by what each arm takes against one and the same third, measured in turn".to_owned());
            return Compared { effect: Some(effect), record, any: true, shared: 0.0, in_turn: true };
        }
        self.apart(c, record)
    }

    /// The effect between arms that were each measured in turn with one and the same third, as the cells of a paired sweep are with their
    /// baseline: what the second takes over it less what the first does. With it the samples and the repetitions of the arm that has fewer.
    fn chained(&self, c: &Comparison) -> Option<(Both, u64, u64)> {
        /// Units of an arm against one baseline.
        struct Link<'a> {
            baseline: &'a Found<'a>,
            arm: &'a Found<'a>,
            units: Vec<Blocks>,
        }
        let links = |arm: &Arm| -> Vec<Link<'_>> {
            let mut links: Vec<Link<'_>> = Vec::new();
            for found in self.index.of(arm) {
                let Some((partner, false)) = found.partner else { continue };
                let baseline = &self.index.found[partner];
                let scale = c.per.of(&baseline.record.problem) / c.per.of(&arm.problem);
                let Ok(unit) = blocks(baseline, found, scale, c.is_about_power()) else { continue };
                let same = |l: &&mut Link<'_>| {
                    l.baseline.key == baseline.key
                        && l.baseline.name() == baseline.name()
                        && l.arm.name() == found.name()
                        && l.arm.run == found.run
                };
                match links.iter_mut().find(same) {
                    Some(link) => link.units.push(unit),
                    None => links.push(Link { baseline, arm: found, units: vec![unit] }),
                }
            }
            links
        };
        let (first, second) = (links(&c.first), links(&c.second));
        let mut best: Option<(bool, usize, &Link<'_>, &Link<'_>)> = None;
        for a in &first {
            for b in &second {
                let one = a.baseline.key == b.baseline.key
                    && a.baseline.name() == b.baseline.name()
                    && a.arm.run == b.arm.run;
                let right = match fit(c, a.arm, b.arm, self.device) {
                    Fit::Right if one => true,
                    Fit::Alike if one => false,
                    _ => continue,
                };
                let count = a.units.len().min(b.units.len());
                if best.as_ref().is_none_or(|(r, n, ..)| (right, count) > (*r, *n)) {
                    best = Some((right, count, a, b));
                }
            }
        }
        let (_, repetitions, a, b) = best?;
        let effect = paired_effect(&b.units)?.less(paired_effect(&a.units)?)?;
        let samples = |l: &Link<'_>| l.units.iter().map(|u| u.samples).sum::<u64>();
        Some((effect, samples(a).min(samples(b)), repetitions as u64))
    }

    /// The units that measured a comparison in turn, and why others were left out. Units of other kernels with the same tiles stand in
    /// only where none ran the planned ones, and then those of the one kernel that ran most of them.
    fn units(&self, c: &Comparison) -> Units {
        let key_b = Key::of_arm(&c.second);
        let scale = c.per.of(&c.first.problem) / c.per.of(&c.second.problem);
        let mut found_units = Units::default();
        let mut alike: Vec<(String, Vec<Blocks>)> = Vec::new();
        let mut confounded = false;
        for found in self.index.of(&c.first) {
            let Some((partner, is_first)) = found.partner else { continue };
            let (mut first, mut second) = (found, &self.index.found[partner]);
            if second.key != key_b {
                continue;
            }
            if first.key == second.key {
                // Both arms are one problem: each pair is met twice, and the kernels tell which arm is which.
                if !is_first {
                    continue;
                }
                let rank = |a: &Found, b: &Found| match fit(c, a, b, self.device) {
                    Fit::Right => 0,
                    Fit::Alike => 1,
                    Fit::Other | Fit::Confounded(_) => 2,
                };
                if rank(second, first) < rank(first, second) {
                    std::mem::swap(&mut first, &mut second);
                }
            }
            let fits = fit(c, first, second, self.device);
            let outcome = match [first, second].iter().find_map(|f| f.unusable.clone()) {
                Some(why) => Err(Unfit::Useless(why)),
                None => match &fits {
                    Fit::Right | Fit::Alike => blocks(first, second, scale, c.is_about_power()),
                    Fit::Other => continue,
                    Fit::Confounded(why) => {
                        confounded = true;
                        Err(Unfit::Useless(why.clone()))
                    }
                },
            };
            match outcome {
                Ok(unit) if fits == Fit::Alike => {
                    let name = format!("{} {}", first.name(), second.name());
                    match alike.iter_mut().find(|(other, _)| *other == name) {
                        Some((_, units)) => units.push(unit),
                        None => alike.push((name, vec![unit])),
                    }
                }
                Ok(unit) => found_units.units.push(unit),
                Err(Unfit::NotInTurn) => found_units.not_in_turn = true,
                Err(Unfit::Useless(why)) if found_units.notes.contains(&why) => {}
                Err(Unfit::Useless(why)) => found_units.notes.push(why),
            }
        }
        if found_units.units.is_empty() && !confounded {
            // The first of those with the most units, so that the order of names decides between equals.
            alike.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
            found_units.units = alike.into_iter().next().map(|(_, units)| units).unwrap_or_default();
        }
        found_units
    }

    /// A comparison whose cells were measured, but not in turn.
    fn apart(&self, c: &Comparison, mut record: ComparisonRecord) -> Compared {
        let arm = |arm: &Arm| -> Vec<&Found> { self.index.of(arm).collect() };
        let (all_a, all_b) = (arm(&c.first), arm(&c.second));
        let missing = |record: &mut ComparisonRecord, arm: &Arm| {
            record.note = Some(format!("there is no record of {}", describe(arm)));
        };
        for (found, arm) in [(&all_a, &c.first), (&all_b, &c.second)] {
            if found.is_empty() {
                // One arm alone is no comparison.
                missing(&mut record, arm);
                return Compared { effect: None, record, any: false, shared: 0.0, in_turn: false };
            }
        }
        // A paired sweep has thousands of records of one problem, but of few kernels.
        let ((kinds_a, of_a), (kinds_b, of_b)) = (by_name(&all_a), by_name(&all_b));
        let row = |(_, a): &(String, &Found)| kinds_b.iter().map(|(_, b)| fit(c, a, b, self.device)).collect();
        let fits: Vec<Vec<Fit>> = kinds_a.iter().map(row).collect();
        let is = |i: usize, j: usize, wanted: &Fit| fits[of_a[i]][of_b[j]] == *wanted && usable(all_a[i], all_b[j]);
        let every = || (0..all_a.len()).flat_map(|i| (0..all_b.len()).map(move |j| (i, j)));
        // The two variants that stand in, where some must; none at all where the planned ones ran.
        let stand_ins: Option<[usize; 2]> = if every().any(|(i, j)| is(i, j, &Fit::Right)) {
            None
        } else {
            every().find(|&(i, j)| is(i, j, &Fit::Alike)).map(|(i, j)| [of_a[i], of_b[j]])
        };
        // All pairs of records that fit; one reason where none does.
        let (mut first, mut second): (Vec<&Found>, Vec<&Found>) = (Vec::new(), Vec::new());
        let (mut why, mut would_do) = (None, false);
        let mut taken = vec![false; all_b.len()];
        for (i, a) in all_a.iter().enumerate() {
            let mut a_taken = false;
            for (j, b) in all_b.iter().enumerate() {
                let fits = &fits[of_a[i]][of_b[j]];
                would_do |= *fits != Fit::Other;
                if let Some(reason) = a.unusable.as_ref().or(b.unusable.as_ref()) {
                    why.get_or_insert_with(|| reason.clone());
                    continue;
                }
                match fits {
                    Fit::Right | Fit::Alike
                        if !c.is_about_power() && (a.throttled_share() - b.throttled_share()).abs() > 0.1 =>
                    {
                        why.get_or_insert_with(|| "only one arm was held back by the device".to_owned());
                    }
                    // Another kernel stands in only where the planned ones did not run.
                    Fit::Alike if stand_ins != Some([of_a[i], of_b[j]]) => {}
                    Fit::Right | Fit::Alike => {
                        if !std::mem::replace(&mut a_taken, true) {
                            first.push(a);
                        }
                        if !std::mem::replace(&mut taken[j], true) {
                            second.push(b);
                        }
                    }
                    Fit::Other => {
                        why.get_or_insert_with(|| {
                            format!("the records are of {} and {}, which it does not compare", a.name(), b.name())
                        });
                    }
                    Fit::Confounded(reason) => {
                        why.get_or_insert_with(|| reason.clone());
                    }
                }
            }
        }
        record.samples = first.iter().chain(&second).map(|f| f.times.len() as u64).sum();
        record.repetitions = first.len().min(second.len()) as u64;
        let series = |found: &[&Found], per: &Problem, cycles: bool| -> Option<Vec<Vec<f64>>> {
            let one = |f: &&Found| {
                let values = if cycles { f.cycles.as_ref()? } else { &f.times };
                Some(values.iter().filter(|v| v.is_finite()).map(|v| v / c.per.of(per)).collect())
            };
            found.iter().map(one).collect()
        };
        let order = order(&first, &second);
        let rounding = first.iter().chain(&second).map(|f| f.rounding).fold(0.0, f64::max) * 2f64.sqrt();
        let drift = if order == Order::OneAfterTheOther { UNSEEN_APART * 2f64.sqrt() } else { 0.0 };
        let shared = drift.hypot(rounding);
        let effect = |cycles: bool| {
            let (a, b) = (series(&first, &c.first.problem, cycles)?, series(&second, &c.second.problem, cycles)?);
            unpaired(&a, &b, order).map(|e| e.with_error(rounding))
        };
        match effect(false) {
            Some(time) => {
                record.ratio = Some(ratio(&time));
                record.note = Some("its arms were not measured in turn, so the interval is wider".to_owned());
                let effect = Both { cycles: effect(true), ..Both::of_time(time) };
                Compared { effect: Some(effect), record, any: true, shared, in_turn: false }
            }
            None => {
                record.note = Some(why.unwrap_or_else(|| {
                    format!("{} samples are too few: {} of each arm are the least", record.samples, 2 * MIN_BLOCKS)
                }));
                // Records of other kernels alone are none of this comparison.
                Compared { effect: None, record, any: would_do, shared, in_turn: false }
            }
        }
    }

    /// For each group, what the best second arm saves: chosen on one half of the blocks, weighed on the other, both ways round.
    pub fn best(&self, groups: &[Vec<Comparison>]) -> (Vec<Compared>, Option<Both>) {
        let mut compared = Vec::new();
        let mut gains: Vec<Both> = Vec::new();
        for group in groups {
            let halves: Vec<[Vec<Blocks>; 2]> = group
                .iter()
                .map(|c| {
                    let units = self.units(c).units;
                    [0, 1].map(|half| units.iter().map(|u| u.half(half)).collect())
                })
                .collect();
            compared.extend(group.iter().map(|c| self.compare(c)));
            let mut of_group = Vec::new();
            for (choice, weighing) in [(0, 1), (1, 0)] {
                let blocks = |h: &[Vec<Blocks>; 2]| -> Vec<f64> {
                    h[choice].iter().flat_map(|u| u.time.blocks.iter().copied()).collect()
                };
                let costs: Option<Vec<f64>> = halves.iter().map(|h| median(&blocks(h))).collect();
                let best = costs.and_then(|costs| {
                    let at = (0..costs.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b]))?;
                    Some((at, costs[at]))
                });
                // Where the fixed arm is the best itself nothing is gained, for sure.
                let none = Estimate { value: 0.0, se: 0.0, df: f64::from(REPETITIONS) };
                of_group.extend(match best {
                    Some((_, cost)) if cost >= 0.0 => Some(Both { cycles: Some(none), ..Both::of_time(none) }),
                    Some((at, _)) => paired_effect(&halves[at][weighing]).map(Both::reversed),
                    None => None,
                });
            }
            if of_group.len() == 2 {
                gains.extend(Both::zip(&of_group, combine));
            }
        }
        let enough = gains.len() as f64 >= ENOUGH * groups.len() as f64;
        let effect = if enough { Both::zip(&gains, combine) } else { None };
        (compared, effect)
    }

    /// How much of the variance of the cells' times the model explains.
    pub fn fitted(&self, arms: &[Arm]) -> (Vec<Compared>, Option<Both>) {
        let description = Bench::new(self.device).description().ok();
        let mut compared = Vec::new();
        let mut points = Vec::new();
        for arm in arms {
            let records: Vec<&Found> = self.index.of(arm).collect();
            let usable: Vec<&Found> =
                records.iter().copied().filter(|f| f.unusable.is_none() && f.name() == arm.kernel).collect();
            let medians: Vec<f64> = usable
                .iter()
                .filter_map(|f| median(&f.times.iter().copied().filter(|t| t.is_finite()).collect::<Vec<_>>()))
                .collect();
            let point = median(&medians).and_then(|time| {
                let (kernel, variant) = named(&arm.kernel, self.device.kind())?;
                let predicted = predict(&arm.problem, kernel, variant, description.as_ref()?).total_ns();
                Some((time.ln(), predicted.ln()))
            });
            points.extend(point);
            compared.push(Compared {
                effect: None,
                record: ComparisonRecord {
                    first: format!("model of {}", describe(arm)),
                    second: "measured".to_owned(),
                    ratio: point.map(|(time, model)| [(time - model).exp(); 3]),
                    samples: usable.iter().map(|f| f.times.len() as u64).sum(),
                    repetitions: usable.len() as u64,
                    note: point.is_none().then(|| format!("there is no usable record of {}", describe(arm))),
                },
                any: !records.is_empty(),
                shared: 0.0,
                in_turn: false,
            });
        }
        let enough = points.len() as f64 >= ENOUGH * arms.len() as f64;
        let effect = if enough { super::fit::explained(&points).map(Both::of_time) } else { None };
        (compared, effect)
    }

    /// How far the fastest sample of each cell is below its median.
    pub fn spread(&self, arms: &[Arm]) -> (Vec<Compared>, Option<Both>) {
        let mut compared = Vec::new();
        for arm in arms {
            let records: Vec<&Found> = self.index.of(arm).collect();
            let usable: Vec<&Found> = records
                .iter()
                .copied()
                .filter(|f| f.unusable.is_none() && f.times.len() >= MIN_SPREAD && f.name() == arm.kernel_name())
                .collect();
            let gap = |valid: &[f64]| {
                let fastest = valid.iter().copied().fold(f64::INFINITY, f64::min);
                median(valid).map(|m| (m / fastest).ln())
            };
            // Each stretch of samples gives one number, and several are needed for a scatter: records, or parts of long ones.
            let parts = if usable.len() >= 3 { 1 } else { 3 };
            let stretches: Vec<Vec<f64>> = usable
                .iter()
                .map(|f| f.times.iter().copied().filter(|t| t.is_finite()).collect::<Vec<f64>>())
                .filter(|valid| valid.len() >= parts * MIN_SPREAD)
                .flat_map(|valid| {
                    let length = valid.len() / parts;
                    valid.chunks_exact(length).take(parts).map(<[f64]>::to_vec).collect::<Vec<_>>()
                })
                .collect();
            let gaps: Option<Vec<f64>> = stretches.iter().map(|s| gap(s)).collect();
            let rounding = usable.iter().map(|f| f.rounding).fold(0.0, f64::max);
            let effect = gaps.as_deref().and_then(|g| if g.len() >= 3 { Estimate::of_independent(g) } else { None });
            let effect = effect.map(|e| e.with_error(rounding));
            let note = match (&effect, records.len()) {
                (Some(_), _) => None,
                (None, 0) => Some(format!("there is no record of {}", describe(arm))),
                (None, n) => Some(format!(
                    "{} of {n} records have {MIN_SPREAD} samples; it takes 3 of them, or one with {}",
                    usable.len(),
                    3 * MIN_SPREAD
                )),
            };
            let record = ComparisonRecord {
                first: format!("fastest sample of {}", describe(arm)),
                second: "median".to_owned(),
                ratio: effect.as_ref().map(ratio),
                samples: usable.iter().map(|f| f.times.len() as u64).sum(),
                repetitions: usable.len() as u64,
                note,
            };
            compared.push(Compared {
                effect: effect.map(Both::of_time),
                record,
                any: !records.is_empty(),
                shared: 0.0,
                in_turn: false,
            });
        }
        let effect = mean(&compared, 0.0);
        (compared, effect)
    }
}

/// The mean of the comparisons' effects, where enough of them have one.
pub(super) fn mean(compared: &[Compared], enough: f64) -> Option<Both> {
    let effects: Vec<Both> = compared.iter().filter_map(|c| c.effect).collect();
    if effects.is_empty() || (effects.len() as f64) < enough * compared.len() as f64 {
        return None;
    }
    let shared = compared.iter().map(|c| c.shared).fold(0.0, f64::max);
    let shared = if compared.len() > 1 { shared } else { 0.0 };
    let mean = Both::zip(&effects, combine)?;
    Some(Both { time: mean.time.with_error(shared), ..mean })
}

/// ln(B / A) from all units of a comparison.
fn paired_effect(units: &[Blocks]) -> Option<Both> {
    let times: Vec<Unit> = units.iter().map(|u| u.time.clone()).collect();
    let cycles: Option<Vec<Unit>> = units.iter().map(|u| u.cycles.clone()).collect();
    // Repetitions do not average out what the clock's steps hide: each is rounded the same way.
    let rounding = units.iter().map(|u| u.rounding).fold(0.0, f64::max);
    let estimate = |units: &[Unit]| repeated(units).map(|e| e.with_error(rounding));
    let of_medians = median(&units.iter().map(|u| u.of_medians).filter(|m| m.is_finite()).collect::<Vec<_>>());
    let time = estimate(&times)?;
    Some(Both { time, cycles: cycles.and_then(|c| estimate(&c)), of_medians: of_medians.unwrap_or(time.value) })
}

/// How the note on runs that disagree begins.
pub(super) const DISAGREE: &str = "the runs disagree";

/// The least and the largest effect that single runs show, as logarithms, where they are further apart than their errors and 1 % explain.
fn disagreement(units: &[Blocks]) -> Option<[f64; 2]> {
    let mut runs: Vec<usize> = units.iter().map(|u| u.run).collect();
    runs.sort_unstable();
    runs.dedup();
    if runs.len() < 2 {
        return None;
    }
    let of = |run: usize| -> Option<Estimate> {
        let own: Vec<Blocks> = units.iter().filter(|u| u.run == run).cloned().collect();
        paired_effect(&own).map(|e| e.time)
    };
    let each: Vec<Estimate> = runs.into_iter().filter_map(of).collect();
    let low = each.iter().min_by(|a, b| a.value.total_cmp(&b.value))?;
    let high = each.iter().max_by(|a, b| a.value.total_cmp(&b.value))?;
    let apart = high.value - low.value;
    (apart > 0.01 && apart > 4.0 * low.se.hypot(high.se)).then_some([low.value, high.value])
}

fn usable(a: &Found, b: &Found) -> bool {
    a.unusable.is_none() && b.unusable.is_none()
}

/// Whether the records of two arms lie among each other in time, or one arm's after the other's.
fn order(first: &[&Found], second: &[&Found]) -> Order {
    let began = |found: &[&Found]| -> Vec<u64> {
        found.iter().filter_map(|f| f.record.samples.first().map(|s| s.at_ns)).collect()
    };
    let (a, b) = (began(first), began(second));
    let span = |x: &[u64]| x.iter().min().copied().zip(x.iter().max().copied());
    match (span(&a), span(&b)) {
        (Some((a0, a1)), Some((b0, b1))) if a1 < b0 || b1 < a0 => Order::OneAfterTheOther,
        _ => Order::Mixed,
    }
}

/// A ratio with its interval.
fn ratio(e: &Estimate) -> [f64; 3] {
    let (lo, hi) = e.interval(ALPHA);
    [e.value, lo, hi].map(finite_exp)
}

/// A ratio with its interval, of an estimate that is the square of a logarithm.
pub(super) fn ratio_of_squares(e: &Estimate) -> [f64; 3] {
    let (lo, hi) = e.interval(ALPHA);
    [e.value, lo, hi].map(|square| finite_exp(root(square)))
}

/// The root of a square, which keeps the sign of one that noise has made negative.
pub(super) fn root(square: f64) -> f64 {
    square.signum() * square.abs().sqrt()
}

/// The ratio of a logarithm, within what JSON can hold.
pub(super) fn finite_exp(log: f64) -> f64 {
    log.clamp(-50.0, 50.0).exp()
}

/// An arm in a line.
pub(super) fn describe(arm: &Arm) -> String {
    let p = &arm.problem;
    let mut text = format!("{}x{}x{} {}", p.m, p.n, p.k, p.layout.name());
    if (p.lda, p.ldb, p.ldc) != (p.k, p.n, p.n) {
        text += &format!(" ld {},{},{}", p.lda, p.ldb, p.ldc);
    }
    if p.offset_a + p.offset_b + p.offset_c > 0 {
        text += &format!(" offset {},{},{}", p.offset_a, p.offset_b, p.offset_c);
    }
    let data = arm.distribution.map(|d| format!(" on {d}")).unwrap_or_default();
    format!("{text} {} {}{data}", arm.kernel, arm.regime.name())
}

impl Arm {
    /// The name under which records know the kernel.
    pub(super) fn kernel_name(&self) -> String {
        match named(&self.kernel, DeviceKind::Cpu).filter(|_| !self.kernel.contains('/')) {
            Some((kernel, only)) => format!("{}/{}", kernel.name, only.name),
            None => self.kernel.clone(),
        }
    }
}
/// The kernels that records ran, each with one of them, and which of these each record ran.
fn by_name<'a, 'r>(found: &[&'a Found<'r>]) -> (Vec<(String, &'a Found<'r>)>, Vec<usize>) {
    let mut kinds: Vec<(String, &Found)> = Vec::new();
    let mut of = Vec::with_capacity(found.len());
    for f in found {
        let name = f.name();
        let at = kinds.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            kinds.push((name, f));
            kinds.len() - 1
        });
        of.push(at);
    }
    (kinds, of)
}
