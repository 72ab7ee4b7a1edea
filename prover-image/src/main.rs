//! The pipeline: setup, model, validate, inference, capture, prove, verify, audit, submit.
fn main() {}
