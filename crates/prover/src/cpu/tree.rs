//! Merkle trees over the rows of a codeword that arrives a batch of columns at a time.

use std::sync::Mutex;

use obelysk_statement::Value;
use obelysk_statement::blake2s::{BLOCK, LANES, Word, compress};
use obelysk_statement::tree::{Digest, LEAF, NODE, NODE_BYTES, Place, siblings};
use obelysk_statement::words::word;
use rayon::prelude::*;
use wide::u32x8;

/// Rows that one task hashes.
const TASK: usize = 1 << 10;

/// Unfinished hashes of all rows, 32 bytes each whatever their length.
pub struct Leaves {
    states: Vec<[u32; 8]>,
    row_words: usize,
    absorbed: usize,
}

/// The nodes of a tree from some level up. What lies below is hashed again when it is opened.
#[derive(Clone)]
pub struct Tree {
    /// From the lowest kept level to the root.
    levels: Vec<Vec<Digest>>,
    lowest: usize,
}

impl Leaves {
    /// Rows of `row_words` words, none of which has arrived.
    #[must_use]
    pub fn new(rows: usize, row_words: usize) -> Self {
        Self { states: vec![LEAF; rows], row_words, absorbed: 0 }
    }

    /// Hash the next `width` words of every row, a multiple of a block unless they end the rows. `each` gets what absorbs blocks of
    /// `block_rows` rows: it takes the index of a block and its words, row after row, and is called once for every block, in any order
    /// and on any thread.
    pub fn absorb<R>(
        &mut self,
        width: usize,
        block_rows: usize,
        each: impl FnOnce(&(dyn Fn(usize, &[Value]) + Sync)) -> R,
    ) -> R {
        let (row_words, absorbed) = (self.row_words, self.absorbed);
        let blocks: Vec<Mutex<&mut [[u32; 8]]>> = self.states.chunks_mut(block_rows).map(Mutex::new).collect();
        let result = each(&|block: usize, matrix: &[Value]| {
            let mut states = blocks[block].lock().expect("hashing does not panic");
            assert_eq!(matrix.len(), states.len() * width, "one run of words per row");
            for from in (0..width).step_by(BLOCK) {
                let to = width.min(from + BLOCK);
                let last = absorbed + to == row_words;
                let bytes = 4 * (absorbed + to) as u64;
                for (states, rows) in states.chunks_mut(LANES).zip(matrix.chunks(LANES * width)) {
                    absorb_lanes(states, |row| &rows[row * width + from..row * width + to], bytes, last);
                }
            }
        });
        self.absorbed += width;
        result
    }

    /// Hash the next `width` words of every row at once.
    pub fn absorb_matrix(&mut self, rows: &[Value], width: usize) {
        self.absorb(width, TASK, |absorb| {
            rows.par_chunks(TASK * width).enumerate().for_each(|(block, rows)| absorb(block, rows));
        });
    }

    /// The tree of the finished rows, kept from level `lowest` up.
    #[must_use]
    pub fn into_tree(self, lowest: usize) -> Tree {
        assert_eq!(self.absorbed, self.row_words, "the rows are complete");
        let lowest = lowest.min(self.states.len().trailing_zeros() as usize);
        let group = 1 << lowest;
        let tops = |states: &[[u32; 8]]| states.chunks(group).map(|states| top(digests(states))).collect::<Vec<_>>();
        let bottom = match lowest {
            0 => self.states.par_iter().map(|&state| Digest::of_state(state)).collect(),
            _ => self.states.par_chunks(group.max(TASK)).flat_map_iter(tops).collect(),
        };
        let mut levels: Vec<Vec<Digest>> = vec![bottom];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let level = below.par_chunks(2 * TASK).flat_map_iter(parents).collect();
            levels.push(level);
        }
        Tree { levels, lowest }
    }
}

impl Tree {
    /// The root.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.levels[self.levels.len() - 1][0]
    }

    /// Levels between the root and the leaves.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.levels.len() - 1 + self.lowest
    }

    /// Rows that are hashed again together: those below one node of the lowest kept level.
    #[must_use]
    pub fn group_rows(&self) -> usize {
        1 << self.lowest
    }

    /// The siblings of a multi-proof of the rows at sorted, distinct positions. `rows` returns all rows of the groups
    /// that it is asked for, one after the other; it is asked once, and not at all if every level is kept.
    pub fn siblings(
        &self,
        positions: &[usize],
        row_words: usize,
        rows: impl FnOnce(&[usize]) -> Vec<Value>,
    ) -> Vec<Digest> {
        let mut groups: Vec<usize> = positions.iter().map(|position| position >> self.lowest).collect();
        groups.dedup();
        let mut lower = Vec::new();
        if self.lowest > 0 {
            let mut leaves = Leaves::new(groups.len() << self.lowest, row_words);
            leaves.absorb_matrix(&rows(&groups), row_words);
            lower = leaves.states.par_chunks(1 << self.lowest).map(|states| levels_of(digests(states))).collect();
        }
        let node = |place: Place| match place.level.checked_sub(self.lowest) {
            Some(level) => self.levels[level][place.index],
            None => {
                let above = self.lowest - place.level;
                let group = groups.binary_search(&(place.index >> above)).expect("siblings share their group");
                lower[group][place.level][place.index & ((1 << above) - 1)]
            }
        };
        siblings(positions, self.depth()).into_iter().map(node).collect()
    }
}

/// Absorb one block, full or the last one, of up to eight rows.
fn absorb_lanes<'a>(states: &mut [[u32; 8]], row: impl Fn(usize) -> &'a [Value], bytes: u64, last: bool) {
    if states.len() == LANES {
        let mut block = [[0; LANES]; BLOCK];
        for lane in 0..LANES {
            for (words, &value) in block.iter_mut().zip(row(lane)) {
                words[lane] = word(value);
            }
        }
        let mut lanes: [u32x8; 8] =
            std::array::from_fn(|index| u32x8::from(std::array::from_fn::<u32, LANES, _>(|lane| states[lane][index])));
        compress(&mut lanes, &block.map(u32x8::from), bytes, last);
        let lanes = lanes.map(u32x8::to_array);
        for (lane, state) in states.iter_mut().enumerate() {
            *state = std::array::from_fn(|index| lanes[index][lane]);
        }
    } else {
        for (index, state) in states.iter_mut().enumerate() {
            let mut block = [0; BLOCK];
            for (target, &value) in block.iter_mut().zip(row(index)) {
                *target = word(value);
            }
            compress(state, &block, bytes, last);
        }
    }
}

fn digests(states: &[[u32; 8]]) -> Vec<Digest> {
    states.iter().map(|&state| Digest::of_state(state)).collect()
}

/// The level above these nodes, whose number is even.
fn parents(nodes: &[Digest]) -> Vec<Digest> {
    let mut above = Vec::with_capacity(nodes.len() / 2);
    for nodes in nodes.chunks(2 * LANES) {
        if nodes.len() == 2 * LANES {
            let child = |lane: usize, word: usize| nodes[2 * lane + word / 7].0[word % 7];
            let block: [u32x8; BLOCK] = std::array::from_fn(|index| match index {
                14.. => u32x8::repeated(0),
                word => u32x8::from(std::array::from_fn::<u32, LANES, _>(|lane| child(lane, word))),
            });
            let mut states = NODE.map(u32x8::repeated);
            compress(&mut states, &block, NODE_BYTES, true);
            let states = states.map(u32x8::to_array);
            above.extend((0..LANES).map(|lane| Digest(std::array::from_fn(|word| states[word][lane]))));
        } else {
            above.extend(nodes.chunks_exact(2).map(|pair| Digest::of_children(pair[0], pair[1])));
        }
    }
    above
}

/// All levels below and with the top of a small tree.
fn levels_of(leaves: Vec<Digest>) -> Vec<Vec<Digest>> {
    let mut levels = vec![leaves];
    while let Some(below) = levels.last().filter(|level| level.len() > 1) {
        let level = parents(below);
        levels.push(level);
    }
    levels
}

fn top(mut nodes: Vec<Digest>) -> Digest {
    while nodes.len() > 1 {
        nodes = parents(&nodes);
    }
    nodes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use obelysk_verifier::tree::{root, sibling_count};
    use p3_field::PrimeCharacteristicRing;

    fn matrix(rows: usize, width: usize) -> Vec<Value> {
        (0..rows * width).map(|index| Value::from_u64((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
    }

    fn naive(matrix: &[Value], width: usize) -> Vec<Digest> {
        matrix.chunks(width).map(|row| Digest::of_row(row.iter().map(|&value| word(value)))).collect()
    }

    fn tree(matrix: &[Value], width: usize, lowest: usize) -> Tree {
        let mut leaves = Leaves::new(matrix.len() / width, width);
        leaves.absorb_matrix(matrix, width);
        leaves.into_tree(lowest)
    }

    #[test]
    fn the_root_is_the_one_computed_node_by_node() {
        for (rows, width) in [(1, 4), (2, 16), (4, 20), (64, 64), (4096, 8), (16, 256)] {
            let matrix = matrix(rows, width);
            let mut nodes = naive(&matrix, width);
            while nodes.len() > 1 {
                nodes = nodes.chunks(2).map(|pair| Digest::of_children(pair[0], pair[1])).collect();
            }
            for lowest in [0, 3, 8] {
                assert_eq!(tree(&matrix, width, lowest).root(), nodes[0], "{rows} rows of {width} from level {lowest}");
            }
        }
    }

    #[test]
    fn batches_of_columns_give_the_same_tree_as_whole_rows() {
        let (rows, width) = (64, 48);
        let whole = matrix(rows, width);
        let mut leaves = Leaves::new(rows, width);
        for from in (0..width).step_by(16) {
            let batch: Vec<Value> = (0..rows * 16).map(|index| whole[index / 16 * width + from + index % 16]).collect();
            leaves.absorb_matrix(&batch, 16);
        }
        assert_eq!(leaves.into_tree(0).root(), tree(&whole, width, 0).root());
    }

    #[test]
    fn a_multi_proof_leads_to_the_root_wherever_the_tree_is_cut() {
        let (rows, width) = (1024, 16);
        let matrix = matrix(rows, width);
        let leaves = naive(&matrix, width);
        for positions in [vec![0], vec![1023], vec![5, 6, 7, 300, 301, 1000], (0..rows).collect()] {
            let own: Vec<Digest> = positions.iter().map(|&position| leaves[position]).collect();
            for lowest in [0, 1, 4, 8, 10] {
                let tree = tree(&matrix, width, lowest);
                let group = tree.group_rows() * width;
                let proof = tree.siblings(&positions, width, |groups| {
                    groups.iter().flat_map(|index| matrix[index * group..(index + 1) * group].to_vec()).collect()
                });
                assert_eq!(proof.len(), sibling_count(&positions, 10));
                assert_eq!(root(&positions, &own, &proof, 10), Some(tree.root()));
            }
        }
    }

    #[test]
    fn a_multi_proof_with_a_digest_more_less_or_changed_does_not_lead_to_the_root() {
        let matrix = matrix(64, 16);
        let tree = tree(&matrix, 16, 0);
        let positions = [3, 9, 40];
        let leaves: Vec<Digest> = positions.iter().map(|&position| naive(&matrix, 16)[position]).collect();
        let proof = tree.siblings(&positions, 16, |_| Vec::new());
        let check = |leaves: &[Digest], proof: &[Digest]| root(&positions, leaves, proof, 6);
        assert_eq!(check(&leaves, &proof), Some(tree.root()));
        assert_eq!(check(&leaves, &proof[1..]), None);
        assert_eq!(check(&leaves, &[&proof[..], &[Digest::default()]].concat()), None);
        for changed in 0..proof.len() {
            let mut proof = proof.clone();
            proof[changed].0[6] ^= 1 << 31;
            assert_ne!(check(&leaves, &proof), Some(tree.root()));
        }
        let mut leaves = leaves.clone();
        leaves.swap(0, 1);
        assert_ne!(check(&leaves, &proof), Some(tree.root()));
    }
}
