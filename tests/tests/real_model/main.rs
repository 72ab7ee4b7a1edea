//! A real model, from its folder to a proof that a stranger accepts. `cargo xtask test --only real-model` brings the model.

mod answers;
mod model;
mod proof;
mod quality;
