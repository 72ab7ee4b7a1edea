//! The leaves of the lookup argument: one block per tile of each lookup's box and one per table, largest first, so that
//! every block starts at a multiple of its size.

use p3_field::PrimeCharacteristicRing;

use crate::axis::AxisTile;
use crate::reduction::constant;
use crate::relation::Relation;
use crate::{Challenge, Statement};

/// What a block of leaves holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A tile of the box of a lookup relation, by its position in the statement: numerator 1 or the mask.
    Relation(usize, Vec<AxisTile>),
    /// All rows of a table: numerator minus the multiplicity.
    Table(usize),
}

/// A run of leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it holds.
    pub source: Source,
    /// First leaf.
    pub offset: usize,
    /// Binary logarithm of the number of leaves.
    pub log_size: usize,
}

/// All blocks of a statement; empty if it has no lookups.
#[must_use]
pub fn blocks(statement: &Statement) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (position, named) in statement.relations.iter().enumerate() {
        if let Relation::Lookup(_) = named.relation {
            for parts in statement.tiles(&named.axes) {
                let log_size = parts.iter().map(|part| part.log_size).sum();
                blocks.push(Block { source: Source::Relation(position, parts), offset: 0, log_size });
            }
        }
    }
    if blocks.is_empty() {
        return blocks;
    }
    for (position, table) in statement.tables.iter().enumerate() {
        blocks.push(Block { source: Source::Table(position), offset: 0, log_size: table.rows.bits() });
    }
    blocks.sort_by_key(|block| std::cmp::Reverse(block.log_size));
    let mut offset = 0;
    for block in &mut blocks {
        block.offset = offset;
        offset += 1 << block.log_size;
    }
    blocks
}

/// Binary logarithm of the number of leaves, at least 1.
#[must_use]
pub fn log_leaves(blocks: &[Block]) -> usize {
    let leaves: usize = blocks.iter().map(|block| 1usize << block.log_size).sum();
    leaves.next_power_of_two().trailing_zeros().max(1) as usize
}

/// What the columns of a leaf are subtracted from: `alpha - beta t` for table `t`.
pub fn table_key([alpha, beta]: [Challenge; 2], table: usize) -> Challenge {
    alpha - beta * constant(i64::try_from(table).expect("few tables"))
}

/// The weights of a leaf's columns: `1, beta^2, beta^3, ..`, as `beta` itself is the table's.
pub fn column_powers(beta: Challenge) -> impl Iterator<Item = Challenge> {
    std::iter::once(Challenge::ONE).chain(std::iter::successors(Some(beta * beta), move |&power| Some(power * beta)))
}
