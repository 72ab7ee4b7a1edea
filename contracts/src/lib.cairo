//! A verifier of Obelysk's specification 2.
mod circle;
mod contract;
mod equality;
mod field;
mod lookup;
mod plan;
mod powers;
mod program;
mod rows;
mod sumcheck;
mod transcript;
mod tree;
mod vectors;
mod verifier;
mod whir;
mod words;
