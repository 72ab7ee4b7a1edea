//! Writes a proof folder of a small model: where fuzzing starts.

use std::env;
use std::path::PathBuf;

use obelysk_tests::subject::{Subject, fixture};

fn main() {
    let folder = PathBuf::from(env::args_os().nth(1).expect("usage: honest-folder DIR"));
    let subject = Subject::new(&fixture("qwen3"), &[&[5, 6]], 1);
    let proof = subject.prove(&subject.witness).expect("the engine's own answer");
    subject.write(&folder, &proof);
}
