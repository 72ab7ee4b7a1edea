//! What a stranger is given: a folder of three files, none of which is believed.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use obelysk_model::quantize::{Precision, QuantizedModel};
use obelysk_statement::description::Inference;
use obelysk_statement::tree::Digest;
use obelysk_statement::{ModelDescription, Profile};
use obelysk_tests::derived::without_clamp_tables;
use obelysk_tests::subject::{Subject, fixture, prove_whatever, quantized};
use obelysk_verifier::folder::{Expectations, FolderError, ProofFolder};
use rayon::prelude::*;
use serde_json::Value;

/// A change, and what it is or is refused with.
type Named<T> = (&'static str, T);

/// Two models of the same shapes, and a proof of the first.
struct Fixture {
    other: QuantizedModel,
    folder: ProofFolder,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let model = || without_clamp_tables(quantized(&fixture("qwen3"), Some(Precision::PLAIN)));
    let subject = Subject::of_model(model(), &[&[5, 6], &[7]], 1);
    let mut other = model();
    other.description.hidden_norm.epsilon += 1;
    let proof = subject.prove(&subject.witness).unwrap();
    let folder = ProofFolder { description: subject.model.description.clone(), claim: subject.claim(), proof };
    folder.check(&Expectations::default()).expect("the folder convinces before it is changed");
    Fixture { other, folder }
});

fn refusal(change: impl FnOnce(&mut ProofFolder)) -> String {
    let mut folder = FIXTURE.folder.clone();
    change(&mut folder);
    folder.check(&Expectations::default()).expect_err("a changed folder").to_string()
}

#[test]
fn another_model_under_a_trusted_digest_is_refused() {
    // The proof is of the other model, honestly made; the claim has the digest of the one that is trusted.
    let trusted = FIXTURE.folder.claim.model_digest.clone();
    let subject = Subject::of_model(FIXTURE.other.clone(), &[&[5, 6], &[7]], 1);
    let mut claim = subject.claim();
    claim.model_digest.clone_from(&trusted);
    let proven = prove_whatever(&subject.statement, &claim.header(), &subject.committed, &subject.witness);
    let folder = ProofFolder { description: subject.model.description.clone(), claim, proof: proven.unwrap().proof };
    let expected = Expectations { model_digest: Some(trusted), ..Expectations::default() };
    let refused = folder.check(&expected).expect_err("a proof of another model").to_string();
    assert!(refused.contains("model digest"), "{refused}");
    // Under its own digest the same model convinces.
    let proof = subject.prove(&subject.witness).unwrap();
    let honest = ProofFolder { description: subject.model.description.clone(), claim: subject.claim(), proof };
    assert!(honest.check(&Expectations::default()).is_ok());
    assert!(honest.check(&expected).is_err());
}

#[test]
fn constants_of_a_model_are_not_outside_of_its_digest() {
    let changes: [Named<fn(&mut ModelDescription)>; 9] = [
        ("score step", |model| model.attention.score_step += 1),
        ("epsilon", |model| model.hidden_norm.epsilon += 1),
        ("numerator of roots", |model| model.hidden_norm.constant += 1),
        ("base of frequencies", |model| model.rotary.theta += 1),
        ("bound of a weight", |model| model.weights.get_mut("embedding").unwrap().magnitude += 1),
        ("mass of a row", |model| model.weights.get_mut("query_weight").unwrap().row_mass += 1),
        ("norm of a row", |model| model.weights.get_mut("query_weight").unwrap().row_norm += 1),
        ("longest sequence", |model| model.shape.positions -= 1),
        ("digest of weights", |model| model.weights_digest = "00".repeat(32)),
    ];
    for (name, change) in changes {
        let refused = refusal(|folder| change(&mut folder.description));
        assert!(refused.contains("model digest"), "{name}: {refused}");
        // With the digest of the changed description the proof is of another statement, or of another claim.
        let refused = refusal(|folder| {
            change(&mut folder.description);
            let root = hex(&folder.claim.weight_root);
            folder.claim.model_digest = text(&folder.description.digest(Profile::Blake2s, root));
        });
        assert!(refused.contains("the proof does not hold"), "{name}: {refused}");
    }
}

/// Paths of all numbers, texts and absent values of a JSON document.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(value, &format!("{path}/{name}"), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, value)| leaves(value, &format!("{path}/{place}"), found));
        }
        _ => found.push(path.to_owned()),
    }
}

/// What a leaf becomes.
fn changes(leaf: &Value) -> Vec<Value> {
    match leaf {
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            [number + 1, number - 1, 2 * number + 3].map(Value::from).to_vec()
        }
        Value::Bool(flag) => vec![Value::from(!flag)],
        Value::Null => vec![Value::from(1)],
        Value::String(text) => {
            let last = if text.ends_with('0') { "1" } else { "0" };
            vec![Value::from(format!("{}{last}", &text[..text.len() - 1])), Value::from("")]
        }
        _ => unreachable!("a leaf"),
    }
}

#[test]
fn every_leaf_of_the_description_and_of_the_claim_is_bound() {
    let folder = &FIXTURE.folder;
    let description = serde_json::to_value(&folder.description).unwrap();
    let claim = serde_json::to_value(&folder.claim).unwrap();
    let mut cases: Vec<(bool, String, Value)> = Vec::new();
    for (of_model, document) in [(true, &description), (false, &claim)] {
        let mut paths = Vec::new();
        leaves(document, "", &mut paths);
        for path in paths {
            let leaf = document.pointer(&path).unwrap();
            cases.extend(changes(leaf).into_iter().map(|value| (of_model, path.clone(), value)));
        }
    }
    let checked = |folder: &ProofFolder| folder.check(&Expectations::default()).is_ok();
    let accepted: Vec<&(bool, String, Value)> = cases
        .par_iter()
        .filter(|(of_model, path, value)| {
            let mut document = if *of_model { description.clone() } else { claim.clone() };
            *document.pointer_mut(path).unwrap() = value.clone();
            let mut changed = folder.clone();
            if *of_model {
                let Ok(description) = serde_json::from_value(document) else { return false };
                changed.description = description;
            } else {
                let Ok(claim) = serde_json::from_value(document) else { return false };
                changed.claim = claim;
            }
            let mut rehashed = changed.clone();
            if rehashed.claim.weight_root.len() == folder.claim.weight_root.len() {
                let root = hex(&rehashed.claim.weight_root);
                rehashed.claim.model_digest = text(&rehashed.description.digest(Profile::Blake2s, root));
            }
            // The digest in the claim is what its change is: recomputed, it is what it was.
            checked(&changed) || path != "/modelDigest" && checked(&rehashed)
        })
        .collect();
    println!("{} changes, each under the old digest and under a new one", cases.len());
    assert!(accepted.is_empty(), "{accepted:#?}");
}

fn hex(text: &str) -> Digest {
    Digest::from_bytes(std::array::from_fn(|byte| u8::from_str_radix(&text[2 * byte..2 * byte + 2], 16).unwrap()))
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn hex_has_one_spelling() {
    let fields: [fn(&mut ProofFolder) -> &mut String; 2] =
        [|folder| &mut folder.claim.weight_root, |folder| &mut folder.claim.nonce];
    for field in fields {
        let mut folder = FIXTURE.folder.clone();
        let spelling = field(&mut folder);
        *spelling = spelling.replace('0', "a").to_uppercase();
        let refused = folder.check(&Expectations::default()).expect_err("another spelling").to_string();
        assert!(refused.contains("lower-case hex"), "{refused}");
        let changes: [fn(&mut String); 3] =
            [|text| text.truncate(text.len() - 2), |text| text.push_str("00"), |text| text.replace_range(..1, "x")];
        for change in changes {
            let mut folder = FIXTURE.folder.clone();
            change(field(&mut folder));
            let refused = folder.check(&Expectations::default()).expect_err("no 32 bytes").to_string();
            assert!(refused.contains("lower-case hex"), "{refused}");
        }
    }
}

#[test]
fn a_claim_of_another_specification_is_not_judged() {
    let mut folder = FIXTURE.folder.clone();
    folder.claim.specification += 1;
    let refused = folder.check(&Expectations::default());
    assert!(matches!(refused, Err(FolderError::OtherSpecification { .. })), "{refused:?}");
}

#[test]
fn a_description_of_another_specification_does_not_compile() {
    let refused = refusal(|folder| {
        folder.description.specification += 1;
        let root = hex(&folder.claim.weight_root);
        folder.claim.model_digest = text(&folder.description.digest(Profile::Blake2s, root));
    });
    assert!(refused.contains("specification"), "{refused}");
}

#[test]
fn what_is_expected_is_compared() {
    let folder = &FIXTURE.folder;
    let [first, second] = &folder.claim.inferences()[..] else { panic!("two inferences") };
    let expect = |change: fn(&mut Expectations, &Inference)| {
        let mut expected = Expectations::default();
        change(&mut expected, first);
        folder.check(&expected).map_err(|error| error.to_string())
    };
    assert!(expect(|_, _| {}).is_ok());
    assert!(expect(|expected, first| expected.prompt_tokens = Some(first.prompt_tokens.clone())).is_ok());
    assert!(expect(|expected, first| expected.output_tokens = Some(first.output_tokens.clone())).is_ok());
    for (words, change) in [
        (
            "model digest",
            (|expected, _| expected.model_digest = Some("00".repeat(32))) as fn(&mut Expectations, &Inference),
        ),
        ("prompt tokens", |expected, _| expected.prompt_tokens = Some(vec![1])),
        ("output tokens", |expected, _| expected.output_tokens = Some(vec![1])),
        ("nonce", |expected, _| expected.nonce = Some("01".repeat(32))),
    ] {
        let refused = expect(change).expect_err(words);
        assert!(refused.contains(words), "{refused}");
    }
    // The prompt of one inference with the answer to the other.
    if first.output_tokens != second.output_tokens {
        let mixed = Expectations {
            prompt_tokens: Some(first.prompt_tokens.clone()),
            output_tokens: Some(second.output_tokens.clone()),
            ..Expectations::default()
        };
        assert!(folder.check(&mixed).is_err());
    }
}

#[test]
fn files_are_read_within_bounds() {
    let written = |change: fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let Fixture { folder: proof, .. } = &*FIXTURE;
        fs::write(path.join("model.json"), proof.description.canonical_json()).unwrap();
        fs::write(path.join("statement.json"), serde_json::to_vec(&proof.claim).unwrap()).unwrap();
        fs::write(path.join("proof.bin"), &proof.proof).unwrap();
        change(path);
        ProofFolder::read(path)
    };
    assert!(written(|_| {}).unwrap().check(&Expectations::default()).is_ok());
    let changes: [Named<fn(&Path)>; 5] = [
        ("bytes", |path| fs::write(path.join("proof.bin"), vec![0; (16 << 20) + 1]).unwrap()),
        ("bytes", |path| fs::write(path.join("model.json"), vec![b' '; (16 << 20) + 1]).unwrap()),
        ("No such file", |path| fs::remove_file(path.join("statement.json")).unwrap()),
        ("regular file", |path| {
            fs::remove_file(path.join("proof.bin")).unwrap();
            fs::create_dir(path.join("proof.bin")).unwrap();
        }),
        ("unknown field", |path| {
            let claim = fs::read_to_string(path.join("statement.json")).unwrap();
            fs::write(path.join("statement.json"), claim.replacen('{', "{\"other\":1,", 1)).unwrap();
        }),
    ];
    for (words, change) in changes {
        match written(change) {
            Err(error @ FolderError::Unreadable { .. }) => assert!(error.to_string().contains(words), "{error}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    let other = written(|path| {
        let claim = fs::read_to_string(path.join("statement.json")).unwrap();
        fs::write(path.join("statement.json"), claim.replacen("\"specification\":", "\"specification\":9", 1)).unwrap();
    });
    assert!(matches!(other, Err(FolderError::OtherSpecification { .. })), "{other:?}");
}
