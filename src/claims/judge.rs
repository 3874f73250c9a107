//! From records to verdicts.

use super::bench::{Bench, Scale};
use super::experiment::{Comparison, Evidence, Per, Question};
use super::facts::Fact;
use super::records::{Found, Index, Key, Records, SKIPPED};
use super::sound::{Blocks, Fit, blocks, fit, named};
use super::{Claim, REPETITIONS};
use crate::device::DeviceInfo;
use crate::model::predict;
use crate::problem::Problem;
use crate::record::{
    ComparisonRecord, DeviceKind, Effect, EffectUnit, Finding, NOT_REACHED, QuestionRecord, RuleRecord, Status,
    VERDICTS_VERSION, Verdict, Verdicts,
};
use crate::stats::{
    ALPHA, Decision, Estimate, MIN_BLOCKS, Rule, Unit, combine, decide, difference, false_discovery, median, repeated,
    unpaired,
};
use crate::sweep::Arm;

/// Difference between the arms' clocks from which on time and cycles must say the same, as a logarithm.
const CLOCK_SLACK: f64 = 0.01;

/// Share of a question's comparisons that records must hold before their mean stands for all.
const ENOUGH: f64 = 0.75;

/// Fewest samples of a cell from which its fastest says anything.
const MIN_SPREAD: usize = 20;

/// Judges claims from records alone.
///
/// Verdicts are corrected for the number of claims that are judged together: a claim whose finding does not stand after that is unclear.
pub fn judge(claims: &[&Claim], records: &Records) -> Verdicts {
    let device = records.device();
    let index = records.index();
    let judge = Judge { device: &device, index: &index };
    let mut verdicts: Vec<Verdict> = claims.iter().map(|c| judge.claim(c)).collect();
    correct(&mut verdicts);
    let tried = verdicts.iter().filter(|v| v.p_corrected.is_some()).count();
    let noun = if tried == 1 { "claim" } else { "claims" };
    Verdicts {
        schema_version: VERDICTS_VERSION,
        program: "gemmscope".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.record.name.clone(),
        device_kind: device.kind(),
        correction: format!("Benjamini-Hochberg over {tried} {noun}, {:.0} %", 100.0 * ALPHA),
        verdicts,
    }
}

/// Replaces p-values by corrected ones, and verdicts that do not stand with unclear.
fn correct(verdicts: &mut [Verdict]) {
    let tried: Vec<usize> = (0..verdicts.len()).filter(|&i| verdicts[i].p_corrected.is_some()).collect();
    let p: Vec<f64> = tried.iter().map(|&i| verdicts[i].p_corrected.unwrap_or(1.0)).collect();
    for (&i, corrected) in tried.iter().zip(false_discovery(&p)) {
        let verdict = &mut verdicts[i];
        verdict.p_corrected = Some(corrected);
        let decided = matches!(verdict.verdict, Finding::Supported | Finding::Contradicted);
        if decided && corrected > ALPHA {
            verdict.reason = format!(
                "it would be {} alone, but not among {} claims judged together (p = {corrected:.2}): {}",
                verdict.verdict.name(),
                tried.len(),
                verdict.reason
            );
            verdict.verdict = Finding::Unclear;
        }
    }
}

struct Judge<'a> {
    device: &'a DeviceInfo,
    index: &'a Index<'a>,
}

/// An effect as times and as cycles tell it.
#[derive(Debug, Clone, Copy)]
struct Both {
    time: Estimate,
    cycles: Option<Estimate>,
}

impl Both {
    fn zip(parts: &[Both], f: impl Fn(&[Estimate]) -> Option<Estimate>) -> Option<Both> {
        let times: Vec<Estimate> = parts.iter().map(|b| b.time).collect();
        let cycles: Option<Vec<Estimate>> = parts.iter().map(|b| b.cycles).collect();
        Some(Both { time: f(&times)?, cycles: cycles.and_then(|c| f(&c)) })
    }
}

/// What records say of one comparison.
struct Compared {
    effect: Option<Both>,
    record: ComparisonRecord,
    /// Whether there is any record of it.
    any: bool,
}

impl Judge<'_> {
    fn claim(&self, claim: &Claim) -> Verdict {
        let mut verdict = Verdict {
            claim: claim.id.to_owned(),
            title: claim.title.to_owned(),
            sentence: claim.sentence.to_owned(),
            source: claim.source.into(),
            verdict: Finding::NotMeasurable,
            device: self.device.record.name.clone(),
            effect: None,
            samples: 0,
            p_corrected: None,
            reason: String::new(),
            needs: None,
            questions: Vec::new(),
        };
        let facts = claim.facts.map(|f| f()).unwrap_or_default();
        let wrong: Vec<&Fact> = facts.iter().filter(|f| !f.is_right()).collect();
        let bench = Bench::new(self.device);
        let questions = match claim.questions(&bench) {
            Ok(questions) => questions,
            Err(need) if !facts.is_empty() => return by_arithmetic(verdict, &facts, &wrong, &need.to_string()),
            Err(need) => {
                verdict.reason = format!("needs {need}");
                verdict.needs = Some(need.0);
                return verdict;
            }
        };
        if self.device.kind() == DeviceKind::Emulated {
            let (ran, of) = self.ran(&questions);
            verdict.reason = match ran {
                0 => "an emulated device has no time".to_owned(),
                _ if ran == of => "an emulated device has no time; its plan ran to the end".to_owned(),
                _ => format!("an emulated device has no time; {ran} of {of} cells of its plan ran"),
            };
            verdict.needs = Some("a device that has a clock".to_owned());
            return verdict;
        }
        let answer = |questions: &[Question]| -> (Vec<QuestionRecord>, bool) {
            let answers: Vec<(QuestionRecord, bool)> = questions.iter().map(|q| self.question(q)).collect();
            let any = answers.iter().any(|(_, any)| *any);
            (answers.into_iter().map(|(q, _)| q).collect(), any)
        };
        let (mut answers, mut any) = answer(&questions);
        if !any && let Ok(small) = claim.questions(&bench.at(Scale::Small)) {
            // The same experiment may have been made at the small scale.
            let (again, found) = answer(&small);
            if found {
                (answers, any) = (again, true);
            }
        }
        verdict.questions = answers;
        if !any {
            let cell = questions.first().and_then(|q| {
                let first = q.comparisons().first().map(|c| describe(&c.first));
                first.or_else(|| q.cells().first().map(describe))
            });
            verdict.reason = "the records hold none of its cells".to_owned();
            let cell = cell.unwrap_or_default();
            verdict.needs = Some(format!("records of cells such as {cell}: `gemmscope validate {}`", claim.id));
            return verdict;
        }
        if let Some(why) = all_skipped(&verdict.questions) {
            verdict.reason.clone_from(&why);
            verdict.needs = Some(why);
            return verdict;
        }
        conclude(&mut verdict);
        if let Some(fact) = wrong.first() {
            verdict.verdict = Finding::Contradicted;
            verdict.reason = format!("{}: it comes to {:.4}", fact.says, fact.found);
        }
        verdict
    }

    /// How many of the plan's cells ran, and of how many.
    fn ran(&self, questions: &[Question]) -> (usize, usize) {
        let arms = |q: &Question| -> Vec<Arm> {
            let pairs = q.comparisons().into_iter().flat_map(|c| [c.first.clone(), c.second.clone()]);
            pairs.chain(q.cells().iter().cloned()).collect()
        };
        let all: Vec<Arm> = questions.iter().flat_map(arms).collect();
        let ran = |arm: &&Arm| self.index.of(&arm.problem, arm.regime.name()).any(|f| f.record.status == Status::Ok);
        (all.iter().filter(ran).count(), all.len())
    }

    /// The answer to a question, and whether there was any record of its cells.
    fn question(&self, q: &Question) -> (QuestionRecord, bool) {
        let mut answer = QuestionRecord {
            asks: q.asks.clone(),
            decision: rule_record(q),
            finding: Finding::Unclear,
            effect: None,
            p: None,
            reason: String::new(),
            comparisons: Vec::new(),
        };
        let (compared, effect) = match &q.evidence {
            Evidence::Mean { comparisons, less } => {
                let all: Vec<Compared> = comparisons.iter().map(|c| self.compare(c)).collect();
                let off: Vec<Compared> = less.iter().map(|c| self.compare(c)).collect();
                let effect = mean(&all).and_then(|m| match mean(&off) {
                    Some(off) => Both::zip(&[m, off], |e| Some(difference(&e[0], &e[1]))),
                    None if off.is_empty() => Some(m),
                    None => None,
                });
                (all.into_iter().chain(off).collect::<Vec<_>>(), effect)
            }
            Evidence::Best(groups) => self.best(groups),
            Evidence::Spread(arms) => self.spread(arms),
            Evidence::Fit(arms) => self.fitted(arms),
        };
        let any = compared.iter().any(|c| c.any);
        let each: Vec<Both> = compared.iter().filter_map(|c| c.effect).collect();
        let missing = compared.iter().find_map(|c| c.record.note.clone().filter(|_| c.effect.is_none()));
        let unusable = compared.iter().filter(|c| c.effect.is_none()).count();
        answer.comparisons = compared.into_iter().map(|c| c.record).collect();
        match effect {
            Some(effect) => self.answer(q, &effect, &each, &mut answer),
            None => {
                let why = missing.unwrap_or_else(|| "too few samples".to_owned());
                answer.reason =
                    format!("{}: {unusable} of {} comparisons lack data: {why}", q.asks, answer.comparisons.len());
            }
        }
        (answer, any)
    }

    fn answer(&self, q: &Question, effect: &Both, each: &[Both], answer: &mut QuestionRecord) {
        let mut decision = decide(&effect.time, q.rule, ALPHA);
        let mut note = String::new();
        // A mean of none can hide effects that point both ways.
        if let (Rule::Within { .. }, true) = (q.rule, each.len() > 1) {
            let opposed = each.iter().filter_map(|e| match decide(&e.time, q.rule, ALPHA / each.len() as f64) {
                Decision::No(p) => Some((p * each.len() as f64).min(1.0)),
                _ => None,
            });
            let count = opposed.clone().count();
            if let Some(p) = opposed.min_by(f64::total_cmp) {
                decision = Decision::No(p);
                note = format!("; {count} of {} comparisons have an effect of their own", each.len());
            }
        }
        if let (Some(cycles), false) = (effect.cycles, q.clock_is_effect) {
            let apart = (effect.time.value - cycles.value).abs() > CLOCK_SLACK;
            let by_cycles = decide(&cycles, q.rule, ALPHA);
            let alike = matches!(
                (decision, by_cycles),
                (Decision::Yes(_), Decision::Yes(_)) | (Decision::No(_), Decision::No(_))
            );
            let opposed = matches!(
                (decision, by_cycles),
                (Decision::Yes(_), Decision::No(_)) | (Decision::No(_), Decision::Yes(_))
            );
            if decision.p().is_some() && !note.is_empty() && !opposed {
                // Single comparisons decided; the mean in cycles need not show them.
            } else if decision.p().is_some() && (opposed || apart && !alike) {
                decision = Decision::Neither;
                note = format!("; the clock differed between the arms: {} in cycles", percent(cycles.value));
            }
        }
        let (lo, hi) = effect.time.interval(ALPHA);
        let number = |x: f64| if is_share(q) { format!("{:.0} %", 100.0 * x) } else { percent(x) };
        let spelled = format!("{} ({} to {})", number(effect.time.value), number(lo), number(hi));
        let asked = match q.rule {
            Rule::AtLeast { support, contradict } => {
                format!("about {} or more is what it takes, {} or less denies it", number(support), number(contradict))
            }
            Rule::Within { within, outside } => {
                format!("up to {} is none, {} is one", unsigned(within), unsigned(outside))
            }
        };
        let verdict = match decision {
            Decision::Yes(_) => "yes",
            Decision::No(_) => "no",
            Decision::Between => "something in between",
            Decision::Neither => "not decided",
        };
        answer.reason = format!("{}: {verdict}, {spelled}{note}; {asked}", q.asks);
        answer.finding = match decision {
            Decision::Yes(_) => Finding::Supported,
            Decision::No(_) => Finding::Contradicted,
            Decision::Between | Decision::Neither => Finding::Unclear,
        };
        answer.p = decision.p();
        let what = match &q.evidence {
            Evidence::Mean { comparisons, .. } => comparisons.first().map_or(Per::Launch, |c| c.per).name(),
            Evidence::Best(_) => "time of the fixed tile over the best",
            Evidence::Spread(_) => "median time over the fastest",
            Evidence::Fit(_) => "share of the variance of ln(time)",
        };
        let shown = |x: f64| if is_share(q) { x } else { finite_exp(x) };
        answer.effect = Some(Effect {
            what: what.to_owned(),
            unit: if is_share(q) { EffectUnit::Share } else { EffectUnit::Ratio },
            value: shown(effect.time.value),
            lo: shown(lo),
            hi: shown(hi),
            in_cycles: effect.cycles.map(|c| {
                let (lo, hi) = c.interval(ALPHA);
                [c.value, lo, hi].map(finite_exp)
            }),
        });
    }

    /// Everything that records say of a comparison.
    fn compare(&self, c: &Comparison) -> Compared {
        let (units, samples, notes) = self.units(c);
        let mut record = ComparisonRecord {
            first: describe(&c.first),
            second: describe(&c.second),
            ratio: None,
            samples,
            repetitions: units.len() as u64,
            note: None,
        };
        let any = !units.is_empty() || !notes.is_empty();
        let effect = paired_effect(&units);
        if let Some(effect) = effect {
            record.ratio = Some(ratio(&effect.time));
            record.note = (!notes.is_empty()).then(|| format!("left out: {}", notes.join("; ")));
            return Compared { effect: Some(effect), record, any };
        }
        if !units.is_empty() {
            let blocks: usize = units.iter().map(|u| u.time.blocks.len()).sum();
            record.note = Some(format!("{blocks} blocks of four samples are too few: {MIN_BLOCKS} are the least"));
            return Compared { effect: None, record, any };
        }
        if !notes.is_empty() {
            record.note = Some(notes.join("; "));
            return Compared { effect: None, record, any };
        }
        self.apart(c, record)
    }

    /// The units that measured a comparison in turn, and why others were left out.
    fn units(&self, c: &Comparison) -> (Vec<Blocks>, u64, Vec<String>) {
        let key_b = Key::of(&c.second.problem, c.second.regime.name());
        let scale = c.per.of(&c.first.problem) / c.per.of(&c.second.problem);
        let (mut units, mut samples, mut notes) = (Vec::new(), 0, Vec::new());
        for found in self.index.of(&c.first.problem, c.first.regime.name()) {
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
                let right = |a: &Found, b: &Found| fit(c, a, b, self.device) == Fit::Right;
                if !right(first, second) && right(second, first) {
                    std::mem::swap(&mut first, &mut second);
                }
            }
            let outcome = match [first, second].iter().find_map(|f| f.unusable.clone()) {
                Some(why) => Err(why),
                None => match fit(c, first, second, self.device) {
                    Fit::Right => blocks(first, second, scale),
                    Fit::Other => continue,
                    Fit::Confounded(why) => Err(why),
                },
            };
            match outcome {
                Ok(unit) => {
                    samples += unit.samples;
                    units.push(unit);
                }
                Err(why) if notes.contains(&why) => {}
                Err(why) => notes.push(why),
            }
        }
        (units, samples, notes)
    }

    /// A comparison whose cells were measured, but not in turn.
    fn apart(&self, c: &Comparison, mut record: ComparisonRecord) -> Compared {
        let arm = |arm: &Arm| -> Vec<&Found> { self.index.of(&arm.problem, arm.regime.name()).collect() };
        let (all_a, all_b) = (arm(&c.first), arm(&c.second));
        let missing = |record: &mut ComparisonRecord, arm: &Arm| {
            record.note = Some(format!("there is no record of {}", describe(arm)));
        };
        for (found, arm) in [(&all_a, &c.first), (&all_b, &c.second)] {
            if found.is_empty() {
                missing(&mut record, arm);
                return Compared { effect: None, record, any: !(all_a.is_empty() && all_b.is_empty()) };
            }
        }
        // All pairs of records that fit; one reason where none does.
        let (mut first, mut second): (Vec<&Found>, Vec<&Found>) = (Vec::new(), Vec::new());
        let mut why = None;
        for a in &all_a {
            for b in &all_b {
                if let Some(reason) = a.unusable.as_ref().or(b.unusable.as_ref()) {
                    why.get_or_insert(reason.clone());
                    continue;
                }
                match fit(c, a, b, self.device) {
                    Fit::Right if (a.throttled_share() - b.throttled_share()).abs() > 0.1 => {
                        why.get_or_insert("only one arm was held back by the device".to_owned());
                    }
                    Fit::Right => {
                        if !first.iter().any(|f| std::ptr::eq(*f, *a)) {
                            first.push(a);
                        }
                        if !second.iter().any(|f| std::ptr::eq(*f, *b)) {
                            second.push(b);
                        }
                    }
                    Fit::Other => {
                        why.get_or_insert(format!(
                            "the records are of {} and {}, which it does not compare",
                            a.name(),
                            b.name()
                        ));
                    }
                    Fit::Confounded(reason) => {
                        why.get_or_insert(reason);
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
        let effect = |cycles: bool| {
            unpaired(&series(&first, &c.first.problem, cycles)?, &series(&second, &c.second.problem, cycles)?)
        };
        match effect(false) {
            Some(time) => {
                record.ratio = Some(ratio(&time));
                record.note = Some("its arms were not measured in turn, so the interval is wider".to_owned());
                Compared { effect: Some(Both { time, cycles: effect(true) }), record, any: true }
            }
            None => {
                record.note = Some(why.unwrap_or_else(|| {
                    format!("{} samples are too few: {} of each arm are the least", record.samples, 2 * MIN_BLOCKS)
                }));
                Compared { effect: None, record, any: true }
            }
        }
    }

    /// For each group, what the best second arm saves: chosen on one half of the blocks, weighed on the other, both ways round.
    fn best(&self, groups: &[Vec<Comparison>]) -> (Vec<Compared>, Option<Both>) {
        let mut compared = Vec::new();
        let mut gains: Vec<Estimate> = Vec::new();
        for group in groups {
            let halves: Vec<[Vec<Unit>; 2]> = group
                .iter()
                .map(|c| {
                    let units = self.units(c).0;
                    [0, 1].map(|half| {
                        let of_half =
                            |u: &Blocks| Unit { blocks: u.time.blocks.iter().skip(half).step_by(2).copied().collect() };
                        units.iter().map(of_half).collect()
                    })
                })
                .collect();
            compared.extend(group.iter().map(|c| self.compare(c)));
            let mut of_group = Vec::new();
            for (choice, weighing) in [(0, 1), (1, 0)] {
                let costs: Option<Vec<f64>> = halves
                    .iter()
                    .map(|h| median(&h[choice].iter().flat_map(|u| u.blocks.iter().copied()).collect::<Vec<_>>()))
                    .collect();
                let best = costs.and_then(|costs| {
                    let at = (0..costs.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b]))?;
                    Some((at, costs[at]))
                });
                let gain = match best {
                    // The fixed arm is the best itself: nothing is gained, for sure.
                    Some((_, cost)) if cost >= 0.0 => {
                        Some(Estimate { value: 0.0, se: 0.0, df: f64::from(REPETITIONS) })
                    }
                    Some((at, _)) => repeated(&halves[at][weighing]).map(|e| Estimate { value: -e.value, ..e }),
                    None => None,
                };
                of_group.extend(gain);
            }
            if of_group.len() == 2 {
                gains.extend(combine(&of_group));
            }
        }
        let enough = gains.len() as f64 >= ENOUGH * groups.len() as f64;
        let effect = if enough { combine(&gains).map(|time| Both { time, cycles: None }) } else { None };
        (compared, effect)
    }

    /// How much of the variance of the cells' times the model explains.
    fn fitted(&self, arms: &[Arm]) -> (Vec<Compared>, Option<Both>) {
        let description = Bench::new(self.device).description().ok();
        let mut compared = Vec::new();
        let mut points = Vec::new();
        for arm in arms {
            let records: Vec<&Found> = self.index.of(&arm.problem, arm.regime.name()).collect();
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
            });
        }
        let enough = points.len() as f64 >= ENOUGH * arms.len() as f64;
        let effect = if enough { super::fit::explained(&points).map(|time| Both { time, cycles: None }) } else { None };
        (compared, effect)
    }

    /// How far the fastest sample of each cell is below its median.
    fn spread(&self, arms: &[Arm]) -> (Vec<Compared>, Option<Both>) {
        let mut compared = Vec::new();
        for arm in arms {
            let records: Vec<&Found> = self.index.of(&arm.problem, arm.regime.name()).collect();
            let usable: Vec<&Found> = records
                .iter()
                .copied()
                .filter(|f| f.unusable.is_none() && f.times.len() >= MIN_SPREAD && f.name() == arm.kernel_name())
                .collect();
            let gap = |f: &&Found| {
                let valid: Vec<f64> = f.times.iter().copied().filter(|t| t.is_finite()).collect();
                let fastest = valid.iter().copied().fold(f64::INFINITY, f64::min);
                median(&valid).map(|m| (m / fastest).ln())
            };
            let gaps: Option<Vec<f64>> = usable.iter().map(gap).collect();
            // Each record gives one number, so that several are needed for a scatter.
            let effect = gaps.as_deref().and_then(|g| if g.len() >= 3 { Estimate::of_independent(g) } else { None });
            let note = match (&effect, records.len()) {
                (Some(_), _) => None,
                (None, 0) => Some(format!("there is no record of {}", describe(arm))),
                (None, n) => Some(format!("{} of {n} records are long enough, and 3 are the least", usable.len())),
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
                effect: effect.map(|time| Both { time, cycles: None }),
                record,
                any: !records.is_empty(),
            });
        }
        let effect = mean(&compared);
        (compared, effect)
    }
}

/// The mean of the comparisons' effects, where enough of them have one.
fn mean(compared: &[Compared]) -> Option<Both> {
    let effects: Vec<Both> = compared.iter().filter_map(|c| c.effect).collect();
    if effects.is_empty() || (effects.len() as f64) < ENOUGH * compared.len() as f64 {
        return None;
    }
    Both::zip(&effects, combine)
}

fn paired_effect(units: &[Blocks]) -> Option<Both> {
    let times: Vec<Unit> = units.iter().map(|u| u.time.clone()).collect();
    let cycles: Option<Vec<Unit>> = units.iter().map(|u| u.cycles.clone()).collect();
    Some(Both { time: repeated(&times)?, cycles: cycles.and_then(|c| repeated(&c)) })
}

fn ratio(e: &Estimate) -> [f64; 3] {
    let (lo, hi) = e.interval(ALPHA);
    [e.value, lo, hi].map(finite_exp)
}

/// The ratio of a logarithm, within what JSON can hold.
fn finite_exp(log: f64) -> f64 {
    log.clamp(-50.0, 50.0).exp()
}

/// The reason that all comparisons share for having been skipped, as where a library is not installed.
fn all_skipped(questions: &[QuestionRecord]) -> Option<String> {
    let mut notes = questions.iter().flat_map(|q| &q.comparisons).map(|c| c.note.as_deref().unwrap_or_default());
    let skipped = |note: &str| note.starts_with(SKIPPED) && !note.contains(NOT_REACHED);
    let first = notes.next().filter(|note| skipped(note))?.to_owned();
    notes.all(skipped).then_some(first)
}

/// What the answers to its questions make of a claim: all must be yes, and one no is enough.
fn conclude(verdict: &mut Verdict) {
    let questions = &verdict.questions;
    verdict.samples = questions.iter().flat_map(|q| &q.comparisons).map(|c| c.samples).sum();
    let p = |q: &&QuestionRecord| q.p.unwrap_or(1.0);
    let denied = questions.iter().filter(|q| q.finding == Finding::Contradicted).min_by(|a, b| p(a).total_cmp(&p(b)));
    let open = questions.iter().find(|q| q.finding == Finding::Unclear);
    let (finding, decided_by, p) = match (denied, open, questions.first()) {
        // Several questions are several chances for a no.
        (Some(q), _, _) => (Finding::Contradicted, q, (p(&q) * questions.len() as f64).min(1.0)),
        (None, Some(q), _) => (Finding::Unclear, q, 1.0),
        // A yes needs all of them, so the weakest tells.
        (None, None, Some(q)) => (Finding::Supported, q, questions.iter().map(|q| p(&q)).fold(0.0, f64::max)),
        (None, None, None) => return,
    };
    verdict.verdict = finding;
    verdict.effect.clone_from(&decided_by.effect);
    verdict.reason.clone_from(&decided_by.reason);
    verdict.p_corrected = Some(p);
}

fn by_arithmetic(mut verdict: Verdict, facts: &[Fact], wrong: &[&Fact], need: &str) -> Verdict {
    verdict.device = String::new();
    let measuring =
        if need.starts_with("nothing more") { String::new() } else { format!("; to measure it needs {need}") };
    match wrong.first() {
        Some(fact) => {
            verdict.verdict = Finding::Contradicted;
            verdict.reason = format!("by arithmetic, {}: claimed {}, found {}", fact.says, fact.claimed, fact.found);
        }
        None if measuring.is_empty() => {
            verdict.verdict = Finding::Supported;
            verdict.reason = format!("by arithmetic: {}", facts.last().map(|f| f.says.as_str()).unwrap_or_default());
        }
        // Right arithmetic behind a claim about time is no measurement of it.
        None => {
            verdict.verdict = Finding::NotMeasurable;
            verdict.reason = format!("its arithmetic is right ({} of {} figures){measuring}", facts.len(), facts.len());
            verdict.needs = Some(need.to_owned());
        }
    }
    verdict
}

fn rule_record(q: &Question) -> RuleRecord {
    match q.rule {
        Rule::AtLeast { support, contradict } if is_share(q) => RuleRecord::AtLeast { support, contradict },
        Rule::AtLeast { support, contradict } => {
            RuleRecord::AtLeast { support: support.exp(), contradict: contradict.exp() }
        }
        Rule::Within { within, outside } => RuleRecord::Within { within: within.exp_m1(), outside: outside.exp_m1() },
    }
}

/// Whether a question's numbers are shares and no logarithms of ratios.
fn is_share(q: &Question) -> bool {
    matches!(q.evidence, Evidence::Fit(_))
}

/// A logarithm of a ratio as a change in percent.
fn percent(log: f64) -> String {
    format!("{:+.1} %", 100.0 * log.exp_m1())
}

fn unsigned(log: f64) -> String {
    format!("{:.1} %", 100.0 * log.exp_m1())
}

/// An arm in a line.
fn describe(arm: &Arm) -> String {
    let p = &arm.problem;
    let mut text = format!("{}x{}x{} {}", p.m, p.n, p.k, p.layout.name());
    if (p.lda, p.ldb, p.ldc) != (p.k, p.n, p.n) {
        text += &format!(" ld {},{},{}", p.lda, p.ldb, p.ldc);
    }
    if p.offset_a + p.offset_b + p.offset_c > 0 {
        text += &format!(" offset {},{},{}", p.offset_a, p.offset_b, p.offset_c);
    }
    format!("{text} {} {}", arm.kernel, arm.regime.name())
}

impl Arm {
    /// The name under which records know the kernel.
    fn kernel_name(&self) -> String {
        match named(&self.kernel, DeviceKind::Cpu).filter(|_| !self.kernel.contains('/')) {
            Some((kernel, only)) => format!("{}/{}", kernel.name, only.name),
            None => self.kernel.clone(),
        }
    }
}
