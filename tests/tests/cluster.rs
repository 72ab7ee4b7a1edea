//! Tests on a real cluster that `cargo xtask test` brought up.
