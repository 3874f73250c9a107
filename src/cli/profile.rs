//! `gemmscope profile`: what one launch of a kernel does, by the emulated device's counters. Never a time.

use super::shape::Shape;
use super::{Ending, table};
use crate::data::Distribution;
use crate::device::{self, DeviceChoice, Job};
use crate::dispatch::{choose, select};
use crate::record::{Counters, Traffic, Wavefronts};
use crate::verify::{HostReference, check, error_bound, rows_to_check};
use anyhow::{Context, Result};
use serde_json::json;

/// Count what a kernel does for one problem, on the emulated device
///
/// Sectors, requests and access widths, shared-memory wavefronts against the least possible, multiply-adds issued against those that
/// the problem needs. The counters are those of Nsight Compute; there is no time in them. The result is checked as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gemmscope profile 128 128 128 --lda 129 --kernel 04_mma")]
pub struct Args {
    #[command(flatten)]
    shape: Shape,
    /// Kernel: auto, NAME or NAME/VARIANT
    #[arg(long, default_value = "auto")]
    kernel: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Ending> {
    let device = device::open(DeviceChoice::Emulated)?;
    let info = device.info();
    let problem = args.shape.problem()?;
    let selectors = select(&args.kernel, info.kind())?;
    anyhow::ensure!(selectors.len() == 1, "--kernel {} is several kernels; name one", args.kernel);
    let choice = choose(&problem, &selectors[0], info)?;
    let tables = Distribution::Uniform.tables(problem.dtype);
    let (kernel, variant) = (choice.kernel, choice.variant);
    let mut prepared =
        device.prepare(&Job { problem: &problem, kernel, variant, tables: &tables, seed: 1, rotate_bytes: 0 })?;
    device.reset_counters();
    prepared.launch()?;
    let counters = device.counters().context("the emulated device gives no counters")?;
    let rows = rows_to_check(&problem, 1 << 32, 1);
    let bound = error_bound(&problem, &kernel.unit, Distribution::Uniform);
    let checked = check(prepared.as_mut(), 0, &problem, &bound, &rows, 1, &mut HostReference::default());
    let useful = problem.flop() / 2;
    if args.json {
        let name = format!("{}/{}", kernel.name, variant.name);
        let wrong = checked.as_ref().err().map(ToString::to_string);
        say!(
            "{:#}",
            json!({
                "problem": problem, "kernel": name, "dispatch": choice.why, "useful_macs": useful, "counters": counters,
                "workspace_bytes": prepared.workspace_bytes(), "wrong": wrong,
            })
        )?;
    } else {
        say!("{}/{}: {}\n", kernel.name, variant.name, choice.why)?;
        print(&counters, useful)?;
        if let Err(wrong) = &checked {
            say!("{wrong}")?;
        }
    }
    Ok(if checked.is_ok() { Ending::Done } else { Ending::Finding })
}

fn print(counters: &Counters, useful: u64) -> Result<()> {
    let mut rows = table(&["global memory", "requests", "sectors", "a request", "bytes", "bytes a sector", "widest"]);
    for (name, t) in [
        ("load", &counters.global_load),
        ("store", &counters.global_store),
        ("atomic", &counters.global_atomic),
        ("cp.async.ca", &counters.cp_async_ca),
        ("cp.async.cg", &counters.cp_async_cg),
    ] {
        if t.requests > 0 {
            rows.add_row(traffic(name, t));
        }
    }
    say!("{rows}")?;
    let mut rows = table(&["shared memory", "requests", "wavefronts", "ideal", "over ideal"]);
    for (name, w) in [
        ("load", &counters.shared_load),
        ("store", &counters.shared_store),
        ("ldmatrix", &counters.ldmatrix),
        ("cp.async", &counters.shared_cp_async),
    ] {
        if w.requests > 0 {
            rows.add_row(wavefronts(name, w));
        }
    }
    say!("{rows}")?;
    let mut rows = table(&["work", "count", "for each 1000 useful multiply-adds"]);
    let loads = [&counters.global_load, &counters.cp_async_ca, &counters.cp_async_cg].map(|t| t.sectors);
    let loaded = loads.iter().sum::<u64>() + counters.bulk_load_sectors;
    for (name, count) in [
        ("useful multiply-adds", useful),
        ("multiply-adds of matrix instructions", counters.issued_macs),
        ("matrix instructions", counters.mma_instructions),
        ("sectors loaded", loaded),
        ("sectors stored", counters.global_store.sectors + counters.bulk_store_sectors),
        ("bytes loaded in bulk", counters.bulk_load_bytes),
        ("bytes filled with zeros", counters.zero_filled_bytes),
        ("warp instructions", counters.warp_instructions),
        ("barriers", counters.barriers),
    ] {
        let each = if useful == 0 { "-".to_owned() } else { format!("{:.3}", 1e3 * count as f64 / useful as f64) };
        rows.add_row([name.to_owned(), count.to_string(), each]);
    }
    Ok(say!("{rows}")?)
}

fn traffic(name: &str, t: &Traffic) -> Vec<String> {
    let widest =
        t.width.iter().rposition(|&lanes| lanes > 0).map_or_else(|| "-".to_owned(), |i| format!("{} bytes", 1 << i));
    let each = |a: u64, b: u64| if b == 0 { "-".to_owned() } else { format!("{:.2}", a as f64 / b as f64) };
    let (requests, sectors, bytes) = (t.requests.to_string(), t.sectors.to_string(), t.bytes.to_string());
    vec![name.to_owned(), requests, sectors, each(t.sectors, t.requests), bytes, each(t.bytes, t.sectors), widest]
}

fn wavefronts(name: &str, w: &Wavefronts) -> Vec<String> {
    let over = if w.ideal == 0 { "-".to_owned() } else { format!("{:.2}", w.wavefronts as f64 / w.ideal as f64) };
    vec![name.to_owned(), w.requests.to_string(), w.wavefronts.to_string(), w.ideal.to_string(), over]
}
