//! `verdicts.json` of a folder, taken over field by field. Whatever is not a text or a number there is left out here.

use super::super::clean;
use super::cell::shorten;
use super::columns::digits;
use serde_json::{Value, json};
use std::path::Path;

/// Name of the file in a run's folder.
const FILE: &str = "verdicts.json";

/// Most verdicts of a folder, questions of a verdict, and comparisons of a question on the page.
const MOST: (usize, usize, usize) = (400, 12, 24);

/// The folder's verdicts for the page: `null` where there are none. The second value says why a file could not be read.
pub(super) fn read(dir: &Path) -> (Value, Option<String>) {
    let text = match std::fs::read_to_string(dir.join(FILE)) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return (Value::Null, None),
        Err(e) => return (Value::Null, Some(format!("{FILE} cannot be read: {e}."))),
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(file) if file["verdicts"].is_array() => (verdicts(&file), None),
        Ok(_) => (Value::Null, Some(format!("{FILE} has no list of verdicts; gemmscope validate makes it again."))),
        Err(e) => {
            (Value::Null, Some(clean(&format!("{FILE} cannot be read: {e}; gemmscope validate makes it again."))))
        }
    }
}

fn text(value: &Value) -> String {
    shorten(&clean(value.as_str().unwrap_or_default()), 1000)
}

fn number(value: &Value) -> Value {
    value.as_f64().map_or(Value::Null, |v| digits(v, 5))
}

fn list(value: &Value, most: usize, item: fn(&Value) -> Value) -> Vec<Value> {
    value.as_array().map(|list| list.iter().take(most).map(item).collect()).unwrap_or_default()
}

fn effect(value: &Value) -> Value {
    if value["value"].is_null() {
        return Value::Null;
    }
    json!({
        "what": text(&value["what"]),
        "unit": text(&value["unit"]),
        "value": number(&value["value"]),
        "lo": number(&value["lo"]),
        "hi": number(&value["hi"]),
    })
}

fn comparison(value: &Value) -> Value {
    json!({
        "first": text(&value["first"]),
        "second": text(&value["second"]),
        "ratio": list(&value["ratio"], 3, number),
        "samples": number(&value["samples"]),
        "note": text(&value["note"]),
    })
}

fn question(value: &Value) -> Value {
    json!({
        "asks": text(&value["asks"]),
        "finding": text(&value["finding"]),
        "reason": text(&value["reason"]),
        "effect": effect(&value["effect"]),
        "compared": value["comparisons"].as_array().map_or(0, Vec::len),
        "comparisons": list(&value["comparisons"], MOST.2, comparison),
    })
}

fn verdict(value: &Value) -> Value {
    let source = &value["source"];
    let source = [&source["author"], &source["title"], &source["year"]].map(text);
    json!({
        "claim": text(&value["claim"]),
        "title": text(&value["title"]),
        "sentence": text(&value["sentence"]),
        "source": source.iter().filter(|s| !s.is_empty()).cloned().collect::<Vec<_>>().join(", "),
        "verdict": text(&value["verdict"]),
        "effect": effect(&value["effect"]),
        "samples": number(&value["samples"]),
        "p": number(&value["p_corrected"]),
        "reason": text(&value["reason"]),
        "needs": text(&value["needs"]),
        "questions": list(&value["questions"], MOST.1, question),
    })
}

fn verdicts(file: &Value) -> Value {
    json!({
        "device": text(&file["device"]),
        "version": text(&file["version"]),
        "correction": text(&file["correction"]),
        "total": file["verdicts"].as_array().map_or(0, Vec::len),
        "list": list(&file["verdicts"], MOST.0, verdict),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Value, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        read(dir.path())
    }

    #[test]
    fn fields_are_taken_over_and_nonsense_is_left_out() {
        let (value, note) = read_text(
            r#"{"correction": "Holm", "verdicts": [
                {"claim": "NV-01", "title": "t\u0007", "verdict": "supported", "samples": 12,
                 "effect": {"what": "w", "unit": "ratio", "value": 1.2345678, "lo": 1.1, "hi": "NaN"},
                 "questions": [{"asks": "q", "comparisons": [{"first": "a", "ratio": [1, 2, 3, 4]}]}]},
                17, {"verdict": {"nested": 1}}]}"#,
        );
        assert_eq!(note, None);
        let first = &value["list"][0];
        assert_eq!((first["title"].as_str(), first["effect"]["value"].as_f64()), (Some("t\u{fffd}"), Some(1.2346)));
        assert!(first["effect"]["hi"].is_null());
        assert_eq!(first["questions"][0]["comparisons"][0]["ratio"].as_array().unwrap().len(), 3);
        assert_eq!((value["total"].as_u64(), value["list"][2]["verdict"].as_str()), (Some(3), Some("")));
    }

    #[test]
    fn a_file_that_is_missing_or_damaged_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), (Value::Null, None));
        for damaged in ["", "{\"verdicts\": 3}", "[", "null"] {
            let (value, note) = read_text(damaged);
            assert!(value.is_null() && note.unwrap().contains("validate"), "{damaged}");
        }
    }
}
