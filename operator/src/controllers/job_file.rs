//! The job file of an attempt travels in an environment variable. One that is too long for that is a ConfigMap, which the pod mounts.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use obelysk_api::job::JOB_VARIABLE;

/// Longest job file in an environment variable. Linux starts no process with a variable of 128 KiB, its name included.
const VARIABLE_BYTES: usize = 96 << 10;
/// Name of the file in the ConfigMap.
const FILE: &str = "job.json";
/// Where it is mounted.
const FOLDER: &str = "/job";
/// Name of its volume.
const VOLUME: &str = "job";

/// The ConfigMap of a Job whose job file is too long for a variable; the Job then mounts it. It is named after its content: what is there
/// already under this name, and is ours, is the same.
pub fn split(job: &mut Job, owner: &str) -> Option<ConfigMap> {
    let pod = job.spec.as_mut()?.template.spec.as_mut()?;
    let container = pod.containers.first_mut()?;
    let variables = container.env.as_mut()?;
    let is_long = |value: &Option<String>| value.as_ref().is_some_and(|value| value.len() > VARIABLE_BYTES);
    let place = variables.iter().position(|variable| variable.name == JOB_VARIABLE && is_long(&variable.value))?;
    let content = variables.remove(place).value?;
    let name = format!("{owner}-job-{}", &blake3::hash(content.as_bytes()).to_hex()[..10]);
    container.command = Some(vec!["/usr/local/bin/obelysk".into(), "job".into(), format!("{FOLDER}/{FILE}")]);
    let mount =
        VolumeMount { name: VOLUME.into(), mount_path: FOLDER.into(), read_only: Some(true), ..VolumeMount::default() };
    container.volume_mounts.get_or_insert_default().push(mount);
    let source = ConfigMapVolumeSource { name: name.clone(), ..ConfigMapVolumeSource::default() };
    let volume = Volume { name: VOLUME.into(), config_map: Some(source), ..Volume::default() };
    pod.volumes.get_or_insert_default().push(volume);
    Some(ConfigMap {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: job.metadata.namespace.clone(),
            labels: job.metadata.labels.clone(),
            owner_references: job.metadata.owner_references.clone(),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some([(FILE.to_owned(), content)].into()),
        ..ConfigMap::default()
    })
}
