//! How a command names its model and its input.

use std::path::PathBuf;
use std::str::FromStr;

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
    /// The address of the bucket's server, where it is not AWS
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL", hide_env_values = true)]
    pub s3_endpoint: Option<String>,
    /// The bucket's region
    #[arg(long, value_name = "NAME", env = "AWS_REGION", hide_env_values = true)]
    pub s3_region: Option<String>,
}

/// The ways to name a model, of which one is taken.
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
    /// A folder of a bucket, with SHA256SUMS in it; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY open private ones
    #[arg(long, value_name = "s3://BUCKET/FOLDER")]
    pub s3_model: Option<String>,
}

/// What the model reads.
#[derive(Args)]
pub struct InputArguments {
    /// The prompt; several in one proof by repeating the option
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["prompt_file", "tokens"])]
    pub prompt: Vec<String>,
    /// A UTF-8 file with the prompt; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    pub prompt_file: Vec<PathBuf>,
    /// Token ids, as they are: no template; may be repeated
    #[arg(long, value_name = "IDS", conflicts_with = "chat")]
    pub tokens: Vec<TokenIds>,
    /// Apply the model's chat template
    #[arg(long)]
    pub chat: bool,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub max_new_tokens: u32,
}

/// Token ids with commas in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIds(pub Vec<u32>);

impl FromStr for TokenIds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = |part: &str| part.trim().parse().map_err(|error| format!("`{part}` is not a token id: {error}"));
        text.split(',').map(id).collect::<Result<_, _>>().map(Self)
    }
}
