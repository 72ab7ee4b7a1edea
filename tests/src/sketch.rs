//! Statements written by hand: a few entries over a few axes, for what the statement of a model would hide.

use obelysk_statement::axis::{Axis, AxisId};
use obelysk_statement::relation::{
    Access, Certificate, Index, Interval, Linear, Lookup, NamedRelation, Relation, Tensor, TensorId, TensorKind,
};
use obelysk_statement::table::{Table, TableId, TableRows};
use obelysk_statement::{PublicTensor, Statement};

use obelysk_statement::builder::monomial;
pub use obelysk_statement::builder::{at, linear as form};

/// A statement that grows, sound or not.
#[derive(Clone, Default)]
pub struct Sketch {
    /// So far.
    pub statement: Statement,
}

/// A tensor addressed in any way.
#[must_use]
pub fn by(tensor: TensorId, index: &[Index]) -> Access {
    Access { tensor, index: index.to_vec() }
}

/// A sum of monomials that is zero.
#[must_use]
pub fn rows(monomials: &[(i64, &[&Access])]) -> Relation {
    Relation::Rows {
        monomials: monomials.iter().map(|&(coefficient, factors)| monomial(coefficient, factors)).collect(),
    }
}

/// A form that is zero.
#[must_use]
pub fn zero(output: Linear) -> Relation {
    Relation::Product { output, contractions: Vec::new(), summed: Vec::new() }
}

/// Forms that are a row of a table.
#[must_use]
pub fn lookup(table: TableId, columns: Vec<Linear>, mask: Option<Access>) -> Relation {
    Relation::Lookup(Lookup { table, columns, mask })
}

impl Sketch {
    /// A new axis.
    pub fn axis(&mut self, size: usize) -> AxisId {
        self.statement.axes.push(Axis { name: format!("axis {}", self.statement.axes.len()), size });
        AxisId(u16::try_from(self.statement.axes.len() - 1).expect("few axes"))
    }

    /// A tensor of any kind.
    pub fn tensor(
        &mut self,
        name: &str,
        axes: &[AxisId],
        kind: TensorKind,
        (low, high): (i64, i64),
        certificate: Certificate,
    ) -> TensorId {
        self.statement.tensors.push(Tensor {
            name: name.into(),
            axes: axes.to_vec(),
            kind,
            interval: Interval::new(low, high),
            certificate,
            row_mass: None,
            row_norm: None,
        });
        TensorId(u32::try_from(self.statement.tensors.len() - 1).expect("few tensors"))
    }

    /// A weight, whose interval the model's digest certifies.
    pub fn weight(&mut self, name: &str, axes: &[AxisId], interval: (i64, i64)) -> TensorId {
        self.tensor(name, axes, TensorKind::Weight, interval, Certificate::Weight)
    }

    /// A witness whose interval a lookup has to certify.
    pub fn looked_up(&mut self, name: &str, axes: &[AxisId], interval: (i64, i64)) -> TensorId {
        self.tensor(name, axes, TensorKind::Witness, interval, Certificate::Lookup)
    }

    /// A witness without an interval.
    pub fn unbounded(&mut self, name: &str, axes: &[AxisId]) -> TensorId {
        self.tensor(name, axes, TensorKind::Witness, (0, 1), Certificate::None)
    }

    /// A public tensor of zeros and ones.
    pub fn public(&mut self, name: &str, axes: &[AxisId], values: PublicTensor) -> TensorId {
        self.tensor(name, axes, TensorKind::Public(values), (0, 1), Certificate::Public)
    }

    /// A table and its multiplicities.
    pub fn table(&mut self, name: &str, rows: TableRows) -> TableId {
        let axis = self.axis(1 << rows.bits());
        self.table_over(name, axis, rows)
    }

    fn table_over(&mut self, name: &str, axis: AxisId, rows: TableRows) -> TableId {
        let multiplicity = self.unbounded(&format!("{name}: multiplicity"), &[axis]);
        self.statement.tables.push(Table { name: name.into(), rows, multiplicity });
        TableId(u16::try_from(self.statement.tables.len() - 1).expect("few tables"))
    }

    /// A table of a function of `2^bits` integers from `first` on; its values are the weight `NAME: value`.
    pub fn function(&mut self, name: &str, (bits, first): (usize, i32), range: (i64, i64)) -> TableId {
        let axis = self.axis(1 << bits);
        let values = self.weight(&format!("{name}: value"), &[axis], range);
        self.table_over(name, axis, TableRows::Function { bits, first, values })
    }

    /// A witness whose entries are looked up in a range.
    pub fn ranged(&mut self, name: &str, axes: &[AxisId], table: TableId) -> TensorId {
        let bounds = self.statement.tables[usize::from(table.0)].rows.bounds(0);
        let tensor = self.looked_up(name, axes, bounds);
        self.relation(&format!("{name}: range"), axes, lookup(table, vec![form(&[(1, &at(tensor, axes))], 0)], None));
        tensor
    }

    /// A relation over a box.
    pub fn relation(&mut self, name: &str, axes: &[AxisId], relation: Relation) {
        self.statement.relations.push(NamedRelation { name: name.into(), axes: axes.to_vec(), relation });
    }
}
