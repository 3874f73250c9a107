use crate::browser::Browser;
use crate::command::{ok, records, refused, small};
use gemmscope::record::{DeviceKind, Manifest, SAMPLES_FILE, Status, read_manifest, write_manifest};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What makes trouble wherever it is taken for markup.
const HOSTILE: &str = "</script><img src=x onerror=\"document.title='owned'\"><!--<script>&lt;b&gt;\u{2028}";

/// The manifest of a small run, made once: its fields are for each test to change.
fn manifest(dir: &Path) -> Manifest {
    let mut args = small(&["--m", "16"]);
    args[12] = "model";
    ok(dir, &args);
    read_manifest(&dir.join("model")).unwrap()
}

/// A measured cell of a GPU, as a line of a journal.
fn cell(number: u64, m: u64, n: u64, tflops: f64) -> Value {
    let k = 1024;
    let ns = (2 * m * n * k) as f64 / tflops / 1000.0;
    let samples: Vec<Value> = (0..8)
        .map(|i| {
            json!({ "at_ns": number * 1_000_000 + i, "elapsed_ns": ns as u64, "launches": 1, "clock_mhz": 1600 + i,
                    "power_mw": 500_000, "temperature_c": 60, "throttle_bits": 4, "throttled": i == 3 })
        })
        .collect();
    json!({
        "cell": number, "part": "shape", "m": m, "n": n, "k": k, "layout": "nn", "dtype": "f16", "lda": k, "ldb": n, "ldc": n,
        "offset_a": 0, "offset_b": 0, "offset_c": 0, "alpha": 1.0, "beta": 0.0, "device": "a GPU", "kernel": "04_mma",
        "variant": "128x128x32-a16", "regime": "cold", "status": "ok", "median_ns": ns as u64, "median_lo_ns": (ns * 0.99) as u64,
        "median_hi_ns": (ns * 1.01) as u64, "tflops": tflops, "flop_per_cycle": tflops * 1e12 / 1.6e9, "samples": samples,
    })
}

fn write(dir: &Path, manifest: &Manifest, cells: &[Value]) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    write_manifest(dir, manifest).unwrap();
    let lines: String = cells.iter().map(|c| c.to_string() + "\n").collect();
    std::fs::write(dir.join(SAMPLES_FILE), lines).unwrap();
    dir.to_owned()
}

fn grid() -> Vec<Value> {
    (0..48).map(|i| cell(i, 128 * (1 + i % 8), 256 * (1 + i / 8), 100.0 + i as f64)).collect()
}

/// The middle of the square that a picture has at this share of its height and width.
fn spot(browser: &mut Browser, picture: &str, x: f64, y: f64) -> (f64, f64) {
    let found = browser.eval(&format!(
        "(() => {{ const c = document.querySelector('{picture}'); c.scrollIntoView({{ block: 'center', behavior: 'instant' }});
          const b = c.getBoundingClientRect(); return [b.left + b.width * {x}, b.top + b.height * {y}]; }})()"
    ));
    (found[0].as_f64().unwrap(), found[1].as_f64().unwrap())
}

/// Different colours in the n-th canvas: an empty one has one.
fn colours(browser: &mut Browser, picture: &str) -> u64 {
    let count = browser.eval(&format!(
        "(() => {{ const c = document.querySelector('{picture}');
          const copy = Object.assign(document.createElement('canvas'), {{ width: c.width, height: c.height }});
          const ink = copy.getContext('2d', {{ willReadFrequently: true }});
          ink.drawImage(c, 0, 0);
          const d = ink.getImageData(0, 0, c.width, c.height).data;
          const seen = new Set(); for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
          return seen.size; }})()"
    ));
    count.as_u64().unwrap()
}

#[test]
fn a_sweep_leaves_a_page_and_report_makes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let out = ok(dir.path(), &small(&["--m", "16,32", "--lda", "+0,1"]));
    assert!(out.contains("report.html"), "{out}");
    let page = dir.path().join("run/report.html");
    let first = std::fs::read(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    let said: Value = serde_json::from_str(&ok(dir.path(), &["report", "run", "--json"])).unwrap();
    assert_eq!((said["cells"].as_u64(), said["cells_shown"].as_u64()), (Some(4), Some(4)));
    assert_eq!(std::fs::read(&page).unwrap(), first, "the same records give the same bytes");
    ok(dir.path(), &["report", "run", "--out", "other.html", "--title", "A <b>title</b>"]);
    let other = std::fs::read_to_string(dir.path().join("other.html")).unwrap();
    assert!(other.contains("<title>A &lt;b&gt;title&lt;/b&gt;</title>") && !other.contains("<b>title"));
    // Nothing in it reaches out, and its policy would not let it.
    let page = String::from_utf8(first).unwrap();
    assert!(page.contains("default-src 'none'") && !page.contains("'unsafe-inline'"));
    assert!(!page.contains("http://") && !page.contains("https://"));
}

#[test]
fn what_cannot_be_reported_on_is_said() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(dir.path(), &["report", "nowhere"]).contains("manifest.json"));
    assert!(refused(dir.path(), &["report", "a", "b"]).contains("--out"));
    let manifest = manifest(dir.path());
    let run = write(&dir.path().join("run"), &manifest, &[]);
    std::fs::write(run.join("manifest.json"), "{\"program\": \"gemm").unwrap();
    assert!(refused(dir.path(), &["report", "run"]).contains("not a manifest"));
    std::fs::remove_file(run.join("manifest.json")).unwrap();
    write_manifest(&run, &manifest).unwrap();
    std::fs::remove_file(run.join(SAMPLES_FILE)).unwrap();
    assert!(refused(dir.path(), &["report", "run"]).contains(SAMPLES_FILE));
}

#[test]
fn the_page_of_a_real_run_answers_pointer_keys_and_selectors() {
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "16..64+16", "--lda", "+1,2,8,16", "--paired"]));
    browser.open(&dir.path().join("run/report.html"));
    browser.keep("real");
    let records = records(&dir.path().join("run"));

    // Pointing at a square shows its number, and beside it the evidence of a cell of the journal.
    let picture = "#explore canvas";
    assert!(colours(&mut browser, picture) > 20);
    let (x, y) = spot(&mut browser, picture, 0.3, 0.6);
    browser.point(x, y, true);
    assert_eq!(browser.text("getComputedStyle(document.querySelector('#explore .tip')).display"), "block");
    let evidence = browser.text("document.querySelector('#evidence').textContent");
    let number = evidence.rsplit("Cell").next().unwrap().split(' ').next().unwrap();
    let record = records.iter().find(|r| r.cell.to_string() == number).unwrap_or_else(|| panic!("{evidence}"));
    let gflops = record.tflops.unwrap() * 1000.0;
    let shown = evidence.split("Throughput").nth(1).unwrap().split(" GFLOP/s").next().unwrap();
    assert!((shown.parse::<f64>().unwrap() / gflops - 1.0).abs() < 1e-3, "{shown} for {gflops}");
    let p = &record.problem;
    assert!(evidence.contains(&format!("lda {}, ldb {}, ldc {}", p.lda, p.ldb, p.ldc)), "{evidence}");
    assert!(evidence.contains(&record.variant) && evidence.contains(&record.dispatch), "{evidence}");

    // The arrow keys go from cell to cell.
    let tip = "document.querySelector('#explore .tip').textContent";
    let before = browser.text(tip);
    browser.eval("document.querySelector('#explore canvas').focus()");
    browser.point(2.0, 2.0, false);
    browser.key("ArrowUp");
    browser.key("ArrowLeft");
    let after = browser.text(tip);
    assert!(!after.is_empty() && before != after, "{before} and {after}");

    // Selectors draw another picture.
    let label = "document.querySelector('#explore canvas').getAttribute('aria-label')";
    browser.choose("Number", "Width of the 95 % interval");
    assert!(browser.text(label).starts_with("Width of the 95 % interval by"));
    let across = browser.text(label);
    browser.choose("Down", "nothing: draw lines");
    assert!(browser.text(label).contains("from point to point"), "{}", browser.text(label));
    browser.choose("Across", "m");
    assert_ne!(browser.text(label), across);
    assert!(colours(&mut browser, picture) > 5);

    // The table sorts, and has every cell.
    let rows = browser.eval("document.querySelectorAll('#table tbody tr').length");
    assert_eq!(rows.as_u64(), Some(records.len() as u64));
    browser.eval("[...document.querySelectorAll('#table th button')].find((b) => b.textContent === 'TFLOP/s').click()");
    let sorted = "[...document.querySelectorAll('#table th')].find((h) => h.textContent.startsWith('TFLOP/s')).getAttribute('aria-sort')";
    assert_eq!(browser.text(sorted), "descending");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn names_full_of_markup_are_text_and_damaged_records_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest(dir.path());
    manifest.device.kind = DeviceKind::Cuda;
    manifest.device.name = HOSTILE.to_owned();
    manifest.host.cpu = HOSTILE.to_owned();
    manifest.command = vec![HOSTILE.to_owned()];
    manifest.plan = json!({ HOSTILE: [HOSTILE] });
    let mut cells = grid();
    for cell in &mut cells {
        for field in ["part", "kernel", "variant", "dispatch", "regime", "layout", "dtype"] {
            cell[field] = json!(HOSTILE);
        }
    }
    cells[0]["status"] = json!("failed");
    cells[0]["reason"] = json!(HOSTILE);
    cells[1]["status"] = json!(HOSTILE);
    cells[2]["tflops"] = json!(1e300);
    cells[3]["median_ns"] = json!("NaN");
    cells[4]["m"] = json!(1.5);
    cells[5] = json!([1, 2]);
    cells[6]["lda"] = Value::Null;
    cells[7]["samples"] = json!([{}, { "at_ns": -1, "clock_mhz": 1e30 }]);
    cells[8]["m"] = json!(1u64 << 53);
    let run = write(&dir.path().join("run"), &manifest, &cells);
    let verdict = json!({ "claim": HOSTILE, "title": HOSTILE, "verdict": HOSTILE, "reason": HOSTILE, "samples": -1,
        "effect": { "what": HOSTILE, "unit": HOSTILE, "value": 1, "lo": null }, "questions": [{ "asks": HOSTILE }] });
    std::fs::write(run.join("verdicts.json"), json!({ "verdicts": [verdict, 3] }).to_string()).unwrap();
    let mut journal = std::fs::read_to_string(run.join(SAMPLES_FILE)).unwrap();
    journal.push_str("nonsense\n{\"m\": 1e999}\n{\"cell\": 9, \"pa");
    std::fs::write(run.join(SAMPLES_FILE), journal).unwrap();
    let said: Value = serde_json::from_str(&ok(dir.path(), &["report", "run", "--json"])).unwrap();
    let notes = said["notes"].to_string();
    assert!(notes.contains("4 lines are no record") && notes.contains("torn"), "{notes}");
    assert_eq!(said["cells"], 46);
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(!page.contains("<img") && page.matches("</script>").count() == 2);

    let Some(mut browser) = Browser::start(1280, 900) else { return };
    browser.open(&run.join("report.html"));
    browser.keep("hostile");
    assert_eq!(browser.eval("document.querySelectorAll('img, b b').length"), 0);
    let title = browser.text("document.title");
    assert!(title.contains("</script><img src=x"), "{title}");
    let body = browser.text("document.body.innerText");
    assert!(body.matches("</script><img src=x onerror").count() > 20);
    assert!(body.contains("unknown status") && body.contains("1e300 TFLOP/s"), "{body}");
    for number in ["FLOP per cycle", "Clock", "Width of the 95 % interval"] {
        browser.choose("Number", number);
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn an_emulated_record_shows_counters_and_never_a_throughput() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest(dir.path());
    manifest.device.kind = DeviceKind::Emulated;
    manifest.device.name = "emulated GPU".to_owned();
    let mut cells = grid();
    for cell in &mut cells {
        // The times of the journal are not to be believed; they stay in the lines on purpose.
        let macs = cell["m"].as_u64().unwrap() * cell["n"].as_u64().unwrap() * 1024;
        let load = json!({ "requests": 100, "sectors": 800, "bytes": 12_800 });
        let shared = json!({ "requests": 9, "wavefronts": 30, "ideal": 20 });
        cell["counters"] =
            json!({ "issued_macs": macs + macs / 4, "global_load": load, "ldmatrix": shared, "blocks": 7 });
    }
    let run = write(&dir.path().join("run"), &manifest, &cells);
    ok(dir.path(), &["report", "run"]);
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    browser.open(&run.join("report.html"));
    browser.keep("emulated");
    let body = browser.text("document.querySelector('main').innerText");
    assert!(body.contains("it has none, and they are left out") && body.contains("emulated"), "{body}");
    for never in ["FLOP/s", "GFLOP", "Median time", "FLOP / cycle", "MHz"] {
        let elsewhere = body.replace("FLOP a cycle", "");
        assert!(!elsewhere.contains(never), "{never} in {body}");
    }
    let offered =
        browser.text("[...document.querySelector('#explore select').options].map((o) => o.textContent).join()");
    assert!(!offered.contains("Throughput") && offered.contains("Requests to global memory"), "{offered}");
    // What the pictures and summary.csv show, by the same formula: 12 800 bytes in 800 sectors of 32.
    browser.choose("Number", "Bytes asked for, as a share of the sectors moved");
    let (x, y) = spot(&mut browser, "#explore canvas", 0.3, 0.6);
    browser.point(x, y, false);
    assert!(browser.text("document.querySelector('#explore .tip').textContent").starts_with("50.0"));
    let evidence = browser.text("document.querySelector('#evidence').textContent");
    assert!(evidence.contains("issued (1.250×)") && evidence.contains("800 sectors, 100 requests"), "{evidence}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_phone_paper_and_the_dark_have_legible_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest(dir.path());
    manifest.device.kind = DeviceKind::Cuda;
    manifest.device.name = "a GPU with a rather long name, 80GB HBM3 and more".to_owned();
    let mut cells = grid();
    cells[5]["status"] = json!("skipped");
    cells[5]["reason"] = json!("not reached: the budget of 10 s was spent");
    let run = write(&dir.path().join("run"), &manifest, &cells);
    ok(dir.path(), &["report", "run"]);
    let Some(mut browser) = Browser::start(360, 740) else { return };
    browser.open(&run.join("report.html"));
    browser.keep("phone");
    let wide = "document.documentElement.scrollWidth";
    assert_eq!(browser.eval(wide), 360, "the page scrolls sideways on a phone");
    // A tap shows the evidence.
    let (x, y) = spot(&mut browser, "#explore canvas", 0.5, 0.5);
    browser.point(x, y, true);
    assert!(browser.text("document.querySelector('#evidence h3').textContent").contains("× 1,024"));

    let paper = "getComputedStyle(document.body).backgroundColor";
    browser.resize(1100, 900);
    browser.medium("", "dark");
    assert_eq!(browser.text(paper), "rgb(18, 21, 26)");
    let dark = colours(&mut browser, "#explore canvas");
    browser.keep("dark");
    browser.medium("print", "dark");
    browser.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    assert_eq!(browser.text(paper), "rgb(255, 255, 255)", "paper is white");
    assert_eq!(browser.text("getComputedStyle(document.querySelector('.controls')).display"), "none");
    browser.keep("print");
    assert!(dark > 20 && colours(&mut browser, "#explore canvas") > 20);
    let pdf = browser.call("Page.printToPDF", json!({}));
    assert!(pdf["data"].as_str().unwrap().len() > 20_000);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_part_is_shown_in_a_regime_that_it_was_measured_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest(dir.path());
    (manifest.device.kind, manifest.device.name) = (DeviceKind::Cuda, "a GPU".to_owned());
    // The part that tells most is hot only, and another one was measured cold as well.
    let mut cells = grid();
    cells.iter_mut().for_each(|c| c["regime"] = json!("hot"));
    for (i, regime) in ["cold", "hot", "cold", "hot"].into_iter().enumerate() {
        let mut other = cell(100 + i as u64, 512 * (1 + i as u64 / 2), 512, 90.0);
        (other["part"], other["regime"]) = (json!("other"), json!(regime));
        cells.push(other);
    }
    let run = write(&dir.path().join("run"), &manifest, &cells);
    ok(dir.path(), &["report", "run"]);
    let empty = write(&dir.path().join("empty"), &manifest, &[]);
    ok(dir.path(), &["report", "empty"]);
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    browser.open(&run.join("report.html"));
    let explorer = browser.text("document.querySelector('#explore').innerText");
    assert!(!explorer.contains("has no such cells"), "{explorer}");
    assert!(colours(&mut browser, "#explore canvas") > 20);
    let labels = "[...document.querySelectorAll('#explore label')].map((l) => l.firstChild.textContent).join()";
    let offered = browser.text(labels);
    assert!(offered.contains("Down") && !offered.contains("Regime"), "this part has one regime: {offered}");
    browser.choose("Part of the plan", "other");
    browser.choose("Regime", "hot");
    assert!(!browser.text("document.querySelector('#explore').innerText").contains("has no such cells"));
    browser.open(&empty.join("report.html"));
    assert!(browser.text("document.querySelector('#explore').innerText").contains("No cell was recorded"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn zeros_are_shown_apart_and_are_nobody_s_highest_throughput() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest(dir.path());
    (manifest.device.kind, manifest.device.name) = (DeviceKind::Cuda, "a GPU".to_owned());
    let mut cells = Vec::new();
    for i in 0..6 {
        let mut pair = [cell(2 * i, 256 * (1 + i), 512, 400.0), cell(2 * i + 1, 256 * (1 + i), 512, 300.0 + i as f64)];
        for (side, role) in pair.iter_mut().zip(["baseline", "variant"]) {
            (side["regime"], side["pair"], side["role"]) = (json!("sustained"), json!(i), json!(role));
        }
        pair[0]["distribution"] = json!("zeros");
        pair[1]["pair_ratio"] = json!(0.75);
        cells.extend(pair);
    }
    // How a load begins: samples, and nothing that stands for them.
    let mut onset = cell(20, 4096, 512, 500.0);
    for field in ["median_ns", "median_lo_ns", "median_hi_ns", "tflops", "flop_per_cycle"] {
        onset[field] = Value::Null;
    }
    (onset["regime"], onset["part"], onset["idle_ns"]) = (json!("onset"), json!("begin"), json!(2_000_000_000u64));
    cells.push(onset);
    let run = write(&dir.path().join("run"), &manifest, &cells);
    ok(dir.path(), &["report", "run"]);
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    browser.open(&run.join("report.html"));
    let short = browser.text("document.querySelector('.cards').innerText");
    assert!(short.contains("305") && !short.contains("400"), "{short}");
    assert!(!short.contains("Rows off 16 bytes"), "zeros are no aligned rows: {short}");
    let chosen =
        "[...document.querySelectorAll('#explore select')].map((s) => s.selectedOptions[0].textContent).join()";
    let first = browser.text(chosen);
    assert!(first.contains("sustained") && !first.contains("zeros"), "{first}");
    browser.choose("Regime", "sustained, zeros");
    let evidence = browser.text("document.querySelector('#explore').innerText");
    assert!(evidence.contains("sustained, zeros"), "{evidence}");
    browser.choose("Part of the plan", "begin");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// A side of a pair: the baseline, or the variant with its lda and its throughput over the baseline's.
fn side(pair: u64, m: u64, variant: Option<(u64, f64)>) -> Value {
    let mut side = cell(2 * pair + u64::from(variant.is_some()), m, 1024, 400.0);
    (side["pair"], side["role"]) = (json!(pair), json!(if variant.is_some() { "variant" } else { "baseline" }));
    if let Some((lda, ratio)) = variant {
        side["lda"] = json!(lda);
        (side["pair_ratio"], side["pair_ratio_lo"], side["pair_ratio_hi"]) =
            (json!(ratio), json!(ratio - 0.01), json!(ratio + 0.01));
    }
    side
}

#[test]
fn pairs_of_different_sizes_are_no_cost_of_alignment() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest(dir.path());
    (manifest.device.kind, manifest.device.name) = (DeviceKind::Cuda, "a GPU".to_owned());
    let mut cells = Vec::new();
    // Four pairs of strides at 80 %, and four of 1024 beside 1025 at ten times as much, as a claim may pair them.
    for pair in 0..8u64 {
        let sizes = pair >= 4;
        for variant in [false, true] {
            let m = if sizes && variant { 1025 } else { 1024 };
            let (lda, ratio) = (1025 + pair, if sizes { 10.5 } else { 0.8 });
            cells.push(side(pair, m, variant.then_some((lda, ratio))));
        }
    }
    let run = write(&dir.path().join("run"), &manifest, &cells);
    ok(dir.path(), &["report", "run"]);
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    browser.open(&run.join("report.html"));
    browser.keep("sizes");
    let alignment = browser.text("document.querySelector('#alignment').innerText");
    assert!(alignment.contains("80.00 %") && !alignment.contains("1,050"), "{alignment}");
    let card = browser
        .text("[...document.querySelectorAll('.card')].find((c) => c.textContent.includes('16 bytes')).textContent");
    assert!(card.contains("80.00 %"), "{card}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_cost_of_alignment_is_the_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest(dir.path());
    (manifest.device.kind, manifest.device.name) = (DeviceKind::Cuda, "a GPU".to_owned());
    let mut cells = Vec::new();
    for (pair, padding) in [1, 2, 4, 8, 16, 32].into_iter().enumerate() {
        let pair = pair as u64;
        let ratio = if padding < 8 { 0.5 } else { 1.0 };
        for variant in [None, Some((1024 + padding, ratio))] {
            let mut side = side(pair, 1024, variant);
            side["part"] = json!("stride");
            cells.push(side);
        }
    }
    let run = write(&dir.path().join("run"), &manifest, &cells);
    ok(dir.path(), &["report", "run"]);
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    browser.open(&run.join("report.html"));
    browser.keep("pairs");
    let card = browser
        .text("[...document.querySelectorAll('.card')].find((c) => c.textContent.includes('16 bytes')).textContent");
    assert!(card.contains("50.00 %") && card.contains("median of 3 pairs"), "{card}");
    let label = browser.text("document.querySelector('#explore canvas').getAttribute('aria-label')");
    assert!(label.starts_with("Relative to the aligned pair, %"), "{label}");
    let table = browser.text("document.querySelector('#alignment table').innerText");
    let lines: Vec<&str> = table.lines().filter(|l| l.contains(" B")).collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(
        lines[..3].iter().all(|l| l.contains("50.00 %")) && lines[3..].iter().all(|l| l.contains("100.0 %")),
        "{table}"
    );
    // What the pairs say is on the map by row alignment too, with the evidence of its cells.
    let (x, y) = spot(&mut browser, "#alignment canvas", 0.5, 0.5);
    browser.eval("document.querySelector('#alignment canvas').focus()");
    browser.point(x, y, false);
    browser.key("ArrowDown");
    let evidence = browser.text("document.querySelector('#alignment aside').textContent");
    assert!(evidence.contains("Over its pair") && evidence.contains("variant of pair"), "{evidence}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn shards_are_one_and_devices_stand_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest(dir.path());
    (manifest.device.kind, manifest.device.name) = (DeviceKind::Cuda, "first GPU".to_owned());
    let (even, odd): (Vec<Value>, Vec<Value>) = grid().into_iter().partition(|c| c["cell"].as_u64().unwrap() % 2 == 0);
    for (i, cells) in [even, odd].iter().enumerate() {
        manifest.shard = [i as u64 + 1, 2];
        write(&dir.path().join(format!("shard{i}")), &manifest, cells);
    }
    let mut slower = grid();
    slower.iter_mut().for_each(|c| {
        c["tflops"] = json!(c["tflops"].as_f64().unwrap() / 4.0);
        c["median_ns"] = json!(c["median_ns"].as_u64().unwrap() * 4);
    });
    (manifest.shard, manifest.device.name) = ([1, 1], "second GPU".to_owned());
    write(&dir.path().join("second"), &manifest, &slower);
    let said = ok(dir.path(), &["report", "shard0", "shard1", "second", "--out", "both.html", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((said["cells"].as_u64(), said["notes"].to_string().contains("missing")), (Some(96), false));
    let alone: Value = serde_json::from_str(&ok(dir.path(), &["report", "shard0", "--json"])).unwrap();
    assert!(alone["notes"].to_string().contains("shard 2 of 2 is missing"), "{alone}");

    let Some(mut browser) = Browser::start(1400, 900) else { return };
    browser.open(&dir.path().join("both.html"));
    browser.keep("both");
    let maps = "document.querySelectorAll('#explore canvas').length";
    assert_eq!(browser.eval(maps), 2);
    let figures = browser.text("[...document.querySelectorAll('#summary .figure')].map((f) => f.textContent).join()");
    assert!(figures.contains("147") && figures.contains("36.8"), "{figures}");
    // The same place of both maps: the same shape, a quarter of the number.
    let number = |browser: &mut Browser, nth: usize| -> f64 {
        browser.eval(&format!("document.querySelectorAll('#explore canvas')[{nth}].id = 'map{nth}'"));
        let (x, y) = spot(browser, &format!("#map{nth}"), 0.5, 0.5);
        browser.point(x, y, false);
        let tip = browser.text(&format!("document.querySelectorAll('#explore .tip')[{nth}].textContent"));
        tip.split(' ').next().unwrap().parse().unwrap()
    };
    let (first, second) = (number(&mut browser, 0), number(&mut browser, 1));
    assert!((first / second / 4.0 - 1.0).abs() < 0.01, "{first} and {second}");
    browser.eval("document.querySelectorAll('#summary input')[1].click()");
    assert_eq!(browser.eval(maps), 1);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn every_cell_without_a_number_is_on_the_page_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "8,100000000", "--lda", "16,32"]));
    let lost = records(&dir.path().join("run")).into_iter().filter(|r| r.status != Status::Ok).count();
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    browser.open(&dir.path().join("run/report.html"));
    let gaps = browser.text("document.querySelector('#gaps').innerText");
    assert!(gaps.contains("at least 32") && gaps.contains("bytes"), "{gaps}");
    let counted = browser.eval(
        "[...document.querySelectorAll('#gaps tbody tr')].reduce((sum, row) => sum + Number(row.cells[1].textContent), 0)",
    );
    assert_eq!(counted.as_u64(), Some(lost as u64));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
