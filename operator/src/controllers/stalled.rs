//! The status of an object that no plan can be made for: it says why, and what else it says stays. Nothing here reads the object as a
//! whole, because it may be one that this version cannot read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{clip, conditions};

/// Reason of what this version cannot read.
pub const UNDECODABLE: &str = "Undecodable";
/// Reason of what this version cannot plan for.
pub const OPERATOR_BUG: &str = "OperatorBug";

/// A merge patch of the status of an object; `None` where it has ended or says so already.
#[must_use]
pub fn patch(object: &Value, generation: i64, reason: &str, message: &str, now: Timestamp) -> Option<Value> {
    let status = &object["status"];
    let before: Vec<Condition> = serde_json::from_value(status["conditions"].clone()).unwrap_or_default();
    if ["Complete", "Failed"].iter().any(|kind| conditions::is_true(&before, kind)) {
        return None;
    }
    let mut after = before.clone();
    for (kind, value) in [("Ready", false), ("Reconciling", false), ("Stalled", true)] {
        conditions::set(&mut after, kind, Some(value), reason, message, generation, now);
    }
    if before == after {
        return None;
    }
    let phase = status["phase"].as_str().unwrap_or("Pending");
    let mut patch = json!({"observedGeneration": generation, "phase": phase, "conditions": after});
    let summary = clip(message, 256);
    if object["kind"] == "ModelCache" {
        patch["progress"] = json!({"summary": summary});
    } else {
        patch["summary"] = json!(summary);
    }
    Some(json!({"status": patch}))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job of a version that knows more.
    fn undecodable(conditions: Value) -> Value {
        json!({
            "kind": "ProofJob",
            "spec": {"proof": {"mode": "Folded"}, "inference": {"prompt": "a secret"}},
            "status": {"phase": "Proving", "conditions": conditions, "later": 1},
        })
    }

    fn condition(kind: &str) -> Value {
        let time = "2026-01-01T00:00:00Z";
        json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": time})
    }

    #[test]
    fn an_object_that_cannot_be_read_says_why_once_and_keeps_what_it_says() {
        let mut object = undecodable(json!([condition("Proved")]));
        let now = Timestamp::UNIX_EPOCH;
        let patch = patch(&object, 3, UNDECODABLE, "unknown variant `Folded`", now).unwrap();
        let status = &patch["status"];
        assert_eq!((&status["phase"], &status["observedGeneration"]), (&json!("Proving"), &json!(3)));
        assert_eq!(status["summary"], "unknown variant `Folded`");
        assert!(status.get("later").is_none() && !patch.to_string().contains("secret"));
        let conditions = status["conditions"].as_array().unwrap();
        let of = |kind: &str| conditions.iter().find(|of| of["type"] == kind).unwrap();
        assert_eq!(of("Proved")["status"], "True");
        assert_eq!((&of("Stalled")["status"], &of("Stalled")["reason"]), (&json!("True"), &json!(UNDECODABLE)));
        assert_eq!((&of("Ready")["status"], &of("Reconciling")["status"]), (&json!("False"), &json!("False")));

        object["status"]["conditions"] = status["conditions"].clone();
        assert_eq!(super::patch(&object, 3, UNDECODABLE, "unknown variant `Folded`", now), None, "it says so already");
    }

    #[test]
    fn an_object_that_has_ended_stays_as_it_ended() {
        for kind in ["Complete", "Failed"] {
            let object = undecodable(json!([condition(kind)]));
            assert_eq!(patch(&object, 1, UNDECODABLE, "", Timestamp::UNIX_EPOCH), None);
        }
        // Conditions that cannot be read either are replaced.
        assert!(patch(&undecodable(json!("none")), 1, OPERATOR_BUG, "", Timestamp::UNIX_EPOCH).is_some());
    }
}
