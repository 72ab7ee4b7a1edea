//! Nodes that are left out for a while because their GPU failed again and again.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use obelysk_api::crd::ProofJob;
use obelysk_api::crd::prover_pool::{Quarantine, QuarantinedNode};
use obelysk_api::exit::FaultClass;

/// Strikes that put a node in quarantine, where the pool does not say.
const STRIKES: i32 = 3;
/// How long it stays there.
const SECONDS: i64 = 3600;

/// A failure of a GPU.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strike {
    /// Node.
    pub node: String,
    /// When.
    pub at: Timestamp,
    /// One word.
    pub reason: String,
}

/// The failures of GPUs that a job has on record.
#[must_use]
pub fn strikes(job: &ProofJob) -> Vec<Strike> {
    let attempts = job.status.iter().flat_map(|status| &status.attempts);
    let of_gpu = attempts.filter(|attempt| attempt.class.as_deref() == Some(FaultClass::Gpu.name()));
    let strike = |attempt: &obelysk_api::crd::proof_job_status::Attempt| {
        let (node, at) = (attempt.node_name.clone()?, attempt.finished_at.as_ref()?.0);
        Some(Strike { node, at, reason: attempt.reason.clone() })
    };
    of_gpu.filter_map(strike).collect()
}

/// The nodes in quarantine: those with so many strikes within the time of a quarantine, until that time after the last, and those that are there
/// already, for jobs may be deleted meanwhile.
#[must_use]
pub fn quarantined(
    rule: Option<&Quarantine>,
    strikes: &[Strike],
    known: &[QuarantinedNode],
    now: Timestamp,
) -> Vec<QuarantinedNode> {
    let Quarantine { strikes: needed, seconds } = rule.cloned().unwrap_or_default();
    let (needed, seconds) = (needed.unwrap_or(STRIKES), seconds.unwrap_or(SECONDS));
    let Some(needed) = usize::try_from(needed).ok().filter(|needed| *needed > 0) else { return Vec::new() };
    let mut of_nodes: BTreeMap<&str, Vec<&Strike>> = BTreeMap::new();
    for strike in strikes {
        of_nodes.entry(&strike.node).or_default().push(strike);
    }
    let still = known.iter().filter(|of| of.until.0 > now).map(|of| (of.node.clone(), of.clone()));
    let mut nodes: BTreeMap<String, QuarantinedNode> = still.collect();
    for (node, mut of_node) in of_nodes {
        of_node.sort();
        // The newest run of enough strikes, and those within its time before it.
        let mut runs =
            of_node.windows(needed).filter(|run| run[needed - 1].at.as_second() - run[0].at.as_second() <= seconds);
        let Some(last) = runs.next_back().map(|run| run[needed - 1]) else { continue };
        let Ok(until) = Timestamp::from_second(last.at.as_second().saturating_add(seconds)) else { continue };
        let since = last.at.as_second() - seconds;
        let counted = of_node.iter().filter(|strike| strike.at <= last.at && strike.at.as_second() >= since).count();
        let is_longer = nodes.get(node).is_none_or(|known| known.until.0 < until);
        if until > now && is_longer {
            let strikes = i32::try_from(counted).unwrap_or(i32::MAX);
            let (node, reason) = (node.to_owned(), crate::controllers::clip(&last.reason, 64));
            nodes.insert(node.clone(), QuarantinedNode { node, until: Time(until), strikes, reason });
        }
    }
    nodes.into_values().collect()
}
