//! The Jobs that attempts are: pods of the restricted profile, one container, no token, no retries of their own.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, LocalObjectReference,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SeccompProfile, SecretKeySelector, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use obelysk_api::crd::proof_job::{PodOverrides, Queue};
use obelysk_api::crd::schema::KeyRef;
use obelysk_api::job::{JOB_VARIABLE, JOB_VERSION, JobKind, ModelLocation, Work};

use super::attempt::{ATTEMPT, STEP};
use super::placed;
use crate::scheduling::placement::Placement;
use crate::settings::Settings;

pub use super::placed::claim_template;
pub use crate::scheduling::inventory::HOSTNAME;

/// Where the model volume is mounted.
pub const MODEL: &str = "/model";
/// Where a model's source volume is mounted.
pub const SOURCE: &str = "/source";
/// Where the artifacts volume is mounted.
pub const ARTIFACTS: &str = "/artifacts";
/// Where scratch space is mounted.
pub const SCRATCH: &str = "/scratch";
/// Where a container leaves its result.
pub const TERMINATION_MESSAGE: &str = "/dev/termination-log";
/// Seconds without progress after which a pod gives up, unless a job says otherwise.
const NO_PROGRESS_SECONDS: u64 = 1800;
/// Port of the progress page.
pub const PROGRESS_PORT: i32 = 8080;
/// User and group of the image; any other works too.
const GROUP: i64 = 65532;
/// Where runtimes and device plugins put the node's driver, on either processor; no cache of the loader knows of it.
const LIBRARIES: &str = "/usr/local/nvidia/lib64:/usr/lib64:/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu";
/// Label of the pods of a volume that attaches to one node at a time.
pub(super) const VOLUME: &str = "proving.obelysk.dev/volume";

/// A volume claim in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Claim.
    pub claim: String,
    /// Folder inside of it.
    pub sub_path: Option<String>,
    /// Where.
    pub path: &'static str,
    /// Whether nothing is written.
    pub read_only: bool,
    /// Whether the volume attaches to one node at a time, so that all of its pods belong together.
    pub single_node: bool,
}

/// Everything that differs between one attempt and another.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name of the owner.
    pub owner_name: &'a str,
    /// Reference to the owner.
    pub owner: OwnerReference,
    /// Label that names the owner: `proofjob` or `modelcache`.
    pub owner_label: &'a str,
    /// Kind of Job.
    pub step: JobKind,
    /// Number.
    pub number: i32,
    /// The job file.
    pub spec: obelysk_api::job::JobSpec,
    /// Volumes.
    pub mounts: Vec<Mount>,
    /// Cores, as a quantity.
    pub cores: String,
    /// Memory, as a quantity.
    pub memory: String,
    /// Environment variables of Secrets: the token of a hub, the key of a bucket.
    pub secrets: Vec<(&'static str, KeyRef)>,
    /// Where it goes, and what it gets there.
    pub placement: Placement,
    /// Who admits it, and before whom.
    pub queue: Queue,
    /// Additions.
    pub overrides: PodOverrides,
}

/// Name of the Job of an attempt.
#[must_use]
pub fn name(owner: &str, step: JobKind, number: i32) -> String {
    format!("{owner}-{step}-{number}")
}

/// The job file of an attempt: without artifacts, and with the patience of a job that says nothing about it.
#[must_use]
pub fn file(namespace: &str, owner: &str, number: i32, model: ModelLocation, work: Work) -> obelysk_api::job::JobSpec {
    obelysk_api::job::JobSpec {
        version: JOB_VERSION,
        owner: format!("{namespace}/{owner}"),
        attempt: u32::try_from(number).unwrap_or(1),
        home: MODEL.into(),
        model,
        artifacts: None,
        termination_message: TERMINATION_MESSAGE.into(),
        progress_address: Some(format!("0.0.0.0:{PROGRESS_PORT}")),
        no_progress_timeout_seconds: NO_PROGRESS_SECONDS,
        work,
    }
}

/// Memory of a pod that quantises a model, commits to it or audits it, as a quantity: the integers and what encoding them holds take at most
/// 7 bytes for each weight, which has 2 in the model's files; the rest is for what quantising reads at a time.
#[must_use]
pub fn memory_for_commitment(model_bytes: i64, least_mebibytes: i64) -> String {
    format!("{}Mi", least_mebibytes.saturating_add(model_bytes.saturating_mul(6) >> 20))
}

/// The labels of everything that belongs to an owner.
#[must_use]
pub fn labels(owner_label: &str, owner: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "obelysk"),
        ("app.kubernetes.io/managed-by", "obelysk-operator"),
        ("app.kubernetes.io/part-of", "obelysk"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into_iter()
    .chain([(format!("{}{owner_label}", obelysk_api::crd::PREFIX), owner.to_owned())])
    .collect()
}

/// The Job of an attempt.
#[must_use]
pub fn build(attempt: Attempt, settings: &Settings) -> Job {
    let mut labels = labels(attempt.owner_label, attempt.owner_name);
    labels.insert(STEP.into(), attempt.step.name().into());
    labels.insert(ATTEMPT.into(), attempt.number.to_string());
    let mut pod_labels = attempt.overrides.labels.clone();
    pod_labels.extend(labels.clone());
    pod_labels.extend(single_node_volume(&attempt).map(|claim| (VOLUME.to_owned(), claim.to_owned())));
    let annotations = Some(attempt.overrides.annotations.clone()).filter(|map| !map.is_empty());
    let mut job = Job {
        metadata: ObjectMeta {
            name: Some(name(attempt.owner_name, attempt.step, attempt.number)),
            namespace: Some(attempt.namespace.into()),
            labels: Some(labels),
            owner_references: Some(vec![attempt.owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            pod_replacement_policy: Some("Failed".into()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(pod_labels), annotations, ..ObjectMeta::default() }),
                spec: Some(pod(&attempt, settings)),
            },
            ..JobSpec::default()
        }),
        status: None,
    };
    placed::queue(&attempt.queue, &mut job);
    job
}

fn pod(attempt: &Attempt, settings: &Settings) -> PodSpec {
    let secrets = attempt.overrides.image_pull_secrets.iter();
    let mut pod = PodSpec {
        restart_policy: Some("Never".into()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(10),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            fs_group: Some(GROUP),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: Some(secrets.map(|secret| LocalObjectReference { name: secret.name.clone() }).collect()),
        volumes: Some(volumes(attempt)),
        containers: vec![container(attempt, settings)],
        ..PodSpec::default()
    };
    placed::place(attempt, &mut pod);
    pod
}

fn container(attempt: &Attempt, settings: &Settings) -> Container {
    let env = |name: &str, value: &str| EnvVar { name: name.into(), value: Some(value.into()), value_from: None };
    let job = serde_json::to_string(&attempt.spec).expect("a job is plain data");
    let memory = ("memory".to_owned(), Quantity(attempt.memory.clone()));
    let limits: BTreeMap<String, Quantity> = [memory].into_iter().collect();
    let mut requests = limits.clone();
    requests.insert("cpu".into(), Quantity(attempt.cores.clone()));
    let scratch = VolumeMount { name: "scratch".into(), mount_path: SCRATCH.into(), ..VolumeMount::default() };
    let mounts = attempt.mounts.iter().map(|mount| VolumeMount {
        name: volume_name(mount),
        mount_path: mount.path.into(),
        sub_path: mount.sub_path.clone(),
        read_only: Some(mount.read_only),
        ..VolumeMount::default()
    });
    Container {
        name: attempt.step.name().into(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some(settings.image_pull_policy.clone()),
        command: Some(vec!["/usr/local/bin/obelysk".into(), "job".into(), "--from-env".into()]),
        env: Some(
            [
                env(JOB_VARIABLE, &job),
                env("HOME", SCRATCH),
                env("TMPDIR", SCRATCH),
                env("CUDA_CACHE_PATH", "/scratch/.nv"),
                env("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"),
                env("LD_LIBRARY_PATH", LIBRARIES),
            ]
            .into_iter()
            .chain(attempt.secrets.iter().map(|(name, key)| secret(name, key)))
            .collect(),
        ),
        resources: Some(ResourceRequirements {
            requests: Some(requests),
            limits: Some(limits),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        termination_message_path: Some(TERMINATION_MESSAGE.into()),
        volume_mounts: Some(mounts.chain([scratch]).collect()),
        ..Container::default()
    }
}

/// The kubelet reads the Secret; the operator never does.
fn secret(name: &str, key: &KeyRef) -> EnvVar {
    let selector = SecretKeySelector { name: key.name.clone(), key: key.key.clone(), optional: Some(false) };
    let source = EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() };
    EnvVar { name: name.into(), value: None, value_from: Some(source) }
}

/// One volume per claim: a claim that is mounted twice is one volume.
fn volume_name(mount: &Mount) -> String {
    mount.path.trim_start_matches('/').to_owned()
}

fn volumes(attempt: &Attempt) -> Vec<Volume> {
    let claims = attempt.mounts.iter().map(|mount| Volume {
        name: volume_name(mount),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: mount.claim.clone(),
            read_only: Some(mount.read_only),
        }),
        ..Volume::default()
    });
    let scratch =
        Volume { name: "scratch".into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
    claims.chain([scratch]).collect()
}

/// The claim whose pods share a node.
pub(super) fn single_node_volume<'a>(attempt: &'a Attempt) -> Option<&'a str> {
    attempt.mounts.iter().find(|mount| mount.single_node).map(|mount| mount.claim.as_str())
}
