//! What becomes of a ModelCache.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::kubectl::{
    apply, cache, delete_and_wait, get, install, kubectl, long_inference, names, phase, proof_job, root, wait_for,
    wait_for_phase,
};

const QUESTION: &str = "{prompt: 'What is 7 + 5?', chat: true, maxNewTokens: 4}";

/// A ModelCache of the bundled model that is kept elsewhere.
fn cache_on(name: &str, storage: &str, more: &str) -> String {
    let claim = "{claim: {storageClassName: obelysk-local, accessMode: ReadWriteOnce, size: 1Gi}}";
    let manifest = cache(name);
    assert!(manifest.contains(claim));
    format!("{}{more}", manifest.replace(claim, storage))
}

fn is_ready(name: &str) -> bool {
    get("modelcache", name)["status"]["phase"] == "Ready"
}

#[test]
fn an_unused_model_makes_room_and_the_next_job_brings_it_back() {
    install();
    apply(&format!("{}  retention: {{evictAfterUnusedSeconds: 60}}\n", cache("idle")));
    let is = |phase: &str| get("modelcache", "idle")["status"]["phase"] == phase;
    wait_for("the model is ready", 120, || is("Ready"));
    wait_for("it is evicted", 150, || is("Evicting"));
    let jobs = || names("jobs", "proving.obelysk.dev/modelcache=idle");
    wait_for("its claim and its Jobs are gone", 60, || {
        get("persistentvolumeclaim", "idle-model").is_null() && jobs().is_empty()
    });
    apply(&proof_job("awake", QUESTION, "").replace("{name: tiny-chat}", "{name: idle}"));
    wait_for_phase("awake", "Succeeded", 240);
    delete_and_wait("awake");
    kubectl(&["delete", "modelcache", "idle", "--wait"]);
    wait_for("its claim is gone", 60, || get("persistentvolumeclaim", "idle-model").is_null());
}

#[test]
fn a_model_that_is_being_read_outlives_its_deletion() {
    install();
    apply(&cache("read"));
    wait_for("the model is ready", 120, || get("modelcache", "read")["status"]["phase"] == "Ready");
    apply(&proof_job("reader", &long_inference(), "").replace("{name: tiny-chat}", "{name: read}"));
    wait_for("the proof is under way", 120, || phase("reader") == "Proving");
    kubectl(&["delete", "modelcache", "read", "--wait=false"]);
    wait_for("the reader is done", 240, || {
        let done = phase("reader") == "Succeeded";
        assert!(done || !get("persistentvolumeclaim", "read-model").is_null(), "the claim stays under a reader");
        done
    });
    wait_for("cache and claim are gone", 120, || {
        get("modelcache", "read").is_null() && get("persistentvolumeclaim", "read-model").is_null()
    });
    delete_and_wait("reader");
}

#[test]
fn the_last_cache_of_a_shared_claim_takes_the_model_with_it() {
    install();
    apply(
        "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec: {storageClassName: obelysk-local, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
",
    );
    let storage = "{existingClaim: {name: shared, subPath: team}}";
    for name in ["shared-1", "shared-2"] {
        apply(&cache_on(name, storage, "  retention: {policy: Delete}\n"));
        wait_for("the model is ready", 120, || is_ready(name));
    }
    let claim = get("persistentvolumeclaim", "shared");
    let volume = format!("obelysk-{}", claim["metadata"]["uid"].as_str().unwrap());
    let models = root().join(".cache/cluster/volumes").join(volume).join("team/models");
    let has_model = || models.join("obelysk--tiny-chat").exists();
    assert!(has_model());
    kubectl(&["delete", "modelcache", "shared-1", "--wait"]);
    assert!(has_model(), "another cache holds it");
    assert!(is_ready("shared-2"));
    kubectl(&["delete", "modelcache", "shared-2", "--wait"]);
    assert!(models.exists() && !has_model(), "nobody holds it");
    kubectl(&["delete", "persistentvolumeclaim", "shared", "--wait"]);
}

#[test]
fn a_model_on_the_disks_of_nodes_is_proven_with_and_goes_with_its_cache() {
    install();
    // This machine is the node.
    let disks = root().join(".cache/cluster/disks");
    fs::create_dir_all(&disks).unwrap();
    fs::set_permissions(&disks, fs::Permissions::from_mode(0o777)).unwrap();
    let pool = "apiVersion: proving.obelysk.dev/v1alpha1\nkind: ProverPool\nmetadata: {name: disks}\n";
    apply(&format!("{pool}spec: {{cacheRoot: {}}}\n", disks.display()));
    apply(&cache_on("on-disks", "{nodeLocal: {poolRef: {name: disks}, replicas: 3}}", ""));
    wait_for("the model is ready", 120, || is_ready("on-disks"));
    let cache = get("modelcache", "on-disks");
    assert_eq!(cache["status"]["nodes"].as_array().unwrap().len(), 1, "one node, one copy: {}", cache["status"]);
    let volume = format!("obelysk-{}", cache["metadata"]["uid"].as_str().unwrap());
    assert_eq!(get("persistentvolume", &volume)["status"]["phase"], "Bound");
    let models = disks.join("default/on-disks/models");
    assert!(models.join("obelysk--tiny-chat").exists());

    apply(&proof_job("near", QUESTION, "").replace("{name: tiny-chat}", "{name: on-disks}"));
    wait_for_phase("near", "Succeeded", 240);
    kubectl(&["delete", "modelcache", "on-disks", "--wait"]);
    assert!(!models.exists(), "the files are gone before the cache is");
    wait_for("claim and volume are gone", 90, || {
        get("persistentvolumeclaim", "on-disks-model").is_null() && get("persistentvolume", &volume).is_null()
    });
    delete_and_wait("near");
    kubectl(&["delete", "proverpool", "disks", "--wait"]);
}
