//! The compiled list, the interval rule that every relation must pass, and its evaluation over plain integers.

use std::collections::{BTreeMap, BTreeSet};

use crate::MODULUS;
use serde::Serialize;

use crate::axis::{Axis, AxisId, AxisTile};
use crate::relation::{
    Access, Certificate, Index, Interval, Linear, NamedRelation, Relation, Tensor, TensorId, TensorKind,
};
use crate::table::Table;

/// Everything that prover and verifier must agree on about one proof, apart from the values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Statement {
    /// All axes.
    pub axes: Vec<Axis>,
    /// All tensors, in commitment order.
    pub tensors: Vec<Tensor>,
    /// All lookup tables.
    pub tables: Vec<Table>,
    /// All relations, in protocol order.
    pub relations: Vec<NamedRelation>,
}

/// A list that is not sound, or not expressible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The two sides could differ by a multiple of the field's modulus.
    #[error(
        "relation `{relation}` spans {span} integers, more than the field holds: it could be met by values that differ by the modulus"
    )]
    Wraps {
        /// Name of the relation.
        relation: String,
        /// Width of the interval of the difference of its sides.
        span: i128,
    },
    /// A relation relies on bounds that nothing certifies.
    #[error("relation `{relation}` relies on tensor `{tensor}`, whose interval is not certified")]
    Uncertified {
        /// Name of the relation.
        relation: String,
        /// Name of the tensor.
        tensor: String,
    },
    /// An access does not fit its tensor or its relation.
    #[error("relation `{relation}`: {reason}")]
    Malformed {
        /// Name of the relation.
        relation: String,
        /// What is wrong.
        reason: String,
    },
    /// The composed soundness error is too large.
    #[error("the proof would have {bits} bits of security; 100 are required")]
    Insecure {
        /// What it would have.
        bits: String,
    },
    /// The model or the entry is outside of what the protocol covers today.
    #[error("unsupported: {0}")]
    Unsupported(String),
}

impl Statement {
    /// The tensor of an id.
    #[must_use]
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0 as usize]
    }

    /// The axis of an id.
    #[must_use]
    pub fn axis(&self, id: AxisId) -> &Axis {
        &self.axes[usize::from(id.0)]
    }

    /// Look a tensor up by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors
            .iter()
            .position(|tensor| tensor.name == name)
            .map(|i| TensorId(u32::try_from(i).expect("few tensors")))
    }

    /// Sizes of a tensor's axes.
    #[must_use]
    pub fn shape(&self, id: TensorId) -> Vec<usize> {
        self.tensor(id).axes.iter().map(|&axis| self.axis(axis).size).collect()
    }

    /// The cut of a box into dyadic tiles: the product of the axes' tiles, in storage order.
    #[must_use]
    pub fn tiles(&self, axes: &[AxisId]) -> Vec<Vec<AxisTile>> {
        axes.iter().fold(vec![Vec::new()], |tiles, &axis| {
            let own = self.axis(axis).tiles();
            tiles.iter().flat_map(|prefix| own.iter().map(|&tile| [prefix.as_slice(), &[tile]].concat())).collect()
        })
    }

    /// BLAKE3 of everything that the statement says.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let bytes = postcard::to_allocvec(self).expect("a statement is plain data");
        blake3::derive_key("obelysk 2026 statement", &bytes)
    }

    /// Number of entries of a tensor.
    #[must_use]
    pub fn len_of(&self, id: TensorId) -> usize {
        self.shape(id).iter().product()
    }

    /// The rules that make field equality mean integer equality. Both sides run them before anything else.
    ///
    /// # Errors
    /// The first relation that could wrap, relies on an uncertified interval or is malformed.
    pub fn check(&self) -> Result<(), CompileError> {
        self.check_names()?;
        for relation in &self.relations {
            self.check_accesses(relation)?;
            self.check_intervals(relation)?;
        }
        self.check_certificates()
    }

    fn check_names(&self) -> Result<(), CompileError> {
        let mut seen = BTreeSet::new();
        let names = self.tensors.iter().map(|t| &t.name).chain(self.relations.iter().map(|r| &r.name));
        for name in names {
            if !seen.insert(name) {
                return Err(CompileError::Malformed {
                    relation: name.clone(),
                    reason: "the name is used twice".into(),
                });
            }
        }
        Ok(())
    }

    fn check_accesses(&self, named: &NamedRelation) -> Result<(), CompileError> {
        let malformed = |reason: String| CompileError::Malformed { relation: named.name.clone(), reason };
        let (summed, sums_allowed): (&[AxisId], bool) = match &named.relation {
            Relation::Product { summed, .. } => (summed, true),
            _ => (&[], false),
        };
        for (access, contracted) in accesses(&named.relation) {
            let tensor = self.tensor(access.tensor);
            if tensor.axes.len() != access.index.len() {
                return Err(malformed(format!(
                    "tensor `{}` has {} axes, not {}",
                    tensor.name,
                    tensor.axes.len(),
                    access.index.len()
                )));
            }
            let mut used = BTreeSet::new();
            for (&own, &index) in tensor.axes.iter().zip(&access.index) {
                let size = self.axis(own).size;
                match index {
                    Index::Axis(axis) => {
                        if self.axis(axis).size != size || !used.insert(axis) {
                            return Err(malformed(format!("tensor `{}` is addressed by the wrong axis", tensor.name)));
                        }
                        let known = named.axes.contains(&axis) || contracted && summed.contains(&axis);
                        if !known {
                            return Err(malformed(format!(
                                "tensor `{}` uses an axis outside of the relation",
                                tensor.name
                            )));
                        }
                    }
                    Index::Fixed(value) if value < size => {}
                    Index::Sum if sums_allowed && !contracted => {}
                    _ => return Err(malformed(format!("tensor `{}` is addressed out of bounds", tensor.name))),
                }
            }
        }
        match &named.relation {
            Relation::Product { contractions, summed, .. } => {
                for contraction in contractions {
                    let covered: BTreeSet<AxisId> =
                        axes_of(&contraction.left).chain(axes_of(&contraction.right)).collect();
                    if !summed.iter().chain(&named.axes).all(|axis| covered.contains(axis)) {
                        return Err(malformed("a contraction does not depend on every axis".into()));
                    }
                }
            }
            Relation::Rows { monomials } => {
                if monomials.iter().any(|monomial| monomial.factors.len() > 3) {
                    return Err(malformed("a monomial has more than three factors".into()));
                }
            }
            Relation::Lookup(lookup) => {
                let table = &self.tables[usize::from(lookup.table.0)];
                if table.rows.width() != lookup.columns.len() {
                    return Err(malformed(format!("table `{}` has another number of columns", table.name)));
                }
                if let Some(mask) = &lookup.mask
                    && !matches!(self.tensor(mask.tensor).kind, TensorKind::Public(_))
                {
                    return Err(malformed("a lookup mask is not public".into()));
                }
            }
            Relation::Vanishing { .. } => {}
        }
        Ok(())
    }

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
    fn check_intervals(&self, named: &NamedRelation) -> Result<(), CompileError> {
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
                    let (low, high) = rows.bounds(column);
                    inside((bounds.0 - i128::from(high), bounds.1 - i128::from(low)))?;
                }
                Ok(())
            }
        }
    }

    fn contraction_bounds(
        &self,
        name: &str,
        contraction: &crate::relation::Contraction,
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
    fn is_boolean_constraint(&self, monomials: &[crate::relation::Monomial]) -> bool {
        monomials.len() == 2
            && monomials[0].coefficient == 1
            && monomials[0].factors.len() == 2
            && monomials[0].factors[0] == monomials[0].factors[1]
            && monomials[1].coefficient == -1
            && monomials[1].factors.len() == 1
            && monomials[1].factors[0] == monomials[0].factors[0]
    }

    /// The tensor whose interval a lookup column certifies: a bare witness tensor plus a constant.
    fn certifies(&self, form: &Linear) -> Option<TensorId> {
        let [(1, access)] = form.terms.as_slice() else { return None };
        let plain = access.index.iter().all(|index| matches!(index, Index::Axis(_)));
        (plain && self.tensor(access.tensor).kind == TensorKind::Witness).then_some(access.tensor)
    }

    /// Every interval that claims a lookup has one, without a mask, that implies it.
    fn check_certificates(&self) -> Result<(), CompileError> {
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
                let (low, high) = rows.bounds(column);
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

/// Every access of a relation, and whether it is a factor of a contraction.
pub fn accesses(relation: &Relation) -> Vec<(&Access, bool)> {
    match relation {
        Relation::Product { output, contractions, .. } => output
            .terms
            .iter()
            .map(|(_, access)| (access, false))
            .chain(contractions.iter().flat_map(|c| [(&c.left, true), (&c.right, true)]))
            .collect(),
        Relation::Rows { monomials } => monomials.iter().flat_map(|m| m.factors.iter().map(|f| (f, false))).collect(),
        Relation::Vanishing { left, right } => {
            [left, right].into_iter().flat_map(|form| form.terms.iter().map(|(_, a)| (a, false))).collect()
        }
        Relation::Lookup(lookup) => lookup
            .columns
            .iter()
            .flat_map(|form| form.terms.iter().map(|(_, a)| (a, false)))
            .chain(lookup.mask.iter().map(|mask| (mask, false)))
            .collect(),
    }
}

fn axes_of(access: &Access) -> impl Iterator<Item = AxisId> + '_ {
    access.index.iter().filter_map(|index| match index {
        Index::Axis(axis) => Some(*axis),
        _ => None,
    })
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
