//! How a command names its model and its input.

use std::path::PathBuf;

use clap::Args;

/// Which model.
#[derive(Args)]
pub struct ModelArguments {
    /// Its name.
    #[command(flatten)]
    pub name: ModelName,
    /// Only the first N decoder layers: another model, with a digest of its own
    #[arg(long, value_name = "N")]
    pub layers: Option<usize>,
    /// The hub's address [default: https://huggingface.co]
    #[arg(long, value_name = "URL", env = "HF_ENDPOINT", hide_env_values = true)]
    pub endpoint: Option<String>,
}

/// The three ways to name a model, of which one is taken.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct ModelName {
    /// A preset (`obelysk model list`)
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// A folder with config.json, tokenizer files and safetensors
    #[arg(long, value_name = "DIR")]
    pub model_dir: Option<PathBuf>,
    /// A repository of the Hugging Face hub; HF_TOKEN opens gated ones
    #[arg(long, value_name = "REPO[@REV]")]
    pub hf_model: Option<String>,
}

/// What the model reads.
#[derive(Args)]
pub struct InputArguments {
    /// The prompt
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["prompt_file", "tokens"])]
    pub prompt: Option<String>,
    /// A UTF-8 file with the prompt
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    pub prompt_file: Option<PathBuf>,
    /// Token ids, as they are: no template
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "chat")]
    pub tokens: Option<Vec<u32>>,
    /// Apply the model's chat template
    #[arg(long)]
    pub chat: bool,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub max_new_tokens: u32,
}
