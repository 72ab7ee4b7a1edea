//! The status of a ProofJob, written from the outcome of a plan.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use obelysk_api::crd::proof_job_status::{
    ArtifactStatus, AuditStatus, InferenceStatus, ModelStatus, PlacementStatus, ProofStatus, Step, StepName, StepState,
};
use obelysk_api::crd::{ModelCacheStatus, ProofJobStatus};
use obelysk_api::job::{JobKind, StepResult};

use crate::controllers::children::Obstacle;
use crate::controllers::{clip, conditions};
use crate::scheduling::catalogue;

/// Where a ProofJob stands. Everything that people and tools read follows from this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing runs; why.
    Waiting(String, String),
    /// Held by the user.
    Suspended,
    /// A Job of this kind exists; one line of what it does.
    Working(JobKind, String),
    /// Done.
    Succeeded,
    /// Ended without a proof; why.
    Failed(String, String),
    /// Ended by the user.
    Cancelled,
}

impl Standing {
    /// A child cannot be made.
    #[must_use]
    pub fn blocked(Obstacle { reason, message }: Obstacle) -> Self {
        Self::Waiting(reason, message)
    }
}

/// The steps of a job, in order.
const STEPS: [StepName; 8] = [
    StepName::Model,
    StepName::Validate,
    StepName::Inference,
    StepName::Capture,
    StepName::Prove,
    StepName::Verify,
    StepName::Audit,
    StepName::Submit,
];

/// The eight steps of a new job.
#[must_use]
pub fn steps(audit: bool) -> Vec<Step> {
    let skipped = |name: &StepName| matches!(name, StepName::Submit) || (matches!(name, StepName::Audit) && !audit);
    STEPS
        .iter()
        .map(|name| Step {
            name: *name,
            state: if skipped(name) { StepState::Skipped } else { StepState::Pending },
            ..Step::default()
        })
        .collect()
}

/// A step of a status. One that is missing is put in its place: another version may know fewer, and people edit.
pub fn step(status: &mut ProofJobStatus, name: StepName) -> &mut Step {
    let place = status.steps.iter().position(|step| step.name == name).unwrap_or_else(|| {
        let place = status.steps.iter().take_while(|step| step.name < name).count();
        status.steps.insert(place, Step { name, ..Step::default() });
        place
    });
    &mut status.steps[place]
}

/// Move a step to a state, keeping the times of the first move.
pub fn move_step(status: &mut ProofJobStatus, name: StepName, state: StepState, now: Timestamp) {
    let step = step(status, name);
    if step.state == state || step.state == StepState::Skipped {
        return;
    }
    step.state = state;
    if state == StepState::Running && step.start_time.is_none() {
        step.start_time = Some(Time(now));
    }
    if state == StepState::Succeeded || state == StepState::Failed {
        step.completion_time = Some(Time(now));
    }
}

/// Where a proof was made, on which device: `CPU`, the product name of a GPU, or empty where the pod says nothing.
#[must_use]
pub fn placement(pool: Option<String>, node_name: Option<String>, device: &str) -> PlacementStatus {
    const CPU: &str = "CPU";
    let product = Some(device).filter(|device| ![CPU, ""].contains(device));
    let class = product.and_then(catalogue::class_of_driver_name).map(catalogue::name);
    PlacementStatus {
        pool,
        node_name,
        gpu_class: class.or((device == CPU).then_some(CPU)).map(str::to_owned),
        gpu_product: product.map(|product| clip(product, 63)),
    }
}

/// Copy what a prove pod found. What it says of the answer waits until a fresh process has read it in the statement.
pub fn record_proof(status: &mut ProofJobStatus, result: &StepResult, folder_uri: &str) {
    if let Some(inference) = &result.inference {
        status.inference = Some(InferenceStatus {
            log_head: clip(&inference.log_head, 64),
            log_entries: count(inference.log_entries),
            integer_matches_float: clip(&inference.integer_matches_float, 16),
            ..InferenceStatus::default()
        });
    }
    if let Some(proof) = &result.proof {
        status.proof = Some(ProofStatus {
            uri: format!("{folder_uri}/proof.bin"),
            sha256: clip(&proof.sha256, 64),
            size_bytes: i64::try_from(proof.size_bytes).unwrap_or(i64::MAX),
            mode: clip(&proof.mode, 16),
            profile: clip(&proof.profile, 32),
            security_bits: format!("{:.1}", proof.security_bits),
            verified: false,
            proving_seconds: format!("{:.2}", proof.proving_seconds),
            submission_ready: false,
            not_ready_reason: Some("no contract that checks this specification is known to this version".into()),
        });
    }
    for time in &result.steps {
        let name = STEPS.into_iter().find(|name| format!("{name:?}").eq_ignore_ascii_case(&time.name));
        if let Some(name) = name {
            step(status, name).seconds = Some(format!("{:.2}", time.seconds));
        }
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Copy what a finish pod checked; what it knows takes the place of what the prove pod said.
pub fn record_finish(status: &mut ProofJobStatus, result: &StepResult, folder_uri: &str) {
    if let (Some(known), Some(proof)) = (&mut status.proof, &result.proof) {
        known.sha256 = clip(&proof.sha256, 64);
        known.size_bytes = i64::try_from(proof.size_bytes).unwrap_or(i64::MAX);
        known.mode = clip(&proof.mode, 16);
        known.profile = clip(&proof.profile, 32);
        known.security_bits = format!("{:.1}", proof.security_bits);
        known.verified = proof.verified;
    }
    if let Some(inference) = &result.inference {
        let known = status.inference.get_or_insert_default();
        known.prompt_tokens = Some(count(inference.prompt_tokens));
        known.output_tokens = Some(count(inference.output_tokens));
        known.text = Some(clip(&inference.text, 512));
        if !inference.log_head.is_empty() {
            known.log_head = clip(&inference.log_head, 64);
            known.log_entries = count(inference.log_entries);
        }
    }
    if let Some(audit) = &result.audit {
        status.audit = Some(AuditStatus {
            verdict: clip(&audit.verdict, 16),
            report_uri: Some(format!("{folder_uri}/audit.json")),
            report_sha256: clip(&audit.report_sha256, 64),
        });
    }
    status.artifacts = result
        .artifacts
        .iter()
        .take(16)
        .map(|artifact| ArtifactStatus {
            name: clip(&artifact.name, 128),
            uri: format!("{folder_uri}/{}", artifact.name),
            size_bytes: i64::try_from(artifact.size_bytes).unwrap_or(i64::MAX),
            sha256: clip(&artifact.sha256, 64),
        })
        .collect();
}

/// Copy what the ModelCache says of the model.
pub fn record_model(status: &mut ProofJobStatus, cache: &str, of_cache: Option<&ModelCacheStatus>) {
    let resolved = of_cache.and_then(|cache| cache.resolved.as_ref());
    status.model = Some(ModelStatus {
        cache_ref: cache.into(),
        revision: resolved.and_then(|resolved| resolved.revision.clone()),
        manifest_digest: resolved.and_then(|resolved| resolved.manifest_digest.clone()),
        model_digest: resolved.and_then(|resolved| resolved.model_digest.clone()),
        quality_note: of_cache.and_then(|cache| cache.quality.as_ref()?.note.clone()),
    });
}

/// What whoever reads the proven text has to know first.
fn reservations(status: &ProofJobStatus) -> String {
    let mut all = Vec::new();
    if status.model.as_ref().is_some_and(|model| model.quality_note.is_some()) {
        all.push("the model misses the quality gate, which was accepted".to_owned());
    }
    let agreement = status.inference.as_ref().map_or("", |inference| inference.integer_matches_float.as_str());
    if agreement.split_once('/').is_some_and(|(equal, all)| equal != all) {
        all.push(format!("the text is not the float engine's, {agreement} tokens equal"));
    }
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}

/// Say that something of the job cannot be deleted. What the job is stays.
pub fn say_blocked(status: &mut ProofJobStatus, reason: &str, message: &str) {
    status.summary = Some(clip(message, 256));
    conditions::say_blocked(&mut status.conditions, reason, message);
}

/// Phase, progress, summary and conditions of a standing. `has_node` is whether the newest attempt's pod has one.
pub fn conclude(status: &mut ProofJobStatus, standing: &Standing, has_node: bool, generation: i64, now: Timestamp) {
    let done = status.steps.iter().filter(|step| step.state == StepState::Succeeded).count();
    let of = status.steps.iter().filter(|step| step.state != StepState::Skipped).count();
    status.observed_generation = Some(generation);
    status.progress = Some(format!("{done}/{of}"));
    let model_ready =
        status.steps.iter().any(|step| step.name == StepName::Model && step.state == StepState::Succeeded);
    let proved = status.proof.is_some();
    let verified = status.proof.as_ref().is_some_and(|proof| proof.verified);
    let audited = status.audit.as_ref().is_some_and(|audit| audit.verdict == "Passed");
    let (phase, reason, summary) = match standing {
        Standing::Waiting(reason, message) => {
            (if model_ready { "Queued" } else { "Pending" }, reason.as_str(), message.clone())
        }
        Standing::Suspended => ("Suspended", "Suspended", "spec.suspend is true".into()),
        Standing::Working(JobKind::Prove, line) => ("Proving", "Proving", line.clone()),
        Standing::Working(_, line) => ("Verifying", "Verifying", line.clone()),
        Standing::Succeeded => {
            let text = status.inference.as_ref().and_then(|inference| inference.text.as_deref()).unwrap_or_default();
            ("Succeeded", "Verified", format!("proved and verified{}: {text}", reservations(status)))
        }
        Standing::Failed(reason, message) => ("Failed", reason.as_str(), message.clone()),
        Standing::Cancelled => ("Cancelled", "Cancelled", "spec.cancel is true".into()),
    };
    let succeeded = *standing == Standing::Succeeded;
    let failed = matches!(standing, Standing::Failed(..) | Standing::Cancelled);
    let ended = succeeded || failed;
    status.phase = Some(phase.into());
    status.summary = Some(clip(&summary, 256));
    if ended && status.completion_time.is_none() {
        status.completion_time = Some(Time(now));
    }
    if !ended {
        status.completion_time = None;
    }
    let scheduled = has_node || proved || succeeded;
    let chain = [
        ("ModelReady", model_ready, "Prepared"),
        ("Scheduled", scheduled, "PodScheduled"),
        ("Proved", proved, "ProofReady"),
        ("Verified", verified, "Verified"),
        ("Audited", audited, "AuditPassed"),
    ];
    // What holds everything up is said once in the chain: where it breaks.
    let at_break = if has_node || !matches!(standing, Standing::Working(..)) { reason } else { "PodPending" };
    let broken = chain.iter().find(|(_, reached, _)| !reached).map(|(kind, ..)| *kind);
    let links = chain.map(|(kind, reached, yes)| match reached {
        true => (kind, true, yes, ""),
        false if broken == Some(kind) => (kind, false, at_break, summary.as_str()),
        false => (kind, false, "NotReached", ""),
    });
    let only_if = |kind, holds: bool, not: &'static str| match holds {
        true => (kind, true, reason, summary.as_str()),
        false => (kind, false, not, ""),
    };
    let all = [
        ("Ready", succeeded, reason, summary.as_str()),
        // Listed before Stalled, a true Reconciling would hide the failure from tools that take the first.
        only_if("Reconciling", !ended, "Ended"),
        only_if("Stalled", failed, "NotStalled"),
    ]
    .into_iter()
    .chain(links)
    .chain([
        only_if("Complete", succeeded, "NotComplete"),
        only_if("Failed", failed, "NotFailed"),
        only_if("Suspended", *standing == Standing::Suspended, "NotSuspended"),
    ]);
    for (kind, value, reason, message) in all {
        conditions::set(&mut status.conditions, kind, Some(value), reason, message, generation, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(quality_note: Option<&str>, agreement: &str) -> String {
        let mut status = ProofJobStatus {
            steps: steps(true),
            inference: Some(InferenceStatus {
                text: Some("12".into()),
                integer_matches_float: agreement.into(),
                ..InferenceStatus::default()
            }),
            model: Some(ModelStatus { quality_note: quality_note.map(Into::into), ..ModelStatus::default() }),
            ..ProofJobStatus::default()
        };
        conclude(&mut status, &Standing::Succeeded, true, 1, Timestamp::UNIX_EPOCH);
        status.summary.unwrap_or_default()
    }

    #[test]
    fn a_summary_says_what_the_proven_text_is_not() {
        assert_eq!(summary(None, "16/16"), "proved and verified: 12");
        let both = summary(Some("text: KL 9.25"), "3/16");
        assert!(both.contains("misses the quality gate, which was accepted"), "{both}");
        assert!(both.contains("not the float engine's, 3/16 tokens equal"), "{both}");
        assert!(both.ends_with(": 12"), "{both}");
    }
}
