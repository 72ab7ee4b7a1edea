//! Programs of a contract's plan, run in Rust: what each instruction says, once more, for tests.

use obelysk_chain::plan::{CONSTANTS, Operation};
use obelysk_statement::eq::{below_at, eq, eq_at, eq_table};
use obelysk_statement::{Challenge, Value};
use p3_field::PrimeCharacteristicRing;

/// The constants, and what follows them.
#[must_use]
pub fn tape(inputs: &[Challenge]) -> Vec<Challenge> {
    [&[Challenge::ZERO, Challenge::ONE, Challenge::ONE.halve()], inputs].concat()
}

/// Run a program; the pairs that must be equal are returned and not compared.
///
/// # Panics
/// If it is no program.
#[must_use]
pub fn run(program: &[u16], tape: &mut Vec<Challenge>, public: &[u32]) -> Vec<[Challenge; 2]> {
    let mut pairs = Vec::new();
    let mut rest = program;
    let mut next = || -> usize {
        let (&entry, tail) = rest.split_first().expect("an entry");
        rest = tail;
        entry.into()
    };
    let mut read = 0;
    while read < program.len() {
        let operation = next();
        let is = |other: Operation| operation == other as usize;
        let mut used = 1;
        let mut operand = || {
            used += 1;
            next()
        };
        if is(Operation::Constant) {
            let (low, high) = (operand(), operand());
            tape.push(Challenge::from(Value::from_usize(low + (high << 16))));
        } else if is(Operation::Add) {
            let (a, b) = (operand(), operand());
            tape.push(tape[a] + tape[b]);
        } else if is(Operation::Multiply) {
            let (a, b) = (operand(), operand());
            tape.push(tape[a] * tape[b]);
        } else if is(Operation::Split) {
            let (a, b) = (operand(), operand());
            let high = tape[a] * tape[b];
            tape.extend([tape[a] - high, high]);
        } else if is(Operation::Equal) {
            let (a, b, count) = (operand(), operand(), operand());
            let left = if a < CONSTANTS as usize { vec![tape[a]; count] } else { tape[a..a + count].to_vec() };
            tape.push(eq(&left, &tape[b..b + count]));
        } else if is(Operation::Dot) {
            let count = operand();
            let terms = (0..count).map(|_| (operand(), operand()));
            let sum = terms.map(|(a, b)| tape[a] * tape[b]).sum();
            tape.push(sum);
        } else if is(Operation::Run) {
            let (a, b, count) = (operand(), operand(), operand());
            tape.push((0..count).map(|index| tape[a + index] * tape[b + index]).sum());
        } else if is(Operation::Weighed) {
            let (count, first) = (operand(), operand());
            let sum = (0..count).map(|index| tape[first + index] * tape[operand()]).sum();
            tape.push(sum);
        } else if is(Operation::Powers) {
            let (a, count) = (operand(), operand());
            let base = tape[a];
            tape.extend(std::iter::successors(Some(Challenge::ONE), |&power| Some(power * base)).take(count));
        } else if is(Operation::Table) {
            let (a, count) = (operand(), operand());
            let table = eq_table(&tape[a..a + count]);
            tape.extend(table);
        } else if is(Operation::Count) {
            let (a, count) = (operand(), operand());
            tape.push(tape[a..a + count].iter().fold(Challenge::ZERO, |sum, &bit| sum.double() + bit));
        } else if is(Operation::Gather) {
            let count = operand();
            let places: Vec<usize> = (0..count).map(|_| operand()).collect();
            places.into_iter().for_each(|place| tape.push(tape[place]));
        } else if is(Operation::Prefix) {
            let (a, b, count, shift) = (operand(), operand(), operand(), operand());
            let columns = |row: usize| tape[b..b + (row + 1).saturating_sub(shift)].iter().copied().sum::<Challenge>();
            tape.push((0..count).map(|row| tape[a + row] * columns(row)).sum());
        } else if is(Operation::Select) || is(Operation::Below) {
            let (a, count, word, b, bits) = (operand(), operand(), operand(), operand(), operand());
            let at = if is(Operation::Select) { eq_at } else { below_at };
            let row = |row: usize| tape[a + row] * at(&tape[b..b + bits], public[word + row] as usize);
            tape.push((0..count).map(row).sum());
        } else {
            assert!(is(Operation::Check), "operation {operation}");
            let (a, b) = (operand(), operand());
            pairs.push([tape[a], tape[b]]);
        }
        read += used;
    }
    pairs
}
