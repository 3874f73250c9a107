//! Whether a result is right: the reference, the bound, the rows to check and the verdict.
//!
//! C is poisoned before a run and checked after it; A and B lie among NaNs and infinities. The reference is computed in FP64 from the very operands that the kernel
//! read. An element passes if its error is at most `u_out·|c| + eps_sum·Σ|a·b| + tiny`; the comparison is written so that a
//! NaN fails it. Nothing outside C's m × n elements may have been written.

mod bound;
mod host;
mod rows;
mod suite;

pub use bound::error_bound;
pub use host::HostReference;
pub use rows::{RowSample, rows_to_check};
pub use suite::{Case, cases, cases_each, forms};

use crate::device::{CheckCounts, DeviceError, ErrorBound, Prepared};
use crate::problem::Problem;
use crate::record::Check;
use thiserror::Error;

/// A result that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Wrong {
    /// Elements beyond the bound.
    #[error(
        "wrong result: {bad} of {checked} elements are beyond the error bound, first at row {row}, column {column}; the worst error is {worst:.3} times its bound"
    )]
    Values {
        /// Wrong elements.
        bad: u64,
        /// Elements compared.
        checked: u64,
        /// Row of the first.
        row: u64,
        /// Column of the first.
        column: u64,
        /// Largest error over its bound.
        worst: f64,
    },
    /// Elements that were never written.
    #[error("wrong result: {untouched} of {of} elements of C were never written")]
    Untouched {
        /// Elements that still hold the poison.
        untouched: u64,
        /// Elements of C.
        of: u64,
    },
    /// NaN where the operands have none.
    #[error("wrong result: {nan} of {of} elements of C are NaN, and the operands hold none")]
    Nan {
        /// NaNs.
        nan: u64,
        /// Elements of C.
        of: u64,
    },
    /// Writes beside C.
    #[error("wrong result: {touched} elements of C's padding or guard bands were written")]
    Padding {
        /// Elements that changed.
        touched: u64,
    },
    /// The reference disagrees with itself.
    #[error(
        "the FP64 reference is wrong at row {row}, column {column}: the library gives {library:e}, a plain sum {plain:e}; this is a fault of the host"
    )]
    Reference {
        /// Row.
        row: u64,
        /// Column.
        column: u64,
        /// The library's value.
        library: f64,
        /// The plain sum.
        plain: f64,
    },
    /// The launch, or the check itself, could not run.
    #[error("the launch or its check failed: {0}")]
    Device(#[from] DeviceError),
}

/// Checks one copy of a prepared problem's C after a launch.
///
/// The device checks itself where it can; else the host does, with `reference`, which is kept from call to call.
///
/// # Errors
/// The result is wrong, or the check could not run.
pub fn check(
    prepared: &mut dyn Prepared,
    copy: usize,
    problem: &Problem,
    bound: &ErrorBound,
    rows: &RowSample,
    seed: u64,
    reference: &mut HostReference,
) -> Result<Check, Wrong> {
    let (counts, by) = match prepared.check(copy, &rows.rows, bound)? {
        Some(counts) => (counts, "device f64"),
        None => {
            let mut outcome = Ok(CheckCounts::default());
            prepared.with_host_view(copy, &mut |view| {
                outcome = reference.check(&view, problem, &rows.rows, bound, seed);
            })?;
            (outcome?, "host f64")
        }
    };
    judge(&counts, problem)?;
    Ok(Check { elements: counts.checked, of: problem.m * problem.n, worst: counts.worst, reference: by.to_owned() })
}

/// Turns counts into a verdict.
///
/// # Errors
/// The first thing that is wrong, the most telling first.
pub fn judge(counts: &CheckCounts, problem: &Problem) -> Result<(), Wrong> {
    let of = problem.m * problem.n;
    if counts.untouched > 0 {
        return Err(Wrong::Untouched { untouched: counts.untouched, of });
    }
    if counts.nan > 0 {
        return Err(Wrong::Nan { nan: counts.nan, of });
    }
    if counts.bad > 0 {
        let (row, column) = counts.first_bad.unwrap_or_default();
        let CheckCounts { bad, checked, worst, .. } = *counts;
        return Err(Wrong::Values { bad, checked, row, column, worst });
    }
    if counts.padding_touched > 0 {
        return Err(Wrong::Padding { touched: counts.padding_touched });
    }
    Ok(())
}
