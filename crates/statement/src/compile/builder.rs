//! Short ways to write tensors and relations, each with the range checks that certify it: for the compiler, and for statements written by
//! hand (`tests/src/mlp.rs` is one). Bounds of weights and of public tensors are the author's word; all others are checked.

use std::collections::BTreeMap;

use crate::MODULUS;
use crate::axis::{Axis, AxisId};
use crate::description::WeightBound;
use crate::public::PublicTensor;
use crate::relation::{
    Access, Certificate, Contraction, Index, Interval, Linear, Lookup, Monomial, NamedRelation, Relation, Tensor,
    TensorId, TensorKind,
};
use crate::statement::Statement;
use crate::table::{Table, TableId, TableRows};

/// A statement under construction.
#[derive(Default)]
pub struct Builder {
    statement: Statement,
    ranges: BTreeMap<u32, TableId>,
    clamps: BTreeMap<(u32, i64, i64), TableId>,
    /// Where lookups of a table go once it is looked up as often as the field counts: to a table of the same rows.
    successors: BTreeMap<TableId, TableId>,
}

/// `tensor` addressed by `axes`, one per axis of its own.
pub fn at(tensor: TensorId, axes: &[AxisId]) -> Access {
    Access::new(tensor, axes)
}

/// `tensor` addressed by `axes`, then by a constant on its last axis.
pub fn at_fixed(tensor: TensorId, axes: &[AxisId], last: usize) -> Access {
    let mut access = Access::new(tensor, axes);
    access.index.push(Index::Fixed(last));
    access
}

/// `tensor` addressed by `axes`, then summed over its last axis.
pub fn summed_last(tensor: TensorId, axes: &[AxisId]) -> Access {
    let mut access = Access::new(tensor, axes);
    access.index.push(Index::Sum);
    access
}

/// `constant + sum coefficient * access`.
pub fn linear(terms: &[(i64, &Access)], constant: i64) -> Linear {
    Linear { terms: terms.iter().map(|&(coefficient, access)| (coefficient, access.clone())).collect(), constant }
}

/// `coefficient * product of factors`.
pub fn monomial(coefficient: i64, factors: &[&Access]) -> Monomial {
    Monomial { coefficient, factors: factors.iter().map(|&factor| factor.clone()).collect() }
}

/// `coefficient * sum left * right`.
pub fn contraction(coefficient: i64, left: &Access, right: &Access) -> Contraction {
    Contraction { coefficient, left: left.clone(), right: right.clone() }
}

impl Builder {
    /// What was built. [`Statement::check`] says whether it is sound: the verifier asks before anything else.
    pub fn finish(self) -> Statement {
        self.statement
    }

    /// A new axis.
    pub fn axis(&mut self, name: &str, size: usize) -> AxisId {
        self.statement.axes.push(Axis { name: name.into(), size });
        AxisId(u16::try_from(self.statement.axes.len() - 1).expect("few axes"))
    }

    /// Number of indices of an axis.
    pub fn size(&self, axis: AxisId) -> usize {
        self.statement.axis(axis).size
    }

    fn tensor(&mut self, tensor: Tensor) -> TensorId {
        self.statement.tensors.push(tensor);
        TensorId(u32::try_from(self.statement.tensors.len() - 1).expect("few tensors"))
    }

    /// A committed tensor whose bounds come from elsewhere.
    pub fn witness(&mut self, name: &str, axes: &[AxisId], interval: Interval, certificate: Certificate) -> TensorId {
        self.tensor(Tensor {
            name: name.into(),
            axes: axes.to_vec(),
            kind: TensorKind::Witness,
            interval,
            certificate,
            row_mass: None,
            row_norm: None,
        })
    }

    /// A committed tensor that needs no bounds: a one-hot selector.
    pub fn selector(&mut self, name: &str, axes: &[AxisId]) -> TensorId {
        self.witness(name, axes, Interval::new(0, 1), Certificate::None)
    }

    /// A committed tensor of signed `bits`-bit integers, range-checked.
    pub fn signed(&mut self, name: &str, axes: &[AxisId], bits: u32) -> TensorId {
        self.within(name, axes, Interval::signed(bits))
    }

    /// A committed tensor of integers in `0..2^bits`, range-checked.
    pub fn unsigned(&mut self, name: &str, axes: &[AxisId], bits: u32) -> TensorId {
        self.within(name, axes, Interval::unsigned(bits))
    }

    /// A committed tensor of integers in an interval: one range check where its length is a power of two, else one from each
    /// end.
    pub fn within(&mut self, name: &str, axes: &[AxisId], interval: Interval) -> TensorId {
        let Interval { low, high } = interval;
        let bits = i64::BITS - (high - low).leading_zeros();
        let tensor = self.witness(name, axes, interval, Certificate::Lookup);
        let access = at(tensor, axes);
        let from_above = (1 << bits) - 1 - high;
        if from_above == -low {
            self.range(&format!("{name}: range"), axes, linear(&[(1, &access)], -low), bits);
        } else {
            self.range(&format!("{name}: not below its end"), axes, linear(&[(1, &access)], -low), bits);
            self.range(&format!("{name}: not above its end"), axes, linear(&[(1, &access)], from_above), bits);
        }
        tensor
    }

    /// State a better bound of the sum of absolute values over summed axes than the interval gives.
    pub fn bound_row_mass(&mut self, tensor: TensorId, mass: i64) {
        self.statement.tensors[tensor.0 as usize].row_mass = Some(mass);
    }

    /// State a bound of the Euclidean norm over summed axes.
    pub fn bound_row_norm(&mut self, tensor: TensorId, norm: i64) {
        self.statement.tensors[tensor.0 as usize].row_norm = Some(norm);
    }

    /// A weight whose product sums over its rows.
    pub fn weight(&mut self, name: &str, axes: &[AxisId], bound: WeightBound) -> TensorId {
        let tensor = self.weight_entries(name, axes, bound);
        self.bound_row_mass(tensor, bound.row_mass);
        self.bound_row_norm(tensor, bound.row_norm);
        tensor
    }

    /// A weight whose entries are used one by one.
    pub fn weight_entries(&mut self, name: &str, axes: &[AxisId], bound: WeightBound) -> TensorId {
        self.constant(name, axes, Interval::new(-bound.magnitude, bound.magnitude))
    }

    /// A tensor of the model's commitment.
    pub fn constant(&mut self, name: &str, axes: &[AxisId], interval: Interval) -> TensorId {
        self.tensor(Tensor {
            name: name.into(),
            axes: axes.to_vec(),
            kind: TensorKind::Weight,
            interval,
            certificate: Certificate::Weight,
            row_mass: None,
            row_norm: None,
        })
    }

    /// A tensor that the verifier knows, and bounds that its entries keep.
    pub fn public(&mut self, name: &str, axes: &[AxisId], values: PublicTensor, interval: Interval) -> TensorId {
        let row_mass = match &values {
            PublicTensor::OneHot { .. } | PublicTensor::Previous { .. } => Some(1),
            PublicTensor::Causal { size } | PublicTensor::Windowed { size, .. } => i64::try_from(*size).ok(),
            PublicTensor::Below { .. } | PublicTensor::Dense { .. } => None,
        };
        self.tensor(Tensor {
            name: name.into(),
            axes: axes.to_vec(),
            kind: TensorKind::Public(values),
            interval,
            certificate: Certificate::Public,
            row_mass,
            row_norm: None,
        })
    }

    /// A table of a function of `2^bits` integers from `first` on, whose values are the committed tensor `NAME: value`.
    pub fn function_table(&mut self, name: &str, bits: u32, first: i32, range: Interval) -> TableId {
        let axis = self.axis(&format!("{name}: row"), 1 << bits);
        let values = self.constant(&format!("{name}: value"), &[axis], range);
        self.table_over(name, axis, TableRows::Function { bits: bits as usize, first, values })
    }

    fn add_table(&mut self, name: &str, rows: TableRows) -> TableId {
        let axis = self.axis(&format!("{name}: row"), 1 << rows.bits());
        self.table_over(name, axis, rows)
    }

    fn table_over(&mut self, name: &str, axis: AxisId, rows: TableRows) -> TableId {
        // Multiplicities are counts of lookups; the LogUp identity needs no bound beyond fewer lookups than the modulus.
        let multiplicity = self.witness(
            &format!("{name}: multiplicity"),
            &[axis],
            Interval::new(0, i64::from(i32::MAX)),
            Certificate::None,
        );
        self.statement.tables.push(Table { name: name.into(), rows, multiplicity });
        TableId(u16::try_from(self.statement.tables.len() - 1).expect("few tables"))
    }

    fn relation(&mut self, name: &str, axes: &[AxisId], relation: Relation) {
        self.statement.relations.push(NamedRelation { name: name.into(), axes: axes.to_vec(), relation });
    }

    /// `form` lies in `0..2^bits` at every index.
    pub fn range(&mut self, name: &str, axes: &[AxisId], form: Linear, bits: u32) {
        let table = self.range_table(bits);
        self.lookup(name, axes, table, vec![form], None);
    }

    /// `form` lies in `0..2^bits` where the mask is one.
    pub fn masked_range(&mut self, name: &str, axes: &[AxisId], form: Linear, bits: u32, mask: Access) {
        let table = self.range_table(bits);
        self.lookup(name, axes, table, vec![form], Some(mask));
    }

    fn range_table(&mut self, bits: u32) -> TableId {
        if let Some(&table) = self.ranges.get(&bits) {
            return table;
        }
        let table = self.add_table(&format!("{bits} bits"), TableRows::Range { bits: bits as usize });
        self.ranges.insert(bits, table);
        table
    }

    /// The table of what signed integers of `bits` bits become when they are clamped to an interval.
    pub fn clamp_table(&mut self, bits: u32, interval: Interval) -> TableId {
        let Interval { low, high } = interval;
        if let Some(&table) = self.clamps.get(&(bits, low, high)) {
            return table;
        }
        let end = |end: i64| i32::try_from(end).expect("what is clamped fits an integer of 32 bits");
        let rows = TableRows::Clamp { bits: bits as usize, low: end(low), high: end(high) };
        let table = self.add_table(&format!("{bits} bits clamped to {low}..={high}"), rows);
        self.clamps.insert((bits, low, high), table);
        table
    }

    /// The columns form a row of the table at every index, or where the mask is one.
    pub fn lookup(&mut self, name: &str, axes: &[AxisId], table: TableId, columns: Vec<Linear>, mask: Option<Access>) {
        let table = self.countable(table, axes);
        self.relation(name, axes, Relation::Lookup(Lookup { table, columns, mask }));
    }

    /// A table of the same rows that can be looked up at every index of a box without more lookups than the field counts.
    fn countable(&mut self, table: TableId, axes: &[AxisId]) -> TableId {
        let more = self.statement.box_size(axes);
        let mut current = table;
        for copy in 2.. {
            let before = self.statement.lookups_of(current);
            if before == 0 || before + more < MODULUS.unsigned_abs() {
                break;
            }
            current = if let Some(&successor) = self.successors.get(&current) {
                successor
            } else {
                let Table { name, rows, .. } = self.statement.tables[usize::from(table.0)].clone();
                let successor = self.add_table(&format!("{name}, copy {copy}"), rows);
                self.successors.insert(current, successor);
                successor
            };
        }
        current
    }

    /// `output = sum of contractions` at every index of the free axes.
    pub fn product(
        &mut self,
        name: &str,
        axes: &[AxisId],
        output: Linear,
        contractions: Vec<Contraction>,
        summed: &[AxisId],
    ) {
        self.relation(name, axes, Relation::Product { output, contractions, summed: summed.to_vec() });
    }

    /// `form = 0` at every index.
    pub fn zero(&mut self, name: &str, axes: &[AxisId], form: Linear) {
        self.product(name, axes, form, Vec::new(), &[]);
    }

    /// The monomials add up to zero at every index.
    pub fn rows(&mut self, name: &str, axes: &[AxisId], monomials: Vec<Monomial>) {
        self.relation(name, axes, Relation::Rows { monomials });
    }

    /// One of two forms is zero at every index.
    pub fn vanishing(&mut self, name: &str, axes: &[AxisId], left: Linear, right: Linear) {
        self.relation(name, axes, Relation::Vanishing { left, right });
    }
}
