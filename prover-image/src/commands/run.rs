//! `run`: every step.

use obelysk_statement::Inference;
use serde_json::{Value, json};

use super::{Context, selection};
use crate::arguments::RunArguments;
use crate::artifacts::PROOF;
use crate::console::Answer;
use crate::device;
use crate::failure::Failure;
use crate::paths::shown;
use crate::pipeline::inputs::parse_bytes32;
use crate::pipeline::quality::Demand;
use crate::pipeline::run::{self, RunReport, RunRequest};
use crate::pipeline::{Observer, Step, submit};

/// Run every step and report.
pub fn run(context: &Context, arguments: &RunArguments) -> Result<Answer, Failure> {
    selection::require_supported_proof(&arguments.proof)?;
    if arguments.submit {
        return Err(submit::refuse());
    }
    let (inputs, out) = (
        selection::run_inputs(&arguments.model, &arguments.input, arguments.count)?,
        selection::out(arguments.out.as_deref())?,
    );
    let nonce = arguments.proof.nonce.as_deref().map(|text| parse_bytes32("the nonce", text)).transpose()?;
    let device = device::choose(selection::device(&arguments.device), &context.home, obelysk_kernels::discover)?;
    context.console.note(&format!("device: {}", device.name()));
    let request = RunRequest {
        inputs,
        day: None,
        nonce,
        out,
        resume_from: arguments.resume_from,
        skip: left_out(arguments),
        demand: Demand::of_option(arguments.accept_quality),
        device,
    };
    let report = run::run(&context.home, &context.console, &request)?;
    Ok(Answer { json: to_json(&report), text: to_text(&report) })
}

fn left_out(arguments: &RunArguments) -> Vec<Step> {
    let optional = [(Step::Inference, arguments.skip_inference), (Step::Audit, arguments.no_audit)];
    optional.into_iter().filter(|(_, skip)| *skip).map(|(step, _)| step).collect()
}

fn to_json(report: &RunReport) -> Value {
    let inferences = report.log.inferences();
    let proof = &report.proof;
    json!({
        "status": "ok",
        "out": shown(report.artifacts.folder()),
        "device": proof.device,
        "deviceNote": proof.device_note,
        "modelDigest": proof.model_digest,
        "promptTokens": inferences[0].prompt_tokens,
        "outputTokens": inferences[0].output_tokens,
        "text": report.texts[0],
        "further": further(&inferences, &report.texts),
        "floatText": report.float.as_ref().map(|answer| &answer.text),
        "integerMatchesFloat": report.agreement.as_ref().map(|agreement| &agreement.tokens),
        "quality": report.quality,
        "logHead": report.log.head,
        "logEntries": report.log.entries.len(),
        "proof": {
            "path": shown(&report.artifacts.path(PROOF)),
            "sha256": proof.sha256,
            "sizeBytes": proof.size_bytes,
            "mode": proof.mode,
            "profile": proof.profile,
            "securityBits": report.verification.security_bits,
            "provingSeconds": proof.proving_seconds,
            "verifySeconds": report.verification.verify_seconds,
            "submissionReady": proof.submission_ready,
            "notReadyReason": proof.not_ready_reason,
        },
        "audit": report.audit.as_ref().map(|audit| json!({"verdict": audit.verdict})),
        "steps": report.steps,
    })
}

fn to_text(report: &RunReport) -> String {
    let proof = &report.proof;
    let mut lines: Vec<String> = report.texts.iter().map(|text| format!("answer      {text}")).collect();
    if let Some(float) = &report.float {
        lines.extend(float.iter().map(|float| format!("float       {}", float.text)));
    }
    lines.push(format!("model       {}", proof.model_digest));
    lines.push(format!(
        "proof       {} bytes, {:.1} bits proven, {:.2} s to prove, {:.3} s to verify",
        proof.size_bytes, report.verification.security_bits, proof.proving_seconds, report.verification.verify_seconds
    ));
    if let Some(reason) = &proof.not_ready_reason {
        lines.push(format!("submission  not ready: {reason}"));
    }
    let folder = report.artifacts.folder().display();
    lines.push(format!("folder      {folder}"));
    lines.push(format!("check it    obelysk-verify {folder} --model-digest {}", proof.model_digest));
    // Last, where nobody overlooks it.
    lines.push(match &report.agreement {
        Some(agreement) => format!("agreement   {agreement}"),
        None => "agreement   not known: the float engine was left out".into(),
    });
    lines.extend(report.quality.note.iter().map(|note| format!("quality     {note}")));
    lines.join("\n")
}

/// The inferences after the first, with their texts.
pub fn further(inferences: &[Inference], texts: &[String]) -> Vec<Value> {
    let one = |(Inference { prompt_tokens, output_tokens }, text): (&Inference, &String)| json!({"promptTokens": prompt_tokens, "outputTokens": output_tokens, "text": text});
    inferences.iter().zip(texts).skip(1).map(one).collect()
}
