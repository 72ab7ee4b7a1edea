//! The tree of the lookup argument's fractions: every layer is kept until its sumcheck has begun.

use obelysk_prover::DeviceError;
use obelysk_prover::backend::{Fractions, Layer};
use obelysk_statement::lookup::{Block, Source, column_powers, table_key};
use obelysk_statement::plan::Plan;
use obelysk_statement::relation::{Access, Linear};
use obelysk_statement::words::word;
use obelysk_statement::{Challenge, Relation, Value};
use p3_field::PrimeCharacteristicRing;

use super::tensors::Tensors;
use crate::device::Buffer;
use crate::eq::EqFactors;
use crate::fractions::{Fraction, Integers};
use crate::kernels::Kernels;

/// The tree over the leaves of a statement.
pub(super) struct Tree<'a> {
    kernels: &'a Kernels,
    /// The layers of `1, 2, 4, ..` nodes; none once their sumcheck has begun.
    layers: Vec<Option<Buffer<Fraction>>>,
    root: Challenge,
}

/// The sumcheck of one layer in progress.
struct LayerRounds<'a> {
    kernels: &'a Kernels,
    /// First children, then as many second ones.
    children: Buffer<Fraction>,
    /// Nodes that are left.
    left: usize,
    /// Of the coordinates after the current one.
    eq: EqFactors,
    lambda: Challenge,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        kernels: &'a Kernels,
        plan: &Plan,
        values: &Tensors,
        keys: [Challenge; 2],
    ) -> Result<Self, DeviceError> {
        let mut layers = vec![leaves(kernels, plan, values, keys)?];
        while layers[layers.len() - 1].len() > 1 {
            layers.push(kernels.add_fractions(&layers[layers.len() - 1])?);
        }
        layers.reverse();
        let [_, root] = fraction(kernels, &layers[0], 0)?;
        Ok(Self { kernels, layers: layers.into_iter().map(Some).collect(), root })
    }
}

impl Fractions for Tree<'_> {
    fn root(&self) -> Challenge {
        self.root
    }

    fn layer<'a>(&'a mut self, lambda: Challenge, point: &[Challenge]) -> Result<Box<dyn Layer + 'a>, DeviceError> {
        let children = self.layers[point.len() + 1].take().expect("a layer is asked for once");
        let eq = self.kernels.eq_factors(point.get(1..).unwrap_or_default())?;
        Ok(Box::new(LayerRounds { kernels: self.kernels, left: children.len() / 2, children, eq, lambda }))
    }
}

impl Layer for LayerRounds<'_> {
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError> {
        self.kernels.layer_round(&self.children, self.left, &self.eq, self.lambda)
    }

    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        self.kernels.bind_children(&mut self.children, self.left, challenge)?;
        self.left /= 2;
        if self.left > 1 {
            let EqFactors { high, low } = &mut self.eq;
            self.kernels.halve_table(if high.len() > 1 { high } else { low })?;
        }
        Ok(())
    }

    fn children(&mut self) -> Result<[Challenge; 4], DeviceError> {
        let [n0, d0] = fraction(self.kernels, &self.children, 0)?;
        let [n1, d1] = fraction(self.kernels, &self.children, self.children.len() / 2)?;
        Ok([n0, d0, n1, d1])
    }
}

/// Numerator and denominator of a node.
fn fraction(kernels: &Kernels, nodes: &Buffer<Fraction>, place: usize) -> Result<[Challenge; 2], DeviceError> {
    let Fraction { numerator, denominator } = kernels.device.download_one(nodes, place)?;
    match (numerator.element(), denominator.element()) {
        (Some(numerator), Some(denominator)) => Ok([numerator, denominator]),
        _ => Err(kernels.device.wrong("words that are not of the field")),
    }
}

/// All leaves, by blocks; what is behind the last block is `0 / 1`.
fn leaves(
    kernels: &Kernels,
    plan: &Plan,
    values: &Tensors,
    keys: [Challenge; 2],
) -> Result<Buffer<Fraction>, DeviceError> {
    let mut nodes = kernels.device.allocate(1 << plan.log_leaves())?;
    let mut end = 0;
    for block in &plan.blocks {
        fill(kernels, plan, values, keys, block, &mut nodes)?;
        end = end.max(block.offset + (1 << block.log_size));
    }
    if end < nodes.len() {
        let rest = end..nodes.len();
        let leaf = Fraction { numerator: Challenge::ZERO.into(), denominator: Challenge::ONE.into() };
        kernels.fill_leaves(&mut nodes, &rest, leaf)?;
    }
    Ok(nodes)
}

/// Fill the leaves of a block: denominators are the table's key minus columns by their powers.
fn fill(
    kernels: &Kernels,
    plan: &Plan,
    values: &Tensors,
    keys: [Challenge; 2],
    block: &Block,
    nodes: &mut Buffer<Fraction>,
) -> Result<(), DeviceError> {
    let (statement, device) = (plan.statement, &kernels.device);
    let run = block.offset..block.offset + (1 << block.log_size);
    let leaf = |key: Challenge| Fraction { numerator: Challenge::ONE.into(), denominator: key.into() };
    match &block.source {
        Source::Table(position) => {
            let table = &statement.tables[*position];
            kernels.fill_leaves(nodes, &run, leaf(table_key(keys, *position)))?;
            for (column, power) in (0..table.rows.width()).zip(column_powers(keys[1])) {
                match table.rows.committed(column) {
                    Some(tensor) => {
                        let view = values.whole(device, tensor, block.log_size)?;
                        kernels.subtract_entries(nodes, &run, power, &view)?;
                    }
                    None => {
                        let (low, high) = table.rows.bounds(column);
                        let integers = Integers { from: table.rows.first(), low, high };
                        kernels.subtract_integers(nodes, &run, power, integers)?;
                    }
                }
            }
            let counts = values.whole(device, table.multiplicity, block.log_size)?;
            kernels.set_numerators(nodes, &run, word(-Value::ONE), &counts)
        }
        Source::Relation(position, tile) => {
            let named = &statement.relations[*position];
            let Relation::Lookup(lookup) = &named.relation else { unreachable!("blocks name lookups") };
            let view = |access: &Access| values.view_of_box(device, access, &named.axes, tile);
            let columns = || lookup.columns.iter().zip(column_powers(keys[1]));
            let constants: Challenge =
                columns().map(|(Linear { constant, .. }, power)| power * Value::from_i64(*constant)).sum();
            kernels.fill_leaves(nodes, &run, leaf(table_key(keys, usize::from(lookup.table.0)) - constants))?;
            for (Linear { terms, .. }, power) in columns() {
                for (coefficient, access) in terms {
                    kernels.subtract_entries(nodes, &run, power * Value::from_i64(*coefficient), &view(access)?)?;
                }
            }
            match &lookup.mask {
                Some(mask) => kernels.set_numerators(nodes, &run, 1, &view(mask)?),
                None => Ok(()),
            }
        }
    }
}
