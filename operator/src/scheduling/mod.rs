//! Decisions about where and when to try: pure functions of what was observed.

pub mod gpu;
pub mod retry;
