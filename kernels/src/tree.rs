//! Merkle trees of specification 2, all levels of them.

use cudarc::driver::PushKernelArg;
use obelysk_prover::DeviceError;
use obelysk_statement::tree::{DIGEST_WORDS, Digest};

use crate::device::{Buffer, Device, Kernels, THREADS};

/// Levels that one launch climbs at most: those above the leaves that one block takes.
const LEVELS_MAX: u32 = (2 * THREADS).ilog2();

/// A tree in a device's memory.
pub struct Tree {
    /// The levels one after the other, from the leaves to the root.
    nodes: Buffer<u32>,
}

impl Tree {
    /// Copy all digests: the leaves, then each level above, then the root.
    ///
    /// # Errors
    /// [`DeviceError::Lost`].
    pub fn digests(&self, device: &Device) -> Result<Vec<Digest>, DeviceError> {
        let words = device.download(&self.nodes)?;
        let digest = |node: &[u32]| Digest(std::array::from_fn(|word| node[word]));
        Ok(words.chunks_exact(DIGEST_WORDS).map(digest).collect())
    }
}

impl Kernels {
    /// The tree over rows of `width` words that lie one after the other.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Panics
    /// If the number of rows is not a power of two.
    pub fn tree(&self, rows: &Buffer<u32>, width: usize) -> Result<Tree, DeviceError> {
        assert!(width > 0 && rows.len().is_multiple_of(width), "rows have words, all the same number");
        let leaves = rows.len() / width;
        assert!(leaves.is_power_of_two(), "a tree has a power of two of leaves");
        let mut nodes = self.device.allocate((2 * leaves - 1) * DIGEST_WORDS)?;
        self.hash_rows(rows, width, &mut nodes)?;
        let (mut first, mut count) = (0, leaves);
        while count > 1 {
            let levels = LEVELS_MAX.min(count.ilog2());
            self.hash_levels(&mut nodes, first, count, levels)?;
            for _ in 0..levels {
                first += count;
                count /= 2;
            }
        }
        Ok(Tree { nodes })
    }

    /// The digests of rows.
    fn hash_rows(&self, rows: &Buffer<u32>, width: usize, digests: &mut Buffer<u32>) -> Result<(), DeviceError> {
        let count = rows.len() / width;
        assert!(count * DIGEST_WORDS <= digests.len(), "every digest has its place");
        let words = u32::try_from(width).expect("a row has fewer words");
        let rows_count = count as u64;
        let mut arguments = self.launch(&self.hash_rows);
        arguments.arg(self.given(rows)).arg(&words).arg(&rows_count).arg(self.given_mut(digests));
        // SAFETY: `hash_rows(const uint32_t*, uint32_t, uint64_t, uint32_t*)` reads `width` words of each row and writes its digest.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.hash_rows, rows_count.div_ceil(u64::from(THREADS)), &mut arguments)
        }
    }

    /// `levels` levels above the `count` nodes from `first` on.
    fn hash_levels(&self, nodes: &mut Buffer<u32>, first: usize, count: usize, levels: u32) -> Result<(), DeviceError> {
        assert!(count.is_power_of_two() && levels <= LEVELS_MAX.min(count.ilog2()), "a block has the children of all");
        let above = 2 * count - (count >> levels);
        assert!((first + above) * DIGEST_WORDS <= nodes.len(), "every node has its place");
        let (first, count) = (first as u64, count as u64);
        let mut arguments = self.launch(&self.hash_levels);
        arguments.arg(self.given_mut(nodes)).arg(&first).arg(&count).arg(&levels);
        // SAFETY: `hash_levels(uint32_t*, uint64_t, uint64_t, uint32_t)` reads `count` nodes and writes those above, which there are.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.hash_levels, count.div_ceil(u64::from(2 * THREADS)), &mut arguments)
        }
    }
}
