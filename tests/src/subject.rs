//! A real model's inference with everything that a proof of it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use obelysk_model::calibration::Calibration;
use obelysk_model::checkpoint::Checkpoint;
use obelysk_model::config::ModelConfig;
use obelysk_model::integer::IntegerModel;
use obelysk_model::quantize::{Precision, QuantizedModel, quantize, quantize_at};
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_prover::{CommittedModel, Cpu, ProveError, Proven, prove};
use obelysk_statement::{Claim, Inference, Mode, Profile, SPECIFICATION, Statement, compile};
use obelysk_verifier::{VerifyError, verify};
use obelysk_witness::{Assignment, fill_multiplicities};

/// Inferences, ready to be proven together.
pub struct Subject {
    /// The model.
    pub model: QuantizedModel,
    /// Prompts and answers.
    pub inferences: Vec<Inference>,
    /// What is proven.
    pub statement: Statement,
    /// The weights with their commitment.
    pub committed: Arc<CommittedModel>,
    /// Values of the witness tensors, multiplicities apart.
    pub witness: Assignment,
}

fn answer(engine: &IntegerModel, prompt: &[u32], outputs: usize) -> Inference {
    let output_tokens = engine.generate(prompt, outputs, &[]).expect("a valid prompt");
    Inference { prompt_tokens: prompt.to_vec(), output_tokens }
}

/// The bundled model's folder.
#[must_use]
pub fn tiny_chat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/model/bundle/tiny-chat")
}

/// A fixture's folder.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(name)
}

/// A fixture quantised at a precision, or at the one that the quantiser chooses.
///
/// # Panics
/// If the folder is not a model of a supported architecture: fixtures are.
#[must_use]
pub fn quantized(folder: &Path, precision: Option<Precision>) -> QuantizedModel {
    let config = ModelConfig::read(folder).expect("a config");
    let checkpoint = Checkpoint::open(folder).expect("a checkpoint");
    let calibration = Calibration::of(&ModelTokenizer::open(folder).expect("a tokenizer"), None).expect("texts");
    let model = match precision {
        Some(precision) => quantize_at(precision, &config, &checkpoint, &calibration),
        None => quantize(&config, &checkpoint, &calibration),
    };
    model.expect("a supported model")
}

/// Run the honest prover on values that may not satisfy the statement. Lookups that miss are not counted.
///
/// # Errors
/// What the prover reports.
pub fn prove_whatever(
    statement: &Statement,
    header: &[u8],
    committed: &CommittedModel,
    witness: &Assignment,
) -> Result<Proven, ProveError> {
    let mut witness = witness.clone();
    let _ = fill_multiplicities(statement, committed.weights(), &mut witness);
    prove(&Cpu, statement, header, committed, witness)
}

impl Subject {
    /// Let a model answer prompts.
    ///
    /// # Panics
    /// If the folder is not a model of the supported architecture: fixtures are.
    #[must_use]
    pub fn new(folder: &Path, prompts: &[&[u32]], outputs: usize) -> Self {
        Self::of_model(quantized(folder, None), prompts, outputs)
    }

    /// Let a quantised model answer prompts.
    ///
    /// # Panics
    /// If the model or a prompt is not valid.
    #[must_use]
    pub fn of_model(model: QuantizedModel, prompts: &[&[u32]], outputs: usize) -> Self {
        let engine = IntegerModel::new(&model);
        let inferences: Vec<Inference> = prompts.iter().map(|prompt| answer(&engine, prompt, outputs)).collect();
        let statement = compile(&model.description, &inferences).expect("a sound statement");
        let (witness, _) = engine.witness(&inferences).expect("the engine's own answers");
        let committed = CommittedModel::new(&statement, Arc::clone(&model.weights)).expect("a supported size");
        Self { inferences, statement, committed: Arc::new(committed), witness, model }
    }

    /// Let every windowed layer see `window` positions only, and the model answer anew.
    ///
    /// # Panics
    /// If the engine refuses its own answer.
    pub fn narrow_windows(&mut self, window: usize) {
        self.model.description.windows.iter_mut().flatten().for_each(|own| *own = window);
        let engine = IntegerModel::new(&self.model);
        for inference in &mut self.inferences {
            *inference = answer(&engine, &inference.prompt_tokens, inference.output_tokens.len());
        }
        (self.witness, _) = engine.witness(&self.inferences).expect("the engine's own answers");
        self.statement = compile(&self.model.description, &self.inferences).expect("a sound statement");
    }

    /// The claim of these inferences.
    #[must_use]
    pub fn claim(&self) -> Claim {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let root = self.committed.root();
        Claim {
            specification: SPECIFICATION,
            mode: Mode::Gkr,
            profile: Profile::Blake2s,
            nonce: "00".repeat(32),
            model_digest: hex(&self.model.description.digest(Profile::Blake2s, root)),
            weight_root: hex(&root.to_bytes()),
            prompt_tokens: self.inferences[0].prompt_tokens.clone(),
            output_tokens: self.inferences[0].output_tokens.clone(),
            further: self.inferences[1..].to_vec(),
        }
    }

    /// Write the folder that a stranger gets.
    ///
    /// # Panics
    /// If there is no room for it.
    pub fn write(&self, folder: &Path, proof: &[u8]) {
        let json = |written: serde_json::Result<Vec<u8>>| written.expect("plain data");
        let files = [
            ("model.json", json(serde_json::to_vec(&self.model.description))),
            ("statement.json", json(serde_json::to_vec(&self.claim()))),
            ("proof.bin", proof.to_vec()),
        ];
        fs::create_dir_all(folder).expect("a folder for a test");
        for (file, content) in files {
            fs::write(folder.join(file), content).expect("a folder for a test");
        }
    }

    /// [`prove_whatever`] of these inferences.
    ///
    /// # Errors
    /// What the prover reports.
    pub fn prove(&self, witness: &Assignment) -> Result<Vec<u8>, ProveError> {
        prove_whatever(&self.statement, &self.claim().header(), &self.committed, witness).map(|proven| proven.proof)
    }

    /// Run the honest prover on values of all witness tensors, multiplicities included.
    ///
    /// # Errors
    /// What the prover reports.
    pub fn prove_as_counted(&self, witness: Assignment) -> Result<Vec<u8>, ProveError> {
        prove(&Cpu, &self.statement, &self.claim().header(), &self.committed, witness).map(|proven| proven.proof)
    }

    /// Whether a proof convinces of a changed claim, with the statement that the claim asks for.
    pub fn convinces_of(&self, proof: &[u8], change: impl FnOnce(&mut Claim)) -> bool {
        let mut claim = self.claim();
        change(&mut claim);
        match compile(&self.model.description, &claim.inferences()) {
            Ok(statement) => verify(&statement, &claim.header(), self.committed.root(), proof).is_ok(),
            Err(_) => false,
        }
    }

    /// Check a proof of these inferences.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn verify(&self, proof: &[u8]) -> Result<(), VerifyError> {
        verify(&self.statement, &self.claim().header(), self.committed.root(), proof).map(drop)
    }
}
