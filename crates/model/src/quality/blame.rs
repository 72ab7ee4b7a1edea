//! Which tensors of the integer engine are not those of the float engine, in order of computation: the first one is to
//! blame for those that follow.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::texts;
use crate::error::ModelError;
use crate::float::FloatModel;
use crate::integer::IntegerModel;
use crate::quantize::QuantizedModel;
use crate::tokenizer::ModelTokenizer;

/// Relative error from which on a tensor counts as another one.
const OTHER: f64 = 0.1;
/// Tensors that are named.
const NAMED: usize = 3;
/// Tokens that both engines read.
const TOKENS: usize = 48;

/// A tensor of both engines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// Name.
    pub tensor: String,
    /// Decoder layer; none for the embedding and the logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// Length of the difference relative to that of the float engine's tensor.
    pub error: f64,
}

impl fmt::Display for Deviation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, layer, error } = self;
        match layer {
            Some(layer) => write!(formatter, "{tensor} of layer {layer} ({error:.2})"),
            None => write!(formatter, "{tensor} ({error:.2})"),
        }
    }
}

/// The first tensors that deviate; without any such, those that deviate most.
///
/// # Errors
/// What tokenising a text reports.
pub fn deviations(
    float: &FloatModel,
    quantized: &QuantizedModel,
    tokenizer: &ModelTokenizer,
) -> Result<Vec<Deviation>, ModelError> {
    let positions = quantized.description.shape.positions;
    let Some(mut tokens) = texts::prose(tokenizer, float.config().vocab_size, positions)?.into_iter().next() else {
        return Ok(Vec::new());
    };
    tokens.truncate(TOKENS);
    let mut all = compare(float, quantized, &tokens);
    if all.iter().any(|deviation| is_other(deviation.error)) {
        all.retain(|deviation| is_other(deviation.error));
    } else {
        all.sort_by(|a, b| b.error.total_cmp(&a.error));
    }
    all.truncate(NAMED);
    Ok(all)
}

/// What is not a number is another tensor too.
fn is_other(error: f64) -> bool {
    error.is_nan() || error > OTHER
}

/// The embedding, what every block adds to the residual stream, and the logits.
fn compare(float: &FloatModel, quantized: &QuantizedModel, tokens: &[u32]) -> Vec<Deviation> {
    let integer = IntegerModel::new(quantized);
    let unit = f64::from(quantized.description.residual.fraction).exp2().recip();
    let expected: Vec<Vec<f64>> = float.streams(tokens).into_iter().map(|stream| reals(&stream, 1.0)).collect();
    let actual: Vec<Vec<f64>> = integer.streams(tokens).into_iter().map(|stream| reals(&stream, unit)).collect();
    let mut all = vec![Deviation { tensor: "embedding".into(), layer: None, error: error(&expected[0], &actual[0]) }];
    for (index, (expected, actual)) in expected.windows(2).zip(actual.windows(2)).enumerate() {
        let tensor = ["attention branch", "feed-forward branch"][index % 2].to_owned();
        let error = error(&added(expected), &added(actual));
        all.push(Deviation { tensor, layer: Some(index / 2), error });
    }
    let mut logits = reals(&integer.read(&mut integer.cache(), tokens, tokens.len()), quantized.logit_unit());
    if let Some(cap) = float.config().logit_cap {
        logits.iter_mut().for_each(|logit| *logit = cap * (*logit / cap).tanh());
    }
    let error = error(&reals(&float.logits(tokens), 1.0), &logits);
    all.push(Deviation { tensor: "logits".into(), layer: None, error });
    all
}

fn reals<T: Copy + Into<f64>>(values: &[T], unit: f64) -> Vec<f64> {
    values.iter().map(|&value| value.into() * unit).collect()
}

/// What a block added to the stream.
fn added(streams: &[Vec<f64>]) -> Vec<f64> {
    streams[0].iter().zip(&streams[1]).map(|(before, after)| after - before).collect()
}

/// Length of the difference relative to the length of what is expected.
fn error(expected: &[f64], actual: &[f64]) -> f64 {
    let length = |squares: f64| squares.sqrt().max(f64::MIN_POSITIVE);
    let difference: f64 = expected.iter().zip(actual).map(|(a, b)| (a - b) * (a - b)).sum();
    difference.sqrt() / length(expected.iter().map(|a| a * a).sum())
}
