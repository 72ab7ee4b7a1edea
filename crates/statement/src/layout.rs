//! Which tiles a commitment holds, and in what order.

use std::collections::BTreeMap;

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

/// The tiles of one commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// All tiles, those of a tensor side by side.
    pub tiles: Vec<Tile>,
    /// First tile of each tensor.
    first_tile: BTreeMap<TensorId, usize>,
}

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
        Some(Self { tiles, first_tile })
    }

    /// Variables of each tile.
    #[must_use]
    pub fn arities(&self) -> Vec<usize> {
        self.tiles.iter().map(Tile::arity).collect()
    }

    /// Index of a tensor's first tile; the others follow in the order of [`Statement::tiles`].
    #[must_use]
    pub fn first_tile(&self, tensor: TensorId) -> usize {
        self.first_tile[&tensor]
    }
}
