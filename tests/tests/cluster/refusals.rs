//! What is refused, by the API server or by the operator, and with which words.

use serde_json::Value;

use crate::kubectl::{apply, delete_and_wait, get, install, kubectl, proof_job, try_apply, wait_for, wait_for_phase};

#[test]
fn an_invalid_manifest_is_refused_with_what_to_write_instead() {
    install();
    let good = proof_job("invalid", "{prompt: Hello}", "");
    for (from, to, advice) in [
        (
            "{cacheRef: {name: tiny-chat}}",
            "{}",
            "model: set exactly one of cacheRef: {name}, preset: {name}, huggingFace: {repo}",
        ),
        ("{cacheRef: {name: tiny-chat}}", "{cacheRef: {name: a}, preset: {name: b}}", "model: set exactly one of"),
        ("{prompt: Hello}", "{}", "inference: set exactly one of prompt: TEXT"),
        ("{prompt: Hello}", "{tokens: [1], chat: true}", "with tokens leave chat out"),
        ("{prompt: Hello}", "{prompt: Hello, maxNewTokens: 0}", "greater than or equal to 1"),
        ("{cpu: {cores: 250m, memory: 2Gi}}", "{}", "hardware: set exactly one of cpu: {} or gpu: {classes: [H100]}"),
        ("{cpu: {cores: 250m, memory: 2Gi}}", "{gpu: {classes: [GTX1080]}}", "Unsupported value: \"GTX1080\""),
        (
            "{cpu: {cores: 250m, memory: 2Gi}}",
            "{cpu: {memory: '-1'}}",
            "cpu.memory must be a positive quantity such as 4Gi",
        ),
        ("name: invalid", "name: a.b", "metadata.name: at most 45 of a-z, 0-9 and '-'"),
        (
            "spec:\n",
            "spec:\n  proof: {entrypoint: V1, weightBinding: Batched}\n",
            "V1 takes weightBinding Sequential only",
        ),
        ("spec:\n", "spec:\n  submission: {}\n", "submission: set exactly one of dryRun"),
    ] {
        let manifest = good.replacen(from, to, 1);
        assert_ne!(manifest, good, "{from}");
        let refused = try_apply(&manifest, &["--dry-run=server"]).expect_err(&manifest);
        assert!(refused.contains(advice), "`{advice}` is not in: {refused}");
    }
    try_apply(&good, &["--dry-run=server"]).unwrap();
}

#[test]
fn a_field_of_a_later_version_ends_the_job_with_its_name() {
    install();
    apply(&proof_job("later", "{prompt: Hello}", "  proof: {mode: Recursive}\n"));
    wait_for("the job is refused", 20, || get("proofjob", "later")["status"]["phase"] == "Failed");
    let status = get("proofjob", "later")["status"].take();
    let stalled = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Stalled").unwrap().clone();
    assert_eq!((stalled["status"].as_str(), stalled["reason"].as_str()), (Some("True"), Some("Unsupported")));
    assert!(stalled["message"].as_str().unwrap().contains("spec.proof.mode"), "{stalled}");
    delete_and_wait("later");
}

#[test]
fn a_job_that_waits_says_why_from_the_first_look() {
    install();
    let no_model = proof_job("wait-model", "{prompt: Hello}", "").replace("name: tiny-chat", "name: nowhere");
    let no_gpu = proof_job("wait-gpu", "{prompt: Hello}", "")
        .replace("{cpu: {cores: 250m, memory: 2Gi}}", "{gpu: {classes: [H100], minMemory: 80Gi, gpuOnly: false}}");
    let no_claim = proof_job("wait-claim", "{prompt: Hello}", "  artifacts: {size: huge}\n");
    for (name, manifest, reason, words) in [
        ("wait-claim", no_claim, "CreateRefused", "PersistentVolumeClaim wait-claim-artifacts: "),
        ("wait-model", no_model, "ModelCacheNotFound", "no ModelCache nowhere in this namespace"),
        ("wait-gpu", no_gpu, "NoMatchingGpu", "no node has a GPU that its labels tell; asked for H100 with 80Gi"),
    ] {
        apply(&manifest);
        let condition = || {
            let conditions = get("proofjob", name)["status"]["conditions"].take();
            conditions.as_array().into_iter().flatten().find(|c| c["type"] == "Ready").cloned().unwrap_or_default()
        };
        // What the API server says of a child comes after the first status.
        wait_for("there is a reason", 20, || ![Value::Null, "Proving".into()].contains(&condition()["reason"]));
        assert_eq!(condition()["reason"], reason);
        assert!(condition()["message"].as_str().unwrap().contains(words), "{}", condition());
        delete_and_wait(name);
    }
}

#[test]
fn a_job_with_a_childs_name_and_labels_is_nobodys_child() {
    install();
    apply(
        "apiVersion: batch/v1
kind: Job
metadata:
  name: moon-prove-1
  labels: {proving.obelysk.dev/proofjob: moon, proving.obelysk.dev/step: prove, proving.obelysk.dev/attempt: '1'}
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: forger, image: forger}]}}}
",
    );
    apply(&proof_job("moon", "{prompt: 'What is 7 + 5?', chat: true, maxNewTokens: 4}", ""));
    wait_for("the conflict is named", 30, || {
        let summary = get("proofjob", "moon")["status"]["summary"].take();
        summary.as_str().is_some_and(|summary| summary.starts_with("Job moon-prove-1 exists and is not of this object"))
    });
    kubectl(&["delete", "job", "moon-prove-1", "--wait"]);
    wait_for_phase("moon", "Succeeded", 240);
    delete_and_wait("moon");
}

#[test]
fn a_prompt_that_is_too_long_fails_once_with_the_models_limit() {
    install();
    let tokens: Vec<String> = (0..300).map(|_| "260".to_owned()).collect();
    apply(&proof_job("too-long", &format!("{{tokens: [{}]}}", tokens.join(", ")), ""));
    wait_for("the job fails", 90, || get("proofjob", "too-long")["status"]["phase"] == "Failed");
    let status = get("proofjob", "too-long")["status"].take();
    assert_eq!(status["attempts"].as_array().unwrap().len(), 1, "a user's mistake is not tried again");
    assert_eq!(status["attempts"][0]["class"], "User");
    assert!(status["summary"].as_str().unwrap().contains("256"), "{status}");
    delete_and_wait("too-long");
}
