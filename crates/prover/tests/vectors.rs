//! Test vectors for other implementations of the transcript, the trees and the openings: `tests/fixtures/vectors`. With
//! `BLESS=1` this test writes them, otherwise it compares.

use std::path::PathBuf;

use obelysk_prover::cpu::tree::Leaves;
use obelysk_prover::cpu::whir::{CommittedTiles, Keep, Tiles, commit, evaluate};
use obelysk_statement::fiat_shamir::{FiatShamir, Label, Step};
use obelysk_statement::schedule::Schedule;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{ClaimGroup, OpeningPlan, Stack};
use obelysk_statement::words::{word, words};
use obelysk_statement::{Challenge, Value};
use obelysk_verifier::whir::{Reader, verify};
use p3_field::PrimeCharacteristicRing;
use serde_json::{Value as Json, json};

/// Compare with the file of a name, or write it.
fn check(name: &str, entries: &[(&str, Json)]) {
    let lines: Vec<String> = entries.iter().map(|(key, value)| format!("  {}: {value}", json!(key))).collect();
    let text = format!("{{\n{}\n}}\n", lines.join(",\n"));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/vectors").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).expect("the vectors can be written");
    } else {
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(known, text, "{name} differs; a new specification writes it with BLESS=1");
    }
}

fn challenges(values: &[Challenge]) -> Json {
    json!(values.iter().map(|&value| words(value)).collect::<Vec<_>>())
}

fn digests(values: &[Digest]) -> Json {
    json!(values.iter().map(|value| value.0).collect::<Vec<_>>())
}

#[test]
fn the_transcript_is_that_of_its_vectors() {
    let mut transcript = FiatShamir::default();
    let mut steps = vec![json!({ "operation": "start", "state": transcript.state() })];
    for length in [0u32, 1, 7, 15, 16, 31, 32, 40] {
        let message: Vec<u32> = (0..length).map(|index| (index + length).wrapping_mul(0x9e37_79b9)).collect();
        transcript.absorb(Label::CLAIMS, &message);
        let state = transcript.state();
        let drawn = transcript.challenges(2);
        steps.push(json!({
            "operation": "absorb", "label": "eval", "words": message, "state": state,
            "challenges": challenges(&drawn), "state after": transcript.state(),
        }));
    }
    for (count, bits) in [(1, 1), (9, 20), (20, 5), (32, 5), (17, 32)] {
        let positions = transcript.positions(count, bits);
        steps.push(json!({
            "operation": "positions", "count": count, "bits": bits, "positions": positions, "state": transcript.state(),
        }));
    }
    for bits in [1, 8, 13] {
        let witness = transcript.grind(bits);
        let state = transcript.state();
        let challenge = words(transcript.challenge());
        steps.push(
            json!({ "operation": "work", "bits": bits, "witness": witness, "state": state, "challenge": challenge }),
        );
    }
    check("transcript.json", &[("steps", Json::Array(steps))]);
}

#[test]
fn the_tree_is_that_of_its_vectors() {
    let (rows, width) = (16, 20);
    let entries: Vec<Value> = (0..rows * width).map(|index| Value::from_u64(index as u64 * 0x9e37_79b9)).collect();
    let mut leaves = Leaves::new(rows, width);
    leaves.absorb_matrix(&entries, width);
    let tree = leaves.into_tree(0);
    let rows: Vec<Vec<u32>> = entries.chunks(width).map(|row| row.iter().map(|&entry| word(entry)).collect()).collect();
    let leaves: Vec<Digest> = rows.iter().map(|row| Digest::of_row(row.iter().copied())).collect();
    let positions = [1, 4, 5, 11];
    check(
        "tree.json",
        &[
            ("rows", json!(rows)),
            ("leaves", digests(&leaves)),
            ("first node", json!(Digest::of_children(leaves[0], leaves[1]).0)),
            ("root", json!(tree.root().0)),
            ("positions", json!(positions)),
            ("siblings", digests(&tree.siblings(&positions, width, |_| Vec::new()))),
        ],
    );
}

#[test]
fn an_opening_is_that_of_its_vectors() {
    let schedule =
        Schedule { folds: vec![3, 2], log_inverse_rate: 1, later_rates: vec![2], grinding: 4, term_security: 12 };
    let arities = [9, 6, 6, 3, 1];
    let plan = OpeningPlan::new(Stack::new(&arities, 3, 0), &schedule).expect("a plan");
    let tiles: Vec<Vec<i16>> = arities
        .iter()
        .map(|&arity| {
            (0..1 << arity).map(|index| ((((index + arity) * 0x9e37_79b9) >> 20) & 0xfff) as i16 - 2048).collect()
        })
        .collect();
    let cells = Tiles(tiles.iter().map(Vec::as_slice).collect());
    let commitment = commit(&plan, &cells, Keep::Codeword);
    let mut transcript = FiatShamir::recording();
    transcript.absorb(Label::ROOT, &commitment.root().0);
    let groups: Vec<ClaimGroup> = [vec![0], vec![1, 2], vec![3], vec![4]]
        .into_iter()
        .map(|tiles| ClaimGroup { point: transcript.challenges(arities[tiles[0]]), tiles, values: Vec::new() })
        .collect();
    let claims = evaluate(&plan, &cells, groups);
    let groups = &claims.groups;
    let values: Vec<Challenge> = groups.iter().flat_map(|group| group.values.clone()).collect();
    transcript.absorb_challenges(Label::CLAIMS, &values);
    let mut verifier = transcript.clone();
    let committed = CommittedTiles { plan: &plan, codeword: &commitment, cells: &cells };
    let opening = committed.open(&claims, &mut transcript).expect("a processor");
    let bytes = opening.encode();
    let mut reader = Reader::new(&bytes);
    assert_eq!(verify(&plan, commitment.root(), groups, &mut reader, &mut verifier), Ok(()));
    assert_eq!(reader.finish(), Ok(()));
    assert_eq!(verifier.state(), transcript.state());

    let codes = plan.codes.iter().map(|code| {
        json!({
            "variables": code.variables, "fold": code.fold, "inverse rate": 1 << code.log_inverse_rate,
            "fold grinding": code.fold_grinding, "queries": code.queries, "query grinding": code.query_grinding,
        })
    });
    let stacked =
        plan.stack.tiles.iter().zip(&tiles).map(
            |(stacked, entries)| json!({ "variables": stacked.arity, "offset": stacked.offset, "entries": entries }),
        );
    let claims = groups.iter().map(|group| {
        let claims: Vec<Json> = group
            .tiles
            .iter()
            .zip(&group.values)
            .map(|(&tile, &value)| json!({ "tile": tile, "value": words(value) }))
            .collect();
        json!({ "point": challenges(&group.point), "claims": claims })
    });
    check(
        "opening.json",
        &[
            ("variables", json!(plan.variables())),
            ("codes", codes.collect()),
            ("last variables", json!(plan.last_variables)),
            ("last grinding", json!(plan.last_grinding)),
            ("tiles", stacked.collect()),
            ("root", json!(commitment.root().0)),
            ("groups", claims.collect()),
            ("steps", json!(transcript.steps().iter().map(Step::to_string).collect::<Vec<_>>())),
            ("proof", json!(opening.words())),
            ("state", json!(transcript.state())),
        ],
    );
}
