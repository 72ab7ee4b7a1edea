//! What a placement means for a Job and its pod: affinity, tolerations, devices, image, classes of runtime and priority, queue.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorTerm, PodAffinity, PodAffinityTerm, PodResourceClaim, PodSpec,
    ResourceClaim, Toleration,
};
use k8s_openapi::api::resource::v1::{ResourceClaimSpec, ResourceClaimTemplate, ResourceClaimTemplateSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use obelysk_api::crd::proof_job::Queue;

use super::job::{self, Attempt, VOLUME, single_node_volume};
use crate::scheduling::devices::REQUEST;
use crate::scheduling::inventory::HOSTNAME;
use crate::scheduling::placement::{Device, requirement};

/// A node that stops reporting keeps its pods for this long.
const NODE_PATIENCE_SECONDS: i64 = 30;
/// Label by which Kueue finds its Jobs. <https://kueue.sigs.k8s.io/docs/tasks/run/jobs/>
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// Put a Job into its queue: it is made suspended, and Kueue resumes it when its turn has come.
pub(super) fn queue(queue: &Queue, job: &mut Job) {
    let Queue { name, priority_class_name } = queue;
    let Some(spec) = &mut job.spec else { return };
    if let Some(name) = name {
        job.metadata.labels.get_or_insert_default().insert(QUEUE.into(), name.clone());
        spec.suspend = Some(true);
    }
    if let Some(pod) = &mut spec.template.spec {
        pod.priority_class_name.clone_from(priority_class_name);
    }
}

/// Place a pod.
pub(super) fn place(attempt: &Attempt, pod: &mut PodSpec) {
    let placement = &attempt.placement;
    let mut node_selector = placement.node_selector.clone();
    node_selector.extend(attempt.overrides.node_selector.clone());
    pod.node_selector = Some(node_selector).filter(|selector| !selector.is_empty());
    pod.affinity = affinity(attempt);
    pod.tolerations = Some(tolerations(attempt));
    pod.runtime_class_name.clone_from(&placement.runtime_class);
    let container = &mut pod.containers[0];
    if placement.image.is_some() {
        container.image.clone_from(&placement.image);
    }
    let resources = container.resources.get_or_insert_default();
    match &placement.device {
        Some(Device::Resource(name, count)) => {
            // An extended resource has the same request and limit.
            for of in [&mut resources.limits, &mut resources.requests] {
                of.get_or_insert_default().insert(name.clone(), Quantity(count.to_string()));
            }
        }
        Some(Device::Claim(_)) => {
            resources.claims = Some(vec![ResourceClaim { name: REQUEST.into(), request: None }]);
            let template = job::name(attempt.owner_name, attempt.step, attempt.number);
            pod.resource_claims = Some(vec![PodResourceClaim {
                name: REQUEST.into(),
                resource_claim_template_name: Some(template),
                resource_claim_name: None,
            }]);
        }
        None => {}
    }
}

/// The template of the claim of an attempt, of the same name as its Job, if it has one.
#[must_use]
pub fn claim_template(attempt: &Attempt) -> Option<ResourceClaimTemplate> {
    let Some(Device::Claim(devices)) = &attempt.placement.device else { return None };
    Some(ResourceClaimTemplate {
        metadata: ObjectMeta {
            name: Some(job::name(attempt.owner_name, attempt.step, attempt.number)),
            namespace: Some(attempt.namespace.into()),
            labels: Some(job::labels(attempt.owner_label, attempt.owner_name)),
            owner_references: Some(vec![attempt.owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: ResourceClaimTemplateSpec {
            metadata: None,
            spec: ResourceClaimSpec { devices: Some((**devices).clone()) },
        },
    })
}

fn tolerations(attempt: &Attempt) -> Vec<Toleration> {
    let patience = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].map(|key| Toleration {
        key: Some(key.into()),
        operator: Some("Exists".into()),
        effect: Some("NoExecute".into()),
        toleration_seconds: Some(NODE_PATIENCE_SECONDS),
        ..Toleration::default()
    });
    let asked =
        attempt.placement.tolerations.iter().chain(&attempt.overrides.tolerations).map(|toleration| Toleration {
            key: toleration.key.clone(),
            operator: toleration.operator.clone(),
            value: toleration.value.clone(),
            effect: toleration.effect.clone(),
            toleration_seconds: None,
        });
    patience.into_iter().chain(asked).collect()
}

fn affinity(attempt: &Attempt) -> Option<Affinity> {
    let placement = &attempt.placement;
    let mut of_every_term = Vec::new();
    if !placement.avoid.is_empty() {
        of_every_term.push(requirement(HOSTNAME, "NotIn", placement.avoid.clone()));
    }
    if !placement.only_on.is_empty() {
        of_every_term.push(requirement(HOSTNAME, "In", placement.only_on.clone()));
    }
    let terms = if placement.terms.is_empty() { &[Vec::new()] } else { placement.terms.as_slice() };
    let expressions = terms.iter().map(|term| term.iter().chain(&of_every_term).cloned().collect::<Vec<_>>());
    let terms: Vec<NodeSelectorTerm> = expressions
        .filter(|expressions| !expressions.is_empty())
        .map(|expressions| NodeSelectorTerm { match_expressions: Some(expressions), match_fields: None })
        .collect();
    let node_affinity = (!terms.is_empty()).then_some(NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(NodeSelector { node_selector_terms: terms }),
        preferred_during_scheduling_ignored_during_execution: None,
    });
    // A pod that carries the label itself may be the first.
    let pod_affinity = single_node_volume(attempt).map(|claim| PodAffinity {
        required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
            topology_key: HOSTNAME.into(),
            label_selector: Some(LabelSelector {
                match_labels: Some([(VOLUME.to_owned(), claim.to_owned())].into()),
                ..LabelSelector::default()
            }),
            ..PodAffinityTerm::default()
        }]),
        preferred_during_scheduling_ignored_during_execution: None,
    });
    let is_needed = node_affinity.is_some() || pod_affinity.is_some();
    is_needed.then(|| Affinity { node_affinity, pod_affinity, ..Affinity::default() })
}
