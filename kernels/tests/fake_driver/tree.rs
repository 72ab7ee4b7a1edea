//! The kernels of `tree.cu`: their twins are `crates/statement/src/{blake2s,tree}.rs`.

use obelysk_kernels::{Columns, Kernels};
use obelysk_statement::blake2s::BLOCK;
use obelysk_statement::tree::Digest;

use crate::random::Random;
use obelysk_fake_driver::{Hardware, Machine};

fn on_the_processor(rows: &[u32], width: usize) -> Vec<Digest> {
    let mut nodes: Vec<Digest> = rows.chunks_exact(width).map(|row| Digest::of_row(row.iter().copied())).collect();
    let mut level = 0..nodes.len();
    while level.len() > 1 {
        let parents: Vec<Digest> =
            nodes[level.clone()].chunks_exact(2).map(|pair| Digest::of_children(pair[0], pair[1])).collect();
        level = level.end..level.end + parents.len();
        nodes.extend(parents);
    }
    nodes
}

/// The tree on a device that gets the columns of rows some at a time.
fn on_the_device(kernels: &Kernels, rows: &[u32], width: usize) -> Vec<Digest> {
    let log_rows = (rows.len() / width).ilog2() as usize;
    let mut leaves = kernels.leaves(log_rows, width).unwrap();
    // One block, then all that is left.
    for columns in [0..width.min(BLOCK), width.min(BLOCK)..width].into_iter().filter(|columns| !columns.is_empty()) {
        let words: Vec<u32> = columns.flat_map(|column| rows.iter().skip(column).step_by(width)).copied().collect();
        let columns = Columns::new(kernels.device().upload(&words).unwrap(), log_rows);
        kernels.absorb(&mut leaves, &columns).unwrap();
    }
    kernels.tree(leaves).unwrap().digests(kernels.device()).unwrap()
}

/// Whether both agree on every node.
pub fn agrees(kernels: &Kernels, leaves: usize, width: usize, random: &mut Random) -> bool {
    let rows = random.words(leaves * width);
    on_the_device(kernels, &rows, width) == on_the_processor(&rows, width)
}

#[test]
fn rows_of_any_length_are_hashed() {
    let machine = Machine::new(Hardware::default());
    let kernels = machine.kernels();
    let mut random = Random::new(2);
    for width in [1, 2, 7, 15, 16, 17, 31, 32, 33, 48, 100, 256] {
        assert!(agrees(&kernels, 8, width, &mut random), "rows of {width} words");
    }
}

#[test]
fn trees_of_any_height_are_built_on_any_grid() {
    for multiprocessors in [1, 3, 132] {
        let machine = Machine::new(Hardware { multiprocessors, ..Hardware::default() });
        let kernels = machine.kernels();
        let mut random = Random::new(200 + multiprocessors as u64);
        for height in [0, 1, 2, 5, 8, 9, 10, 11, 12, 13] {
            assert!(
                agrees(&kernels, 1 << height, 3, &mut random),
                "height {height} on {multiprocessors} multiprocessors"
            );
        }
    }
}

#[test]
fn rows_of_the_largest_words_are_hashed() {
    let machine = Machine::new(Hardware::default());
    let kernels = machine.kernels();
    let rows = vec![u32::MAX; 64 * 20];
    assert_eq!(on_the_device(&kernels, &rows, 20), on_the_processor(&rows, 20));
}
