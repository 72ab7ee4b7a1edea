//! The proof itself, on the device that works: the statement, its values, and the prover.

use std::time::{Duration, Instant};

use obelysk_model::integer::IntegerModel;
use obelysk_prover::{Backend, Cpu, DeviceError, Phases, ProveError, Proven};
use obelysk_statement::tree::Digest;
use obelysk_statement::{Inference, Statement};
use obelysk_witness::{Assignment, fill_multiplicities};

use super::prepare::Prepared;
use super::prove::{PhaseTime, require_memory, statement};
use crate::device::{DeviceName, OpenGpu};
use crate::failure::{ExitCode, Failure};

/// What is to be proven.
pub(super) struct Work<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) inferences: &'a [Inference],
    pub(super) header: Vec<u8>,
}

/// A proof that nobody has checked.
pub(super) struct Made {
    pub(super) proof: Vec<u8>,
    /// Of every inference, shape [tokens, vocabulary].
    pub(super) logits: Vec<Vec<i32>>,
    pub(super) root: Digest,
    pub(super) statement: Statement,
    pub(super) phases: Vec<PhaseTime>,
    /// Without the commitment to the weights.
    pub(super) proving_seconds: f64,
    /// What proved.
    pub(super) device: DeviceName,
}

/// Why a GPU has made no proof.
pub(super) enum GpuFailure {
    /// It gave up: another device may do it.
    Device(DeviceError),
    /// No device could.
    Other(Failure),
}

impl From<Failure> for GpuFailure {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<ProveError> for GpuFailure {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Device(error) => Self::Device(error),
            other => Self::Other(not_made(other.to_string())),
        }
    }
}

fn not_made(error: String) -> Failure {
    Failure::new(ExitCode::ProofFailed, error, "report this with the folder's log")
}

impl Work<'_> {
    pub(super) fn on_the_cpu(&self, device: DeviceName) -> Result<Made, Failure> {
        let start = Instant::now();
        let (statement, estimate) = statement(self.prepared, self.inferences)?;
        let compiling = start.elapsed();
        require_memory(&estimate)?;
        let model = self.prepared.commit()?;
        let root = model.root();
        self.make(&Cpu, (statement, compiling), (&model, root), device)?.map_err(|error| not_made(error.to_string()))
    }

    pub(super) fn on_a_gpu(&self, gpu: &OpenGpu) -> Result<Made, GpuFailure> {
        let start = Instant::now();
        let (statement, _) = statement(self.prepared, self.inferences)?;
        let compiling = start.elapsed();
        let weights = &self.prepared.model.weights;
        gpu.cuda.require_memory(&statement, weights)?;
        let model = gpu.cuda.model(&statement, weights)?;
        let root = model.root();
        let wrong = |reason| GpuFailure::Device(DeviceError::Lost { device: gpu.name.name.clone(), reason });
        // The CPU, if it may step in, finds out whether it is the weights.
        self.prepared.require_root(root).map_err(|_| wrong("it committed to other weights".into()))?;
        let made = self.make(&gpu.cuda, (statement, compiling), (&model, root), gpu.name.clone())??;
        obelysk_verifier::verify(&made.statement, &self.header, root, &made.proof)
            .map_err(|error| wrong(format!("its proof does not verify: {error}")))?;
        Ok(made)
    }

    fn make<B: Backend>(
        &self,
        backend: &B,
        (statement, compiling): (Statement, Duration),
        (model, root): (&B::Model, Digest),
        device: DeviceName,
    ) -> Result<Result<Made, ProveError>, Failure> {
        let start = Instant::now();
        let (witness, logits) = self.values(&statement)?;
        let made = start.elapsed();
        Ok(obelysk_prover::prove(backend, &statement, &self.header, model, witness).map(|proven| {
            let Proven { proof, phases: Phases { times, .. }, .. } = proven;
            let phases = [("witness", made)].into_iter().chain(times);
            let phases = phases.map(|(name, time)| PhaseTime { name: name.into(), seconds: time.as_secs_f64() });
            let (phases, proving_seconds) = (phases.collect(), (compiling + start.elapsed()).as_secs_f64());
            Made { proof, logits, root, statement, phases, proving_seconds, device }
        }))
    }

    fn values(&self, statement: &Statement) -> Result<(Assignment, Vec<Vec<i32>>), Failure> {
        let (mut witness, logits) = IntegerModel::new(&self.prepared.model).witness(self.inferences)?;
        fill_multiplicities(statement, &self.prepared.model.weights, &mut witness)
            .map_err(|miss| not_made(miss.to_string()))?;
        Ok((witness, logits))
    }
}
