//! How well the integer engine follows the float engine on held-out conversations.

use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::float::{self, FloatModel};
use crate::integer::{IntegerModel, argmax};
use crate::quantize::QuantizedModel;
use crate::template::ChatTemplate;
use crate::tokenizer::ModelTokenizer;

/// Questions of the evaluation, one per line.
const QUESTIONS: &str = include_str!("../texts/questions.txt");
/// Tokens of each sequence at most, prompt included.
const SEQUENCE: usize = 72;

/// Float against integer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quality {
    /// Sequences evaluated.
    pub sequences: usize,
    /// Next-token predictions compared.
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

/// Compare the engines. Each sequence is a question and the float engine's own answer to it; both engines predict every
/// next token of it.
///
/// # Errors
/// What tokenising the questions reports.
pub fn compare(
    float: &FloatModel,
    quantized: &QuantizedModel,
    tokenizer: &ModelTokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Quality, ModelError> {
    let integer = IntegerModel::new(quantized);
    let unit = quantized.logit_unit();
    let vocabulary = float.config().vocab_size;
    let cap = float.config().logit_cap;
    let longest = SEQUENCE.min(quantized.description.shape.positions);
    let (mut float_loss, mut integer_loss, mut divergence) = (0.0, 0.0, 0.0);
    let (mut agreed, mut tokens, mut sequences) = (0usize, 0usize, 0usize);
    let mut saturation = 0.0;
    for question in QUESTIONS.lines().filter(|line| !line.is_empty()) {
        let text = match template {
            Some(template) => template.ask(question)?,
            None => question.to_owned(),
        };
        let mut sequence = tokenizer.encode(&text)?;
        sequence.truncate(longest - 1);
        if sequence.is_empty() {
            continue;
        }
        sequence.extend(float.generate(&sequence, longest - sequence.len(), |_| {})?);
        sequences += 1;
        let expected = float.logits(&sequence);
        let (actual, clamped) = integer.read_counting(&mut integer.cache(), &sequence, sequence.len());
        saturation += clamped;
        let rows = expected.chunks_exact(vocabulary).zip(actual.chunks_exact(vocabulary));
        for ((expected, actual), &next) in rows.zip(&sequence[1..]) {
            tokens += 1;
            agreed += usize::from(float::argmax(expected) == argmax(actual));
            let expected = log_probabilities(expected.iter().map(|&logit| f64::from(logit)));
            let capped = |logit: f64| cap.map_or(logit, |cap| cap * (logit / cap).tanh());
            let actual = log_probabilities(actual.iter().map(|&logit| capped(f64::from(logit) * unit)));
            float_loss -= expected[next as usize];
            integer_loss -= actual[next as usize];
            divergence += expected.iter().zip(&actual).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        }
    }
    let count = tokens.max(1) as f64;
    Ok(Quality {
        sequences,
        tokens,
        perplexity_float: (float_loss / count).exp(),
        perplexity_int: (integer_loss / count).exp(),
        top1_agreement: agreed as f64 / count,
        mean_kl: divergence / count,
        saturation_rate: saturation / sequences.max(1) as f64,
    })
}

/// Kullback-Leibler divergence of the distribution of integer logits, each worth `unit` before the cap, from that of float
/// logits, in nats.
pub(crate) fn divergence(expected: &[f32], actual: &[i32], unit: f64, cap: Option<f64>) -> f64 {
    let expected = log_probabilities(expected.iter().map(|&logit| f64::from(logit)));
    let capped = |logit: f64| cap.map_or(logit, |cap| cap * (logit / cap).tanh());
    let actual = log_probabilities(actual.iter().map(|&logit| capped(f64::from(logit) * unit)));
    expected.iter().zip(&actual).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn log_probabilities(logits: impl Iterator<Item = f64>) -> Vec<f64> {
    let logits: Vec<f64> = logits.collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
    logits.into_iter().map(|logit| logit - largest - total).collect()
}
