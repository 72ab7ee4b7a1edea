//! Which integers make up each weight tensor, and how they are written.

use std::collections::BTreeMap;

use obelysk_statement::ModelDescription;
use obelysk_statement::description::WeightBound;

use super::Piece;
use super::file::WeightsDigest;
use super::formats::{Projection, Scaled};
use super::stack::Stack;
use crate::error::ModelError;

/// The weight tensors of a model, each with its bounds and where its integers come from.
#[derive(Default)]
pub(super) struct WeightTensors<'a> {
    tensors: BTreeMap<String, (WeightBound, Source<'a>)>,
}

/// Entries that are written at once.
const ZEROS: [i32; 1 << 12] = [0; 1 << 12];

enum Source<'a> {
    /// A stack at a scale, with significant bits per channel.
    Scaled(&'a Stack<'a>, u32),
    /// A stack at a scale, rounded.
    Plain(&'a Stack<'a>, u32),
    /// Known entries.
    Entries(Vec<i32>),
}

impl<'a> WeightTensors<'a> {
    /// The weights of a projection, and its bias if it has one.
    pub(super) fn projection(&mut self, name: &str, projection: &Projection<'a>) {
        let source = Source::Scaled(projection.stack, projection.weight_fraction);
        self.tensors.insert(format!("{name}_weight"), (projection.bound, source));
        if let Some(bias) = &projection.bias {
            self.entries(&format!("{name}_bias"), bias.clone());
        }
    }

    pub(super) fn scaled(&mut self, name: &str, stack: &'a Stack<'a>, scaled: &Scaled) {
        self.tensors.insert(name.to_owned(), (scaled.bound, Source::Scaled(stack, scaled.fraction)));
    }

    pub(super) fn plain(&mut self, name: &str, stack: &'a Stack<'a>, fraction: u32, bound: WeightBound) {
        self.tensors.insert(name.to_owned(), (bound, Source::Plain(stack, fraction)));
    }

    /// Entries that no product sums.
    pub(super) fn entries(&mut self, name: &str, entries: Vec<i32>) {
        let magnitude = entries.iter().map(|&entry| i64::from(entry).abs()).max().unwrap_or(0);
        let bound = WeightBound { magnitude, row_mass: magnitude, row_norm: magnitude };
        self.tensors.insert(name.to_owned(), (bound, Source::Entries(entries)));
    }

    pub(super) fn bounds(&self) -> BTreeMap<String, WeightBound> {
        self.tensors.iter().map(|(name, (bound, _))| (name.clone(), *bound)).collect()
    }

    /// Hand all integers to `sink`, in order of the tensors' names, and return their digest.
    pub(super) fn write<E: From<ModelError>>(
        &self,
        description: &ModelDescription,
        sink: &mut dyn FnMut(Piece) -> Result<(), E>,
    ) -> Result<[u8; 32], E> {
        let shapes = description.weight_shapes();
        assert!(self.tensors.keys().eq(shapes.keys()), "every weight of the statement is quantised");
        let mut digest = WeightsDigest::new();
        for (name, (bound, source)) in &self.tensors {
            let length: usize = shapes[name.as_str()].iter().product();
            digest.begin(name, length);
            let mut written = 0;
            let mut each = |entries: &[i32]| {
                let largest = entries.iter().map(|&entry| i64::from(entry).abs()).max().unwrap_or(0);
                assert!(largest <= bound.magnitude, "the bound of `{name}` holds");
                written += entries.len();
                digest.update(entries);
                sink(Piece { name, bound: *bound, entries })
            };
            match source {
                Source::Scaled(stack, fraction) => stack.write(*fraction, &mut each)?,
                Source::Plain(stack, fraction) => stack.write_plain(*fraction, &mut each)?,
                Source::Entries(entries) => each(entries)?,
            }
            // Idle layers.
            while written < length {
                let zeros = &ZEROS[..ZEROS.len().min(length - written)];
                written += zeros.len();
                digest.update(zeros);
                sink(Piece { name, bound: *bound, entries: zeros })?;
            }
        }
        Ok(digest.finish())
    }
}
