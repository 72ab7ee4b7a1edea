//! The language of statements: tensors and the three kinds of relation between them. Prover and verifier
//! interpret this list; neither knows what a transformer is.

use serde::Serialize;

use crate::axis::AxisId;
use crate::public::PublicTensor;
use crate::table::TableId;

/// Position of a tensor in [`crate::Statement::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TensorId(pub u32);

/// Who fixes the entries of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum TensorKind {
    /// Committed by the prover for this proof.
    Witness,
    /// Committed once per model; part of the model digest.
    Weight,
    /// Known to both sides; the verifier evaluates it alone.
    Public(PublicTensor),
}

/// Inclusive integer bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// Smallest value.
    pub low: i64,
    /// Largest value.
    pub high: i64,
}

/// Why a tensor's interval may be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Certificate {
    /// Every entry is looked up in a table whose entries lie in the interval.
    Lookup,
    /// The entries are known to the verifier.
    Public,
    /// Recomputing the model digest checks it.
    Weight,
    /// A lemma of `docs/protocol.md`, by name.
    Lemma(&'static str),
    /// No interval: only relations that hold for every field element may use the tensor.
    None,
}

/// A named array over some axes. Its multilinear extension takes the variables of the axes in order,
/// most significant bit first, and is zero outside the box.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tensor {
    /// Unique name, for messages, attacks and the witness.
    pub name: String,
    /// Axes in storage order: the last one is contiguous.
    pub axes: Vec<AxisId>,
    /// Who fixes the entries.
    pub kind: TensorKind,
    /// Certified bounds of the entries, as signed integers.
    pub interval: Interval,
    /// Why the bounds hold.
    pub certificate: Certificate,
    /// Bound of the sum of absolute values over the axes that a contraction sums, where it is better than the
    /// worst case of the interval: the row norm of a weight, the one of a one-hot row, the total of a softmax row.
    pub row_mass: Option<i64>,
    /// Bound of the Euclidean norm over the axes that a contraction sums, rounded up: of a row of a weight, of the output
    /// of a norm. A contraction of two such rows is at most the product (Cauchy and Schwarz).
    pub row_norm: Option<i64>,
}

/// How one axis of a tensor is addressed inside a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Index {
    /// By an axis of the relation, of the same size as the tensor's own axis.
    Axis(AxisId),
    /// By an axis of the relation that is shorter than the tensor's own, whose size is a power of two: its first indices. Only in
    /// [`Relation::Rows`], where what lies between the axis and the next power of two is multiplied by zero.
    First(AxisId),
    /// A constant index.
    Fixed(usize),
    /// Summed over. Only in [`Linear`] forms of a [`Relation::Product`]'s left side: the sum is `2^bits` times the
    /// evaluation at one half.
    Sum,
}

impl Index {
    /// The axis of the relation that it depends on.
    #[must_use]
    pub fn axis(self) -> Option<AxisId> {
        match self {
            Self::Axis(axis) | Self::First(axis) => Some(axis),
            Self::Fixed(_) | Self::Sum => None,
        }
    }
}

/// A tensor as it appears in a relation. Axes of the relation that it lacks are broadcast.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Access {
    /// Which tensor.
    pub tensor: TensorId,
    /// One entry per axis of the tensor.
    pub index: Vec<Index>,
}

/// `constant + sum coefficient * access`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Linear {
    /// Weighted accesses.
    pub terms: Vec<(i64, Access)>,
    /// Added at every index of the box.
    pub constant: i64,
}

/// `coefficient * product of factors`: one to three factors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Monomial {
    /// Integer coefficient.
    pub coefficient: i64,
    /// Multiplied accesses; empty for a constant.
    pub factors: Vec<Access>,
}

/// `coefficient * sum over contracted axes of left * right`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contraction {
    /// Integer coefficient.
    pub coefficient: i64,
    /// First factor.
    pub left: Access,
    /// Second factor.
    pub right: Access,
}

/// Which columns of a table a lookup reads, under which mask.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lookup {
    /// The table.
    pub table: TableId,
    /// One form per table column, over the axes of the relation.
    pub columns: Vec<Linear>,
    /// Public 0/1 tensor: where it is 0 nothing is looked up. `None` looks up every index.
    pub mask: Option<Access>,
}

/// What a relation says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Relation {
    /// At every index of the free axes: `output = sum of contractions`. In every contraction the axes that
    /// are not free are summed over; all contractions of one relation sum over the same axes.
    Product {
        /// Linear in committed and public tensors over the free axes.
        output: Linear,
        /// Bilinear side; not empty.
        contractions: Vec<Contraction>,
        /// Summed axes.
        summed: Vec<AxisId>,
    },
    /// At every index: `sum of monomials = 0`, as integers.
    Rows {
        /// Degree at most 3.
        monomials: Vec<Monomial>,
    },
    /// At every index: `left = 0` or `right = 0`. Sound for each factor on its own, so the product itself
    /// may exceed the field.
    Vanishing {
        /// First factor.
        left: Linear,
        /// Second factor.
        right: Linear,
    },
    /// At every index where the mask is 1 the columns form a row of the table.
    Lookup(Lookup),
}

/// A relation with its name and the box of indices at which it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedRelation {
    /// Unique name; attacks are listed by it.
    pub name: String,
    /// Free axes, in order. Every access of the relation uses only these (and the summed axes of a product).
    pub axes: Vec<AxisId>,
    /// What holds.
    pub relation: Relation,
}

impl Interval {
    /// The interval of one value.
    #[must_use]
    pub fn point(value: i64) -> Self {
        Self { low: value, high: value }
    }

    /// `low..=high`.
    #[must_use]
    pub fn new(low: i64, high: i64) -> Self {
        assert!(low <= high, "an interval is not empty");
        Self { low, high }
    }

    /// All `bits`-bit two's complement integers.
    #[must_use]
    pub fn signed(bits: u32) -> Self {
        Self { low: -(1 << (bits - 1)), high: (1 << (bits - 1)) - 1 }
    }

    /// `0..2^bits`.
    #[must_use]
    pub fn unsigned(bits: u32) -> Self {
        Self { low: 0, high: (1 << bits) - 1 }
    }

    /// Largest absolute value.
    #[must_use]
    pub fn magnitude(self) -> i64 {
        self.low.abs().max(self.high.abs())
    }
}

impl Access {
    /// The axes of the relation that it depends on.
    pub fn axes(&self) -> impl Iterator<Item = AxisId> + '_ {
        self.index.iter().filter_map(|index| index.axis())
    }

    /// Address every axis of `tensor` by the given axes.
    #[must_use]
    pub fn new(tensor: TensorId, axes: &[AxisId]) -> Self {
        Self { tensor, index: axes.iter().map(|&axis| Index::Axis(axis)).collect() }
    }
}
