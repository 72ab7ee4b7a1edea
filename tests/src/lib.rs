//! What tests across walls share: a real inference to prove, attacks on it, and files that nobody honest made.

pub mod attacks;
pub mod derived;
pub mod generated;
pub mod hostile;
pub mod published;
pub mod subject;
