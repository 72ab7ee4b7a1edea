//! Every kernel against the processor, through the launches that a GPU gets: driver and compiler are the fakes in `fake-driver`.

mod bind;
mod devices;
mod kept;
mod libraries;
mod linear;
mod planted;
mod proofs;
mod random;
mod self_test;
mod tree;
mod weighted;
