//! How well the integer engine follows the float engine on texts that the quantiser has not seen, and whether that is well
//! enough.

mod blame;
mod gate;
mod tally;
mod texts;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::float::{self, FloatModel};
use crate::integer::IntegerModel;
use crate::quantize::QuantizedModel;
use crate::template::ChatTemplate;
use crate::tokenizer::ModelTokenizer;

pub use blame::{Deviation, deviations};
pub use gate::Gate;
pub(crate) use tally::Tally;

/// Measurements that other texts or another way of counting would not repeat count up.
pub const MEASUREMENT: u32 = 1;

/// Float against integer, on one set of texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quality {
    /// Sequences evaluated.
    pub sequences: usize,
    /// Next-token predictions compared. What several sequences have in common at their start counts once.
    pub tokens: usize,
    /// Perplexity of the float engine.
    pub perplexity_float: f64,
    /// Perplexity of the integer engine.
    pub perplexity_int: f64,
    /// Share of positions at which both engines prefer the same token.
    pub top1_agreement: f64,
    /// Mean Kullback-Leibler divergence of the integer engine's distribution from the float engine's, in nats.
    #[serde(rename = "meanKL")]
    pub mean_kl: f64,
    /// Share of rounded values that the integer engine clamps.
    pub saturation_rate: f64,
}

/// Float against integer, on both sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Questions as the model reads them, and the float engine's own answers.
    pub chat: Quality,
    /// Prose.
    pub text: Quality,
}

impl Measured {
    /// Both sets with their names.
    pub fn sets(&self) -> [(&'static str, &Quality); 2] {
        [("chat", &self.chat), ("text", &self.text)]
    }

    /// The set on which the engines agree less often.
    #[must_use]
    pub fn worse(&self) -> &Quality {
        if self.text.top1_agreement < self.chat.top1_agreement { &self.text } else { &self.chat }
    }
}

/// Compare the engines on both sets.
///
/// # Errors
/// What tokenising the texts reports.
pub fn measure(
    float: &FloatModel,
    quantized: &QuantizedModel,
    tokenizer: &ModelTokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Measured, ModelError> {
    let engines = Engines { float, integer: IntegerModel::new(quantized), quantized };
    Ok(Measured { chat: engines.chat(tokenizer, template)?, text: engines.text(tokenizer)? })
}

/// Compare the engines on the questions alone.
///
/// # Errors
/// What tokenising the questions reports.
pub fn measure_chat(
    float: &FloatModel,
    quantized: &QuantizedModel,
    tokenizer: &ModelTokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Quality, ModelError> {
    Engines { float, integer: IntegerModel::new(quantized), quantized }.chat(tokenizer, template)
}

struct Engines<'a> {
    float: &'a FloatModel,
    integer: IntegerModel<'a>,
    quantized: &'a QuantizedModel,
}

impl Engines<'_> {
    fn chat(&self, tokenizer: &ModelTokenizer, template: Option<&ChatTemplate>) -> Result<Quality, ModelError> {
        let longest = texts::CHAT_TOKENS.min(self.positions());
        let mut tally = Tally::new();
        let mut earlier: Vec<Vec<u32>> = Vec::new();
        for mut sequence in texts::questions(tokenizer, template, self.vocabulary())? {
            sequence.truncate(longest.saturating_sub(1));
            if sequence.is_empty() {
                continue;
            }
            let counted = earlier.iter().map(|other| common(other, &sequence)).max().unwrap_or(0);
            let first = counted.min(sequence.len() - 1);
            // The float engine computes each position once: what it answers from is what is compared.
            let mut cache = self.float.cache();
            let mut expected = self.float.read(&mut cache, &sequence, sequence.len() - first);
            while sequence.len() < longest {
                let token = float::argmax(&expected[expected.len() - self.vocabulary()..]);
                sequence.push(token);
                if sequence.len() == longest || self.float.config().eos_token_ids.contains(&token) {
                    break;
                }
                expected.extend(self.float.read(&mut cache, &[token], 1));
            }
            self.compare(&sequence, first, counted, &expected, &mut tally);
            earlier.push(sequence);
        }
        Ok(tally.finish())
    }

    fn text(&self, tokenizer: &ModelTokenizer) -> Result<Quality, ModelError> {
        let mut tally = Tally::new();
        for sequence in texts::prose(tokenizer, self.vocabulary(), self.positions())? {
            let read = sequence.len() - 1;
            let expected = self.float.read(&mut self.float.cache(), &sequence[..read], read);
            self.compare(&sequence, 0, 0, &expected, &mut tally);
        }
        Ok(tally.finish())
    }

    /// Let the integer engine read a sequence, and count its predictions from position `counted` on; `expected` holds the
    /// float engine's logits from position `first` on.
    fn compare(&self, sequence: &[u32], first: usize, counted: usize, expected: &[f32], tally: &mut Tally) {
        let read = sequence.len() - 1;
        let (actual, clamped) =
            self.integer.read_counting(&mut self.integer.cache(), &sequence[..read], read.saturating_sub(first));
        let vocabulary = self.vocabulary();
        let (unit, cap) = (self.quantized.logit_unit(), self.float.config().logit_cap);
        let rows = expected.chunks_exact(vocabulary).zip(actual.chunks_exact(vocabulary));
        let rows: Vec<_> = rows.zip(&sequence[first + 1..]).skip(counted - first).collect();
        tally.add(&rows, unit, cap);
        tally.end_sequence(clamped);
    }

    fn vocabulary(&self) -> usize {
        self.float.config().vocab_size
    }

    fn positions(&self) -> usize {
        self.quantized.description.shape.positions
    }
}

/// Tokens that two sequences have in common at their start.
fn common(left: &[u32], right: &[u32]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}
