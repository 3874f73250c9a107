//! Many decisions taken together.

/// p-values corrected after Benjamini and Hochberg: of all decisions whose corrected value is at most 5 %, one in twenty is wrong on
/// average.
///
/// The i-th smallest of n is multiplied by n / i, from i = 1, and never made larger than the one after it. This holds for decisions that
/// are independent of each other or lean the same way together, as decisions from one run's records do.
pub fn false_discovery(p: &[f64]) -> Vec<f64> {
    let n = p.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    let mut corrected = vec![1.0; n];
    let mut most = 1.0f64;
    for (above, &i) in order.iter().enumerate() {
        most = most.min(p[i] * n as f64 / (n - above) as f64);
        corrected[i] = most;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_matches_a_worked_example() {
        // 0.01 x 4/2, 0.04 x 4/4, 0.03 x 4/3 and 0.005 x 4/1, each no larger than the next.
        let corrected = false_discovery(&[0.01, 0.04, 0.03, 0.005]);
        for (got, want) in corrected.iter().zip([0.02, 0.04, 0.04, 0.02]) {
            assert!((got - want).abs() < 1e-12, "{corrected:?}");
        }
        assert!(false_discovery(&[]).is_empty());
        assert_eq!(false_discovery(&[0.03]), [0.03]);
    }

    proptest! {
        #[test]
        fn correction_keeps_the_order_and_never_helps(p in prop::collection::vec(0.0f64..1.0, 1..40)) {
            let corrected = false_discovery(&p);
            for i in 0..p.len() {
                prop_assert!(corrected[i] >= p[i] - 1e-15 && corrected[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] >= p[j] || corrected[i] <= corrected[j]);
                }
            }
        }
    }
}
