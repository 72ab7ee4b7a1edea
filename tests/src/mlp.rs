//! A multilayer perceptron of integers, written with the public builder: its statement, its weights, and the forward pass that gives the
//! values of a proof.

use std::sync::Arc;

use obelysk_statement::builder::{Builder, at, contraction, linear};
use obelysk_statement::description::WeightBound;
use obelysk_statement::{Certificate, Interval, PublicTensor, Statement};
use obelysk_witness::{Assignment, Entries, Weights};

/// Largest absolute weight: 8 bits.
pub const WEIGHT_MAX: i16 = 127;
/// Largest input and activation: 8 bits, of which ReLU leaves the positive half.
pub const ACTIVATION_MAX: i32 = 127;

/// Layers of equal width: `relu(round(weight * input / 2^shift))`, at most [`ACTIVATION_MAX`].
#[derive(Clone, Copy, Debug)]
pub struct Mlp {
    /// How many.
    pub layers: usize,
    /// Inputs and outputs of each.
    pub width: usize,
}

/// Where xorshift starts.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

impl Mlp {
    /// A sum of random terms grows as the root of their number: activations keep their size from layer to layer.
    fn shift(&self) -> u32 {
        6 + self.width.ilog2() / 2
    }

    /// Bits of the rounded sum before ReLU, whatever the input.
    fn unclamped_bits(&self) -> u32 {
        let largest = self.largest_sum() >> self.shift();
        i64::BITS - (largest + 1).leading_zeros() + 1
    }

    fn largest_sum(&self) -> i64 {
        i64::try_from(self.width).expect("a small width") * i64::from(WEIGHT_MAX) * i64::from(ACTIVATION_MAX)
    }

    /// Random weights of 8 bits.
    #[must_use]
    pub fn weights(&self) -> Weights {
        let mut state = SEED;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            i16::try_from(state % 255).expect("a byte") - WEIGHT_MAX
        };
        let layer = |layer| (weight_name(layer), Entries::I16((0..self.width.pow(2)).map(|_| random()).collect()));
        (0..self.layers).map(layer).collect()
    }

    /// Any input.
    #[must_use]
    pub fn input(&self) -> Vec<i32> {
        (0..=ACTIVATION_MAX).cycle().take(self.width).collect()
    }

    /// What is claimed: the layers with the committed weights make `output` of `input`.
    #[must_use]
    pub fn statement(&self, input: &[i32], output: &[i32]) -> Statement {
        let mut builder = Builder::default();
        let [from, to] = ["from", "to"].map(|name| builder.axis(name, self.width));
        let activations = Interval::new(0, ACTIVATION_MAX.into());
        let dense = |values: &[i32]| PublicTensor::Dense { shape: vec![self.width], values: Arc::new(values.to_vec()) };
        // The sum of absolute weights, and their Euclidean norm, of any row of 8 bits.
        let magnitude = i64::from(WEIGHT_MAX);
        let width = i64::try_from(self.width).expect("a small width");
        let row_norm = magnitude * (width.isqrt() + 1);
        let bound = WeightBound { magnitude, row_mass: magnitude * width, row_norm };
        // Saturation and ReLU are one clamp.
        let relu = builder.clamp_table(self.unclamped_bits(), activations);
        let mut current = builder.public("input", &[from], dense(input), activations);
        for layer in 0..self.layers {
            let weight = builder.weight(&weight_name(layer), &[to, from], bound);
            let sum = format!("sum {layer}");
            let unclamped = Interval::signed(self.unclamped_bits());
            let unclamped = builder.witness(&format!("{sum}.unclamped"), &[to], unclamped, Certificate::Lookup);
            let rounded = builder.rounded(&sum, &[to], self.shift(), &[(1, at(unclamped, &[to]))]);
            let gemm = contraction(1, &at(weight, &[to, from]), &at(current, &[from]));
            builder.product(&format!("{sum}: gemm"), &[to], rounded, vec![gemm], &[from]);
            let name = format!("activation {layer}");
            current = if layer + 1 == self.layers {
                builder.public(&name, &[to], dense(output), activations)
            } else {
                builder.witness(&name, &[to], activations, Certificate::Lookup)
            };
            let columns = [unclamped, current].map(|tensor| linear(&[(1, &at(tensor, &[to]))], 0));
            builder.lookup(&format!("{name}: relu"), &[to], relu, columns.to_vec(), None);
        }
        builder.finish()
    }

    /// Compute the output, and the values of all witness tensors on the way, multiplicities apart.
    ///
    /// # Panics
    /// If the weights are those of another shape.
    #[must_use]
    pub fn forward(&self, weights: &Weights, input: &[i32]) -> (Vec<i32>, Assignment) {
        let mut witness = Assignment::new();
        let mut current = input.to_vec();
        let (shift, half) = (self.shift(), 1 << (self.shift() - 1));
        for layer in 0..self.layers {
            let Entries::I16(weight) = &weights[&weight_name(layer)] else { panic!("weights have 8 bits") };
            let rows = weight.chunks_exact(self.width);
            let dot = |row: &[i16]| row.iter().zip(&current).map(|(&weight, &input)| i32::from(weight) * input).sum();
            let sums: Vec<i32> = rows.map(dot).collect();
            let of_sums = |of: &dyn Fn(i32) -> i32| sums.iter().map(|&sum| of(sum)).collect::<Vec<i32>>();
            let rounded = |sum: i32| (sum + half) >> shift;
            let output = of_sums(&|sum| rounded(sum).clamp(0, ACTIVATION_MAX));
            witness.insert(format!("sum {layer}.unclamped"), of_sums(&rounded));
            witness.insert(format!("sum {layer}.remainder"), of_sums(&|sum| sum + half - (rounded(sum) << shift)));
            if layer + 1 < self.layers {
                witness.insert(format!("activation {layer}"), output.clone());
            }
            current = output;
        }
        (current, witness)
    }
}

fn weight_name(layer: usize) -> String {
    format!("weight {layer}")
}
