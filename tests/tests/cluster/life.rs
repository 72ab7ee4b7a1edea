//! The life of a ProofJob without accidents.

use std::process::Command;

use crate::kubectl::{
    apply, delete_and_wait, get, image, install, kubectl, kubectl_bytes, long_inference, names, phase, proof_job, root,
    running_prover, wait_for, wait_for_phase,
};

const QUESTION: &str = "{prompt: 'What is 7 + 5?', chat: true, maxNewTokens: 16}";

#[test]
fn an_applied_proof_job_is_proven_and_a_stranger_checks_it() {
    install();
    apply(&proof_job("answer", QUESTION, ""));
    wait_for_phase("answer", "Succeeded", 180);
    let status = get("proofjob", "answer")["status"].take();
    assert_eq!(status["inference"]["text"], "7 + 5 = 12.");
    assert_eq!(status["inference"]["integerMatchesFloat"], "10/10");
    assert_eq!(status["proof"]["verified"], true);
    assert_eq!(status["audit"]["verdict"], "Passed");
    assert_eq!(status["progress"], "7/7");
    for condition in ["Ready", "Complete", "Verified"] {
        kubectl(&["wait", "proofjob/answer", &format!("--for=condition={condition}"), "--timeout=1s"]);
    }

    let uri = status["proof"]["uri"].as_str().unwrap();
    let mut parts = uri.trim_start_matches("pvc://default/").split('/');
    let (claim, folder) = (parts.next().unwrap(), parts.next().unwrap());
    apply(&reader(claim));
    kubectl(&["wait", "pod/reader", "--for=condition=Ready", "--timeout=60s"]);
    let archive =
        kubectl_bytes(&["exec", "reader", "--", "obelysk", "artifacts", "tar", &format!("/artifacts/{folder}")]);
    kubectl(&["delete", "pod", "reader", "--wait"]);
    let target = root().join("target/cluster-test/proof");
    let _ = std::fs::remove_dir_all(&target);
    std::fs::create_dir_all(&target).unwrap();
    let mut tar =
        Command::new("tar").arg("x").arg("-C").arg(&target).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(tar.stdin.as_mut().unwrap(), &archive).unwrap();
    assert!(tar.wait().unwrap().success());

    let verify = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("obelysk-verify");
    let digest = status["model"]["modelDigest"].as_str().unwrap();
    let check =
        |digest: &str| Command::new(&verify).arg(&target).args(["--model-digest", digest]).status().unwrap().code();
    assert_eq!(check(digest), Some(0));
    assert_eq!(check(&"00".repeat(32)), Some(1));
    delete_and_wait("answer");
}

fn reader(claim: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: reader}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
    - name: reader
      image: {}
      command: [/usr/local/bin/obelysk, artifacts, hold]
      volumeMounts: [{{name: artifacts, mountPath: /artifacts, readOnly: true}}]
  volumes: [{{name: artifacts, persistentVolumeClaim: {{claimName: {claim}, readOnly: true}}}}]
",
        image()
    )
}

#[test]
fn applying_the_same_manifest_again_changes_nothing() {
    install();
    let manifest = proof_job("again", QUESTION, "");
    apply(&manifest);
    wait_for_phase("again", "Succeeded", 180);
    let before = (get("proofjob", "again")["metadata"].take(), names("jobs", "proving.obelysk.dev/proofjob=again"));
    assert!(apply(&manifest).contains("unchanged"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    let after = (get("proofjob", "again")["metadata"].take(), names("jobs", "proving.obelysk.dev/proofjob=again"));
    assert_eq!(before.0["resourceVersion"], after.0["resourceVersion"]);
    assert_eq!(before.1, after.1);
    assert_eq!(before.1.len(), 2, "one Job to prove, one to finish");
    delete_and_wait("again");
}

#[test]
fn several_prompts_share_a_proof() {
    install();
    let prompts = r#"{prompts: ["What is 7 + 5?", "What is 2 + 9?"], chat: true, maxNewTokens: 3}"#;
    apply(&proof_job("both", prompts, ""));
    wait_for_phase("both", "Succeeded", 240);
    let status = get("proofjob", "both")["status"].take();
    assert_eq!(status["inference"]["outputTokens"], 6, "{status}");
    assert_eq!(status["inference"]["integerMatchesFloat"], "6/6");
    assert_eq!(status["audit"]["verdict"], "Passed");
    delete_and_wait("both");
}

#[test]
fn a_preset_brings_its_own_model_cache() {
    install();
    kubectl(&["delete", "modelcache", "tiny-chat", "--ignore-not-found", "--wait"]);
    wait_for("the claim of the deleted cache is gone", 60, || {
        get("persistentvolumeclaim", "tiny-chat-model").is_null()
    });
    let manifest =
        proof_job("preset", QUESTION, "").replace("{cacheRef: {name: tiny-chat}}", "{preset: {name: tiny-chat}}");
    apply(&manifest);
    wait_for_phase("preset", "Succeeded", 240);
    assert_eq!(get("modelcache", "tiny-chat")["spec"]["source"]["preset"]["name"], "tiny-chat");
    delete_and_wait("preset");
}

#[test]
fn a_suspended_job_stops_and_goes_on() {
    install();
    apply(&proof_job("pause", &long_inference(), ""));
    running_prover("pause");
    kubectl(&["patch", "proofjob", "pause", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]);
    wait_for_phase("pause", "Suspended", 30);
    wait_for("no pod runs", 60, || names("pods", "proving.obelysk.dev/proofjob=pause").is_empty());
    kubectl(&["patch", "proofjob", "pause", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    wait_for_phase("pause", "Succeeded", 240);
    let attempts = get("proofjob", "pause")["status"]["attempts"].take();
    assert!(attempts.as_array().unwrap().iter().all(|attempt| attempt["reason"] == "Succeeded"), "{attempts}");
    delete_and_wait("pause");
}

#[test]
fn a_cancelled_job_ends_for_good() {
    install();
    apply(&proof_job("cancel", &long_inference(), ""));
    running_prover("cancel");
    kubectl(&["patch", "proofjob", "cancel", "--type=merge", "-p", r#"{"spec":{"cancel":true}}"#]);
    wait_for("cancel is Cancelled", 30, || phase("cancel") == "Cancelled");
    wait_for("no pod runs", 60, || names("pods", "proving.obelysk.dev/proofjob=cancel").is_empty());
    let refused = crate::kubectl::try_kubectl(&[
        "patch",
        "proofjob",
        "cancel",
        "--type=merge",
        "-p",
        r#"{"spec":{"cancel":false}}"#,
    ]);
    assert!(refused.unwrap_err().contains("spec.cancel cannot be taken back"));
    delete_and_wait("cancel");
}

#[test]
fn deleting_a_job_mid_proof_leaves_nothing() {
    install();
    apply(&proof_job("gone", &long_inference(), ""));
    running_prover("gone");
    delete_and_wait("gone");
    let volumes = || kubectl(&["get", "persistentvolumes", "-o", "jsonpath={.items[*].spec.claimRef.name}"]);
    wait_for("the volume of its artifacts is gone", 30, || !volumes().contains("gone-artifacts"));
}
