//! `--list`: the plan in its order, with what dispatch would run.

use crate::cli::counted;
use crate::device::DeviceInfo;
use crate::dispatch::{Dispatcher, select};
use crate::sweep::{Cell, Plan};
use anyhow::Result;
use std::io::{BufWriter, Write};

/// Most cells for which dispatch is asked what it would run: it goes through every kernel, and a million cells would take minutes.
const MOST_RESOLVED: u64 = 20_000;

/// Prints every cell, tab-separated or as a line of JSON each. In a plan of very many cells the kernel is the one asked for, such as
/// `auto`, and standard error says so.
pub(super) fn list(plan: &Plan, device: &DeviceInfo, dispatcher: &Dispatcher, as_json: bool) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    if !as_json {
        writeln!(
            out,
            "# {} in {} on {}, in their order",
            counted(plan.cells(), "cell"),
            counted(plan.units(), "unit"),
            device.record.name
        )?;
        writeln!(out, "# cell\tpart\tpair\tform\tm\tn\tk\tlda\tldb\tldc\toffsets\tregime\tkernel")?;
    }
    let resolve = plan.cells() <= MOST_RESOLVED;
    if !resolve {
        eprintln!(
            "The kernels of {} are listed as asked for, not as chosen: dispatch is asked in plans of at most {MOST_RESOLVED}. List a part of \
             it with --shard, or ask for one problem with gemmscope explain.",
            counted(plan.cells(), "cell")
        );
    }
    for position in 0..plan.units() {
        for cell in plan.unit(position) {
            let kernel = if resolve { resolved(&cell, device, dispatcher) } else { cell.kernel.clone() };
            if as_json {
                let mut value = serde_json::to_value(&cell)?;
                value["runs"] = if resolve { kernel.into() } else { serde_json::Value::Null };
                serde_json::to_writer(&mut out, &value)?;
                writeln!(out)?;
                continue;
            }
            let p = &cell.problem;
            let pair = cell.pair.map_or_else(|| "-".to_owned(), |pair| pair.to_string());
            let offsets = format!("{},{},{}", p.offset_a, p.offset_b, p.offset_c);
            let (sizes, lds) = (format!("{}\t{}\t{}", p.m, p.n, p.k), format!("{}\t{}\t{}", p.lda, p.ldb, p.ldc));
            let form = format!("{} {}", p.dtype.name(), p.layout.name());
            let (number, part, regime) = (cell.cell, &cell.part, cell.regime.name());
            writeln!(out, "{number}\t{part}\t{pair}\t{form}\t{sizes}\t{lds}\t{offsets}\t{regime}\t{kernel}")?;
        }
    }
    Ok(out.flush()?)
}

/// What dispatch would run, or why nothing.
fn resolved(cell: &Cell, device: &DeviceInfo, dispatcher: &Dispatcher) -> String {
    if let Err(why) = cell.problem.validate() {
        return format!("none: {why}");
    }
    let selectors = select(&cell.kernel, device.kind()).unwrap_or_default();
    match selectors.first().map(|selector| dispatcher.choose(&cell.problem, selector)) {
        Some(Ok(choice)) => format!("{}/{}", choice.kernel.name, choice.variant.name),
        Some(Err(why)) => format!("none: {why}"),
        None => "none".to_owned(),
    }
}
