//! The lookup argument's last claims: its leaves, as claims about what is looked up.

use p3_field::PrimeCharacteristicRing;

use super::{Claims, Equation, Sum};
use crate::eq::eq_at;
use crate::lookup::{Block, Source, column_powers, table_key};
use crate::point::{AxisPoints, Coordinate, inside_tile};
use crate::relation::{Access, Relation};
use crate::{AxisTile, Challenge};

impl Claims<'_> {
    /// Numerators and denominators of the leaves at the point where the tree ends.
    pub fn lookup(&mut self, blocks: &[Block], keys: [Challenge; 2], point: &[Challenge]) -> [Equation; 2] {
        let mut numerators = Sum::default();
        let mut denominators = Sum::default();
        let mut covered = Challenge::ZERO;
        for block in blocks {
            let (prefix, local) = point.split_at(point.len() - block.log_size);
            let weight = eq_at(prefix, block.offset >> block.log_size);
            covered += weight;
            let (top, bottom) = match &block.source {
                Source::Relation(position, parts) => self.lookup_tile(*position, parts, local, keys),
                Source::Table(position) => self.table_rows(*position, local, keys),
            };
            numerators.add(top.scaled(weight));
            denominators.add(bottom.scaled(weight));
        }
        denominators.constant += Challenge::ONE - covered;
        let equation = |name, sum| Equation { name, products: vec![(Challenge::ONE, vec![sum])] };
        [
            equation("numerators of the lookup argument", numerators),
            equation("denominators of the lookup argument", denominators),
        ]
    }

    fn lookup_tile(
        &mut self,
        position: usize,
        parts: &[AxisTile],
        local: &[Challenge],
        keys: [Challenge; 2],
    ) -> (Sum, Sum) {
        let statement = self.statement;
        let named = &statement.relations[position];
        let Relation::Lookup(lookup) = &named.relation else { unreachable!("blocks name lookups") };
        let mut points = AxisPoints::new();
        let mut rest = local;
        for (&axis, &part) in named.axes.iter().zip(parts) {
            let (own, tail) = rest.split_at(part.log_size);
            points.insert(axis, inside_tile(part, statement.axis(axis).bits(), own));
            rest = tail;
        }
        let numerator = match &lookup.mask {
            None => Sum { terms: Vec::new(), constant: Challenge::ONE },
            Some(mask) => self.access(mask, &points),
        };
        let mut denominator = Sum { terms: Vec::new(), constant: table_key(keys, usize::from(lookup.table.0)) };
        for (form, power) in lookup.columns.iter().zip(column_powers(keys[1])) {
            let value = self.linear(form, &points, &[]);
            denominator.add(value.scaled(-power));
        }
        (numerator, denominator)
    }

    fn table_rows(&mut self, position: usize, local: &[Challenge], keys: [Challenge; 2]) -> (Sum, Sum) {
        let table = &self.statement.tables[position];
        let multiplicity = self.statement.tensor(table.multiplicity);
        let coordinates = local.iter().map(|&value| Coordinate::Value(value)).collect();
        let points = AxisPoints::from([(multiplicity.axes[0], coordinates)]);
        let counts = self.access(&Access::new(table.multiplicity, &multiplicity.axes), &points);
        let mut denominator = Sum { terms: Vec::new(), constant: table_key(keys, position) };
        for (column, power) in (0..table.rows.width()).zip(column_powers(keys[1])) {
            match table.rows.committed(column) {
                None => denominator.constant -= power * table.rows.evaluate(column, local),
                Some(values) => {
                    let values = self.access(&Access::new(values, &multiplicity.axes), &points);
                    denominator.add(values.scaled(-power));
                }
            }
        }
        (counts.scaled(-Challenge::ONE), denominator)
    }
}
