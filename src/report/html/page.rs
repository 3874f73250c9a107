//! The page itself: the data as JSON, and around it the template, the style and the scripts of this folder.

use super::super::clean;
use super::cell::{COUNTERS, Cell, Status, Strings, shorten};
use super::columns::{digits, encode};
use super::group::{Group, Reason};
use super::model::Model;
use super::thin::thin;
use super::verdicts;
use crate::record::{DeviceKind, Manifest, Outcome, Role};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// One script, in the order in which its parts need each other.
const SCRIPTS: [&str; 8] = [
    include_str!("js/data.js"),
    include_str!("js/text.js"),
    include_str!("js/scale.js"),
    include_str!("js/map.js"),
    include_str!("js/explorer.js"),
    include_str!("js/plots.js"),
    include_str!("js/tables.js"),
    include_str!("js/main.js"),
];

/// Bytes of data on a page. With the rest it stays under 8 MiB.
const MOST_DATA: usize = 7 << 20;

/// Bins of all timelines together, folders listed, kinds of reasons listed.
const MOST_BINS: usize = 4096;
const MOST_FOLDERS: usize = 64;
const MOST_REASONS: usize = 200;

/// A finished page.
pub(super) struct Made {
    pub html: String,
    /// Cells on it.
    pub shown: usize,
    /// What it warns of.
    pub notes: Vec<String>,
}

/// Makes the page. Where its data would be too large, cells are left out, and it says so.
pub(super) fn make(groups: &[Group], strings: &Strings, title: Option<&str>) -> Made {
    make_within(groups, strings, title, MOST_DATA)
}

fn make_within(groups: &[Group], strings: &Strings, title: Option<&str>, bytes: usize) -> Made {
    /// No cell takes less: there is no use in trying with more of them.
    const LEAST_A_CELL: usize = 20;
    /// Enough cells to see what one takes, and few enough to try it with.
    const TRIAL: usize = 20_000;
    let cells: usize = groups.iter().map(|g| g.cells.len()).sum();
    let mut most = cells.min(bytes / LEAST_A_CELL);
    if most > 4 * TRIAL {
        let (trial, shown, _) = data(groups, strings, title, TRIAL);
        // Neighbours are written more closely than cells that lie apart, so that some more will fit.
        most = most.min((1.15 * bytes as f64 * shown.max(1) as f64 / trial.len() as f64) as usize);
    }
    loop {
        let (data, shown, notes) = data(groups, strings, title, most);
        if data.len() <= bytes || most == 0 {
            return Made { html: assemble(&data, title), shown, notes };
        }
        // A little less than in proportion: what is left may be what is hard to encode.
        most = (most.min(shown.max(1)) as f64 * (bytes as f64 / data.len() as f64).min(1.0) * 0.95) as usize;
    }
}

/// The data as JSON that cannot end the element it stands in, the cells in it, and the page's warnings.
fn data(groups: &[Group], strings: &Strings, title: Option<&str>, most: usize) -> (String, usize, Vec<String>) {
    let all: usize = groups.iter().map(|g| g.cells.len()).sum();
    let folders: usize = groups.iter().map(|g| g.folders.len()).sum();
    let bins = (MOST_BINS / folders.max(1)).clamp(48, 400);
    let mut texts = Texts { strings, index: HashMap::new(), list: Vec::new() };
    let (mut out, mut shown, mut all_notes) = (Vec::new(), 0, Vec::new());
    for (i, group) in groups.iter().enumerate() {
        let mut cells: Vec<&Cell> = group.cells.iter().collect();
        if most < all {
            thin(&mut cells, (most as f64 * group.cells.len() as f64 / all as f64) as usize);
        }
        shown += cells.len();
        let notes = notes(group, cells.len());
        let prefix = if groups.len() > 1 { format!("run {}: ", i + 1) } else { String::new() };
        all_notes.extend(notes.iter().map(|n| format!("{prefix}{n}")));
        let model = Model::of(group);
        let head = head(group, &notes, bins, strings, model.as_ref());
        let columns = columns(&cells, &mut texts, model.as_ref());
        // The object's last brace makes room for the columns, which are JSON already.
        let open = head.to_string();
        out.push(format!("{},\"columns\":{columns}}}", &open[..open.len() - 1]));
    }
    let version = format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let json = format!(
        "{{\"title\":{},\"made_by\":{},\"counters\":{},\"strings\":{},\"groups\":[{}]}}",
        json!(title.map(clean)),
        json!(version),
        json!(COUNTERS),
        json!(texts.list),
        out.join(",")
    );
    (escape(&json), shown, all_notes)
}

/// JSON whose text can stand in a script element: no character of it means anything to the HTML around it.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 50);
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Puts the page together. Its policy allows this very style and script and nothing else: no request, no other code.
fn assemble(data: &str, title: Option<&str>) -> String {
    let script = format!("\"use strict\";\n(() => {{\n{}}})();\n", SCRIPTS.concat());
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(&script),
        hash(STYLE)
    );
    let title = escape_html(&clean(title.unwrap_or("gemmscope report")));
    let fill = [("policy", policy.as_str()), ("title", &title), ("style", STYLE), ("data", data), ("script", &script)];
    let mut html = String::with_capacity(TEMPLATE.len() + STYLE.len() + data.len() + script.len());
    let mut rest = TEMPLATE;
    // One pass: what is filled in is not searched for marks again.
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("the template closes its marks");
        html.push_str(before);
        html.push_str(fill.iter().find(|(n, _)| *n == name).expect("the template has no other marks").1);
        rest = after;
    }
    html.push_str(rest);
    html
}

/// Texts of the cells on the page, numbered anew: those of cells left out need no room.
struct Texts<'a> {
    strings: &'a Strings,
    index: HashMap<u32, usize>,
    list: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: u32) -> Option<f64> {
        let (strings, list) = (self.strings, &mut self.list);
        let number = *self.index.entry(text).or_insert_with(|| {
            list.push(strings.get(text));
            list.len() - 1
        });
        Some(number as f64)
    }
}

/// The cells, a column a quantity. Names and rounding are described in `docs/FORMAT.md`.
fn columns(cells: &[&Cell], texts: &mut Texts<'_>, model: Option<&Model>) -> String {
    let strings = texts.strings;
    let mut out: Vec<String> = vec![format!("\"rows\":{}", cells.len())];
    let mut put = |name: &str, significant: Option<usize>, value: &mut dyn FnMut(&Cell) -> Option<f64>| {
        out.push(format!("\"{name}\":{}", encode(cells.iter().map(|c| value(c)), significant)));
    };
    let whole = |v: u64| Some(v as f64);
    put("cell", None, &mut |c| c.number.and_then(whole));
    put("part", None, &mut |c| texts.number(c.part));
    put("pair", None, &mut |c| c.pair.and_then(whole));
    put("role", None, &mut |c| c.role.map(|r| f64::from(u8::from(r == Role::Variant))));
    for (i, name) in ["m", "n", "k"].into_iter().enumerate() {
        put(name, None, &mut |c| whole(c.shape[i]));
    }
    // Strides are mostly a row long, and then the column is a run of zeros.
    for (i, name) in ["lda", "ldb", "ldc"].into_iter().enumerate() {
        put(name, None, &mut |c| Some(c.shape[3 + i] as f64 - row(c)[i] as f64));
    }
    for (i, name) in ["offset_a", "offset_b", "offset_c"].into_iter().enumerate() {
        put(name, None, &mut |c| whole(c.shape[6 + i]));
    }
    for (i, name) in ["align_a", "align_b", "align_c"].into_iter().enumerate() {
        put(name, None, &mut |c| c.align.map(|a| f64::from(a[i])));
    }
    put("layout", None, &mut |c| texts.number(c.layout));
    put("dtype", None, &mut |c| texts.number(c.dtype));
    put("alpha", Some(6), &mut |c| Some(c.alpha));
    put("beta", Some(6), &mut |c| Some(c.beta));
    put("bytes", Some(6), &mut |c| c.compulsory_bytes);
    put("kernel", None, &mut |c| texts.number(c.kernel));
    put("variant", None, &mut |c| texts.number(c.variant));
    put("dispatch", None, &mut |c| texts.number(c.dispatch));
    put("regime", None, &mut |c| texts.number(c.regime));
    put("status", None, &mut |c| Some(f64::from(c.status as u8)));
    put("reason", None, &mut |c| texts.number(c.reason));
    put("median_ns", Some(6), &mut |c| c.median_ns.map(|m| m[0]));
    // The ends of intervals as their distance from the estimate, in 1/10000 of it, rounded away from it.
    let below = |v: [f64; 3]| ((v[0] - v[1]) / v[0] * 1e4 - 1e-6).ceil();
    let above = |v: [f64; 3]| ((v[2] - v[0]) / v[0] * 1e4 - 1e-6).ceil();
    put("median_below", None, &mut |c| c.median_ns.map(below));
    put("median_above", None, &mut |c| c.median_ns.map(above));
    // Left out where it follows from the time.
    put("tflops", Some(5), &mut |c| c.tflops.filter(|t| !follows(c, *t)));
    put("flop_per_cycle", Some(5), &mut |c| c.flop_per_cycle);
    put("ratio", Some(5), &mut |c| c.pair_ratio.map(|r| r[0]));
    put("ratio_below", None, &mut |c| c.pair_ratio.map(below));
    put("ratio_above", None, &mut |c| c.pair_ratio.map(above));
    put("model_ns", Some(4), &mut |c| model.and_then(|m| m.ns(c, strings)));
    put("copies", None, &mut |c| c.copies.and_then(whole));
    put("workspace_bytes", None, &mut |c| c.workspace_bytes.and_then(whole));
    put("stop", None, &mut |c| texts.number(c.stop));
    put("warm", None, &mut |c| c.warm.map(|w| f64::from(u8::from(w))));
    put("samples", None, &mut |c| Some(f64::from(c.samples)));
    put("throttled", None, &mut |c| Some(f64::from(c.throttled)));
    put("throttle_bits", None, &mut |c| Some(c.throttle_bits as f64));
    put("clock_mhz", Some(4), &mut |c| c.clock_mhz.map(f64::from));
    put("power_w", Some(4), &mut |c| c.power_mw.map(|p| f64::from(p) / 1000.0));
    put("temperature_c", Some(3), &mut |c| c.temperature_c.map(f64::from));
    put("at_s", Some(4), &mut |c| c.at_ns.map(|t| t * 1e-9));
    put("checked", None, &mut |c| c.check.map(|k| k[0]));
    put("checked_of", None, &mut |c| c.check.map(|k| k[1]));
    put("worst", Some(2), &mut |c| c.check.map(|k| k[2]));
    put("reference", None, &mut |c| texts.number(c.reference));
    for (i, name) in COUNTERS.into_iter().enumerate() {
        put(name, None, &mut |c| c.counters.as_ref().map(|k| k[i]));
    }
    format!("{{{}}}", out.join(","))
}

/// The least leading dimensions of A, B and C, as the page's script works them out again: for row-major storage without
/// transposition.
fn row(cell: &Cell) -> [u64; 3] {
    let [_, n, k, ..] = cell.shape;
    [k, n, n]
}

/// Whether a throughput is 2·m·n·k over the median time, as far as the rounded time tells.
fn follows(cell: &Cell, tflops: f64) -> bool {
    let [m, n, k, ..] = cell.shape.map(|v| v as f64);
    cell.median_ns.is_some_and(|[ns, ..]| {
        let made = 2.0 * m * n * k / ns * 1e-3;
        (made - tflops).abs() <= (1e-4 + 0.6 / ns) * tflops
    })
}

/// What a reader has to know before trusting the numbers, a sentence each.
fn notes(group: &Group, shown: usize) -> Vec<String> {
    let manifest = group.manifest();
    let mut notes = Vec::new();
    if manifest.device.kind == DeviceKind::Emulated {
        notes.push(
            "This run was made on the emulated device. It counts what a kernel does and has no time: \
             nothing here is a throughput."
                .to_owned(),
        );
    }
    notes.extend(group.missing().into_iter().map(|m| format!("Of this plan, {m}.")));
    for folder in &group.folders {
        let name = if group.folders.len() > 1 { format!("{}: ", folder.name()) } else { String::new() };
        let progress = &folder.manifest.progress;
        let left = progress.planned.saturating_sub(progress.ok + progress.failed);
        match progress.outcome {
            Outcome::Complete => {}
            Outcome::Budget => notes.push(format!("{name}The time budget ran out before {left} cells were reached.")),
            Outcome::Running => notes.push(format!("{name}The run has not ended, or it was killed.")),
            Outcome::Interrupted => notes.push(format!("{name}The run was interrupted.")),
            Outcome::Error => notes.push(format!("{name}An error ended the run.")),
        }
        notes.extend(folder.notes.iter().map(|n| format!("{name}{n}")));
    }
    let throttled = group.cells.iter().filter(|c| c.throttled > 0).count();
    if throttled > 0 {
        notes.push(format!("In {throttled} cells the device held its clock back in some samples."));
    }
    if shown < group.cells.len() {
        notes.push(format!(
            "This page shows {shown} of {} cells, so that it stays under 8 MiB: whole lines of the maps were left out, spread \
             over all residues, and nothing was averaged. The counts and reasons are of all cells. All are in the journal and in \
             summary.csv.",
            group.cells.len()
        ));
    }
    notes
}

/// All of a run but its cells.
fn head(group: &Group, notes: &[String], bins: usize, strings: &Strings, model: Option<&Model>) -> Value {
    let manifest = group.manifest();
    let device = &manifest.device;
    let status = |s: Status| ["ok", "skipped", "failed", "unknown"][s as usize];
    let reason = |r: &Reason| json!({ "status": status(r.status), "text": r.text, "count": r.count, "shape": r.shape });
    let reasons = group.reasons(strings);
    let mut found = Vec::new();
    let mut notes = notes.to_vec();
    for folder in &group.folders {
        let (value, note) = verdicts::read(&folder.dir);
        notes.extend(note.map(|n| format!("{}: {n}", folder.name())));
        if !value.is_null() {
            found.push(json!({ "folder": folder.name(), "verdicts": value }));
        }
    }
    json!({
        "device": clean(&device.name),
        "kind": match device.kind {
            DeviceKind::Cuda => "cuda",
            DeviceKind::Cpu => "cpu",
            DeviceKind::Emulated => "emulated",
        },
        "units": device.units,
        "peak_flop_per_cycle": digits(device.peak_flop_per_cycle, 6),
        "max_clock_mhz": device.max_clock_mhz,
        "bandwidth_bytes_per_s": model.and_then(Model::bandwidth),
        "model": model.map(|m| clean(&m.origin)),
        "facts": facts(manifest),
        "folders": group.folders.iter().take(MOST_FOLDERS).map(|f| json!({
            "name": f.name(),
            "facts": folder_facts(&f.manifest, f.samples),
            "timeline": f.timeline.clone().json(bins),
        })).collect::<Vec<_>>(),
        "folders_total": group.folders.len(),
        "counts": group.counts(),
        "samples": group.folders.iter().map(|f| f.samples).sum::<u64>(),
        "notes": notes,
        "reasons": reasons.iter().take(MOST_REASONS).map(reason).collect::<Vec<_>>(),
        "reasons_total": reasons.len(),
        "verdicts": found,
    })
}

fn bytes(bytes: u64) -> String {
    let (value, unit) = match bytes {
        0..1_048_576 => (bytes as f64 / 1024.0, "KiB"),
        1_048_576..1_073_741_824 => (bytes as f64 / 1_048_576.0, "MiB"),
        _ => (bytes as f64 / 1_073_741_824.0, "GiB"),
    };
    format!("{value:.1} {unit}")
}

type Facts = Vec<[String; 2]>;

fn put(facts: &mut Facts, name: &str, text: impl AsRef<str>) {
    // Line by line: a line's end steers a terminal, and nothing in a page.
    let lines: Vec<String> = text.as_ref().lines().map(clean).collect();
    facts.push([name.to_owned(), shorten(&lines.join("\n"), 20_000)]);
}

/// What was measured on what: the same for all folders of a group.
fn facts(manifest: &Manifest) -> Facts {
    let Manifest { device, .. } = manifest;
    let mut facts = Facts::new();
    let units = if device.kind == DeviceKind::Cpu { "threads" } else { "multiprocessors" };
    put(&mut facts, "Device", &device.name);
    if let Some(capability) = &device.compute_capability {
        put(&mut facts, "Compute capability", capability);
    }
    put(&mut facts, "Driver", &device.driver);
    put(&mut facts, "Units", format!("{} {units}", device.units));
    put(&mut facts, "Peak", format!("{} FLOP a cycle", device.peak_flop_per_cycle));
    put(&mut facts, "Last-level cache", bytes(device.l2_bytes));
    put(&mut facts, "Memory", bytes(device.memory_bytes));
    put(&mut facts, "Highest clock", device.max_clock_mhz.map_or("unknown".to_owned(), |c| format!("{c} MHz")));
    if let Some(cap) = device.power_cap_mw {
        put(&mut facts, "Power limit", format!("{} W", f64::from(cap) / 1000.0));
    }
    put(&mut facts, "Clock source", &device.clock_source);
    put(&mut facts, "Telemetry", &device.telemetry);
    put(
        &mut facts,
        "Program",
        format!("{} {}, revision {}", manifest.program, manifest.version, manifest.git_revision),
    );
    put(&mut facts, "Kernels", &manifest.kernel_source);
    put(&mut facts, "Seed", manifest.seed.to_string());
    put(&mut facts, "Data", format!("{}, generated by {}", manifest.distribution, manifest.generator));
    put(&mut facts, "Stopping", manifest.stopping.to_string());
    put(&mut facts, "Plan", serde_json::to_string_pretty(&manifest.plan).unwrap_or_default());
    if !manifest.kernel_hashes.is_empty() {
        let hashes: Vec<String> = manifest.kernel_hashes.iter().map(|(k, v)| format!("{k} {v}")).collect();
        put(&mut facts, "Kernel hashes (SHA-256 of PTX)", hashes.join("\n"));
    }
    facts
}

/// What differs from folder to folder.
fn folder_facts(manifest: &Manifest, samples: u64) -> Facts {
    let Manifest { host, progress, device, .. } = manifest;
    let mut facts = Facts::new();
    put(&mut facts, "Command", manifest.command.join(" "));
    put(&mut facts, "Started", &manifest.started);
    put(&mut facts, "Shard", format!("{} of {}", manifest.shard[0], manifest.shard[1]));
    put(&mut facts, "Host", format!("{}, {} ({} cores, {})", host.os, host.cpu, host.cores, bytes(host.memory_bytes)));
    if let Some(uuid) = &device.uuid {
        put(&mut facts, "Device identifier", uuid);
    }
    if let Some(pci) = &device.pci_bus_id {
        put(&mut facts, "PCI address", pci);
    }
    let outcome = match progress.outcome {
        Outcome::Running => "not ended, or killed",
        Outcome::Complete => "complete",
        Outcome::Budget => "out of budget",
        Outcome::Interrupted => "interrupted",
        Outcome::Error => "ended by an error",
    };
    put(&mut facts, "Outcome", outcome);
    put(
        &mut facts,
        "Cells",
        format!(
            "{} planned: {} ok, {} skipped, {} failed; {samples} samples",
            progress.planned, progress.ok, progress.skipped, progress.failed
        ),
    );
    let share = 100.0 * progress.kernel_time_share;
    put(&mut facts, "Wall time", format!("{:.1} s, {share:.0} % of it inside kernels", progress.wall_ns as f64 * 1e-9));
    facts
}

#[cfg(test)]
mod tests {
    use super::super::group::group;
    use super::super::load::load;
    use super::*;
    use crate::report::fixture;

    fn one(cells: u64) -> (Vec<Group>, Strings) {
        let sizes: Vec<u64> = (1..=cells).collect();
        let run = fixture::shapes(&sizes, &sizes[..10], 512);
        let dir = tempfile::tempdir().unwrap();
        crate::record::write_manifest(dir.path(), &run.manifest).unwrap();
        let lines: String = run.cells.iter().map(|c| serde_json::to_string(c).unwrap() + "\n").collect();
        std::fs::write(dir.path().join(crate::record::SAMPLES_FILE), lines).unwrap();
        let mut strings = Strings::default();
        let folder = load(dir.path(), &mut strings).unwrap();
        (group(vec![folder]), strings)
    }

    #[test]
    fn a_page_that_would_be_too_large_shows_fewer_cells_and_says_so() {
        let (groups, strings) = one(300);
        let all = make(&groups, &strings, None);
        assert_eq!(all.shown, 3000);
        let most = 40_000;
        let few = make_within(&groups, &strings, None, most);
        assert!(few.shown > 300 && few.shown < 3000, "{}", few.shown);
        assert!(few.html.len() < most + STYLE.len() + SCRIPTS.concat().len() + 4000);
        assert!(few.notes[0].contains(&format!("shows {} of 3000 cells", few.shown)), "{:?}", few.notes);
        assert!(few.html.contains("\"counts\":[3000,0,0,0]"), "counts are of all cells");
        assert_eq!(make_within(&groups, &strings, None, 10).shown, 0);
    }

    #[test]
    fn a_hundred_thousand_cells_fit_with_room_to_spare() {
        let (groups, strings) = one(1000);
        let made = make(&groups, &strings, None);
        let data = made.html.len() - STYLE.len() - SCRIPTS.concat().len();
        assert!(data / made.shown < 60, "{} bytes a cell", data / made.shown);
    }

    #[test]
    fn data_cannot_end_its_element_and_a_title_is_text() {
        let text = escape("\"</script>&\u{2028}\u{2029}<!--\"");
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "</script>&\u{2028}\u{2029}<!--");
        let html = assemble("{}", Some("</title>{{script}}<i>"));
        assert!(html.contains("<title>&lt;/title&gt;{{script}}&lt;i&gt;</title>"));
        assert!(html.ends_with("</html>\n"));
    }

    #[test]
    fn the_policy_names_the_very_style_and_script_of_the_page() {
        let html = assemble("{}", None);
        let between = |from: &str, to: &str| html.split_once(from).unwrap().1.split_once(to).unwrap().0;
        for (kind, text) in [("style", between("<style>", "</style>")), ("script", between("<script>", "</script>"))] {
            let hash = STANDARD.encode(Sha256::digest(text.as_bytes()));
            assert!(html.contains(&format!("{kind}-src 'sha256-{hash}'")), "{kind}");
        }
        let markup = html.split("<script").next().unwrap();
        for never in [" onclick=", " onload=", " style=", "http:", "https:", "@import", "url("] {
            assert!(!html.contains(never) || never.starts_with(" on") && !markup.contains(never), "{never}");
        }
    }
}
