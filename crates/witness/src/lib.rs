//! Values of a statement's tensors: how relations read them, which multiplicities follow from them, and whether they satisfy the
//! statement as plain integers. What only a prover has; a verifier never links this crate.

pub mod check;
pub mod multiplicities;

mod entries;
mod reader;
mod stored;

use std::collections::BTreeMap;

use obelysk_statement::layout::Role;
use obelysk_statement::{Statement, TensorId, TensorKind};

pub use check::{Unsatisfied, check, check_relation};
pub use entries::{Entries, EntriesRef, Loaded, Weights, unreadable};
pub use multiplicities::{Miss, fill_multiplicities};
pub use stored::{Stored, Unreadable, WeightsFile};

/// Entries of witness tensors by name, in storage order, as signed integers.
pub type Assignment = BTreeMap<String, Vec<i32>>;

/// What values lack or get wrong for the tensors of a role: `length_of` knows how many a name has.
#[must_use]
pub fn misfit(statement: &Statement, role: Role, length_of: impl Fn(&str) -> Option<usize>) -> Option<String> {
    let kind = match role {
        Role::Weight => TensorKind::Weight,
        Role::Witness => TensorKind::Witness,
    };
    statement.tensors.iter().enumerate().filter(|(_, tensor)| tensor.kind == kind).find_map(|(position, tensor)| {
        let expected = statement.len_of(TensorId(u32::try_from(position).expect("few tensors")));
        match length_of(&tensor.name) {
            None => Some(format!("tensor `{}` has no values", tensor.name)),
            Some(length) if length != expected => {
                Some(format!("tensor `{}` has {length} values, not {expected}", tensor.name))
            }
            Some(_) => None,
        }
    })
}
