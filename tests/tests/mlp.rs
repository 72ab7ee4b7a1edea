//! A statement that nobody compiled from a model: what the public builder writes is proven and checked as any other.

use std::sync::Arc;

use obelysk_prover::{CommittedModel, Cpu, prove};
use obelysk_statement::Statement;
use obelysk_statement::tree::Digest;
use obelysk_tests::mlp::Mlp;
use obelysk_verifier::{VerifyError, verify};
use obelysk_witness::{Assignment, Weights, check, fill_multiplicities};

const HEADER: &[u8] = b"a claim";
const MLP: Mlp = Mlp { layers: 3, width: 20 };

struct Subject {
    weights: Arc<Weights>,
    output: Vec<i32>,
    witness: Assignment,
}

impl Subject {
    fn new() -> Self {
        let weights = Arc::new(MLP.weights());
        let (output, witness) = MLP.forward(&weights, &MLP.input());
        Self { weights, output, witness }
    }

    fn wrong_output(&self) -> Vec<i32> {
        let mut output = self.output.clone();
        output[7] ^= 1;
        output
    }

    /// The proof that honest code makes of a claimed output, true or not.
    fn prove(&self, output: &[i32]) -> (Vec<u8>, Digest) {
        let statement = MLP.statement(&MLP.input(), output);
        let model = CommittedModel::new(&statement, Arc::clone(&self.weights)).expect("a small size");
        let proven = prove(&Cpu, &statement, HEADER, &model, self.counted(&statement));
        (proven.expect("the device proves anything").proof, model.root())
    }

    /// What is in no table is not counted.
    fn counted(&self, statement: &Statement) -> Assignment {
        let mut witness = self.witness.clone();
        let _ = fill_multiplicities(statement, &self.weights, &mut witness);
        witness
    }
}

fn accepts(input: &[i32], output: &[i32], (proof, root): &(Vec<u8>, Digest)) -> Result<(), VerifyError> {
    verify(&MLP.statement(input, output), HEADER, *root, proof).map(drop)
}

#[test]
fn an_output_is_proven_and_no_other_input_or_output_with_it() {
    let subject = Subject::new();
    assert!(subject.output.iter().any(|&activation| activation > 0), "{:?}", subject.output);
    let proof = subject.prove(&subject.output);
    let mut other_input = MLP.input();
    other_input[3] += 1;
    assert_eq!(accepts(&MLP.input(), &subject.output, &proof), Ok(()));
    assert!(accepts(&MLP.input(), &subject.wrong_output(), &proof).is_err());
    assert!(accepts(&other_input, &subject.output, &proof).is_err());
}

#[test]
fn a_proof_of_a_wrong_output_does_not_hold() {
    let subject = Subject::new();
    let output = subject.wrong_output();
    let proof = subject.prove(&output);
    assert!(accepts(&MLP.input(), &output, &proof).is_err());
}

#[test]
fn integers_satisfy_the_statement_of_their_output_alone() {
    let subject = Subject::new();
    let holds = |output: &[i32]| {
        let statement = MLP.statement(&MLP.input(), output);
        statement.check().expect("a sound statement");
        check(&statement, &subject.weights, &subject.counted(&statement))
    };
    assert_eq!(holds(&subject.output), Ok(()));
    assert_eq!(holds(&subject.wrong_output()).unwrap_err().relation, "activation 2: relu");
}

#[test]
fn every_input_has_a_proof() {
    // Sums of the largest weights and inputs, of either sign, stay in the tables.
    for weight in [-127, 127] {
        let mut weights = MLP.weights();
        for entries in weights.values_mut() {
            (0..entries.len()).for_each(|place| entries.set(place, weight));
        }
        let input = vec![127; MLP.width];
        let (output, mut witness) = MLP.forward(&weights, &input);
        let statement = MLP.statement(&input, &output);
        assert_eq!(fill_multiplicities(&statement, &weights, &mut witness), Ok(()));
        assert_eq!(check(&statement, &weights, &witness), Ok(()));
    }
}
