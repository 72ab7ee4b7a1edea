//! Which tiles a commitment holds, and in what order. Tiles of equal arity stand side by side in one wide table, so
//! that claims at one point are opened together.

use std::collections::BTreeMap;

use p3_sumcheck::TableShape;

use crate::Statement;
use crate::axis::AxisTile;
use crate::relation::{TensorId, TensorKind};

/// Whose tensors a commitment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Committed once per model.
    Weight,
    /// Committed for one proof.
    Witness,
}

impl Role {
    /// In order of their openings.
    pub const ALL: [Self; 2] = [Self::Weight, Self::Witness];

    /// What accounting calls its opening.
    #[must_use]
    pub fn opening_name(self) -> &'static str {
        match self {
            Self::Weight => "weight opening",
            Self::Witness => "witness opening",
        }
    }
}

/// A product of axis tiles of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Whose entries.
    pub tensor: TensorId,
    /// One per axis of the tensor.
    pub parts: Vec<AxisTile>,
}

/// The tables of one commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// All tiles; a table's columns are indices into this list.
    pub tiles: Vec<Tile>,
    /// Tables by falling arity.
    pub tables: Vec<TableLayout>,
    /// First tile of each tensor; its tiles are consecutive.
    first_tile: BTreeMap<TensorId, usize>,
}

/// One table: tiles of equal arity, one per column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLayout {
    /// Variables of each column.
    pub arity: usize,
    /// Indices into [`Layout::tiles`]; empty for the filler of a small commitment.
    pub columns: Vec<usize>,
}

/// Smallest commitment, in variables: below it, the code has no room for its queries.
const SMALLEST: usize = 12;

impl Tile {
    /// Number of variables.
    #[must_use]
    pub fn arity(&self) -> usize {
        self.parts.iter().map(|part| part.log_size).sum()
    }
}

impl Layout {
    /// Lay out the tensors of a role; `None` if there are none.
    #[must_use]
    pub fn new(statement: &Statement, role: Role) -> Option<Self> {
        let mut tiles = Vec::new();
        let mut first_tile = BTreeMap::new();
        for (position, tensor) in statement.tensors.iter().enumerate() {
            let own = match tensor.kind {
                TensorKind::Weight => Role::Weight,
                TensorKind::Witness => Role::Witness,
                TensorKind::Public(_) => continue,
            };
            if own == role {
                let id = TensorId(u32::try_from(position).expect("few tensors"));
                first_tile.insert(id, tiles.len());
                tiles.extend(statement.tiles(&tensor.axes).into_iter().map(|parts| Tile { tensor: id, parts }));
            }
        }
        if tiles.is_empty() {
            return None;
        }
        let mut by_arity: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, tile) in tiles.iter().enumerate() {
            by_arity.entry(tile.arity()).or_default().push(index);
        }
        let cells: usize = tiles.iter().map(|tile| 1usize << tile.arity()).sum();
        let mut tables: Vec<TableLayout> =
            by_arity.into_iter().rev().map(|(arity, columns)| TableLayout { arity, columns }).collect();
        if cells <= 1 << (SMALLEST - 1) {
            tables.insert(0, TableLayout { arity: SMALLEST - 1, columns: Vec::new() });
        }
        Some(Self { tiles, tables, first_tile })
    }

    /// Binary logarithm of the committed length. Tables narrower than `fold` variables are padded to it.
    #[must_use]
    pub fn variables(&self, fold: usize) -> usize {
        let cells: usize = self.tables.iter().map(|table| table.columns.len().max(1) << table.arity.max(fold)).sum();
        cells.next_power_of_two().trailing_zeros() as usize
    }

    /// Shapes of the tables, before padding.
    #[must_use]
    pub fn shapes(&self) -> Vec<TableShape> {
        self.tables.iter().map(|table| TableShape::new(table.arity, table.columns.len().max(1))).collect()
    }

    /// Index and parts of each tile of a tensor.
    pub fn tiles_of(&self, tensor: TensorId) -> impl Iterator<Item = (usize, &Tile)> {
        let first = self.first_tile[&tensor];
        self.tiles[first..]
            .iter()
            .enumerate()
            .take_while(move |(_, tile)| tile.tensor == tensor)
            .map(move |(index, tile)| (first + index, tile))
    }
}
