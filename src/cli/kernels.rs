//! `gemmscope kernels`: the ladder and its variants.

use super::{Ending, table};
use crate::catalog::{Kernel, Variant, baseline_kernel, catalog, cpu_kernel};
use crate::problem::{DType, Layout};
use anyhow::Result;
use serde_json::json;

/// List the kernels and their variants
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gemmscope kernels")]
pub struct Args {
    /// Only those that take one of these layouts: nn, nt, tn, tt; several joined by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LAYOUT")]
    layout: Vec<Layout>,
    /// Only those for one of these types: f16, bf16, tf32, i8, e4m3
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TYPE")]
    dtype: Vec<DType>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn wants(&self, variant: &Variant) -> bool {
        let layouts = if self.layout.is_empty() { &Layout::ALL[..] } else { &self.layout };
        let dtypes = if self.dtype.is_empty() { &DType::ALL[..] } else { &self.dtype };
        layouts.iter().any(|l| dtypes.iter().any(|d| variant.takes(d.name(), l.name())))
    }
}

pub fn run(args: &Args) -> Result<Ending> {
    let mut kernels: Vec<Kernel> = catalog().kernels.iter().chain([baseline_kernel(), cpu_kernel()]).cloned().collect();
    kernels.iter_mut().for_each(|kernel| kernel.variants.retain(|v| args.wants(v)));
    kernels.retain(|kernel| !kernel.variants.is_empty());
    if args.json {
        let list: Vec<_> = kernels.iter().map(as_json).collect();
        say!("{:#}", serde_json::Value::from(list))?;
        return Ok(Ending::Done);
    }
    for kernel in kernels {
        let needs = match kernel.min_cc {
            0 => "any CPU".to_owned(),
            cc => format!("compute capability {}.{} or later", cc / 10, cc % 10),
        };
        say!("{}  {}\n  {needs}", kernel.name, kernel.summary)?;
        let mut rows = table(&[
            "variant",
            "types",
            "layouts",
            "tile m x n x k",
            "stages",
            "threads",
            "shared bytes",
            "A, B, C aligned to",
        ]);
        for v in &kernel.variants {
            let [m, n, k] = v.tile;
            let (a, b) = (v.align_a.unwrap_or(v.align_bytes), v.align_b.unwrap_or(v.align_bytes));
            let align = format!("{a}, {b}, {} bytes", v.align_c.unwrap_or(1));
            let forms = [v.name.clone(), v.dtypes.join(" "), v.layouts.join(" "), format!("{m} x {n} x {k}")];
            let sizes = [v.stages, v.threads, v.shared_bytes].map(|size| size.to_string());
            rows.add_row(forms.into_iter().chain(sizes).chain([align]));
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
                "name": v.name, "entry": v.entry, "dtype": v.dtypes, "layouts": v.layouts, "route": v.route,
                "tile": v.tile, "stages": v.stages, "threads": v.threads, "shared_bytes": v.shared_bytes,
                "cluster": v.cluster, "align_bytes": v.align_bytes, "align_a": v.align_a, "align_b": v.align_b,
                "align_c": v.align_c, "limits": v.limits().map(|(min, max)| [Some(min), (max < u64::MAX).then_some(max)]),
                "pack": v.pack, "then": v.then,
            })
        })
        .collect();
    json!({
        "name": kernel.name, "summary": kernel.summary, "unit": kernel.unit, "min_cc": kernel.min_cc,
        "dtype": kernel.dtypes, "layouts": kernel.layouts, "variants": variants,
    })
}
