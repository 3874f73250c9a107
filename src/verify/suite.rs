//! The problems that a kernel must get right: sizes of 1, around its tile, odd and prime, as far as its limits go; every padding
//! and offset that its alignment contract allows, for each operand; alpha and beta; k = 0; every layout and type it takes; and any
//! sizes at all, long and thin ones among them.

use crate::catalog::Variant;
use crate::data::Distribution;
use crate::problem::{DType, Layout, Operand, Placement, Problem};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A problem and what its numbers are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// Sizes, layout, type, leading dimensions, offsets, alpha and beta.
    pub problem: Problem,
    /// Small integers, for which every sum is exact, or random reals.
    pub distribution: Distribution,
}

/// Sizes at which kernels break: 1, powers of two and their neighbours, primes.
const SIZES: [u64; 22] = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 97, 127, 128, 129, 191, 193, 255, 257, 300];

/// One case in so many has sizes and strides of no pattern.
const ANY_EACH: usize = 4;

/// Products of such a case at most: an emulated device multiplies some millions a second.
const ANY_PRODUCTS: f64 = (1 << 21) as f64;

/// Alpha and beta.
const SCALES: [(f32, f32); 4] = [(1.0, 0.0), (1.0, 1.0), (0.5, -2.0), (0.0, 1.0)];

/// The layouts and types that a variant takes.
pub fn forms(variant: &Variant) -> Vec<(Layout, DType)> {
    let all = DType::ALL.into_iter().flat_map(|dtype| Layout::ALL.map(|layout| (layout, dtype)));
    all.filter(|(layout, dtype)| variant.takes(dtype.name(), layout.name())).collect()
}

/// How many cases each form of a variant gets when the variant is to have `total`: never fewer than `least`.
pub fn cases_each(variant: &Variant, total: usize, least: usize) -> usize {
    total.div_ceil(forms(variant).len().max(1)).max(least)
}

/// `count` cases for a variant in one of its forms, the hand-picked ones first, the rest drawn by `seed`.
pub fn cases(variant: &Variant, (layout, dtype): (Layout, DType), count: usize, seed: u64) -> Vec<Case> {
    let [bm, bn, bk] = variant.tile.map(u64::from);
    let around = |t: u64, d: i64| (t as i64 + d).max(1) as u64;
    let picked = [
        // First what tells most where there is only one: tails on all sides, and k steps enough to fill a ring.
        [bm + 1, bn + 1, 3 * bk + 7],
        [1, 1, 1],
        [1, 1, 0],
        [bm, bn, bk],
        [around(bm, 1), around(bn, 1), around(bk, 1)],
        [around(bm, -1), around(bn, -1), around(bk, -1)],
        [3, 5, 0],
        [2 * bm + 3, bn, 5 * bk],
        [bm, 2 * bn + 5, 3 * bk + 7],
        // More tiles than the emulated device has multiprocessors for.
        [2 * bm + 1, bn + 1, bk + 1],
    ];
    // Forms that get few cases each begin at different ones, so that a variant has met all of them.
    let form = forms(variant).iter().position(|&form| form == (layout, dtype)).unwrap_or(0);
    let first = if count < picked.len() { form * count } else { 0 };
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ form as u64);
    let size = |rng: &mut ChaCha8Rng| *SIZES.choose(rng).expect("there are sizes");
    (0..count)
        .map(|i| {
            let any = i >= picked.len() && i % ANY_EACH == 0;
            let sizes = match i < picked.len() {
                true => picked[(first + i) % picked.len()],
                false if any => any_sizes(&mut rng),
                false => [size(&mut rng), size(&mut rng), if rng.random_ratio(1, 24) { 0 } else { size(&mut rng) }],
            };
            let limits = variant.limits();
            let [m, n, k] = [0, 1, 2].map(|i| within(sizes[i], limits[i], &mut rng));
            let problem = placed(Problem::new(m, n, k).in_form(layout, dtype), variant, any, &mut rng);
            let (alpha, beta) = SCALES[i % SCALES.len()];
            let distribution = if i % 3 == 2 { Distribution::Normal } else { Distribution::Integers };
            Case { problem: Problem { alpha, beta, ..problem }, distribution }
        })
        .collect()
}

/// Sizes of which each may be large where the others are small, uniform in their logarithms.
fn any_sizes(rng: &mut ChaCha8Rng) -> [u64; 3] {
    loop {
        let sizes = [10.0f64, 10.0, 13.0].map(|most| rng.random_range(0.0..most).exp2());
        if sizes.iter().product::<f64>() <= ANY_PRODUCTS {
            return sizes.map(|size| size as u64);
        }
    }
}

/// A size that a variant takes: the given one, or where it lies outside the limits as often the nearest limit as one between them.
fn within(size: u64, (min, max): (u64, u64), rng: &mut ChaCha8Rng) -> u64 {
    match size.clamp(min, max) {
        inside if inside == size => size,
        limit if rng.random() => limit,
        _ => rng.random_range(min.max(1)..=max.min(min.saturating_add(300)).max(min.max(1))),
    }
}

/// Leading dimensions and offsets that keep the contract for each operand, and otherwise lie anywhere: within a period of the
/// alignment, or `far` beyond it.
fn placed(mut problem: Problem, variant: &Variant, far: bool, rng: &mut ChaCha8Rng) -> Problem {
    let (most_padding, most_offset) = if far { (150, 40) } else { (8, 7) };
    let mut place = |operand| {
        let step = variant.align_of(operand, problem.dtype) / problem.element_bytes(operand);
        let Placement { cols, .. } = problem.placement(operand);
        let ld = cols.max(1).next_multiple_of(step) + step * rng.random_range(0..=most_padding);
        (ld, rng.random_range(0..=most_offset) * if variant.frees_base(operand) { 1 } else { step })
    };
    let [(lda, offset_a), (ldb, offset_b), (ldc, offset_c)] = Operand::ALL.map(&mut place);
    (problem.lda, problem.ldb, problem.ldc) = (lda, ldb, ldc);
    (problem.offset_a, problem.offset_b, problem.offset_c) = (offset_a, offset_b, offset_c);
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{catalog, cpu_kernel};

    #[test]
    fn cases_are_valid_keep_the_contract_and_reach_its_edge() {
        for kernel in catalog().kernels.iter().chain([cpu_kernel()]) {
            for variant in &kernel.variants {
                let forms = forms(variant);
                assert_eq!(forms.len(), variant.dtypes.len() * variant.layouts.len());
                for form in forms {
                    let cases = cases(variant, form, 200, 3);
                    let align = |operand| variant.align_of(operand, form.1);
                    for Case { problem, .. } in &cases {
                        assert_eq!(problem.validate(), Ok(()), "{problem:?}");
                        assert!(variant.takes_form(problem));
                        assert!(Operand::ALL.iter().all(|&o| variant.align_had(o, problem) >= align(o)), "{problem:?}");
                    }
                    let exactly = |o| cases.iter().any(|c| variant.align_had(o, &c.problem) == align(o));
                    let odd_base = |o| cases.iter().any(|c| c.problem.placement(o).offset % 2 == 1);
                    assert!(Operand::ALL.into_iter().all(|o| !variant.frees_base(o) || odd_base(o)));
                    assert!(Operand::ALL.into_iter().all(exactly), "{} is never at its limit", variant.name);
                    assert!(cases.iter().any(|c| c.problem.beta != 0.0));
                    assert!(variant.min_k.is_some() || cases.iter().any(|c| c.problem.k == 0));
                }
            }
        }
    }

    #[test]
    fn three_hundred_cases_cover_the_matrix() {
        for kernel in &catalog().kernels {
            for variant in kernel.variants.iter().filter(|v| v.limits() == Variant::default().limits()) {
                let form = forms(variant)[0];
                let problems: Vec<Problem> = cases(variant, form, 300, 1).iter().map(|c| c.problem).collect();
                let all = |what: &str, wanted: &[u64], of: &dyn Fn(&Problem) -> u64| {
                    let missing: Vec<_> = wanted.iter().filter(|w| !problems.iter().any(|p| of(p) == **w)).collect();
                    assert!(missing.is_empty(), "{}: no case with {what} {missing:?}", variant.name);
                };
                let sizes: [fn(&Problem) -> u64; 3] = [|p| p.m, |p| p.n, |p| p.k];
                for (size, tile) in sizes.iter().zip(variant.tile) {
                    let tile = u64::from(tile);
                    all("size", &[1, 7, 97, 191, tile, tile + 1, (tile - 1).max(1)], size);
                }
                all("k", &[0], &|p| p.k);
                for operand in Operand::ALL {
                    let step = |p: &Problem| variant.align_of(operand, p.dtype) / p.element_bytes(operand);
                    let over = |p: &Problem| {
                        let Placement { cols, ld, .. } = p.placement(operand);
                        (ld - cols.max(1).next_multiple_of(step(p))) / step(p)
                    };
                    all("padding", &[0, 1, 2, 3, 4, 5, 6, 7, 8], &over);
                    let apart = |p: &Problem| if variant.frees_base(operand) { 1 } else { step(p) };
                    all("offset", &[0, 1, 2, 3, 4, 5, 6, 7], &|p| p.placement(operand).offset / apart(p));
                }
                for (alpha, beta) in SCALES {
                    assert!(problems.iter().any(|p| (p.alpha, p.beta) == (alpha, beta)));
                }
                assert!(problems.iter().any(|p| p.k > 1000) && problems.iter().any(|p| p.m.max(p.n) > 400));
                let tiles = |p: &Problem| p.m.div_ceil(variant.tile[0].into()) * p.n.div_ceil(variant.tile[1].into());
                assert!(problems.iter().any(|p| tiles(p) > 8), "{}: no case of more than a wave", variant.name);
            }
        }
    }

    #[test]
    fn cases_stay_within_the_limits_of_a_variant() {
        let skinny = Variant {
            name: "skinny".to_owned(),
            tile: [64, 8, 32],
            align_bytes: 2,
            align_b: Some(8),
            max_n: Some(8),
            min_k: Some(16),
            ..Variant::default()
        };
        let problems: Vec<Problem> =
            cases(&skinny, (Layout::Tt, DType::Bf16), 200, 1).into_iter().map(|case| case.problem).collect();
        for p in &problems {
            assert!(p.n <= 8 && p.k >= 16 && p.ldb % 4 == 0 && p.offset_b % 4 == 0, "{p:?}");
        }
        // The limits themselves are among them, and each operand's own contract to the last byte.
        assert!(problems.iter().any(|p| p.n == 8) && problems.iter().any(|p| p.k == 16));
        assert!(problems.iter().any(|p| p.n == 1) && problems.iter().any(|p| p.k > 16));
        for (operand, bytes) in [(Operand::A, 2), (Operand::B, 8), (Operand::C, 2)] {
            assert!(problems.iter().any(|p| p.align_bytes(operand) == bytes), "{operand:?}");
        }
    }
}
