//! Reasons as labels: a known set, and `Other` for what Kubernetes or a plugin of it words as it likes.

use crate::controllers::children::{CREATE_REFUSED, NAME_CONFLICT, TERMINATING};
use crate::controllers::stalled::{OPERATOR_BUG, UNDECODABLE};
use crate::kube::Error;

/// The label of all other reasons.
const OTHER: &str = "Other";

/// Why a ProofJob waits: reasons of the operator, of the kubelet and of the scheduler.
const KNOWN: &[&str] = &[
    CREATE_REFUSED,
    NAME_CONFLICT,
    TERMINATING,
    OPERATOR_BUG,
    UNDECODABLE,
    "ClaimNotFound",
    "ModelCacheCreated",
    "ModelCacheNotFound",
    "ModelCacheTerminating",
    "ModelCacheFailed",
    "WaitingForModel",
    "WaitingForTurn",
    "DeleteRefused",
    "ContentsLost",
    "PoolWithoutCacheRoot",
    "ModelPresetNotFound",
    "ProverPoolNotFound",
    "NamespaceNotAllowed",
    "NoMatchingGpu",
    "NodeNotReady",
    "PodPending",
    "PodRejected",
    "Queued",
    "Retrying",
    "Suspended",
    // Kubernetes, `pkg/kubelet/images/types.go`, `pkg/kubelet/container/sync_result.go` and `kubelet_pods.go`.
    "ContainerCreating",
    "PodInitializing",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
    // Kubernetes, `core/v1`, condition PodScheduled.
    "Unschedulable",
    "SchedulingGated",
];

/// Every label that there is.
pub fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().copied().chain([OTHER])
}

/// The label of a reason.
pub fn fold(reason: &str) -> &'static str {
    KNOWN.iter().copied().find(|known| *known == reason).unwrap_or(OTHER)
}

/// The label of a reconcile's error.
pub fn of_error(error: &Error) -> &'static str {
    match error {
        error if error.is_conflict() => "Conflict",
        Error::Stale => "Conflict",
        Error::Undecodable { .. } => UNDECODABLE,
        Error::Defect(_) => OPERATOR_BUG,
        Error::NotLeading => "NotLeading",
        Error::Slow(_) => "Slow",
        Error::Api(kube::Error::Api(status)) if (400..500).contains(&status.code) => "Refused",
        Error::Api(_) => "Unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_of_kubernetes_is_one_label() {
        assert_eq!(fold("NoMatchingGpu"), "NoMatchingGpu");
        assert_eq!(fold("failed to reserve container name x_y_123"), OTHER);
    }
}
