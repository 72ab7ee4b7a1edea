//! Values of tensors, forms and leaves, entry by entry.

use std::collections::BTreeMap;

use obelysk_statement::axis::AxisId;
use obelysk_statement::layout::Tile;
use obelysk_statement::lookup::Source;
use obelysk_statement::plan::Plan;
use obelysk_statement::relation::{Access, Index, Linear, Relation, TensorKind};
use obelysk_statement::{Assignment, Challenge, Statement, Value};
use p3_field::PrimeCharacteristicRing;

use super::Lies;

/// Where every axis stands.
pub(super) type Place = BTreeMap<AxisId, usize>;

pub(super) struct Values<'a> {
    pub(super) statement: &'a Statement,
    pub(super) weights: &'a Assignment,
    pub(super) witness: &'a Assignment,
}

/// All boolean places of some axes, in the order of their variables: as many as hypercubes have.
pub(super) fn places(statement: &Statement, axes: &[AxisId]) -> Vec<Place> {
    axes.iter().fold(vec![Place::new()], |places, &axis| {
        let size = 1usize << statement.axis(axis).bits();
        let with =
            |place: &Place, index| place.iter().map(|(&axis, &index)| (axis, index)).chain([(axis, index)]).collect();
        places.iter().flat_map(|place| (0..size).map(move |index| with(place, index))).collect()
    })
}

impl Values<'_> {
    /// The entry of an access, zero outside of its tensor.
    pub(super) fn entry(&self, access: &Access, place: &Place) -> Value {
        let tensor = self.statement.tensor(access.tensor);
        let shape = self.statement.shape(access.tensor);
        let mut indices = vec![Vec::new()];
        for (index, &size) in access.index.iter().zip(&shape) {
            let along = match *index {
                Index::Axis(axis) => place[&axis]..place[&axis] + 1,
                Index::Fixed(value) => value..value + 1,
                Index::Sum => 0..size,
            };
            indices = indices
                .iter()
                .flat_map(|prefix: &Vec<usize>| along.clone().map(move |i| [prefix.as_slice(), &[i]].concat()))
                .collect();
        }
        let inside = indices.iter().filter(|index| index.iter().zip(&shape).all(|(i, size)| i < size));
        let flat = |index: &[usize]| shape.iter().zip(index).fold(0, |flat, (size, i)| flat * size + i);
        let value = |index: &Vec<usize>| match &tensor.kind {
            TensorKind::Public(public) => Value::from_i64(public.value(index)),
            TensorKind::Weight => Value::from_i32(self.weights[&tensor.name][flat(index)]),
            TensorKind::Witness => Value::from_i32(self.witness[&tensor.name][flat(index)]),
        };
        inside.map(value).sum()
    }

    pub(super) fn form(&self, form: &Linear, place: &Place) -> Value {
        let term = |(coefficient, access): &(i64, Access)| Value::from_i64(*coefficient) * self.entry(access, place);
        Value::from_i64(form.constant) + form.terms.iter().map(term).sum::<Value>()
    }

    /// The entries of a tile in the order of its variables.
    pub(super) fn tile(&self, tile: &Tile) -> Vec<Value> {
        let indices = tile.parts.iter().fold(vec![Vec::new()], |indices: Vec<Vec<usize>>, part| {
            let along = part.offset..part.offset + (1 << part.log_size);
            indices.iter().flat_map(|prefix| along.clone().map(move |i| [prefix.as_slice(), &[i]].concat())).collect()
        });
        let entry = |index: &Vec<usize>| {
            let access = Access { tensor: tile.tensor, index: index.iter().map(|&i| Index::Fixed(i)).collect() };
            self.entry(&access, &Place::new())
        };
        indices.iter().map(entry).collect()
    }

    /// Numerators and denominators of the lookup argument.
    pub(super) fn leaves(&self, plan: &Plan, [alpha, beta]: [Challenge; 2], lies: Lies) -> [Vec<Challenge>; 2] {
        let total = 1 << plan.log_leaves();
        let mut leaves = [vec![Challenge::ZERO; total], vec![Challenge::ONE; total]];
        let denominator = |table: usize, row: &[Value]| {
            let number = if lies.without_table_numbers { 0 } else { table };
            let second = match lies {
                Lies { equal_columns: true, .. } => Challenge::ONE,
                Lies { column_weighs_as_table: true, .. } => beta,
                _ => beta * beta,
            };
            let key =
                row.iter().zip([Challenge::ONE, second]).map(|(&entry, weight)| weight * entry).sum::<Challenge>();
            alpha - beta * Value::from_usize(number) - key
        };
        for block in &plan.blocks {
            for local in 0..1usize << block.log_size {
                let (top, bottom) = match &block.source {
                    Source::Table(position) => {
                        let table = &self.statement.tables[*position];
                        let counts = Access { tensor: table.multiplicity, index: vec![Index::Fixed(local)] };
                        let entry = |column| Value::from_i64(table.rows.value(column, local));
                        let row: Vec<Value> = (0..table.rows.width()).map(entry).collect();
                        (-self.entry(&counts, &Place::new()), denominator(*position, &row))
                    }
                    Source::Relation(position, parts) => {
                        let named = &self.statement.relations[*position];
                        let Relation::Lookup(lookup) = &named.relation else { unreachable!("blocks name lookups") };
                        let mut rest = local;
                        let mut place = Place::new();
                        for (&axis, part) in named.axes.iter().zip(parts).rev() {
                            place.insert(axis, part.offset + (rest & ((1 << part.log_size) - 1)));
                            rest >>= part.log_size;
                        }
                        let row: Vec<Value> = lookup.columns.iter().map(|form| self.form(form, &place)).collect();
                        let mask = lookup.mask.as_ref().map_or(Value::ONE, |mask| self.entry(mask, &place));
                        (mask, denominator(usize::from(lookup.table.0), &row))
                    }
                };
                leaves[0][block.offset + local] = top.into();
                leaves[1][block.offset + local] = bottom;
            }
        }
        leaves
    }
}

/// How often every row of every table is looked up. What is in no row is not counted.
#[must_use]
pub fn multiplicities(statement: &Statement, weights: &Assignment, witness: &Assignment) -> Assignment {
    let values = Values { statement, weights, witness };
    let mut counts: Vec<Vec<i32>> = statement.tables.iter().map(|table| vec![0; 1 << table.rows.bits()]).collect();
    for named in &statement.relations {
        let Relation::Lookup(lookup) = &named.relation else { continue };
        let rows = &statement.tables[usize::from(lookup.table.0)].rows;
        let inside = |place: &Place| place.iter().all(|(&axis, &index)| index < statement.axis(axis).size);
        for place in places(statement, &named.axes).iter().filter(|place| inside(place)) {
            let entries: Vec<Value> = lookup.columns.iter().map(|form| values.form(form, place)).collect();
            let is_row = |row: &usize| {
                entries.iter().enumerate().all(|(column, entry)| Value::from_i64(rows.value(column, *row)) == *entry)
            };
            let seen = lookup.mask.as_ref().is_none_or(|mask| values.entry(mask, place) == Value::ONE);
            if let Some(row) = (0..1 << rows.bits()).find(is_row).filter(|_| seen) {
                counts[usize::from(lookup.table.0)][row] += 1;
            }
        }
    }
    let names = statement.tables.iter().map(|table| statement.tensor(table.multiplicity).name.clone());
    names.zip(counts).collect()
}
