//! A real Kubernetes with the operator installed by its charts. `cargo xtask test` brings the cluster up and runs these one
//! after the other.

mod caches;
mod charts;
mod faults;
mod hub;
mod kubectl;
mod life;
mod placement;
mod refusals;
