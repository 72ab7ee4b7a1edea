//! The integer engine: the specification of what is proven. Every operation has exactly one result, in plain integer
//! arithmetic; the statement's relations hold of the tensors that it records, and of no others.
//!
//! One file per operation of the decoder, with the same name as the compiler's file that states its relations.

mod attention;
mod feed_forward;
mod head;
mod linear;
mod norm;
mod output_projection;
mod record;
mod residual;
mod rotary;
mod rounding;
mod scores;
mod softmax;

use obelysk_statement::compile::{Entries, difference_end};
use obelysk_statement::functions::FunctionTable;
use obelysk_statement::{Inference, ModelDescription};
use obelysk_witness::{Assignment, EntriesRef, Weights, unreadable};

use crate::error::ModelError;
use crate::float::check_prompt;
use crate::quantize::QuantizedModel;
use attention::KeysAndValues;
use record::Recorder;
use residual::Block;

pub use head::argmax;
pub use linear::{Matrix, Multiplier};

/// Whether an answer ends where generation has to: at `limit` tokens, at the end of the model's `positions`, or at the first
/// token of `stop`.
#[must_use]
pub fn is_whole_answer(inference: &Inference, limit: usize, positions: usize, stop: &[u32]) -> bool {
    let Inference { prompt_tokens, output_tokens } = inference;
    let limit = limit.min((positions + 1).saturating_sub(prompt_tokens.len()));
    let stops = output_tokens.iter().position(|token| stop.contains(token));
    output_tokens.len() == stops.map_or(limit, |place| limit.min(place + 1))
}

/// A quantised model ready to run.
pub struct IntegerModel<'a> {
    description: &'a ModelDescription,
    weights: &'a Weights,
    /// Who multiplies; this processor where there is none.
    multiplier: Option<&'a dyn Multiplier>,
    hidden_roots: Vec<i32>,
    /// Empty where heads have no norms.
    head_roots: Vec<i32>,
    exponential: Vec<i32>,
    logarithm: Vec<i32>,
    activation: Vec<i32>,
    soft_cap: Option<Vec<i32>>,
    /// Where differences of scores end; `None` with a cap, which keeps them small.
    difference_end: Option<i32>,
    cosine: Vec<i32>,
    sine: Vec<i32>,
}

/// The tokens read so far, as keys and values of every layer.
pub struct Cache {
    layers: Vec<KeysAndValues>,
    positions: usize,
}

/// One entry on its way through the layers.
struct Reading<'a> {
    cache: &'a mut Cache,
    /// The residual stream, shape [tokens, hidden].
    stream: Vec<i32>,
}

impl<'a> IntegerModel<'a> {
    /// Take the model's constants into memory.
    #[must_use]
    pub fn new(model: &'a QuantizedModel) -> Self {
        let description = &model.description;
        let constant = |name: &str| -> Vec<i32> { model.weights[name].iter().collect() };
        let values = |table: FunctionTable| constant(&table.tensor());
        Self {
            description,
            weights: &model.weights,
            multiplier: None,
            hidden_roots: values(FunctionTable::hidden_roots(description)),
            head_roots: FunctionTable::head_roots(description).map(values).unwrap_or_default(),
            exponential: values(FunctionTable::exponential(description)),
            logarithm: values(FunctionTable::logarithm(description)),
            activation: values(FunctionTable::activation(description)),
            soft_cap: FunctionTable::soft_cap(description).map(values),
            difference_end: match description.attention.score_cap {
                None => difference_end(description),
                Some(_) => None,
            },
            cosine: constant("cosine"),
            sine: constant("sine"),
        }
    }

    /// The same engine, for which somebody else multiplies by weights.
    #[must_use]
    pub fn multiplied_by(self, multiplier: &'a dyn Multiplier) -> Self {
        Self { multiplier: Some(multiplier), ..self }
    }

    /// The description that this engine interprets.
    #[must_use]
    pub fn description(&self) -> &ModelDescription {
        self.description
    }

    /// A cache that has read nothing.
    #[must_use]
    pub fn cache(&self) -> Cache {
        Cache { layers: vec![KeysAndValues::default(); self.description.shape.padded_layers()], positions: 0 }
    }

    /// Read `tokens` and return the logits of the last `rows` of them, shape [rows, vocabulary].
    ///
    /// # Panics
    /// If the tokens do not fit the model's positions or vocabulary, or `rows` exceeds their number.
    pub fn read(&self, cache: &mut Cache, tokens: &[u32], rows: usize) -> Vec<i32> {
        self.read_counting(cache, tokens, rows).0
    }

    /// As [`IntegerModel::read`], with the share of the roundings that were clamped.
    pub(crate) fn read_counting(&self, cache: &mut Cache, tokens: &[u32], rows: usize) -> (Vec<i32>, f64) {
        assert!(cache.positions + tokens.len() <= self.description.shape.positions, "the sequence fits the model");
        let mut recorder = Recorder::off();
        let mut entry = [Reading { cache, stream: self.embed(tokens) }];
        self.decode(&mut entry, &mut recorder);
        let [Reading { stream, .. }] = entry;
        let hidden = self.description.shape.hidden;
        let logits = self.logits(stream[(tokens.len() - rows) * hidden..].to_vec(), &mut recorder);
        (logits, recorder.saturation_rate())
    }

    /// The residual stream before the blocks of every layer and after the last, in units of its own.
    pub(crate) fn streams(&self, tokens: &[u32]) -> Vec<Vec<i32>> {
        let mut recorder = Recorder::of_streams();
        let mut cache = self.cache();
        self.decode(&mut [Reading { cache: &mut cache, stream: self.embed(tokens) }], &mut recorder);
        recorder.into_streams()
    }

    /// Generate greedily after `prompt` until a token of `stop`, at most `limit` tokens. The stop token is part of
    /// the output; equal logits go to the lowest id. `each` sees every token as it comes.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] for an empty or too long prompt, or a token outside the vocabulary.
    pub fn generate_streaming(
        &self,
        prompt: &[u32],
        limit: usize,
        stop: &[u32],
        each: impl FnMut(u32),
    ) -> Result<Vec<u32>, ModelError> {
        self.answer(prompt, limit, stop, each, |_| {})
    }

    /// As [`IntegerModel::generate_streaming`], with the logits that each output token was chosen from, shape [tokens, vocabulary].
    ///
    /// # Errors
    /// As there.
    pub fn generate_with_logits(
        &self,
        prompt: &[u32],
        limit: usize,
        stop: &[u32],
    ) -> Result<(Vec<u32>, Vec<i32>), ModelError> {
        let mut logits = Vec::new();
        let output = self.answer(prompt, limit, stop, |_| {}, |row| logits.extend_from_slice(row))?;
        Ok((output, logits))
    }

    fn answer(
        &self,
        prompt: &[u32],
        limit: usize,
        stop: &[u32],
        mut each: impl FnMut(u32),
        mut see: impl FnMut(&[i32]),
    ) -> Result<Vec<u32>, ModelError> {
        let shape = &self.description.shape;
        check_prompt(prompt, shape.vocabulary, shape.positions)?;
        if limit == 0 {
            return Err(ModelError::BadInput("at least one output token must be asked for".into()));
        }
        let limit = limit.min(shape.positions - prompt.len() + 1);
        let mut cache = self.cache();
        let mut output = Vec::new();
        let mut next = prompt.to_vec();
        while output.len() < limit && !output.last().is_some_and(|last| stop.contains(last)) {
            let row = self.read(&mut cache, &next, 1);
            self.check_products()?;
            let token = argmax(&row);
            see(&row);
            each(token);
            output.push(token);
            next = vec![token];
        }
        Ok(output)
    }

    /// [`IntegerModel::generate_streaming`], all at once.
    ///
    /// # Errors
    /// As there.
    pub fn generate(&self, prompt: &[u32], limit: usize, stop: &[u32]) -> Result<Vec<u32>, ModelError> {
        self.generate_streaming(prompt, limit, stop, |_| {})
    }

    /// The values of every witness tensor, table multiplicities apart, for the inferences of one statement, and the logits that
    /// each inference's output tokens were chosen from, shape [tokens, vocabulary]: one pass over all tokens.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] if an output token is not the model's answer at its position.
    pub fn witness(&self, inferences: &[Inference]) -> Result<(Assignment, Vec<Vec<i32>>), ModelError> {
        let shape = &self.description.shape;
        for inference in inferences {
            check_prompt(&inference.prompt_tokens, shape.vocabulary, shape.positions)?;
        }
        let mut recorder = Recorder::on();
        let entries = Entries::new(inferences);
        let mut caches: Vec<Cache> = entries.iter().map(|_| self.cache()).collect();
        let mut readings: Vec<Reading> = entries
            .iter()
            .zip(&mut caches)
            .map(|(inference, cache)| Reading { cache, stream: self.embed(&entries.inputs_of(inference)) })
            .collect();
        self.decode(&mut readings, &mut recorder);
        let mut logits = Vec::new();
        for (inference, reading) in entries.iter().zip(&readings) {
            let outputs: Vec<usize> = entries.outputs_of(inference).collect();
            let claimed = self.claim(inference, &outputs, &reading.stream, &mut recorder);
            // An answer that does not follow from weights that were not read says nothing.
            self.check_products()?;
            let mut rows = claimed?;
            rows.truncate(inference.output_tokens.len() * shape.vocabulary);
            logits.push(rows);
        }
        logits.truncate(inferences.len());
        Ok((recorder.finish(), logits))
    }

    /// Run all layers over entries that each hold the embeddings of their tokens, and leave what the last layer leaves.
    fn decode(&self, entries: &mut [Reading], recorder: &mut Recorder) {
        let hidden_norm = self.over_hidden(&self.description.hidden_norm);
        entries.iter().for_each(|entry| recorder.record("embedded", &entry.stream));
        let ModelDescription { shape, residual, attention, feed_forward, .. } = self.description;
        let norms = self.description.branch_norms.as_ref();
        let attention = Block {
            name: "attention",
            format: &residual.attention,
            norm: norms.map(|norms| &norms.attention),
            input: ("attention_mean", attention.mean_limbs),
            weight: ("output_weight", shape.kv_heads * shape.group * shape.head_dim),
        };
        let feed_forward = Block {
            name: "feed_forward",
            format: &residual.feed_forward,
            norm: norms.map(|norms| &norms.feed_forward),
            input: ("feed_forward_hidden", feed_forward.hidden_limbs),
            weight: ("down_weight", shape.intermediate),
        };
        let run = |layer, Reading { cache, stream }: &mut Reading, recorder: &mut Recorder| {
            self.enter("attention_input", stream, recorder);
            recorder.see_stream(stream);
            let normed = self.norm("attention_norm", &hidden_norm, stream, recorder);
            let mean = self.attention(layer, cache.positions, &mut cache.layers[layer], &normed, recorder);
            self.add_branch(&attention, layer, stream, &mean, recorder);
            recorder.see_stream(stream);
            self.record_middle("feed_forward_input", stream, recorder);
            let normed = self.norm("feed_forward_norm", &hidden_norm, stream, recorder);
            let inner = self.feed_forward(layer, &normed, recorder);
            self.add_branch(&feed_forward, layer, stream, &inner, recorder);
        };
        for layer in 0..shape.layers {
            entries.iter_mut().for_each(|entry| run(layer, entry, recorder));
        }
        if recorder.is_on() {
            // Only a witness has idle layers, and what leaves them is read by nobody.
            let left: Vec<Vec<i32>> = entries.iter().map(|entry| entry.stream.clone()).collect();
            for layer in shape.layers..shape.padded_layers() {
                entries.iter_mut().for_each(|entry| run(layer, entry, recorder));
            }
            entries.iter_mut().zip(left).for_each(|(entry, left)| entry.stream = left);
        }
        for Reading { cache, stream } in entries {
            cache.positions += stream.len() / shape.hidden;
            recorder.see_stream(stream);
        }
    }

    /// Whether all weights could be read and multiplied by that were needed so far.
    fn check_products(&self) -> Result<(), ModelError> {
        let fault = self.multiplier.and_then(Multiplier::fault);
        fault.map_or(Ok(()), |fault| Err(ModelError::Multiplier(fault)))?;
        unreadable(self.weights).map_or(Ok(()), |unreadable| Err(unreadable.into()))
    }

    /// How many positions a layer sees, its own included; `None` sees all, as idle layers do.
    fn window(&self, layer: usize) -> Option<usize> {
        self.description.windows.get(layer).copied().flatten()
    }

    /// One layer's share of a stacked weight.
    fn weight(&self, name: &str, layer: usize) -> EntriesRef<'_> {
        let entries = self.weights[name].as_ref();
        let size = entries.len() / self.description.shape.padded_layers();
        entries.slice(layer * size..(layer + 1) * size)
    }
}
