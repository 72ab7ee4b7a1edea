//! The opening of a commitment (Arnon, Chiesa, Fenzi, Yogev, WHIR, ePrint 2024/1586) over the circle code in unique
//! decoding, in the message order of specification 2: what both sides derive from the statement.

mod plan;
mod query;
mod soundness;
mod stack;

pub use plan::{Code, OpeningPlan};
pub use query::{encoded, evaluated, row_coordinates, row_weight};
pub use soundness::{Term, opening_error, terms};
pub use stack::{ClaimGroup, Misfit, Stack, StackedTile, grouped, powers};
