//! Bugs that are planted in the sources, each of which a comparison with the processor has to find.

use std::panic::{self, AssertUnwindSafe};

use crate::machine::{Hardware, Machine};
use crate::random::Random;
use crate::{bind, tree};

/// What a bug is, what it replaces, and by what.
type Bug = (&'static str, &'static str, &'static str);

const OF_BIND: [Bug; 8] = [
    ("one value too few", "item < half;", "item + 1 < half;"),
    ("one value too many", "item < half;", "item <= half;"),
    ("an index of eight bits", "values[half + item], low", "values[half + (item & 255)], low"),
    ("a loop that stops after one round", "item < half; item += items_apart()", "item < half; item += half"),
    ("the sign of i squared", "minus_b = MODULUS - right.b", "minus_b = right.b"),
    ("the sign of the imaginary part of u squared", "(MODULUS - imaginary)", "imaginary"),
    ("u squared without its real part", "2 * uint64_t(real)", "uint64_t(real)"),
    (
        "a result that is not reduced",
        "word < MODULUS ? word : word - MODULUS",
        "word <= MODULUS ? word : word - MODULUS",
    ),
];

const OF_TREE: [Bug; 11] = [
    (
        "children that are overwritten before all have read them",
        "      // Children are read before their place takes parents, and all parents are there before one is read.\n      __syncthreads();",
        "",
    ),
    (
        "parents that are read before they are there",
        "      __syncthreads();\n      children = handed_on;",
        "      children = handed_on;",
    ),
    ("a counter of whole blocks", "(left < BLOCK ? left : BLOCK)", "BLOCK"),
    ("a last block that is not marked", "words == row_words", "false"),
    ("words that came before and are not counted", "4 * words", "4 * (words - absorbed)"),
    ("states of another row", "states[word * rows + row];", "states[word * rows + (row ^ 1)];"),
    ("the counter of a node", "4 * 2 * DIGEST_WORDS, true", "64, true"),
    ("a leaf's personalisation for nodes", "0x65646f6e", "0x6661656c"),
    ("a rotation by one too many", "b = rotate(b ^ c, 7)", "b = rotate(b ^ c, 8)"),
    (
        "a row's index of eight bits",
        "columns[(from + word) * rows + row]",
        "columns[(from + word) * rows + (row & 255)]",
    ),
    (
        "groups after the first that take its place",
        "nodes + (level + group * parents + threadIdx.x)",
        "nodes + (level + threadIdx.x)",
    ),
];

fn bind_agrees(machine: &Machine) -> bool {
    let (kernels, mut random) = (machine.kernels(), Random::new(3));
    // Small ones several times: threads come in another order each time.
    [1, 2, 3, 1, 2, 3, 300, 300, 2000].into_iter().all(|half| bind::agrees(&kernels, half, &mut random))
}

fn tree_agrees(machine: &Machine) -> bool {
    let (kernels, mut random) = (machine.kernels(), Random::new(4));
    [(2048, 3), (8, 16), (8, 40)].into_iter().all(|(leaves, width)| tree::agrees(&kernels, leaves, width, &mut random))
}

fn all_are_found(source: &str, bugs: &[Bug], agrees: fn(&Machine) -> bool) {
    assert!(agrees(&Machine::new(Hardware::default())), "without a bug both agree");
    for (name, find, with) in bugs {
        let machine = Machine::new(Hardware::default());
        machine.plant(source, find, with);
        // A device that is lost is as good as a wrong result, and the kernels have to have compiled.
        let found = panic::catch_unwind(AssertUnwindSafe(|| agrees(&machine)));
        let found =
            found.map_or_else(|panic| panic.downcast_ref::<String>().unwrap().contains("Lost"), |agrees| !agrees);
        assert!(found, "{name}: nobody noticed");
    }
}

#[test]
fn bugs_of_the_field_and_of_binding_are_found() {
    all_are_found("bind.cu", &OF_BIND, bind_agrees);
}

#[test]
fn bugs_of_hashes_and_trees_are_found() {
    all_are_found("tree.cu", &OF_TREE, tree_agrees);
}
