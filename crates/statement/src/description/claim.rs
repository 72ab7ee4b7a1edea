//! What one proof claims about a model, and the inference that it is about.

use serde::{Deserialize, Serialize};

/// Hash function of commitments and transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Blake2s-256 everywhere, digests cut to 224 bits.
    Blake2s,
}

impl Profile {
    /// Name in files and digests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake2s => "blake2s",
        }
    }
}

/// What kind of artefact a proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One proof of everything.
    Gkr,
}

impl Mode {
    /// Name in files and digests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gkr => "gkr",
        }
    }
}

/// `statement.json`: the claim that one proof makes about a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Claim {
    /// [`super::SPECIFICATION`].
    pub specification: u32,
    /// Kind of artefact.
    pub mode: Mode,
    /// Hash profile.
    pub profile: Profile,
    /// 32 bytes chosen by whoever wants a fresh proof, lower-case hex.
    pub nonce: String,
    /// The model's digest, lower-case hex.
    pub model_digest: String,
    /// Root of the weight commitment, lower-case hex.
    pub weight_root: String,
    /// Prompt token ids, at least one.
    pub prompt_tokens: Vec<u32>,
    /// Output token ids, at least one.
    pub output_tokens: Vec<u32>,
    /// Inferences of the same model that the proof claims besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Inference>,
}

/// One captured inference: the tokens that went in and those that came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Inference {
    /// Prompt token ids, at least one.
    pub prompt_tokens: Vec<u32>,
    /// Output token ids, at least one.
    pub output_tokens: Vec<u32>,
}

impl Inference {
    /// Number of positions that are evaluated: the last output token is never fed back.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.prompt_tokens.len() + self.output_tokens.len() - 1
    }

    /// The tokens that the decoder reads, one per position.
    #[must_use]
    pub fn inputs(&self) -> Vec<u32> {
        let fed_back = &self.output_tokens[..self.output_tokens.len() - 1];
        self.prompt_tokens.iter().chain(fed_back).copied().collect()
    }
}

impl Claim {
    /// The inferences that are claimed, at least one.
    #[must_use]
    pub fn inferences(&self) -> Vec<Inference> {
        let first = Inference { prompt_tokens: self.prompt_tokens.clone(), output_tokens: self.output_tokens.clone() };
        [first].into_iter().chain(self.further.iter().cloned()).collect()
    }

    /// What the transcript absorbs before anything else: every field, length-prefixed, so that no two claims share bytes.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut field = |content: &[u8]| {
            bytes.extend((content.len() as u64).to_le_bytes());
            bytes.extend(content);
        };
        let tokens = |ids: &[u32]| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>();
        field(b"obelysk proof of inference");
        field(&self.specification.to_le_bytes());
        field(self.mode.name().as_bytes());
        field(self.profile.name().as_bytes());
        field(self.nonce.as_bytes());
        field(self.model_digest.as_bytes());
        field(self.weight_root.as_bytes());
        for inference in self.inferences() {
            field(&tokens(&inference.prompt_tokens));
            field(&tokens(&inference.output_tokens));
        }
        bytes
    }
}
