//! How far from the exact result a right kernel may be.

use crate::data::Distribution;
use crate::device::ErrorBound;
use crate::problem::{DType, Problem};
use crate::scalar::Scalar;

/// Half a unit in the last place of FP32, relative.
const U_F32: f64 = 1.0 / 16_777_216.0;
/// A tensor core's fused step, relative to the sum of magnitudes: nine addends truncated to 24 fractional bits, and the
/// result truncated to FP32, as measured on Ampere by the literature on their numerics; Hopper's step is smaller.
const TENSOR_STEP: f64 = 9.0 * U_F32 + 2.0 * U_F32;
/// A fused step of FP8, on Ada and Hopper: seventeen addends and the result truncated to 13 fractional bits.
const FP8_STEP: f64 = 18.0 / 8192.0;
/// Steps of 16 that an FP8 kernel may leave in the tensor core's accumulator: it must add them to FP32 registers at least every
/// 128 elements of depth.
const FP8_STEPS_KEPT: f64 = 8.0;
/// Sums of so small integers are exact in FP32 and in every tensor core.
const EXACT_BELOW: f64 = 4_194_304.0;

/// The bound for a kernel of the given unit (`simt`, `wmma`, `mma.sync`, `wgmma`, `library` or `cpu`) on data of the given distribution. It
/// grows with K, but for small integers, whose sums are exact.
pub fn error_bound(problem: &Problem, unit: &str, distribution: Distribution) -> ErrorBound {
    let rounding = rounding(problem.dtype.output());
    if problem.dtype == DType::I8 {
        // Exact, unless alpha and beta take the sum through FP32 and back to an integer.
        return match (problem.alpha, problem.beta) {
            (1.0, 0.0) => ErrorBound { u_out: 0.0, eps_sum: 0.0, tiny: 0.0 },
            _ => ErrorBound { eps_sum: 4.0 * U_F32, tiny: 0.5, ..rounding },
        };
    }
    if is_exact(problem, distribution) {
        return rounding;
    }
    let k = problem.k as f64;
    let tensor = matches!(unit, "wmma" | "mma.sync" | "wgmma" | "library");
    let accumulate = match problem.dtype {
        DType::E4m3 if tensor => {
            let steps = (k / 16.0).ceil();
            steps.min(FP8_STEPS_KEPT) * FP8_STEP + (steps / FP8_STEPS_KEPT).ceil() * U_F32
        }
        // Ampere takes a k8 step of TF32 as two of 4.
        DType::Tf32 if tensor => (k / 4.0).ceil() * TENSOR_STEP,
        // And a k16 step as two of 8.
        _ if tensor => (k / 8.0).ceil() * TENSOR_STEP,
        // One rounding a product and one a sum, in any order.
        _ => (k + 1.0) * U_F32,
    };
    // alpha·acc and + beta·c round three times more.
    ErrorBound { eps_sum: accumulate + 4.0 * U_F32, ..rounding }
}

/// What storing the result costs: half a unit in the last place, or half the smallest subnormal.
fn rounding(output: Scalar) -> ErrorBound {
    let (bits, smallest) = match output {
        Scalar::F16 => (11, -24),
        Scalar::Bf16 => (8, -133),
        Scalar::I8 | Scalar::I32 => (24, 0),
        Scalar::Tf32 | Scalar::F32 => (24, -149),
        Scalar::E4m3 => (4, -9),
    };
    ErrorBound { u_out: 2f64.powi(-bits), eps_sum: 0.0, tiny: 2f64.powi(smallest - 1) }
}

/// Whether every sum and every product with alpha and beta is exact in FP32.
fn is_exact(problem: &Problem, distribution: Distribution) -> bool {
    let (alpha, beta) = (f64::from(problem.alpha), f64::from(problem.beta));
    let quarters = |x: f64| (4.0 * x).fract() == 0.0;
    // Products are at most 4, elements of C at most 2.
    let largest = 4.0 * problem.k as f64;
    let limit = match problem.dtype {
        // As far as 13 fractional bits go.
        DType::E4m3 => 4096.0,
        _ => EXACT_BELOW,
    };
    match distribution {
        Distribution::Zeros => true,
        Distribution::Integers => {
            quarters(alpha)
                && quarters(beta)
                && largest < limit
                && alpha.abs() * largest + beta.abs() * 2.0 < EXACT_BELOW / 4.0
        }
        Distribution::Uniform | Distribution::Normal => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Layout;

    #[test]
    fn the_bound_grows_with_k_and_stays_below_one_lost_product() {
        // With uniform data |a·b| has mean 1/4 and sums of magnitudes are near k / 4.
        for dtype in [DType::F16, DType::Bf16] {
            for unit in ["simt", "wmma", "mma.sync", "wgmma", "cpu"] {
                let of = |k| Problem::new(64, 64, k).in_form(Layout::Nn, dtype);
                let at = |k| error_bound(&of(k), unit, Distribution::Uniform);
                assert!(at(4096).eps_sum > 100.0 * at(16).eps_sum);
                let slack = at(2048).eps_sum * 2048.0 / 4.0;
                assert!(slack < 0.25, "{unit}: one dropped product of 2048 would pass: {slack}");
            }
        }
    }

    #[test]
    fn small_integers_leave_room_for_the_last_rounding_only() {
        for dtype in DType::ALL {
            for (alpha, beta) in [(1.0, 0.0), (0.5, -2.0)] {
                let problem = Problem { alpha, beta, ..Problem::new(9, 9, 1000).in_form(Layout::Nn, dtype) };
                let bound = error_bound(&problem, "mma.sync", Distribution::Integers);
                assert!(bound.eps_sum * 4000.0 < 1e-2 && bound.tiny <= 0.5, "{dtype:?}: {bound:?}");
            }
            let third = Problem { alpha: 1.0 / 3.0, ..Problem::new(9, 9, 1000).in_form(Layout::Nn, dtype) };
            assert!(error_bound(&third, "simt", Distribution::Integers).eps_sum > 0.0, "{dtype:?}");
        }
        let deep = |dtype, k| {
            error_bound(&Problem::new(9, 9, k).in_form(Layout::Nn, dtype), "wgmma", Distribution::Integers).eps_sum
        };
        assert_eq!((deep(DType::E4m3, 1023), deep(DType::F16, 1 << 17)), (0.0, 0.0));
        assert!(deep(DType::E4m3, 1024) > 0.0 && deep(DType::F16, 1 << 20) > 0.0);
    }
}
