//! The compiled list of tensors, tables and relations, and the rules of its form.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::MODULUS;
use crate::axis::{Axis, AxisId, AxisTile};
use crate::relation::{Access, Index, NamedRelation, Relation, Tensor, TensorId, TensorKind};
use crate::table::{Table, TableId};

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

/// The largest [`Statement::tile_count`]: four times that of the largest published models.
const TILES_MAX: u64 = 1 << 13;

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
        self.check_tile_count()?;
        self.check_tables()?;
        for relation in &self.relations {
            self.check_accesses(relation)?;
            self.check_intervals(relation)?;
        }
        self.check_certificates()?;
        self.check_lookup_counts()
    }

    /// A verifier's work is that of tiles: sizes that no model has must not make it large.
    fn check_tile_count(&self) -> Result<(), CompileError> {
        let tiles = self.tile_count();
        if tiles > TILES_MAX {
            let reason =
                format!("{tiles} tiles, more than {TILES_MAX}: a size has as many as its binary form has ones");
            return Err(CompileError::Unsupported(reason));
        }
        Ok(())
    }

    /// Tiles of all committed tensors and of the boxes of all lookups.
    #[must_use]
    pub fn tile_count(&self) -> u64 {
        let of = |axes: &[AxisId]| axes.iter().map(|&axis| self.axis(axis).tiles().len() as u64).product::<u64>();
        let committed = self.tensors.iter().filter(|tensor| !matches!(tensor.kind, TensorKind::Public(_)));
        let lookups = self.relations.iter().filter(|named| matches!(named.relation, Relation::Lookup(_)));
        committed.map(|tensor| of(&tensor.axes)).chain(lookups.map(|named| of(&named.axes))).sum()
    }

    /// Lookups are counted in the field: a value that is in no table would not be missed as often as the modulus. Values of different
    /// tables are never taken for each other, so each table is counted on its own.
    fn check_lookup_counts(&self) -> Result<(), CompileError> {
        for (position, table) in self.tables.iter().enumerate() {
            let lookups = self.lookups_of(TableId(u16::try_from(position).expect("few tables")));
            if lookups >= MODULUS.unsigned_abs() {
                let reason = format!("{lookups} lookups in table `{}`; the field counts {}", table.name, MODULUS - 1);
                return Err(CompileError::Unsupported(reason));
            }
        }
        Ok(())
    }

    /// How often a table is looked up, whatever masks leave out.
    #[must_use]
    pub fn lookups_of(&self, table: TableId) -> u64 {
        let own = |named: &&NamedRelation| matches!(&named.relation, Relation::Lookup(lookup) if lookup.table == table);
        self.relations.iter().filter(own).map(|named| self.box_size(&named.axes)).sum()
    }

    /// Number of indices of a box.
    #[must_use]
    pub fn box_size(&self, axes: &[AxisId]) -> u64 {
        axes.iter().map(|&axis| self.axis(axis).size as u64).product()
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

    /// A column that no rule gives is a weight, whose entries the model's digest decides, over the rows of its table.
    fn check_tables(&self) -> Result<(), CompileError> {
        for table in &self.tables {
            for values in (0..table.rows.width()).filter_map(|column| table.rows.committed(column)) {
                let tensor = self.tensor(values);
                if tensor.kind != TensorKind::Weight || self.shape(values) != [1 << table.rows.bits()] {
                    let reason = format!("tensor `{}` is not a weight over the table's rows", tensor.name);
                    return Err(CompileError::Malformed { relation: table.name.clone(), reason });
                }
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
        let prefixes_allowed = matches!(named.relation, Relation::Rows { .. });
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
                    Index::First(axis) => {
                        let fits = size.is_power_of_two() && self.axis(axis).size <= size;
                        if !fits || !prefixes_allowed || !named.axes.contains(&axis) || !used.insert(axis) {
                            return Err(malformed(format!(
                                "tensor `{}` is addressed by the wrong prefix",
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
                    let covered: BTreeSet<AxisId> = contraction.left.axes().chain(contraction.right.axes()).collect();
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
