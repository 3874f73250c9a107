//! What a kernel refuses to run: no time is compared, only whether there is one.

use super::evidence::{Compared, describe};
use super::experiment::{Evidence, Question, Weight, load_class};
use super::judge::Judge;
use super::records::Found;
use crate::baseline::is_refusal;
use crate::problem::{Operand, Problem};
use crate::record::{ComparisonRecord, Effect, EffectUnit, Finding, QuestionRecord, Status};
use crate::stats::Rule;
use crate::sweep::Arm;

/// The multiple of a size that counts.
const MULTIPLE: u64 = 16;

impl Question {
    /// A question that is affirmed where each of these cells is refused while the `runs` are not.
    pub(super) fn refused(asks: &str, runs: Vec<Arm>, refused: Vec<Arm>) -> Self {
        // Of the refused cells all must be.
        let one_less = 1.0 - 1.0 / refused.len().max(1) as f64;
        Question {
            asks: asks.to_owned(),
            rule: Rule::AtLeast { support: 1.0, contradict: one_less },
            evidence: Evidence::Refused { runs, refused },
            clock_is_effect: false,
            dispensable: false,
            weight: Weight::Claimed,
        }
    }
}

/// What records say of one cell.
enum Tried {
    /// Nobody tried it, or what became of it says nothing about the kernel.
    Unknown(String),
    Ran(u64),
    Refused(String),
}

impl Judge<'_> {
    /// What records say of cells that are to run and of cells that are to be refused, and whether there are any.
    pub(super) fn refused(&self, runs: &[Arm], refused: &[Arm], record: &mut QuestionRecord) -> bool {
        let tried = |arm: &Arm| (describe(arm), self.tried(arm));
        let (runs, refused): (Vec<_>, Vec<_>) = (runs.iter().map(tried).collect(), refused.iter().map(tried).collect());
        let any = runs.iter().chain(&refused).any(|(_, (_, any))| *any);
        record.comparisons =
            runs.iter().chain(&refused).map(|(arm, (tried, any))| compared(arm, tried, *any).record).collect();
        let is_refused = |(_, (tried, _)): &&(String, (Tried, bool))| matches!(tried, Tried::Refused(_));
        let has_run = |(_, (tried, _)): &&(String, (Tried, bool))| matches!(tried, Tried::Ran(_));
        let unknown = |(_, (tried, _)): &(String, (Tried, bool))| match tried {
            Tried::Unknown(why) => Some(why.clone()),
            Tried::Ran(_) | Tried::Refused(_) => None,
        };
        let count = refused.iter().filter(is_refused).count();
        (record.finding, record.reason) = if refused.iter().any(|r| has_run(&r)) {
            let ran: Vec<&str> = refused.iter().filter(has_run).map(|(arm, _)| arm.as_str()).collect();
            (Finding::Contradicted, format!("no, it ran {}, and refused {count}", ran.join(" and ")))
        } else if let Some((arm, _)) = runs.iter().find(is_refused) {
            (
                Finding::Unclear,
                format!("not decided, it refused {arm} as well, so that nothing follows from the others"),
            )
        } else if let Some(why) = runs.iter().chain(&refused).find_map(unknown) {
            (Finding::Unclear, format!("not decided, {why}"))
        } else {
            (Finding::Supported, format!("yes, it refused all {count} and ran what has aligned sizes"))
        };
        record.reason = format!("{}: {}", record.asks, record.reason);
        if matches!(record.finding, Finding::Supported | Finding::Contradicted) {
            let ran = refused.iter().filter(has_run).count();
            let share = count as f64 / (count + ran) as f64;
            record.effect = Some(Effect {
                what: "share of the cells that were refused".to_owned(),
                unit: EffectUnit::Share,
                value: share,
                lo: share,
                hi: share,
                in_cycles: None,
            });
        }
        any
    }

    /// What became of a cell, or of others that differ from it in nothing that can matter here; and whether there is any record of it.
    fn tried(&self, arm: &Arm) -> (Tried, bool) {
        let records: Vec<&Found> = self.index.found.iter().filter(|f| alike(arm, f)).collect();
        let ran = |f: &&&Found| f.record.status == Status::Ok && f.unusable.is_none();
        let refusal =
            |f: &&Found| f.record.reason.clone().filter(|why| f.record.status != Status::Ok && is_refusal(why));
        let tried = if let Some(found) = records.iter().find(ran) {
            Tried::Ran(found.times.len() as u64)
        } else if let Some(why) = records.iter().find_map(refusal) {
            Tried::Refused(why)
        } else if let Some(why) = records.iter().find_map(|f| f.unusable.clone()) {
            Tried::Unknown(why)
        } else {
            Tried::Unknown(format!("there is no record of {}", describe(arm)))
        };
        (tried, !records.is_empty())
    }
}

/// Whether a record is of the same kernel, form and alignment, of sizes and of rows alike.
fn alike(arm: &Arm, found: &Found) -> bool {
    let (p, q) = (&arm.problem, &found.record.problem);
    let multiple = |p: &Problem| [p.m, p.n, p.k].map(|size| size.is_multiple_of(MULTIPLE));
    let rows = |p: &Problem| Operand::ALL.map(|o| load_class(p, o));
    found.record.kernel == arm.kernel.split('/').next().unwrap_or_default()
        && (p.layout, p.dtype) == (q.layout, q.dtype)
        && multiple(p) == multiple(q)
        && rows(p) == rows(q)
}

fn compared(arm: &str, tried: &Tried, any: bool) -> Compared {
    let (second, samples, note) = match tried {
        Tried::Ran(samples) => ("it ran", *samples, None),
        Tried::Refused(why) => ("it was refused", 0, Some(why.clone())),
        Tried::Unknown(why) => ("not known", 0, Some(why.clone())),
    };
    let record = ComparisonRecord {
        first: arm.to_owned(),
        second: second.to_owned(),
        ratio: None,
        samples,
        repetitions: u64::from(any),
        note,
    };
    Compared { effect: None, record, any, shared: 0.0, in_turn: false }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{gpu, manifest};
    use super::super::{Records, find, judge};
    use super::*;
    use crate::claims::Bench;
    use crate::record::{CellRecord, Sample};
    use crate::sweep::{Cell, Plan, blank};

    /// The records of the claim's plan where the library refuses what `refuses` says.
    fn records(refuses: impl Fn(&Problem) -> Option<&'static str>, scaled: u64) -> Records {
        let device = gpu(132);
        let claim = find("FK-11").unwrap();
        let plan = Plan::new(&super::super::spec(&[claim], &Bench::new(&device)), device.kind(), 1).unwrap();
        let record = |cell: &Cell| -> CellRecord {
            let mut record = blank(cell, &device.record.name);
            (record.kernel, record.variant) = ("cublaslt".to_owned(), "best".to_owned());
            let p = cell.problem;
            // Other multiples of 16 leave everything as it is.
            record.problem = Problem { m: p.m + 16 * scaled, ..p };
            (record.status, record.reason) = match refuses(&p) {
                Some(why) => (Status::Skipped, Some(why.to_owned())),
                None => (Status::Ok, None),
            };
            if record.status == Status::Ok {
                let sample = |i: u64| Sample {
                    at_ns: 1000 * i,
                    elapsed_ns: 200_000_000 + i,
                    launches: 10,
                    clock_mhz: None,
                    power_mw: None,
                    temperature_c: None,
                    throttle_bits: None,
                    throttled: false,
                };
                record.samples = (0..10).map(sample).collect();
                record.median_ns = Some(20_000_000);
            }
            record
        };
        let cells = (0..plan.units()).map(|at| record(&plan.unit(at)[0])).collect();
        Records::new(vec![(manifest(&device, 1), cells)]).unwrap()
    }

    const NONE: &str = "cuBLASLt 13.0.2 has no algorithm for this (status 15)";

    fn verdict(records: &Records) -> (Finding, String) {
        let mut verdicts = judge(&[find("FK-11").unwrap()], records);
        let v = verdicts.verdicts.remove(0);
        let decided = matches!(v.verdict, Finding::Supported | Finding::Contradicted);
        assert!(!decided || v.p_corrected.is_none(), "nothing here is by chance");
        (v.verdict, v.reason)
    }

    fn awkward(p: &Problem) -> bool {
        [p.m, p.n, p.k].iter().any(|size| !size.is_multiple_of(16))
    }

    #[test]
    fn a_library_that_refuses_awkward_sizes_and_nothing_else_supports_the_claim() {
        for scaled in [0, 3] {
            let (finding, reason) = verdict(&records(|p| awkward(p).then_some(NONE), scaled));
            assert_eq!(finding, Finding::Supported, "{reason}");
        }
    }

    #[test]
    fn one_awkward_size_that_runs_denies_it_and_is_named() {
        let (finding, reason) = verdict(&records(|_| None, 0));
        assert_eq!(finding, Finding::Contradicted, "{reason}");
        // Rows that are not aligned are refused, sizes alone are not.
        let rows = |p: &Problem| Operand::ALL.iter().any(|&o| p.align_bytes(o) < 16);
        let (finding, reason) = verdict(&records(|p| rows(p).then_some(NONE), 0));
        assert_eq!(finding, Finding::Contradicted, "{reason}");
        assert!(reason.contains("it ran 4088x") || reason.contains("x4088"), "{reason}");
    }

    #[test]
    fn other_reasons_for_having_no_time_decide_nothing() {
        let missing = "cuBLASLt is not installed: looked for libcublasLt.so.13";
        let verdict_of = |refuses: &dyn Fn(&Problem) -> Option<&'static str>| verdict(&records(refuses, 0));
        let (finding, reason) = verdict_of(&|_| Some(missing));
        assert_eq!(finding, Finding::NotMeasurable, "{reason}");
        assert!(reason.contains("not installed"), "{reason}");
        let (finding, reason) = verdict_of(&|_| Some(NONE));
        assert_eq!(finding, Finding::Unclear, "{reason}");
        assert!(reason.contains("as well"), "{reason}");
        let (finding, reason) = verdict_of(&|p| awkward(p).then_some("out of memory"));
        assert_eq!(finding, Finding::Unclear, "{reason}");
        assert!(reason.contains("out of memory"), "{reason}");
    }
}
