//! The command line: names, defaults and help. What the commands do is in `commands`.

mod inputs;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use inputs::{InputArguments, ModelArguments, ModelName};

use crate::pipeline::Step;

const EXAMPLES: &str = "\
Examples:
  obelysk setup
  obelysk run --preset tiny-chat --prompt \"What is 7 + 5?\" --chat --dry-run
  obelysk run --model-dir ./my-model --tokens 1,88,86 --max-new-tokens 8 --out proof
  obelysk-verify proof --model-digest \"$(obelysk model digest --model-dir ./my-model)\"

Exit codes: 0 ok, 10-19 your input, 20-29 proof, 30-39 GPU, 40-49 storage and network, 50-59 chain, 75 try again.";

/// Prove that a language model produced a text, and check such proofs.
#[derive(Parser)]
#[command(name = "obelysk", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArguments,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub struct GlobalArguments {
    /// Where models, prepared weights and runs are kept [default: ~/.obelysk]
    #[arg(long, global = true, env = "OBELYSK_HOME", hide_env_values = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Hash a model's files again, although they look as they did when they were hashed before
    #[arg(long, global = true)]
    pub verify: bool,
    /// Print one JSON object as the last line of stdout, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Print errors only on stderr
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print details on stderr
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// The commands, in the order of the pipeline.
#[derive(Subcommand)]
pub enum Command {
    /// All steps: model, validate, inference, capture, prove, verify, audit, submit
    Run(RunArguments),
    /// Look at this machine and say what to do about each problem
    Setup(SetupArguments),
    /// Presets, downloads, quantised weights, digests
    #[command(subcommand)]
    Model(ModelCommand),
    /// Generate text with the float engine or the integer engine
    Infer(InferArguments),
    /// Check a model's files, shapes and weights
    Validate(ValidateArguments),
    /// Run the integer engine and record the inference in a chained log
    Capture(CaptureArguments),
    /// Prove a captured inference
    Prove(ProveArguments),
    /// Check the proof of a folder
    Verify(VerifyArguments),
    /// Replay a folder's log and check everything that the folder says
    Audit(AuditArguments),
    /// Check whether a proof may be submitted on chain
    Submit(SubmitArguments),
    /// Work with the files of a run
    #[command(subcommand)]
    Artifacts(ArtifactsCommand),
    /// Entry point inside pods: do the work that a job file describes
    Job(JobArguments),
    /// Print a completion script
    Completions(CompletionsArguments),
}

/// Arguments of `run`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  obelysk run --preset tiny-chat --prompt \"What is 7 + 5?\" --chat --dry-run
  obelysk run --preset tiny-chat --prompt \"What is 7 + 5?\" --chat --resume-from prove
  obelysk run --model-dir ./my-model --prompt-file question.txt --out proof --json")]
pub struct RunArguments {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArguments,
    /// What it reads.
    #[command(flatten)]
    pub input: InputArguments,
    /// Which device.
    #[command(flatten)]
    pub device: DeviceArguments,
    /// What kind of proof.
    #[command(flatten)]
    pub proof: ProofArguments,
    /// Inferences to run and record in the log, 1 to 1000; the proof is of the first
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub count: u32,
    /// Check what would be submitted, send nothing (the default)
    #[arg(long, conflicts_with = "submit")]
    pub dry_run: bool,
    /// Submit the proof on chain (refused by the gate in this version)
    #[arg(long)]
    pub submit: bool,
    /// Take over the results of the steps before STEP from the earlier run
    #[arg(long, value_name = "STEP")]
    pub resume_from: Option<Step>,
    /// Do not run the float engine
    #[arg(long)]
    pub skip_inference: bool,
    /// Do not replay the log at the end
    #[arg(long)]
    pub no_audit: bool,
    /// Use a model that misses the quality gate; every output says so
    #[arg(long)]
    pub accept_quality: bool,
    /// Folder of the results [default: a folder under HOME/runs named after the inputs]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Which device works.
#[derive(Args)]
pub struct DeviceArguments {
    /// Use a GPU; where none can be used, the CPU proves, and the answer says so
    #[arg(long, conflicts_with = "no_gpu")]
    pub gpu: bool,
    /// Use the CPU even where a GPU is
    #[arg(long)]
    pub no_gpu: bool,
    /// Use a GPU and refuse every fallback to the CPU
    #[arg(long, conflicts_with = "no_gpu")]
    pub gpu_only: bool,
    /// Let all GPUs that can be seen share the work
    #[arg(long, conflicts_with = "no_gpu")]
    pub multi_gpu: bool,
}

/// What kind of proof.
#[derive(Args)]
pub struct ProofArguments {
    /// Kind of proof
    #[arg(long, value_enum, default_value_t = ProofMode::Gkr)]
    pub mode: ProofMode,
    /// 32 bytes in hex that the proof is bound to [default: random]
    #[arg(long, value_name = "HEX")]
    pub nonce: Option<String>,
    /// Make the proof fit for submission: one opening per weight tensor (not supported yet)
    #[arg(long)]
    pub starknet_ready: bool,
    /// Entry point v2 of the contract, implies --starknet-ready (not supported yet)
    #[arg(long, conflicts_with = "gkr_v3")]
    pub gkr_v2: bool,
    /// Entry point v3 of the contract, implies --starknet-ready (not supported yet)
    #[arg(long)]
    pub gkr_v3: bool,
}

/// Kinds of proof.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProofMode {
    /// One proof of the whole model
    Gkr,
    /// One proof per group of layers (not supported yet)
    Direct,
    /// A proof that a proof verifies (not supported yet)
    Recursive,
}

/// Arguments of `setup`.
#[derive(Args)]
#[command(after_help = "Examples:\n  obelysk setup\n  obelysk setup --gpu --json")]
pub struct SetupArguments {
    /// Fail if there is no usable GPU
    #[arg(long)]
    pub gpu: bool,
}

/// Commands about models.
#[derive(Subcommand)]
pub enum ModelCommand {
    /// List the presets
    #[command(after_help = "Examples:\n  obelysk model list\n  obelysk model list --json")]
    List,
    /// Bring a model's files into HOME and check them
    #[command(after_help = "Examples:\n  obelysk model pull --preset tiny-chat")]
    Pull(ModelArguments),
    /// Quantise a model, commit to its weights and measure its quality, once
    #[command(after_help = "Examples:\n  obelysk model prepare --preset tiny-chat")]
    Prepare {
        /// Which model.
        #[command(flatten)]
        model: ModelArguments,
        /// Accept a model that misses the quality gate
        #[arg(long)]
        accept_quality: bool,
    },
    /// Print the model's digest, recomputed from its files
    #[command(after_help = "Examples:\n  obelysk model digest --preset tiny-chat")]
    Digest(ModelArguments),
    /// Print shapes, sizes and, once prepared, the digest
    #[command(
        after_help = "Examples:\n  obelysk model show --preset tiny-chat\n  obelysk model show --preset tiny-chat --quality"
    )]
    Show {
        /// Which model.
        #[command(flatten)]
        model: ModelArguments,
        /// Show how well the integer engine follows the float engine, on questions and on prose
        #[arg(long)]
        quality: bool,
    },
}

/// Arguments of `infer`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  obelysk infer --preset tiny-chat --prompt \"What is 7 + 5?\" --chat
  obelysk infer --preset tiny-chat --chat
  obelysk infer --preset tiny-chat --tokens 1,88,86 --engine integer --logits logits.safetensors")]
pub struct InferArguments {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArguments,
    /// What it reads.
    #[command(flatten)]
    pub input: InputArguments,
    /// Which engine
    #[arg(long, value_enum, default_value_t = Engine::Float)]
    pub engine: Engine,
    /// Write the logits of every prompt position, [T, vocabulary], f32 or i32
    #[arg(long, value_name = "FILE")]
    pub logits: Option<PathBuf>,
    /// Generate three times and report the rates
    #[arg(long)]
    pub bench: bool,
}

/// The two engines.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The checkpoint as it is
    Float,
    /// The quantised model that proofs are about
    Integer,
}

/// Arguments of `validate`.
#[derive(Args)]
#[command(after_help = "Examples:\n  obelysk validate --preset tiny-chat\n  obelysk validate --model-dir ./my-model")]
pub struct ValidateArguments {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArguments,
}

/// Arguments of `capture`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  obelysk capture --preset tiny-chat --prompt \"What is 7 + 5?\" --chat --out proof"
)]
pub struct CaptureArguments {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArguments,
    /// What it reads.
    #[command(flatten)]
    pub input: InputArguments,
    /// Inferences to run and record in the log, 1 to 1000; the proof is of the first
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub count: u32,
    /// Use a model that misses the quality gate; every output says so
    #[arg(long)]
    pub accept_quality: bool,
    /// Folder of the results [default: a folder under HOME/runs named after the inputs]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `prove`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  obelysk prove --out proof\n  obelysk prove --out proof --estimate\n  obelysk prove --out proof --nonce 00…ff (64 digits)"
)]
pub struct ProveArguments {
    /// Folder with a captured inference
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the model's files lie [default: where they lay in the capture]
    #[arg(long, value_name = "DIR")]
    pub model_dir: Option<PathBuf>,
    /// Say what the proof will take, and do not make it
    #[arg(long)]
    pub estimate: bool,
    /// Which device.
    #[command(flatten)]
    pub device: DeviceArguments,
    /// What kind of proof.
    #[command(flatten)]
    pub proof: ProofArguments,
}

/// Arguments of `verify`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  obelysk verify proof --model-digest \"$(obelysk model digest --preset tiny-chat)\""
)]
pub struct VerifyArguments {
    /// Folder with model.json, statement.json and proof.bin
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The model that the proof must be about
    #[arg(long, value_name = "HEX")]
    pub model_digest: Option<String>,
}

/// Arguments of `audit`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  obelysk audit proof\n  obelysk audit proof --json\n  obelysk audit proof --model-dir ./my-model"
)]
pub struct AuditArguments {
    /// Folder of a run
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Where the model's files lie [default: where they lay in the run]
    #[arg(long, value_name = "DIR")]
    pub model_dir: Option<PathBuf>,
}

/// Arguments of `submit`.
#[derive(Args)]
#[command(after_help = "Examples:\n  obelysk submit proof --dry-run")]
pub struct SubmitArguments {
    /// Folder of a run
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Check what would be submitted, send nothing (the default)
    #[arg(long, conflicts_with = "submit")]
    pub dry_run: bool,
    /// Submit the proof on chain (refused by the gate in this version)
    #[arg(long)]
    pub submit: bool,
}

/// Commands about the files of a run.
#[derive(Subcommand)]
pub enum ArtifactsCommand {
    /// Write a folder to stdout as a tar archive
    #[command(after_help = "\
Examples:
  obelysk artifacts tar proof > proof.tar
  kubectl exec POD -- obelysk artifacts tar /artifacts | tar x -C proof")]
    Tar {
        /// Folder of a run
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Wait until told to stop: the program of a pod that holds a volume for `kubectl exec`
    Hold,
}

/// Arguments of `job`.
#[derive(Args)]
#[command(after_help = "Examples:\n  obelysk job job.json\n  OBELYSK_JOB=\"$(cat job.json)\" obelysk job --from-env")]
pub struct JobArguments {
    /// The job file
    #[arg(value_name = "FILE", required_unless_present = "from_env", conflicts_with = "from_env")]
    pub file: Option<PathBuf>,
    /// Take the job from the environment variable OBELYSK_JOB
    #[arg(long)]
    pub from_env: bool,
}

/// Arguments of `completions`.
#[derive(Args)]
#[command(after_help = "Examples:\n  obelysk completions bash > /etc/bash_completion.d/obelysk")]
pub struct CompletionsArguments {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
