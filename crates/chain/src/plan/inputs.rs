//! What lies on the tape before a program runs: constants, then what the transcript drew and the sumchecks ended with, in order.

use std::collections::BTreeMap;

use obelysk_statement::AxisId;
use obelysk_statement::batch::{challenged_axes, variables};
use obelysk_statement::plan::Plan;

use super::program::{CONSTANTS, Place};

/// Where the tape holds what a proof has shown before its claimed values.
#[derive(Debug)]
pub struct Inputs {
    /// The keys of the lookup argument, `alpha` and `beta`, if there is one.
    pub keys: [Place; 2],
    /// The point of the leaves.
    pub leaves: Place,
    /// Numerator and denominator there.
    pub fraction: [Place; 2],
    /// The point of each axis.
    pub axes: BTreeMap<AxisId, Place>,
    /// Challenges of all these.
    pub axis_challenges: u32,
    /// What weighs the relations of a batch.
    pub lambda: Place,
    /// Sum, point and value of each product sumcheck.
    pub products: Vec<[Place; 3]>,
    /// Point and value of each zerocheck.
    pub zerochecks: Vec<[Place; 2]>,
    /// Places up to here.
    pub length: u32,
}

/// Hands out places in order.
struct Next(u32);

impl Next {
    fn take(&mut self, count: usize) -> Place {
        let first = Place(self.0);
        self.0 += count as u32;
        first
    }
}

impl Inputs {
    /// The inputs of the proofs of a statement.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let statement = plan.statement;
        let mut next = Next(CONSTANTS);
        let mut keys = [Place(0); 2];
        let mut leaves = Place(0);
        let mut fraction = keys;
        if !plan.blocks.is_empty() {
            keys = [next.take(1), next.take(1)];
            leaves = next.take(plan.log_leaves());
            fraction = [next.take(1), next.take(1)];
        }
        let before = next.0;
        let axes = challenged_axes(statement).into_iter();
        let axes = axes.map(|axis| (axis, next.take(statement.axis(axis).bits()))).collect();
        let axis_challenges = next.0 - before;
        let lambda = next.take(1);
        let products = plan.products.iter();
        let products =
            products.map(|batch| [1, variables(statement, &batch.axes()), 1].map(|count| next.take(count))).collect();
        let zerochecks = plan.zerochecks.iter();
        let zerochecks =
            zerochecks.map(|batch| [variables(statement, &batch.axes), 1].map(|count| next.take(count))).collect();
        Self { keys, leaves, fraction, axes, axis_challenges, lambda, products, zerochecks, length: next.0 }
    }
}
