//! What a contract needs to check a proof: the statement compiled to a plan, and the proof as calldata. Nothing here decides
//! whether a proof holds; the contract does.

pub mod calldata;
pub mod felt;
pub mod plan;
