//! `summary.csv`: one row a cell, everything but the samples.

use super::merge::Merged;
use super::{clean, counts};
use crate::record::{CellRecord, Role, Status, Stop};

/// Name of the table in the folder of a report.
pub const SUMMARY_FILE: &str = "summary.csv";

/// The columns. Names are the journal's; sizes, leading dimensions and offsets are counted in elements.
const COLUMNS: [&str; 49] = [
    "run",
    "cell",
    "part",
    "pair",
    "role",
    "m",
    "n",
    "k",
    "layout",
    "dtype",
    "lda",
    "ldb",
    "ldc",
    "offset_a",
    "offset_b",
    "offset_c",
    "alpha",
    "beta",
    "device",
    "device_kind",
    "kernel",
    "variant",
    "dispatch",
    "regime",
    "distribution",
    "dwell_ns",
    "idle_ns",
    "status",
    "reason",
    "median_ns",
    "median_lo_ns",
    "median_hi_ns",
    "tflops",
    "flop_per_cycle",
    "pair_ratio",
    "pair_ratio_lo",
    "pair_ratio_hi",
    "copies",
    "workspace_bytes",
    "stop",
    "throttled_samples",
    "warm",
    "check_elements",
    "check_of_elements",
    "check_worst_share_of_bound",
    "check_reference",
    "started",
    "program_version",
    "git_revision",
];

/// The table as bytes of CSV (RFC 4180, line feeds). `run` numbers the merged runs from 1.
pub(super) fn csv(merged: &[Merged<'_>]) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    // Writing into memory fails only for rows of unequal length, and `row` always has one field a column.
    let columns = COLUMNS.into_iter().map(str::to_owned).chain(counts::columns());
    out.write_record(columns.map(String::into_bytes)).expect("the first row sets the length");
    for (number, run) in merged.iter().enumerate() {
        for cell in &run.cells {
            let fields = row(number + 1, run, cell).into_iter().chain(counts::fields(cell));
            out.write_record(fields.map(String::into_bytes)).expect("every row has one field a column");
        }
    }
    out.into_inner().expect("memory takes every byte")
}

fn row(number: usize, run: &Merged<'_>, cell: &CellRecord) -> [String; COLUMNS.len()] {
    fn or_empty<T: ToString>(value: Option<T>) -> String {
        value.map(|v| v.to_string()).unwrap_or_default()
    }
    let p = &cell.problem;
    let check = cell.check.as_ref();
    [
        number.to_string(),
        cell.cell.to_string(),
        text(&cell.part),
        or_empty(cell.pair),
        cell.role.map_or("", role).to_owned(),
        p.m.to_string(),
        p.n.to_string(),
        p.k.to_string(),
        p.layout.name().to_owned(),
        p.dtype.name().to_owned(),
        p.lda.to_string(),
        p.ldb.to_string(),
        p.ldc.to_string(),
        p.offset_a.to_string(),
        p.offset_b.to_string(),
        p.offset_c.to_string(),
        p.alpha.to_string(),
        p.beta.to_string(),
        text(&cell.device),
        run.device_kind().to_owned(),
        text(&cell.kernel),
        text(&cell.variant),
        text(&cell.dispatch),
        text(&cell.regime),
        text(cell.distribution.as_deref().unwrap_or(&run.manifests[0].distribution)),
        or_empty(cell.dwell_ns),
        or_empty(cell.idle_ns),
        status(cell.status).to_owned(),
        cell.reason.as_deref().map(text).unwrap_or_default(),
        or_empty(cell.median_ns),
        or_empty(cell.median_lo_ns),
        or_empty(cell.median_hi_ns),
        or_empty(cell.tflops),
        or_empty(cell.flop_per_cycle),
        or_empty(cell.pair_ratio),
        or_empty(cell.pair_ratio_lo),
        or_empty(cell.pair_ratio_hi),
        or_empty(cell.copies),
        or_empty(cell.workspace_bytes),
        cell.stop.map_or("", stop).to_owned(),
        cell.throttled_samples.to_string(),
        or_empty(cell.warm),
        or_empty(check.map(|c| c.elements)),
        or_empty(check.map(|c| c.of)),
        or_empty(check.map(|c| c.worst)),
        check.map(|c| text(&c.reference)).unwrap_or_default(),
        text(&run.manifests[0].started),
        text(&run.manifests[0].version),
        text(&run.manifests[0].git_revision),
    ]
}

/// Text from a record as a field: harmless in a terminal, and no formula to a spreadsheet.
fn text(text: &str) -> String {
    let text = clean(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Skipped => "skipped",
        Status::Failed => "failed",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Baseline => "baseline",
        Role::Variant => "variant",
    }
}

fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::Interval => "interval",
        Stop::Time => "time",
        Stop::Samples => "samples",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, merge::merge};
    use super::*;
    use crate::problem::Problem;
    use crate::record::Check;

    #[test]
    fn every_field_of_a_record_survives_the_table() {
        let mut run = fixture::strides(&[0, 1], &[0, 3]);
        fixture::fail(&mut run.cells[1]);
        run.cells[1].dispatch = "with a comma, and a \"quote\"".to_owned();
        let cell = &mut run.cells[2];
        (cell.pair, cell.role, cell.stop, cell.warm) = (Some(9), Some(Role::Variant), Some(Stop::Interval), Some(true));
        cell.problem.offset_b = 5;
        cell.tflops = Some(1.0 / 3.0);
        (cell.pair_ratio, cell.pair_ratio_lo, cell.pair_ratio_hi) = (Some(0.75), Some(0.7), Some(0.8));
        (cell.copies, cell.workspace_bytes) = (Some(4), Some(4096));
        cell.check = Some(Check { elements: 7, of: 8, worst: 0.125, reference: "host f64".to_owned() });
        let runs = [run];
        let text = csv(&merge(&runs).unwrap());

        let mut reader = ::csv::Reader::from_reader(&text[..]);
        let header = reader.headers().unwrap().clone();
        let rows: Vec<_> = reader.records().map(|r| r.unwrap()).collect();
        assert_eq!(rows.len(), 4);
        for (row, cell) in rows.iter().zip(&runs[0].cells) {
            // Through JSON, so that a field added to the record and forgotten here is noticed.
            let json = serde_json::to_value(cell).unwrap();
            for (name, value) in json.as_object().unwrap() {
                if name == "check" {
                    continue;
                }
                let at = header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no column {name}"));
                let want = match value {
                    serde_json::Value::Null => String::new(),
                    serde_json::Value::String(text) => text.clone(),
                    serde_json::Value::Number(n) if n.is_f64() => {
                        assert_eq!(row[at].parse::<f64>().ok(), n.as_f64(), "{name}");
                        continue;
                    }
                    other => other.to_string(),
                };
                assert_eq!(row[at], want, "{name}");
            }
        }
        let at = |name: &str| header.iter().position(|h| h == name).unwrap();
        assert_eq!(&rows[2][at("check_elements")], "7");
        assert_eq!(&rows[2][at("check_worst_share_of_bound")], "0.125");
        assert_eq!(&rows[1][at("status")], "failed");
        assert_eq!(&rows[0][at("device_kind")], "cuda");
    }

    #[test]
    fn text_is_no_formula_and_has_no_controls_while_numbers_stay_numbers() {
        let mut run = fixture::run(vec![fixture::cell(Problem::new(8, 8, 8), 1.0)]);
        let evil = "=cmd|'/C calc'!A0\u{1b}\u{202e}";
        let safe = "'=cmd|'/C calc'!A0\u{fffd}\u{fffd}";
        run.manifest.device.name = evil.to_owned();
        (run.manifest.started, run.manifest.version) = (evil.to_owned(), evil.to_owned());
        run.manifest.git_revision = evil.to_owned();
        let cell = &mut run.cells[0];
        for field in [&mut cell.part, &mut cell.device, &mut cell.kernel, &mut cell.variant] {
            *field = evil.to_owned();
        }
        (cell.dispatch, cell.regime, cell.reason) = (evil.to_owned(), evil.to_owned(), Some(evil.to_owned()));
        cell.check = Some(Check { elements: 1, of: 1, worst: -0.5, reference: evil.to_owned() });
        cell.problem.alpha = -2.0;
        let runs = [run];
        let text = csv(&merge(&runs).unwrap());
        let mut reader = ::csv::Reader::from_reader(&text[..]);
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!(row.iter().filter(|f| *f == safe).count(), 11);
        assert!(!row.iter().any(|f| f.starts_with('=') || f.contains('\u{1b}') || f.contains('\u{202e}')));
        assert_eq!((&row[16], &row[COLUMNS.iter().position(|c| c.contains("worst")).unwrap()]), ("-2", "-0.5"));
        assert_eq!(
            ["+1", "-1", "@x", "a=b", "", "04_mma"].map(super::text),
            ["'+1", "'-1", "'@x", "a=b", "", "04_mma"]
        );
    }

    #[test]
    fn two_devices_are_told_apart() {
        let one = fixture::run(vec![fixture::cell(Problem::new(8, 8, 8), 1.0)]);
        let mut two = one.clone();
        two.manifest.device.name = "Other".to_owned();
        let runs = [one, two];
        let text = String::from_utf8(csv(&merge(&runs).unwrap())).unwrap();
        let numbers: Vec<&str> = text.lines().skip(1).map(|l| &l[..3]).collect();
        assert_eq!(numbers, ["1,0", "2,0"].map(|n| n.to_owned()).iter().map(|n| n.as_str()).collect::<Vec<_>>());
    }
}
