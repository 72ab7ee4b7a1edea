//! A program over a tape of challenges: what the contract computes instead of compiling a statement. Instructions read places of
//! the tape and append to it; equal ones are written once, so a tensor that is read twice at a point is evaluated once.

use std::collections::HashMap;

use obelysk_statement::CompileError;

/// A place of the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

/// The constants that every tape begins with: 0, 1 and 1/2.
pub const CONSTANTS: u32 = 3;
/// Zero.
pub const ZERO: Place = Place(0);
/// One.
pub const ONE: Place = Place(1);
/// One half.
pub const HALF: Place = Place(2);

/// What an instruction does. Operands are entries of 16 bits; `t` is the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Operation {
    /// `low, high`: appends `low + 2^16 high`.
    Constant = 0,
    /// `a, b`: appends `t[a] + t[b]`.
    Add = 1,
    /// `a, b`: appends `t[a] t[b]`.
    Multiply = 2,
    /// `a, b`: appends `t[a] - t[a] t[b]`, then `t[a] t[b]`.
    Split = 3,
    /// `a, b, n`: appends `eq` of the `n` places from `a` and from `b` on; a constant's place stands for `n` of it.
    Equal = 4,
    /// `n`, then `n` pairs: appends the sum of their products.
    Dot = 5,
    /// `a, b, n`: appends the sum of the products of the `n` places from `a` and from `b` on.
    Run = 6,
    /// `n, a`, then `n` places: appends the sum of their products with the `n` places from `a` on.
    Weighed = 7,
    /// `a, n`: appends the first `n` powers of `t[a]`, from 1 on.
    Powers = 8,
    /// `a, n`: appends all `2^n` values of `eq` at the `n` places from `a` on.
    Table = 9,
    /// `a, n`: appends `sum 2^(n-1-i) t[a+i]`.
    Count = 10,
    /// `n`, then `n` places: appends them once more, side by side.
    Gather = 11,
    /// `a, b, n, s`: appends the sum over `i < n` of `t[a+i]` times the sum of the first `max(0, i + 1 - s)` places from `b` on.
    Prefix = 12,
    /// `a, n, w, b, m`: appends the sum over `i < n` of `t[a+i]` times `eq` of the `m` places from `b` on at public word `w + i`.
    Select = 13,
    /// As [`Operation::Select`], with the sum of `eq` at all numbers below the word.
    Below = 14,
    /// `a, b`: the two places must be equal.
    Check = 15,
}

/// A program that is being written.
#[derive(Debug, Default)]
pub struct Program {
    entries: Vec<u32>,
    /// Places of the tape that are written so far.
    length: u32,
    known: HashMap<Vec<u32>, Place>,
}

impl Program {
    /// A program over a tape that holds `inputs` places already.
    #[must_use]
    pub fn new(inputs: u32) -> Self {
        Self { length: inputs, ..Self::default() }
    }

    /// The entries, each below `2^16`.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] if the tape is longer than an entry can say.
    pub fn finish(self) -> Result<Vec<u16>, CompileError> {
        let entries = self.entries.into_iter().map(u16::try_from).collect::<Result<_, _>>();
        entries.map_err(|_| {
            CompileError::Unsupported(format!("a plan whose tape has {} places; entries have 16 bits", self.length))
        })
    }

    fn emit(&mut self, operation: Operation, operands: &[u32], appended: u32) -> Place {
        let mut instruction = vec![operation as u32];
        instruction.extend_from_slice(operands);
        if let Some(&place) = self.known.get(&instruction) {
            return place;
        }
        let place = Place(self.length);
        self.length += appended;
        self.entries.extend_from_slice(&instruction);
        self.known.insert(instruction, place);
        place
    }

    /// A residue modulo `2^31 - 1`.
    pub fn constant(&mut self, value: i64) -> Place {
        match value.rem_euclid(obelysk_statement::MODULUS) as u32 {
            0 => ZERO,
            1 => ONE,
            residue => self.emit(Operation::Constant, &[residue & 0xffff, residue >> 16], 1),
        }
    }

    /// Sum of two places.
    pub fn add(&mut self, a: Place, b: Place) -> Place {
        match (a, b) {
            (ZERO, other) | (other, ZERO) => other,
            _ => self.emit(Operation::Add, &[a.0.min(b.0), a.0.max(b.0)], 1),
        }
    }

    /// Product of two places.
    pub fn multiply(&mut self, a: Place, b: Place) -> Place {
        match (a, b) {
            (ZERO, _) | (_, ZERO) => ZERO,
            (ONE, other) | (other, ONE) => other,
            _ => self.emit(Operation::Multiply, &[a.0.min(b.0), a.0.max(b.0)], 1),
        }
    }

    /// `whole` times `eq(coordinate, bit)`.
    pub fn split(&mut self, whole: Place, coordinate: Place, bit: bool) -> Place {
        let low = self.emit(Operation::Split, &[whole.0, coordinate.0], 2);
        Place(low.0 + u32::from(bit))
    }

    /// `whole` times `eq` of `bits` places from `first` on at an index.
    pub fn selector(&mut self, whole: Place, first: Place, bits: usize, index: usize) -> Place {
        (0..bits).fold(whole, |whole, bit| {
            let coordinate = Place(first.0 + bit as u32);
            self.split(whole, coordinate, index >> (bits - 1 - bit) & 1 == 1)
        })
    }

    /// `eq` of two runs.
    pub fn equal(&mut self, a: Place, b: Place, length: usize) -> Place {
        if length == 0 { ONE } else { self.emit(Operation::Equal, &[a.0, b.0, length as u32], 1) }
    }

    /// The sum of products of pairs.
    pub fn dot(&mut self, pairs: &[(Place, Place)]) -> Place {
        let pairs: Vec<(Place, Place)> = pairs.iter().copied().filter(|&(a, b)| a != ZERO && b != ZERO).collect();
        match pairs.as_slice() {
            [] => ZERO,
            [(a, b)] => self.multiply(*a, *b),
            [(ONE, a), (ONE, b)] => self.add(*a, *b),
            _ => {
                let operands = pairs.iter().flat_map(|(a, b)| [a.0, b.0]);
                let operands: Vec<u32> = std::iter::once(pairs.len() as u32).chain(operands).collect();
                self.emit(Operation::Dot, &operands, 1)
            }
        }
    }

    /// The sum of products of two runs.
    pub fn run(&mut self, a: Place, b: Place, length: usize) -> Place {
        self.emit(Operation::Run, &[a.0, b.0, length as u32], 1)
    }

    /// The sum of products of a run with places.
    pub fn weighed(&mut self, first: Place, places: &[Place]) -> Place {
        if let [place] = places {
            return self.multiply(first, *place);
        }
        let operands: Vec<u32> =
            [places.len() as u32, first.0].into_iter().chain(places.iter().map(|place| place.0)).collect();
        self.emit(Operation::Weighed, &operands, 1)
    }

    /// A run of powers, from 1 on.
    pub fn powers(&mut self, base: Place, count: usize) -> Place {
        self.emit(Operation::Powers, &[base.0, count as u32], count as u32)
    }

    /// All values of `eq` at a run.
    pub fn table(&mut self, first: Place, length: usize) -> Place {
        if length == 0 { ONE } else { self.emit(Operation::Table, &[first.0, length as u32], 1 << length) }
    }

    /// A run as a number, most significant first.
    pub fn count(&mut self, first: Place, length: usize) -> Place {
        if length == 0 { ZERO } else { self.emit(Operation::Count, &[first.0, length as u32], 1) }
    }

    /// The first place of a run that holds these.
    pub fn gather(&mut self, places: &[Place]) -> Place {
        let Some(&first) = places.first() else { return ZERO };
        // A run that begins at a constant is that constant over and over.
        let side_by_side = places.iter().zip(first.0..).all(|(place, expected)| place.0 == expected);
        if side_by_side && (first.0 >= CONSTANTS || places.len() == 1) {
            return first;
        }
        let operands: Vec<u32> =
            std::iter::once(places.len() as u32).chain(places.iter().map(|place| place.0)).collect();
        self.emit(Operation::Gather, &operands, places.len() as u32)
    }

    /// The sum over rows of their weight times the weights of the first columns, `row + 1 - shift` of them.
    pub fn prefix(&mut self, rows: Place, columns: Place, size: usize, shift: usize) -> Place {
        self.emit(Operation::Prefix, &[rows.0, columns.0, size as u32, shift as u32], 1)
    }

    /// The sum over rows of their weight times `eq` at their public word, or at all numbers below it.
    pub fn over_words(
        &mut self,
        operation: Operation,
        (rows, count): (Place, usize),
        word: usize,
        (columns, bits): (Place, usize),
    ) -> Place {
        self.emit(operation, &[rows.0, count as u32, word as u32, columns.0, bits as u32], 1)
    }

    /// Let a place be the last of the tape.
    pub fn leave(&mut self, place: Place) {
        self.emit(Operation::Gather, &[1, place.0], 1);
    }

    /// Demand that two places are equal.
    pub fn check(&mut self, a: Place, b: Place) {
        self.emit(Operation::Check, &[a.0, b.0], 0);
    }
}
