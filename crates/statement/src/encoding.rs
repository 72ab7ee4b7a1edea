//! The statement as words, and its digest: everything that decides what is proven, in one order. Names, intervals and certificates are
//! left out, which decide nothing; so are tokens, which are public inputs of their own: the digest is a constant of model and shape.

use crate::axis::AxisId;
use crate::blake2s::{hash_words, initial};
use crate::relation::{Access, Index, Linear, Relation, TensorKind};
use crate::table::TableRows;
use crate::tree::Digest;
use crate::{PublicTensor, Statement};

/// State before the first block of a statement's words.
const STATEMENT: [u32; 8] = initial(*b"obelstmt");

/// Words in order.
#[derive(Default)]
struct Words(Vec<u32>);

impl Statement {
    /// Blake2s of [`Statement::encoded`], cut to seven words.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_state(hash_words(STATEMENT, self.encoded()))
    }

    /// The words of the statement. Every list is preceded by its length, every alternative by its number.
    #[must_use]
    pub fn encoded(&self) -> Vec<u32> {
        let mut words = Words::default();
        words.list(&self.axes, |words, axis| words.number(axis.size));
        words.list(&self.tensors, |words, tensor| {
            words.axes(&tensor.axes);
            match &tensor.kind {
                TensorKind::Witness => words.number(0),
                TensorKind::Weight => words.number(1),
                TensorKind::Public(public) => {
                    words.number(2);
                    words.public(public);
                }
            }
        });
        words.list(&self.tables, |words, table| {
            words.number(table.multiplicity.0 as usize);
            match &table.rows {
                TableRows::Range { bits } => words.numbers(&[0, *bits]),
                TableRows::Clamp { bits, low, high } => {
                    words.numbers(&[1, *bits]);
                    words.integer((*low).into());
                    words.integer((*high).into());
                }
                TableRows::Function { bits, first, values } => {
                    words.numbers(&[2, *bits]);
                    words.integer((*first).into());
                    words.number(values.0 as usize);
                }
            }
        });
        words.list(&self.relations, |words, named| {
            words.axes(&named.axes);
            words.relation(&named.relation);
        });
        words.0
    }

    /// The tokens that public tensors hold, as words: the bounds and selected columns of every row, in order of the tensors.
    #[must_use]
    pub fn public_inputs(&self) -> Vec<u32> {
        let inputs = self.tensors.iter().map(|tensor| match &tensor.kind {
            TensorKind::Public(PublicTensor::OneHot { columns, .. }) => columns.as_slice(),
            TensorKind::Public(PublicTensor::Below { bounds, .. }) => bounds.as_slice(),
            _ => &[],
        });
        inputs.flatten().copied().collect()
    }
}

impl Words {
    fn number(&mut self, number: usize) {
        self.0.push(u32::try_from(number).expect("sizes of a statement have 32 bits"));
    }

    fn numbers(&mut self, numbers: &[usize]) {
        numbers.iter().for_each(|&number| self.number(number));
    }

    /// Low word first.
    fn integer(&mut self, value: i64) {
        let bits = value.cast_unsigned();
        self.0.extend([bits as u32, (bits >> 32) as u32]);
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.number(items.len());
        items.iter().for_each(|item| each(self, item));
    }

    fn axes(&mut self, axes: &[AxisId]) {
        self.list(axes, |words, axis| words.number(axis.0.into()));
    }

    fn public(&mut self, public: &PublicTensor) {
        match public {
            PublicTensor::Causal { size } => self.numbers(&[0, *size]),
            PublicTensor::Windowed { windows, size } => {
                self.numbers(&[1, *size]);
                self.list(windows, |words, &window| {
                    words.integer(i64::try_from(window).expect("windows are positions"))
                });
            }
            PublicTensor::OneHot { columns, rows, width } => self.numbers(&[2, columns.len() / rows, *rows, *width]),
            PublicTensor::Below { bounds, rows, width } => self.numbers(&[3, bounds.len() / rows, *rows, *width]),
            PublicTensor::Previous { size } => self.numbers(&[4, *size]),
            PublicTensor::Dense { shape, values } => {
                self.number(5);
                self.list(shape, |words, &size| words.number(size));
                self.list(values, |words, &value| words.integer(value.into()));
            }
        }
    }

    fn access(&mut self, access: &Access) {
        self.number(access.tensor.0 as usize);
        self.list(&access.index, |words, index| match index {
            Index::Axis(axis) => words.numbers(&[0, axis.0.into()]),
            Index::Fixed(value) => words.numbers(&[1, *value]),
            Index::Sum => words.number(2),
            Index::First(axis) => words.numbers(&[3, axis.0.into()]),
        });
    }

    fn linear(&mut self, form: &Linear) {
        self.list(&form.terms, |words, (coefficient, access)| {
            words.integer(*coefficient);
            words.access(access);
        });
        self.integer(form.constant);
    }

    fn relation(&mut self, relation: &Relation) {
        match relation {
            Relation::Product { output, contractions, summed } => {
                self.number(0);
                self.linear(output);
                self.list(contractions, |words, contraction| {
                    words.integer(contraction.coefficient);
                    words.access(&contraction.left);
                    words.access(&contraction.right);
                });
                self.axes(summed);
            }
            Relation::Rows { monomials } => {
                self.number(1);
                self.list(monomials, |words, monomial| {
                    words.integer(monomial.coefficient);
                    words.list(&monomial.factors, Self::access);
                });
            }
            Relation::Vanishing { left, right } => {
                self.number(2);
                self.linear(left);
                self.linear(right);
            }
            Relation::Lookup(lookup) => {
                self.numbers(&[3, lookup.table.0.into()]);
                self.list(&lookup.columns, Self::linear);
                self.list(lookup.mask.as_slice(), Self::access);
            }
        }
    }
}
