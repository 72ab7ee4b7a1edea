//! The proof itself, on the device that works: the statement, its values, and the prover.

use std::time::{Duration, Instant};

use obelysk_model::ModelError;
use obelysk_model::integer::IntegerModel;
use obelysk_prover::{Backend, Cpu, DeviceError, ProveError, Proven};
use obelysk_statement::tree::Digest;
use obelysk_statement::{Inference, Statement};
use obelysk_verifier::VerifyError;
use obelysk_witness::{Assignment, fill_multiplicities};

use super::Observer;
use super::prepare::Prepared;
use super::products::by_products;
use super::prove::{PhaseTime, require_memory, require_memory_beside_a_gpu, statement};
use crate::device::{Device, DeviceName, OpenGpu, gave_up};
use crate::failure::{ExitCode, Failure};

/// What is to be proven.
pub(super) struct Work<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) inferences: &'a [Inference],
    pub(super) header: Vec<u8>,
}

/// A proof that the verifier has accepted.
pub(super) struct Made {
    pub(super) proof: Vec<u8>,
    /// Proven bits, all phases composed.
    pub(super) security_bits: f64,
    /// Of every inference, shape [tokens, vocabulary].
    pub(super) logits: Vec<Vec<i32>>,
    pub(super) phases: Vec<PhaseTime>,
    /// Without the commitment to the weights.
    pub(super) proving_seconds: f64,
    /// What proved.
    pub(super) device: DeviceName,
}

/// Values of a witness, multiplicities apart, and the logits of every inference.
type Witness = (Assignment, Vec<Vec<i32>>);

/// Why a device has made no proof.
enum NotMade {
    /// It gave up: another device may do it.
    Device(DeviceError),
    /// What it made does not verify.
    Wrong(VerifyError),
    /// No device could.
    Other(Failure),
}

impl From<Failure> for NotMade {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<ProveError> for NotMade {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Device(error) => Self::Device(error),
            other => Self::Other(not_made(other.to_string())),
        }
    }
}

impl NotMade {
    /// That of a device after which no other is asked.
    fn into_failure(self) -> Failure {
        match self {
            Self::Device(error) => not_made(error.to_string()),
            Self::Wrong(error) => {
                let message = format!("the new proof does not verify: {error}");
                let hint = "no proof was saved; report this with the folder's log";
                Failure::new(ExitCode::SelfVerification, message, hint)
            }
            Self::Other(failure) => failure,
        }
    }
}

fn not_made(error: String) -> Failure {
    Failure::new(ExitCode::ProofFailed, error, "report this with the folder's log")
}

impl Work<'_> {
    /// Prove on a device, or on the CPU where it may step in, which the observer is told.
    pub(super) fn make(&self, device: &Device, observer: &dyn Observer) -> Result<Made, Failure> {
        let Some(gpu) = device.as_gpu() else { return self.on_the_cpu(device.name().clone()) };
        match self.on_a_gpu(gpu) {
            Err(NotMade::Device(error)) if gpu.cpu_may_step_in => {
                let why = format!("{} gave up: {error}", gpu.name.name);
                observer.note(&format!("{why}; the CPU proves instead"));
                self.on_the_cpu(DeviceName::cpu(why))
            }
            Err(NotMade::Device(error)) => Err(gave_up(&error)),
            other => other.map_err(NotMade::into_failure),
        }
    }

    fn on_the_cpu(&self, device: DeviceName) -> Result<Made, Failure> {
        let start = Instant::now();
        let (statement, estimate) = statement(self.prepared, self.inferences)?;
        let compiling = start.elapsed();
        require_memory(&estimate)?;
        let model = self.prepared.commit()?;
        let root = model.root();
        let witness = || {
            let computed = IntegerModel::new(&self.prepared.model).witness(self.inferences);
            computed.map_err(|error| NotMade::Other(error.into()))
        };
        let made = self.prove(&Cpu, (&statement, compiling), (&model, root), witness, device);
        made.map_err(NotMade::into_failure)
    }

    /// What does not verify is the GPU's fault.
    fn on_a_gpu(&self, gpu: &OpenGpu) -> Result<Made, NotMade> {
        let start = Instant::now();
        let (statement, estimate) = statement(self.prepared, self.inferences)?;
        let compiling = start.elapsed();
        require_memory_beside_a_gpu(&estimate)?;
        let weights = &self.prepared.model.weights;
        let digest = &self.prepared.digest;
        gpu.cuda.require_memory(&statement, weights, gpu.kept_bytes(digest) > 0)?;
        let weights = gpu.weights(digest, weights).map_err(NotMade::Device)?;
        let model = gpu.cuda.model(&statement, weights)?;
        let root = model.root();
        let wrong = |reason| NotMade::Device(DeviceError::Lost { device: gpu.name.name.clone(), reason });
        // The CPU, if it may step in, finds out whether it is the weights.
        self.prepared.require_root(root).map_err(|_| wrong("it committed to other weights".into()))?;
        let witness = || {
            let computed = by_products(gpu, model.weights(), |products| {
                IntegerModel::new(&self.prepared.model).multiplied_by(products).witness(self.inferences)
            });
            computed.map_err(NotMade::Device)?.map_err(|error| match error {
                // The engine answers otherwise than before.
                ModelError::Mismatch(reason) => wrong(reason),
                other => NotMade::Other(other.into()),
            })
        };
        let device = gpu.name.clone();
        self.prove(&gpu.cuda, (&statement, compiling), (&model, root), witness, device).map_err(|error| match error {
            NotMade::Wrong(error) => wrong(format!("its proof does not verify: {error}")),
            other => other,
        })
    }

    fn prove<B: Backend>(
        &self,
        backend: &B,
        (statement, compiling): (&Statement, Duration),
        (model, root): (&B::Model, Digest),
        witness: impl FnOnce() -> Result<Witness, NotMade>,
        device: DeviceName,
    ) -> Result<Made, NotMade> {
        let start = Instant::now();
        let (mut witness, logits) = witness()?;
        fill_multiplicities(statement, &self.prepared.model.weights, &mut witness)
            .map_err(|miss| not_made(miss.to_string()))?;
        let made = start.elapsed();
        let Proven { proof, phases, .. } = obelysk_prover::prove(backend, statement, &self.header, model, witness)?;
        let proving_seconds = (compiling + start.elapsed()).as_secs_f64();
        let phases = [("witness", made)].into_iter().chain(phases.times);
        let phases = phases.map(|(name, time)| PhaseTime { name: name.into(), seconds: time.as_secs_f64() }).collect();
        let security = obelysk_verifier::verify(statement, &self.header, root, &proof).map_err(NotMade::Wrong)?;
        Ok(Made { proof, security_bits: security.bits(), logits, phases, proving_seconds, device })
    }
}
