//! The quality gate: a quantised model that does not follow its float model is refused, unless a person decides otherwise;
//! then whatever comes of it says so. What was measured is kept beside the quantised model, so that it is measured once.

use obelysk_model::quality::{self, Deviation, Gate, MEASUREMENT, Measured};
use obelysk_model::regular;
use obelysk_model::template::ChatTemplate;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::model_files::ModelFiles;
use super::prepare::Prepared;
use crate::atomic;
use crate::failure::{ExitCode, Failure};

/// The option of commands that accept any quality.
pub const ACCEPT_OPTION: &str = "--accept-quality";
/// Its counterpart in a ModelCache.
const ACCEPT_FIELD: &str = "spec.prepare.quantize.minTop1Agreement \"0\"";
const QUALITY: &str = "quality.json";
/// It is not longer.
const QUALITY_BYTES_MAX: u64 = 1 << 20;

/// What a person asks of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    gate: Gate,
    /// The option or field by which a person accepts any quality.
    accepted_by: Option<String>,
}

impl Demand {
    /// Any quality will do, by this option or field.
    #[must_use]
    pub fn anything(accepted_by: &str) -> Self {
        Self { accepted_by: Some(accepted_by.into()), ..Self::default() }
    }

    /// Any quality if the option of commands is given.
    #[must_use]
    pub fn of_option(given: bool) -> Self {
        if given { Self::anything(ACCEPT_OPTION) } else { Self::default() }
    }

    /// What a ModelCache asks for: nothing of its own, another agreement than usual, or zero for any quality.
    ///
    /// # Errors
    /// The text is no share.
    pub fn of_agreement(text: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = text else { return Ok(Self::default()) };
        match text.parse::<f64>() {
            Ok(0.0) => Ok(Self::anything(ACCEPT_FIELD)),
            Ok(least) if (0.0..=1.0).contains(&least) => {
                Ok(Self { gate: Gate { top1_agreement: least, ..Gate::default() }, accepted_by: None })
            }
            _ => {
                let message = format!("minTop1Agreement `{text}` is not a number from 0 to 1");
                Err(Failure::new(ExitCode::BadSpec, message, "write it as \"0.99\""))
            }
        }
    }

    /// What the person asked for who made an earlier note.
    #[must_use]
    pub fn of_note(note: Option<&QualityNote>) -> Self {
        let accepted_by = note.and_then(|note| note.accepted_by.clone());
        Self { accepted_by, ..Self::default() }
    }
}

/// `quality.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QualityReport {
    /// [`MEASUREMENT`].
    measurement: u32,
    /// The model that was measured.
    model_digest: String,
    /// Both sets.
    pub measured: Measured,
    /// The tensors to blame, first to last.
    pub deviations: Vec<Deviation>,
}

/// The quality of a model that is used, as `run.json` and `verification.json` state it. The prover says so; it is no part of
/// what is proven.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QualityNote {
    /// Whether the model passes the gate.
    pub passed: bool,
    /// The option or field by which a person uses a model that does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
}

/// How well a model follows its float model: what is kept if it is of this model and of this way of measuring, else measured
/// and kept.
///
/// # Errors
/// The checkpoint or the tokenizer cannot be read.
pub fn report(files: &ModelFiles, prepared: &Prepared, observer: &dyn Observer) -> Result<QualityReport, Failure> {
    if let Some(kept) = kept(prepared) {
        return Ok(kept);
    }
    observer.detail(&format!("comparing the integer engine with the float engine on {}", files.name));
    let float = files.float_model()?;
    let tokenizer = files.tokenizer()?;
    // A model without a template is asked without one.
    let template = ChatTemplate::for_questions(&files.folder)?;
    let measured = quality::measure(&float, &prepared.model, tokenizer, template.as_ref())?;
    let deviations = quality::deviations(&float, &prepared.model, tokenizer)?;
    let report =
        QualityReport { measurement: MEASUREMENT, model_digest: prepared.digest.clone(), measured, deviations };
    // Whoever cannot write here measures again; nobody takes it for measured.
    if let Err(failure) = atomic::write_json(&prepared.folder.join(QUALITY), &report) {
        observer.note(&format!("the measured quality is not kept: {failure}"));
    }
    Ok(report)
}

/// What is kept of this model. A file that says nothing of it is as good as none.
fn kept(prepared: &Prepared) -> Option<QualityReport> {
    let text = regular::read(&prepared.folder.join(QUALITY), QUALITY_BYTES_MAX).ok()?;
    let report: QualityReport = serde_json::from_slice(&text).ok()?;
    (report.measurement == MEASUREMENT && report.model_digest == prepared.digest).then_some(report)
}

/// Of a model that is only asked: say that it misses the gate, where that is known.
pub fn warn(prepared: &Prepared, observer: &dyn Observer) {
    let misses = kept(prepared).map(|report| Gate::default().misses(&report.measured)).unwrap_or_default();
    if !misses.is_empty() {
        observer.note(&format!("note: the integer engine misses the quality gate: {}", misses.join("; ")));
    }
}

/// Refuse a model that misses the gate, unless that is accepted.
///
/// # Errors
/// As [`report`], and [`ExitCode::Unsupported`] with the numbers and the tensors to blame.
pub fn require(
    files: &ModelFiles,
    prepared: &Prepared,
    demand: &Demand,
    observer: &dyn Observer,
) -> Result<QualityNote, Failure> {
    let note = judge(&files.name, &report(files, prepared, observer)?, demand)?;
    note.note.iter().for_each(|words| observer.note(words));
    Ok(note)
}

/// Weigh what was measured.
///
/// # Errors
/// [`ExitCode::Unsupported`] for a model that misses the gate.
pub fn judge(name: &str, report: &QualityReport, demand: &Demand) -> Result<QualityNote, Failure> {
    let misses = demand.gate.misses(&report.measured);
    let measured = report.measured.clone();
    if misses.is_empty() {
        return Ok(QualityNote { passed: true, accepted_by: None, note: None, measured });
    }
    let misses = misses.join("; ");
    match &demand.accepted_by {
        Some(by) => {
            let note = Some(format!("the integer engine misses the quality gate, accepted by {by}: {misses}"));
            Ok(QualityNote { passed: false, accepted_by: Some(by.clone()), note, measured })
        }
        None => Err(refusal(name, &misses, &report.deviations)),
    }
}

fn refusal(name: &str, misses: &str, deviations: &[Deviation]) -> Failure {
    let blamed: Vec<String> = deviations.iter().map(ToString::to_string).collect();
    let message = format!(
        "{name} misses the quality gate, its integer engine does not answer as the model does: {misses}; relative errors \
         begin with {}",
        blamed.join(", ")
    );
    let hint = format!(
        "use another model, or accept this one with {ACCEPT_OPTION} or {ACCEPT_FIELD}; `obelysk model show --quality` has \
         all numbers"
    );
    Failure::new(ExitCode::Unsupported, message, hint)
}
