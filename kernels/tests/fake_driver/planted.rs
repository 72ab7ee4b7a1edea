//! Bugs that are planted in the sources, each of which a comparison with the processor has to find.

use std::panic::{self, AssertUnwindSafe};

use crate::random::Random;
use crate::{bind, linear, proofs, tree, weighted};
use obelysk_fake_driver::{Hardware, Machine};

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
    ("a row's index of eight bits", "words_of_row = columns + row", "words_of_row = columns + (row & 255)"),
    (
        "groups after the first that take its place",
        "nodes + (level + group * parents + threadIdx.x)",
        "nodes + (level + threadIdx.x)",
    ),
];

const OF_SIBLINGS: [Bug; 1] = [("siblings of the first place", "nodes[places[item / DIGEST_WORDS]", "nodes[places[0]")];

const OF_EQ: [Bug; 4] = [
    ("the other factor of a table", "high[item / low_count], low[place]", "high[place], low[place]"),
    ("entries past the end of an axis", "place < low_size ?", "place < low_count ?"),
    ("products beside their places", "    products[first + item * stride]", "    products[first + item]"),
    (
        "a table that is cut in place of summed",
        "table[item] = add(table[item], table[half + item])",
        "table[item] = table[item]",
    ),
];

const OF_FRACTIONS: [Bug; 7] = [
    ("a sum of numerators", "right.numerator, left.denominator", "right.numerator, right.denominator"),
    (
        "a difference of denominators",
        "multiply(left.denominator, right.denominator)}",
        "multiply(left.denominator, left.denominator)}",
    ),
    ("a round without lambda", "multiply(lambda, right.denominator)", "multiply(lambda, right.numerator)"),
    ("weights of another node", "low[item % low_count]);", "low[(item + 1) % low_count]);"),
    ("a leading coefficient without its weight", "multiply(weight, square)", "square"),
    ("second children that are not bound", "item < 2 * half;", "item < half;"),
    ("numerators that are not bound", "bind(low.numerator, high.numerator, challenge)", "low.numerator"),
];

const OF_LEAVES: [Bug; 6] = [
    ("leaves beside their block", "nodes[first + item] = leaf", "nodes[item] = leaf"),
    ("counts without their sign", "multiply(factor, read(view, item))", "read(view, item)"),
    ("a mask of the first leaf", "{multiply(factor, read(view, item)), 0", "{multiply(factor, read(view, 0)), 0"),
    ("columns that are added", "subtract(denominator, scale(factor, read", "add(denominator, scale(factor, read"),
    ("integers that begin one later", "from + int64_t(item)", "from + int64_t(item) + 1"),
    ("integers that stand still", "from + int64_t(item) * step", "from"),
];

/// Of work that devices share.
const OF_SHARES: [Bug; 1] = [("integers of every share in a row", "int64_t(item) * step", "int64_t(item)")];

const OF_LINEAR: [Bug; 7] = [
    ("signs that are lost", "uint32_t(int32_t(weights[", "uint32_t(uint16_t(weights["),
    ("entries of one thread", "place += LANES", "place += width"),
    ("a matrix that begins elsewhere", "weights[first + ", "weights["),
    ("rows past the last one", "&& row < rows) products", ") products"),
    ("channels of another tile", "tile / row_tiles * CHANNELS", "tile % row_tiles * CHANNELS"),
    ("sums of half of the threads", "other < LANES;", "other < LANES / 2;"),
    (
        "parts that are read before they are there",
        "    __syncthreads();\n    uint32_t sum = 0;",
        "    uint32_t sum = 0;",
    ),
];

const OF_OPENING: [Bug; 6] = [
    ("a constant coefficient of differences", "multiply(low, other)", "multiply(low, low)"),
    ("a leading coefficient of one side", "subtract(right[half + item], other)", "other"),
    ("weights beside their tile", "target[first + item] = add(target[first + item]", "target[item] = add(target[item]"),
    ("coordinates in another order", "item >> (variables - 1 - variable) & 1", "item >> variable & 1"),
    ("rows of one factor", "scale(factors[row]", "scale(factors[0]"),
    ("rows that replace the claims", "Extension sum = weights[item];", "Extension sum = {0, 0, 0, 0};"),
];

const OF_PROGRAM: [Bug; 4] = [
    ("a line that is a constant", "return add(low, scale(subtract(high, low), point));", "return low;"),
    (
        "monomials without their coefficients",
        "Extension product = monomial.coefficient;",
        "Extension product = {1, 0, 0, 0};",
    ),
    ("a factor that is left out", "factor < monomial.count", "factor + 1 < monomial.count"),
    ("sums without eq", "multiply(at(low[0], high[0], point), value)", "value"),
];

const OF_SUM: [Bug; 3] = [
    ("sums of the first row", "row < count; row++", "row < 1; row++"),
    ("sums of one thread", "own = add(own, rows[row * outputs + output])", "own = rows[row * outputs + output]"),
    ("a group that is left out", "group < GROUP; group++", "group + 1 < GROUP; group++"),
];

const OF_TRANSFORM: [Bug; 7] = [
    ("points in another order", "item >> bit & 1", "item >> (log_rows - 2 - bit) & 1"),
    (
        "points of another group",
        "subtract(multiply(point.x, by.x), multiply(point.y, by.y))",
        "add(multiply(point.x, by.x), multiply(point.y, by.y))",
    ),
    ("an image of x without its one", "subtract(add(square, square), 1)", "add(square, square)"),
    ("a tile of another column", "read(view, (first << arity) + item)", "read(view, item)"),
    ("messages that are not repeated", "if (row >= message)", "if (row > columns[item] + message)"),
    ("one constant for all blocks", "constants[layers + block % layers]", "constants[layers]"),
    ("rows at other positions", "positions[row]]", "positions[0]]"),
];

const OF_WEIGHTED: [Bug; 5] = [
    ("entries of other weights", "weights[step]", "weights[step - start]"),
    ("a chunk that begins at zero", "item / outputs << part", "0"),
    (
        "signs that are lost",
        "of_integer(static_cast<const int16_t*>(view.entries)[place])",
        "static_cast<const uint16_t*>(view.entries)[place]",
    ),
    ("entries past the end of an axis", "if (digit >= view.parts[part].size) return 0;", ""),
    ("a one in the wrong column", "== place % view.width", "== place"),
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

fn weighted_sums_agree(machine: &Machine) -> bool {
    let (kernels, mut random) = (machine.kernels(), Random::new(5));
    weighted::SIZES.into_iter().all(|size| weighted::agrees(&kernels, size, &mut random))
}

fn products_agree(machine: &Machine) -> bool {
    let (kernels, mut random) = (machine.kernels(), Random::new(6));
    linear::SIZES.into_iter().all(|size| linear::agrees(&kernels, size, &mut random))
}

fn all_are_found(source: &str, bugs: &[Bug], agrees: fn(&Machine) -> bool) {
    all_are_found_on(1, source, bugs, agrees);
}

fn all_are_found_on(devices: i32, source: &str, bugs: &[Bug], agrees: fn(&Machine) -> bool) {
    let machine = || Machine::new(Hardware { devices, ..Hardware::default() });
    assert!(agrees(&machine()), "without a bug both agree");
    for (name, find, with) in bugs {
        let machine = machine();
        machine.plant(source, find, with);
        // A device that is lost is as good as a wrong result, and the kernels have to have compiled.
        let found = panic::catch_unwind(AssertUnwindSafe(|| agrees(&machine)));
        let found =
            found.map_or_else(|panic| panic.downcast_ref::<String>().unwrap().contains("Lost"), |agrees| !agrees);
        assert!(found, "{source}: {name}: nobody noticed");
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

#[test]
fn bugs_of_sums_and_of_reading_tensors_are_found() {
    all_are_found("sum.cu", &OF_SUM, weighted_sums_agree);
    all_are_found("weighted.cu", &OF_WEIGHTED, weighted_sums_agree);
}

#[test]
fn bugs_of_products_are_found() {
    all_are_found("linear.cu", &OF_LINEAR, products_agree);
}

#[test]
fn bugs_of_every_other_kernel_change_a_proof() {
    for (source, bugs) in [
        ("eq.cu", &OF_EQ[..]),
        ("fractions.cu", &OF_FRACTIONS),
        ("leaves.cu", &OF_LEAVES),
        ("opening.cu", &OF_OPENING),
        ("program.cu", &OF_PROGRAM),
        ("transform.cu", &OF_TRANSFORM),
        ("tree.cu", &OF_SIBLINGS),
    ] {
        all_are_found(source, bugs, proofs::agrees_on_every_relation);
    }
}

#[test]
fn bugs_of_shared_work_change_a_proof() {
    all_are_found_on(2, "leaves.cu", &OF_SHARES, proofs::agrees_on_every_relation);
}
