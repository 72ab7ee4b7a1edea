//! The equations that claimed values must satisfy, as a program: the other side of `obelysk_statement::reduction`, in the same
//! order, so that claims appear in the same order.

use obelysk_statement::axis::AxisTile;
use obelysk_statement::batch::{ProductBatch, ZerocheckBatch};
use obelysk_statement::layout::Role;
use obelysk_statement::lookup::Source;
use obelysk_statement::plan::Plan;
use obelysk_statement::point::{address, inside_tile};
use obelysk_statement::relation::{Linear, Relation};
use obelysk_statement::{Access, AxisId, Statement, TensorKind};

use super::claims::Claims;
use super::inputs::Inputs;
use super::point::{AxisPoints, Coordinate, places_from, run_from};
use super::program::{ONE, Place, Program, ZERO};

/// The equations of a statement while they are written.
pub struct Equations<'a> {
    plan: &'a Plan<'a>,
    statement: &'a Statement,
    inputs: &'a Inputs,
    claims: &'a mut Claims,
    program: Program,
    /// The point of each axis.
    points: AxisPoints,
}

impl<'a> Equations<'a> {
    /// Write all of them over a tape that holds the inputs and `values` claimed values.
    pub fn write(plan: &'a Plan<'a>, inputs: &'a Inputs, claims: &'a mut Claims, values: u32) -> Program {
        let statement = plan.statement;
        let points = inputs.axes.iter().map(|(&axis, &first)| (axis, run_from(first, statement.axis(axis).bits())));
        let points = points.collect();
        let program = Program::new(inputs.length + values);
        let mut equations = Self { plan, statement, inputs, claims, program, points };
        equations.lookup();
        equations.linear_relations();
        for (batch, &places) in plan.products.iter().zip(&inputs.products) {
            equations.products(batch, places);
        }
        for (batch, &places) in plan.zerochecks.iter().zip(&inputs.zerochecks) {
            equations.zerocheck(batch, places);
        }
        equations.program
    }

    fn access(&mut self, access: &Access, points: &AxisPoints) -> Place {
        let statement = self.statement;
        let (coordinates, summed) = address(statement, access, points);
        let scale = self.program.constant(1 << summed);
        let role = match &statement.tensor(access.tensor).kind {
            TensorKind::Public(rule) => {
                let value = self.program.public(statement, access.tensor, rule, &coordinates);
                return self.program.multiply(scale, value);
            }
            TensorKind::Weight => Role::Weight,
            TensorKind::Witness => Role::Witness,
        };
        let (commitment, committed) = self.plan.commitment(role).expect("its tensors are committed");
        // As many terms as tiles meet the point, axis by axis.
        let mut met: Vec<(usize, Place, Vec<Coordinate>)> = vec![(0, scale, Vec::new())];
        for (&axis, coordinates) in statement.tensor(access.tensor).axes.iter().zip(&coordinates) {
            let tiles = statement.axis(axis).tiles();
            let mut joined = Vec::new();
            for (outer, weight, point) in &met {
                for (place, &tile) in tiles.iter().enumerate() {
                    if let Some((weight, rest)) = self.program.at_tile(*weight, coordinates, tile) {
                        joined.push((outer * tiles.len() + place, weight, [point.as_slice(), rest].concat()));
                    }
                }
            }
            met = joined;
        }
        let first = committed.layout.first_tile(access.tensor);
        let terms: Vec<(Place, Place)> = met
            .into_iter()
            .map(|(place, weight, point)| (weight, self.claims.claim(commitment, first + place, point)))
            .collect();
        self.program.dot(&terms)
    }

    /// A linear form; a constant or an access that lacks axes of the box counts inside of the box only.
    fn linear(&mut self, form: &Linear, points: &AxisPoints, box_axes: &[AxisId]) -> Place {
        let mut terms = Vec::new();
        let constant = self.outside(form.constant, &[], points, box_axes);
        terms.push((constant, ONE));
        for (coefficient, access) in &form.terms {
            let covered: Vec<AxisId> = access.axes().collect();
            let scale = self.outside(*coefficient, &covered, points, box_axes);
            let value = self.access(access, points);
            terms.push((scale, value));
        }
        self.program.dot(&terms)
    }

    /// A coefficient times the indicators of the axes of a box that are not covered.
    fn outside(&mut self, coefficient: i64, covered: &[AxisId], points: &AxisPoints, box_axes: &[AxisId]) -> Place {
        let mut product = self.program.constant(coefficient);
        for axis in box_axes.iter().filter(|axis| !covered.contains(axis)) {
            let indicator = self.program.indicator(&points[axis], self.statement.axis(*axis).size);
            product = self.program.multiply(product, indicator);
        }
        product
    }

    fn lookup(&mut self) {
        let blocks = &self.plan.blocks;
        if blocks.is_empty() {
            return;
        }
        let variables = self.plan.log_leaves();
        let (mut tops, mut bottoms) = (Vec::new(), vec![(ONE, ONE)]);
        let minus = self.program.constant(-1);
        for block in blocks {
            let prefix = variables - block.log_size;
            let weight = self.program.selector(ONE, self.inputs.leaves, prefix, block.offset >> block.log_size);
            let local = Place(self.inputs.leaves.0 + prefix as u32);
            let (top, mut bottom) = match &block.source {
                Source::Relation(position, parts) => self.lookup_tile(*position, parts, local),
                Source::Table(position) => self.table_rows(*position, local),
            };
            tops.push((weight, top));
            // What no block covers is 0 / 1: one in all, less one where a block is.
            bottom.push((minus, ONE));
            let bottom = self.program.dot(&bottom);
            bottoms.push((weight, bottom));
        }
        let top = self.program.dot(&tops);
        let bottom = self.program.dot(&bottoms);
        self.program.check(top, self.inputs.fraction[0]);
        self.program.check(bottom, self.inputs.fraction[1]);
    }

    /// The terms of `alpha - beta table`.
    fn table_key(&mut self, table: usize) -> Vec<(Place, Place)> {
        let number = self.program.constant(-(table as i64));
        vec![(ONE, self.inputs.keys[0]), (number, self.inputs.keys[1])]
    }

    /// Minus the weight of a column: 1, then powers of `beta` from the second on.
    fn column_weight(&mut self, column: usize) -> Place {
        let mut power = self.program.constant(-1);
        for _ in 0..if column == 0 { 0 } else { column + 1 } {
            power = self.program.multiply(power, self.inputs.keys[1]);
        }
        power
    }

    fn lookup_tile(&mut self, position: usize, parts: &[AxisTile], local: Place) -> (Place, Vec<(Place, Place)>) {
        let statement = self.statement;
        let named = &statement.relations[position];
        let Relation::Lookup(lookup) = &named.relation else { unreachable!("blocks name lookups") };
        let mut points = AxisPoints::new();
        let mut next = local;
        for (&axis, &part) in named.axes.iter().zip(parts) {
            let own = places_from(next, part.log_size);
            points.insert(axis, inside_tile(part, statement.axis(axis).bits(), &own));
            next = Place(next.0 + part.log_size as u32);
        }
        let top = lookup.mask.as_ref().map_or(ONE, |mask| self.access(mask, &points));
        let mut bottom = self.table_key(lookup.table.0.into());
        for (column, form) in lookup.columns.iter().enumerate() {
            let weight = self.column_weight(column);
            let value = self.linear(form, &points, &[]);
            bottom.push((weight, value));
        }
        (top, bottom)
    }

    fn table_rows(&mut self, position: usize, local: Place) -> (Place, Vec<(Place, Place)>) {
        let table = &self.statement.tables[position];
        let axes = &self.statement.tensor(table.multiplicity).axes;
        let bits = table.rows.bits();
        let points = AxisPoints::from([(axes[0], run_from(local, bits))]);
        let counts = self.access(&Access::new(table.multiplicity, axes), &points);
        let mut bottom = self.table_key(position);
        for column in 0..table.rows.width() {
            let weight = self.column_weight(column);
            let value = match table.rows.committed(column) {
                None => self.program.column(&table.rows, column, local, bits),
                Some(values) => self.access(&Access::new(values, axes), &points),
            };
            bottom.push((weight, value));
        }
        let minus = self.program.constant(-1);
        (self.program.multiply(minus, counts), bottom)
    }

    fn linear_relations(&mut self) {
        let (statement, points) = (self.statement, self.points.clone());
        for named in &statement.relations {
            if let Relation::Product { output, contractions, .. } = &named.relation
                && contractions.is_empty()
            {
                let value = self.linear(output, &points, &named.axes);
                self.program.check(value, ZERO);
            }
        }
    }

    /// The place of a power of `lambda`.
    fn power(&mut self, exponent: usize) -> Place {
        let sizes = self.plan.products.iter().map(|batch| batch.relations.len());
        let most = sizes.chain(self.plan.zerochecks.iter().map(|batch| batch.relations.len())).max().unwrap_or(1);
        let first = self.program.powers(self.inputs.lambda, most);
        if exponent == 0 { ONE } else { Place(first.0 + exponent as u32) }
    }

    fn products(&mut self, batch: &ProductBatch, [sum, end, value]: [Place; 3]) {
        let statement = self.statement;
        let outer = self.points.clone();
        let mut inner = outer.clone();
        let mut next = end;
        let mut weight = ONE;
        for axis in batch.axes() {
            let bits = statement.axis(axis).bits();
            if batch.shared.contains(&axis) {
                let eq = self.program.equal(self.inputs.axes[&axis], next, bits);
                weight = self.program.multiply(weight, eq);
            }
            inner.insert(axis, run_from(next, bits));
            next = Place(next.0 + bits as u32);
        }
        let (mut outputs, mut factors) = (Vec::new(), Vec::new());
        for (exponent, &position) in batch.relations.iter().enumerate() {
            let named = &statement.relations[position];
            let Relation::Product { output, contractions, .. } = &named.relation else {
                unreachable!("batches name products")
            };
            let power = self.power(exponent);
            let value = self.linear(output, &outer, &named.axes);
            outputs.push((power, value));
            for contraction in contractions {
                let left = self.access(&contraction.left, &inner);
                let right = self.access(&contraction.right, &inner);
                let coefficient = self.program.constant(contraction.coefficient);
                let scale = self.program.multiply(power, coefficient);
                factors.push((self.program.multiply(scale, left), right));
            }
        }
        let outputs = self.program.dot(&outputs);
        self.program.check(outputs, sum);
        let factors = self.program.dot(&factors);
        let factors = self.program.multiply(weight, factors);
        self.program.check(factors, value);
    }

    fn zerocheck(&mut self, batch: &ZerocheckBatch, [end, value]: [Place; 2]) {
        let statement = self.statement;
        let mut inner = AxisPoints::new();
        let mut next = end;
        let mut weight = ONE;
        for &axis in &batch.axes {
            let (bits, size) = (statement.axis(axis).bits(), statement.axis(axis).size);
            let eq = self.program.restricted_eq(self.inputs.axes[&axis], next, bits, size);
            weight = self.program.multiply(weight, eq);
            inner.insert(axis, run_from(next, bits));
            next = Place(next.0 + bits as u32);
        }
        let mut terms = Vec::new();
        for (exponent, &position) in batch.relations.iter().enumerate() {
            let power = self.power(exponent);
            match &statement.relations[position].relation {
                Relation::Rows { monomials } => {
                    for monomial in monomials {
                        let coefficient = self.program.constant(monomial.coefficient);
                        let mut scale = self.program.multiply(power, coefficient);
                        let mut last = ONE;
                        for factor in &monomial.factors {
                            scale = self.program.multiply(scale, last);
                            last = self.access(factor, &inner);
                        }
                        terms.push((scale, last));
                    }
                }
                Relation::Vanishing { left, right } => {
                    let [left, right] = [left, right].map(|form| self.linear(form, &inner, &[]));
                    terms.push((self.program.multiply(power, left), right));
                }
                Relation::Product { .. } | Relation::Lookup(_) => unreachable!("batches name row relations"),
            }
        }
        let sum = self.program.dot(&terms);
        let sum = self.program.multiply(weight, sum);
        self.program.check(sum, value);
    }
}
