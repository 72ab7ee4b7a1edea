//! The interval rule: equality in the field means equality of integers, because the two sides of every relation differ by less than
//! the modulus, and every interval that this relies on is certified.

use std::collections::BTreeMap;

use crate::relation::{
    Access, Certificate, Contraction, Index, Interval, Linear, Monomial, NamedRelation, Relation, TensorId, TensorKind,
};
use crate::{CompileError, MODULUS, Statement, TableRows};

impl Statement {
    fn bounds(&self, relation: &str, access: &Access) -> Result<(i128, i128), CompileError> {
        let tensor = self.tensor(access.tensor);
        if tensor.certificate == Certificate::None {
            return Err(CompileError::Uncertified { relation: relation.into(), tensor: tensor.name.clone() });
        }
        let count: i128 = access
            .index
            .iter()
            .zip(&tensor.axes)
            .filter(|(index, _)| **index == Index::Sum)
            .map(|(_, &axis)| self.axis(axis).size as i128)
            .product();
        Ok((i128::from(tensor.interval.low) * count, i128::from(tensor.interval.high) * count))
    }

    fn linear_bounds(&self, relation: &str, form: &Linear) -> Result<(i128, i128), CompileError> {
        let mut bounds = (i128::from(form.constant), i128::from(form.constant));
        for (coefficient, access) in &form.terms {
            bounds = add(bounds, scale(self.bounds(relation, access)?, i128::from(*coefficient)));
        }
        Ok(bounds)
    }

    /// Bounds of the difference of a relation's sides, or of each factor or column on its own.
    pub(crate) fn check_intervals(&self, named: &NamedRelation) -> Result<(), CompileError> {
        let name = named.name.as_str();
        let inside = |bounds: (i128, i128)| {
            let modulus = i128::from(MODULUS);
            if bounds.0 > -modulus && bounds.1 < modulus {
                Ok(())
            } else {
                Err(CompileError::Wraps { relation: name.into(), span: bounds.1 - bounds.0 })
            }
        };
        match &named.relation {
            Relation::Product { output, contractions, summed } => {
                // A partition of unity holds in the field; its entries need no bounds of their own.
                if contractions.is_empty() && self.is_partition(output) {
                    return Ok(());
                }
                let mut bounds = self.linear_bounds(name, output)?;
                let count: i128 = summed.iter().map(|&axis| self.axis(axis).size as i128).product();
                for contraction in contractions {
                    let term = self.contraction_bounds(name, contraction, count)?;
                    bounds = add(bounds, scale(term, -1));
                }
                inside(bounds)
            }
            Relation::Rows { monomials } => {
                if self.is_boolean_constraint(monomials) {
                    return Ok(());
                }
                let mut bounds = (0, 0);
                for monomial in monomials {
                    let mut product = (1, 1);
                    for factor in &monomial.factors {
                        product = multiply(product, self.bounds(name, factor)?);
                    }
                    bounds = add(bounds, scale(product, i128::from(monomial.coefficient)));
                }
                inside(bounds)
            }
            Relation::Vanishing { left, right } => {
                // A factor that is a bare uncertified tensor vanishes or not as a field element.
                for factor in [left, right] {
                    let bare = factor.constant == 0
                        && factor.terms.len() == 1
                        && self.tensor(factor.terms[0].1.tensor).certificate == Certificate::None;
                    if !bare {
                        inside(self.linear_bounds(name, factor)?)?;
                    }
                }
                Ok(())
            }
            Relation::Lookup(lookup) => {
                let rows = &self.tables[usize::from(lookup.table.0)].rows;
                for (column, form) in lookup.columns.iter().enumerate() {
                    if self.certifies(form).is_some() {
                        continue;
                    }
                    let bounds = self.linear_bounds(name, form)?;
                    let (low, high) = self.column_bounds(rows, column);
                    inside((bounds.0 - i128::from(high), bounds.1 - i128::from(low)))?;
                }
                Ok(())
            }
        }
    }

    fn contraction_bounds(
        &self,
        name: &str,
        contraction: &Contraction,
        count: i128,
    ) -> Result<(i128, i128), CompileError> {
        let (left, right) = (self.bounds(name, &contraction.left)?, self.bounds(name, &contraction.right)?);
        // A row of a one-hot or masked public factor, of weights or of a normalised vector sums to less than the worst
        // case of its entries. Every bound holds, so the tightest does.
        let (left_tensor, right_tensor) = (self.tensor(contraction.left.tensor), self.tensor(contraction.right.tensor));
        let up_to = |size: i64| (-i128::from(size), i128::from(size));
        let masses = [(left_tensor.row_mass, right), (right_tensor.row_mass, left)];
        let by_mass = masses.into_iter().filter_map(|(mass, other)| mass.map(|mass| multiply(up_to(mass), other)));
        let norms = left_tensor.row_norm.zip(right_tensor.row_norm);
        let by_norm = norms.map(|(left, right)| multiply(up_to(left), (i128::from(right), i128::from(right))));
        let bounds = by_mass.chain(by_norm).fold(scale(multiply(left, right), count), intersect);
        Ok(scale(bounds, i128::from(contraction.coefficient)))
    }

    fn is_partition(&self, output: &Linear) -> bool {
        output.terms.len() == 1 && self.tensor(output.terms[0].1.tensor).certificate == Certificate::None
    }

    /// `x^2 - x = 0` certifies `x` in {0, 1} in any field.
    fn is_boolean_constraint(&self, monomials: &[Monomial]) -> bool {
        monomials.len() == 2
            && monomials[0].coefficient == 1
            && monomials[0].factors.len() == 2
            && monomials[0].factors[0] == monomials[0].factors[1]
            && monomials[1].coefficient == -1
            && monomials[1].factors.len() == 1
            && monomials[1].factors[0] == monomials[0].factors[0]
    }

    /// Smallest and largest entry of a table's column, certified by its rule or by the model's digest.
    #[must_use]
    pub fn column_bounds(&self, rows: &TableRows, column: usize) -> (i64, i64) {
        match rows.committed(column) {
            Some(values) => {
                let Interval { low, high } = self.tensor(values).interval;
                (low, high)
            }
            None => rows.bounds(column),
        }
    }

    /// The tensor whose interval a lookup column certifies: a bare witness tensor plus a constant.
    fn certifies(&self, form: &Linear) -> Option<TensorId> {
        let [(1, access)] = form.terms.as_slice() else { return None };
        let plain = access.index.iter().all(|index| matches!(index, Index::Axis(_)));
        (plain && self.tensor(access.tensor).kind == TensorKind::Witness).then_some(access.tensor)
    }

    /// Every interval that claims a lookup has one, without a mask, that implies it.
    pub(crate) fn check_certificates(&self) -> Result<(), CompileError> {
        let mut certified: BTreeMap<TensorId, Interval> = BTreeMap::new();
        for named in &self.relations {
            let Relation::Lookup(lookup) = &named.relation else { continue };
            if lookup.mask.is_some() {
                continue;
            }
            let rows = &self.tables[usize::from(lookup.table.0)].rows;
            for (column, form) in lookup.columns.iter().enumerate() {
                let Some(tensor) = self.certifies(form) else { continue };
                if form.terms[0].1.index.len() != named.axes.len() {
                    continue;
                }
                let (low, high) = self.column_bounds(rows, column);
                let (low, high) = (low - form.constant, high - form.constant);
                let entry = certified.entry(tensor).or_insert(Interval::new(low, high));
                *entry = Interval::new(entry.low.max(low), entry.high.min(high));
            }
        }
        for (position, tensor) in self.tensors.iter().enumerate() {
            if tensor.certificate != Certificate::Lookup {
                continue;
            }
            let id = TensorId(u32::try_from(position).expect("few tensors"));
            let implied = certified
                .get(&id)
                .is_some_and(|interval| interval.low >= tensor.interval.low && interval.high <= tensor.interval.high);
            if !implied {
                return Err(CompileError::Uncertified {
                    relation: "interval certificates".into(),
                    tensor: tensor.name.clone(),
                });
            }
        }
        Ok(())
    }
}

fn add(a: (i128, i128), b: (i128, i128)) -> (i128, i128) {
    (a.0 + b.0, a.1 + b.1)
}

fn intersect(a: (i128, i128), b: (i128, i128)) -> (i128, i128) {
    (a.0.max(b.0), a.1.min(b.1))
}

fn scale(a: (i128, i128), factor: i128) -> (i128, i128) {
    let (x, y) = (a.0 * factor, a.1 * factor);
    (x.min(y), x.max(y))
}

fn multiply(a: (i128, i128), b: (i128, i128)) -> (i128, i128) {
    let products = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
    (*products.iter().min().expect("four products"), *products.iter().max().expect("four products"))
}
