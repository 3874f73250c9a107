//! How far from the exact result a right kernel may be.

use crate::device::ErrorBound;
use crate::problem::Problem;

/// Half a unit in the last place of FP16, relative.
const U_F16: f64 = 1.0 / 2048.0;
/// Half a unit in the last place of FP32, relative.
const U_F32: f64 = 1.0 / 16_777_216.0;
/// A tensor core's fused step, relative to the sum of magnitudes: nine addends truncated to 24 fractional bits, and the
/// result truncated to FP32, as measured on Ampere by the literature on their numerics; Hopper's step is smaller.
const TENSOR_STEP: f64 = 9.0 * U_F32 + 2.0 * U_F32;

/// The bound for a kernel of the given unit (`simt`, `wmma`, `mma.sync` or `cpu`). It grows with K.
pub fn error_bound(problem: &Problem, unit: &str) -> ErrorBound {
    let k = problem.k as f64;
    let accumulate = match unit {
        // Ampere splits a k16 step in two, so count steps of 8.
        "wmma" | "mma.sync" => (k / 8.0).ceil() * TENSOR_STEP,
        // One rounding a product and one a sum, in any order.
        _ => (k + 1.0) * U_F32,
    };
    ErrorBound {
        u_out: U_F16,
        // alpha·acc and + beta·c round three times more.
        eps_sum: accumulate + 4.0 * U_F32,
        // Half of the smallest subnormal.
        tiny: 1.0 / f64::from(1 << 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_grows_with_k_and_stays_below_one_lost_product() {
        // With uniform data |a·b| has mean 1/4 and sums of magnitudes are near k / 4.
        for unit in ["simt", "wmma", "mma.sync", "cpu"] {
            let at = |k| error_bound(&Problem::new(64, 64, k), unit);
            assert!(at(4096).eps_sum > 100.0 * at(16).eps_sum);
            let slack = at(2048).eps_sum * 2048.0 / 4.0;
            assert!(slack < 0.25, "{unit}: one dropped product of 2048 would pass: {slack}");
        }
    }
}
