//! The circle transform (Haböck, Levit, Papini, Circle STARKs, ePrint 2024/278) of some columns at a time, in two passes that each stay in the
//! cache. What leaves it is handed on block by block and stored nowhere, so that memory holds one pass of a few columns; where only some rows
//! are asked for, neither pass computes what leads to none of them.
//!
//! A message of `2^v` rows at rate `2^-r` is repeated `2^r` times, and layer `l` of the transform acts on `2^l` blocks, each with a
//! constant of its own: `(a, b)` from the two halves of a block become `(a + t b, a - t b)`.

use obelysk_statement::Value;
use obelysk_statement::blake2s::BLOCK;
use p3_circle::Point;
use p3_field::{PackedValue as _, PrimeCharacteristicRing};
use rayon::prelude::*;

use super::codeword::Columns;
use crate::packed::PackedValue;

/// Layers of the first pass at most.
const FIRST_LAYERS: usize = 9;
/// Neighbouring entries that a task of the first pass takes along.
const TOGETHER: usize = 256;
/// Words between the passes at most, 1 GiB: longer columns take the first pass once for each part of the blocks.
const HALFWAY_WORDS: usize = 1 << 28;
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
    /// in order. With sorted, distinct `positions`, only the blocks that hold these rows, and in them only these rows. `halfway` is
    /// memory that calls share.
    pub(super) fn encode<R: Send>(
        &self,
        columns: &impl Columns,
        [first, width]: [usize; 2],
        positions: Option<&[usize]>,
        halfway: &mut Vec<Value>,
        each: impl Fn(usize, &[Value]) -> R + Sync,
    ) -> Vec<R> {
        let variables = columns.variables();
        let repeated = self.constants.len() - variables;
        let (outer, inner) = (first_layers(variables), Self::log_block(variables));
        let mut wanted: Vec<usize> = match positions {
            None => (0..1 << (repeated + outer)).collect(),
            Some(positions) => positions.iter().map(|position| position >> inner).collect(),
        };
        wanted.dedup();
        let mut results = Vec::with_capacity(wanted.len());
        let at_once = (HALFWAY_WORDS / (width << inner)).clamp(1, 1 << outer);
        for blocks in wanted.chunks(at_once) {
            halfway.resize(blocks.len() * (width << inner), Value::ZERO);
            self.first_pass(columns, first, blocks, halfway);
            let mapped = halfway.par_chunks(width << inner).zip(blocks).map(|(by_column, &block)| {
                let mut rows = transposed(by_column, width);
                let (layer, own) = (repeated + outer, block << inner);
                match positions {
                    None => self.layers(&mut rows, layer, block, inner),
                    Some(positions) => {
                        let from = positions.partition_point(|&position| position < own);
                        let to = positions.partition_point(|&position| position < own + (1 << inner));
                        self.layers_to(&positions[from..to], own, &mut rows, layer, block, inner);
                    }
                }
                each(block, &rows)
            });
            results.extend(mapped.collect::<Vec<R>>());
        }
        results
    }

    /// The first layers of the columns from `first` on, for sorted blocks: `halfway` gets every block's part of one column after the other.
    fn first_pass(&self, columns: &impl Columns, first: usize, blocks: &[usize], halfway: &mut [Value]) {
        let variables = columns.variables();
        let repeated = self.constants.len() - variables;
        let (outer, inner) = (first_layers(variables), Self::log_block(variables));
        let together = TOGETHER.min(1 << inner);
        // Entries that are `2^inner` apart meet here: a task takes such entries of one column for a few neighbours.
        let tasks = halfway.len() / (blocks.len() * together);
        let mut targets: Vec<Vec<&mut [Value]>> = (0..tasks).map(|_| Vec::with_capacity(blocks.len())).collect();
        for (place, part) in halfway.chunks_exact_mut(together).enumerate() {
            targets[place % tasks].push(part);
        }
        targets.into_par_iter().enumerate().for_each(|(task, mut targets)| {
            let entry = task * together;
            let (column, from) = (first + (entry >> inner), entry & ((1 << inner) - 1));
            let mut read = vec![Value::ZERO; together << outer];
            for (place, entries) in read.chunks_exact_mut(together).enumerate() {
                columns.read(column, (place << inner) + from, entries);
            }
            let mut done = 0;
            for of_copy in blocks.chunk_by(|left, right| left >> outer == right >> outer) {
                let copy = of_copy[0] >> outer;
                let mut own;
                let entries = if done + of_copy.len() == blocks.len() {
                    &mut read
                } else {
                    own = read.clone();
                    &mut own
                };
                self.layers_to(of_copy, copy << outer, entries, repeated, copy, outer);
                for (block, target) in of_copy.iter().zip(&mut targets[done..]) {
                    let place = block - (copy << outer);
                    target.copy_from_slice(&entries[place * together..][..together]);
                }
                done += of_copy.len();
            }
        });
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

    /// As [`Transform::layers`], but only what leads to the sorted parts `wanted`, of which the block has `2^count` from `first` on.
    fn layers_to(&self, wanted: &[usize], first: usize, rows: &mut [Value], layer: usize, block: usize, count: usize) {
        if wanted.is_empty() {
            return;
        }
        if wanted.len() == 1 << count {
            return self.layers(rows, layer, block, count);
        }
        let half = first + (1 << (count - 1));
        let (left, right) = wanted.split_at(wanted.partition_point(|&part| part < half));
        let (low, high) = rows.split_at_mut(rows.len() / 2);
        let constant = self.constants[layer][block];
        match (left, right) {
            (_, []) => low_butterflies(low, high, constant),
            ([], _) => high_butterflies(low, high, constant),
            _ => butterflies(low, high, constant),
        }
        self.layers_to(left, first, low, layer + 1, 2 * block, count - 1);
        self.layers_to(right, half, high, layer + 1, 2 * block + 1, count - 1);
    }
}

/// Bytes between the passes of a transform of columns of `2^variables` entries, a block of a row's hash at a time.
pub(crate) fn halfway_bytes(variables: usize) -> u64 {
    4 * (BLOCK << variables).min(HALFWAY_WORDS) as u64
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

/// `a` becomes `a + t b`.
fn low_butterflies(low: &mut [Value], high: &[Value], constant: Value) {
    let (packed, rest) = PackedValue::pack_slice_with_suffix_mut(low);
    let (other, other_rest) = PackedValue::pack_slice_with_suffix(high);
    let wide = PackedValue::from(constant);
    packed.iter_mut().zip(other).for_each(|(a, &b)| *a += b * wide);
    rest.iter_mut().zip(other_rest).for_each(|(a, &b)| *a += b * constant);
}

/// `b` becomes `a - t b`.
fn high_butterflies(low: &[Value], high: &mut [Value], constant: Value) {
    let (packed, rest) = PackedValue::pack_slice_with_suffix(low);
    let (other, other_rest) = PackedValue::pack_slice_with_suffix_mut(high);
    let wide = PackedValue::from(constant);
    other.iter_mut().zip(packed).for_each(|(b, &a)| *b = a - *b * wide);
    other_rest.iter_mut().zip(rest).for_each(|(b, &a)| *b = a - *b * constant);
}

/// Columns, one after the other, as rows.
fn transposed(columns: &[Value], width: usize) -> Vec<Value> {
    let length = columns.len() / width;
    let mut rows = vec![Value::ZERO; columns.len()];
    for (row, entries) in rows.chunks_exact_mut(width).enumerate() {
        entries.iter_mut().zip(columns.chunks_exact(length)).for_each(|(entry, column)| *entry = column[row]);
    }
    rows
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
            let mut halfway = Vec::new();
            let keep = |block: usize, rows: &[Value]| (block, rows.to_vec());
            let blocks = transform.encode(&columns, [0, count], None, &mut halfway, keep);
            assert!(blocks.iter().enumerate().all(|(place, (block, _))| *block == place));
            assert_eq!(blocks.len() << Transform::log_block(variables), 1 << (variables + rate));
            let actual: Vec<Value> = blocks.into_iter().flat_map(|(_, rows)| rows).collect();
            assert!(actual == expected, "2^{variables} rows at rate 2^-{rate}, {count} columns");

            let log_block = Transform::log_block(variables);
            for step in [1, 3, 1 + (1 << variables) / 5, (2 << variables) - 1] {
                let positions: Vec<usize> = (0..1 << (variables + rate)).step_by(step).collect();
                let blocks = transform.encode(&columns, [0, count], Some(&positions), &mut halfway, keep);
                for position in positions {
                    let holder = blocks.binary_search_by_key(&(position >> log_block), |(block, _)| *block);
                    let (_, rows) = &blocks[holder.expect("the block of a row")];
                    let row = position & ((1 << log_block) - 1);
                    assert_eq!(rows[row * count..][..count], expected[position * count..][..count], "row {position}");
                }
            }
        }
    }
}
