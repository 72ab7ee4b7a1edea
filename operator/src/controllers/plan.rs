//! What to do about an object: what a plan of either kind comes to.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use kube::ResourceExt;
use obelysk_api::crd::ModelCache;

use super::Note;

/// What to do. It is carried out from top to bottom.
#[derive(Clone, Debug, Default)]
pub struct Plan<Status> {
    /// Whether our finalizer should be on the object.
    pub finalizer: bool,
    /// Status to write, if it differs.
    pub status: Status,
    /// Objects to delete: Jobs, with their pods, before anything is made, the others after it.
    pub delete: Vec<Doomed>,
    /// Objects to create, in order; those that exist stay.
    pub create: Vec<Child>,
    /// Events to publish.
    pub notes: Vec<Note>,
    /// When to look again at the latest.
    pub look_again_seconds: i64,
    /// Whether the object ended with this plan.
    pub ended: bool,
}

/// An object to create.
#[derive(Clone, Debug)]
pub enum Child {
    /// The job file of an attempt.
    File(Box<ConfigMap>),
    /// An attempt.
    Job(Box<Job>),
    /// The devices of an attempt.
    ClaimTemplate(Box<ResourceClaimTemplate>),
    /// A claim for artifacts or a model.
    Claim(Box<PersistentVolumeClaim>),
    /// The volume of a model on the disks of nodes.
    Volume(Box<PersistentVolume>),
    /// The ModelCache of a preset or a repository.
    Cache(Box<ModelCache>),
}

/// Kinds of objects that plans delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoomedKind {
    /// An attempt.
    Job,
    /// The claim of a model.
    Claim,
    /// The volume of a model on the disks of nodes.
    Volume,
    /// The ProofJob that the plan is about.
    ProofJob,
}

/// An object to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Its kind.
    pub kind: DoomedKind,
    /// Its name.
    pub name: String,
    /// Its uid: another object may have the name by then.
    pub uid: Option<String>,
}

impl Doomed {
    /// This very object.
    #[must_use]
    pub fn new<K>(kind: DoomedKind, object: &K) -> Self
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Self { kind, name: object.name_any(), uid: object.uid() }
    }

    /// This very Job.
    #[must_use]
    pub fn job(job: &Job) -> Self {
        Self::new(DoomedKind::Job, job)
    }
}
