//! What is not supported yet says so: it is never silently ignored.

use crate::program::obelysk;

const RUN: [&str; 5] = ["run", "--preset", "tiny-chat", "--prompt", "hello"];

#[test]
fn an_unknown_preset_is_a_mistake_that_lists_the_known_ones() {
    let home = tempfile::tempdir().unwrap();
    let failure = obelysk(home.path(), ["run", "--preset", "tinychat", "--prompt", "hello"]).fails_with(10);
    assert!(failure.message.contains("tinychat") && failure.message.contains("tiny-chat"), "{failure:?}");
}

#[test]
fn flags_of_later_versions_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let flags: [&[&str]; 5] =
        [&["--mode", "direct"], &["--mode", "recursive"], &["--starknet-ready"], &["--gkr-v2"], &["--gkr-v3"]];
    for flag in flags {
        let failure = obelysk(home.path(), RUN.iter().chain(flag)).fails_with(13);
        let name = flag.last().unwrap();
        assert!(failure.message.contains(name), "{failure:?}");
    }
}

#[test]
fn the_gate_refuses_a_submission_before_any_work() {
    let home = tempfile::tempdir().unwrap();
    let failure = obelysk(home.path(), RUN.iter().chain(&["--submit"])).fails_with(22);
    assert!(failure.message.contains("may not be submitted"), "{failure:?}");
    assert!(!home.path().join("models").exists(), "nothing was done");
}
