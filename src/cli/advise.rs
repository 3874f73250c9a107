//! `gemmscope advise`: which sizes and paddings are worth having.

use super::explain::{change, gain, worth};
use super::planning::{faster, percent, plan, time};
use super::{Ending, table};
use crate::advice::{Advice, Change, Network, Planner, Range, Thinned, Worth, advise, nearby, thinned};
use crate::model::smallest_batch;
use crate::problem::{DType, Layout, Problem};
use crate::sweep::{Axis, Value};
use anyhow::{Context, Result};
use serde_json::json;
use std::path::PathBuf;

/// Say which sizes and paddings are worth having, from the model
///
/// A dimension is a number or a range. Of m, the batch, every size is a choice and what one unit costs is compared; of n and k the
/// smallest size is what is needed, and the larger ones are paddings. `--choose` changes that. `--model` takes a list of layers,
/// whose forward, dgrad and wgrad GEMMs it goes through; docs/ADVICE.md describes the format.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gemmscope advise --m 1..512 --n 4096 --k 4096 --device h100-sxm\n  gemmscope advise --m 16384 --n 50257..50432 --k 768 --device h100-sxm --kernel library\n  gemmscope advise --m 1..128 --rows 361 --n 256 --k 2304 --device h100-sxm\n  gemmscope advise --model docs/examples/gpt2.toml --device a100-80 --kernel library"
)]
pub struct Args {
    /// Batch, or a range of it, such as 1..512
    #[arg(long, required_unless_present = "model", allow_hyphen_values = true)]
    m: Option<Axis>,
    /// Columns of C, or a range
    #[arg(long, required_unless_present = "model", allow_hyphen_values = true)]
    n: Option<Axis>,
    /// Depth, or a range
    #[arg(long, required_unless_present = "model", allow_hyphen_values = true)]
    k: Option<Axis>,
    /// Rows of the GEMM for each unit of m: H x W of a convolution, tokens of a sequence
    #[arg(long, default_value_t = 1, allow_hyphen_values = true, value_parser = clap::value_parser!(u64).range(1..=1 << 31))]
    rows: u64,
    /// Dimensions of which every size is a choice, not a padding of the smallest
    #[arg(long, value_delimiter = ',', default_value = "m", value_parser = ["m", "n", "k"])]
    choose: Vec<String>,
    /// Layout: nn, nt, tn or tt
    #[arg(long, value_enum, ignore_case = true, default_value = "nn")]
    layout: Layout,
    /// Type of the elements
    #[arg(long, value_enum, ignore_case = true, default_value = "f16")]
    dtype: DType,
    /// A list of layers, in TOML
    #[arg(long, value_name = "FILE", conflicts_with_all = ["m", "n", "k", "rows", "layout", "dtype"])]
    model: Option<PathBuf>,
    /// Batch of the list, or a range of it [default: the list's own]
    #[arg(long, requires = "model", allow_hyphen_values = true)]
    batch: Option<Axis>,
    /// Device: auto, cuda:N, cpu, or a description such as h100-sxm
    #[arg(long, default_value = "auto")]
    device: String,
    /// Kernel: auto, NAME, NAME/VARIANT, or library for what cuBLAS would do as far as is public
    #[arg(long, default_value = "auto")]
    kernel: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Most sizes of a range that are gone through: each is predicted for every kernel.
const MOST: usize = 4096;

/// The most rows of a table.
const SHOWN: usize = 16;

pub fn run(args: &Args) -> Result<Ending> {
    let planned = plan(&args.device, &args.kernel)?;
    let planner = &planned.planner;
    if !args.json {
        say!("For {}: {}.\n", planner.description.title, planned.origin)?;
    }
    match &args.model {
        Some(path) => network(args, path, planner)?,
        None => shape(args, planner)?,
    }
    Ok(Ending::Done)
}

/// The sizes of an axis that are gone through.
fn sizes(name: &str, axis: &Axis) -> Result<Thinned> {
    let each = (0..axis.len()).map(|i| match axis.value(i) {
        Value::Absolute(size) => Ok(size),
        _ => anyhow::bail!("--{name} must be a number or a range of numbers here, such as 1..512"),
    });
    let sizes = each.collect::<Result<Vec<u64>>>()?;
    anyhow::ensure!(!sizes.is_empty(), "--{name} has no size");
    let found = thinned(sizes, MOST);
    if let Some(multiple) = found.multiple {
        eprintln!(
            "Of {} sizes of {name} {} are gone through: the first {} and the multiples of {multiple}. A step, such as 64..65536+64, chooses \
             them.",
            found.of,
            found.sizes.len(),
            MOST / 4
        );
    }
    Ok(found)
}

fn shape(args: &Args, planner: &Planner) -> Result<()> {
    let axis =
        |name: &str, axis: &Option<Axis>| sizes(name, axis.as_ref().context("all of --m, --n and --k are needed")?);
    let all = [axis("m", &args.m)?, axis("n", &args.n)?, axis("k", &args.k)?];
    let thinned_to = all.iter().find_map(|found| found.multiple);
    let [m, n, k] = all.map(|found| found.sizes);
    let free: Vec<&'static str> =
        [("m", &m), ("n", &n), ("k", &k)].iter().filter(|(_, sizes)| sizes.len() > 1).map(|(name, _)| *name).collect();
    anyhow::ensure!(free.len() <= 1, "{} are ranges; give one range and two numbers", free.join(" and "));
    // Every size must be one that a kernel can index, before any is predicted.
    let form =
        |m: u64, n: u64, k: u64| Problem::new(m.saturating_mul(args.rows), n, k).in_form(args.layout, args.dtype);
    for &last in [&m, &n, &k].map(|sizes| &sizes[..]).iter().flat_map(|sizes| sizes.iter()) {
        anyhow::ensure!(
            last <= crate::problem::MAX_SIZE,
            "{last} is out of range: a size is at most {}",
            crate::problem::MAX_SIZE
        );
    }
    let (first, last) = (form(m[0], n[0], k[0]), form(m[m.len() - 1], n[n.len() - 1], k[k.len() - 1]));
    first.validate()?;
    last.validate()?;
    let Some(&dimension) = free.first() else {
        return fixed(args, &first, planner);
    };
    let values = match dimension {
        "m" => &m,
        "n" => &n,
        _ => &k,
    };
    let range = Range::new(&first, dimension, values, args.rows, planner);
    let chosen = args.choose.iter().any(|c| c == dimension);
    if args.json {
        say!(
            "{:#}",
            json!({
                "problem": first, "range": range, "plateaus": if chosen { range.plateaus() } else { Vec::new() },
                "paddings": if chosen { Vec::new() } else { range.paddings() },
                "cheapest_unit": range.cheapest_unit(), "thinned_to_multiples_of": thinned_to,
            })
        )?;
        return Ok(());
    }
    if chosen { choices(&range, &first, args.rows, planner) } else { paddings(&range, &first, planner) }
}

/// Two numbers and one more: what would be better than exactly this.
fn fixed(args: &Args, problem: &Problem, planner: &Planner) -> Result<()> {
    let better = nearby(problem, planner);
    if args.json {
        say!("{:#}", json!({ "problem": problem, "now": planner.best(problem), "better": better }))?;
        return Ok(());
    }
    let best = planner.best(problem);
    say!(
        "{} x {} x {} takes about {} with {}.",
        problem.m,
        problem.n,
        problem.k,
        time(best.prediction.total_ns()),
        best.name
    )?;
    if better.is_empty() {
        say!("Nothing near it is better by a per cent or more: padding is not worth it.")?;
    }
    for b in &better {
        let with_copy = match b.copy_ns {
            0.0 => String::new(),
            ns => format!(" (x {:.2} with {} of copying in each call)", b.speed_up_with_copy, time(ns)),
        };
        say!("- {}: {}{with_copy}; worth it: {}", change(&b.change, &b.problem), gain(b), worth(b.worth))?;
    }
    Ok(())
}

/// A dimension of which every unit counts.
fn choices(range: &Range, problem: &Problem, rows_each: u64, planner: &Planner) -> Result<()> {
    let plateaus = range.plateaus();
    let cheapest = range.cheapest_unit().context("the range has no size")?;
    let unit = |p: &crate::advice::Plateau| p.unit_ns;
    let least = cheapest.time_ns / cheapest.value as f64;
    say!(
        "Cheapest for each unit of {}: {} = {}, {} in all with {}.",
        range.dimension,
        range.dimension,
        cheapest.value,
        time(cheapest.time_ns),
        cheapest.kernel
    )?;
    if range.points.len() > 1 && range.points.last().is_some_and(|last| last.value == cheapest.value) {
        say!("It is the largest asked for: larger ones may be cheaper still.")?;
    }
    let balance = planner.description.flop_per_byte(problem.dtype);
    if let (true, Some(balance)) = (range.dimension == "m" && problem.dtype.bytes() == 2, balance) {
        match smallest_batch(problem.n, problem.k, balance) {
            Some(rows) => {
                let units = match rows_each {
                    1 => String::new(),
                    each => format!(" (m = {})", rows.div_ceil(each)),
                };
                say!(
                    "Below {rows} rows{units} DRAM limits any kernel ({balance:.0} FLOP a byte): there time grows more slowly than rows."
                )?
            }
            None => {
                say!("DRAM limits any kernel at every batch: the layer is too small for {balance:.0} FLOP a byte.")?
            }
        }
    }
    say!("\nSizes just before a step, the cheapest for each unit first:")?;
    let mut kept: Vec<_> = plateaus.iter().filter(|p| p.step > 0.0 || p.to == cheapest.value).collect();
    kept.sort_by(|a, b| unit(a).total_cmp(&unit(b)));
    let mut rows = table(&["size", "time", "for each unit", "above the cheapest", "the next size costs", "kernel"]);
    for p in kept.iter().take(SHOWN) {
        rows.add_row(vec![
            if p.from == p.to { p.to.to_string() } else { format!("{} (from {} much the same)", p.to, p.from) },
            time(p.time_ns),
            time(p.unit_ns),
            percent(p.unit_ns / least - 1.0),
            if p.step > 0.0 { format!("{} more", percent(p.step)) } else { String::new() },
            p.kernel.clone(),
        ]);
    }
    say!("{rows}")?;
    if kept.len() > SHOWN {
        say!("and {} more; --json has all", kept.len() - SHOWN)?;
    }
    if let Some(last) = range.full_waves.last() {
        let [bm, bn, _] = last.tile;
        let list = |of: &dyn Fn(&crate::advice::FullWave) -> u64| {
            range.full_waves.iter().map(|w| of(w).to_string()).collect::<Vec<_>>().join(", ")
        };
        say!(
            "\nFull waves of {bm}x{bn} tiles on {} slots (multiprocessors x occupancy):\n  Coulom's int(waves · {} · slots / (rows · n)): {}\n  counting whole tiles:                          {}",
            last.slots,
            bm * bn,
            list(&|w| w.coulom),
            list(&|w| w.exact)
        )?;
    }
    Ok(())
}

/// A dimension of which only the smallest size is needed.
fn paddings(range: &Range, problem: &Problem, planner: &Planner) -> Result<()> {
    let first = range.points.first().context("the range has no size")?;
    say!("{} = {}, as needed: {} with {}.", range.dimension, first.value, time(first.time_ns), first.kernel)?;
    let kept = range.paddings();
    if kept.len() == 1 {
        say!(
            "No larger size up to {} is faster by a per cent: padding is not worth it.",
            range.points[range.points.len() - 1].value
        )?;
    } else {
        let mut rows = table(&["padded to", "more", "multiple of", "time", "gain", "kernel"]);
        for p in &kept[1..] {
            rows.add_row(vec![
                p.value.to_string(),
                format!("+{}", p.value - first.value),
                (p.value & p.value.wrapping_neg()).to_string(),
                time(p.time_ns),
                faster(first.time_ns / p.time_ns),
                p.kernel.clone(),
            ]);
        }
        say!("{rows}")?;
        say!("Larger sizes within the range gain nothing more.")?;
    }
    let nearby = nearby(problem, planner);
    // A range that ends before the next good size must not hide it.
    let reached = kept[kept.len() - 1].time_ns;
    let last = range.points[range.points.len() - 1].value;
    for b in &nearby {
        if let Change::Padding { dimension, to, .. } = b.change
            && dimension == range.dimension
            && to > last
            && b.time_ns < reached * 0.99
        {
            say!("Beyond the range, {dimension} = {to}: {}, {}.", time(b.time_ns), faster(first.time_ns / b.time_ns))?;
        }
    }
    for b in nearby.iter().filter(|b| matches!(b.change, Change::Strides { .. })) {
        say!(
            "Padding the rows alone ({}): {}, and x {:.2} with {} of copying in each call: worth it {}.",
            change(&b.change, &b.problem),
            faster(b.speed_up),
            b.speed_up_with_copy,
            time(b.copy_ns),
            match b.worth {
                Worth::EvenWithCopy => "even then",
                Worth::IfStoredSo => "only if they are stored so from the start",
                Worth::Free => "at no cost",
            }
        )?;
    }
    Ok(())
}

fn network(args: &Args, path: &std::path::Path, planner: &Planner) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut network = Network::parse(&text).with_context(|| path.display().to_string())?;
    let batches = match &args.batch {
        Some(axis) => sizes("batch", axis)?.sizes,
        None => vec![network.batch],
    };
    anyhow::ensure!(batches[0] > 0, "--batch = 0 is out of range: it must be at least 1");
    network.check(batches[batches.len() - 1])?;
    let steps: Vec<(u64, f64)> = if batches.len() > 1 {
        batches.iter().map(|&b| (b, network.step_ns(b, planner))).collect()
    } else {
        Vec::new()
    };
    let cheapest = steps.iter().min_by(|a, b| (a.1 / a.0 as f64).total_cmp(&(b.1 / b.0 as f64))).copied();
    network.batch = cheapest.map_or(batches[0], |(batch, _)| batch);
    let advice = advise(&network, planner);
    if args.json {
        let batches: Vec<_> =
            steps.iter().map(|(b, ns)| json!({ "batch": b, "step_ns": ns, "item_ns": ns / *b as f64 })).collect();
        say!("{:#}", json!({ "advice": advice, "batches": batches }))?;
        return Ok(());
    }
    if let Some((batch, ns)) = cheapest {
        print_batches(&steps, batch, ns)?;
    }
    print_network(&advice)
}

fn print_batches(steps: &[(u64, f64)], batch: u64, ns: f64) -> Result<()> {
    let item = |(b, ns): &(u64, f64)| ns / *b as f64;
    let least = ns / batch as f64;
    say!("Cheapest for each item: batch {batch}, {} a step, {} an item.", time(ns), time(least))?;
    let mut rows = table(&["batch", "step", "an item", "above the cheapest"]);
    // Batches after which the next one costs more for each item: the ones to choose from.
    let mut kept: Vec<&(u64, f64)> = steps
        .windows(2)
        .filter(|w| item(&w[1]) > item(&w[0]) * 1.005)
        .map(|w| &w[0])
        .chain(steps.iter().filter(|(b, _)| *b == batch || b.is_power_of_two()))
        .collect();
    kept.sort_by(|a, b| item(a).total_cmp(&item(b)).then(a.0.cmp(&b.0)));
    kept.dedup_by_key(|s| s.0);
    for s in kept.iter().take(SHOWN) {
        let power = if s.0.is_power_of_two() { " (a power of two)" } else { "" };
        rows.add_row(vec![format!("{}{power}", s.0), time(s.1), time(item(s)), percent(item(s) / least - 1.0)]);
    }
    say!("{rows}\n")?;
    Ok(())
}

fn print_network(advice: &Advice) -> Result<()> {
    say!(
        "{}, batch {}: the GEMMs of a step take about {}, {:.1} TFLOP/s.",
        advice.name,
        advice.batch,
        time(advice.step_ns),
        advice.flop as f64 / advice.step_ns / 1e3
    )?;
    let mut rows =
        table(&["layer", "count", "time", "share", "pass", "m x n x k", "largest loss of the shape", "kernel"]);
    for layer in &advice.layers {
        for (i, pass) in layer.passes.iter().enumerate() {
            let head = |text: String| if i == 0 { text } else { String::new() };
            let budget = &pass.now.prediction.budget;
            let worst = budget.worst();
            rows.add_row(vec![
                head(layer.name.clone()),
                head(layer.count.to_string()),
                head(time(layer.time_ns)),
                head(percent(layer.share)),
                pass.pass.to_owned(),
                format!("{} x {} x {}", pass.problem.m, pass.problem.n, pass.problem.k),
                format!("{} {}", worst.cause.title(), percent(budget.share(worst.cause))),
                pass.now.name.clone(),
            ]);
        }
    }
    say!("{rows}\n")?;
    let mut advised = false;
    for layer in &advice.layers {
        for w in &layer.widen {
            advised = true;
            say!(
                "- {}: {} {} instead of {} makes its GEMMs {} and saves {} of the step{}.",
                layer.name,
                w.field,
                w.to,
                w.from,
                faster(w.speed_up),
                percent(w.saved),
                if w.saved < 0.01 { "; hardly worth it" } else { "" }
            )?;
        }
        for pass in &layer.passes {
            let Some(b) = &pass.strides else { continue };
            advised = true;
            say!(
                "- {}, {}: {} makes it {}; with {} of copying in each call x {:.2}: {}.",
                layer.name,
                pass.pass,
                change(&b.change, &b.problem),
                faster(b.speed_up),
                time(b.copy_ns),
                b.speed_up_with_copy,
                worth(b.worth)
            )?;
        }
    }
    if !advised {
        say!("No size or stride near these is better by a per cent or more: padding is not worth it here.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_numbers() {
        assert_eq!(sizes("m", &"8,1..3".parse().unwrap()).unwrap().sizes, [1, 2, 3, 8]);
        for text in ["n", "+0..8"] {
            let error = sizes("m", &text.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains("a number or a range"), "{text}: {error}");
        }
        let most = sizes("m", &"1..4000000".parse().unwrap()).unwrap();
        assert!(most.sizes.len() <= MOST && most.of == 4_000_000, "{}", most.sizes.len());
    }
}
