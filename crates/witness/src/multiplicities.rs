//! How often each row of a table is looked up: the one kind of witness tensor that follows from the others.

use obelysk_statement::Statement;
use obelysk_statement::relation::{Linear, Lookup, NamedRelation, Relation};

use crate::reader::Reader;
use crate::{Assignment, Weights};

/// A lookup that misses its table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("relation `{relation}` looks up {row:?} at index {index:?}, which is not in its table")]
pub struct Miss {
    /// Name of the relation.
    pub relation: String,
    /// Where in its box.
    pub index: Vec<usize>,
    /// What was looked up.
    pub row: Vec<i64>,
}

/// Count how often each table row is looked up and set the multiplicity tensors.
///
/// # Errors
/// The first lookup that misses its table; the counts of all others are set nevertheless.
pub fn fill_multiplicities(statement: &Statement, weights: &Weights, witness: &mut Assignment) -> Result<(), Miss> {
    let mut counts: Vec<Vec<i32>> = statement.tables.iter().map(|table| vec![0; 1 << table.rows.bits()]).collect();
    let mut miss = None;
    for named in &statement.relations {
        if let Relation::Lookup(lookup) = &named.relation {
            let counts = &mut counts[usize::from(lookup.table.0)];
            let missed = look_up(statement, weights, witness, named, lookup, |row| counts[row] += 1);
            miss = miss.or(missed);
        }
    }
    for (table, counts) in statement.tables.iter().zip(counts) {
        witness.insert(statement.tensor(table.multiplicity).name.clone(), counts);
    }
    miss.map_or(Ok(()), Err)
}

/// Visit the table row of every lookup of a relation; the first lookup that misses is returned.
pub(crate) fn look_up(
    statement: &Statement,
    weights: &Weights,
    witness: &Assignment,
    named: &NamedRelation,
    lookup: &Lookup,
    mut visit: impl FnMut(usize),
) -> Option<Miss> {
    let rows = &statement.tables[usize::from(lookup.table.0)].rows;
    let size = 1usize << rows.bits();
    let reader = Reader::new(statement, weights, witness, &named.axes);
    let columns: Vec<Vec<i64>> = lookup.columns.iter().map(|form| reader.values(form)).collect();
    let mask = lookup.mask.as_ref().map(|mask| reader.values(&Linear { terms: vec![(1, mask.clone())], constant: 0 }));
    let first = rows.first();
    let committed = |column| rows.committed(column).map(|values| &weights[&statement.tensor(values).name]);
    let values: Vec<_> = (0..columns.len()).map(committed).collect();
    let value = |column: usize, row| match &values[column] {
        Some(values) => values.get(row).into(),
        None => rows.value(column, row),
    };
    let mut miss = None;
    for place in 0..columns[0].len() {
        if mask.as_ref().is_some_and(|mask| mask[place] == 0) {
            continue;
        }
        // The first column counts, so it addresses the only row that can match.
        let row = usize::try_from(columns[0][place] - first)
            .ok()
            .filter(|&row| row < size && (1..columns.len()).all(|column| value(column, row) == columns[column][place]));
        match row {
            Some(row) => visit(row),
            None if miss.is_none() => {
                let row = columns.iter().map(|column| column[place]).collect();
                miss = Some(Miss { relation: named.name.clone(), index: reader.index_at(place), row });
            }
            None => {}
        }
    }
    miss
}
