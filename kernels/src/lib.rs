//! What an NVIDIA GPU does for a proof: finding it, and CUDA kernels with one typed launch each. Nothing is linked: driver and compiler
//! are looked for when they are asked for.

mod backend;
mod bind;
mod code;
mod device;
mod driver;
mod eq;
mod extension;
mod fractions;
mod kernels;
mod library;
mod linear;
mod management;
mod opening;
mod program;
mod self_test;
mod sum;
mod transform;
mod tree;
mod view;
mod weighted;

pub use backend::{Cuda, ResidentModel, ResidentWeights, Tensors, needed};
#[doc(hidden)]
pub use code::{Compiled, Form, compile_all};
pub use device::{Buffer, Device};
#[doc(hidden)]
pub use driver::discover_fake;
pub use driver::{CudaVersion, Driver, DriverError, Gpu, discover};
pub use extension::Extension;
pub use kernels::Kernels;
pub use sum::Places;
pub use transform::Columns;
pub use tree::{Leaves, Tree};
pub use view::{Entries, Part, View};
