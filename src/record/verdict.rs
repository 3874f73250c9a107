//! `verdicts.json`: what a run's records say about each claim. It is made from the records alone and can be made again.

use super::{DeviceKind, replace_file};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Name of the verdicts in a run's folder.
pub const VERDICTS_FILE: &str = "verdicts.json";

/// Version of `verdicts.json`.
pub const VERDICTS_VERSION: u32 = 1;

/// What the records say about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The effect that the claim speaks of is there.
    Supported,
    /// It is not there, or it points the other way.
    Contradicted,
    /// The records do not decide.
    Unclear,
    /// The claim could not be tried with these records; `needs` says what for.
    NotMeasurable,
}

impl Finding {
    /// As people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Finding::Supported => "supported",
            Finding::Contradicted => "contradicted",
            Finding::Unclear => "unclear",
            Finding::NotMeasurable => "not measurable here",
        }
    }
}

/// Where a claim comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Title of the document, thread or repository.
    pub title: String,
    /// Who wrote it.
    pub author: String,
    /// When, as a year.
    pub year: String,
}

/// An effect with its interval. `Ratio`: the second arm's cost over the first's, so that 1 is no effect and 1.25 is a quarter
/// more. `Share`: a number between 0 and 1 in its own right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// What was compared with what, in a few words.
    pub what: String,
    /// How to read the numbers.
    pub unit: EffectUnit,
    /// The estimate.
    pub value: f64,
    /// Lower end of its 95 % interval, not corrected for the number of claims.
    pub lo: f64,
    /// Upper end of its 95 % interval.
    pub hi: f64,
    /// The estimate, its lower and its upper end in clock cycles in place of time, where every sample's clock is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_cycles: Option<[f64; 3]>,
}

/// How to read an effect's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectUnit {
    /// Cost of the second arm over that of the first.
    Ratio,
    /// A number between 0 and 1.
    Share,
}

/// What a question about a claim asks of its effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum RuleRecord {
    /// There is an effect: significantly above `contradict`, and `support` is within reach.
    AtLeast {
        /// The effect that supports the claim.
        support: f64,
        /// The effect that does not.
        contradict: f64,
    },
    /// There is no effect: the whole interval is less than `outside` away from none, and reaches `within`.
    Within {
        /// What counts as none.
        within: f64,
        /// What counts as one.
        outside: f64,
    },
}

/// One comparison of two cells, over all its repetitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRecord {
    /// The first arm: sizes, strides, kernel and regime in a line.
    pub first: String,
    /// The second arm.
    pub second: String,
    /// Cost of the second over the first, with its 95 % interval; `None` where the records give none.
    pub ratio: Option<[f64; 3]>,
    /// Samples of both arms.
    pub samples: u64,
    /// Times that the two were measured, each time apart from the others.
    pub repetitions: u64,
    /// Why there is no ratio, or what it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One of the questions that a claim comes down to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuestionRecord {
    /// What is asked.
    pub asks: String,
    /// The rule that decides.
    pub decision: RuleRecord,
    /// What the records answer.
    pub finding: Finding,
    /// The effect over all comparisons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Two-sided p-value of the finding that the records lean towards, before correction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Why, in a sentence.
    pub reason: String,
    /// The comparisons.
    pub comparisons: Vec<ComparisonRecord>,
}

/// A claim and what became of it on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its number, such as `NV-12`.
    pub claim: String,
    /// Its title, in a few words.
    pub title: String,
    /// What is claimed, in a sentence.
    pub sentence: String,
    /// Who claims it.
    pub source: Source,
    /// The verdict, corrected for the number of claims judged together.
    pub verdict: Finding,
    /// Name of the device; empty where the verdict follows from arithmetic alone.
    pub device: String,
    /// The effect that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Samples behind it.
    pub samples: u64,
    /// p-value of the verdict corrected after Benjamini and Hochberg over all claims judged together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_corrected: Option<f64>,
    /// Why, in a sentence.
    pub reason: String,
    /// What it takes to try the claim, where it could not be tried here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
    /// The questions that it comes down to.
    pub questions: Vec<QuestionRecord>,
}

/// The whole of `verdicts.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// [`VERDICTS_VERSION`] of the writer.
    pub schema_version: u32,
    /// Always `gemmscope`.
    pub program: String,
    /// Version of the program that judged.
    pub version: String,
    /// Name of the device that the records are of.
    pub device: String,
    /// Its kind.
    pub device_kind: DeviceKind,
    /// The correction for many claims: `Benjamini-Hochberg over 31 claims, 5 %`.
    pub correction: String,
    /// One a claim, in the catalogue's order.
    pub verdicts: Vec<Verdict>,
}

/// Verdicts that cannot be read or written.
#[derive(Debug, Error)]
pub enum VerdictError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; make it with `gemmscope validate --from DIR`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {path}: {source}; the records are unharmed")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error(
        "{path} holds no verdicts that this program can read: {why}; make it again with `gemmscope validate --from DIR`"
    )]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Reads `DIR/verdicts.json`.
///
/// # Errors
/// There is none, or it is not this program's.
pub fn read_verdicts(dir: &Path) -> Result<Verdicts, VerdictError> {
    let path = dir.join(VERDICTS_FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| VerdictError::Read { path: path.clone(), source })?;
    let foreign = |why: String| VerdictError::Foreign { path: path.clone(), why };
    let verdicts: Verdicts = serde_json::from_str(&text).map_err(|e| foreign(e.to_string()))?;
    if verdicts.schema_version > VERDICTS_VERSION {
        let (found, version) = (verdicts.schema_version, &verdicts.version);
        return Err(foreign(format!("it has version {found}, written by gemmscope {version}")));
    }
    Ok(verdicts)
}

/// Writes `DIR/verdicts.json`, replacing an older one in a single step. The same verdicts always give the same bytes.
///
/// # Errors
/// The folder cannot be written.
pub fn write_verdicts(dir: &Path, verdicts: &Verdicts) -> Result<PathBuf, VerdictError> {
    let path = dir.join(VERDICTS_FILE);
    let mut text = serde_json::to_string_pretty(verdicts).expect("verdicts are plain data");
    text.push('\n');
    replace_file(&path, text.as_bytes()).map_err(|source| VerdictError::Write { path: path.clone(), source })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts() -> Verdicts {
        Verdicts {
            schema_version: VERDICTS_VERSION,
            program: "gemmscope".to_owned(),
            version: "0.1.0".to_owned(),
            device: "made up".to_owned(),
            device_kind: DeviceKind::Cuda,
            correction: "Benjamini-Hochberg over 1 claim, 5 %".to_owned(),
            verdicts: vec![Verdict {
                claim: "NV-12".to_owned(),
                title: "wave quantization".to_owned(),
                sentence: "One tile more than a full wave takes as long as two waves.".to_owned(),
                source: Source { title: "t".to_owned(), author: "a".to_owned(), year: "2023".to_owned() },
                verdict: Finding::NotMeasurable,
                device: "made up".to_owned(),
                effect: None,
                samples: 0,
                p_corrected: None,
                reason: "no records".to_owned(),
                needs: Some("a CUDA device".to_owned()),
                questions: vec![QuestionRecord {
                    asks: "?".to_owned(),
                    decision: RuleRecord::AtLeast { support: 1.7, contradict: 1.2 },
                    finding: Finding::Unclear,
                    effect: None,
                    p: None,
                    reason: "none".to_owned(),
                    comparisons: Vec::new(),
                }],
            }],
        }
    }

    #[test]
    fn verdicts_come_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_verdicts(dir.path(), &verdicts()).unwrap();
        assert_eq!(read_verdicts(dir.path()).unwrap(), verdicts());
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("\"not_measurable\"") && text.contains("\"rule\": \"at_least\""), "{text}");
    }

    #[test]
    fn a_later_version_and_nonsense_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read_verdicts(dir.path()), Err(VerdictError::Read { .. })));
        let later = Verdicts { schema_version: VERDICTS_VERSION + 1, ..verdicts() };
        write_verdicts(dir.path(), &later).unwrap();
        assert!(read_verdicts(dir.path()).unwrap_err().to_string().contains("version 2"));
        std::fs::write(dir.path().join(VERDICTS_FILE), "[]").unwrap();
        assert!(matches!(read_verdicts(dir.path()), Err(VerdictError::Foreign { .. })));
    }
}
