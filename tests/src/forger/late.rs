//! Multiplicities that are chosen when the challenges of the lookup argument are known.

use obelysk_statement::lookup::Source;
use obelysk_statement::plan::Plan;
use obelysk_statement::schedule::LOOKUP_GRINDING;
use obelysk_statement::transcript::{grind, sample, start};
use obelysk_statement::{Assignment, Challenge, Statement, Value};
use p3_field::{BasedVectorSpace, Field, PrimeCharacteristicRing, PrimeField32};

use super::values::Values;
use super::{Lies, weight_root};

/// Coordinates of a challenge.
const DEGREE: usize = 4;

/// Change the counts of as many rows of the largest table as a challenge has coordinates, so that the fractions sum to zero whatever is
/// looked up, if nobody hears of the witness before the challenges are drawn.
///
/// # Panics
/// If the statement has no table of so many rows.
pub fn balance(statement: &Statement, header: &[u8], weights: &Assignment, witness: &mut Assignment) {
    let plan = Plan::new(statement).expect("a small statement");
    let mut transcript = start(header, statement, &weight_root(statement, weights));
    let _ = grind(&mut transcript, LOOKUP_GRINDING);
    let keys = [sample(&mut transcript), sample(&mut transcript)];
    let values = Values { statement, weights, witness };
    let [numerators, denominators] = values.leaves(&plan, keys, Lies::default());
    let excess = numerators.iter().zip(&denominators).map(|(&top, bottom)| top * bottom.inverse()).sum::<Challenge>();
    let (block, table) = plan
        .blocks
        .iter()
        .find_map(|block| match block.source {
            Source::Table(table) if 1 << block.log_size >= DEGREE => Some((block, table)),
            _ => None,
        })
        .expect("a table");
    let inverses = denominators[block.offset..][..DEGREE].iter().map(Field::inverse).collect::<Vec<Challenge>>();
    let name = &statement.tensor(statement.tables[table].multiplicity).name;
    let counts = witness.get_mut(name).expect("counted multiplicities");
    for (count, by) in counts.iter_mut().zip(combination(&inverses, excess)) {
        let moved = (Value::from_i32(*count) + by).as_canonical_u32();
        *count = i32::try_from(moved).expect("an element of the field has 31 bits");
    }
}

/// The elements of the base field that combine challenges to a sum: Gauss' elimination, one row per coordinate.
fn combination(challenges: &[Challenge], sum: Challenge) -> Vec<Value> {
    let coordinates = |value: &Challenge| -> Vec<Value> {
        <Challenge as BasedVectorSpace<Value>>::as_basis_coefficients_slice(value).to_vec()
    };
    let columns: Vec<Vec<Value>> = challenges.iter().chain([&sum]).map(coordinates).collect();
    let mut rows: Vec<Vec<Value>> = (0..DEGREE).map(|row| columns.iter().map(|column| column[row]).collect()).collect();
    for pivot in 0..DEGREE {
        let row = (pivot..DEGREE).find(|&row| rows[row][pivot] != Value::ZERO).expect("independent challenges");
        rows.swap(pivot, row);
        let inverse = rows[pivot][pivot].inverse();
        rows[pivot].iter_mut().for_each(|entry| *entry *= inverse);
        let own = rows[pivot].clone();
        for (_, other) in rows.iter_mut().enumerate().filter(|(row, _)| *row != pivot) {
            let factor = other[pivot];
            other.iter_mut().zip(&own).for_each(|(entry, &own)| *entry -= factor * own);
        }
    }
    rows.into_iter().map(|row| row[DEGREE]).collect()
}
