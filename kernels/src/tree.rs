//! Merkle trees of specification 2, all levels of them.

use obelysk_prover::DeviceError;
use obelysk_statement::tree::{DIGEST_WORDS, Digest};

use crate::device::{Buffer, Device};
use crate::kernels::{Kernels, THREADS};
use crate::transform::Columns;

/// Levels that one launch climbs at most: those above the leaves that one block takes.
const LEVELS_MAX: u32 = (2 * THREADS).ilog2();
/// Words of the state of a hash.
pub(crate) const STATE_WORDS: usize = 8;

/// Unfinished hashes of all rows.
pub struct Leaves {
    states: Buffer<u32>,
    nodes: Buffer<u32>,
    log_rows: usize,
    row_words: usize,
    absorbed: usize,
}

/// A tree in a device's memory.
pub struct Tree {
    /// The levels one after the other, from the leaves to the root.
    nodes: Buffer<u32>,
    log_rows: usize,
}

impl Tree {
    /// Copy all digests: the leaves, then each level above, then the root.
    ///
    /// # Errors
    /// [`DeviceError::Lost`].
    pub fn digests(&self, device: &Device) -> Result<Vec<Digest>, DeviceError> {
        Ok(digests(&device.download(&self.nodes)?))
    }
}

fn digests(words: &[u32]) -> Vec<Digest> {
    words.chunks_exact(DIGEST_WORDS).map(|node| Digest(std::array::from_fn(|word| node[word]))).collect()
}

impl Kernels {
    /// Rows of `row_words` words, none of which has arrived.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn leaves(&self, log_rows: usize, row_words: usize) -> Result<Leaves, DeviceError> {
        let rows = 1usize << log_rows;
        let states = self.device.allocate(rows * STATE_WORDS)?;
        let nodes = self.device.allocate((2 * rows - 1) * DIGEST_WORDS)?;
        Ok(Leaves { states, nodes, log_rows, row_words, absorbed: 0 })
    }

    /// Hash the next words of every row, a multiple of a block unless they end the rows.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Panics
    /// For more words than the rows have.
    pub fn absorb(&self, leaves: &mut Leaves, columns: &Columns) -> Result<(), DeviceError> {
        let width = columns.width();
        let fits = columns.log_rows == leaves.log_rows && leaves.absorbed + width <= leaves.row_words;
        assert!(fits, "columns are as long as there are rows, and no more than their words");
        let words = u32::try_from(width).expect("a row has fewer words");
        let (rows, absorbed, row_words) = (1u64 << leaves.log_rows, leaves.absorbed as u64, leaves.row_words as u64);
        let mut arguments = self.launch(&self.hash_columns);
        arguments.arg(self.given(&columns.words)).arg(&words).arg(&rows).arg(&absorbed).arg(&row_words);
        arguments.arg(self.given_mut(&mut leaves.states)).arg(self.given_mut(&mut leaves.nodes));
        // SAFETY: `hash_columns(const uint32_t*, uint32_t, uint64_t, uint64_t, uint64_t, uint32_t*, uint32_t*)` reads `width` columns and
        // touches the state or the digest of every row.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.hash_columns, 1 << leaves.log_rows, &mut arguments)?;
        }
        leaves.absorbed += width;
        Ok(())
    }

    /// The tree over finished rows.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Panics
    /// If words are missing.
    pub fn tree(&self, leaves: Leaves) -> Result<Tree, DeviceError> {
        let Leaves { mut nodes, log_rows, row_words, absorbed, .. } = leaves;
        assert_eq!(absorbed, row_words, "the rows are complete");
        let (mut first, mut count) = (0, 1usize << log_rows);
        while count > 1 {
            let levels = LEVELS_MAX.min(count.ilog2());
            self.hash_levels(&mut nodes, first, count, levels)?;
            for _ in 0..levels {
                first += count;
                count /= 2;
            }
        }
        Ok(Tree { nodes, log_rows })
    }

    /// The root of a tree.
    pub(crate) fn root(&self, tree: &Tree) -> Result<Digest, DeviceError> {
        Ok(self.nodes(tree, &[(tree.log_rows, 0)])?[0])
    }

    /// Nodes by their level, 0 for the leaves, and their index in it.
    pub(crate) fn nodes(&self, tree: &Tree, places: &[(usize, usize)]) -> Result<Vec<Digest>, DeviceError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let whole = 2usize << tree.log_rows;
        let place = |&(level, index): &(usize, usize)| {
            assert!(level <= tree.log_rows && index >> (tree.log_rows - level) == 0, "the node lies in the tree");
            (whole - (whole >> level) + index) as u64
        };
        let places: Vec<u64> = places.iter().map(place).collect();
        let words = places.len() * DIGEST_WORDS;
        let count = places.len() as u64;
        let (places, mut picked) = (self.device.upload(&places)?, self.device.allocate(words)?);
        let mut arguments = self.launch(&self.pick_nodes);
        arguments.arg(self.given(&tree.nodes)).arg(self.given(&places)).arg(&count).arg(self.given_mut(&mut picked));
        // SAFETY: `pick_nodes(const uint32_t*, const uint64_t*, uint64_t, uint32_t*)` copies `count` nodes of the tree.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.pick_nodes, words, &mut arguments)?;
        }
        Ok(digests(&self.device.download(&picked)?))
    }

    /// `levels` levels above the `count` nodes from `first` on.
    fn hash_levels(&self, nodes: &mut Buffer<u32>, first: usize, count: usize, levels: u32) -> Result<(), DeviceError> {
        assert!(count.is_power_of_two() && levels <= LEVELS_MAX.min(count.ilog2()), "a block has the children of all");
        let above = 2 * count - (count >> levels);
        assert!((first + above) * DIGEST_WORDS <= nodes.len(), "every node has its place");
        let items = count / 2;
        let (first, count) = (first as u64, count as u64);
        let mut arguments = self.launch(&self.hash_levels);
        arguments.arg(self.given_mut(nodes)).arg(&first).arg(&count).arg(&levels);
        // SAFETY: `hash_levels(uint32_t*, uint64_t, uint64_t, uint32_t)` reads `count` nodes and writes those above, which there are.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.hash_levels, items, &mut arguments)
        }
    }
}
