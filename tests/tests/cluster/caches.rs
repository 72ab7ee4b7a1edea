//! What becomes of a ModelCache.

use crate::kubectl::{
    apply, cache, delete_and_wait, get, install, kubectl, long_inference, names, phase, proof_job, wait_for,
    wait_for_phase,
};

const QUESTION: &str = "{prompt: 'What is 7 + 5?', chat: true, maxNewTokens: 4}";

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
