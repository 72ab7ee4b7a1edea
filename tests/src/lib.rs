//! Tests that cross a wall between crates.
