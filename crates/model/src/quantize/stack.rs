//! Weights as integers at one power-of-two scale per tensor, with as many significant bits per output channel as asked for.
//!
//! A stack is read from the checkpoint in pieces, so that memory holds a few megabytes of it at a time: once to survey
//! what each scale would mean, and once more to write the integers of the scale that was chosen.

use std::ops::Range;

use obelysk_statement::description::WeightBound;
use rayon::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::decoder::Projection;
use crate::error::ModelError;

/// Finest scale of a weight; below it a channel is as good as zero.
pub(super) const FINEST: u32 = 26;
/// A channel whose scale is this much finer than the tensor's has no integer but zero: its largest has twelve bits.
const VANISHED: u32 = 12;
/// Entries in memory at a time, about.
const PIECE: usize = 1 << 22;

/// Largest `f <= FINEST` with `largest * 2^f <= limit`, if that is not negative.
pub(super) fn finest_scale(largest: f64, limit: f64) -> Option<u32> {
    (0..=FINEST).rev().find(|&f| largest * f64::from(1u32 << f) <= limit)
}

/// Real matrices of one shape, one per layer: `rows` output channels of `columns` inputs.
pub(super) struct Stack<'a> {
    checkpoint: &'a Checkpoint,
    /// The tensor of each layer, and the rows of it.
    places: Vec<(String, Range<usize>)>,
    columns: usize,
    /// What the inputs of each layer are multiplied by; empty for nothing.
    gains: Vec<Vec<f64>>,
    /// What the rows of each layer are multiplied by; empty for nothing.
    row_factors: Vec<Vec<f64>>,
    /// What everything is multiplied by.
    factor: f64,
    /// Largest integer of a channel.
    mantissa: f64,
}

/// What the integers of a stack would be at each scale.
#[derive(Clone)]
pub(super) struct Survey {
    /// Finest scale of any channel.
    pub(super) finest: u32,
    scales: Vec<Extremes>,
}

/// The largest of any channel.
#[derive(Clone, Copy, Default)]
pub(super) struct Extremes {
    pub(super) magnitude: i64,
    pub(super) mass: i64,
    /// Euclidean norm.
    pub(super) norm: f64,
}

impl Extremes {
    pub(super) fn of(row: &[i32]) -> Self {
        let magnitudes = row.iter().map(|&weight| i64::from(weight).abs());
        Self { magnitude: magnitudes.clone().max().unwrap_or(0), mass: magnitudes.sum(), norm: inner(row, row).sqrt() }
    }

    fn scaled(self, bits: u32) -> Self {
        Self { magnitude: self.magnitude << bits, mass: self.mass << bits, norm: self.norm * f64::from(1u32 << bits) }
    }

    fn or(self, other: Self) -> Self {
        Self {
            magnitude: self.magnitude.max(other.magnitude),
            mass: self.mass.max(other.mass),
            norm: self.norm.max(other.norm),
        }
    }

    pub(super) fn bound(self) -> WeightBound {
        // A square root is off by less than one unit: the next integer is above the norm.
        WeightBound { magnitude: self.magnitude, row_mass: self.mass, row_norm: self.norm.floor() as i64 + 1 }
    }
}

impl Survey {
    /// The extremes at a scale, not finer than the finest.
    pub(super) fn at(&self, fraction: u32) -> Extremes {
        self.scales[fraction as usize]
    }
}

impl<'a> Stack<'a> {
    /// A projection of every layer.
    pub(super) fn of_layers(
        config: &ModelConfig,
        checkpoint: &'a Checkpoint,
        projection: Projection,
        mantissa: f64,
    ) -> Self {
        Self {
            mantissa,
            checkpoint,
            places: (0..config.layers).map(|layer| projection.location(config, layer)).collect(),
            columns: projection.shape(config)[1],
            gains: Vec::new(),
            row_factors: Vec::new(),
            factor: 1.0,
        }
    }

    /// A single matrix.
    pub(super) fn single(checkpoint: &'a Checkpoint, name: &str, [rows, columns]: [usize; 2], mantissa: f64) -> Self {
        let places = vec![(name.to_owned(), 0..rows)];
        let (gains, row_factors) = (Vec::new(), Vec::new());
        Self { checkpoint, places, columns, gains, row_factors, factor: 1.0, mantissa }
    }

    /// With the gains of the norm before it, one vector per layer.
    pub(super) fn after_norm(mut self, gains: Vec<Vec<f32>>) -> Self {
        assert_eq!(gains.len(), self.places.len(), "one gain vector per layer");
        self.gains = gains.into_iter().map(|gain| gain.into_iter().map(f64::from).collect()).collect();
        self
    }

    /// With everything multiplied by `factor`.
    pub(super) fn times(mut self, factor: f64) -> Self {
        self.scale(factor);
        self
    }

    /// Multiply everything by `factor`.
    pub(super) fn scale(&mut self, factor: f64) {
        self.factor *= factor;
    }

    /// Multiply each row by its factor, one vector per layer.
    pub(super) fn scale_rows(&mut self, factors: Vec<Vec<f64>>) {
        assert_eq!(factors.len(), self.places.len(), "one vector of factors per layer");
        self.row_factors = factors;
    }

    /// Visit all rows in groups of `group`: `visit` runs in parallel, its results come in order.
    fn visit<T: Send>(
        &self,
        group: usize,
        visit: impl Fn(usize, &[f64]) -> T + Sync,
        mut each: impl FnMut(T),
    ) -> Result<(), ModelError> {
        for layer in 0..self.places.len() {
            self.visit_layer(layer, group, &visit, &mut each)?;
        }
        Ok(())
    }

    fn visit_layer<T: Send>(
        &self,
        layer: usize,
        group: usize,
        visit: &(impl Fn(usize, &[f64]) -> T + Sync),
        each: &mut impl FnMut(T),
    ) -> Result<(), ModelError> {
        let (name, rows) = &self.places[layer];
        assert!(rows.len().is_multiple_of(group), "whole groups of rows");
        let step = (PIECE / self.columns / group).max(1) * group;
        for first in rows.clone().step_by(step) {
            let piece = self.checkpoint.rows(name, self.columns, first..rows.end.min(first + step))?;
            let groups = piece.par_chunks_exact(self.columns * group).enumerate();
            let row = |place: usize| first - rows.start + place * group;
            let results: Vec<T> =
                groups.map(|(place, group)| visit(layer, &self.real(layer, row(place), group))).collect();
            results.into_iter().for_each(&mut *each);
        }
        Ok(())
    }

    /// Rows of a layer from `first` on, multiplied by what they are to be multiplied by.
    fn real(&self, layer: usize, first: usize, rows: &[f32]) -> Vec<f64> {
        let (gains, factors) = (self.gains.get(layer), self.row_factors.get(layer));
        let row = |(place, row): (usize, &[f32])| -> Vec<f64> {
            let factor = self.factor * factors.map_or(1.0, |factors| factors[first + place]);
            match gains {
                None => row.iter().map(|&weight| f64::from(weight) * factor).collect(),
                Some(gain) => row.iter().zip(gain).map(|(&w, gain)| f64::from(w) * gain * factor).collect(),
            }
        };
        rows.chunks_exact(self.columns).enumerate().flat_map(row).collect()
    }

    /// What each scale would mean.
    pub(super) fn survey(&self) -> Result<Survey, ModelError> {
        let mut survey = Survey { finest: 0, scales: vec![Extremes::default(); FINEST as usize + 1] };
        let row = |_: usize, row: &[f64]| {
            let own = self.scale_of(row);
            let coarsest = own.saturating_sub(VANISHED - 1);
            let integers = |fraction| self.integers(row, fraction);
            (own, (coarsest..=own).map(|fraction| Extremes::of(&integers(fraction))).collect::<Vec<_>>())
        };
        self.visit(1, row, |(own, extremes)| {
            survey.finest = survey.finest.max(own);
            let coarsest = own + 1 - extremes.len() as u32;
            for fraction in coarsest..=FINEST {
                let at = match fraction.checked_sub(own) {
                    Some(finer) => extremes[extremes.len() - 1].scaled(finer),
                    None => extremes[(fraction - coarsest) as usize],
                };
                let entry = &mut survey.scales[fraction as usize];
                *entry = entry.or(at);
            }
        })?;
        Ok(survey)
    }

    /// What `read` makes of the integers of each group of rows at a scale, in order.
    pub(super) fn groups_at<T: Send>(
        &self,
        fraction: u32,
        group: usize,
        read: impl Fn(usize, &[i32]) -> T + Sync,
    ) -> Result<Vec<T>, ModelError> {
        let mut results = Vec::new();
        let columns = self.columns;
        let quantize = |layer: usize, rows: &[f64]| {
            let integers: Vec<i32> = rows.chunks_exact(columns).flat_map(|row| self.integers(row, fraction)).collect();
            read(layer, &integers)
        };
        self.visit(group, quantize, |result| results.push(result))?;
        Ok(results)
    }

    /// What `read` makes of the integers of each row of this stack and of another of the same shape, in order.
    pub(super) fn pairs_at<T: Send>(
        &self,
        fraction: u32,
        (other, other_fraction): (&Stack, u32),
        read: impl Fn(&[i32], &[i32]) -> T + Sync,
    ) -> Result<Vec<T>, ModelError> {
        let mut results = Vec::new();
        for layer in 0..self.places.len() {
            let mut others = Vec::new();
            let quantize = |_: usize, row: &[f64]| other.integers(row, other_fraction);
            other.visit_layer(layer, 1, &quantize, &mut |row| others.push(row))?;
            let mut own = Vec::new();
            let quantize = |_: usize, row: &[f64]| self.integers(row, fraction);
            self.visit_layer(layer, 1, &quantize, &mut |row| own.push(row))?;
            results.par_extend(own.par_iter().zip(&others).map(|(own, other)| read(own, other)));
        }
        Ok(results)
    }

    /// The integers at a scale, in pieces.
    pub(super) fn write<E: From<ModelError>>(
        &self,
        fraction: u32,
        sink: &mut dyn FnMut(&[i32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.write_rows(&|row| self.integers(row, fraction), sink)
    }

    /// The nearest integers at a scale, without regard to significant bits, in pieces.
    pub(super) fn write_plain<E: From<ModelError>>(
        &self,
        fraction: u32,
        sink: &mut dyn FnMut(&[i32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let unit = f64::from(1u32 << fraction);
        self.write_rows(&|row| row.iter().map(|weight| (weight * unit).round() as i32).collect(), sink)
    }

    fn write_rows<E: From<ModelError>>(
        &self,
        quantize: &(dyn Fn(&[f64]) -> Vec<i32> + Sync),
        sink: &mut dyn FnMut(&[i32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut outcome = Ok(());
        self.visit(
            1,
            |_, row| quantize(row),
            |row| {
                if outcome.is_ok() {
                    outcome = sink(&row);
                }
            },
        )?;
        outcome
    }

    /// Largest absolute entry of each column over all rows.
    pub(super) fn largest_of_columns(&self) -> Result<Vec<f64>, ModelError> {
        let mut largest = vec![0.0f64; self.columns];
        self.visit(
            1,
            |_, row| row.to_vec(),
            |row| {
                largest.iter_mut().zip(row).for_each(|(largest, entry)| *largest = largest.max(entry.abs()));
            },
        )?;
        Ok(largest)
    }

    fn scale_of(&self, row: &[f64]) -> u32 {
        scale_of(row, self.mantissa)
    }

    fn integers(&self, row: &[f64], fraction: u32) -> Vec<i32> {
        integers(row, fraction, self.mantissa)
    }
}

/// The finest scale at which a channel's largest weight is at most `mantissa`.
fn scale_of(row: &[f64], mantissa: f64) -> u32 {
    let largest = row.iter().fold(0.0f64, |largest, weight| largest.max(weight.abs()));
    if largest == 0.0 { 0 } else { finest_scale(largest, mantissa).unwrap_or(0) }
}

/// A channel at a scale. One with larger weights gets fewer fractional bits of its own: its integers are multiples of a
/// power of two.
fn integers(row: &[f64], fraction: u32, mantissa: f64) -> Vec<i32> {
    let scale = scale_of(row, mantissa).min(fraction);
    let unit = f64::from(1u32 << scale);
    row.iter().map(|weight| ((weight * unit).round() as i32) << (fraction - scale)).collect()
}

/// Inner product of two integer rows; exact, since the sums stay below `2^53`.
pub(super) fn inner(left: &[i32], right: &[i32]) -> f64 {
    left.iter().zip(right).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_keeps_the_significant_bits_of_its_largest_weight() {
        for (mantissa, row) in [(127.0, [0.9, -0.01]), (2047.0, [0.02, 0.015]), (127.0, [0.0, 0.0])] {
            let unit = f64::from(1u32 << 20);
            let largest = row.iter().fold(0.0f64, |largest, weight: &f64| largest.max(weight.abs()));
            for (&integer, &weight) in integers(&row, 20, mantissa).iter().zip(&row) {
                assert!((f64::from(integer) / unit - weight).abs() <= largest / mantissa, "{weight}");
            }
        }
    }

    #[test]
    fn a_coarser_limit_only_costs_small_channels() {
        assert_eq!((integers(&[0.9], 7, 127.0), integers(&[0.001], 7, 127.0)), (vec![115], vec![0]));
    }

    #[test]
    fn a_finer_scale_multiplies_a_channel_by_a_power_of_two() {
        let row = [0.009, -0.0033, 0.00007];
        for mantissa in [127.0, 2047.0] {
            let own = scale_of(&row, mantissa);
            let at = |fraction| integers(&row, fraction, mantissa);
            let (coarse, fine) = (Extremes::of(&at(own)), Extremes::of(&at(own + 5)));
            assert_eq!((coarse.scaled(5).mass, coarse.scaled(5).magnitude), (fine.mass, fine.magnitude));
            assert!(at(own - VANISHED).iter().all(|&weight| weight == 0));
        }
    }
}
