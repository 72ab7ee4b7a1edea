//! Text from the engines.

use crate::program::{command, obelysk};

const QUESTION: [&str; 6] = ["infer", "--preset", "tiny-chat", "--prompt", "What is 7 + 5?", "--chat"];

#[test]
fn streamed_text_is_the_answer_and_is_said_once() {
    let home = tempfile::tempdir().unwrap();
    for engine in ["float", "integer"] {
        let output = command(home.path()).args(QUESTION).args(["--engine", engine]).output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "7 + 5 = 12.\n", "{engine}");
    }
}

#[test]
fn json_gives_tokens_and_their_rate() {
    let home = tempfile::tempdir().unwrap();
    let answer = obelysk(home.path(), QUESTION.iter().chain(&["--bench"])).ok();
    assert_eq!(answer["text"], "7 + 5 = 12.");
    assert_eq!(answer["outputTokens"].as_array().unwrap().len(), 10);
    assert!(answer["tokensPerSecond"].as_f64().unwrap() > 0.0);
    assert!(answer["bench"]["minimum"].as_f64().unwrap() <= answer["bench"]["maximum"].as_f64().unwrap());
}

#[test]
fn one_prompt_is_answered_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let failure = obelysk(home.path(), QUESTION.iter().chain(&["--prompt", "And 2 + 9?"])).fails_with(10);
    assert!(failure.message.contains("2 prompts"), "{failure:?}");
}
