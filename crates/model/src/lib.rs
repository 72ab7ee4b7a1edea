//! Models: their files, a float engine as the reference of quality, the quantiser, and the integer engine that is the
//! specification of what is proven.

pub mod bundle;
pub mod calibration;
pub mod checkpoint;
pub mod config;
pub mod decoder;
pub mod error;
pub mod float;
pub mod generation;
pub mod integer;
mod json_file;
pub mod presets;
pub mod quality;
pub mod quantize;
pub mod regular;
pub mod template;
pub mod tokenizer;
pub mod validate;

pub use error::ModelError;
