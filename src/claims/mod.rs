//! Claims about matrix shapes, each with the experiment that tries it.
//!
//! A [`Claim`] is data: a sentence, its source, and a plan of comparisons for a device. [`spec`] turns plans into a sweep, and [`judge`] reads
//! a sweep's records, and nothing else, to answer the questions that each claim comes down to.
//!
//! One concept a file: what experiments are made of (`experiment`), what plans are made for (`bench`), the claims by family (`nv`, `ra`,
//! `fk`, `hw`, `mm`, `dr`) and their arithmetic (`facts`), finding cells in records by what they are (`records`), other cells that ask the same
//! (`analogue`), what disqualifies a comparison (`sound`), the model against many shapes (`fit`), how a load begins (`onset`), a size beside its neighbours (`between`), what is not run at all (`refusal`), what records say of a comparison (`evidence`), what that answers (`answer`),
//! what the answers make of a claim (`judge`) and writing it down (`markdown`).

mod analogue;
#[cfg(test)]
mod analogue_tests;
mod answer;
mod bench;
mod between;
mod dr;
#[cfg(test)]
mod error_rates;
mod evidence;
mod experiment;
mod facts;
mod fit;
mod fk;
mod hw;
mod judge;
mod markdown;
mod mm;
mod nv;
mod onset;
#[cfg(test)]
mod onset_tests;
mod ra;
mod records;
mod refusal;
mod sound;
#[cfg(test)]
mod spoiled_tests;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod verdict_tests;

pub use bench::{Bench, Need, Scale, described};
pub use experiment::{Comparison, Evidence, Held, Per, Question};
pub use facts::Fact;
pub use judge::judge;
pub use markdown::{BEGIN, END, counts, effect, splice, table};
pub use records::{Records, RecordsError};

use crate::measure::Stopping;
use crate::record::{DeviceKind, Source};
use crate::sweep::{Arm, Listed, Plan, Spec};
use thiserror::Error;

/// Where a claim comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Title of the document, thread or repository.
    pub title: &'static str,
    /// Who wrote it.
    pub author: &'static str,
    /// The year.
    pub year: &'static str,
}

impl From<Reference> for Source {
    fn from(r: Reference) -> Source {
        Source { title: r.title.to_owned(), author: r.author.to_owned(), year: r.year.to_owned() }
    }
}

/// A claim and its experiment.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Its number, such as `NV-12`.
    pub id: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What is claimed.
    pub sentence: &'static str,
    /// By whom.
    pub source: Reference,
    /// Whether its plan has something to say on a CPU, whose kernel has no tiles and no Tensor Cores.
    pub on_cpu: bool,
    /// Its questions on a device, or what they need that is not there.
    pub plan: fn(&Bench) -> Result<Vec<Question>, Need>,
    /// What can be settled by arithmetic.
    pub facts: Option<fn() -> Vec<Fact>>,
}

impl Claim {
    /// Its questions on a device.
    ///
    /// # Errors
    /// The device or this program lacks something that they need.
    pub fn questions(&self, bench: &Bench) -> Result<Vec<Question>, Need> {
        if bench.is_cpu() && !self.on_cpu { bench::need("a CUDA device") } else { (self.plan)(bench) }
    }
}

/// All claims: NVIDIA's, Raschka's and Coulom's, folklore, hardware, measuring, and this project's hypotheses.
pub fn claims() -> impl Iterator<Item = &'static Claim> {
    [nv::CLAIMS, ra::CLAIMS, fk::CLAIMS, hw::CLAIMS, mm::CLAIMS, dr::CLAIMS].into_iter().flatten()
}

/// A claim that there is not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no claim {id:?}{}; `gemmscope validate --list` lists them", .meant.map(|m| format!("; did you mean {m}?")).unwrap_or_default())]
pub struct UnknownClaim {
    /// What was asked for.
    pub id: String,
    /// The nearest there is.
    pub meant: Option<&'static str>,
}

/// The claim with this number, in upper or lower case.
///
/// # Errors
/// There is none; the nearest one is named.
pub fn find(id: &str) -> Result<&'static Claim, UnknownClaim> {
    let wanted = id.to_ascii_uppercase();
    if let Some(claim) = claims().find(|c| c.id == wanted) {
        return Ok(claim);
    }
    let likeness = |c: &&Claim| (strsim::jaro_winkler(c.id, &wanted) * 1e6) as u64;
    let meant = claims().max_by_key(likeness).filter(|c| likeness(c) > 700_000).map(|c| c.id);
    Err(UnknownClaim { id: id.to_owned(), meant })
}

/// How often each comparison is measured, each time at another place of the run's random order.
pub const REPETITIONS: u32 = 7;

/// When a cell of a claim has been measured enough: twelve blocks A B B A, however steady they are.
pub fn stopping() -> Stopping {
    Stopping {
        relative_width: 0.002,
        min_samples: 24,
        max_samples: 48,
        cell_ns: 60_000_000,
        warmup_share: 0.5,
        ..Stopping::default()
    }
}

/// The sweep that tries these claims on a device. A comparison that several claims share is measured once for all of them. Claims that
/// cannot be tried here have no cells.
pub fn spec(claims: &[&Claim], bench: &Bench) -> Spec {
    let repetitions = if bench.device().kind() == DeviceKind::Emulated { 1 } else { REPETITIONS };
    let mut listed: Vec<Listed> = Vec::new();
    let mut add = |part: &str, first: &Arm, second: Option<&Arm>| {
        let same = |l: &Listed| l.first == *first && l.second.as_ref() == second;
        let mirrored = |l: &Listed| l.second.as_ref() == Some(first) && Some(&l.first) == second;
        if !listed.iter().any(|l| same(l) || mirrored(l)) {
            listed.push(Listed { part: part.to_owned(), first: first.clone(), second: second.cloned(), repetitions });
        }
    };
    for claim in claims {
        let part = claim.id.to_ascii_lowercase();
        for question in claim.questions(bench).unwrap_or_default() {
            for c in question.comparisons() {
                add(&part, &c.first, Some(&c.second));
            }
            question.cells().into_iter().for_each(|arm| add(&part, arm, None));
        }
    }
    let preset = if let [one] = claims { one.id.to_ascii_lowercase() } else { "claims".to_owned() };
    Spec { preset: Some(preset), parts: Vec::new(), listed }
}

/// The time that trying a claim on a device takes at least, in nanoseconds, for rests and dwells that no stopping rule shortens.
pub fn least_ns(claim: &Claim, bench: &Bench) -> u64 {
    let kind = bench.device().kind();
    let Ok(plan) = Plan::new(&spec(&[claim], bench), kind, 0) else { return 0 };
    (0..plan.units()).map(|i| crate::sweep::least_ns(&plan.unit(i), kind, &stopping())).sum()
}

#[cfg(test)]
mod tests {
    use super::synthetic::{bench_devices, gpu};
    use super::*;
    use crate::catalog;
    use crate::problem::Operand;
    use std::collections::HashSet;

    #[test]
    fn claims_have_a_number_a_sentence_and_a_source_of_their_own() {
        let ids: HashSet<&str> = claims().map(|c| c.id).collect();
        assert_eq!(ids.len(), claims().count());
        for c in claims() {
            assert!(c.sentence.ends_with('.') && c.sentence.len() > 20, "{}", c.id);
            assert!(c.source.year.parse::<u32>().is_ok_and(|y| (2000..2100).contains(&y)), "{}", c.id);
            assert!(!c.title.is_empty() && !c.source.author.is_empty() && !c.source.title.is_empty(), "{}", c.id);
        }
        for family in ["NV-01", "NV-19", "RA-13", "CO-01", "FK-14", "HW-07", "MM-05", "DR-06"] {
            assert!(ids.contains(family), "{family}");
        }
    }

    #[test]
    fn claims_are_found_in_either_case_and_suggested_otherwise() {
        assert_eq!(find("nv-12").unwrap().id, "NV-12");
        let error = find("NV-122").unwrap_err();
        assert!(error.meant.is_some_and(|m| m.starts_with("NV-1")), "{error}");
        assert!(error.to_string().contains("did you mean NV-1"), "{error}");
        assert_eq!(find("zzz").unwrap_err().meant, None);
    }

    /// What every plan must be on every device: arms that differ in nothing that the comparison holds.
    #[test]
    fn arms_differ_only_in_what_a_claim_is_about() {
        for device in bench_devices() {
            let bench = Bench::new(&device);
            for claim in claims() {
                for question in claim.questions(&bench).unwrap_or_default() {
                    assert!(!question.asks.is_empty());
                    for c in question.comparisons() {
                        assert_ne!(c.first, c.second, "{} on {}", claim.id, device.record.name);
                        let broken = sound::broken(c, &c.first.kernel, &c.second.kernel, &device);
                        assert_eq!(broken, None, "{} on {}: {c:?}", claim.id, device.record.name);
                        for arm in [&c.first, &c.second] {
                            assert_eq!(arm.problem.validate(), Ok(()), "{} on {}", claim.id, device.record.name);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_claim_about_sizes_holds_alignment_and_one_about_alignment_holds_sizes() {
        let device = gpu(132);
        let bench = Bench::new(&device);
        for claim in claims() {
            for question in claim.questions(&bench).unwrap_or_default() {
                for c in question.comparisons() {
                    let (a, b) = (&c.first.problem, &c.second.problem);
                    let class = |p: &crate::Problem| Operand::ALL.map(|o| experiment::load_class(p, o));
                    let aligned_alike = class(a) == class(b);
                    let same_tiles = c.held.contains(&Held::Tiles) || c.held.contains(&Held::Sizes);
                    // FK-07 and FK-09 are about the library's own choices, NV-15 about an awkward number of channels.
                    let about_the_library = ["FK-07", "FK-09", "NV-15"].contains(&claim.id);
                    assert!(aligned_alike || same_tiles || about_the_library, "{}: {c:?}", claim.id);
                }
            }
        }
    }

    #[test]
    fn no_effect_of_a_power_of_two_or_of_a_cache_line_passes_for_another() {
        let device = gpu(128);
        for claim in claims() {
            for question in claim.questions(&Bench::new(&device)).unwrap_or_default() {
                for c in question.comparisons() {
                    let (a, b) = (&c.first.problem, &c.second.problem);
                    let of_powers = |p: &crate::Problem| [p.m, p.n, p.k].iter().all(|s| s.is_power_of_two());
                    // DR-06 asks about powers of two, and FK-07 is told of 2048.
                    assert!(
                        ["DR-06", "FK-07"].contains(&claim.id) || of_powers(a) == of_powers(b),
                        "{}: {c:?}",
                        claim.id
                    );
                    // An operand whose loads get narrower has no rows at whole lines to lose as well, unless its sizes are the claim.
                    let by_steps = ["NV-02", "NV-04", "NV-05", "FK-05", "DR-01", "DR-02", "DR-03"].contains(&claim.id);
                    for o in Operand::ALL {
                        let differs = experiment::load_class(a, o) != experiment::load_class(b, o);
                        assert!(!(by_steps && differs) || a.align_bytes(o) <= 16, "{}: {c:?}", claim.id);
                    }
                }
            }
        }
    }

    #[test]
    fn memory_is_asked_about_where_every_multiprocessor_has_all_the_ctas_that_it_can_hold() {
        let device = gpu(132);
        for (id, tile) in [("NV-01", bench::MIDDLE_TILE), ("NV-14", bench::SMALL_TILE)] {
            let slots = Bench::new(&device).slots(tile).unwrap();
            assert!(slots > 132 && slots.is_multiple_of(132), "{id}: {slots}");
            for question in find(id).unwrap().questions(&Bench::new(&device)).unwrap() {
                for c in question.comparisons() {
                    for p in [&c.first.problem, &c.second.problem] {
                        let tiles = p.m.div_ceil(tile[0].into()) * p.n.div_ceil(tile[1].into());
                        assert!(tiles.is_multiple_of(slots), "{id}: {tiles} tiles on {slots} slots, {p:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn plans_run_on_every_device_and_repeat_each_comparison() {
        for device in bench_devices() {
            let all: Vec<&Claim> = claims().collect();
            let spec = spec(&all, &Bench::new(&device));
            let plan = Plan::new(&spec, device.kind(), 1).unwrap();
            let emulated = device.kind() == DeviceKind::Emulated;
            assert!(plan.units() >= if emulated { 20 } else { 60 }, "{}: {}", device.record.name, plan.units());
            assert!(spec.listed.iter().all(|l| l.repetitions == if emulated { 1 } else { REPETITIONS }));
            let distinct: HashSet<String> =
                spec.listed.iter().map(|l| format!("{:?} {:?}", l.first, l.second)).collect();
            assert_eq!(distinct.len(), spec.listed.len());
        }
    }

    #[test]
    fn waves_are_full_to_the_last_tile() {
        for units in [72, 80, 82, 108, 114, 128, 132, 142, 148] {
            let device = gpu(units);
            let questions = find("NV-12").unwrap().questions(&Bench::new(&device)).unwrap();
            for (i, question) in questions.iter().enumerate() {
                let [c] = question.comparisons()[..] else { panic!("one comparison a question") };
                let tiles = |arm: &Arm| {
                    let name = arm.kernel.split_once('/').unwrap();
                    let kernel = catalog::catalog().kernels.iter().find(|k| k.name == name.0).unwrap();
                    let variant = kernel.variants.iter().find(|v| v.name == name.1).unwrap();
                    crate::dispatch::tiles(&arm.problem, variant)
                };
                assert_eq!(tiles(&c.first), (i as u64 + 1) * u64::from(units));
                assert!(tiles(&c.second) > tiles(&c.first) && tiles(&c.second) < (i as u64 + 2) * u64::from(units));
            }
        }
    }

    #[test]
    fn arithmetic_is_what_it_was_claimed_to_be() {
        // The two that fail are verdicts, not mistakes: Raschka's own table, and not all of the published shapes fill their wave.
        for claim in claims() {
            let facts = claim.facts.map(|f| f()).unwrap_or_default();
            let right = facts.iter().all(Fact::is_right);
            assert_eq!(right, !["RA-11", "FK-13"].contains(&claim.id), "{}: {facts:?}", claim.id);
        }
    }
}
