//! Whom the operator believes: a Job counts if its controller is the object that it is about, a pod if its controller is such a
//! Job. Labels only find them: anyone may write those.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use super::attempt::{Attempt, Surroundings, is_ready, judge};
use super::clip;
use super::plan::Doomed;

/// Reason of what waits for something of an earlier object to go.
pub const TERMINATING: &str = "PreviousChildrenTerminating";
/// Reason of what cannot be made because somebody else's object has its name.
pub const NAME_CONFLICT: &str = "NameConflict";

/// Reason of what the API server refuses to make.
pub const CREATE_REFUSED: &str = "CreateRefused";
/// Reason of what the API server refuses to delete.
pub const DELETE_REFUSED: &str = "DeleteRefused";
/// Longest message of an obstacle.
const MESSAGE_BYTES: usize = 512;

/// Whose child an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Of the object that asks.
    This,
    /// On its way out: of an earlier object of the same name, or being deleted.
    Earlier,
    /// Of somebody else, or of nobody.
    Stranger,
}

/// Whose child an object is, by the uid of its controller.
pub fn maker<K>(child: &ObjectMeta, owner: &K) -> Maker
where
    K: Resource<DynamicType = ()>,
{
    match controller(child) {
        Some(of) if owner.meta().uid.as_ref() == Some(&of.uid) => Maker::This,
        Some(of) if is_of_kind::<K>(of) && owner.meta().name.as_ref() == Some(&of.name) => Maker::Earlier,
        _ if child.deletion_timestamp.is_some() => Maker::Earlier,
        _ => Maker::Stranger,
    }
}

/// Whether the controller of an object is of a kind of ours.
#[must_use]
pub fn is_child_of<K>(child: &ObjectMeta) -> bool
where
    K: Resource<DynamicType = ()>,
{
    controller(child).is_some_and(is_of_kind::<K>)
}

fn controller(child: &ObjectMeta) -> Option<&OwnerReference> {
    child.owner_references.iter().flatten().find(|of| of.controller == Some(true))
}

fn is_of_kind<K>(of: &OwnerReference) -> bool
where
    K: Resource<DynamicType = ()>,
{
    let group = of.api_version.split_once('/').map_or("", |(group, _)| group);
    group == K::group(&()) && of.kind == K::kind(&())
}

fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && ![401, 408, 409, 429].contains(&code)
}

/// Why a child cannot be made, or not be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// One word.
    pub reason: String,
    /// One line.
    pub message: String,
}

impl Obstacle {
    /// An obstacle.
    #[must_use]
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: clip(&message.into(), MESSAGE_BYTES) }
    }

    /// What the API server's answer to a request for a child means: a refusal, in its own words, unless asking again at once may help.
    #[must_use]
    pub fn of_answer(kind: &str, name: &str, code: u16, words: &str) -> Option<Self> {
        is_refusal(code).then(|| Self::new(CREATE_REFUSED, format!("{kind} {name}: {words}")))
    }

    /// The same of a request to delete a child.
    #[must_use]
    pub fn of_deletion(kind: &str, name: &str, code: u16, words: &str) -> Option<Self> {
        is_refusal(code).then(|| Self::new(DELETE_REFUSED, format!("{kind} {name} cannot be deleted: {words}")))
    }

    /// What the API server said last, as the conditions of a status have it. Its word stands until the child is there.
    #[must_use]
    pub fn on_record(conditions: &[Condition]) -> Option<Self> {
        let refused = |of: &&Condition| {
            of.type_ == "Ready" && [CREATE_REFUSED, NAME_CONFLICT, DELETE_REFUSED].contains(&&*of.reason)
        };
        conditions.iter().find(refused).map(|of| Self { reason: of.reason.clone(), message: of.message.clone() })
    }

    /// Whether something could not be deleted, rather than made.
    #[must_use]
    pub fn is_of_deletion(&self) -> bool {
        self.reason == DELETE_REFUSED
    }

    /// What stands in the way of a child whose name is taken; nothing if it is ours already.
    #[must_use]
    pub fn of(maker: Maker, kind: &str, name: &str) -> Option<Self> {
        match maker {
            Maker::This => None,
            Maker::Earlier => {
                Some(Self::new(TERMINATING, format!("{kind} {name} of an earlier object of this name is still there")))
            }
            Maker::Stranger => {
                let line = format!("{kind} {name} exists and is not of this object; delete it, or use another name");
                Some(Self::new(NAME_CONFLICT, line))
            }
        }
    }
}

/// What was found under an object's label, by whose it is.
#[derive(Clone, Debug, Default)]
pub struct Children {
    jobs: Vec<Job>,
    pods: BTreeMap<String, Vec<Pod>>,
    others: Vec<(Maker, String)>,
    pods_left: Vec<Pod>,
}

impl Children {
    /// Sort what carries the label of an object.
    #[must_use]
    pub fn sort<K>(owner: &K, jobs: Vec<Job>, pods: Vec<Pod>) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        let uids: BTreeMap<String, Option<String>> = jobs
            .iter()
            .filter_map(|job| {
                let is_ours = maker(job.meta(), owner) == Maker::This;
                Some((job.uid()?, is_ours.then(|| job.name_any())))
            })
            .collect();
        let mut children = Self::default();
        for job in jobs {
            match maker(job.meta(), owner) {
                Maker::This => children.jobs.push(job),
                other => children.others.push((other, job.name_any())),
            }
        }
        let child_prefix = format!("{}-", owner.meta().name.as_deref().unwrap_or_default());
        for pod in pods {
            let of_job = controller(pod.meta()).filter(|of| is_of_kind::<Job>(of));
            let Some(of_job) = of_job else { continue };
            match uids.get(&of_job.uid) {
                Some(Some(job)) => children.pods.entry(job.clone()).or_default().push(pod),
                Some(None) => {}
                None if of_job.name.starts_with(&child_prefix) => children.pods_left.push(pod),
                None => {}
            }
        }
        children
    }

    /// The object's own Jobs.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// All of its Jobs, to be deleted.
    #[must_use]
    pub fn doomed(&self) -> Vec<Doomed> {
        self.jobs.iter().map(Doomed::job).collect()
    }

    /// The pods of one of its Jobs.
    #[must_use]
    pub fn pods_of(&self, job: &Job) -> &[Pod] {
        self.pods.get(&job.name_any()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Its attempts, by number.
    #[must_use]
    pub fn attempts(&self, around: &Surroundings) -> Vec<Attempt> {
        let judge = |job: &Job| judge(job, self.pods_of(job), around);
        let mut attempts: Vec<Attempt> = self.jobs.iter().filter_map(judge).collect();
        attempts.sort_by_key(|attempt| attempt.number);
        attempts
    }

    /// Whether pods of Jobs that are gone are still there.
    #[must_use]
    pub fn has_pods_left(&self) -> bool {
        !self.pods_left.is_empty()
    }

    /// What stands in the way of a Job of this name. Of pods whose Job is gone, all count before the first attempt, and later those
    /// alone whose node reports: a lost one may keep its pods for as long as it likes.
    #[must_use]
    pub fn obstacle(&self, job: &str, is_first: bool, around: &Surroundings) -> Option<Obstacle> {
        let earlier = self.others.iter().find(|(maker, _)| *maker == Maker::Earlier);
        let taken = self.others.iter().find(|(_, name)| name == job);
        if let Some((maker, name)) = earlier.or(taken) {
            return Obstacle::of(*maker, "Job", name);
        }
        let reports = |pod: &&Pod| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            node.is_some_and(|node| is_ready(around.node(node)))
        };
        let is_over = |pod: &&Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        };
        let pod = self.pods_left.iter().find(|pod| is_first || reports(pod) && !is_over(pod))?;
        Obstacle::of(Maker::Earlier, "pod", &pod.name_any())
    }
}
