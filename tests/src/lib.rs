//! What tests across walls share: a real inference to prove, and attacks on it.

pub mod attacks;
pub mod cheats;
pub mod derived;
pub mod generated;
pub mod liar;
pub mod messages;
pub mod sketch;
pub mod small;
pub mod subject;
