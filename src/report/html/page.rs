//! The page itself: the data as JSON, and around it the template, the style and the scripts of this folder.

use super::super::clean;
use super::super::counts::METRICS;
use super::cell::{COUNTERS, Cell, Strings};
use super::columns::encode;
use super::group::Group;
use super::head::{head, notes};
use super::model::Model;
use super::thin::thin;
use crate::record::Role;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// One script, in the order in which its parts need each other.
const SCRIPTS: [&str; 10] = [
    include_str!("js/data.js"),
    include_str!("js/text.js"),
    include_str!("js/scale.js"),
    include_str!("js/axes.js"),
    include_str!("js/map.js"),
    include_str!("js/evidence.js"),
    include_str!("js/explorer.js"),
    include_str!("js/plots.js"),
    include_str!("js/tables.js"),
    include_str!("js/main.js"),
];

/// Bytes of data on a page. With the rest it stays under 8 MiB.
const MOST_DATA: usize = 7 << 20;

/// Bins of all timelines together.
const MOST_BINS: usize = 4096;

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
        let columns = columns(&cells, &alike(group), &mut texts, model.as_ref());
        // The object's last brace makes room for the columns, which are JSON already.
        let open = head.to_string();
        out.push(format!("{},\"columns\":{columns}}}", &open[..open.len() - 1]));
    }
    // The page has no formula of its own for what pictures and tables show as well.
    let metrics: Vec<Value> =
        METRICS.iter().map(|m| json!({ "name": m.name, "title": m.title, "unit": m.unit })).collect();
    let version = format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let json = format!(
        "{{\"title\":{},\"made_by\":{},\"metrics\":{},\"strings\":{},\"groups\":[{}]}}",
        json!(title.map(clean)),
        json!(version),
        json!(metrics),
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

/// What the two sides of a comparison share that differ in strides and offsets alone: the pair, its part and regime, layout and type, and
/// the sizes.
type Comparison = (u64, [u32; 4], [u64; 3]);

fn comparison(cell: &Cell) -> Option<Comparison> {
    let [m, n, k, ..] = cell.shape;
    Some((cell.pair?, [cell.part, cell.regime, cell.layout, cell.dtype], [m, n, k]))
}

/// The comparisons with an aligned first side. A plan may pair other things, such as a size with its neighbour: what those find is not
/// what alignment costs. Gathered before cells are left out, so that a second side is known for what it is without its first.
fn alike(group: &Group) -> HashSet<Comparison> {
    let aligned = |c: &&Cell| c.role == Some(Role::Baseline) && c.align.is_some_and(|a| a.iter().all(|&log| log >= 4));
    group.cells.iter().filter(aligned).filter_map(comparison).collect()
}

/// The cells, a column a quantity. Names and rounding are described in `docs/FORMAT.md`.
fn columns(cells: &[&Cell], alike: &HashSet<Comparison>, texts: &mut Texts<'_>, model: Option<&Model>) -> String {
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
    put("own_data", None, &mut |c| Some(f64::from(u8::from(c.own_data))));
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
    put("alike", None, &mut |c| {
        c.pair_ratio.map(|_| f64::from(u8::from(comparison(c).is_some_and(|k| alike.contains(&k)))))
    });
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
    for (i, metric) in METRICS.iter().enumerate() {
        let of = |c: &Cell| c.counters.as_ref().map(|k| k[COUNTERS.len() + i]).filter(|v| v.is_finite());
        put(&format!("count_{}", metric.name), Some(6), &mut |c| of(c));
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
