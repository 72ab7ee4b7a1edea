//! The pipeline from a model's name to a checked proof, and the command line around it.

pub mod arguments;
pub mod artifacts;
pub mod atomic;
pub mod commands;
pub mod console;
pub mod device;
pub mod failure;
pub mod home;
pub mod job;
pub mod known_files;
pub mod memory;
pub mod paths;
pub mod pipeline;
