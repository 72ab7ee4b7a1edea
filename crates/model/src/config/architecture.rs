//! The families of decoders and what sets each apart.

/// A family of decoders, as `config.json` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// The plain decoder of Llama 2, 3 and SmolLM2.
    Llama,
    /// Llama with an optional window on every layer.
    Mistral,
    /// Query, key and value in one matrix, gate and up in another.
    Phi3,
    /// Norms around both blocks, caps, alternating windows, GeGLU.
    Gemma2,
    /// Biases on queries, keys and values.
    Qwen2,
    /// Norms on query and key heads.
    Qwen3,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Llama, Self::Mistral, Self::Phi3, Self::Gemma2, Self::Qwen2, Self::Qwen3];

    /// Name in `config.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Phi3 => "Phi3ForCausalLM",
            Self::Gemma2 => "Gemma2ForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// Name of the family in `config.json`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Phi3 => "phi3",
            Self::Gemma2 => "gemma2",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// Whether a norm multiplies by one plus its weight.
    #[must_use]
    pub fn norms_add_one(self) -> bool {
        self == Self::Gemma2
    }

    /// Whether query and key heads are normalised.
    #[must_use]
    pub fn has_head_norms(self) -> bool {
        self == Self::Qwen3
    }

    /// Whether the output of both blocks is normalised before it joins the stream.
    #[must_use]
    pub fn has_branch_norms(self) -> bool {
        self == Self::Gemma2
    }

    /// Whether queries, keys and values have biases.
    #[must_use]
    pub fn has_biases(self) -> bool {
        self == Self::Qwen2
    }

    /// Whether projections of one input share a matrix.
    #[must_use]
    pub fn has_fused_projections(self) -> bool {
        self == Self::Phi3
    }
}
