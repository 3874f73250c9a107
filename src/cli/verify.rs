//! `gemmscope verify`: every kernel over the shapes at which kernels break.

use super::{Ending, counted, shard, table};
use crate::catalog::{Kernel, Variant};
use crate::data::Distribution;
use crate::device::{self, DeviceChoice, DeviceError, Job, Prepared};
use crate::dispatch;
use crate::problem::{DType, Layout};
use crate::record::DeviceKind;
use crate::verify::{Case, HostReference, Wrong, cases, cases_each, error_bound, forms, judge, rows_to_check};
use anyhow::Result;
use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use indicatif::ProgressBar;
use serde_json::json;

/// Check every kernel on the device against an FP64 reference
///
/// Each variant multiplies problems of size 1, around its tile, odd, prime and empty, with paddings and base offsets up to its
/// alignment contract, alpha and beta, in each layout and type that it takes. A and B lie among NaNs and infinities, C is full of
/// NaN where it is not read, and its padding must stay as it is. Wrong results end with exit code 1.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  gemmscope verify --set full --kernel 04_mma\n  gemmscope verify --device emulated --seeds 50 --cases 4"
)]
pub struct Args {
    /// Device: auto, cuda:N, cpu or emulated
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Kernels: all, NAME or NAME/VARIANT
    #[arg(long, default_value = "all", value_delimiter = ',')]
    kernel: Vec<String>,
    /// Only these layouts: nn, nt, tn, tt; several joined by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LAYOUT")]
    layout: Vec<Layout>,
    /// Only these types: f16, bf16, tf32, i8, e4m3
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TYPE")]
    dtype: Vec<DType>,
    /// How many cases
    #[arg(long, value_enum, default_value = "small")]
    set: Set,
    /// How many cases for each layout and type of a variant, instead of a set
    #[arg(long, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST))]
    cases: Option<usize>,
    /// Seed of the cases and of the data
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Check every COUNT-th form only, as INDEX/COUNT, such as 1/2: a form is a variant in one layout and type
    #[arg(long, value_parser = shard, value_name = "INDEX/COUNT")]
    shard: Option<(u64, u64)>,
    /// Print what would be checked, a variant in a layout and type a line, and stop
    #[arg(long)]
    list: bool,
    /// Run each case in this many random orders of warps and asynchronous copies, on an emulated device
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    seeds: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Set {
    /// 12 cases for each variant, at least 2 for each of its layouts and types
    Small,
    /// 72 cases for each variant, at least 10 for each of its layouts and types
    Full,
}

/// The most cases of a form, and the most orders of a case.
const MOST: u64 = 1_000_000;

/// The most wrong results of a variant that are printed.
const SHOWN: usize = 3;

pub fn run(args: &Args) -> Result<Ending> {
    let device = device::open(args.device)?;
    let info = device.info().clone();
    let mut variants = Vec::new();
    for name in &args.kernel {
        for selector in dispatch::select(name, info.kind())? {
            for kernel in dispatch::kernels(info.kind()) {
                for variant in &kernel.variants {
                    if !selector.includes(kernel, variant) || !dispatch::runs_on(kernel, variant, &info) {
                        continue;
                    }
                    for form in forms(variant) {
                        let of_form = (args.layout.is_empty() || args.layout.contains(&form.0))
                            && (args.dtype.is_empty() || args.dtype.contains(&form.1));
                        if of_form && !variants.contains(&(kernel, variant, form)) {
                            variants.push((kernel, variant, form));
                        }
                    }
                }
            }
        }
    }
    anyhow::ensure!(
        !variants.is_empty(),
        "no kernel of {} runs on {} in the layouts and types that were asked for",
        args.kernel.join(","),
        info.record.name
    );
    if let Some((index, count)) = args.shard {
        let forms = variants.len();
        let mut place = 0;
        variants.retain(|_| {
            place += 1;
            (place - 1) % count == index - 1
        });
        anyhow::ensure!(
            !variants.is_empty(),
            "--shard {index}/{count}: there are {}, so that this one has none; give COUNT of at most {forms}",
            counted(forms as u64, "form")
        );
    }
    let count = |variant: &Variant| {
        args.cases.unwrap_or(match args.set {
            Set::Small => cases_each(variant, 12, 2),
            Set::Full => cases_each(variant, 72, 10),
        })
    };
    if args.list {
        return list(args, &variants, &count);
    }
    let orders: Vec<u64> = match args.seeds {
        None => vec![0],
        Some(seeds) => {
            let shuffled = device.shuffle(1);
            anyhow::ensure!(
                shuffled,
                "--seeds {seeds}: {} runs in its own order; add --device emulated",
                info.record.name
            );
            (1..=seeds).collect()
        }
    };
    let tables: Vec<_> = [Distribution::Integers, Distribution::Normal]
        .into_iter()
        .flat_map(|d| DType::ALL.map(|dtype| ((d, dtype), d.tables(dtype))))
        .collect();
    let progress = ProgressBar::new((total(&variants, &count) * orders.len()) as u64);
    let mut rows = table(&["kernel", "variant", "form", "cases", "not run", "wrong", "worst error / bound"]);
    let (mut wrong, mut report) = (Vec::new(), Vec::new());
    // After a sticky error the device answers nothing more in this process.
    let mut over = false;
    // Why a case did not run, where no kernel is to blame: the first that did not fit, or the end of the device.
    let (mut unfit, mut lost) = (None, None);
    let (mut all_ran, mut all_planned) = (0, 0);
    let emulated = info.kind() == DeviceKind::Emulated;
    for (kernel, variant, form) in variants {
        let (mut ran, mut failures, mut worst) = (0, 0, 0.0f64);
        let count = count(variant);
        let planned = count * orders.len();
        let each = cases(variant, form, count, args.seed).into_iter().enumerate();
        for ((i, case), &order) in each.flat_map(|case| orders.iter().map(move |order| (case, order))) {
            progress.inc(1);
            if over {
                continue;
            }
            device.shuffle(order);
            let drawn_from = (case.distribution, case.problem.dtype);
            let (_, tables) = tables.iter().find(|(of, _)| *of == drawn_from).expect("a table for each");
            let job = Job { problem: &case.problem, kernel, variant, tables, seed: args.seed, rotate_bytes: 0 };
            // On an emulated device a plain launch is held to writing each element of C once, and the check of its kernels takes
            // longer than theirs; every eighth goes the way of a measurement all the same.
            let how = if emulated && i % 8 != 7 { How::Launched } else { How::Timed };
            match one(device.as_ref(), &job, &case, how) {
                Ok(ratio) => {
                    ran += 1;
                    worst = worst.max(ratio);
                }
                // What did not fit was not tried.
                Err(Wrong::Device(why @ DeviceError::OutOfMemory { .. })) => {
                    unfit.get_or_insert(why);
                }
                Err(Wrong::Device(why)) if why.is_lost() => {
                    over = true;
                    lost = Some(why);
                }
                Err(why) => {
                    ran += 1;
                    failures += 1;
                    if failures <= SHOWN {
                        let findings = device.findings().map(|f| format!("\n  {f}")).unwrap_or_default();
                        let order = if order == 0 { String::new() } else { format!(" order {order}") };
                        let name = format!("{}/{}", kernel.name, variant.name);
                        wrong.push(format!("{name}: {}{order}\n  {why}{findings}", describe(&case)));
                    }
                    over = matches!(&why, Wrong::Device(error) if error.is_fatal());
                }
            }
        }
        (all_ran, all_planned) = (all_ran + ran, all_planned + planned);
        report.push(json!({
            "kernel": kernel.name, "variant": variant.name, "layout": form.0, "dtype": form.1, "cases": ran, "not_run": planned - ran,
            "wrong": failures, "worst": worst,
        }));
        let cells = [ran.to_string(), (planned - ran).to_string(), failures.to_string(), format!("{worst:.3}")];
        let name = [kernel.name.clone(), variant.name.clone(), format!("{} {}", form.1.name(), form.0.name())];
        rows.add_row(name.into_iter().chain(cells));
    }
    progress.finish_and_clear();
    if args.json {
        let reasons = [&unfit, &lost].into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
        say!(
            "{:#}",
            json!({ "device": info.record.name, "variants": report, "wrong": wrong, "not_run_because": reasons })
        )?;
    } else {
        say!("{}\n{rows}", info.record.name)?;
        for line in &wrong {
            say!("{line}")?;
        }
    }
    let missing = all_planned - all_ran;
    if let Some(why) = lost {
        let cases = counted(missing as u64, "case");
        anyhow::ensure!(!wrong.is_empty(), "{cases} of {all_planned} did not run: {why}");
        eprintln!("{cases} of {all_planned} did not run: {why}");
    } else if over {
        eprintln!("{} of {all_planned} did not run: nothing runs after a fatal error", counted(missing as u64, "case"));
    } else if let Some(why) = unfit {
        // What was not tried is neither right nor wrong; where nothing was, there is no answer.
        anyhow::ensure!(all_ran > 0, "none of {all_planned} cases ran: {why}");
        eprintln!("{} of {all_planned} did not run: {why}", counted(missing as u64, "case"));
    }
    Ok(if wrong.is_empty() { Ending::Done } else { Ending::Finding })
}

/// Prints what would be checked.
fn list(args: &Args, variants: &[Form<'_>], count: &dyn Fn(&Variant) -> usize) -> Result<Ending> {
    if args.json {
        let each = variants.iter().map(|(kernel, variant, (layout, dtype))| {
            json!({ "kernel": kernel.name, "variant": variant.name, "layout": layout, "dtype": dtype, "cases": count(variant) })
        });
        say!("{:#}", json!(each.collect::<Vec<_>>()))?;
        return Ok(Ending::Done);
    }
    for (kernel, variant, (layout, dtype)) in variants {
        let count = count(variant);
        say!("{}/{}\t{} {}\t{count} cases", kernel.name, variant.name, dtype.name(), layout.name())?;
    }
    say!("# {} cases in all", total(variants, count))?;
    Ok(Ending::Done)
}

/// A variant in one of its layouts and types.
type Form<'a> = (&'a Kernel, &'a Variant, (Layout, DType));

/// Cases of all forms together.
fn total(variants: &[Form<'_>], count: &dyn Fn(&Variant) -> usize) -> usize {
    variants.iter().map(|(_, variant, _)| count(variant)).sum()
}

/// How a case is run and checked.
#[derive(Clone, Copy)]
enum How {
    /// As a measurement does it: through a graph and the timer, checked by the device where it can.
    Timed,
    /// By a plain launch, checked by the host alone.
    Launched,
}

/// Runs one case once and returns the worst error as a share of its bound.
fn one(device: &dyn device::Device, job: &Job<'_>, case: &Case, how: How) -> Result<f64, Wrong> {
    let mut prepared = device.prepare(job)?;
    let rows = rows_to_check(&case.problem, u64::MAX, job.seed);
    let bound = error_bound(&case.problem, &job.kernel.unit, case.distribution);
    let mut reference = HostReference::default();
    let mut by_host = |prepared: &mut dyn Prepared| -> Result<f64, Wrong> {
        let mut outcome = Ok(Default::default());
        prepared.with_host_view(0, &mut |view| {
            outcome = reference.check(&view, &case.problem, &rows.rows, &bound, job.seed);
        })?;
        let counts = outcome?;
        judge(&counts, &case.problem)?;
        Ok(counts.worst)
    };
    match how {
        How::Launched => {
            prepared.launch()?;
            by_host(prepared.as_mut())
        }
        How::Timed => {
            prepared.time(1)?;
            if let Some(counts) = prepared.check(0, &rows.rows, &bound)? {
                judge(&counts, &case.problem)?;
            }
            // These problems are small: the host has its own opinion of them, and of the device's check.
            by_host(prepared.as_mut())
        }
    }
}

fn describe(case: &Case) -> String {
    let p = &case.problem;
    format!(
        "{} {} m {} n {} k {} lda {} ldb {} ldc {} offsets {} {} {} alpha {} beta {} {}",
        p.dtype.name(),
        p.layout.name(),
        p.m,
        p.n,
        p.k,
        p.lda,
        p.ldb,
        p.ldc,
        p.offset_a,
        p.offset_b,
        p.offset_c,
        p.alpha,
        p.beta,
        case.distribution.name()
    )
}
