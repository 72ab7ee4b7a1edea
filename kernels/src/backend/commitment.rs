//! Commitments to columns, encoded a block of a row's hash at a time. No code word is stored: rows are encoded again when they are opened.

use obelysk_prover::DeviceError;
use obelysk_prover::backend::OpenedRows;
use obelysk_statement::blake2s::BLOCK;
use obelysk_statement::plan::Committed;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{Stack, StackedTile};
use obelysk_statement::words::value;
use obelysk_statement::{Statement, TensorId};

use super::tensors::tile_parts;
use crate::device::{Buffer, Device};
use crate::extension::Extension;
use crate::kernels::Kernels;
use crate::transform::{Columns, TilePart};
use crate::tree::Tree;
use crate::view::{Entries, Part, View, cut};

/// Columns over the base field.
pub(super) trait Source {
    /// Number of columns.
    fn count(&self) -> usize;
    /// Binary logarithm of their length.
    fn variables(&self) -> usize;
    /// Read neighbouring columns, of which `first` is the first, into the beginnings of columns of zeros.
    fn read(&self, kernels: &Kernels, first: usize, columns: &mut Columns) -> Result<(), DeviceError>;
}

/// The columns of a stack of tiles.
pub(super) struct StackColumns<'a> {
    stack: &'a Stack,
    tiles: Vec<StackTile<'a>>,
}

/// A tile of a stack, along the bits of its own index: those of a column, then those of an entry of the column.
struct StackTile<'a> {
    stacked: StackedTile,
    entries: &'a Entries,
    start: usize,
    parts: Vec<Part>,
}

/// The columns of a polynomial over the challenges' field: four for each of its own.
pub(super) struct ChallengeColumns<'a> {
    pub(super) values: &'a Buffer<Extension>,
    pub(super) fold: usize,
}

impl<'a> StackColumns<'a> {
    pub(super) fn new(
        statement: &Statement,
        committed: &'a Committed,
        entries: impl Fn(TensorId) -> &'a Entries,
    ) -> Self {
        let tile = |(tile, &stacked): (&obelysk_statement::layout::Tile, &StackedTile)| {
            let (start, parts) = tile_parts(&statement.shape(tile.tensor), tile);
            StackTile { stacked, entries: entries(tile.tensor), start, parts }
        };
        let tiles = committed.layout.tiles.iter().zip(&committed.opening.stack.tiles).map(tile).collect();
        Self { stack: &committed.opening.stack, tiles }
    }

    /// A tile along the bits of its index, columns first.
    pub(super) fn by_column(&self, device: &Device, tile: usize) -> Result<View<'a>, DeviceError> {
        let StackTile { entries, start, parts, .. } = &self.tiles[tile];
        View::new(device, entries, *start, parts)
    }

    /// The same with the entry's place in its column first, then the column.
    pub(super) fn by_entry(&self, device: &Device, tile: usize) -> Result<View<'a>, DeviceError> {
        let StackTile { entries, start, parts, stacked } = &self.tiles[tile];
        let [of_column, of_entry] = cut(parts, stacked.column_arity);
        View::new(device, entries, *start, &[of_entry, of_column].concat())
    }
}

impl Source for StackColumns<'_> {
    fn count(&self) -> usize {
        1 << self.stack.fold
    }

    fn variables(&self) -> usize {
        self.stack.column_variables()
    }

    fn read(&self, kernels: &Kernels, first: usize, columns: &mut Columns) -> Result<(), DeviceError> {
        for (tile, StackTile { stacked, .. }) in self.tiles.iter().enumerate() {
            let end = stacked.columns(self.stack.fold).min(first + columns.width());
            if first < end {
                let view = self.by_column(&kernels.device, tile)?;
                let part = TilePart { arity: stacked.column_arity, offset: stacked.offset };
                kernels.read_columns(&view, &part, first, end - first, columns)?;
            }
        }
        Ok(())
    }
}

impl Source for ChallengeColumns<'_> {
    fn count(&self) -> usize {
        4 << self.fold
    }

    fn variables(&self) -> usize {
        self.values.len().ilog2() as usize - self.fold
    }

    fn read(&self, kernels: &Kernels, first: usize, columns: &mut Columns) -> Result<(), DeviceError> {
        let arity = self.variables();
        for place in 0..columns.width() {
            let column = first + place;
            let start = 4 * ((column / 4) << arity) + column % 4;
            let parts = [Part::whole(arity, 4)];
            let view = View::of_coordinates(&kernels.device, self.values, start, &parts)?;
            let part = TilePart { arity, offset: place << columns.log_rows };
            kernels.read_columns(&view, &part, 0, 1, columns)?;
        }
        Ok(())
    }
}

/// Encode all columns, a block of a row's hash at a time: `each` gets the place of the first column of a block, and the block.
fn encode(
    kernels: &Kernels,
    source: &impl Source,
    log_inverse_rate: usize,
    mut each: impl FnMut(usize, &Columns) -> Result<(), DeviceError>,
) -> Result<(), DeviceError> {
    let log_rows = source.variables() + log_inverse_rate;
    let transform = kernels.transform(log_rows)?;
    for first in (0..source.count()).step_by(BLOCK) {
        let width = BLOCK.min(source.count() - first);
        let mut columns = Columns::new(kernels.device.zeros(width << log_rows)?, log_rows);
        source.read(kernels, first, &mut columns)?;
        kernels.encode(&transform, &mut columns, source.variables())?;
        each(first, &columns)?;
    }
    Ok(())
}

/// Commit to columns.
pub(super) fn commit(
    kernels: &Kernels,
    source: &impl Source,
    log_inverse_rate: usize,
) -> Result<(Digest, Tree), DeviceError> {
    let mut leaves = kernels.leaves(source.variables() + log_inverse_rate, source.count())?;
    encode(kernels, source, log_inverse_rate, |_, columns| kernels.absorb(&mut leaves, columns))?;
    let tree = kernels.tree(leaves)?;
    Ok((kernels.root(&tree)?, tree))
}

/// Rows of a code word at sorted, distinct positions, with what leads from them to the root.
pub(super) fn open(
    kernels: &Kernels,
    source: &impl Source,
    log_inverse_rate: usize,
    tree: &Tree,
    positions: &[usize],
) -> Result<OpenedRows, DeviceError> {
    let log_rows = source.variables() + log_inverse_rate;
    assert!(positions.iter().all(|position| position >> log_rows == 0), "positions are those of rows");
    let device = &kernels.device;
    let places = device.upload(&positions.iter().map(|&position| position as u64).collect::<Vec<u64>>())?;
    let mut rows = device.allocate(positions.len() * source.count())?;
    encode(kernels, source, log_inverse_rate, |first, columns| {
        kernels.pick_rows(columns, &places, &mut rows, source.count(), first)
    })?;
    let entries = device.download(&rows)?.into_iter().map(value).collect::<Option<_>>();
    let entries = entries.ok_or_else(|| device.wrong("words that are not of the field"))?;
    Ok(OpenedRows { entries, siblings: kernels.siblings(tree, positions)? })
}
