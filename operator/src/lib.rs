//! The operator: turns ProofJobs and ModelCaches into running provers and records what becomes of them.

pub mod app;
pub mod controllers;
pub mod kube;
pub mod metrics;
pub mod quantity;
pub mod reconcile;
pub mod scheduling;
pub mod settings;
