//! Checking C on the device: rows against an FP64 reference, everything else against the poison.

use super::context::Context;
use super::driver::Failed;
use super::launch::{GemmParams, ScanParams, ScanReport, VerifyParams, VerifyReport, argument};
use super::memory::Buffer;
use super::operands::Operands;
use crate::device::{CheckCounts, DeviceError, ErrorBound, GUARD};
use crate::problem::Operand;
use bytemuck::{Pod, Zeroable};
use std::rc::Rc;

/// No bad element so far: the kernels keep the smallest number.
const NONE_YET: u64 = u64::MAX;

/// Checks one copy of C.
pub(super) fn check(
    context: &Rc<Context>,
    operands: &Operands,
    copy: usize,
    rows: &[u32],
    bound: &ErrorBound,
) -> Result<CheckCounts, DeviceError> {
    let g = operands.params(copy);
    assert!(rows.iter().all(|&row| row < g.m), "a row to check is not below m = {}", g.m);
    let verified = verify(context, operands, g, rows, bound)?;
    let scanned = scan(context, operands, g)?;
    Ok(counts(&verified, &scanned, u64::from(g.n)))
}

fn verify(
    context: &Rc<Context>,
    operands: &Operands,
    g: GemmParams,
    rows: &[u32],
    bound: &ErrorBound,
) -> Result<VerifyReport, DeviceError> {
    let start = VerifyReport { first_bad: NONE_YET, ..VerifyReport::zeroed() };
    if rows.is_empty() {
        return Ok(start);
    }
    let function = context.helper(&format!("verify_rows_{}", operands.problem().dtype.name()))?;
    let on_device = Buffer::new(context, size_of_val(rows) as u64)?;
    on_device.upload(0, rows)?;
    let ctas = context.ctas_for(rows.len() as u64 * u64::from(g.n), function);
    let report = with_report(context, start, |report| {
        let params = VerifyParams {
            g,
            c_before: operands.c_before(),
            ld_before: g.ldc,
            rows: on_device.address(),
            row_count: rows.len() as u32,
            transposed: [Operand::A, Operand::B]
                .map(|o| u32::from(operands.problem().layout.transposes(o)) << o as u32)
                .iter()
                .sum(),
            u_out: bound.u_out,
            eps_sum: bound.eps_sum,
            tiny: bound.tiny,
            report,
        };
        // SAFETY: verify_rows_*(VerifyParams) for operands of this type; rows are below m, and `with_report` waits before any of the buffers goes.
        unsafe { context.launch(function, ctas, &mut [argument(&params)]) }
    })?;
    Ok(report)
}

fn scan(context: &Rc<Context>, operands: &Operands, g: GemmParams) -> Result<ScanReport, DeviceError> {
    let output = operands.problem().dtype.output();
    let function = context.helper(&format!("scan_poison_{}", output.name()))?;
    let (guard_before, guard_after) = (operands.guard_before(), GUARD);
    let body = u64::from(g.m - 1) * g.ldc as u64 + u64::from(g.n);
    let ctas = context.ctas_for(guard_before + body + guard_after, function);
    let start = ScanReport { first_touched: NONE_YET, ..ScanReport::zeroed() };
    let report = with_report(context, start, |report| {
        let params = ScanParams {
            c: g.c,
            ldc: g.ldc,
            m: g.m,
            n: g.n,
            guard_before,
            guard_after,
            poison: output.poison(),
            reserved: 0,
            report,
        };
        // SAFETY: scan_poison_*(ScanParams) for elements of this type; the layout has both guard bands inside C's allocation.
        unsafe { context.launch(function, ctas, &mut [argument(&params)]) }
    })?;
    Ok(report)
}

/// Runs a kernel that adds to a report, and fetches it.
fn with_report<R: Pod>(
    context: &Rc<Context>,
    start: R,
    run: impl FnOnce(u64) -> Result<(), Failed>,
) -> Result<R, Failed> {
    let buffer = Buffer::new(context, size_of::<R>() as u64)?;
    buffer.upload(0, &[start])?;
    run(buffer.address())?;
    let mut report = [start];
    buffer.download(0, &mut report)?;
    let [report] = report;
    Ok(report)
}

fn counts(verified: &VerifyReport, scanned: &ScanReport, n: u64) -> CheckCounts {
    CheckCounts {
        checked: verified.checked,
        bad: verified.bad,
        first_bad: (verified.first_bad != NONE_YET).then(|| (verified.first_bad / n, verified.first_bad % n)),
        worst: f64::from_bits(verified.worst_bits),
        untouched: scanned.interior_poison,
        nan: scanned.interior_nan,
        padding_touched: scanned.padding_touched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_become_counts() {
        let verified = VerifyReport { checked: 100, bad: 2, first_bad: 7 * 13 + 4, worst_bits: 2.5f64.to_bits() };
        let scanned = ScanReport { interior_poison: 3, interior_nan: 5, padding_touched: 1, first_touched: 9 };
        let c = counts(&verified, &scanned, 13);
        assert_eq!((c.checked, c.bad, c.first_bad, c.worst), (100, 2, Some((7, 4)), 2.5));
        assert_eq!((c.untouched, c.nan, c.padding_touched), (3, 5, 1));
        let clean = VerifyReport { first_bad: NONE_YET, ..VerifyReport::zeroed() };
        assert_eq!(counts(&clean, &ScanReport::zeroed(), 13).first_bad, None);
    }
}
