//! The check on the host: an FP64 product by a library, spot-checked by plain sums.

use super::Wrong;
use crate::device::{CheckCounts, ErrorBound, GUARD, HostMatrix, HostView, POISON};
use crate::problem::Problem;
use half::f16;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Elements of a reference that are summed once more without the library.
const SPOT_CHECKS: usize = 48;

/// A reference product, kept while problems with the same sizes and data come one after the other.
///
/// A sweep over leading dimensions multiplies the same numbers in every cell, so one reference serves them all.
#[derive(Debug, Default)]
pub struct HostReference {
    key: Option<(u64, u64, u64, u64)>,
    rows: Vec<u32>,
    /// A·B for the rows, row by row.
    product: Vec<f64>,
    /// Euclidean norms of A's checked rows and of B's columns: |a|·|b| bounds Σ|a·b| from above.
    norm_a: Vec<f64>,
    norm_b: Vec<f64>,
}

impl HostReference {
    /// Compares rows of C with the reference, and scans the whole buffer of C.
    ///
    /// `data_id` tells data apart that the sizes do not: the same value promises the same numbers.
    ///
    /// # Errors
    /// The library's product disagrees with a plain sum.
    pub fn check(
        &mut self,
        view: &HostView<'_>,
        problem: &Problem,
        rows: &[u32],
        bound: &ErrorBound,
        data_id: u64,
    ) -> Result<CheckCounts, Wrong> {
        let key = (problem.m, problem.n, problem.k, data_id);
        if self.key != Some(key) || self.rows != rows {
            self.key = None;
            self.multiply(view, rows, data_id)?;
            self.key = Some(key);
        }
        let mut counts = scan(view);
        let (n, alpha, beta) = (problem.n as usize, f64::from(problem.alpha), f64::from(problem.beta));
        for (i, &row) in rows.iter().enumerate() {
            let c_row = row_bits(&view.c, row as usize);
            let before_row = view.c_before.as_ref().map(|c| row_bits(c, row as usize));
            for (column, &bits) in c_row.iter().enumerate() {
                let before = before_row.map_or(0.0, |c| value(c[column]));
                let sum = alpha * self.product[i * n + column];
                let exact = sum + beta * before;
                let magnitude = alpha.abs() * self.norm_a[i] * self.norm_b[column] + (beta * before).abs();
                let limit = bound.u_out * exact.abs() + bound.eps_sum * magnitude + bound.tiny;
                let found = value(bits);
                let error = (found - exact).abs();
                let overflow = found.is_infinite()
                    && found.signum() == exact.signum()
                    && exact.abs() + limit >= f64::from(f16::MAX) + 16.0;
                counts.checked += 1;
                // Not `error > limit`: a NaN must not pass.
                if !(error <= limit || overflow) {
                    counts.bad += 1;
                    counts.first_bad.get_or_insert((u64::from(row), column as u64));
                }
                if !overflow {
                    counts.worst = counts.worst.max(if error.is_nan() { f64::MAX } else { error / limit });
                }
            }
        }
        Ok(counts)
    }

    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN must not pass")]
    fn multiply(&mut self, view: &HostView<'_>, rows: &[u32], data_id: u64) -> Result<(), Wrong> {
        let (k, n) = (view.a.placement.cols as usize, view.b.placement.cols as usize);
        let mut a = Vec::with_capacity(rows.len() * k);
        for &row in rows {
            a.extend(row_bits(&view.a, row as usize).iter().map(|&b| value(b)));
        }
        let mut b = Vec::with_capacity(k * n);
        for row in 0..k {
            b.extend(row_bits(&view.b, row).iter().map(|&b| value(b)));
        }
        self.norm_a = a.chunks(k.max(1)).map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt()).collect();
        self.norm_a.resize(rows.len(), 0.0);
        let mut squares = vec![0.0; n];
        for row in b.chunks(n) {
            squares.iter_mut().zip(row).for_each(|(s, v)| *s += v * v);
        }
        self.norm_b = squares.into_iter().map(f64::sqrt).collect();
        let mut product = Array2::zeros((rows.len(), n));
        let a_view = ArrayView2::from_shape((rows.len(), k), &a).expect("one value an element");
        let b_view = ArrayView2::from_shape((k, n), &b).expect("one value an element");
        general_mat_mul(1.0, &a_view, &b_view, 0.0, &mut product);
        self.product = product.into_raw_vec_and_offset().0;
        self.rows = rows.to_vec();
        let mut rng = ChaCha8Rng::seed_from_u64(data_id);
        for _ in 0..SPOT_CHECKS.min(rows.len() * n) {
            let (i, column) = (rng.random_range(0..rows.len()), rng.random_range(0..n));
            let plain: f64 = (0..k).map(|d| a[i * k + d] * b[d * n + column]).sum();
            let library = self.product[i * n + column];
            // Both are FP64 sums of exact products; they differ by reordering alone.
            let slack = 4.0 * f64::EPSILON * (k as f64 + 1.0) * self.norm_a[i] * self.norm_b[column];
            if !((plain - library).abs() <= slack) {
                return Err(Wrong::Reference { row: u64::from(rows[i]), column: column as u64, library, plain });
            }
        }
        Ok(())
    }
}

fn value(bits: u16) -> f64 {
    f16::from_bits(bits).to_f64()
}

fn row_bits<'a>(matrix: &HostMatrix<'a>, row: usize) -> &'a [u16] {
    if matrix.placement.cols == 0 {
        return &[];
    }
    let start = row * matrix.placement.ld as usize;
    &matrix.bits[start..start + matrix.placement.cols as usize]
}

/// Looks at every element of C's buffer for poison, NaN and writes beside the matrix.
fn scan(view: &HostView<'_>) -> CheckCounts {
    let mut counts = CheckCounts::default();
    let p = view.c.placement;
    let (rows, cols, ld) = (p.rows as usize, p.cols as usize, p.ld as usize);
    for row in 0..rows {
        for &bits in row_bits(&view.c, row) {
            counts.untouched += u64::from(bits == POISON);
            counts.nan += u64::from(bits != POISON && f16::from_bits(bits).is_nan());
        }
        if row + 1 < rows {
            let padding = &view.c.bits[row * ld + cols..(row + 1) * ld];
            counts.padding_touched += padding.iter().filter(|&&b| b != POISON).count() as u64;
        }
    }
    let (first, guard) = (view.c_start, GUARD as usize);
    let end = first + p.span() as usize;
    for band in [first - guard..first, end..end + guard] {
        counts.padding_touched += view.c_buffer[band].iter().filter(|&&b| b != POISON).count() as u64;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Distribution, fill};
    use crate::problem::Operand;
    use crate::verify::{error_bound, judge};

    struct Fixture {
        problem: Problem,
        a: Vec<u16>,
        b: Vec<u16>,
        c: Vec<u16>,
    }

    /// A right result, computed by the plainest possible sum.
    fn fixture(m: u64, n: u64, k: u64, pad: u64) -> Fixture {
        let mut problem = Problem::new(m, n, k);
        (problem.lda, problem.ldb, problem.ldc) = (k + pad, n + pad, n + pad);
        let table = Distribution::Uniform.table();
        let span = |o| problem.placement(o).span() as usize;
        let mut a = vec![POISON; span(Operand::A)];
        let mut b = vec![POISON; span(Operand::B)];
        fill(&mut a, m as usize, k as usize, problem.lda as usize, &table, 3, 0);
        fill(&mut b, k as usize, n as usize, problem.ldb as usize, &table, 3, 1);
        let mut c = vec![POISON; span(Operand::C) + 2 * GUARD as usize];
        for i in 0..m {
            for j in 0..n {
                let sum: f64 = (0..k)
                    .map(|d| value(a[(i * problem.lda + d) as usize]) * value(b[(d * problem.ldb + j) as usize]))
                    .sum();
                c[(GUARD + i * problem.ldc + j) as usize] = f16::from_f64(sum).to_bits();
            }
        }
        Fixture { problem, a, b, c }
    }

    fn counts(f: &Fixture) -> CheckCounts {
        let matrix = |bits, operand| HostMatrix { bits, placement: f.problem.placement(operand) };
        let start = GUARD as usize;
        let view = HostView {
            a: matrix(&f.a, Operand::A),
            b: matrix(&f.b, Operand::B),
            c: matrix(&f.c[start..], Operand::C),
            c_before: None,
            c_buffer: &f.c,
            c_start: start,
        };
        let rows: Vec<u32> = (0..f.problem.m as u32).collect();
        HostReference::default().check(&view, &f.problem, &rows, &error_bound(&f.problem, "cpu"), 3).unwrap()
    }

    #[test]
    fn a_right_result_passes() {
        for (m, n, k, pad) in [(7, 9, 33, 0), (1, 1, 1, 3), (16, 5, 0, 2), (33, 65, 129, 1)] {
            let f = fixture(m, n, k, pad);
            let found = counts(&f);
            assert_eq!(judge(&found, &f.problem), Ok(()), "{m} {n} {k} {pad}");
            assert_eq!(found.checked, m * n);
            assert!(found.worst <= 1.0);
        }
    }

    #[test]
    fn every_kind_of_wrong_result_is_named() {
        let at = |f: &Fixture, row: u64, col: u64| (GUARD + row * f.problem.ldc + col) as usize;

        let mut f = fixture(8, 9, 64, 2);
        let i = at(&f, 5, 8);
        f.c[i] = f16::from_f32(f16::from_bits(f.c[i]).to_f32() + 0.25).to_bits();
        let wrong = judge(&counts(&f), &f.problem).unwrap_err();
        assert!(matches!(wrong, Wrong::Values { bad: 1, row: 5, column: 8, .. }), "{wrong}");

        let mut f = fixture(8, 9, 64, 2);
        let i = at(&f, 0, 0);
        f.c[i] = f16::NAN.to_bits();
        assert_eq!(judge(&counts(&f), &f.problem), Err(Wrong::Nan { nan: 1, of: 72 }));
        f.c[i] = POISON;
        assert_eq!(judge(&counts(&f), &f.problem), Err(Wrong::Untouched { untouched: 1, of: 72 }));

        for place in [GUARD as usize - 1, GUARD as usize + 9] {
            let mut f = fixture(8, 9, 64, 2);
            f.c[place] = 0;
            assert_eq!(judge(&counts(&f), &f.problem), Err(Wrong::Padding { touched: 1 }), "element {place}");
        }
        let mut f = fixture(8, 9, 64, 2);
        let last = f.c.len() - GUARD as usize;
        f.c[last] = 0;
        assert_eq!(judge(&counts(&f), &f.problem), Err(Wrong::Padding { touched: 1 }), "after the last row");
    }

    #[test]
    fn an_infinity_is_right_only_where_the_sum_overflows() {
        let mut f = fixture(2, 2, 4, 0);
        let i = (GUARD) as usize;
        f.c[i] = f16::INFINITY.to_bits();
        assert!(matches!(judge(&counts(&f), &f.problem), Err(Wrong::Values { bad: 1, .. })));
        f.a.fill(f16::from_f32(60000.0).to_bits());
        f.b.fill(f16::from_f32(2.0).to_bits());
        f.c[i..i + 4].fill(f16::INFINITY.to_bits());
        assert_eq!(judge(&counts(&f), &f.problem), Ok(()));
        f.c[i] = f16::NEG_INFINITY.to_bits();
        assert!(judge(&counts(&f), &f.problem).is_err(), "the wrong sign");
    }
}
