//! What a fuzzer once found, and what it starts from: the verifier refuses all of it.

use std::path::Path;

use obelysk_fuzz::{Fuzzed, Target, inputs};
use obelysk_tests::hostile::Files;

#[test]
fn every_known_input_is_refused_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    Files::of_fixture("qwen3").write(folder.path(), &[]);
    for target in Target::ALL {
        let fuzzed = Fuzzed::new(folder.path(), target).unwrap();
        let known = inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name())).unwrap();
        assert!(!known.is_empty(), "{target:?} has no inputs");
        for (path, input) in known {
            println!("{path}");
            fuzzed.check(&input);
        }
    }
}
