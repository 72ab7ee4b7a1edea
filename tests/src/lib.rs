//! What tests across walls share: a real inference to prove, and attacks on it.

pub mod attacks;
pub mod cheats;
pub mod derived;
pub mod forger;
pub mod generated;
pub mod sketch;
pub mod small;
pub mod subject;
