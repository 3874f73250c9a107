//! The check on the host: an FP64 product by a library, spot-checked by plain sums.

use super::Wrong;
use crate::device::{CheckCounts, ErrorBound, GUARD, HostMatrix, HostView};
use crate::problem::{DType, Layout, Operand, Problem};
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
    key: Option<(u64, u64, u64, Layout, DType, u64)>,
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
    /// `data_id` tells data apart that sizes, layout and type do not: the same value promises the same numbers.
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
        let key = (problem.m, problem.n, problem.k, problem.layout, problem.dtype, data_id);
        if self.key != Some(key) || self.rows != rows {
            self.key = None;
            self.multiply(view, problem, rows, data_id)?;
            self.key = Some(key);
        }
        let mut counts = scan(view);
        let scalar = view.c.scalar;
        let (n, alpha, beta) = (problem.n as usize, f64::from(problem.alpha), f64::from(problem.beta));
        for (i, &row) in rows.iter().enumerate() {
            let c_row = scalar.values(view.c.row(row as usize));
            let before_row = view.c_before.as_ref().map(|c| c.row(row as usize));
            for (column, found) in c_row.enumerate() {
                let before = before_row.map_or(0.0, |c| scalar.decode(scalar.bits_at(c, column)));
                let sum = alpha * self.product[i * n + column];
                let exact = sum + beta * before;
                let magnitude = alpha.abs() * self.norm_a[i] * self.norm_b[column] + (beta * before).abs();
                let limit = bound.u_out * exact.abs() + bound.eps_sum * magnitude + bound.tiny;
                let error = (found - exact).abs();
                let overflow =
                    found.is_infinite() && found.signum() == exact.signum() && exact.abs() + limit >= scalar.overflow();
                counts.checked += 1;
                // Not `error > limit`: a NaN must not pass.
                if !(error <= limit || overflow) {
                    counts.bad += 1;
                    counts.first_bad.get_or_insert((u64::from(row), column as u64));
                }
                if !overflow && error != 0.0 {
                    counts.worst = counts.worst.max(if error.is_nan() { f64::MAX } else { error / limit });
                }
            }
        }
        Ok(counts)
    }

    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN must not pass")]
    fn multiply(&mut self, view: &HostView<'_>, problem: &Problem, rows: &[u32], data_id: u64) -> Result<(), Wrong> {
        let (k, n) = (problem.k as usize, problem.n as usize);
        // Both as the product is written, whatever way they are stored.
        let mut a = Vec::with_capacity(rows.len() * k);
        for &row in rows {
            match problem.layout.transposes(Operand::A) {
                true => a.extend((0..k).map(|depth| view.a.value(depth, row as usize))),
                false => a.extend(view.a.scalar.values(view.a.row(row as usize))),
            }
        }
        let mut b = vec![0.0; k * n];
        let transposed = problem.layout.transposes(Operand::B);
        for row in 0..view.b.placement.rows as usize {
            for (column, value) in view.b.scalar.values(view.b.row(row)).enumerate() {
                b[if transposed { column * n + row } else { row * n + column }] = value;
            }
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

/// Looks at every element of C's buffer for poison, NaN and writes beside the matrix.
fn scan(view: &HostView<'_>) -> CheckCounts {
    let mut counts = CheckCounts::default();
    let HostMatrix { bytes, scalar, placement } = view.c;
    let (rows, cols, ld) = (placement.rows as usize, placement.cols as usize, placement.ld as usize);
    let (poison, width) = (scalar.poison(), scalar.bytes());
    let touched = |bytes: &[u8]| scalar.patterns(bytes).filter(|&bits| bits != poison).count() as u64;
    for row in 0..rows {
        for bits in scalar.patterns(view.c.row(row)) {
            counts.untouched += u64::from(bits == poison);
            counts.nan += u64::from(bits != poison && scalar.is_nan(bits));
        }
        if row + 1 < rows {
            counts.padding_touched += touched(&bytes[(row * ld + cols) * width..(row + 1) * ld * width]);
        }
    }
    let (first, guard) = (view.c_start, GUARD as usize);
    let end = first + placement.span() as usize;
    for band in [first - guard..first, end..end + guard] {
        counts.padding_touched += touched(&view.c_buffer[band.start * width..band.end * width]);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Distribution, fill};
    use crate::scalar::Scalar;
    use crate::verify::{error_bound, judge};

    struct Fixture {
        problem: Problem,
        a: Vec<u8>,
        b: Vec<u8>,
        c: Vec<u8>,
    }

    impl Fixture {
        fn scalar(&self) -> Scalar {
            self.problem.scalar(Operand::C)
        }

        /// Puts a pattern at an element of C's buffer.
        fn put(&mut self, element: usize, bits: u32) {
            let width = self.scalar().bytes();
            self.c[element * width..][..width].copy_from_slice(&bits.to_le_bytes()[..width]);
        }

        fn get(&self, element: usize) -> f64 {
            self.scalar().decode(self.scalar().bits_at(&self.c, element))
        }

        fn matrix<'a>(&self, bytes: &'a [u8], operand: Operand) -> HostMatrix<'a> {
            HostMatrix { bytes, scalar: self.problem.scalar(operand), placement: self.problem.placement(operand) }
        }
    }

    fn poisoned(scalar: Scalar, elements: u64) -> Vec<u8> {
        scalar.pack((0..elements).map(|_| scalar.poison()))
    }

    /// A right result, computed by the plainest possible sum.
    fn fixture(problem: Problem, pad: u64) -> Fixture {
        let mut problem = problem;
        (problem.lda, problem.ldb, problem.ldc) = (problem.lda + pad, problem.ldb + pad, problem.ldc + pad);
        let tables = Distribution::Uniform.tables(problem.dtype);
        let input = |operand: Operand| {
            let p = problem.placement(operand);
            let mut bytes = poisoned(problem.scalar(operand), p.span());
            let (rows, cols) = (p.rows as usize, p.cols as usize);
            fill(&mut bytes, rows, cols, p.ld as usize, &tables.input, 3, operand as u32);
            bytes
        };
        let (a, b) = (input(Operand::A), input(Operand::B));
        let c = poisoned(problem.scalar(Operand::C), problem.placement(Operand::C).span() + 2 * GUARD);
        let mut f = Fixture { problem, a, b, c };
        for i in 0..problem.m {
            for j in 0..problem.n {
                let stored = |operand, row, col| match problem.layout.transposes(operand) {
                    true => (col as usize, row as usize),
                    false => (row as usize, col as usize),
                };
                let sum: f64 = (0..problem.k)
                    .map(|d| {
                        let (a, b) = (stored(Operand::A, i, d), stored(Operand::B, d, j));
                        f.matrix(&f.a, Operand::A).value(a.0, a.1) * f.matrix(&f.b, Operand::B).value(b.0, b.1)
                    })
                    .sum();
                f.put((GUARD + i * problem.ldc + j) as usize, f.scalar().encode(sum));
            }
        }
        f
    }

    fn counts(f: &Fixture) -> CheckCounts {
        let start = GUARD as usize;
        let view = HostView {
            a: f.matrix(&f.a, Operand::A),
            b: f.matrix(&f.b, Operand::B),
            c: f.matrix(&f.c[start * f.scalar().bytes()..], Operand::C),
            c_before: None,
            c_buffer: &f.c,
            c_start: start,
        };
        let rows: Vec<u32> = (0..f.problem.m as u32).collect();
        let bound = error_bound(&f.problem, "cpu", Distribution::Uniform);
        HostReference::default().check(&view, &f.problem, &rows, &bound, 3).unwrap()
    }

    #[test]
    fn a_right_result_passes_in_every_layout_and_type() {
        for (m, n, k, pad) in [(7, 9, 33, 0), (1, 1, 1, 3), (16, 5, 0, 2), (33, 65, 129, 1)] {
            for layout in Layout::ALL {
                for dtype in DType::ALL {
                    let f = fixture(Problem::new(m, n, k).in_form(layout, dtype), pad);
                    let found = counts(&f);
                    assert_eq!(judge(&found, &f.problem), Ok(()), "{m} {n} {k} {pad} {layout:?} {dtype:?}");
                    assert_eq!(found.checked, m * n);
                    assert!(found.worst <= 1.0);
                }
            }
        }
    }

    #[test]
    fn every_kind_of_wrong_result_is_named_in_every_type() {
        for dtype in DType::ALL {
            let fresh = || fixture(Problem::new(8, 9, 64).in_form(Layout::Tn, dtype), 2);
            let at = |f: &Fixture, row: u64, col: u64| (GUARD + row * f.problem.ldc + col) as usize;

            let mut f = fresh();
            let i = at(&f, 5, 8);
            let off = f.get(i) + if dtype == DType::I8 { 1.0 } else { 0.25 };
            f.put(i, f.scalar().encode(off));
            let wrong = judge(&counts(&f), &f.problem).unwrap_err();
            assert!(matches!(wrong, Wrong::Values { bad: 1, row: 5, column: 8, .. }), "{dtype:?}: {wrong}");

            let mut f = fresh();
            let i = at(&f, 0, 0);
            if dtype != DType::I8 {
                f.put(i, f.scalar().encode(f64::NAN));
                assert_eq!(judge(&counts(&f), &f.problem), Err(Wrong::Nan { nan: 1, of: 72 }));
            }
            f.put(i, f.scalar().poison());
            assert_eq!(judge(&counts(&f), &f.problem), Err(Wrong::Untouched { untouched: 1, of: 72 }));

            let last = fresh().c.len() / f.scalar().bytes() - GUARD as usize;
            for place in [GUARD as usize - 1, GUARD as usize + 9, last] {
                let mut f = fresh();
                f.put(place, 0);
                assert_eq!(judge(&counts(&f), &f.problem), Err(Wrong::Padding { touched: 1 }), "element {place}");
            }
        }
    }

    #[test]
    fn an_infinity_is_right_only_where_the_sum_overflows() {
        let mut f = fixture(Problem::new(2, 2, 4), 0);
        let (i, infinity) = (GUARD as usize, 0x7c00);
        f.put(i, infinity);
        assert!(matches!(judge(&counts(&f), &f.problem), Err(Wrong::Values { bad: 1, .. })));
        f.a = Scalar::F16.pack([Scalar::F16.encode(60000.0); 8]);
        f.b = Scalar::F16.pack([Scalar::F16.encode(2.0); 8]);
        (i..i + 4).for_each(|i| f.put(i, infinity));
        assert_eq!(judge(&counts(&f), &f.problem), Ok(()));
        f.put(i, infinity | 0x8000);
        assert!(judge(&counts(&f), &f.problem).is_err(), "the wrong sign");
    }
}
