//! What tests across walls share: a real inference to prove, and attacks on it.

pub mod attacks;
pub mod derived;
pub mod generated;
pub mod sketch;
pub mod subject;
