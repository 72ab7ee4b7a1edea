//! Commitments to columns, encoded a block of a row's hash at a time. No code word is stored: rows are encoded again when they are opened.

use obelysk_prover::DeviceError;
use obelysk_prover::backend::OpenedRows;
use obelysk_statement::blake2s::BLOCK;
use obelysk_statement::plan::Committed;
use obelysk_statement::tree::{Digest, Place, siblings};
use obelysk_statement::whir::{Code, Stack, StackedTile};
use obelysk_statement::words::value;
use obelysk_statement::{Statement, TensorId};

use super::devices::{Devices, each};
use super::tensors::{Held, Located, tile_parts};
use crate::device::Buffer;
use crate::extension::Extension;
use crate::transform::{Columns, TilePart};
use crate::tree::Tree;
use crate::view::{Part, View, cut};

/// Columns over the base field.
pub(super) trait Source {
    /// Number of columns.
    fn count(&self) -> usize;
    /// Binary logarithm of their length.
    fn variables(&self) -> usize;
    /// Whether every device can read them.
    fn is_shared(&self) -> bool;
    /// Read neighbouring columns, of which `first` is the first, into the beginnings of columns of zeros on a device.
    fn read(&self, devices: &Devices, at: usize, first: usize, columns: &mut Columns) -> Result<(), DeviceError>;
}

/// The columns of a stack of tiles.
pub(super) struct StackColumns<'a> {
    stack: &'a Stack,
    tiles: Vec<StackTile<'a>>,
}

/// A tile of a stack, along the bits of its own index: those of a column, then those of an entry of the column.
struct StackTile<'a> {
    stacked: StackedTile,
    entries: Held<'a>,
    start: usize,
    parts: Vec<Part>,
}

/// The columns of a polynomial over the challenges' field: four for each of its own.
pub(super) struct ChallengeColumns<'a> {
    pub(super) values: &'a Buffer<Extension>,
    pub(super) fold: usize,
}

impl<'a> StackColumns<'a> {
    pub(super) fn new(statement: &Statement, committed: &'a Committed, entries: impl Fn(TensorId) -> Held<'a>) -> Self {
        let tile = |(tile, &stacked): (&obelysk_statement::layout::Tile, &StackedTile)| {
            let (start, parts) = tile_parts(&statement.shape(tile.tensor), tile);
            StackTile { stacked, entries: entries(tile.tensor), start, parts }
        };
        let tiles = committed.layout.tiles.iter().zip(&committed.opening.stack.tiles).map(tile).collect();
        Self { stack: &committed.opening.stack, tiles }
    }

    /// A tile along the bits of its index, columns first.
    pub(super) fn by_column(&self, devices: &Devices, at: usize, tile: usize) -> Result<Located<'a>, DeviceError> {
        let StackTile { entries, start, parts, .. } = &self.tiles[tile];
        let (device, entries) = entries.nearest(at);
        Ok(Located { device, view: View::new(&devices.all()[device].device, entries, *start, parts)? })
    }

    /// The same with the entry's place in its column first, then the column.
    pub(super) fn by_entry(&self, devices: &Devices, at: usize, tile: usize) -> Result<Located<'a>, DeviceError> {
        let StackTile { entries, start, parts, stacked } = &self.tiles[tile];
        let (device, entries) = entries.nearest(at);
        let [of_column, of_entry] = cut(parts, stacked.column_arity);
        let view = View::new(&devices.all()[device].device, entries, *start, &[of_entry, of_column].concat())?;
        Ok(Located { device, view })
    }
}

impl Source for StackColumns<'_> {
    fn count(&self) -> usize {
        1 << self.stack.fold
    }

    fn variables(&self) -> usize {
        self.stack.column_variables()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn read(&self, devices: &Devices, at: usize, first: usize, columns: &mut Columns) -> Result<(), DeviceError> {
        let kernels = &devices.all()[at];
        for (tile, StackTile { stacked, .. }) in self.tiles.iter().enumerate() {
            let end = stacked.columns(self.stack.fold).min(first + columns.width());
            if end <= first {
                continue;
            }
            let (arity, width) = (stacked.column_arity, end - first);
            let part = TilePart { arity, offset: stacked.offset };
            let Located { device, view } = self.by_column(devices, at, tile)?;
            if device == at {
                kernels.read_columns(&view, &part, first, width, columns)?;
                continue;
            }
            let owner = &devices.all()[device];
            let mut read = Columns::new(owner.device.allocate(width << arity)?, arity);
            owner.read_columns(&view, &TilePart { arity, offset: 0 }, first, width, &mut read)?;
            let words = kernels.device.bring(&read.words)?;
            let view = View::of_words(&kernels.device, &words, arity + width.ilog2() as usize)?;
            kernels.read_columns(&view, &part, 0, width, columns)?;
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

    /// They are the first device's.
    fn is_shared(&self) -> bool {
        false
    }

    fn read(&self, devices: &Devices, at: usize, first: usize, columns: &mut Columns) -> Result<(), DeviceError> {
        let kernels = &devices.all()[at];
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

/// A code word's rows as a Merkle tree. Devices have parts that follow each other, each with the tree over its rows; the processor has
/// what is above them.
pub struct CommittedRows {
    parts: Vec<Tree>,
    /// The levels of the tree from the roots of the parts on.
    above: Vec<Vec<Digest>>,
    /// Binary logarithm of all rows.
    log_rows: usize,
}

impl CommittedRows {
    /// The root of the tree.
    pub(super) fn root(&self) -> Digest {
        self.above[self.log_parts()][0]
    }

    fn log_parts(&self) -> usize {
        self.parts.len().ilog2() as usize
    }

    /// Bits of a row's index in its part.
    fn part_bits(&self) -> usize {
        self.log_rows - self.log_parts()
    }
}

/// Binary logarithm of the parts of a code word. A message is repeated in each before they differ, so that many are had for nothing.
pub(super) fn log_parts(devices: usize, code: &Code) -> usize {
    (devices.ilog2() as usize).min(code.log_inverse_rate).min(code.log_rows().saturating_sub(2))
}

/// Encode a part of the rows of all columns, a block of a row's hash at a time: `each` gets the place of the first column of a block, and the
/// block.
fn encode(
    devices: &Devices,
    source: &impl Source,
    code: &Code,
    [log_parts, part]: [usize; 2],
    mut each: impl FnMut(usize, &Columns) -> Result<(), DeviceError>,
) -> Result<(), DeviceError> {
    let kernels = &devices.all()[part];
    let transform = kernels.transform(source.variables() + code.log_inverse_rate, log_parts, part)?;
    let log_rows = source.variables() + code.log_inverse_rate - log_parts;
    for first in (0..source.count()).step_by(BLOCK) {
        let width = BLOCK.min(source.count() - first);
        let mut columns = Columns::new(kernels.device.zeros(width << log_rows)?, log_rows);
        source.read(devices, part, first, &mut columns)?;
        kernels.encode(&transform, &mut columns, source.variables())?;
        each(first, &columns)?;
    }
    Ok(())
}

/// Commit to columns, on all devices that are in reach of the source.
pub(super) fn commit(
    devices: &Devices,
    source: &(impl Source + Sync),
    code: &Code,
) -> Result<CommittedRows, DeviceError> {
    let log_rows = source.variables() + code.log_inverse_rate;
    let log_parts = if source.is_shared() { log_parts(devices.all().len(), code) } else { 0 };
    let parts = each(0..1 << log_parts, |part: usize| {
        let kernels = &devices.all()[part];
        let mut leaves = kernels.leaves(log_rows - log_parts, source.count())?;
        encode(devices, source, code, [log_parts, part], |_, columns| kernels.absorb(&mut leaves, columns))?;
        let tree = kernels.tree(leaves)?;
        Ok((kernels.root(&tree)?, tree))
    })?;
    let (roots, parts): (Vec<Digest>, Vec<Tree>) = parts.into_iter().unzip();
    let mut above = vec![roots];
    for level in 0..log_parts {
        above.push(above[level].chunks_exact(2).map(|pair| Digest::of_children(pair[0], pair[1])).collect());
    }
    Ok(CommittedRows { parts, above, log_rows })
}

/// Rows of a code word at sorted, distinct positions, with what leads from them to the root.
pub(super) fn open(
    devices: &Devices,
    source: &(impl Source + Sync),
    code: &Code,
    committed: &CommittedRows,
    positions: &[usize],
) -> Result<OpenedRows, DeviceError> {
    assert!(positions.iter().all(|position| position >> committed.log_rows == 0), "positions are those of rows");
    let (bits, log_parts) = (committed.part_bits(), committed.log_parts());
    let places = siblings(positions, committed.log_rows);
    let opened = each(committed.parts.iter().enumerate(), |(part, tree): (usize, &Tree)| {
        let kernels = &devices.all()[part];
        let own = positions.iter().filter(|&&position| position >> bits == part);
        let own: Vec<u64> = own.map(|position| (position & ((1 << bits) - 1)) as u64).collect();
        let rows = if own.is_empty() {
            Vec::new()
        } else {
            let (count, positions) = (own.len(), kernels.device.upload(&own)?);
            let mut rows = kernels.device.allocate(count * source.count())?;
            encode(devices, source, code, [log_parts, part], |first, columns| {
                kernels.pick_rows(columns, &positions, &mut rows, source.count(), first)
            })?;
            kernels.device.download(&rows)?
        };
        let own = places.iter().filter(|place| place.level < bits && place.index >> (bits - place.level) == part);
        let own: Vec<(usize, usize)> =
            own.map(|place| (place.level, place.index & ((1 << (bits - place.level)) - 1))).collect();
        Ok((rows, kernels.nodes(tree, &own)?))
    })?;
    let (rows, nodes): (Vec<Vec<u32>>, Vec<Vec<Digest>>) = opened.into_iter().unzip();
    let entries = rows.into_iter().flatten().map(value).collect::<Option<_>>();
    let entries = entries.ok_or_else(|| devices.first().device.wrong("words that are not of the field"))?;
    let mut nodes: Vec<_> = nodes.into_iter().map(Vec::into_iter).collect();
    let sibling = |place: &Place| match place.level.checked_sub(bits) {
        Some(above) => committed.above[above][place.index],
        None => nodes[place.index >> (bits - place.level)].next().expect("each was asked for"),
    };
    Ok(OpenedRows { entries, siblings: places.iter().map(sibling).collect() })
}
