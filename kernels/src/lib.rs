//! What an NVIDIA GPU does for a proof: finding it, and CUDA kernels with one typed launch each. Nothing is linked: driver and compiler
//! are looked for when they are asked for.

mod bind;
mod code;
mod device;
mod driver;
mod extension;
mod tree;

pub use device::{Buffer, Device, Kernels};
#[doc(hidden)]
pub use driver::discover_fake;
pub use driver::{CudaVersion, Driver, DriverError, Gpu, discover};
pub use extension::Extension;
pub use tree::Tree;
