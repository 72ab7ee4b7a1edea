//! From the points that the sumchecks end in to claims about committed tiles, and the equations that these claims must
//! satisfy. Both sides build the same claims in the same order; only the verifier knows whether the equations hold.

use std::collections::BTreeMap;

use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField32};
use p3_multilinear_util::point::Point;
use p3_sumcheck::{OpeningBatch, OpeningProtocol, TableSpec};

use crate::axis::AxisId;
use crate::batch::{ProductBatch, ZerocheckBatch};
use crate::layout::{Layout, Role};
use crate::lookup::{Block, Source};
use crate::point::{AxisPoints, Coordinate, address, at_tile, eq, indicator, inside_tile, restricted_eq};
use crate::public::eq_at;
use crate::relation::{Access, Linear, Relation, TensorKind};
use crate::{Challenge, Statement, Value};

/// A claimed evaluation of a tile, by its place in the list of its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimId {
    role: Role,
    index: usize,
}

/// `constant + sum weight * claim`.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    terms: Vec<(Challenge, ClaimId)>,
    constant: Challenge,
}

/// `sum coefficient * product of factors = value`.
#[derive(Clone, Debug)]
pub struct Equation {
    /// What it shows, for messages.
    pub name: &'static str,
    /// Products of sums of claims.
    pub products: Vec<(Challenge, Vec<Sum>)>,
    /// Right side.
    pub value: Challenge,
}

/// All claims of a proof, each once.
pub struct Claims<'a> {
    statement: &'a Statement,
    layouts: [Option<&'a Layout>; 2],
    lists: [Vec<(usize, Vec<Challenge>)>; 2],
    known: BTreeMap<(Role, usize, Vec<u32>), usize>,
}

/// How the claims of one role are opened.
pub struct Openings {
    /// Tables and the columns opened at each point.
    pub protocol: OpeningProtocol,
    /// One point per batch, in the protocol's order.
    pub points: Vec<Point<Challenge>>,
    /// Batch and place in it of every claim.
    places: Vec<(usize, usize)>,
}

fn place(role: Role) -> usize {
    match role {
        Role::Weight => 0,
        Role::Witness => 1,
    }
}

/// A point, with the column and the claim of everything opened there.
type Batch<'a> = (&'a [Challenge], Vec<(usize, usize)>);

/// A total order of points.
fn key(point: &[Challenge]) -> Vec<u32> {
    let coordinates = |value: &Challenge| {
        <Challenge as BasedVectorSpace<Value>>::as_basis_coefficients_slice(value)
            .iter()
            .map(PrimeField32::as_canonical_u32)
            .collect::<Vec<u32>>()
    };
    point.iter().flat_map(coordinates).collect()
}

impl Sum {
    fn scaled(mut self, scale: Challenge) -> Self {
        self.constant *= scale;
        for term in &mut self.terms {
            term.0 *= scale;
        }
        self
    }

    fn add(&mut self, other: Self) {
        self.constant += other.constant;
        self.terms.extend(other.terms);
    }

    fn value(&self, values: &[Vec<Challenge>; 2]) -> Challenge {
        self.terms
            .iter()
            .fold(self.constant, |sum, (weight, claim)| sum + *weight * values[place(claim.role)][claim.index])
    }
}

impl Equation {
    /// Whether it holds for the opened values of the claims of each role.
    #[must_use]
    pub fn holds(&self, values: &[Vec<Challenge>; 2]) -> bool {
        let left: Challenge = self
            .products
            .iter()
            .map(|(coefficient, factors)| {
                *coefficient * factors.iter().map(|sum| sum.value(values)).product::<Challenge>()
            })
            .sum();
        left == self.value
    }
}

impl<'a> Claims<'a> {
    /// No claims yet.
    #[must_use]
    pub fn new(statement: &'a Statement, weights: Option<&'a Layout>, witness: Option<&'a Layout>) -> Self {
        Self { statement, layouts: [weights, witness], lists: [Vec::new(), Vec::new()], known: BTreeMap::new() }
    }

    /// The evaluation of an access.
    fn access(&mut self, access: &Access, points: &AxisPoints) -> Sum {
        let (coordinates, scale) = address(self.statement, access, points);
        let role = match &self.statement.tensor(access.tensor).kind {
            TensorKind::Public(public) => {
                let values: Vec<Vec<Challenge>> =
                    coordinates.iter().map(|axis| axis.iter().map(|c| c.value()).collect()).collect();
                let slices: Vec<&[Challenge]> = values.iter().map(Vec::as_slice).collect();
                return Sum { terms: Vec::new(), constant: scale * public.evaluate(&slices) };
            }
            TensorKind::Weight => Role::Weight,
            TensorKind::Witness => Role::Witness,
        };
        let layout = self.layouts[place(role)].expect("a committed tensor has a layout");
        let mut sum = Sum::default();
        for (index, tile) in layout.tiles_of(access.tensor) {
            let mut weight = scale;
            let mut local = Vec::with_capacity(tile.arity());
            let inside = tile.parts.iter().zip(&coordinates).try_for_each(|(&part, axis)| {
                let (factor, rest) = at_tile(axis, part)?;
                weight *= factor;
                local.extend(rest.iter().map(|coordinate| coordinate.value()));
                Some(())
            });
            if inside.is_some() {
                let claim = self.claim(role, index, local);
                sum.terms.push((weight, claim));
            }
        }
        sum
    }

    fn claim(&mut self, role: Role, tile: usize, point: Vec<Challenge>) -> ClaimId {
        let list = &mut self.lists[place(role)];
        let index = *self.known.entry((role, tile, key(&point))).or_insert_with(|| {
            list.push((tile, point));
            list.len() - 1
        });
        ClaimId { role, index }
    }

    /// A linear form; a constant or an access that lacks axes of the box counts inside of the box only.
    fn linear(&mut self, form: &Linear, points: &AxisPoints, box_axes: &[AxisId]) -> Sum {
        let statement = self.statement;
        let outside = |covered: &[AxisId]| -> Challenge {
            let missing = box_axes.iter().filter(|axis| !covered.contains(axis));
            missing.map(|axis| indicator(&points[axis], statement.axis(*axis).size)).product()
        };
        let mut sum = Sum { terms: Vec::new(), constant: constant(form.constant) * outside(&[]) };
        for (coefficient, access) in &form.terms {
            let covered: Vec<AxisId> = access.axes().collect();
            let scale = constant(*coefficient) * outside(&covered);
            let term = self.access(access, points);
            sum.add(term.scaled(scale));
        }
        sum
    }

    /// Leaves of the lookup argument at the point where its tree ends.
    pub fn lookup(
        &mut self,
        blocks: &[Block],
        [alpha, beta]: [Challenge; 2],
        point: &[Challenge],
        [numerator, denominator]: [Challenge; 2],
    ) -> [Equation; 2] {
        let mut numerators = Sum::default();
        let mut denominators = Sum::default();
        let mut covered = Challenge::ZERO;
        for block in blocks {
            let (prefix, local) = point.split_at(point.len() - block.log_size);
            let weight = eq_at(prefix, block.offset >> block.log_size);
            covered += weight;
            let (top, bottom) = match &block.source {
                Source::Relation(position, parts) => self.lookup_tile(*position, parts, local, [alpha, beta]),
                Source::Table(position) => self.table_rows(*position, local, [alpha, beta]),
            };
            numerators.add(top.scaled(weight));
            denominators.add(bottom.scaled(weight));
        }
        denominators.constant += Challenge::ONE - covered;
        let equation = |name, sum, value| Equation { name, products: vec![(Challenge::ONE, vec![sum])], value };
        [
            equation("numerators of the lookup argument", numerators, numerator),
            equation("denominators of the lookup argument", denominators, denominator),
        ]
    }

    fn lookup_tile(
        &mut self,
        position: usize,
        parts: &[crate::AxisTile],
        local: &[Challenge],
        [alpha, beta]: [Challenge; 2],
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
        let mut denominator = Sum { terms: Vec::new(), constant: alpha - beta * constant(i64::from(lookup.table.0)) };
        let mut power = Challenge::ONE;
        for (column, form) in lookup.columns.iter().enumerate() {
            let value = self.linear(form, &points, &[]);
            denominator.add(value.scaled(-power));
            power *= if column == 0 { beta * beta } else { beta };
        }
        (numerator, denominator)
    }

    fn table_rows(&mut self, position: usize, local: &[Challenge], [alpha, beta]: [Challenge; 2]) -> (Sum, Sum) {
        let table = &self.statement.tables[position];
        let multiplicity = self.statement.tensor(table.multiplicity);
        let coordinates = local.iter().map(|&value| Coordinate::Value(value)).collect();
        let points = AxisPoints::from([(multiplicity.axes[0], coordinates)]);
        let counts = self.access(&Access::new(table.multiplicity, &multiplicity.axes), &points);
        let mut denominator = alpha - beta * constant(i64::try_from(position).expect("few tables"));
        let mut power = Challenge::ONE;
        for column in 0..table.rows.width() {
            denominator -= power * table.rows.evaluate(column, local);
            power *= if column == 0 { beta * beta } else { beta };
        }
        (counts.scaled(-Challenge::ONE), Sum { terms: Vec::new(), constant: denominator })
    }

    /// Products without contractions: their form is zero at the challenge point.
    pub fn linear_relations(&mut self, points: &AxisPoints) -> Vec<Equation> {
        let statement = self.statement;
        let mut equations = Vec::new();
        for named in &statement.relations {
            if let Relation::Product { output, contractions, .. } = &named.relation
                && contractions.is_empty()
            {
                let sum = self.linear(output, points, &named.axes);
                let products = vec![(Challenge::ONE, vec![sum])];
                equations.push(Equation { name: "linear relation", products, value: Challenge::ZERO });
            }
        }
        equations
    }

    /// A batch of products whose sumcheck claimed `sum` and ended at `end` with `value`.
    pub fn products(
        &mut self,
        batch: &ProductBatch,
        lambda: Challenge,
        points: &AxisPoints,
        sum: Challenge,
        end: &[Challenge],
        value: Challenge,
    ) -> [Equation; 2] {
        let statement = self.statement;
        let mut inner = points.clone();
        let mut rest = end;
        for axis in batch.axes() {
            let (own, tail) = rest.split_at(statement.axis(axis).bits());
            inner.insert(axis, own.iter().map(|&value| Coordinate::Value(value)).collect());
            rest = tail;
        }
        let weight: Challenge =
            batch.shared.iter().map(|axis| eq(&values(&points[axis]), &values(&inner[axis]))).product();
        let mut outputs = Vec::new();
        let mut factors = Vec::new();
        let mut power = Challenge::ONE;
        for &position in &batch.relations {
            let named = &statement.relations[position];
            let Relation::Product { output, contractions, .. } = &named.relation else {
                unreachable!("batches name products")
            };
            outputs.push((power, vec![self.linear(output, points, &named.axes)]));
            for contraction in contractions {
                let left = self.access(&contraction.left, &inner);
                let right = self.access(&contraction.right, &inner);
                factors.push((power * weight * constant(contraction.coefficient), vec![left, right]));
            }
            power *= lambda;
        }
        [
            Equation { name: "outputs of products", products: outputs, value: sum },
            Equation { name: "factors of products", products: factors, value },
        ]
    }

    /// A batch of row relations whose zerocheck ended at `end` with `value`.
    pub fn zerocheck(
        &mut self,
        batch: &ZerocheckBatch,
        lambda: Challenge,
        points: &AxisPoints,
        end: &[Challenge],
        value: Challenge,
    ) -> Equation {
        let statement = self.statement;
        let mut inner = AxisPoints::new();
        let mut rest = end;
        let mut weight = Challenge::ONE;
        for &axis in &batch.axes {
            let (own, tail) = rest.split_at(statement.axis(axis).bits());
            weight *= restricted_eq(&values(&points[&axis]), own, statement.axis(axis).size);
            inner.insert(axis, own.iter().map(|&value| Coordinate::Value(value)).collect());
            rest = tail;
        }
        let mut products = Vec::new();
        let mut power = weight;
        for &position in &batch.relations {
            match &statement.relations[position].relation {
                Relation::Rows { monomials } => {
                    for monomial in monomials {
                        let factors = monomial.factors.iter().map(|access| self.access(access, &inner)).collect();
                        products.push((power * constant(monomial.coefficient), factors));
                    }
                }
                Relation::Vanishing { left, right } => {
                    let factors = [left, right].map(|form| self.linear(form, &inner, &[]));
                    products.push((power, factors.into()));
                }
                Relation::Product { .. } | Relation::Lookup(_) => unreachable!("batches name row relations"),
            }
            power *= lambda;
        }
        Equation { name: "row relations", products, value }
    }

    /// The opening schedule of a role whose commitment folds `fold` variables first.
    pub(crate) fn openings(&self, role: Role, fold: usize) -> Option<Openings> {
        let layout = self.layouts[place(role)]?;
        let list = &self.lists[place(role)];
        let mut places = vec![(0, 0); list.len()];
        let mut column_of = BTreeMap::new();
        for (table, content) in layout.tables.iter().enumerate() {
            for (column, &tile) in content.columns.iter().enumerate() {
                column_of.insert(tile, (table, column));
            }
        }
        // Per table: points in order of appearance, each with the claims on it.
        let mut batches: Vec<Vec<Batch>> = vec![Vec::new(); layout.tables.len()];
        let mut seen: BTreeMap<(usize, Vec<u32>), usize> = BTreeMap::new();
        for (claim, (tile, point)) in list.iter().enumerate() {
            let (table, column) = column_of[tile];
            let own = &mut batches[table];
            let batch = *seen.entry((table, key(point))).or_insert_with(|| {
                own.push((point, Vec::new()));
                own.len() - 1
            });
            own[batch].1.push((column, claim));
        }
        let mut specs = Vec::new();
        let mut points = Vec::new();
        for (content, own) in layout.tables.iter().zip(&mut batches) {
            let mut schedule = Vec::new();
            for (point, columns) in own {
                columns.sort_unstable();
                for (position, &(_, claim)) in columns.iter().enumerate() {
                    places[claim] = (points.len(), position);
                }
                schedule.push(OpeningBatch::new(columns.iter().map(|&(column, _)| column).collect(), Vec::new()));
                let mut padded = vec![Challenge::ZERO; content.arity.max(fold) - content.arity];
                padded.extend_from_slice(point);
                points.push(Point::new(padded));
            }
            let shape = p3_sumcheck::TableShape::new(content.arity, content.columns.len().max(1));
            specs.push(TableSpec::new(shape, schedule));
        }
        let protocol = OpeningProtocol::new(specs).pad_to_min_num_variables(fold);
        Some(Openings { protocol, points, places })
    }
}

impl Openings {
    /// The claims' values, in order of the claims, from the opened evaluations.
    #[must_use]
    pub fn values(&self, evaluations: &[p3_sumcheck::OpeningEvals<Challenge>]) -> Vec<Challenge> {
        self.places.iter().map(|&(batch, position)| evaluations[batch].current()[position]).collect()
    }
}

fn values(coordinates: &[Coordinate]) -> Vec<Challenge> {
    coordinates.iter().map(|coordinate| coordinate.value()).collect()
}

/// A signed integer in the field.
pub fn constant(value: i64) -> Challenge {
    Challenge::from(Value::from_i64(value))
}
