//! Volumes for the local cluster: a claim of class `obelysk-local` that a pod waits for gets a `local` volume on a folder of its own,
//! and the folder goes with the claim.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::cluster::NODE;
use crate::process;

/// Arguments of `provisioner`.
#[derive(Args)]
pub struct Arguments {
    /// Program with kubectl in it.
    #[arg(long)]
    kubernetes: PathBuf,
    /// Credentials.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Folder for the volumes.
    #[arg(long)]
    volumes: PathBuf,
}

/// Storage class of claims that are served.
const CLASS: &str = "obelysk-local";
/// Annotation by which the scheduler asks for a volume.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Serve until the process is stopped.
pub fn run(arguments: &Arguments) -> Result<()> {
    loop {
        if let Err(error) = look(arguments) {
            eprintln!("{error:#}");
        }
        std::thread::sleep(PERIOD);
    }
}

fn look(arguments: &Arguments) -> Result<()> {
    let claims = get(arguments, "persistentvolumeclaims")?;
    let volumes = get(arguments, "persistentvolumes")?;
    let known: BTreeSet<&str> = volumes.iter().filter_map(|volume| volume["metadata"]["name"].as_str()).collect();
    for claim in claims.iter().filter(|claim| claim["spec"]["storageClassName"] == CLASS) {
        let name = volume_name(claim);
        // The scheduler picks a node first, and holds the pod until the volume is there.
        let chosen = claim["metadata"]["annotations"][SELECTED_NODE].is_string();
        if claim["status"]["phase"] == "Pending" && chosen && !known.contains(name.as_str()) {
            create(arguments, claim, &name)?;
        }
    }
    for volume in volumes.iter().filter(|volume| volume["spec"]["storageClassName"] == CLASS) {
        if ["Released", "Failed"].iter().any(|phase| volume["status"]["phase"] == *phase) {
            let name = volume["metadata"]["name"].as_str().unwrap_or_default();
            kubectl(arguments, &["delete", "persistentvolume", name, "--wait=false"], None)?;
            let folder = arguments.volumes.join(name);
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
    }
    Ok(())
}

fn volume_name(claim: &Value) -> String {
    format!("obelysk-{}", claim["metadata"]["uid"].as_str().unwrap_or_default())
}

fn create(arguments: &Arguments, claim: &Value, name: &str) -> Result<()> {
    let folder = arguments.volumes.join(name);
    fs::create_dir_all(&folder)?;
    // Pods run under any user; fsGroup narrows this on mount.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {
                "namespace": claim["metadata"]["namespace"],
                "name": claim["metadata"]["name"],
                "uid": claim["metadata"]["uid"],
            },
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
            ]}]}},
        },
    });
    kubectl(arguments, &["create", "-f", "-"], Some(volume.to_string())).map(drop)
}

fn get(arguments: &Arguments, resource: &str) -> Result<Vec<Value>> {
    let text = kubectl(arguments, &["get", resource, "--all-namespaces", "-o", "json"], None)?;
    let list: Value = serde_json::from_str(&text).context("kubectl prints JSON")?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn kubectl(arguments: &Arguments, words: &[&str], input: Option<String>) -> Result<String> {
    let mut command = Command::new(&arguments.kubernetes);
    command.arg("kubectl").arg("--kubeconfig").arg(&arguments.kubeconfig).args(words);
    let Some(input) = input else { return process::output(&mut command) };
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    std::io::Write::write_all(child.stdin.as_mut().context("a piped input")?, input.as_bytes())?;
    drop(child.stdin.take());
    anyhow::ensure!(child.wait()?.success(), "kubectl {words:?} failed");
    Ok(String::new())
}
