//! Whose turn it is in a pool that lets so many jobs prove at a time: first come, first served, and in turn across namespaces.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use obelysk_api::crd::ProofJob;

use crate::controllers::children::{CREATE_REFUSED, NAME_CONFLICT};

/// Reason of a job that waits for its turn.
pub const WAITING_FOR_TURN: &str = "WaitingForTurn";
/// Reasons of jobs that started and hold no place: they have no pod, and ask for one again when they could.
const WITHOUT_PLACE: [&str; 7] = [
    WAITING_FOR_TURN,
    "NoMatchingGpu",
    "ProverPoolNotFound",
    "NamespaceNotAllowed",
    "Suspended",
    CREATE_REFUSED,
    NAME_CONFLICT,
];

/// A job of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Uid.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it proves.
    pub proves: bool,
}

impl Contender {
    /// A job that proves in a pool or waits for its turn there.
    #[must_use]
    pub fn of(job: &ProofJob, pool: &str) -> Option<Self> {
        let gpu = job.spec.hardware.gpu.as_ref()?;
        let is_of_pool = gpu.pool_ref.as_ref().is_some_and(|of| of.name == pool);
        let is_held = job.spec.suspend == Some(true) || job.spec.cancel == Some(true);
        let status = job.status.as_ref()?;
        // What follows a proof takes no GPU.
        let is_over = status.completion_time.is_some() || status.proof.is_some();
        if !is_of_pool || is_held || is_over || job.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let reason = status.conditions.iter().find(|of| of.type_ == "Ready").map(|of| of.reason.as_str());
        let proves = status.start_time.is_some() && !reason.is_some_and(|reason| WITHOUT_PLACE.contains(&reason));
        let waits = reason == Some(WAITING_FOR_TURN);
        (proves || waits).then(|| Self {
            uid: job.uid().unwrap_or_default(),
            namespace: job.namespace().unwrap_or_default(),
            created: job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            proves,
        })
    }
}

/// Uids of the jobs whose turn it is: those that prove, those whose turn had come, and as many more as there is room for. The next is the
/// oldest job of the namespace that has the fewest.
#[must_use]
pub fn admit(contenders: &[Contender], admitted: &[String], most: usize) -> Vec<String> {
    let had_turn: BTreeSet<&str> = admitted.iter().map(String::as_str).collect();
    let (mut inside, mut waiting): (Vec<&Contender>, Vec<&Contender>) =
        contenders.iter().partition(|of| of.proves || had_turn.contains(of.uid.as_str()));
    let mut has: BTreeMap<&str, usize> = BTreeMap::new();
    for of in &inside {
        *has.entry(&of.namespace).or_default() += 1;
    }
    while inside.len() < most {
        let order = |of: &Contender| (has.get(of.namespace.as_str()).copied().unwrap_or(0), of.created, of.uid.clone());
        let Some(next) = (0..waiting.len()).min_by_key(|&index| order(waiting[index])) else { break };
        let next = waiting.swap_remove(next);
        *has.entry(&next.namespace).or_default() += 1;
        inside.push(next);
    }
    let mut uids: Vec<String> = inside.into_iter().map(|of| of.uid.clone()).collect();
    uids.sort();
    uids
}
