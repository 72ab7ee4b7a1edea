//! Engines that cheat and are consistent about it: one thing is wrong, and everything that follows is computed from it, up to another
//! answer.

pub mod answers;
pub mod engines;
pub mod entries;
pub mod solver;

use std::sync::Arc;

use obelysk_model::integer::IntegerModel;
use obelysk_model::quantize::QuantizedModel;
use obelysk_statement::compile;
use obelysk_statement::description::Inference;
use obelysk_verifier::VerifyError;
use obelysk_witness::{Assignment, check_relation};

use crate::subject::Subject;
use solver::{Change, Solver};

/// A false claim with the witness of an engine that cheats.
pub struct Cheat {
    /// What the engine does.
    pub name: String,
    /// The claim: the model that is trusted, and what the engine answers.
    pub subject: Subject,
    /// The relations that do not hold, over integers.
    pub broken: Vec<String>,
}

impl Cheat {
    /// The claim that `trusted` gives these answers, with a witness that somebody else made.
    ///
    /// # Panics
    /// If the statement does not compile.
    #[must_use]
    pub fn new(name: &str, trusted: &Subject, inferences: Vec<Inference>, witness: Assignment) -> Self {
        let statement = compile(&trusted.model.description, &inferences).expect("a sound statement");
        let (model, committed) = (trusted.model.clone(), Arc::clone(&trusted.committed));
        let subject = Subject { model, inferences, statement, committed, witness };
        let holds = |named| check_relation(&subject.statement, &subject.model.weights, &subject.witness, named).is_ok();
        let broken = subject.statement.relations.iter().filter(|named| !holds(named));
        let broken = broken.map(|named| named.name.clone()).collect();
        Self { name: name.to_owned(), subject, broken }
    }

    /// The claim that `trusted` answers its prompts as another model does.
    ///
    /// # Panics
    /// If the other model cannot answer.
    #[must_use]
    pub fn of_engine(name: &str, trusted: &Subject, other: &QuantizedModel) -> Self {
        let engine = IntegerModel::new(other);
        let answer = |inference: &Inference| Inference {
            prompt_tokens: inference.prompt_tokens.clone(),
            output_tokens: engine
                .generate(&inference.prompt_tokens, inference.output_tokens.len(), &[])
                .expect("a valid prompt"),
        };
        let inferences: Vec<Inference> = trusted.inferences.iter().map(answer).collect();
        let (witness, _) = engine.witness(&inferences).expect("the engine's own answers");
        Self::new(name, trusted, inferences, witness)
    }

    /// The claim that `trusted` answers as its relations do where an entry is changed on the way.
    ///
    /// # Panics
    /// If the trusted claim is not of one inference with one token.
    #[must_use]
    pub fn of_change(name: &str, trusted: &Subject, change: Change) -> Self {
        let solver = |statement, start| Solver::new(statement, &trusted.model.weights, change).starting_at(start);
        let witness = solver(&trusted.statement, &trusted.witness).solve();
        let logits = solver(&trusted.statement, &witness).logits();
        let [asked] = trusted.inferences.as_slice() else { panic!("one inference") };
        let best = (0..logits.len()).rev().max_by_key(|&token| logits[token]).expect("a vocabulary");
        let claimed = Inference { output_tokens: vec![best as u32], ..asked.clone() };
        if claimed == *asked {
            return Self::new(name, trusted, vec![claimed], witness);
        }
        let statement = compile(&trusted.model.description, std::slice::from_ref(&claimed)).expect("a sound statement");
        let witness = solver(&statement, &witness).solve();
        Self::new(name, trusted, vec![claimed], witness)
    }

    /// Whether the answer is another one than that of the model that is trusted.
    #[must_use]
    pub fn answers_otherwise(&self, trusted: &Subject) -> bool {
        self.subject.inferences != trusted.inferences
    }

    /// What the verifier says of the proof that honest code makes of it.
    ///
    /// # Errors
    /// Why it is refused.
    ///
    /// # Panics
    /// If no proof can be made at all.
    pub fn verdict(&self) -> Result<(), VerifyError> {
        let proof = self.subject.prove(&self.subject.witness).expect("the prover proves anything");
        self.subject.verify(&proof)
    }
}
