//! Decisions about where and when to try: pure functions of what was observed.

pub mod catalogue;
pub mod devices;
pub mod dialects;
pub mod inventory;
pub mod matching;
pub mod place;
pub mod placement;
pub mod quarantine;
pub mod retry;
pub mod turns;
