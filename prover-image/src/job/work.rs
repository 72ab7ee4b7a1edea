//! The kinds of work. Each reports what an earlier attempt finished instead of doing it again.

use std::path::Path;

use obelysk_api::job::{
    AuditResult, Bucket, Finish, GpuUse, Hub, InferenceResult, JobSpec, ModelLocation, ModelResult, Prepare,
    ProofMemory, ProofResult, ProofSize, Prove, QUALITY_REFUSED, Quality, Remove, StepResult, Work,
};
use obelysk_hub::{Endpoint, Location};
use obelysk_statement::{Claim, Inference};
use sha2::{Digest, Sha256};

use super::lifeline::{Lifeline, step_failure};
use super::question;
use crate::artifacts::{AUDIT, Artifacts, RUN, sha256_of_file};
use crate::device::{self, Device, Gpus, Request, Wanted};
use crate::failure::{ExitCode, Failure};
use crate::home::Home;
use crate::pipeline::audit::{self, Original, Verdict};
use crate::pipeline::inputs::{self, HubModel, ModelSelection, ModelSource};
use crate::pipeline::model_files::{self, ModelFiles};
use crate::pipeline::prepare::{self, Prepared};
use crate::pipeline::prove::{self, ProofFacts};
use crate::pipeline::quality::{self, Demand};
use crate::pipeline::record::{RunRecord, Stopwatch};
use crate::pipeline::resume::{Identity, first_step_to_do};
use crate::pipeline::run::{self, RunReport, RunRequest};
use crate::pipeline::verify::{self, Checked};
use crate::pipeline::{Observer, Step, inference};

/// Do a job's work.
pub fn work(spec: &JobSpec, lifeline: &Lifeline) -> Result<StepResult, Failure> {
    let pod = Pod { spec, home: Home::at(&spec.home), lifeline };
    match &spec.work {
        Work::Fetch => pod.fetch(),
        Work::Prepare(prepare) => pod.prepare(prepare),
        Work::Prove(prove) => pod.prove(prove),
        Work::Finish(finish) => pod.finish(finish),
        Work::Remove(remove) => pod.remove(remove),
    }
}

struct Pod<'a> {
    spec: &'a JobSpec,
    home: Home,
    lifeline: &'a Lifeline,
}

impl Pod<'_> {
    fn selection(&self) -> ModelSelection {
        match &self.spec.model {
            ModelLocation::Bundled(name) => ModelSource::preset(name).whole(),
            ModelLocation::Directory(folder) => ModelSource::Directory(folder.clone()).whole(),
            ModelLocation::Bucket(Bucket { bucket, prefix, endpoint, region }) => {
                let prefix = prefix.trim_matches('/').to_owned();
                let (endpoint, region) = (endpoint.clone(), region.clone());
                ModelSource::Bucket(Location { bucket: bucket.clone(), prefix, endpoint, region }).whole()
            }
            ModelLocation::Hub(Hub { reference, endpoint, layers }) => {
                let endpoint = endpoint.clone().unwrap_or_else(|| Endpoint::DEFAULT.into());
                let source = ModelSource::Hub(HubModel { reference: reference.clone(), endpoint });
                ModelSelection { source, layers: layers.map(|layers| layers as usize) }
            }
        }
    }

    fn artifacts(&self) -> Result<&Path, Failure> {
        self.spec.artifacts.as_deref().ok_or_else(|| {
            let hint = "the operator and the image must be of the same version";
            Failure::new(ExitCode::BadSpec, "the job has no artifacts folder", hint)
        })
    }

    /// The pod's GPUs, if it shall have some.
    fn device(&self, work: &Prove) -> Result<Device, Failure> {
        let request = match work.gpu {
            GpuUse::None => Request::Cpu,
            GpuUse::Preferred => Request::Gpu,
            GpuUse::Required => Request::GpuOnly,
        };
        let gpus = if work.gpus == 1 { Gpus::One } else { Gpus::Several(work.gpus as usize) };
        let device = device::choose(Wanted { request, gpus }, &self.home, obelysk_kernels::discover)?;
        self.lifeline.note(&format!("device: {}", device.name()));
        Ok(device)
    }

    fn fetch(&self) -> Result<StepResult, Failure> {
        let mut watch = Stopwatch::new(self.lifeline);
        let files = watch.step(Step::Model, || model_files::pull(&self.home, &self.selection(), self.lifeline))?;
        watch.step(Step::Validate, || files.validate())?;
        Ok(StepResult { model: Some(describe(&files)), ..StepResult::default() })
    }

    fn prepare(&self, work: &Prepare) -> Result<StepResult, Failure> {
        let demand = Demand::of_agreement(work.min_top1_agreement.as_deref())?;
        let mut watch = Stopwatch::new(self.lifeline);
        let files = watch.step(Step::Model, || model_files::find(&self.home, &self.selection()))?;
        let prepared = watch.step(Step::Validate, || {
            files.validate_once()?;
            prepare::load_or_prepare(&files, self.lifeline)
        })?;
        let report = watch.step(Step::Inference, || quality::report(&files, &prepared, self.lifeline))?;
        let worse = report.measured.worse();
        let quality = Quality {
            perplexity_float: worse.perplexity_float,
            perplexity_int: worse.perplexity_int,
            top1_agreement: worse.top1_agreement,
            mean_kl: worse.mean_kl,
            saturation_rate: worse.saturation_rate,
        };
        let mut model = ModelResult { quality: Some(quality), ..describe(&files) };
        match quality::judge(&files.name, &report, &demand) {
            Ok(note) => {
                model.quality_note = note.note;
                model.proof_memory = Some(proof_memory(&files, &prepared)?);
                model.model_digest = Some(prepared.digest);
                Ok(StepResult { model: Some(model), ..StepResult::default() })
            }
            // The numbers of a refused model are worth as much as those of another.
            Err(refusal) => {
                let mut failure = step_failure(Step::Inference.name(), &refusal);
                failure.reason = QUALITY_REFUSED.into();
                Ok(StepResult { failure: Some(failure), model: Some(model), ..StepResult::default() })
            }
        }
    }

    fn prove(&self, work: &Prove) -> Result<StepResult, Failure> {
        let asked = &work.question;
        if asked.mode != "gkr" {
            let message = format!("mode `{}` is not supported yet", asked.mode);
            return Err(Failure::new(ExitCode::Unsupported, message, "set `proof.mode: Gkr`"));
        }
        let model_digest = inputs::parse_bytes32("the model digest", &asked.model_digest)?;
        let nonce = inputs::parse_bytes32("the nonce", &asked.nonce)?;
        let inputs = question::run_inputs(asked, self.selection())?;
        let mut watch = Stopwatch::new(self.lifeline);
        let files = watch.step(Step::Model, || model_files::find(&self.home, &inputs.model))?;
        require_model(&files, &model_digest)?;
        let inputs_digest = inputs.digest(&files.manifest.revision);
        let identity = Identity { inputs_digest: &inputs_digest, model_digest: &model_digest, nonce: &nonce };
        let folder = self.artifacts()?;
        let request = RunRequest {
            demand: Demand::of_agreement(work.min_top1_agreement.as_deref())?,
            resume_from: first_step_to_do(folder, &identity),
            out: Some(folder.to_path_buf()),
            day: Some(asked.day.clone()),
            nonce: Some(nonce),
            inputs,
            // Another pod audits; submitting is a pod of its own.
            skip: vec![Step::Audit, Step::Submit],
            device: self.device(work)?,
        };
        let report = run::run_on(&self.home, watch, &request, &files)?;
        Ok(StepResult {
            model: Some(ModelResult {
                model_digest: Some(model_digest),
                quality_note: report.quality.note.clone(),
                ..describe(&files)
            }),
            inference: Some(inference_result(&report)),
            proof: Some(proof_result(&report.proof, report.verification.security_bits)),
            artifacts: report.artifacts.list()?,
            ..StepResult::default()
        })
    }

    fn finish(&self, work: &Finish) -> Result<StepResult, Failure> {
        let asked = &work.question;
        let expected = question::expectations(asked)?;
        let inputs = question::run_inputs(asked, self.selection())?;
        let mut watch = Stopwatch::new(self.lifeline);
        let artifacts = Artifacts::open(self.artifacts()?)?;
        let files = watch.step(Step::Model, || model_files::find(&self.home, &inputs.model))?;
        let prompts = watch.step(Step::Validate, || {
            require_model(&files, expected.model_digest.as_deref().unwrap_or_default())?;
            inference::encode(&files, &inputs.prompts, Some(&asked.day))
        })?;
        artifacts.discard_from(Step::Verify)?;
        let record: RunRecord = artifacts.read_json(RUN)?;
        let checked = watch.step(Step::Verify, || {
            let checked = verify::check(&artifacts, &expected)?;
            question::require_answered(asked, &prompts, &checked.folder)?;
            verify::record(&artifacts, checked.verification.clone(), record.quality)?;
            Ok(checked)
        })?;
        // What is reported is what was checked: nothing else of the folder is believed.
        let mut result = StepResult {
            inference: Some(proven_inference(&files, &checked.folder.claim)?),
            proof: Some(checked_proof(&checked)),
            ..StepResult::default()
        };
        if work.audit {
            let report = watch.step(Step::Audit, || {
                // An audit believes nothing that it can compute.
                let prepared = prepare::load_or_prepare(&files.hashing_again(), self.lifeline)?;
                audit::audit(&artifacts, &Original::of(&prepared))
            })?;
            let verdict = if report.verdict == Verdict::Pass { "Passed" } else { "Failed" };
            let report_sha256 = sha256_of_file(&artifacts.path(AUDIT))?;
            if let Some(inference) = &mut result.inference {
                inference.log_head = report.log_head.clone();
                inference.log_entries = u32::try_from(report.log_entries).unwrap_or(u32::MAX);
            }
            result.audit = Some(AuditResult { verdict: verdict.into(), report_sha256 });
            result.failure = report.failure().map(|failure| step_failure(Step::Audit.name(), &failure));
        }
        artifacts.finish()?;
        result.artifacts = artifacts.list()?;
        Ok(result)
    }

    fn remove(&self, work: &Remove) -> Result<StepResult, Failure> {
        let mut watch = Stopwatch::new(self.lifeline);
        watch.step(Step::Model, || match work {
            Remove::Revision(revision) => model_files::remove(&self.home, &self.selection(), revision),
            Remove::Everything => model_files::remove_all(&self.home),
        })?;
        Ok(StepResult::default())
    }
}

/// Digest of the prepared model. A pod that proves has a read-only model: preparing is the work of another.
fn require_prepared(files: &ModelFiles) -> Result<String, Failure> {
    prepare::kept_digest(files)?.ok_or_else(|| {
        let message = format!("{} is not prepared in {}", files.name, files.derived.display());
        Failure::new(ExitCode::Cache, message, "prepare the model first")
    })
}

fn require_model(files: &ModelFiles, model_digest: &str) -> Result<(), Failure> {
    let kept = require_prepared(files)?;
    if kept == model_digest {
        return Ok(());
    }
    let message = format!("the prepared model is {kept}, the job asks for {model_digest}");
    Err(Failure::new(ExitCode::ModelMismatch, message, "prepare the model again, or make a new job for it"))
}

fn describe(files: &ModelFiles) -> ModelResult {
    ModelResult {
        revision: files.manifest.revision.clone(),
        files: u32::try_from(files.manifest.files.len()).unwrap_or(u32::MAX),
        bytes: files.manifest.bytes(),
        manifest_digest: files.manifest.digest(),
        model_digest: None,
        quality: None,
        quality_note: None,
        proof_memory: None,
    }
}

fn proof_memory(files: &ModelFiles, prepared: &Prepared) -> Result<ProofMemory, Failure> {
    const MEBIBYTE: u64 = 1 << 20;
    let sizes = prove::memory_by_size(prepared).into_iter().map(|(positions, bytes)| ProofSize {
        positions: i32::try_from(positions).expect("models are shorter"),
        mebibytes: i64::try_from(bytes.div_ceil(MEBIBYTE)).unwrap_or(i64::MAX),
    });
    let template_tokens = i32::try_from(inference::template_tokens(files)?).unwrap_or(i32::MAX);
    Ok(ProofMemory { template_tokens, sizes: sizes.collect() })
}

fn inference_result(report: &RunReport) -> InferenceResult {
    InferenceResult {
        log_head: report.log.head.clone(),
        log_entries: u32::try_from(report.log.entries.len()).expect("logs are shorter"),
        integer_matches_float: report.agreement.as_ref().map(|agreement| agreement.tokens.clone()).unwrap_or_default(),
        ..answer(&report.log.inferences(), &report.texts)
    }
}

/// What a claim that holds says.
fn proven_inference(files: &ModelFiles, claim: &Claim) -> Result<InferenceResult, Failure> {
    let inferences = claim.inferences();
    let texts = inference::decode(files, inferences.iter().map(|inference| &inference.output_tokens[..]))?;
    Ok(answer(&inferences, &texts))
}

fn answer(inferences: &[Inference], texts: &[String]) -> InferenceResult {
    let count = |tokens: fn(&Inference) -> &Vec<u32>| {
        let all = inferences.iter().map(|inference| tokens(inference).len()).sum::<usize>();
        u32::try_from(all).expect("models are smaller")
    };
    InferenceResult {
        prompt_tokens: count(|inference| &inference.prompt_tokens),
        output_tokens: count(|inference| &inference.output_tokens),
        text: texts.first().cloned().unwrap_or_default(),
        ..InferenceResult::default()
    }
}

/// The proof that was checked, by its own bytes.
fn checked_proof(Checked { folder, verification }: &Checked) -> ProofResult {
    ProofResult {
        sha256: hex::encode(Sha256::digest(&folder.proof)),
        size_bytes: folder.proof.len() as u64,
        mode: folder.claim.mode.name().into(),
        profile: folder.claim.profile.name().into(),
        security_bits: verification.security_bits,
        verified: true,
        ..ProofResult::default()
    }
}

fn proof_result(facts: &ProofFacts, security_bits: f64) -> ProofResult {
    ProofResult {
        sha256: facts.sha256.clone(),
        size_bytes: facts.size_bytes,
        mode: facts.mode.name().into(),
        profile: facts.profile.name().into(),
        security_bits,
        device: facts.device.clone(),
        proving_seconds: facts.proving_seconds,
        verified: true,
    }
}
