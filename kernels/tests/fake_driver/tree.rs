//! The kernels of `tree.cu`: their twins are `crates/statement/src/{blake2s,tree}.rs`.

use obelysk_kernels::Kernels;
use obelysk_statement::tree::Digest;

use crate::machine::{Hardware, Machine};
use crate::random::Random;

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

/// Whether both agree on every node.
pub fn agrees(kernels: &Kernels, leaves: usize, width: usize, random: &mut Random) -> bool {
    let rows = random.words(leaves * width);
    let buffer = kernels.device().upload(&rows).unwrap();
    let tree = kernels.tree(&buffer, width).unwrap();
    tree.digests(kernels.device()).unwrap() == on_the_processor(&rows, width)
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
    let buffer = kernels.device().upload(&rows).unwrap();
    let tree = kernels.tree(&buffer, 20).unwrap();
    assert_eq!(tree.digests(kernels.device()).unwrap(), on_the_processor(&rows, 20));
}
