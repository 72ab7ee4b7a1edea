//! Several inferences side by side: each is an entry of one axis, padded to the sizes of the longest.

use std::sync::Arc;

use crate::description::Inference;

/// The inferences of a statement and the sizes that they share.
pub struct Entries<'a> {
    inferences: Vec<&'a Inference>,
    /// Number of positions of each entry.
    pub positions: usize,
    /// Number of output rows of each entry.
    pub rows: usize,
}

/// What the head claims, each of shape [entries, rows].
pub(crate) struct OutputRows {
    /// The position that a row reads.
    pub(crate) positions: Arc<Vec<u32>>,
    /// The token that a row claims.
    pub(crate) tokens: Arc<Vec<u32>>,
}

impl<'a> Entries<'a> {
    /// Line up `inferences`; the last is repeated up to a size with few tiles.
    ///
    /// # Panics
    /// If there are none, or one lacks prompt or output tokens.
    #[must_use]
    pub fn new(inferences: &'a [Inference]) -> Self {
        let longest = |length: fn(&Inference) -> usize| padded_size(inferences.iter().map(length).max().unwrap_or(0));
        let last = inferences.last().expect("a statement has inferences");
        let mut padded: Vec<&Inference> = inferences.iter().collect();
        padded.resize(padded_size(inferences.len()), last);
        Self {
            inferences: padded,
            positions: longest(Inference::positions),
            rows: longest(|inference| inference.output_tokens.len()),
        }
    }

    /// Number of entries, repetitions included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inferences.len()
    }

    /// The inferences, repetitions included.
    pub fn iter(&self) -> impl Iterator<Item = &'a Inference> {
        self.inferences.iter().copied()
    }

    /// Input tokens of one entry with dummies appended; causality hides them from every claimed row.
    #[must_use]
    pub fn inputs_of(&self, inference: &Inference) -> Vec<u32> {
        let mut tokens = inference.inputs();
        tokens.resize(self.positions, 0);
        tokens
    }

    /// Input tokens, shape [entries, positions].
    pub(crate) fn inputs(&self) -> Vec<u32> {
        self.iter().flat_map(|inference| self.inputs_of(inference)).collect()
    }

    /// Index of the output token of each row of an entry. Padding rows repeat the last one.
    pub fn outputs_of(&self, inference: &Inference) -> impl Iterator<Item = usize> {
        let last = inference.output_tokens.len() - 1;
        (0..self.rows).map(move |row| row.min(last))
    }

    pub(crate) fn output_rows(&self) -> OutputRows {
        let rows =
            || self.iter().flat_map(|inference| self.outputs_of(inference).map(move |output| (inference, output)));
        let position = |(inference, output): (&Inference, usize)| {
            u32::try_from(inference.prompt_tokens.len() - 1 + output).expect("positions are few")
        };
        OutputRows {
            positions: Arc::new(rows().map(position).collect()),
            tokens: Arc::new(rows().map(|(inference, output)| inference.output_tokens[output]).collect()),
        }
    }
}

/// The smallest number with at most two set bits that is at least `size`: few tiles, little padding.
#[must_use]
pub fn padded_size(size: usize) -> usize {
    assert!(size >= 1, "nothing is not a size");
    let top = 1usize << size.ilog2();
    let rest = size - top;
    top + if rest == 0 { 0 } else { rest.next_power_of_two() }
}
