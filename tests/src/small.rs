//! The smallest statement with a relation of every kind, and values that satisfy it.

use std::sync::Arc;

use obelysk_prover::{Backend, CommittedModel, Cpu, prove};
use obelysk_statement::relation::{Contraction, Index, Linear, Relation};
use obelysk_statement::table::{TableId, TableRows};
use obelysk_statement::{PublicTensor, Statement};
use obelysk_verifier::{VerifyError, verify};
use obelysk_witness::{Assignment, Entries, Weights, fill_multiplicities};

use crate::liar::{Liar, Lie};
use crate::sketch::{Sketch, at, by, form, lookup, rows, zero};

/// A statement with values, true or not.
#[derive(Clone)]
pub struct Small {
    /// What is claimed.
    pub statement: Statement,
    /// Values of weights with their commitment.
    pub model: Arc<CommittedModel>,
    /// Values of witness tensors, multiplicities among them once they are counted.
    pub witness: Assignment,
}

/// Number of rows: two tiles.
pub const ROWS: usize = 3;
/// What the claim is.
pub const HEADER: &[u8] = b"a claim";

/// The function of four bits that the statement looks up.
#[must_use]
pub fn function(argument: i32) -> i32 {
    (3 * argument + 1) % 16
}

impl Small {
    /// The statement, and values that satisfy it.
    #[must_use]
    pub fn new() -> Self {
        let mut sketch = Sketch::default();
        let [row, k] = [ROWS, 2].map(|size| sketch.axis(size));
        let range = |sketch: &mut Sketch, bits| sketch.table(&format!("{bits} bits"), TableRows::Range { bits });
        let [two, four] = [2, 4].map(|bits| range(&mut sketch, bits));
        let functions = sketch.function("function", (4, 0), (0, 15));
        // The last one is so large that the opening has more than one codeword.
        let [five, seven, thirteen] = [5, 7, 13].map(|bits| range(&mut sketch, bits));

        let pairs = [row, k];
        let [w, v] = ["w", "v"].map(|name| at(sketch.weight(name, &[k], (0, 3)), &[k]));
        let a = sketch.ranged("a", &pairs, four);
        let b = at(sketch.ranged("b", &pairs, two), &pairs);
        let [x, y, z, square, u] = [("x", two), ("y", four), ("z", seven), ("square", seven), ("u", four)]
            .map(|(name, table)| at(sketch.ranged(name, &[row], table), &[row]));
        for (name, right, table) in
            [("a times w", w.clone(), seven), ("a times v", v, seven), ("a times b", b, thirteen)]
        {
            let output = at(sketch.ranged(name, &[row], table), &[row]);
            let contractions = vec![Contraction { coefficient: 1, left: at(a, &pairs), right }];
            let relation = Relation::Product { output: form(&[(1, &output)], 0), contractions, summed: vec![k] };
            sketch.relation(&format!("{name}: product"), &[row], relation);
        }
        let sum = at(sketch.ranged("sum", &[row], five), &[row]);
        let output = form(&[(1, &sum), (-1, &by(a, &[Index::Axis(row), Index::Sum]))], 0);
        sketch.relation("sum: of a", &[row], zero(output));
        let mixed = at(sketch.ranged("mixed", &pairs, five), &pairs);
        let second = by(sketch.statement.find("b").expect("a tensor"), &[Index::Axis(row), Index::Fixed(1)]);
        let output = form(&[(1, &mixed), (-1, &at(a, &pairs)), (-2, &x), (-1, &second), (-1, &w)], -3);
        sketch.relation("mixed: sum", &pairs, zero(output));
        sketch.relation("z: product", &[row], rows(&[(1, &[&x, &y]), (-1, &[&z])]));
        sketch.relation("square: of x", &[row], rows(&[(1, &[&x, &x]), (-1, &[&square])]));
        let [left, right] = [&x, &u].map(|factor| form(&[(1, factor)], 0));
        sketch.relation("x or u", &[row], Relation::Vanishing { left, right });
        let f = at(sketch.looked_up("f", &[row], (0, 15)), &[row]);
        let columns = [&y, &f].map(|access| form(&[(1, access)], 0));
        sketch.relation("f: table", &[row], lookup(functions, columns.to_vec(), None));
        let dense = PublicTensor::Dense { shape: vec![ROWS], values: Arc::new(vec![1, 0, 1]) };
        let mask = at(sketch.public("mask", &[row], dense), &[row]);
        let m = at(sketch.unbounded("m", &[row]), &[row]);
        sketch.relation(
            "m: range",
            &[row],
            lookup(four, vec![Linear { terms: vec![(1, m)], constant: 0 }], Some(mask)),
        );

        let weights: [(&str, [i16; 2]); 2] = [("w", [2, 3]), ("v", [1, 3])];
        let model = commit(&sketch.statement, weights);
        let witness: [(&str, &[i32]); 6] = [
            ("a", &[7, 12, 15, 0, 3, 9]),
            ("b", &[1, 2, 3, 0, 2, 1]),
            ("x", &[0, 2, 3]),
            ("y", &[4, 11, 6]),
            ("u", &[5, 0, 0]),
            ("m", &[9, 77, 2]),
        ];
        let witness = witness.into_iter().map(|(name, values)| (name.to_owned(), values.to_vec())).collect();
        let mut small = Self { statement: sketch.statement, model, witness };
        small.complete();
        small
    }

    /// An entry of the witness.
    pub fn entry(&mut self, tensor: &str, place: usize) -> &mut i32 {
        &mut self.witness.get_mut(tensor).expect("a tensor of the statement")[place]
    }

    /// What follows from `a`, `b`, `x` and `y`, multiplicities last.
    pub fn complete(&mut self) {
        let value = |name: &str, place: usize| self.witness[name][place];
        let weight = |name: &str, k: usize| self.model.weights()[name].get(k);
        let pairs = |row: usize, other: &dyn Fn(usize) -> i32| (0..2).map(|k| value("a", 2 * row + k) * other(k)).sum();
        let by_row = |of: &dyn Fn(usize) -> i32| (0..ROWS).map(of).collect::<Vec<i32>>();
        let mixed = |place: usize| {
            let row = place / 2;
            value("a", place) + 2 * value("x", row) + value("b", 2 * row + 1) + weight("w", place % 2) + 3
        };
        let derived = [
            ("a times w", by_row(&|row| pairs(row, &|k| weight("w", k)))),
            ("a times v", by_row(&|row| pairs(row, &|k| weight("v", k)))),
            ("a times b", by_row(&|row| pairs(row, &|k| value("b", 2 * row + k)))),
            ("sum", by_row(&|row| pairs(row, &|_| 1))),
            ("z", by_row(&|row| value("x", row) * value("y", row))),
            ("square", by_row(&|row| value("x", row) * value("x", row))),
            ("f", by_row(&|row| function(value("y", row)))),
            ("mixed", (0..2 * ROWS).map(mixed).collect()),
        ];
        self.witness.extend(derived.map(|(name, values)| (name.to_owned(), values)));
        self.count();
    }

    /// Count what is looked up; what is in no row is not counted.
    pub fn count(&mut self) {
        let _ = fill_multiplicities(&self.statement, self.model.weights(), &mut self.witness);
    }

    /// The same statement of a model with other weights.
    #[must_use]
    pub fn with_weights(&self, weights: [(&str, [i16; 2]); 2]) -> Self {
        let mut other = Self { model: commit(&self.statement, weights), ..self.clone() };
        other.complete();
        other
    }

    /// Count `by` more lookups of a row of a table.
    pub fn count_row(&mut self, table: &str, row: usize, by: i32) {
        *self.entry(&format!("{table}: multiplicity"), row) += by;
    }

    /// The table of a name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn table(&self, name: &str) -> TableId {
        let place =
            self.statement.tables.iter().position(|table| table.name == name).expect("a table of the statement");
        TableId(u16::try_from(place).expect("few tables"))
    }

    /// The proof that a device makes of it.
    ///
    /// # Panics
    /// If the device gives up.
    pub fn prove_on<B: Backend<Model = CommittedModel>>(&self, device: &B) -> Vec<u8> {
        let proven = prove(device, &self.statement, HEADER, &self.model, self.witness.clone());
        proven.expect("the device proves anything").proof
    }

    /// The proof that honest code makes of it, true or not.
    #[must_use]
    pub fn prove(&self) -> Vec<u8> {
        self.prove_on(&Cpu)
    }

    /// The proof of a device that commits to it and tells another story.
    #[must_use]
    pub fn lie(&self, told: &Self, lies: &[Lie]) -> Vec<u8> {
        self.prove_on(&Liar::new(&told.statement, &told.model, &told.witness, lies))
    }

    /// What the verifier says of a proof.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, proof: &[u8]) -> Result<(), VerifyError> {
        verify(&self.statement, HEADER, self.model.root(), proof).map(drop)
    }
}

fn commit(statement: &Statement, weights: [(&str, [i16; 2]); 2]) -> Arc<CommittedModel> {
    let mut weights: Weights =
        weights.into_iter().map(|(name, entries)| (name.to_owned(), Entries::I16(entries.to_vec()))).collect();
    let mut values = Entries::within(15);
    values.extend_from_slice(&(0..16).map(function).collect::<Vec<i32>>());
    weights.insert("function: value".into(), values);
    Arc::new(CommittedModel::new(statement, Arc::new(weights)).expect("a small size"))
}

impl Default for Small {
    fn default() -> Self {
        Self::new()
    }
}
