//! The circle transform (Haböck, Levit, Papini, Circle STARKs, ePrint 2024/278) of some columns at a time, in two passes that each stay in the
//! cache. What leaves it is handed on block by block and stored nowhere, so that memory holds one pass of a few columns.
//!
//! A message of `2^v` rows at rate `2^-r` is repeated `2^r` times, and layer `l` of the transform acts on `2^l` blocks, each with a
//! constant of its own: `(a, b)` from the two halves of a block become `(a + t b, a - t b)`.

use obelysk_statement::Value;
use p3_circle::Point;
use p3_field::{PackedValue as _, PrimeCharacteristicRing};
use rayon::prelude::*;

use super::codeword::Columns;
use crate::packed::PackedValue;

/// Layers of the first pass at most.
const FIRST_LAYERS: usize = 9;
/// Neighbouring rows that a task of the first pass takes along.
const TOGETHER: usize = 64;
/// Points that one task computes.
const TASK: usize = 1 << 12;

/// The constants of transforms of one length.
pub(super) struct Transform {
    /// Per layer, one for each block.
    constants: Vec<Vec<Value>>,
}

impl Transform {
    /// The transform to `2^log_rows` rows, in the order of [`obelysk_statement::circle::CircleCode`].
    pub(super) fn new(log_rows: usize) -> Self {
        if log_rows == 0 {
            return Self { constants: Vec::new() };
        }
        let shift = Point::<Value>::generator(log_rows + 1);
        let generator = Point::<Value>::generator(log_rows - 1);
        // In bit-reversed order: the half with the most significant bit set is the other half moved by a power of the generator.
        let mut points = vec![shift];
        for step in (0..log_rows - 1).rev() {
            let by = generator * (1 << step);
            let moved: Vec<Point<Value>> = points.par_iter().with_min_len(TASK).map(|&point| point + by).collect();
            points.extend(moved);
        }
        let mut constants = vec![points.par_iter().with_min_len(TASK).map(|point| point.y).collect::<Vec<Value>>()];
        if log_rows > 1 {
            constants.push(points.par_chunks(2).with_min_len(TASK).map(|pair| pair[0].x).collect());
        }
        for _ in 2..log_rows {
            let last = constants.last().expect("not empty");
            constants.push(last.iter().step_by(2).map(|x| x.square().double() - Value::ONE).collect());
        }
        constants.reverse();
        Self { constants }
    }

    /// Binary logarithm of the rows of a block that [`Transform::encode`] hands on.
    pub(super) fn log_block(variables: usize) -> usize {
        variables - first_layers(variables)
    }

    /// Encode `width` columns from `first` on, and map the blocks of the code word, row after row, in any order: the result of every block,
    /// in order.
    pub(super) fn encode<R: Send>(
        &self,
        columns: &impl Columns,
        first: usize,
        width: usize,
        each: impl Fn(usize, &[Value]) -> R + Sync,
    ) -> Vec<R> {
        let variables = columns.variables();
        let repeated = self.constants.len() - variables;
        let (outer, inner) = (first_layers(variables), Self::log_block(variables));
        let together = TOGETHER.min(1 << inner);
        let part = (together << outer) * width;
        let mut halfway = vec![Value::ZERO; width << variables];
        let mut results = Vec::with_capacity(1 << (repeated + outer));
        for copy in 0..1usize << repeated {
            // Rows that are `2^inner` apart meet first: a task takes such rows for a few neighbours.
            halfway.par_chunks_mut(part).enumerate().for_each(|(task, rows)| {
                let mut column = vec![Value::ZERO; together];
                for (place, rows) in rows.chunks_exact_mut(together * width).enumerate() {
                    for own in 0..width {
                        columns.read(first + own, (place << inner) + task * together, &mut column);
                        rows.iter_mut().skip(own).step_by(width).zip(&column).for_each(|(row, &entry)| *row = entry);
                    }
                }
                self.layers(rows, repeated, copy, outer);
            });
            let blocks = (0..1usize << outer).into_par_iter().map(|place| {
                let mut rows = Vec::with_capacity(width << inner);
                for task in halfway.chunks_exact(part) {
                    rows.extend_from_slice(&task[place * together * width..][..together * width]);
                }
                let block = (copy << outer) + place;
                self.layers(&mut rows, repeated + outer, block, inner);
                each(block, &rows)
            });
            results.extend(blocks.collect::<Vec<R>>());
        }
        results
    }

    /// Transform one block of a layer, whose rows lie one after the other, through some layers.
    fn layers(&self, rows: &mut [Value], layer: usize, block: usize, count: usize) {
        match count {
            0 => {}
            1 => {
                let (low, high) = rows.split_at_mut(rows.len() / 2);
                butterflies(low, high, self.constants[layer][block]);
            }
            _ => {
                let quarter = rows.len() / 4;
                let (low, high) = rows.split_at_mut(2 * quarter);
                let ((a, b), (c, d)) = (low.split_at_mut(quarter), high.split_at_mut(quarter));
                let [outer, left, right] = [
                    self.constants[layer][block],
                    self.constants[layer + 1][2 * block],
                    self.constants[layer + 1][2 * block + 1],
                ];
                two_layers([a, b, c, d], outer, [left, right]);
                for (place, rows) in rows.chunks_exact_mut(quarter).enumerate() {
                    self.layers(rows, layer + 2, 4 * block + place, count - 2);
                }
            }
        }
    }
}

/// Layers of the first pass of a transform of `2^variables` rows.
fn first_layers(variables: usize) -> usize {
    FIRST_LAYERS.min(variables / 2)
}

/// `(a, b)` becomes `(a + t b, a - t b)`.
fn butterflies(low: &mut [Value], high: &mut [Value], constant: Value) {
    let (packed, rest) = PackedValue::pack_slice_with_suffix_mut(low);
    let (other, other_rest) = PackedValue::pack_slice_with_suffix_mut(high);
    let wide = PackedValue::from(constant);
    for (a, b) in packed.iter_mut().zip(other) {
        let product = *b * wide;
        (*a, *b) = (*a + product, *a - product);
    }
    for (a, b) in rest.iter_mut().zip(other_rest) {
        let product = *b * constant;
        (*a, *b) = (*a + product, *a - product);
    }
}

/// Two layers at once, on the four quarters of a block.
fn two_layers([a, b, c, d]: [&mut [Value]; 4], outer: Value, [left, right]: [Value; 2]) {
    if !a.len().is_multiple_of(PackedValue::WIDTH) {
        butterflies(a, c, outer);
        butterflies(b, d, outer);
        butterflies(a, b, left);
        butterflies(c, d, right);
        return;
    }
    let [a, b, c, d] = [a, b, c, d].map(PackedValue::pack_slice_mut);
    let [outer, left, right] = [outer, left, right].map(PackedValue::from);
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (outer_c, outer_d) = (*c * outer, *d * outer);
        let (low_a, low_b) = (*a + outer_c, *b + outer_d);
        let (high_a, high_b) = (*a - outer_c, *b - outer_d);
        let (left_b, right_b) = (low_b * left, high_b * right);
        (*a, *b, *c, *d) = (low_a + left_b, low_a - left_b, high_a + right_b, high_a - right_b);
    }
}

#[cfg(test)]
mod tests {
    use obelysk_statement::circle::CircleCode;
    use p3_commit::Encoder;
    use p3_matrix::dense::RowMajorMatrix;

    use super::*;

    /// Columns of `2^variables` entries.
    struct Sample {
        variables: usize,
        count: usize,
    }

    impl Columns for Sample {
        fn count(&self) -> usize {
            self.count
        }

        fn variables(&self) -> usize {
            self.variables
        }

        fn read(&self, column: usize, from: usize, output: &mut [Value]) {
            for (place, entry) in output.iter_mut().enumerate() {
                *entry = Value::from_usize((from + place + 7) * (from + place + 13 * column + 5) % 1_000_003);
            }
        }
    }

    #[test]
    fn blocks_are_those_of_the_code_whatever_the_size_the_rate_and_the_width() {
        for (variables, rate, count) in
            [(0, 1, 4), (1, 1, 16), (3, 2, 8), (7, 1, 20), (11, 3, 16), (13, 1, 5), (19, 1, 3)]
        {
            let columns = Sample { variables, count };
            let mut rows = vec![Value::ZERO; count << variables];
            for column in 0..count {
                let mut own = vec![Value::ZERO; 1 << variables];
                columns.read(column, 0, &mut own);
                own.iter().enumerate().for_each(|(row, &entry)| rows[row * count + column] = entry);
            }
            let expected = CircleCode.encode_batch(RowMajorMatrix::new(rows, count), rate).values;
            let transform = Transform::new(variables + rate);
            let blocks = transform.encode(&columns, 0, count, |block, rows| (block, rows.to_vec()));
            assert!(blocks.iter().enumerate().all(|(place, (block, _))| *block == place));
            assert_eq!(blocks.len() << Transform::log_block(variables), 1 << (variables + rate));
            let actual: Vec<Value> = blocks.into_iter().flat_map(|(_, rows)| rows).collect();
            assert!(actual == expected, "2^{variables} rows at rate 2^-{rate}, {count} columns");
        }
    }
}
