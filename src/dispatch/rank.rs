//! Every candidate for a problem with its predicted time, the fastest first.

use super::legal::{NoKernel, may_run};
use super::reason;
use super::select::{Selector, kernels, named};
use super::tuned::Tuned;
use crate::catalog::{Kernel, Variant};
use crate::device::DeviceInfo;
use crate::model::{DeviceDescription, Execution, Prediction, predict_execution};
use crate::problem::{Operand, Problem};
use std::cmp::Reverse;

/// A kernel and variant that can run a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The variant.
    pub variant: &'static Variant,
    /// Why this one; for another than the first, why not.
    pub why: String,
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl PartialEq for Variant {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry && self.name == other.name
    }
}

/// A choice and what it should cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Kernel, variant and reason.
    pub choice: Choice,
    /// How it covers the problem.
    pub execution: Execution,
    /// What that costs, taken apart into causes.
    pub prediction: Prediction,
    /// Its median time in nanoseconds, where it is first because it was measured and not because of its prediction.
    pub measured_ns: Option<f64>,
}

impl Candidate {
    /// The predicted time, packing and reduction included, in nanoseconds.
    pub fn predicted_ns(&self) -> f64 {
        self.prediction.total_ns()
    }

    /// `KERNEL/VARIANT`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.choice.kernel.name, self.choice.variant.name)
    }
}

/// A variant that cannot run a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The variant.
    pub variant: &'static Variant,
    /// Why not.
    pub why: NoKernel,
}

/// What dispatch thinks of a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// What can run it, the one to run first; the second is the runner-up.
    pub candidates: Vec<Candidate>,
    /// What was asked for and cannot, in the catalogue's order.
    pub refused: Vec<Refused>,
}

/// Ranks kernels for problems on one device.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    info: DeviceInfo,
    description: DeviceDescription,
    tuned: Option<Tuned>,
}

impl Dispatcher {
    /// A dispatcher for a device, by the model alone.
    pub fn new(info: &DeviceInfo) -> Self {
        let description = DeviceDescription::of_record(&info.record, info.cc);
        Dispatcher { info: info.clone(), description, tuned: None }
    }

    /// The same for a device of other figures than its record tells.
    pub fn described(self, description: &DeviceDescription) -> Self {
        Dispatcher { description: description.clone(), ..self }
    }

    /// The same with measurements, which for [`Selector::Auto`] go before the model.
    pub fn tuned(self, tuned: Option<Tuned>) -> Self {
        Dispatcher { tuned, ..self }
    }

    /// Every variant that was asked for, with its predicted time or the reason why it cannot run the problem.
    pub fn rank(&self, problem: &Problem, selector: &Selector) -> Ranking {
        self.rank_among(problem, selector, &self.asked(selector))
    }

    /// The kernels that a selector can mean: a library is none of them unless it is asked for by name.
    fn asked(&self, selector: &Selector) -> Vec<&'static Kernel> {
        match selector {
            Selector::Auto => kernels(self.info.kind()),
            Selector::Kernel(name) | Selector::Variant(name, _) => named(self.info.kind(), name).into_iter().collect(),
        }
    }

    pub(super) fn rank_among(&self, problem: &Problem, selector: &Selector, all: &[&'static Kernel]) -> Ranking {
        let (mut candidates, mut refused) = (Vec::new(), Vec::new());
        // From the ladder's last rung down, so that of two that should take the same time the later one is first.
        for &kernel in all.iter().rev() {
            for variant in kernel.variants.iter().filter(|v| selector.may_choose(kernel, v)) {
                if let Err(why) = may_run(problem, kernel, variant, &self.info) {
                    refused.push(Refused { kernel, variant, why });
                    continue;
                }
                let (execution, multiplied) = Execution::on(problem, kernel, variant, &self.description);
                let prediction = predict_execution(&multiplied, &execution, &self.description);
                let choice = Choice { kernel, variant, why: String::new() };
                candidates.push(Candidate { choice, execution, prediction, measured_ns: None });
            }
        }
        refused.reverse();
        candidates.sort_by(|a, b| a.predicted_ns().total_cmp(&b.predicted_ns()));
        prefer_simple(problem, &mut candidates);
        let of_form = refused.iter().filter(|r| r.variant.takes_form(problem)).count();
        let why_first = reason::chosen(problem, &candidates, of_form, &self.info);
        let named =
            matches!(selector, Selector::Variant(..)) || candidates.iter().any(|c| c.choice.kernel.unit == "library");
        if let [first, others @ ..] = &mut candidates[..] {
            for other in others {
                other.choice.why = reason::behind(first, other);
            }
            first.choice.why = if named { "asked for by name".to_owned() } else { why_first };
        }
        if *selector == Selector::Auto {
            self.prefer_measured(problem, &mut candidates);
        }
        Ranking { candidates, refused }
    }

    /// Puts what was measured first.
    fn prefer_measured(&self, problem: &Problem, candidates: &mut [Candidate]) {
        let Some(entry) = self.tuned.as_ref().and_then(|tuned| tuned.find(problem)) else { return };
        let is = |c: &Candidate| c.choice.kernel.name == entry.kernel && c.choice.variant.name == entry.variant;
        let Some(at) = candidates.iter().position(is) else { return };
        candidates[..=at].rotate_right(1);
        let first = &mut candidates[0];
        first.measured_ns = Some(entry.median_ns);
        first.choice.why = format!("{}; {}", reason::measured(entry), first.choice.why);
    }

    /// The candidate to run.
    ///
    /// # Errors
    /// No variant of what was asked for can run the problem on the device; the reason is that of the variant that comes nearest to
    /// being able to.
    pub fn choose(&self, problem: &Problem, selector: &Selector) -> Result<Choice, NoKernel> {
        self.choose_among(problem, selector, &self.asked(selector))
    }

    pub(super) fn choose_among(
        &self,
        problem: &Problem,
        selector: &Selector,
        all: &[&'static Kernel],
    ) -> Result<Choice, NoKernel> {
        let Ranking { candidates, refused } = self.rank_among(problem, selector, all);
        match candidates.into_iter().next() {
            Some(first) => Ok(first.choice),
            None => Err(reason::nearest(problem, selector, refused, all, &self.info)),
        }
    }
}

/// Predictions that differ by no more than this share are alike: a wave's ends alone are assumed no better.
const RESOLUTION: f64 = 0.02;

/// Of those that the model cannot tell from the fastest, puts first the one that suits the problem best in what is not in the model:
/// one that reads its large operand as a stream, then tiles that do not lie beyond C's edges for the most part, then fewer launches, then
/// none of a cluster's waiting, then the tile that covers most of C, which reads the fewest bytes, with the least of it beyond C's
/// edges, then the strictest alignment contract, whose load path is the simplest. The others stay in the order of their times.
fn prefer_simple(problem: &Problem, candidates: &mut [Candidate]) {
    let Some(fastest) = candidates.first().map(Candidate::predicted_ns) else { return };
    let alike = candidates.iter().take_while(|c| c.predicted_ns() <= fastest * (1.0 + RESOLUTION));
    let rank = |c: &Candidate| {
        let Execution { streams, launches, cluster, tile: [m, n, _], .. } = c.execution;
        let contract: u64 =
            [Operand::A, Operand::B].into_iter().map(|o| c.choice.variant.align_of(o, problem.dtype)).sum();
        // What lies beyond is multiplied and staged all the same: from four times C's area on by whole factors of two.
        let beyond = c.prediction.tile_efficiency.recip().log2().floor();
        let beyond = if beyond < 2.0 { 0 } else { beyond as u32 };
        (!streams, beyond, launches, cluster, Reverse(m.min(problem.m) * n.min(problem.n)), m * n, Reverse(contract))
    };
    if let Some((at, _)) = alike.enumerate().min_by_key(|(_, c)| rank(c)) {
        candidates[..=at].rotate_right(1);
    }
}

/// Every candidate for a problem on a device by the model, and what is refused: [`Dispatcher::rank`] without measurements.
pub fn rank(problem: &Problem, selector: &Selector, device: &DeviceInfo) -> Ranking {
    Dispatcher::new(device).rank(problem, selector)
}

/// Chooses a kernel and a variant by the model: [`Dispatcher::choose`] without measurements.
///
/// # Errors
/// No variant of what was asked for can run the problem on the device.
pub fn choose(problem: &Problem, selector: &Selector, device: &DeviceInfo) -> Result<Choice, NoKernel> {
    Dispatcher::new(device).choose(problem, selector)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{a100, emulated, h100, ladder};
    use super::super::tuned::{Outcome, entry};
    use super::*;
    use crate::problem::{DType, Layout};
    use proptest::prelude::*;

    /// What is chosen from the made-up ladder.
    fn name(problem: &Problem, device: &DeviceInfo) -> String {
        Dispatcher::new(device).rank_among(problem, &Selector::Auto, &ladder()).candidates[0].name()
    }

    #[test]
    fn large_problems_take_large_tiles_and_small_ones_small_tiles_or_slices() {
        for device in [h100(), a100()] {
            assert_eq!(name(&Problem::new(8192, 8192, 8192), &device), "tiled/large-a16");
            let small = name(&Problem::new(512, 512, 512), &device);
            assert!(["tiled/small-a16", "split/auto"].contains(&small.as_str()), "{small}");
            // Four tiles of 64 x 64 and a great depth.
            assert_eq!(name(&Problem::new(128, 128, 65536), &device), "split/auto");
        }
    }

    #[test]
    fn few_rows_or_columns_are_streamed_whatever_their_alignment() {
        for (m, n, expected) in [(1, 8192, "few/rows"), (8, 16384, "few/rows"), (16384, 2, "few/columns")] {
            assert_eq!(name(&Problem::new(m, n, 8192), &h100()), expected);
            assert_eq!(name(&Problem::new(m, n + 1, 8191), &h100()), expected);
        }
    }

    #[test]
    fn odd_rows_are_absorbed_or_packed_where_that_pays_and_copied_narrowly_where_it_does_not() {
        let odd = |m: u64, n: u64, k: u64| Problem { lda: k + 1, ..Problem::new(m, n, k) };
        // A's rows are odd and along k, B is aligned: absorption where there are rows enough for eight classes.
        assert_eq!(name(&odd(8192, 8192, 8192), &a100()), "absorb/a2");
        assert!(name(&odd(64, 512, 512), &a100()).starts_with("tiled/small-a2"));
        // B odd as well: packing pays in proportion to m and n.
        let both = |size: u64| Problem { ldb: size + 1, ..odd(size, size, size) };
        assert_eq!(name(&both(8192), &a100()), "pack/ab");
        assert!(name(&both(256), &a100()).ends_with("-a2"), "{}", name(&both(256), &a100()));
    }

    #[test]
    fn packing_and_its_second_kernel_are_both_in_the_time() {
        let odd = Problem { lda: 4097, ldb: 4097, ..Problem::new(4096, 4096, 4096) };
        let ranking = Dispatcher::new(&h100()).rank_among(&odd, &Selector::Auto, &ladder());
        let pack = ranking.candidates.iter().find(|c| c.name() == "pack/ab").unwrap();
        let bytes = 2.0 * 2.0 * 4096.0 * 4096.0 * 2.0;
        assert_eq!(pack.execution.packed_bytes as f64, bytes);
        assert!(pack.prediction.budget.ns(crate::model::Cause::Pack) > bytes / 2.0 / 3.35e12 * 1e9);
        assert_eq!(pack.execution.launches, 3);
    }

    #[test]
    fn operands_are_taken_to_be_static_only_where_that_is_said() {
        let odd = Problem { lda: 4097, ldb: 4097, ..Problem::new(4096, 4096, 4096) };
        let fixed = |selector: Selector| {
            let ranking = rank(&odd, &selector, &h100());
            ranking.candidates.iter().filter(|c| c.choice.variant.fixed.is_some()).count()
        };
        assert_eq!((fixed(Selector::Auto), fixed(Selector::Kernel("pack"))), (0, 0));
        assert_eq!(fixed(Selector::Variant("pack", "a-static-b")), 1);
    }

    #[test]
    fn of_tiles_that_cover_alike_the_one_with_less_beyond_the_edges_is_first() {
        // Both are bound by memory, and there are no more rows than m to cover.
        let first = |m: u64, device: DeviceInfo| {
            rank(&Problem::new(m, 28672, 8192), &Selector::Auto, &device).candidates.remove(0)
        };
        assert_eq!(first(8, a100()).execution.tile[0], 8);
        for m in [9, 12, 16] {
            assert_eq!(first(m, a100()).execution.tile[0], 16);
            assert_eq!(first(m, h100()).execution.tile[0], 16, "a tile of 64 rows lies beyond C for three quarters");
        }
        for (m, n, k, layout) in [(1, 50257, 768, Layout::Nt), (65536, 8, 1024, Layout::Tn)] {
            let p = Problem::new(m, n, k).in_form(layout, DType::F16);
            assert!(rank(&p, &Selector::Auto, &h100()).candidates[0].execution.streams, "{p:?}");
        }
    }

    #[test]
    fn few_rows_and_columns_and_a_great_depth_are_read_at_drams_pace() {
        // Rung 13 has no split-K. Where its tiles are too few for the multiprocessors, those that have it take little longer than
        // DRAM does: two launches, and a sum.
        let first = |m, n, k| rank(&Problem::new(m, n, k), &Selector::Auto, &h100()).candidates.remove(0);
        let memory_ns = |c: &Candidate| c.prediction.memory_bytes as f64 / 3350.0 / 0.9;
        for (m, n, k) in [(16, 128, 65536), (16, 1024, 65536), (8, 512, 131_072), (3, 104, 200_000)] {
            let c = first(m, n, k);
            let ratio = (c.predicted_ns() - 10_000.0) / memory_ns(&c);
            assert!(c.execution.split_k > 1 && ratio < 1.2, "{}: {ratio}", c.name());
        }
        // One tile alone: its parts are many, and one CTA adds them up.
        let one = first(16, 16, 4_000_000);
        assert!(one.execution.split_k > 32 && one.predicted_ns() < 2.5 * memory_ns(&one), "{}", one.predicted_ns());
    }

    #[test]
    fn odd_rows_cost_a_seventh_at_4096_and_less_beyond() {
        let h100 = h100();
        let time = |p: &Problem| rank(p, &Selector::Auto, &h100).candidates[0].predicted_ns();
        for size in [4096u64, 5120, 8192] {
            let aligned = Problem::new(size, size, size);
            let odd = Problem { lda: size + 1, ldb: size + 1, ldc: size + 1, ..aligned };
            let (odd, aligned) = (time(&odd), time(&aligned));
            assert!(odd < aligned * (1.0 + 0.14 * 4096.0 / size as f64), "{size}: {odd} and {aligned}");
        }
    }

    #[test]
    fn large_square_problems_have_tiles_that_shared_memory_can_feed() {
        for size in [4096, 8192] {
            let problem = Problem::new(size, size, size);
            let tile = rank(&problem, &Selector::Auto, &a100()).candidates[0].execution.tile;
            assert!(tile[0] * tile[1] >= 128 * 128, "{size}: {tile:?}");
        }
    }

    #[test]
    fn every_form_and_alignment_has_a_tensor_core_kernel() {
        use crate::dispatch::testing::problems_of_each_alignment;
        for device in [a100(), h100()] {
            for problem in problems_of_each_alignment() {
                let first = &rank(&problem, &Selector::Auto, &device).candidates[0];
                let fast =
                    ["mma.sync", "wgmma"].contains(&first.choice.kernel.unit.as_str()) || first.execution.streams;
                assert!(fast, "{} on cc {}: {problem:?}", first.name(), device.cc);
            }
        }
    }

    #[test]
    fn a_measurement_goes_before_the_model_and_says_so() {
        let problem = Problem::new(8192, 8192, 8192);
        let mut tuned = Tuned::default();
        tuned.insert(entry(&problem, "tiled", "middle-a16"));
        let auto = |tuned: &Tuned, problem: &Problem, selector: Selector| {
            let dispatcher = Dispatcher::new(&h100()).tuned(Some(tuned.clone()));
            dispatcher.rank_among(problem, &selector, &ladder()).candidates.remove(0)
        };
        let first = auto(&tuned, &problem, Selector::Auto);
        assert_eq!((first.name().as_str(), first.measured_ns), ("tiled/middle-a16", Some(90.0)));
        assert!(first.choice.why.starts_with("measured 2026-01-02: 0.1 µs, 10.0 % less than the model's choice m/v"));
        // What was asked for by name, other problems, and what is not legal are left to the model.
        assert_eq!(auto(&tuned, &problem, Selector::Kernel("tiled")).name(), "tiled/large-a16");
        assert_eq!(auto(&tuned, &Problem::new(8192, 8192, 8200), Selector::Auto).measured_ns, None);
        let odd = Problem { lda: 8193, ..problem };
        tuned.insert(entry(&odd, "tiled", "large-a16"));
        assert_eq!(auto(&tuned, &odd, Selector::Auto).measured_ns, None);
        tuned.insert(crate::dispatch::Entry { outcome: Outcome::Confirmed, ..entry(&problem, "tiled", "large-a16") });
        let why = auto(&tuned, &problem, Selector::Auto).choice.why;
        assert!(why.contains("nothing is faster beyond noise"), "{why}");
    }

    #[test]
    fn reasons_name_the_runner_up_and_what_holds_it_back() {
        let ranking = rank(&Problem::new(4096, 4096, 4095), &Selector::Auto, &h100());
        let why = &ranking.candidates[0].choice.why;
        assert!(why.contains("% less than") && why.contains("A is at a multiple of 2 bytes (lda = 4095"), "{why}");
        let next = &ranking.candidates[1].choice.why;
        assert!(next.contains("more than") && next.contains("% of it is"), "{next}");
        let alone = Selector::Variant("01_naive", "16x16x1");
        assert_eq!(rank(&Problem::new(8, 8, 8), &alone, &h100()).candidates[0].choice.why, "asked for by name");
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_legal_and_is_found_wherever_there_is_any(
            sizes in prop::array::uniform3(0u64..3000), pads in prop::array::uniform3(0u64..9), offsets in prop::array::uniform3(0u64..9),
            layout in prop::sample::select(Layout::ALL.to_vec()), dtype in prop::sample::select(DType::ALL.to_vec()),
            which in 0usize..4, device in 0usize..4,
        ) {
            let mut p = Problem::new(sizes[0] + 1, sizes[1] + 1, sizes[2]).in_form(layout, dtype);
            (p.lda, p.ldb, p.ldc) = (p.lda + pads[0], p.ldb + pads[1], p.ldc + pads[2]);
            [p.offset_a, p.offset_b, p.offset_c] = offsets;
            let device = [h100(), a100(), emulated(89), emulated(75)][device].clone();
            let real = kernels(device.kind());
            let (all, selector) = match which {
                0 => (real, Selector::Auto),
                1 => (ladder(), Selector::Auto),
                2 => (ladder(), Selector::Kernel("tiled")),
                _ => (ladder(), Selector::Variant("few", "rows")),
            };
            let dispatcher = Dispatcher::new(&device);
            let ranking = dispatcher.rank_among(&p, &selector, &all);
            for c in &ranking.candidates {
                prop_assert_eq!(may_run(&p, c.choice.kernel, c.choice.variant, &device), Ok(()));
                prop_assert!(c.predicted_ns() > 0.0 && c.predicted_ns().is_finite());
            }
            let times: Vec<f64> = ranking.candidates.iter().map(Candidate::predicted_ns).collect();
            let fastest = times.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert!(times.first().is_none_or(|&first| first <= fastest * (1.0 + RESOLUTION)));
            prop_assert!(times.iter().skip(1).is_sorted());
            let asked = all.iter().flat_map(|k| k.variants.iter().map(move |v| (*k, v))).filter(|(k, v)| selector.may_choose(k, v));
            let legal = asked.clone().filter(|(k, v)| may_run(&p, k, v, &device).is_ok()).count();
            prop_assert_eq!(ranking.candidates.len(), legal);
            prop_assert_eq!(ranking.refused.len(), asked.count() - legal);
            prop_assert_eq!(dispatcher.choose_among(&p, &selector, &all).is_ok(), legal > 0);
        }
    }
}
