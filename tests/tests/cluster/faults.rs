//! Accidents: a killed operator, a killed prover, a lost node.

use crate::kubectl::{
    apply, delete_and_wait, get, install, kubectl, long_inference, names, proof_job, root, running_prover, try_kubectl,
    wait_for, wait_for_phase,
};

fn attempts(job: &str) -> Vec<serde_json::Value> {
    get("proofjob", job)["status"]["attempts"].as_array().cloned().unwrap_or_default()
}

#[test]
fn killing_the_operator_mid_proof_loses_and_doubles_nothing() {
    install();
    apply(&proof_job("orphan", &long_inference(), ""));
    running_prover("orphan");
    let operator = ["delete", "pods", "-n", "obelysk-system", "-l", "app.kubernetes.io/name=obelysk-operator"];
    kubectl(&[&operator[..], &["--grace-period=0", "--force"]].concat());
    wait_for_phase("orphan", "Succeeded", 240);
    let jobs = names("jobs", "proving.obelysk.dev/proofjob=orphan");
    assert_eq!(jobs, ["orphan-finish-1", "orphan-prove-1"]);
    delete_and_wait("orphan");
}

#[test]
fn killing_the_prover_mid_proof_starts_another_attempt() {
    install();
    apply(&proof_job("killed", &long_inference(), ""));
    let pod = running_prover("killed");
    kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force"]);
    wait_for_phase("killed", "Succeeded", 240);
    let attempts = attempts("killed");
    let failed: Vec<_> = attempts.iter().filter(|attempt| attempt["reason"] != "Succeeded").collect();
    assert_eq!(failed.len(), 1, "{attempts:?}");
    assert_eq!((failed[0]["step"].as_str(), failed[0]["class"].as_str()), (Some("prove"), Some("Infra")));
    assert_eq!(names("jobs", "proving.obelysk.dev/proofjob=killed").len(), 3);
    delete_and_wait("killed");
}

/// A node object without a kubelet behind it: it is ready until its silence is noticed. Only those who ask for it land there.
fn ghost() {
    apply(
        "apiVersion: v1
kind: Node
metadata: {name: ghost, labels: {kubernetes.io/hostname: ghost, kubernetes.io/arch: amd64}}
spec: {taints: [{key: ghost, effect: NoSchedule}]}
",
    );
    let status = r#"{"status":{"allocatable":{"cpu":"8","memory":"16Gi","pods":"20"},"capacity":{"cpu":"8","memory":"16Gi","pods":"20"},
        "conditions":[{"type":"Ready","status":"True","reason":"Test","message":"","lastHeartbeatTime":null,"lastTransitionTime":null}]}}"#;
    kubectl(&["patch", "node", "ghost", "--subresource=status", "--type=merge", "-p", status]);
    let _ = try_kubectl(&["taint", "node", "ghost", "node.kubernetes.io/not-ready-"]);
}

/// A volume that any node could mount, bound to a claim.
fn shared_volume(name: &str) {
    let folder = root().join(".cache/cluster/volumes").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    apply(&format!(
        "apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteMany]
  storageClassName: shared
  persistentVolumeReclaimPolicy: Retain
  claimRef: {{namespace: default, name: {name}}}
  hostPath: {{path: {}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}}}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: shared
  resources: {{requests: {{storage: 1Gi}}}}
",
        folder.display()
    ));
}

#[test]
fn a_lost_node_costs_an_attempt_and_no_retry() {
    install();
    shared_volume("shared-model");
    shared_volume("shared-artifacts");
    apply(
        "apiVersion: proving.obelysk.dev/v1alpha1
kind: ModelCache
metadata: {name: shared}
spec:
  source: {bundled: {name: tiny-chat}}
  storage: {existingClaim: {name: shared-model}}
",
    );
    wait_for("the shared model is ready", 120, || get("modelcache", "shared")["status"]["phase"] == "Ready");
    ghost();
    let more = "  artifacts: {claim: {name: shared-artifacts}}
  podOverrides: {nodeSelector: {kubernetes.io/hostname: ghost}, tolerations: [{key: ghost, operator: Exists}]}
";
    let manifest = proof_job("lost", "{prompt: 'What is 7 + 5?', chat: true}", more);
    apply(&manifest.replace("{cacheRef: {name: tiny-chat}}", "{cacheRef: {name: shared}}"));
    let on_ghost = || {
        kubectl(&["get", "pods", "-l", "proving.obelysk.dev/proofjob=lost", "-o", "jsonpath={.items[*].spec.nodeName}"])
    };
    wait_for("the pod is bound to the ghost", 30, || on_ghost() == "ghost");
    // The next attempt may go elsewhere; the one on the ghost is lost when its silence is noticed.
    kubectl(&["patch", "proofjob", "lost", "--type=json", "-p", r#"[{"op":"remove","path":"/spec/podOverrides"}]"#]);
    wait_for_phase("lost", "Succeeded", 240);
    let attempts = attempts("lost");
    let lost =
        attempts.iter().find(|attempt| attempt["reason"] == "NodeLost").unwrap_or_else(|| panic!("{attempts:?}"));
    assert!(lost["class"].is_null(), "nobody is to blame: {lost}");
    assert_eq!(get("proofjob", "lost")["status"]["retries"]["infra"], 0);
    kubectl(&["delete", "node", "ghost"]);
    delete_and_wait("lost");
    kubectl(&["delete", "modelcache", "shared", "--wait"]);
    kubectl(&["delete", "persistentvolumeclaim", "shared-model", "shared-artifacts", "--wait"]);
    kubectl(&["delete", "persistentvolume", "shared-model", "shared-artifacts", "--wait"]);
}
