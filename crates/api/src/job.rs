//! The job file that the operator gives to a pod, and the result that comes back.
//!
//! The job travels as JSON in the environment variable [`JOB_VARIABLE`]; the pod runs `obelysk job --from-env`. The result is
//! the pod's termination message, and the same JSON lies in the artifacts folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::exit::FaultClass;

/// Environment variable that holds a [`JobSpec`] as JSON.
pub const JOB_VARIABLE: &str = "OBELYSK_JOB";
/// Version of these types.
pub const JOB_VERSION: u32 = 3;
/// Longest result, in bytes: the kubelet keeps the last 4,096 bytes of a termination message.
pub const RESULT_BYTES_MAX: usize = 3_584;

/// Kinds of Jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Brings a model to a volume.
    #[default]
    Fetch,
    /// Quantises it and commits to it.
    Prepare,
    /// Takes it off a volume.
    Remove,
    /// Makes a proof.
    Prove,
    /// Verifies it in a fresh process.
    Finish,
}

impl JobKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Fetch, Self::Prepare, Self::Remove, Self::Prove, Self::Finish];

    /// Name in labels and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Prepare => "prepare",
            Self::Remove => "remove",
            Self::Prove => "prove",
            Self::Finish => "finish",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Display for JobKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a pod does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    /// [`JOB_VERSION`].
    pub version: u32,
    /// Namespace and name of the ProofJob or ModelCache, for logs.
    pub owner: String,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Folder of models: written by `fetch`, `prepare` and `remove`, else read-only.
    pub home: PathBuf,
    /// Where the model comes from.
    pub model: ModelLocation,
    /// Folder for the proof's files; present for `prove` and `finish`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<PathBuf>,
    /// File for the termination message.
    pub termination_message: PathBuf,
    /// Address of the progress page, such as `0.0.0.0:8080`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_address: Option<String>,
    /// Exit with status 75 after this many seconds without progress.
    pub no_progress_timeout_seconds: u64,
    /// The work.
    pub work: Work,
}

/// Where a pod finds the model's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ModelLocation {
    /// A model that travels inside of the image.
    Bundled(String),
    /// A folder with `config.json` and safetensors, mounted read-only.
    Directory(PathBuf),
    /// A repository of a hub. The token, if there is one, is in the environment variable `HF_TOKEN`.
    Hub(Hub),
    /// A folder of a bucket. The access key, if there is one, is in the environment variables `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`.
    Bucket(Bucket),
}

/// A folder of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bucket {
    /// The bucket.
    pub bucket: String,
    /// The folder.
    #[serde(default)]
    pub prefix: String,
    /// Address of the server; absent for AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// A repository of a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hub {
    /// `organisation/name@revision`.
    pub reference: String,
    /// Address of the hub; the public one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Only the first decoder layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
}

/// One pod's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Work {
    /// Bring the model's files to `home` and check them.
    Fetch,
    /// Quantise, commit, measure quality and refuse a model that misses the gate.
    Prepare(Prepare),
    /// Validate, generate, capture, prove, verify.
    Prove(Prove),
    /// Verify again in a fresh process, audit, complete the folder.
    Finish(Finish),
    /// Take a model off `home`.
    Remove(Remove),
}

/// What is asked of a prepared model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prepare {
    /// Least agreement with the float engine in place of the gate's own, such as `0.99`; `0` accepts any quality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_top1_agreement: Option<String>,
}

/// What to take off `home`. Nothing outside of it goes, and nothing there is as good as removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Remove {
    /// The files of one revision of the model, what was prepared from them, and the pins to it. Others share `home`.
    Revision(String),
    /// Every model, with what an unfinished download left: nobody shares `home`.
    Everything,
}

/// What a proof is asked to be about: `prove` makes it, and `finish` checks that its statement says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// Digest that the prepared model must have, lower-case hex.
    pub model_digest: String,
    /// Texts or tokens, at least one; one proof claims all the answers.
    pub inputs: Vec<Input>,
    /// Apply the model's chat template to the text.
    pub chat: bool,
    /// The day that a template may mention, as `2026-11-28`: the same for every attempt.
    pub day: String,
    /// Most tokens to generate.
    pub max_new_tokens: u32,
    /// How often the log records each.
    #[serde(default = "one")]
    pub count: u32,
    /// `gkr`.
    pub mode: String,
    /// 32 bytes, lower-case hex.
    pub nonce: String,
}

/// Input of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prove {
    /// What to prove.
    pub question: Question,
    /// As of [`Prepare`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_top1_agreement: Option<String>,
    /// Whether a GPU proves.
    #[serde(default)]
    pub gpu: GpuUse,
    /// How many GPUs of its machine share the work, if one proves.
    #[serde(default = "one")]
    pub gpus: u32,
}

fn one() -> u32 {
    1
}

/// Whether a GPU proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuUse {
    /// The CPU does.
    #[default]
    None,
    /// A GPU, and the CPU for what it cannot do, which is said aloud.
    Preferred,
    /// A GPU, and the CPU may not step in.
    Required,
}

/// Prompt of an inference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Input {
    /// Text.
    Prompt(String),
    /// Token ids, without a template.
    Tokens(Vec<u32>),
}

/// What to do with a finished proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finish {
    /// What the proof must be about.
    pub question: Question,
    /// Replay the log with the integer engine.
    pub audit: bool,
}

/// What came of a pod's work; at most [`RESULT_BYTES_MAX`] bytes of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepResult {
    /// Whether everything was done.
    pub succeeded: bool,
    /// Present on failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<StepFailure>,
    /// Steps in order, with the seconds that they took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepTime>,
    /// What `fetch` and `prepare` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelResult>,
    /// What `prove` generated, and what `finish` read in the statement that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference: Option<InferenceResult>,
    /// What `prove` proved, and `finish` checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofResult>,
    /// What `finish` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditResult>,
    /// Files of the artifacts folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

/// Why a pod failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepFailure {
    /// The step that failed.
    pub step: String,
    /// Whose problem it is.
    pub class: FaultClass,
    /// Exit status.
    pub code: u8,
    /// Name of the exit status.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

/// Duration of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepTime {
    /// Name of the step.
    pub name: String,
    /// Seconds.
    pub seconds: f64,
}

/// A model's identity and quality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelResult {
    /// Revision of the files.
    pub revision: String,
    /// Number of files.
    pub files: u32,
    /// Bytes of all files.
    pub bytes: u64,
    /// SHA-256 of the manifest.
    pub manifest_digest: String,
    /// Digest `D`; after `prepare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<String>,
    /// Quality; after `prepare`, of a refused model too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// What a model misses that is used because a person accepts its quality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_note: Option<String>,
    /// What proofs take; after `prepare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_memory: Option<ProofMemory>,
}

/// Memory that proofs with a model take, by their size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProofMemory {
    /// Tokens that the chat template adds to a question.
    #[serde(default)]
    pub template_tokens: i32,
    /// Sizes of proofs, the smallest first.
    #[serde(default)]
    #[cfg_attr(feature = "crd", schemars(length(max = 16)))]
    pub sizes: Vec<ProofSize>,
}

/// A proof of so many positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProofSize {
    /// Tokens of prompts and answers, all inferences together.
    #[serde(default)]
    pub positions: i32,
    /// Peak memory in MiB.
    #[serde(default)]
    pub mebibytes: i64,
}

/// Reason of a `prepare` or `prove` that refuses a model which misses the quality gate.
pub const QUALITY_REFUSED: &str = "QualityBelowMinimum";

/// Integer engine against float engine, on the texts on which they agree less often.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Quality {
    /// Perplexity of the float engine.
    pub perplexity_float: f64,
    /// Perplexity of the integer engine.
    pub perplexity_int: f64,
    /// Share of positions with the same best token.
    pub top1_agreement: f64,
    /// Mean divergence, in nats.
    #[serde(rename = "meanKL")]
    pub mean_kl: f64,
    /// Share of clamped values.
    pub saturation_rate: f64,
}

/// What was generated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InferenceResult {
    /// Number of prompt tokens.
    pub prompt_tokens: u32,
    /// Number of output tokens.
    pub output_tokens: u32,
    /// The answer, at most 512 bytes.
    pub text: String,
    /// Head of the capture log's chain; empty where `finish` does not audit.
    pub log_head: String,
    /// Entries of the log.
    pub log_entries: u32,
    /// Output tokens on which both engines agree, as `16/16`. No proof is about the float engine: empty in `finish`.
    pub integer_matches_float: String,
}

/// What was proven.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProofResult {
    /// SHA-256 of `proof.bin`.
    pub sha256: String,
    /// Its length.
    pub size_bytes: u64,
    /// `gkr`.
    pub mode: String,
    /// Hash profile.
    pub profile: String,
    /// Composed security.
    pub security_bits: f64,
    /// What it was proven on: `CPU`, or the product name that the GPU's driver gives. Empty in `finish`, which cannot know.
    pub device: String,
    /// Seconds of proving; as `device`.
    pub proving_seconds: f64,
    /// Whether the verifier accepted it.
    pub verified: bool,
}

/// What the audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditResult {
    /// `Passed` or `Failed`.
    pub verdict: String,
    /// SHA-256 of `audit.json`.
    pub report_sha256: String,
}

/// A file of the artifacts folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Artifact {
    /// Path inside of the folder.
    pub name: String,
    /// Length.
    pub size_bytes: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// The page at `/progress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Current step.
    pub step: String,
    /// Of the current step, 0 to 100.
    pub percent: u32,
    /// Bytes of a download that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// All its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// One line for people.
    pub summary: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_way_into_a_pod() {
        let job = JobSpec {
            version: JOB_VERSION,
            owner: "default/tiny-chat".into(),
            attempt: 2,
            home: "/model".into(),
            model: ModelLocation::Bundled("tiny-chat".into()),
            artifacts: Some("/artifacts/tiny-chat".into()),
            termination_message: "/dev/termination-log".into(),
            progress_address: None,
            no_progress_timeout_seconds: 1800,
            work: Work::Prove(Prove {
                question: Question {
                    model_digest: "00".repeat(32),
                    inputs: vec![Input::Prompt("What is 7 + 5?".into())],
                    chat: true,
                    day: "2026-11-28".into(),
                    max_new_tokens: 16,
                    count: 1,
                    mode: "gkr".into(),
                    nonce: "11".repeat(32),
                },
                gpu: GpuUse::None,
                gpus: 1,
                min_top1_agreement: None,
            }),
        };
        let text = serde_json::to_string(&job).unwrap();
        assert!(text.contains(r#""model":{"bundled":"tiny-chat"}"#), "{text}");
        assert!(text.contains(r#""inputs":[{"prompt":"What is 7 + 5?"}]"#), "{text}");
        assert_eq!(serde_json::from_str::<JobSpec>(&text).unwrap(), job);
    }

    #[test]
    fn a_result_of_a_later_version_is_read_as_far_as_it_is_known() {
        let result: StepResult = serde_json::from_str(r#"{"succeeded":true,"somethingNew":1}"#).unwrap();
        assert!(result.succeeded);
    }
}
