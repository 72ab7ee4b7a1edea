//! What must hold after every step, and in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Resource, ResourceExt};
use obelysk_api::crd::{ModelCache, ProofJob, ProofJobStatus};
use obelysk_api::job::JobKind;
use obelysk_operator::controllers::attempt::{STEP, is_ready};
use obelysk_operator::controllers::conditions::is_true;

use crate::server::State;
use crate::world::{FORGED, capacity, gpus, has_ended, is_over, node_of, pods_of};

/// What was seen of the objects so far, by uid.
#[derive(Default)]
pub struct Memory {
    statuses: BTreeMap<String, ProofJobStatus>,
}

pub fn has_job_ended(job: &ProofJob) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    is_true(conditions, "Complete") || is_true(conditions, "Failed")
}

/// Jobs of an object, by its uid.
pub fn jobs_of(state: &mut State, uid: &str) -> Vec<Arc<Job>> {
    let mut jobs = state.all::<Job>();
    jobs.retain(|job| job.owner_references().iter().any(|of| of.controller == Some(true) && of.uid == uid));
    jobs
}

/// After every step. `Err` is the sentence that does not hold.
pub fn check(state: &mut State, memory: &mut Memory) -> Result<(), String> {
    if let Some(stalled) = state.stalled.first() {
        return Err(format!("a plan panicked: {stalled}"));
    }
    for job in state.all::<ProofJob>() {
        let name = job.name_any();
        let uid = job.uid().unwrap_or_default();
        let status = job.status.clone().unwrap_or_default();
        believes_nobody_else(&uid, &status).map_err(|what| format!("{name}: {what}"))?;
        no_duplicates(state, &uid).map_err(|what| format!("{name}: {what}"))?;
        if let Some(before) = memory.statuses.get(&uid) {
            is_monotone(before, &status).map_err(|what| format!("{name}: {what}"))?;
        }
        memory.statuses.insert(uid, status);
    }
    for cache in state.all::<ModelCache>() {
        no_duplicates(state, &cache.uid().unwrap_or_default())
            .map_err(|what| format!("{}: {what}", cache.name_any()))?;
    }
    let pods = state.all::<Pod>();
    for node in state.all::<Node>() {
        let held =
            pods.iter().filter(|pod| node_of(pod) == Some(&node.name_any()) && !is_over(pod)).map(|pod| gpus(pod));
        if held.sum::<usize>() > capacity(&node) {
            return Err(format!("node {} has more GPUs in use than it has", node.name_any()));
        }
    }
    let takes_no_gpu = |pod: &&Arc<Pod>| pod.labels().get(STEP).is_some_and(|step| step != JobKind::Prove.name());
    match pods.iter().filter(takes_no_gpu).find(|pod| gpus(pod) > 0) {
        Some(pod) => Err(format!("pod {} holds a GPU and does not prove", pod.name_any())),
        None => Ok(()),
    }
}

fn believes_nobody_else(uid: &str, status: &ProofJobStatus) -> Result<(), String> {
    let proof = status.proof.as_ref().map(|proof| proof.sha256.as_str());
    let text = status.inference.as_ref().and_then(|inference| inference.text.as_deref());
    match [proof, text].into_iter().flatten().find(|said| *said != uid) {
        Some(FORGED) => Err("it believes a stranger".into()),
        Some(other) => Err(format!("it believes a pod of {other}")),
        None => Ok(()),
    }
}

/// Whether a Job has a pod that has not ended, or will make one. The Job of a pod that has ended or gone shows it a little later, and makes
/// no other.
fn runs(state: &mut State, job: &Job) -> bool {
    if has_ended(job) || job.meta().deletion_timestamp.is_some() {
        return false;
    }
    let pods = pods_of(state, job);
    let had_pod = job.status.as_ref().is_some_and(|status| status.active.is_some());
    pods.iter().any(|pod| !is_over(pod)) || pods.is_empty() && !had_pod
}

/// At most one Job of an object runs, and at most one pod that its node can confirm.
fn no_duplicates(state: &mut State, uid: &str) -> Result<(), String> {
    let jobs = jobs_of(state, uid);
    let mut running = Vec::new();
    for job in &jobs {
        if runs(state, job) {
            running.push(job.name_any());
        }
    }
    if running.len() > 1 {
        return Err(format!("several attempts run: {running:?}"));
    }
    let nodes = state.all::<Node>();
    let reports = |pod: &Pod| {
        node_of(pod).is_some_and(|name| is_ready(nodes.iter().find(|node| node.name_any() == name).map(AsRef::as_ref)))
    };
    let mut live = 0;
    for job in &jobs {
        live += pods_of(state, job).iter().filter(|pod| !is_over(pod) && reports(pod)).count();
    }
    if live > 1 { Err("several pods run".into()) } else { Ok(()) }
}

fn is_monotone(before: &ProofJobStatus, after: &ProofJobStatus) -> Result<(), String> {
    let newest = |status: &ProofJobStatus, kind| {
        status.attempts.iter().filter(|known| known.step == kind).map(|known| known.number).max().unwrap_or(0)
    };
    for kind in [JobKind::Prove, JobKind::Finish] {
        if newest(after, kind) < newest(before, kind) {
            return Err(format!("it forgets attempts to {kind}"));
        }
    }
    if before.start_time.is_some() && after.start_time != before.start_time {
        return Err("it starts twice".into());
    }
    if after.observed_generation < before.observed_generation {
        return Err("it goes back to an earlier generation".into());
    }
    if is_true(&before.conditions, "Complete") && !is_true(&after.conditions, "Complete") {
        return Err("it is complete no more".into());
    }
    if is_true(&before.conditions, "Failed")
        && !is_true(&after.conditions, "Failed")
        && before.retry_observed == after.retry_observed
    {
        return Err("it has not failed any more, and nobody asked for a retry".into());
    }
    if before.retry_observed == after.retry_observed {
        let used = |status: &ProofJobStatus| status.retries.clone().unwrap_or_default();
        let (before, after) = (used(before), used(after));
        if after.infra < before.infra
            || after.prover < before.prover
            || after.gpu < before.gpu
            || after.free < before.free
        {
            return Err("it forgets retries".into());
        }
    }
    Ok(())
}

/// After a reconcile of the newest version that nothing went wrong with.
pub fn check_settled(state: &mut State, name: &str) -> Result<(), String> {
    let Some(job) = state.find::<ProofJob>(name) else { return Ok(()) };
    if job.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let status = job.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|of| of.type_ == "Ready");
    if ready.is_none_or(|ready| ready.reason.is_empty())
        || status.summary.is_none_or(|line| line.is_empty() && !has_job_ended(&job))
    {
        return Err(format!("{name}: it does not say where it stands"));
    }
    if !(has_job_ended(&job) || job.spec.suspend == Some(true)) {
        return Ok(());
    }
    let jobs = jobs_of(state, &job.uid().unwrap_or_default());
    match jobs.iter().find(|job| runs(state, job)) {
        Some(running) => Err(format!("{name}: it has ended or is suspended, and {} runs", running.name_any())),
        None => Ok(()),
    }
}

/// When everything works again and nothing happens any more.
pub fn check_end(state: &mut State) -> Result<(), String> {
    for job in state.all::<ProofJob>() {
        let name = job.name_any();
        if !has_job_ended(&job) {
            let summary = job.status.clone().and_then(|status| status.summary).unwrap_or_default();
            return Err(format!("{name}: it never ends, and says: {summary}"));
        }
        check_settled(state, &name)?;
    }
    let held: usize = state.all::<Pod>().iter().filter(|pod| !is_over(pod)).map(|pod| gpus(pod)).sum();
    if held > 0 { Err(format!("{held} GPUs are held by nobody's work")) } else { Ok(()) }
}
