//! The life of the charts: upgrade, rollback and uninstall, with objects there.

use serde_json::Value;

use crate::kubectl::{
    SYSTEM, apply, cache, delete_and_wait, get, helm, install, install_operator, kubectl, long_inference, names,
    proof_job, running_prover, try_kubectl, wait_for, wait_for_phase,
};

/// The value of an environment variable of the operator that is deployed.
fn deployed(variable: &str) -> Value {
    let text = kubectl(&["-n", SYSTEM, "get", "deployment", "obelysk-operator", "-o", "json"]);
    let deployment: Value = serde_json::from_str(&text).unwrap();
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    let found = variables.into_iter().find(|of| of["name"] == variable);
    found.unwrap_or_else(|| panic!("the operator has no {variable}"))["value"].take()
}

#[test]
fn an_upgrade_and_a_rollback_leave_a_proof_under_way_alone() {
    install();
    apply(&proof_job("upgrade", &long_inference(), ""));
    let prover = running_prover("upgrade");
    install_operator(&["log.level=debug", "replicas=2"]);
    assert_eq!(deployed("RUST_LOG"), "debug");
    assert_eq!(names("pods", "proving.obelysk.dev/proofjob=upgrade,proving.obelysk.dev/step=prove"), [prover]);
    helm(&["rollback", "proving-operator", "--namespace", SYSTEM, "--wait", "--timeout", "2m"]);
    assert_eq!(deployed("RUST_LOG"), "info");
    wait_for_phase("upgrade", "Succeeded", 240);
    let attempts = get("proofjob", "upgrade")["status"]["attempts"].take();
    assert_eq!(attempts.as_array().map(Vec::len), Some(2), "one to prove, one to finish: {attempts}");
    delete_and_wait("upgrade");
}

#[test]
fn a_drain_is_not_held_up_by_the_only_operator() {
    install();
    let text = kubectl(&["-n", SYSTEM, "get", "poddisruptionbudget", "obelysk-operator", "-o", "json"]);
    let mut budget: Value = serde_json::from_str(&text).unwrap();
    if budget["status"]["disruptionsAllowed"] != 1 {
        wait_for("the budget allows a disruption", 30, || {
            let text = kubectl(&["-n", SYSTEM, "get", "poddisruptionbudget", "obelysk-operator", "-o", "json"]);
            budget = serde_json::from_str(&text).unwrap();
            budget["status"]["disruptionsAllowed"] == 1
        });
    }
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
}

#[test]
fn what_is_uninstalled_leaves_every_object_and_a_new_install_goes_on_with_them() {
    install();
    apply(&cache("left"));
    apply(&proof_job("left", "{prompt: 'What is 7 + 5?', chat: true, maxNewTokens: 16}", ""));
    wait_for_phase("left", "Succeeded", 180);
    wait_for("the cache is ready", 120, || get("modelcache", "left")["status"]["phase"] == "Ready");
    helm(&["uninstall", "proving-operator", "--namespace", SYSTEM, "--wait"]);
    helm(&["uninstall", "proving-crds", "--wait"]);
    assert!(get("customresourcedefinition", "proofjobs.proving.obelysk.dev").is_object());
    assert_eq!(get("proofjob", "left")["status"]["phase"], "Succeeded");
    // Nobody takes the finalizer off: the chart's notes say so.
    kubectl(&["delete", "modelcache", "left", "--wait=false"]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(get("modelcache", "left")["metadata"]["deletionTimestamp"].is_string());

    helm(&["upgrade", "--install", "proving-crds", "charts/proving-crds", "--wait"]);
    install_operator(&[]);
    wait_for("the new operator takes the deleted cache away", 90, || get("modelcache", "left").is_null());
    let left = ["-n", SYSTEM, "get", "lease", "obelysk-operator"];
    assert!(try_kubectl(&left).is_ok());
    delete_and_wait("left");
}
