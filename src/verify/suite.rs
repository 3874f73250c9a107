//! The shapes that a kernel must get right: sizes of 1, around its tile, odd and prime; every padding and offset that its
//! alignment contract allows; alpha and beta; k = 0.

use crate::catalog::Variant;
use crate::data::Distribution;
use crate::problem::Problem;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A problem and what its numbers are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// Sizes, leading dimensions, offsets, alpha and beta.
    pub problem: Problem,
    /// Small integers, for which every sum is exact, or random reals.
    pub distribution: Distribution,
}

/// Sizes at which kernels break: 1, powers of two and their neighbours, primes.
const SIZES: [u64; 22] = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 97, 127, 128, 129, 191, 193, 255, 257, 300];

/// Alpha and beta.
const SCALES: [(f32, f32); 4] = [(1.0, 0.0), (1.0, 1.0), (0.5, -2.0), (0.0, 1.0)];

/// `count` cases for a variant, the hand-picked ones first, the rest drawn by `seed`.
pub fn cases(variant: &Variant, count: usize, seed: u64) -> Vec<Case> {
    let [bm, bn, bk] = variant.tile.map(u64::from);
    let around = |t: u64, d: i64| (t as i64 + d).max(1) as u64;
    let picked = [
        [1, 1, 1],
        [1, 1, 0],
        [bm, bn, bk],
        [around(bm, 1), around(bn, 1), around(bk, 1)],
        [around(bm, -1), around(bn, -1), around(bk, -1)],
        [3, 5, 0],
        [2 * bm + 3, bn, 5 * bk],
        [bm, 2 * bn + 5, 3 * bk + 7],
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let size = |rng: &mut ChaCha8Rng| *SIZES.choose(rng).expect("there are sizes");
    (0..count)
        .map(|i| {
            let [m, n, k] = match picked.get(i) {
                Some(&sizes) => sizes,
                None => [size(&mut rng), size(&mut rng), if rng.random_ratio(1, 24) { 0 } else { size(&mut rng) }],
            };
            let problem = placed(Problem::new(m, n, k), u64::from(variant.align_bytes), &mut rng);
            let (alpha, beta) = SCALES[i % SCALES.len()];
            let distribution = if i % 3 == 2 { Distribution::Normal } else { Distribution::Integers };
            Case { problem: Problem { alpha, beta, ..problem }, distribution }
        })
        .collect()
}

/// Leading dimensions and offsets that keep A and B at multiples of `align_bytes`; C may lie anywhere.
fn placed(mut problem: Problem, align_bytes: u64, rng: &mut ChaCha8Rng) -> Problem {
    let step = align_bytes / problem.dtype.bytes();
    let ld = |cols: u64, rng: &mut ChaCha8Rng| cols.max(1).next_multiple_of(step) + step * rng.random_range(0..=8);
    problem.lda = ld(problem.k, rng);
    problem.ldb = ld(problem.n, rng);
    problem.ldc = problem.n + rng.random_range(0..=8);
    problem.offset_a = step * rng.random_range(0..8);
    problem.offset_b = step * rng.random_range(0..8);
    problem.offset_c = rng.random_range(0..8);
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::catalog;
    use crate::problem::Operand;

    #[test]
    fn cases_are_valid_keep_the_contract_and_reach_its_edge() {
        for kernel in &catalog().kernels {
            for variant in &kernel.variants {
                let cases = cases(variant, 200, 3);
                let align = u64::from(variant.align_bytes);
                for case in &cases {
                    assert_eq!(case.problem.validate(), Ok(()), "{case:?}");
                    assert!(
                        case.problem.align_bytes(Operand::A) >= align && case.problem.align_bytes(Operand::B) >= align
                    );
                }
                let exactly = |o| cases.iter().any(|c| c.problem.align_bytes(o) == align);
                assert!(exactly(Operand::A) && exactly(Operand::B), "{} is never at its limit", variant.name);
                assert!(cases.iter().any(|c| c.problem.align_bytes(Operand::C) == 2));
                assert!(cases.iter().any(|c| c.problem.k == 0) && cases.iter().any(|c| c.problem.beta != 0.0));
            }
        }
    }
}
