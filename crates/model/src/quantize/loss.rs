//! What a quantised model loses on the calibration texts.

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::float::FloatModel;
use crate::integer::IntegerModel;
use crate::quality::{Quality, Tally};

use super::QuantizedModel;

/// How closely the integer engine follows the float engine over the positions of `sequences`.
///
/// # Errors
/// What reading the checkpoint reports.
pub(super) fn measure(
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    model: &QuantizedModel,
    sequences: &[Vec<u32>],
) -> Result<Quality, ModelError> {
    let float = FloatModel::load(config.clone(), checkpoint)?;
    let integer = IntegerModel::new(model);
    let longest = model.description.shape.positions;
    let mut tally = Tally::new();
    for sequence in sequences {
        let sequence = &sequence[..sequence.len().min(longest)];
        let expected = float.logits(sequence);
        let actual = integer.read(&mut integer.cache(), sequence, sequence.len());
        let rows = expected.chunks_exact(config.vocab_size).zip(actual.chunks_exact(config.vocab_size));
        let rows: Vec<_> = rows.zip(&sequence[1..]).collect();
        tally.add(&rows, model.logit_unit(), config.logit_cap);
    }
    Ok(tally.finish())
}
