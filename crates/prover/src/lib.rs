//! Proves a statement from its witness.
