//! What tests across walls share: a real inference to prove, attacks on it, and files that nobody honest made.

pub mod attacks;
pub mod cheats;
pub mod derived;
pub mod generated;
pub mod hostile;
pub mod liar;
pub mod messages;
pub mod mlp;
pub mod published;
pub mod random;
pub mod sketch;
pub mod small;
pub mod subject;
pub mod tape;
