//! Conditions, in the manner of kstatus: an unchanged status keeps its transition time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::clip;

/// Set a condition. `status` of `None` is `Unknown`.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: Option<bool>,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let status = match status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let known = conditions.iter().position(|condition| condition.type_ == kind);
    let since =
        known.map(|place| &conditions[place]).filter(|old| old.status == status).map(|old| old.last_transition_time.0);
    let condition = Condition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: clip(message, 1024),
        observed_generation: Some(generation),
        last_transition_time: Time(since.unwrap_or(now)),
    };
    match known {
        Some(place) => conditions[place] = condition,
        None => conditions.push(condition),
    }
}

/// Let the condition `Ready` say what stands in the way of a deletion, whatever its status.
pub fn say_blocked(conditions: &mut [Condition], reason: &str, message: &str) {
    if let Some(ready) = conditions.iter_mut().find(|condition| condition.type_ == "Ready") {
        ready.reason = reason.into();
        ready.message = message.into();
    }
}

/// Whether a condition is `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_status_moves_the_transition_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut conditions = Vec::new();
        set(&mut conditions, "Ready", Some(false), "Waiting", "for the model", 1, at(10));
        set(&mut conditions, "Ready", Some(false), "Waiting", "for a node", 1, at(20));
        assert_eq!(conditions[0].last_transition_time.0, at(10));
        assert_eq!(conditions[0].message, "for a node");
        set(&mut conditions, "Ready", Some(true), "Done", "", 1, at(30));
        assert_eq!(conditions[0].last_transition_time.0, at(30));
        assert_eq!(conditions.len(), 1);
    }
}
