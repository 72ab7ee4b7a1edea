//! What is proven: the tensors and relations of a model's integer forward pass, compiled from `model.json` and the
//! shape of one inference. Prover and verifier walk the same list. This crate knows nothing of proofs' secrets:
//! no witness, no checkpoint, no file, no clock.

pub mod axis;
pub mod batch;
pub mod blake2s;
pub mod circle;
pub mod compile;
pub mod description;
pub mod encoding;
pub mod eq;
pub mod fiat_shamir;
pub mod functions;
pub mod layout;
pub mod lookup;
pub mod plan;
pub mod point;
pub mod public;
pub mod reduction;
pub mod relation;
pub mod schedule;
pub mod security;
pub mod statement;
pub mod table;
pub mod tree;
pub mod whir;
pub mod words;

mod interval_rule;

pub use axis::{Axis, AxisId, AxisTile};
pub use compile::{builder, compile};
pub use description::{Claim, Inference, Mode, ModelDescription, Profile, SPECIFICATION};
pub use public::PublicTensor;
pub use relation::{
    Access, Certificate, Contraction, Index, Interval, Linear, Lookup, Monomial, NamedRelation, Relation, Tensor,
    TensorId, TensorKind,
};
pub use security::SecurityReport;
pub use statement::{CompileError, Statement};
pub use table::{Table, TableId, TableRows};

/// The base field: integers modulo `2^31 - 1`.
pub type Value = p3_mersenne_31::Mersenne31;
/// The field of challenges: degree 4 over [`Value`], about 124 bits.
pub type Challenge = p3_mersenne_31::QM31;
/// The modulus of [`Value`].
pub const MODULUS: i64 = (1 << 31) - 1;
