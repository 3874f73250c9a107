//! Runs the `alignment` preset with short cells and writes its heatmaps below `results/local/`.
//!
//! To a filter, as in `cargo bench -- stride`, it is one bench, `heatmap/alignment`.

use gemmscope::cli::default_out;
use gemmscope::device::{DeviceChoice, find};
use gemmscope::record::DeviceKind;
use gemmscope::report;
use gemmscope::sweep::{Conditions, Event, Isolation, Options, Preset, run, serve};
use std::error::Error;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What filters are compared with.
const NAME: &str = "heatmap/alignment";

/// Flags of criterion that no value follows. What follows another flag is its value, and no filter.
const SWITCHES: [&str; 11] = [
    "--bench",
    "--test",
    "--exact",
    "--quick",
    "--quiet",
    "--verbose",
    "--noplot",
    "--discard-baseline",
    "--nocapture",
    "--ignored",
    "--include-ignored",
];

/// Whether `cargo bench -- ARGS` asks for this bench: by no filter at all, or by one that is part of its name.
fn asked_for(args: &[String]) -> bool {
    let is_value = |i: usize| {
        i > 0 && args[i - 1].starts_with("--") && !args[i - 1].contains('=') && !SWITCHES.contains(&&*args[i - 1])
    };
    let filters = (0..args.len()).filter(|&i| !args[i].starts_with('-') && !is_value(i)).map(|i| args[i].as_str());
    let filters: Vec<&str> = filters.collect();
    filters.is_empty() || filters.iter().any(|f| NAME.contains(f))
}

fn main() -> Result<(), Box<dyn Error>> {
    // On a GPU this program is also its own worker.
    if std::env::args().nth(1).as_deref() == Some("worker") {
        return Ok(serve()?);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--list") {
        println!("{NAME}: benchmark");
        return Ok(());
    }
    if !asked_for(&args) {
        return Ok(());
    }
    // Cargo passes --bench when it benches; without it this is a test that the bench works at all.
    let testing = !args.iter().any(|a| a == "--bench");
    let (choice, device) = find(DeviceChoice::Auto)?;
    let isolation = match device.kind() {
        DeviceKind::Cpu => Isolation::None,
        DeviceKind::Cuda | DeviceKind::Emulated => {
            Isolation::Process { program: std::env::current_exe()?, watchdog: Duration::from_secs(60) }
        }
    };
    let scratch = tempfile::tempdir()?;
    let out = if testing { scratch.path().join("run") } else { default_out(&device) };
    let options = Options {
        spec: Preset::Alignment.spec(device.kind()),
        choice,
        // The cells of `quick` are short, so that all of this preset takes minutes.
        conditions: Conditions {
            seed: 1,
            distribution: Default::default(),
            stopping: Preset::Quick.stopping(),
            tuned: None,
        },
        out: out.clone(),
        resume: false,
        shard: (1, 1),
        budget: testing.then_some(Duration::from_secs(1)),
        isolation,
        command: vec!["cargo".to_owned(), "bench".to_owned(), "--bench".to_owned(), "heatmap".to_owned()],
        device,
    };
    let (mut done, mut cells) = (0, 0);
    let manifest = run(&options, &AtomicBool::new(false), &mut |event| match event {
        Event::Begin { cells: all, .. } => cells = all,
        Event::Unit(_) => {}
        Event::Done(records) => {
            done += records.len() as u64;
            if done % 100 < records.len() as u64 {
                eprintln!("{done} of {cells} cells");
            }
        }
    })?;
    let loaded = report::load(&out)?;
    let written = report::write_all(&out, std::slice::from_ref(&loaded))?;
    print!("{}", report::terminal(std::slice::from_ref(&loaded), 100, false));
    println!("{}: {} of {} cells measured", manifest.device.name, manifest.progress.ok, manifest.progress.planned);
    written.files.iter().for_each(|file| println!("wrote {}", file.display()));
    Ok(())
}
