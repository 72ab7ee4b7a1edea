//! What each family takes for keys that its `config.json` leaves out: the defaults of `transformers`.

use super::Architecture;

/// A family's values for absent keys.
pub(super) struct Defaults {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub layers: usize,
    pub heads: usize,
    /// `None`: as many as query heads.
    pub kv_heads: Option<usize>,
    /// `None`: hidden size by heads.
    pub head_dim: Option<usize>,
    pub max_positions: usize,
    pub rms_norm_eps: f64,
    pub activation: &'static str,
    pub tied_embeddings: bool,
    pub eos_token_id: Option<u32>,
    pub window: Option<usize>,
    /// First layer with a window, where a family has windows from some layer on.
    pub max_window_layers: usize,
    pub query_pre_attn_scalar: Option<f64>,
    pub score_cap: Option<f64>,
    pub logit_cap: Option<f64>,
}

const LLAMA: Defaults = Defaults {
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    layers: 32,
    heads: 32,
    kv_heads: None,
    head_dim: None,
    max_positions: 2048,
    rms_norm_eps: 1e-6,
    activation: "silu",
    tied_embeddings: false,
    eos_token_id: Some(2),
    window: None,
    max_window_layers: usize::MAX,
    query_pre_attn_scalar: None,
    score_cap: None,
    logit_cap: None,
};

const QWEN: Defaults = Defaults {
    vocab_size: 151_936,
    intermediate_size: 22_016,
    kv_heads: Some(32),
    max_positions: 32_768,
    eos_token_id: None,
    window: Some(4096),
    max_window_layers: 28,
    ..LLAMA
};

impl Defaults {
    pub(super) const fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Llama => LLAMA,
            Architecture::Mistral => Self {
                intermediate_size: 14_336,
                kv_heads: Some(8),
                max_positions: 131_072,
                window: Some(4096),
                ..LLAMA
            },
            Architecture::Phi3 => Self {
                vocab_size: 32_064,
                hidden_size: 3072,
                intermediate_size: 8192,
                max_positions: 4096,
                rms_norm_eps: 1e-5,
                eos_token_id: Some(32_000),
                ..LLAMA
            },
            Architecture::Gemma2 => Self {
                vocab_size: 256_000,
                hidden_size: 2304,
                intermediate_size: 9216,
                layers: 26,
                heads: 8,
                kv_heads: Some(4),
                head_dim: Some(256),
                max_positions: 8192,
                activation: "gelu_pytorch_tanh",
                tied_embeddings: true,
                eos_token_id: Some(1),
                window: Some(4096),
                query_pre_attn_scalar: Some(256.0),
                score_cap: Some(50.0),
                logit_cap: Some(30.0),
                ..LLAMA
            },
            Architecture::Qwen2 => QWEN,
            Architecture::Qwen3 => Self { head_dim: Some(128), ..QWEN },
        }
    }
}
