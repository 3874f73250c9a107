//! From records to verdicts.

use super::Claim;
use super::answer::{answer, rule_record};
use super::bench::{Bench, Scale};
use super::evidence::{Compared, DISAGREE, describe, enough, mean};
use super::experiment::{Evidence, Question, Weight};
use super::facts::Fact;
use super::fit::ALIKE;
use super::records::{Index, Records, SKIPPED};
use crate::device::DeviceInfo;
use crate::record::{DeviceKind, Finding, NOT_REACHED, QuestionRecord, Status, VERDICTS_VERSION, Verdict, Verdicts};
use crate::stats::{ALPHA, false_discovery};
use crate::sweep::Arm;

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
            let (would, among) = (verdict.verdict.name(), tried.len());
            verdict.reason = if among > 1 {
                format!(
                    "it would be {would} alone, but not among {among} claims judged together (p = {corrected:.2}): {}",
                    verdict.reason
                )
            } else {
                format!(
                    "it would be {would} by one question alone, but not among the {} that it comes down to (p = {corrected:.2}): {}",
                    verdict.questions.len(),
                    verdict.reason
                )
            };
            verdict.verdict = Finding::Unclear;
        }
    }
}

/// Who judges: a device's records.
pub(super) struct Judge<'a> {
    pub device: &'a DeviceInfo,
    pub index: &'a Index<'a>,
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
        let answer = |q: &Question| Answered::new(q, self.question(q));
        let mut asked = questions;
        let mut answers: Vec<Answered> = asked.iter().map(answer).collect();
        if answers.iter().all(|a| !a.any)
            && let Ok(small) = claim.questions(&bench.at(Scale::Small))
        {
            // The same experiment may have been made at the small scale.
            let again: Vec<Answered> = small.iter().map(answer).collect();
            if again.iter().any(|a| a.any) {
                (asked, answers) = (small, again);
            }
        }
        let mut near_miss = self.stand_in(&asked, &mut answers);
        let mut layers = false;
        if answers.iter().all(|a| !a.any)
            && let Ok(usual) = claim.questions(&bench.at(Scale::Layer))
            && usual != asked
        {
            // Others have layers as they are, and not as they would fill the device.
            let mut again: Vec<Answered> = usual.iter().map(answer).collect();
            let why = self.stand_in(&usual, &mut again);
            near_miss = near_miss.or(why);
            if again.iter().any(|a| a.any) {
                layers = true;
                (asked, answers) = (usual, again);
            }
        }
        let any = answers.iter().any(|a| a.any);
        // What the records do not hold at all is not asked, where the others do without it.
        let left_out: Vec<&str> = asked
            .iter()
            .zip(&answers)
            .filter(|(q, a)| any && q.dispensable && !a.any)
            .map(|(q, _)| q.asks.as_str())
            .collect();
        let not_asked = if left_out.is_empty() {
            String::new()
        } else {
            format!("; not asked, for want of its cells: {}", left_out.join("; "))
        };
        let (questions, weights): (Vec<QuestionRecord>, Vec<Weight>) =
            answers.into_iter().filter(|a| a.any || !any || !a.dispensable).map(|a| (a.record, a.weight)).unzip();
        verdict.questions = questions;
        if !any {
            let cell = asked.first().and_then(|q| {
                let first = q.comparisons().first().map(|c| describe(&c.first));
                first.or_else(|| q.cells().first().map(|arm| describe(arm)))
            });
            verdict.reason = match near_miss {
                Some(why) => format!("the records hold none of its cells, and of those that are like them: {why}"),
                None => "the records hold none of its cells".to_owned(),
            };
            let cell = cell.unwrap_or_default();
            verdict.needs = Some(format!("records of cells such as {cell}: `gemmscope validate {}`", claim.id));
            return verdict;
        }
        if let Some(why) = all_skipped(&verdict.questions) {
            verdict.reason.clone_from(&why);
            verdict.needs = Some(why);
            return verdict;
        }
        conclude(&mut verdict, &weights);
        verdict.reason += &not_asked;
        if layers {
            verdict.reason += "; its problems need not fill the device, which the planned ones do, so that idle multiprocessors are part of the effect";
        }
        if let Some(fact) = wrong.first() {
            verdict.verdict = Finding::Contradicted;
            verdict.reason = format!("{}: it comes to {:.4}", fact.says, fact.found);
        }
        verdict
    }

    /// Answers what the questions' own cells do not by cells that are like them; why there are none, where there are none.
    fn stand_in(&self, asked: &[Question], answers: &mut [Answered]) -> Option<String> {
        let mut near_miss = None;
        for (q, answer) in asked.iter().zip(answers).filter(|(_, a)| a.record.effect.is_none()) {
            match self.stand_ins(q, asked) {
                Ok(Some(evidence)) => *answer = Answered::new(q, self.by_stand_ins(q, evidence)),
                Ok(None) => {}
                Err(why) => near_miss = near_miss.or(Some(why)),
            }
        }
        near_miss
    }

    /// How many of the plan's cells ran, and of how many.
    fn ran(&self, questions: &[Question]) -> (usize, usize) {
        let arms = |q: &Question| -> Vec<Arm> {
            let pairs = q.comparisons().into_iter().flat_map(|c| [c.first.clone(), c.second.clone()]);
            pairs.chain(q.cells().into_iter().cloned()).collect()
        };
        let all: Vec<Arm> = questions.iter().flat_map(arms).collect();
        let ran = |arm: &&Arm| self.index.of(arm).any(|f| f.record.status == Status::Ok);
        (all.iter().filter(ran).count(), all.len())
    }

    /// The answer to a question from cells that are like its own.
    fn by_stand_ins(&self, q: &Question, evidence: Evidence) -> (QuestionRecord, bool) {
        let (mut record, any) = self.question(&Question { evidence, ..q.clone() });
        if let Some(c) = record.comparisons.iter().find(|c| c.ratio.is_some()) {
            record.reason += &format!("; by cells like the planned ones, such as {} against {}", c.second, c.first);
        }
        (record, any)
    }

    /// The answer to a question, and whether there was any record of its cells.
    fn question(&self, q: &Question) -> (QuestionRecord, bool) {
        let mut record = QuestionRecord {
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
                let enough = enough(q.rule);
                let effect = mean(&all, enough).and_then(|m| match mean(&off, enough) {
                    Some(off) => m.less(off),
                    None if off.is_empty() => Some(m),
                    None => None,
                });
                (all.into_iter().chain(off).collect::<Vec<_>>(), effect)
            }
            Evidence::Between(pairs) => self.between(pairs),
            Evidence::Best(groups) => self.best(groups),
            Evidence::Spread(arms) => self.spread(arms),
            Evidence::Onset(arms) => self.onset(arms),
            Evidence::Fit(arms) => self.fitted(arms),
            Evidence::Refused { runs, refused } => {
                let any = self.refused(runs, refused, &mut record);
                return (record, any);
            }
        };
        let any = compared.iter().any(|c| c.any);
        let each: Vec<_> = compared.iter().filter_map(|c| c.effect).collect();
        let missing = compared.iter().find_map(|c| c.record.note.clone().filter(|_| c.effect.is_none()));
        let unusable = compared.iter().filter(|c| c.effect.is_none()).count();
        record.comparisons = compared.into_iter().map(|c| c.record).collect();
        match effect {
            Some(effect) => {
                answer(q, &effect, &each, &mut record);
                let notes = record.comparisons.iter().filter_map(|c| c.note.as_deref());
                if let Some(why) = notes.into_iter().find(|note| note.starts_with(DISAGREE)) {
                    record.reason += &format!("; {why}");
                }
                if let (Some(why), Evidence::Mean { .. }) = (missing, &q.evidence) {
                    let of = record.comparisons.len();
                    record.reason += &format!("; {unusable} of {of} comparisons lack data: {why}");
                }
            }
            None => {
                let of = record.comparisons.len();
                record.reason = match missing {
                    Some(why) => format!("{}: {unusable} of {of} comparisons lack data: {why}", q.asks),
                    None => format!("{}: {}", q.asks, lacking(&q.evidence)),
                };
            }
        }
        (record, any)
    }
}

/// The reason that all comparisons share for having been skipped, as where a library is not installed.
fn all_skipped(questions: &[QuestionRecord]) -> Option<String> {
    let mut notes = questions.iter().flat_map(|q| &q.comparisons).map(|c| c.note.as_deref().unwrap_or_default());
    let skipped = |note: &str| note.starts_with(SKIPPED) && !note.contains(NOT_REACHED);
    let first = notes.next().filter(|note| skipped(note))?.to_owned();
    notes.all(skipped).then_some(first)
}

/// Why evidence of which each part is there gives no effect.
fn lacking(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::Best(_) => {
            "too few blocks measured in turn, A B B A, to choose by one half of them and weigh by the other"
        }
        Evidence::Fit(_) => ALIKE,
        Evidence::Mean { .. }
        | Evidence::Between(_)
        | Evidence::Spread(_)
        | Evidence::Onset(_)
        | Evidence::Refused { .. } => "there are too few samples",
    }
}

/// What the answers to its questions make of a claim: all must be yes, and one no is enough. `weights` are what a no of each means.
fn conclude(verdict: &mut Verdict, weights: &[Weight]) {
    let questions: Vec<(&QuestionRecord, Weight)> = verdict.questions.iter().zip(weights.iter().copied()).collect();
    let counting: Vec<(&QuestionRecord, Weight)> = questions.into_iter().filter(|(_, w)| *w != Weight::Aside).collect();
    // What was decided without a p-value was not a matter of chance.
    let p = |q: &QuestionRecord| q.p.unwrap_or(if q.finding == Finding::Unclear { 1.0 } else { 0.0 });
    let denied = |weight: Weight| {
        let no = |(q, w): &&(&QuestionRecord, Weight)| *w == weight && q.finding == Finding::Contradicted;
        counting.iter().filter(no).map(|(q, _)| *q).min_by(|a, b| p(a).total_cmp(&p(b)))
    };
    let open = counting.iter().map(|(q, _)| *q).find(|q| q.finding == Finding::Unclear);
    let first = counting.first().map(|(q, _)| *q);
    let (finding, decided_by, p) = match (denied(Weight::Claimed), denied(Weight::Premise).or(open), first) {
        // Several questions are several chances for a no.
        (Some(q), _, _) => (Finding::Contradicted, q, (p(q) * counting.len() as f64).min(1.0)),
        (None, Some(q), _) => (Finding::Unclear, q, 1.0),
        // A yes needs all of them, so the weakest tells.
        (None, None, Some(q)) => (Finding::Supported, q, counting.iter().map(|(q, _)| p(q)).fold(0.0, f64::max)),
        (None, None, None) => return,
    };
    let nothing_to_show = finding == Finding::Unclear && decided_by.finding == Finding::Contradicted;
    let (effect, reason) = (decided_by.effect.clone(), decided_by.reason.clone());
    // What was decided without a p-value was not a matter of chance; what is unclear was tried.
    let by_chance = counting.iter().any(|(q, _)| q.p.is_some() || q.finding == Finding::Unclear);
    verdict.samples = verdict.questions.iter().flat_map(|q| &q.comparisons).map(|c| c.samples).sum();
    verdict.verdict = finding;
    verdict.effect = effect;
    verdict.reason =
        if nothing_to_show { format!("there is nothing for the claim to be about here: {reason}") } else { reason };
    verdict.p_corrected = by_chance.then_some(p);
}

/// What became of a question.
struct Answered {
    record: QuestionRecord,
    /// Whether there is any record of its cells.
    any: bool,
    dispensable: bool,
    weight: Weight,
}

impl Answered {
    fn new(q: &Question, (record, any): (QuestionRecord, bool)) -> Self {
        Answered { record, any, dispensable: q.dispensable, weight: q.weight }
    }
}

fn by_arithmetic(mut verdict: Verdict, facts: &[Fact], wrong: &[&Fact], need: &str) -> Verdict {
    verdict.device = String::new();
    let measuring =
        if need.starts_with("nothing more") { String::new() } else { format!("; to measure it needs {need}") };
    match wrong.first() {
        Some(fact) => {
            verdict.verdict = Finding::Contradicted;
            verdict.reason = match &fact.instead {
                Some(instead) => format!("by arithmetic: {instead}"),
                None => format!("by arithmetic, {}: claimed {}, found {}", fact.says, fact.claimed, fact.found),
            };
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
