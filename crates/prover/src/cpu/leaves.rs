//! Leaves of the lookup argument, computed where they are needed: one over the key minus what is looked up, and minus a multiplicity over
//! the key minus a table's row.

use obelysk_statement::lookup::{Source, column_powers, table_key};
use obelysk_statement::plan::Plan;
use obelysk_statement::relation::{Access, Linear};
use obelysk_statement::{AxisTile, Challenge, Relation, TableRows, Value};
use p3_field::{BasedVectorSpace, PackedValue as _, PrimeCharacteristicRing};

use super::tensors::{Tensors, Walk};
use crate::packed::PackedValue;

/// Coefficients of a challenge over the base field.
const DEGREE: usize = 4;

/// All leaves of a statement, by blocks; what is behind the last block is `0 / 1`.
pub(super) struct Leaves<'a> {
    blocks: Vec<Block<'a>>,
    /// Binary logarithm of their number.
    pub(super) variables: usize,
}

/// A run of leaves whose denominators are `base - sum power * column`.
struct Block<'a> {
    offset: usize,
    size: usize,
    numerators: Numerators<'a>,
    base: Challenge,
    columns: Vec<(Challenge, Column<'a>)>,
}

enum Numerators<'a> {
    One,
    Mask(Column<'a>),
    MinusCounts(&'a [Value]),
}

/// What is subtracted from the key at every leaf of a block.
enum Column<'a> {
    /// A linear form over a tile of a relation's box.
    Form { parts: &'a [AxisTile], terms: Vec<(Value, Walk<'a>)>, constant: Value },
    /// A column of a table that a rule gives.
    Rule { rows: &'a TableRows, column: usize },
    /// A column of a table that the model's commitment holds.
    Committed(&'a [Value]),
}

/// Some leaves: coefficients of the denominators side by side.
pub(super) struct Run {
    /// `None` where all are one.
    pub(super) numerators: Option<Vec<Value>>,
    pub(super) denominators: [Vec<Value>; DEGREE],
}

impl<'a> Leaves<'a> {
    pub(super) fn new(plan: &'a Plan, tensors: &'a Tensors<'a>, keys: [Challenge; 2]) -> Self {
        let statement = plan.statement;
        let block = |block: &'a obelysk_statement::lookup::Block| {
            let (table, numerators, columns): (usize, _, Vec<Column>) = match &block.source {
                Source::Table(position) => {
                    let table = &statement.tables[*position];
                    let column = |column| match table.rows.committed(column) {
                        None => Column::Rule { rows: &table.rows, column },
                        Some(values) => Column::Committed(tensors.of(values)),
                    };
                    let counts = Numerators::MinusCounts(tensors.of(table.multiplicity));
                    (*position, counts, (0..table.rows.width()).map(column).collect())
                }
                Source::Relation(position, parts) => {
                    let named = &statement.relations[*position];
                    let Relation::Lookup(lookup) = &named.relation else { unreachable!("blocks name lookups") };
                    let form = |terms: &[(i64, Access)], constant: i64| Column::Form {
                        parts,
                        terms: terms
                            .iter()
                            .map(|(coefficient, access)| {
                                (Value::from_i64(*coefficient), tensors.walk(access, &named.axes, parts))
                            })
                            .collect(),
                        constant: Value::from_i64(constant),
                    };
                    let numerators = match &lookup.mask {
                        None => Numerators::One,
                        Some(mask) => Numerators::Mask(form(&[(1, mask.clone())], 0)),
                    };
                    let column = |Linear { terms, constant }: &Linear| form(terms, *constant);
                    (usize::from(lookup.table.0), numerators, lookup.columns.iter().map(column).collect())
                }
            };
            let base = table_key(keys, table);
            let columns = column_powers(keys[1]).zip(columns).collect();
            Block { offset: block.offset, size: 1 << block.log_size, numerators, base, columns }
        };
        Self { blocks: plan.blocks.iter().map(block).collect(), variables: plan.log_leaves() }
    }

    /// Two tables of the same rows, whose second column is committed, each with counts of its own.
    #[cfg(test)]
    pub(super) fn of_tables(
        rows: &'a TableRows,
        entries: &'a [Value],
        counts: [&'a [Value]; 2],
        base: Challenge,
    ) -> Self {
        let size = 1 << rows.bits();
        let block = |(place, counts)| {
            let arguments = Column::Rule { rows, column: 0 };
            let columns = vec![(Challenge::ONE, arguments), (base * base, Column::Committed(entries))];
            Block { offset: place * size, size, numerators: Numerators::MinusCounts(counts), base, columns }
        };
        Self { blocks: counts.into_iter().enumerate().map(block).collect(), variables: rows.bits() + 1 }
    }

    /// The blocks that hold leaves between two places.
    fn blocks_between(&self, start: usize, end: usize) -> impl Iterator<Item = &Block<'a>> + Clone {
        let first = self.blocks.partition_point(|block| block.offset + block.size <= start);
        self.blocks[first..].iter().take_while(move |block| block.offset < end)
    }

    /// `size` leaves from `start` on.
    pub(super) fn run(&self, start: usize, size: usize) -> Run {
        let end = start + size;
        let inside = self.blocks_between(start, end);
        let covered: usize = inside.clone().map(|block| block.part(start, end).len()).sum();
        let ones = covered == size && inside.clone().all(|block| matches!(block.numerators, Numerators::One));
        let mut numerators = if ones { None } else { Some(vec![Value::ZERO; size]) };
        let mut denominators: [Vec<Value>; DEGREE] =
            std::array::from_fn(|place| vec![if place == 0 { Value::ONE } else { Value::ZERO }; size]);
        let mut scratch = vec![Value::ZERO; size];
        for block in inside {
            let part = block.part(start, end);
            let own = part.start - block.offset;
            let place = part.start - start..part.end - start;
            if let Some(numerators) = &mut numerators {
                block.numerators.fill(own, &mut numerators[place.clone()]);
            }
            let base: &[Value] = block.base.as_basis_coefficients_slice();
            for (denominators, &base) in denominators.iter_mut().zip(base) {
                denominators[place.clone()].fill(base);
            }
            for (power, column) in &block.columns {
                let column_values = &mut scratch[place.clone()];
                column.fill(own, column_values);
                let power: &[Value] = power.as_basis_coefficients_slice();
                for (denominators, &power) in denominators.iter_mut().zip(power) {
                    subtract(&mut denominators[place.clone()], power, column_values);
                }
            }
        }
        Run { numerators, denominators }
    }
}

impl Leaves<'_> {
    /// The sum of runs of `size` leaves by weights that sum to one: numerators, where they are not one, and denominators. Columns are
    /// weighed before they meet the key, number by number.
    pub(super) fn folded(&self, runs: &[(usize, Challenge)], size: usize) -> FoldedRun {
        let mut numerators: Option<[Vec<Value>; DEGREE]> = None;
        let mut denominators: [Vec<Value>; DEGREE] = std::array::from_fn(|_| vec![Value::ZERO; size]);
        let mut scratch = vec![Value::ZERO; size];
        let mut plain = Challenge::ZERO;
        for &(start, weight) in runs {
            let end = start + size;
            let inside = self.blocks_between(start, end);
            let covered: usize = inside.clone().map(|block| block.part(start, end).len()).sum();
            if covered == size && inside.clone().all(|block| matches!(block.numerators, Numerators::One)) {
                plain += weight;
            } else {
                let sums = numerators.get_or_insert_with(|| std::array::from_fn(|_| vec![Value::ZERO; size]));
                for block in inside.clone() {
                    let part = block.part(start, end);
                    let place = part.start - start..part.end - start;
                    block.numerators.fill(part.start - block.offset, &mut scratch[place.clone()]);
                    add_scaled(sums, weight, &scratch[place.clone()], place.start);
                }
            }
            // What no block covers is 0 / 1.
            let last = inside.clone().last().map_or(start, |block| block.part(start, end).end);
            add_constant(&mut denominators, weight, last - start..size);
            for block in inside {
                let part = block.part(start, end);
                let place = part.start - start..part.end - start;
                add_constant(&mut denominators, weight * block.base, place.clone());
                for (power, column) in &block.columns {
                    column.fill(part.start - block.offset, &mut scratch[place.clone()]);
                    add_scaled(&mut denominators, -(weight * *power), &scratch[place.clone()], place.start);
                }
            }
        }
        if let Some(numerators) = &mut numerators {
            add_constant(numerators, plain, 0..size);
        }
        FoldedRun { numerators, denominators }
    }
}

/// A weighted sum of runs; coefficients side by side.
pub(super) struct FoldedRun {
    /// `None` where all are one.
    pub(super) numerators: Option<[Vec<Value>; DEGREE]>,
    pub(super) denominators: [Vec<Value>; DEGREE],
}

fn add_constant(sums: &mut [Vec<Value>; DEGREE], constant: Challenge, place: std::ops::Range<usize>) {
    let constant: &[Value] = constant.as_basis_coefficients_slice();
    for (sums, &constant) in sums.iter_mut().zip(constant) {
        sums[place.clone()].iter_mut().for_each(|sum| *sum += constant);
    }
}

fn add_scaled(sums: &mut [Vec<Value>; DEGREE], scale: Challenge, values: &[Value], first: usize) {
    let scale: &[Value] = scale.as_basis_coefficients_slice();
    for (sums, &scale) in sums.iter_mut().zip(scale) {
        subtract(&mut sums[first..first + values.len()], -scale, values);
    }
}

impl Block<'_> {
    /// Its leaves between two places.
    fn part(&self, start: usize, end: usize) -> std::ops::Range<usize> {
        start.max(self.offset)..end.min(self.offset + self.size)
    }
}

impl Numerators<'_> {
    fn fill(&self, first: usize, values: &mut [Value]) {
        match self {
            Self::One => values.fill(Value::ONE),
            Self::Mask(mask) => mask.fill(first, values),
            Self::MinusCounts(counts) => {
                values.iter_mut().zip(&counts[first..]).for_each(|(value, &count)| *value = -count);
            }
        }
    }
}

impl Column<'_> {
    fn fill(&self, first: usize, values: &mut [Value]) {
        match self {
            Self::Form { parts, terms, constant } => {
                values.fill(*constant);
                for (coefficient, walk) in terms {
                    walk.add_to(*coefficient, parts, first, values);
                }
            }
            Self::Rule { rows, column } => {
                for (row, value) in values.iter_mut().enumerate() {
                    *value = Value::from_i64(rows.value(*column, first + row));
                }
            }
            Self::Committed(entries) => values.copy_from_slice(&entries[first..first + values.len()]),
        }
    }
}

/// `values -= factor * column`.
fn subtract(values: &mut [Value], factor: Value, column: &[Value]) {
    if factor == Value::ZERO {
        return;
    }
    let (packed, rest) = PackedValue::pack_slice_with_suffix_mut(values);
    let (column, column_rest) = PackedValue::pack_slice_with_suffix(column);
    if factor == Value::ONE {
        packed.iter_mut().zip(column).for_each(|(value, &entry)| *value -= entry);
    } else {
        let factor = PackedValue::from(factor);
        packed.iter_mut().zip(column).for_each(|(value, &entry)| *value -= factor * entry);
    }
    rest.iter_mut().zip(column_rest).for_each(|(value, &entry)| *value -= factor * entry);
}
