//! From effects to the answer to a question.

use super::evidence::{Both, finite_exp, root};
use super::experiment::{Evidence, Per, Question};
use crate::record::{Effect, EffectUnit, Finding, QuestionRecord, RuleRecord};
use crate::stats::{ALPHA, Decision, Rule, decide};

/// Difference between the arms' clocks from which on time and cycles must say the same, as a logarithm.
const CLOCK_SLACK: f64 = 0.01;

/// The comparisons that have an effect where none should, after correction for their number and in cycles too where clocks are known: the
/// least p-value, and how many they are.
fn opposed(q: &Question, each: &[Both]) -> Option<(f64, usize)> {
    let level = ALPHA / each.len() as f64;
    let found = each.iter().filter_map(|e| {
        let decision = decide(&e.time, q.rule, level);
        let p = match decision {
            Decision::No(p) => p,
            Decision::Yes(_) | Decision::Between | Decision::Neither => return None,
        };
        let by_clock = e.cycles.is_some_and(|cycles| {
            !q.clock_is_effect
                && disagree(decision, decide(&cycles, q.rule, level), (e.time.value - cycles.value).abs())
        });
        (!by_clock && !denied_by(decision, e.of_medians, q.rule)).then(|| (p * each.len() as f64).min(1.0))
    });
    let found: Vec<f64> = found.collect();
    found.iter().copied().min_by(f64::total_cmp).map(|p| (p, found.len()))
}

/// Whether what times decide is not what cycles say: the opposite, or anything else where the clocks were `apart` as well.
fn disagree(by_time: Decision, by_cycles: Decision, apart: f64) -> bool {
    let [alike, opposite] = match (by_time, by_cycles) {
        (Decision::Yes(_), Decision::Yes(_)) | (Decision::No(_), Decision::No(_)) => [true, false],
        (Decision::Yes(_), Decision::No(_)) | (Decision::No(_), Decision::Yes(_)) => [false, true],
        _ => [false, false],
    };
    by_time.p().is_some() && (opposite || apart > CLOCK_SLACK && !alike)
}

/// Whether the medians of the arms lean towards the opposite of what was decided.
fn denied_by(decision: Decision, of_medians: f64, rule: Rule) -> bool {
    match (decision, rule) {
        (Decision::Yes(_), Rule::AtLeast { support, contradict }) => of_medians < (support + contradict) / 2.0,
        (Decision::No(_), Rule::AtLeast { support, contradict }) => of_medians > (support + contradict) / 2.0,
        (Decision::Yes(_), Rule::Within { within, outside }) => of_medians.abs() > (within + outside) / 2.0,
        (Decision::No(_), Rule::Within { within, outside }) => of_medians.abs() < (within + outside) / 2.0,
        (Decision::Between | Decision::Neither, _) => false,
    }
}

/// Answers a question from the effect of its comparisons together, and of each.
pub(super) fn answer(q: &Question, effect: &Both, each: &[Both], answer: &mut QuestionRecord) {
    let mut decision = decide(&effect.time, q.rule, ALPHA);
    let mut note = String::new();
    // A mean of none can hide effects that point both ways.
    let hidden = match q.rule {
        Rule::Within { .. } if each.len() > 1 => opposed(q, each),
        Rule::Within { .. } | Rule::AtLeast { .. } => None,
    };
    if let Some((p, count)) = hidden {
        decision = Decision::No(p);
        note = format!("; {count} of {} comparisons have an effect of their own", each.len());
    } else {
        if let Some(cycles) = effect.cycles.filter(|_| !q.clock_is_effect)
            && disagree(decision, decide(&cycles, q.rule, ALPHA), (effect.time.value - cycles.value).abs())
        {
            decision = Decision::Neither;
            note = format!("; the clock differed between the arms: {} in cycles", percent(cycles.value));
        }
        if let (Decision::Between | Decision::Neither, Some(cycles)) = (decision, effect.cycles)
            && note.is_empty()
            && !q.clock_is_effect
            && (effect.time.value - cycles.value).abs() > CLOCK_SLACK
        {
            note = format!("; in cycles it is {}, since the clock differed between the arms", percent(cycles.value));
        }
        if denied_by(decision, effect.of_medians, q.rule) {
            decision = Decision::Neither;
            note = format!(
                "; by the arms' medians it is {}: the samples of an arm are of two kinds, so measure again on a quiet device",
                percent(effect.of_medians)
            );
        }
    }
    let (lo, hi) = effect.time.interval(ALPHA);
    let number = |x: f64| if is_share(q) { format!("{:.0} %", 100.0 * x) } else { percent(logarithm(q, x)) };
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
        Evidence::Between(_) => "time of a launch over what lies between its neighbours",
        Evidence::Best(_) => "time of the fixed tile over the best",
        Evidence::Spread(_) => "median time over the fastest",
        Evidence::Onset(_) => "swing of the first seconds over that of the next",
        Evidence::Fit(_) => "share of the variance of ln(time)",
        Evidence::Refused { .. } => "share of the cells that were refused",
    };
    let shown = |x: f64| if is_share(q) { x } else { finite_exp(logarithm(q, x)) };
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

/// A rule as it is written down.
pub(super) fn rule_record(q: &Question) -> RuleRecord {
    match q.rule {
        Rule::AtLeast { support, contradict } if is_share(q) => RuleRecord::AtLeast { support, contradict },
        Rule::AtLeast { support, contradict } => {
            let [support, contradict] = [support, contradict].map(|x| logarithm(q, x).exp());
            RuleRecord::AtLeast { support, contradict }
        }
        Rule::Within { within, outside } => RuleRecord::Within { within: within.exp_m1(), outside: outside.exp_m1() },
    }
}

/// Whether a question's numbers are shares and no logarithms of ratios.
fn is_share(q: &Question) -> bool {
    matches!(q.evidence, Evidence::Fit(_) | Evidence::Refused { .. })
}

/// A number of a question as the logarithm of a ratio: what swings is weighed by squares, which add up.
fn logarithm(q: &Question, x: f64) -> f64 {
    if matches!(q.evidence, Evidence::Onset(_)) { root(x) } else { x }
}

/// A logarithm of a ratio as a change in percent.
fn percent(log: f64) -> String {
    format!("{:+.1} %", 100.0 * log.exp_m1())
}

fn unsigned(log: f64) -> String {
    format!("{:.1} %", 100.0 * log.exp_m1())
}
