//! The tree of the lookup argument's fractions: every layer is kept until its sumcheck has begun.

use std::ops::Range;

use obelysk_prover::DeviceError;
use obelysk_prover::backend::{Fractions, Layer};
use obelysk_statement::lookup::{Block, Source, column_powers, table_key};
use obelysk_statement::plan::Plan;
use obelysk_statement::relation::{Access, Linear};
use obelysk_statement::words::word;
use obelysk_statement::{Challenge, Relation, Value};
use p3_field::PrimeCharacteristicRing;

use super::devices::{Devices, Share, each, total};
use super::tensors::{Located, Tensors};
use crate::device::Buffer;
use crate::eq::EqFactors;
use crate::fractions::{Fraction, Integers};
use crate::kernels::Kernels;
use crate::transform::{Columns, TilePart};
use crate::view::View;

/// The tree over the leaves of a statement.
pub(super) struct Tree<'a> {
    /// The trees over the shares of the leaves.
    shares: Vec<ShareTree<'a>>,
    /// The layers of `1, 2, 4, ..` nodes up to the roots of the shares, on the first device.
    above: Vec<Option<Buffer<Fraction>>>,
    root: Challenge,
}

/// The layers of `1, 2, 4, ..` nodes of a share; none once their sumcheck has begun.
struct ShareTree<'a> {
    kernels: &'a Kernels,
    share: Share,
    layers: Vec<Option<Buffer<Fraction>>>,
}

/// The sumcheck of one layer in progress.
struct LayerRounds<'a> {
    first: &'a Kernels,
    lambda: Challenge,
    shares: Vec<ShareRounds<'a>>,
    /// The last coordinates, those of the shares' numbers.
    last: Vec<Challenge>,
}

/// What a device has of it.
struct ShareRounds<'a> {
    kernels: &'a Kernels,
    /// What its sums count: `eq` of the last coordinates.
    weight: Challenge,
    /// First children, then as many second ones.
    children: Buffer<Fraction>,
    /// Nodes that are left.
    left: usize,
    /// Of the coordinates after the current one.
    eq: EqFactors,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        devices: &'a Devices,
        plan: &Plan,
        values: &Tensors,
        keys: [Challenge; 2],
    ) -> Result<Self, DeviceError> {
        let shares = devices.shares(plan.log_leaves()).into_iter().enumerate();
        let shares = each(shares, |(at, (kernels, share)): (usize, (&'a Kernels, Share))| {
            let leaves = Leaves { devices, at, share, plan, values, keys }.fill()?;
            Ok(ShareTree { kernels, share, layers: layers(kernels, leaves)? })
        })?;
        let roots = each(&shares, |own: &ShareTree| {
            own.kernels.device.download_one(own.layers[0].as_ref().expect("no sumcheck has begun"), 0)
        })?;
        let first = devices.first();
        let above = layers(first, first.device.upload(&roots)?)?;
        let [_, root] = fraction(first, above[0].as_ref().expect("no sumcheck has begun"), 0)?;
        Ok(Self { shares, above, root })
    }
}

/// A layer with those above it, from the root on.
fn layers(kernels: &Kernels, leaves: Buffer<Fraction>) -> Result<Vec<Option<Buffer<Fraction>>>, DeviceError> {
    let mut layers = vec![leaves];
    while layers[layers.len() - 1].len() > 1 {
        layers.push(kernels.add_fractions(&layers[layers.len() - 1])?);
    }
    Ok(layers.into_iter().rev().map(Some).collect())
}

impl Fractions for Tree<'_> {
    fn root(&self) -> Challenge {
        self.root
    }

    fn layer<'a>(&'a mut self, lambda: Challenge, point: &[Challenge]) -> Result<Box<dyn Layer + 'a>, DeviceError> {
        let (first, bits) = (self.shares[0].kernels, self.shares[0].share.bits);
        let taken = "a layer is asked for once";
        let later = |point: &[Challenge]| point.get(1..).unwrap_or_default().to_vec();
        let Some(own) = point.len().checked_sub(bits) else {
            let children = self.above[point.len() + 1].take().expect(taken);
            let whole = ShareRounds::new(first, Challenge::ONE, children, &later(point))?;
            return Ok(Box::new(LayerRounds { first, lambda, shares: vec![whole], last: Vec::new() }));
        };
        let (own, last) = point.split_at(own);
        let later = later(own);
        let shares = self.shares.iter_mut().map(|tree| {
            let children = tree.layers[own.len() + 1].take().expect(taken);
            ShareRounds::new(tree.kernels, tree.share.weight(last), children, &later)
        });
        let mut rounds = LayerRounds { first, lambda, shares: shares.collect::<Result<_, _>>()?, last: last.to_vec() };
        rounds.gather_if_bound()?;
        Ok(Box::new(rounds))
    }
}

impl<'a> ShareRounds<'a> {
    fn new(
        kernels: &'a Kernels,
        weight: Challenge,
        children: Buffer<Fraction>,
        later: &[Challenge],
    ) -> Result<Self, DeviceError> {
        let eq = kernels.eq_factors(later)?;
        Ok(Self { kernels, weight, left: children.len() / 2, children, eq })
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

    /// The children of its first node.
    fn pair(&self) -> Result<[Fraction; 2], DeviceError> {
        let device = &self.kernels.device;
        let second = self.children.len() / 2;
        Ok([device.download_one(&self.children, 0)?, device.download_one(&self.children, second)?])
    }
}

impl LayerRounds<'_> {
    /// Bring the shares to the first device once each is one node: the coordinates that are left are those of their numbers.
    fn gather_if_bound(&mut self) -> Result<(), DeviceError> {
        if self.shares.len() == 1 || self.shares[0].left > 1 {
            return Ok(());
        }
        let pairs = each(&self.shares, ShareRounds::pair)?;
        let children = [0, 1].map(|side| pairs.iter().map(move |pair| pair[side]));
        let children: Vec<Fraction> = children.into_iter().flatten().collect();
        let children = self.first.device.upload(&children)?;
        self.shares = vec![ShareRounds::new(self.first, Challenge::ONE, children, &self.last[1..])?];
        Ok(())
    }
}

impl Layer for LayerRounds<'_> {
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError> {
        let lambda = self.lambda;
        let sums = each(&self.shares, |own: &ShareRounds| {
            let sums = own.kernels.layer_round(&own.children, own.left, &own.eq, lambda)?;
            Ok(sums.map(|sum| sum * own.weight))
        })?;
        Ok(total(sums))
    }

    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        each(&mut self.shares, |own: &mut ShareRounds| own.fold(challenge))?;
        self.gather_if_bound()
    }

    fn children(&mut self) -> Result<[Challenge; 4], DeviceError> {
        let ShareRounds { kernels, children, .. } = &self.shares[0];
        let [n0, d0] = fraction(kernels, children, 0)?;
        let [n1, d1] = fraction(kernels, children, children.len() / 2)?;
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

/// The leaves of a share.
struct Leaves<'a, 'b> {
    devices: &'a Devices,
    /// Who has it.
    at: usize,
    share: Share,
    plan: &'a Plan<'b>,
    values: &'a Tensors<'b>,
    keys: [Challenge; 2],
}

/// Leaves of a block that are in a share: all whose last bits are its own.
struct Run {
    places: Range<usize>,
    share: Share,
}

impl Share {
    /// Of a block, which begins at a multiple of its size; none if it is smaller than the number of shares and has no leaf here.
    fn run(self, block: &Block) -> Option<Run> {
        let bits = self.bits.min(block.log_size);
        // Of a block that is smaller than the number of shares, the whole index is given.
        let value = self.value.checked_sub(block.offset & ((1 << self.bits) - 1)).filter(|value| value >> bits == 0)?;
        let first = block.offset >> self.bits;
        Some(Run { places: first..first + (1 << (block.log_size - bits)), share: Self { bits, value } })
    }
}

impl Leaves<'_, '_> {
    fn kernels(&self) -> &Kernels {
        &self.devices.all()[self.at]
    }

    /// By blocks; what is behind the last block is `0 / 1`.
    fn fill(&self) -> Result<Buffer<Fraction>, DeviceError> {
        let (plan, kernels) = (self.plan, self.kernels());
        let mut nodes = kernels.device.allocate(1 << (plan.log_leaves() - self.share.bits))?;
        let mut end = 0;
        for block in &plan.blocks {
            if let Some(run) = self.share.run(block) {
                self.fill_block(block, &run, &mut nodes)?;
            }
            end = end.max(block.offset + (1 << block.log_size));
        }
        let rest = self.share.below(end)..nodes.len();
        if !rest.is_empty() {
            let leaf = Fraction { numerator: Challenge::ZERO.into(), denominator: Challenge::ONE.into() };
            kernels.fill_leaves(&mut nodes, &rest, leaf)?;
        }
        Ok(nodes)
    }

    /// Denominators are the table's key minus columns by their powers.
    fn fill_block(&self, block: &Block, run: &Run, nodes: &mut Buffer<Fraction>) -> Result<(), DeviceError> {
        let Self { devices, at, plan, values, keys, .. } = *self;
        let (statement, kernels, Run { places, share }) = (plan.statement, self.kernels(), run);
        let place = (at, *share);
        let leaf = |key: Challenge| Fraction { numerator: Challenge::ONE.into(), denominator: key.into() };
        match &block.source {
            Source::Table(position) => {
                let table = &statement.tables[*position];
                kernels.fill_leaves(nodes, places, leaf(table_key(keys, *position)))?;
                for (column, power) in (0..table.rows.width()).zip(column_powers(keys[1])) {
                    match table.rows.committed(column) {
                        Some(tensor) => {
                            let entries = values.whole(devices, place, tensor, block.log_size)?;
                            self.with(entries, places, |view| kernels.subtract_entries(nodes, places, power, view))?;
                        }
                        None => {
                            let (low, high) = table.rows.bounds(column);
                            let from = table.rows.first() + share.value as i64;
                            let integers = Integers { from, step: 1 << share.bits, low, high };
                            kernels.subtract_integers(nodes, places, power, integers)?;
                        }
                    }
                }
                let counts = values.whole(devices, place, table.multiplicity, block.log_size)?;
                self.with(counts, places, |view| kernels.set_numerators(nodes, places, word(-Value::ONE), view))
            }
            Source::Relation(position, tile) => {
                let named = &statement.relations[*position];
                let Relation::Lookup(lookup) = &named.relation else { unreachable!("blocks name lookups") };
                let view = |access: &Access| values.view_of_box(devices, place, access, &named.axes, tile);
                let columns = || lookup.columns.iter().zip(column_powers(keys[1]));
                let constants: Challenge =
                    columns().map(|(Linear { constant, .. }, power)| power * Value::from_i64(*constant)).sum();
                kernels.fill_leaves(nodes, places, leaf(table_key(keys, usize::from(lookup.table.0)) - constants))?;
                for (Linear { terms, .. }, power) in columns() {
                    for (coefficient, access) in terms {
                        let factor = power * Value::from_i64(*coefficient);
                        self.with(view(access)?, places, |view| kernels.subtract_entries(nodes, places, factor, view))?;
                    }
                }
                match &lookup.mask {
                    Some(mask) => self.with(view(mask)?, places, |view| kernels.set_numerators(nodes, places, 1, view)),
                    None => Ok(()),
                }
            }
        }
    }

    /// Read entries where they are, or as words that are brought here.
    fn with(
        &self,
        entries: Located,
        places: &Range<usize>,
        read: impl FnOnce(&View) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        if entries.device == self.at {
            return read(&entries.view);
        }
        let (owner, device) = (&self.devices.all()[entries.device], &self.kernels().device);
        let bits = places.len().ilog2() as usize;
        let mut words = Columns::new(owner.device.allocate(1 << bits)?, bits);
        owner.read_columns(&entries.view, &TilePart { arity: bits, offset: 0 }, 0, 1, &mut words)?;
        let words = device.bring(&words.words)?;
        read(&View::of_words(device, &words, bits)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_a_block_is_in_one_share() {
        let blocks = [(0, 5), (32, 2), (36, 1), (38, 0), (39, 0), (40, 0)];
        for bits in 0..=3 {
            let mut leaves = vec![None; 64];
            for value in 0..1 << bits {
                for (number, (offset, log_size)) in blocks.into_iter().enumerate() {
                    let block = Block { source: Source::Table(0), offset, log_size };
                    let Some(Run { places, share }) = (Share { bits, value }).run(&block) else { continue };
                    for (item, place) in places.enumerate() {
                        let leaf = place << bits | value;
                        assert_eq!(leaves[leaf].replace((number, item << share.bits | share.value)), None, "{leaf}");
                    }
                }
            }
            for (number, (offset, log_size)) in blocks.into_iter().enumerate() {
                for item in 0..1 << log_size {
                    assert_eq!(leaves[offset + item], Some((number, item)), "{bits} bits");
                }
            }
        }
    }
}
