//! The lookup argument's tree of fractions: its leaves, its layers and their rounds.

use std::ops::Range;

use cudarc::driver::DeviceRepr;
use obelysk_prover::DeviceError;
use obelysk_statement::Challenge;

use crate::device::Buffer;
use crate::eq::EqFactors;
use crate::extension::Extension;
use crate::kernels::Kernels;
use crate::view::View;

/// A numerator over a denominator: the twin of `Fraction` in `native/fraction.cuh`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Fraction {
    pub(crate) numerator: Extension,
    pub(crate) denominator: Extension,
}

// SAFETY: plain words without padding, laid out as the kernels' structure is.
#[allow(unsafe_code)]
unsafe impl DeviceRepr for Fraction {}

/// Integers a step apart, and the nearest ones between two ends.
#[derive(Clone, Copy)]
pub(crate) struct Integers {
    pub(crate) from: i64,
    pub(crate) step: i64,
    pub(crate) low: i64,
    pub(crate) high: i64,
}

impl Kernels {
    /// Let all nodes of a run be one fraction.
    pub(crate) fn fill_leaves(
        &self,
        nodes: &mut Buffer<Fraction>,
        run: &Range<usize>,
        leaf: Fraction,
    ) -> Result<(), DeviceError> {
        assert!(run.end <= nodes.len(), "the nodes are there");
        let (first, count) = (run.start as u64, run.len() as u64);
        let mut arguments = self.launch(&self.fill_leaves);
        arguments.arg(self.given_mut(nodes)).arg(&first).arg(&count).arg(&leaf);
        // SAFETY: `fill_leaves(Fraction*, uint64_t, uint64_t, Fraction)` writes the nodes of the run.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.fill_leaves, run.len(), &mut arguments)
        }
    }

    /// Let the numerators of a run be `factor` times the entries of a tensor.
    pub(crate) fn set_numerators(
        &self,
        nodes: &mut Buffer<Fraction>,
        run: &Range<usize>,
        factor: u32,
        view: &View,
    ) -> Result<(), DeviceError> {
        assert!(run.end <= nodes.len(), "the nodes are there");
        let (first, count) = (run.start as u64, run.len() as u64);
        let mut arguments = self.launch(&self.set_numerators);
        arguments.arg(self.given_mut(nodes)).arg(&first).arg(&count).arg(&factor).arg(view);
        // SAFETY: `set_numerators(Fraction*, uint64_t, uint64_t, uint32_t, View)` writes the nodes of the run.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.set_numerators, run.len(), &mut arguments)
        }
    }

    /// Subtract `factor` times the entries of a tensor from the denominators of a run.
    pub(crate) fn subtract_entries(
        &self,
        nodes: &mut Buffer<Fraction>,
        run: &Range<usize>,
        factor: Challenge,
        view: &View,
    ) -> Result<(), DeviceError> {
        assert!(run.end <= nodes.len(), "the nodes are there");
        let (first, count, factor) = (run.start as u64, run.len() as u64, Extension::from(factor));
        let mut arguments = self.launch(&self.subtract_entries);
        arguments.arg(self.given_mut(nodes)).arg(&first).arg(&count).arg(&factor).arg(view);
        // SAFETY: `subtract_entries(Fraction*, uint64_t, uint64_t, Extension, View)` touches the nodes of the run.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.subtract_entries, run.len(), &mut arguments)
        }
    }

    /// Subtract `factor` times integers from the denominators of a run.
    pub(crate) fn subtract_integers(
        &self,
        nodes: &mut Buffer<Fraction>,
        run: &Range<usize>,
        factor: Challenge,
        integers: Integers,
    ) -> Result<(), DeviceError> {
        assert!(run.end <= nodes.len(), "the nodes are there");
        let (first, count, factor) = (run.start as u64, run.len() as u64, Extension::from(factor));
        let Integers { from, step, low, high } = integers;
        let mut arguments = self.launch(&self.subtract_integers);
        arguments.arg(self.given_mut(nodes)).arg(&first).arg(&count).arg(&factor).arg(&from).arg(&step);
        arguments.arg(&low).arg(&high);
        // SAFETY: `subtract_integers(Fraction*, uint64_t, uint64_t, Extension, int64_t, int64_t, int64_t, int64_t)` touches the nodes of the
        // run.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.subtract_integers, run.len(), &mut arguments)
        }
    }

    /// The layer above.
    pub(crate) fn add_fractions(&self, children: &Buffer<Fraction>) -> Result<Buffer<Fraction>, DeviceError> {
        let half = children.len() / 2;
        let mut parents = self.device.allocate(half)?;
        let count = half as u64;
        let mut arguments = self.launch(&self.add_fractions);
        arguments.arg(self.given(children)).arg(&count).arg(self.given_mut(&mut parents));
        // SAFETY: `add_fractions(const Fraction*, uint64_t, Fraction*)` reads twice `count` nodes and writes as many as the buffer holds.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.add_fractions, half, &mut arguments)?;
        }
        Ok(parents)
    }

    /// A round of a layer of which `left` nodes are left; their second children are half of the buffer behind the first.
    pub(crate) fn layer_round(
        &self,
        children: &Buffer<Fraction>,
        left: usize,
        eq: &EqFactors,
        lambda: Challenge,
    ) -> Result<[Challenge; 2], DeviceError> {
        let (second, half) = (children.len() / 2, left / 2);
        assert!(0 < half && left <= second && eq.high.len() * eq.low.len() == half, "every node has its weight");
        let kernel = &self.layer_round;
        let sums = self.round(kernel, half, 2, |sums| {
            let (second, count, low_count) = (second as u64, half as u64, eq.low.len() as u64);
            let lambda = Extension::from(lambda);
            let mut arguments = self.launch(kernel);
            arguments.arg(self.given(children)).arg(&second).arg(&count);
            arguments.arg(self.given(&eq.high)).arg(self.given(&eq.low)).arg(&low_count).arg(&lambda);
            arguments.arg(self.given_mut(sums));
            // SAFETY: `layer_round(const Fraction*, uint64_t, uint64_t, const Extension*, const Extension*, uint64_t, Extension, Extension*)`
            // reads `left` first and second children, all weights, and writes two sums for each block.
            #[allow(unsafe_code)]
            unsafe {
                self.queue(kernel, half, &mut arguments)
            }
        })?;
        Ok([sums[0], sums[1]])
    }

    /// Bind a variable of a layer of which `left` nodes are left.
    pub(crate) fn bind_children(
        &self,
        children: &mut Buffer<Fraction>,
        left: usize,
        challenge: Challenge,
    ) -> Result<(), DeviceError> {
        let (second, half) = (children.len() / 2, left / 2);
        assert!(0 < half && left <= second, "each node has another one that differs in the variable");
        let (second, count, challenge) = (second as u64, half as u64, Extension::from(challenge));
        let mut arguments = self.launch(&self.bind_children);
        arguments.arg(self.given_mut(children)).arg(&second).arg(&count).arg(&challenge);
        // SAFETY: `bind_children(Fraction*, uint64_t, uint64_t, Extension)` touches `left` first and second children.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.bind_children, left, &mut arguments)
        }
    }
}
