//! `gemmscope kernels`: the ladder and its variants.

use super::{Ending, table};
use crate::catalog::{Kernel, catalog, cpu_kernel};
use anyhow::Result;
use serde_json::json;

/// List the kernels and their variants
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gemmscope kernels")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Ending> {
    let kernels: Vec<&Kernel> = catalog().kernels.iter().chain([cpu_kernel()]).collect();
    if args.json {
        let list: Vec<_> = kernels.iter().map(|k| as_json(k)).collect();
        say!("{:#}", serde_json::Value::from(list))?;
        return Ok(Ending::Done);
    }
    for kernel in kernels {
        let needs = match kernel.min_cc {
            0 => "any CPU".to_owned(),
            cc => format!("compute capability {}.{} or later", cc / 10, cc % 10),
        };
        say!("{}  {}\n  {needs}; {} in {}", kernel.name, kernel.summary, kernel.dtype, kernel.layouts.join(", "))?;
        let mut rows = table(&["variant", "tile m x n x k", "stages", "threads", "shared bytes", "A and B aligned to"]);
        for v in &kernel.variants {
            let [m, n, k] = v.tile;
            let align = format!("{} bytes", v.align_bytes);
            let (stages, threads) = (v.stages.to_string(), v.threads.to_string());
            let cells =
                vec![v.name.clone(), format!("{m} x {n} x {k}"), stages, threads, v.shared_bytes.to_string(), align];
            rows.add_row(cells);
        }
        say!("{rows}\n")?;
    }
    Ok(Ending::Done)
}

fn as_json(kernel: &Kernel) -> serde_json::Value {
    let variants: Vec<_> = kernel
        .variants
        .iter()
        .map(|v| {
            json!({
                "name": v.name, "entry": v.entry, "tile": v.tile, "stages": v.stages, "threads": v.threads,
                "shared_bytes": v.shared_bytes, "align_bytes": v.align_bytes,
            })
        })
        .collect();
    json!({
        "name": kernel.name, "summary": kernel.summary, "unit": kernel.unit, "min_cc": kernel.min_cc,
        "dtype": kernel.dtype, "layouts": kernel.layouts, "variants": variants,
    })
}
