//! A witness from the relations alone: each tensor is what the relation that defines it makes of those before it. A second engine, and
//! one that can be lied to: whatever entry is changed on the way, all that follows is computed from the change.

use obelysk_statement::axis::AxisId;
use obelysk_statement::relation::{Access, Index, Linear, Monomial, NamedRelation, Relation, TensorKind};
use obelysk_statement::{Statement, TensorId};
use obelysk_witness::{Assignment, Weights};

/// What becomes of an entry, by tensor, place and the value that follows from what is before it. Choices of a position have the
/// names [`LEADING`] and [`LARGEST`] after a tensor's name.
pub type Change<'a> = &'a dyn Fn(&str, usize, i64) -> i64;

/// Most passes over all relations.
const PASSES: usize = 20;

/// The position of a leading digit.
pub const LEADING: &str = " position";
/// The key whose score is the largest.
pub const LARGEST: &str = " key";

/// Values of all tensors, those that the verifier knows among them.
pub struct Solver<'a> {
    statement: &'a Statement,
    values: Vec<Vec<i64>>,
    change: Change<'a>,
}

/// An access as strides of a box.
struct Strided {
    tensor: usize,
    start: usize,
    strides: Vec<usize>,
    /// Stride and length of what is summed.
    summed: Option<(usize, usize)>,
}

impl<'a> Solver<'a> {
    /// Before anything is known but weights and public tensors.
    #[must_use]
    pub fn new(statement: &'a Statement, weights: &Weights, change: Change<'a>) -> Self {
        let values = statement.tensors.iter().enumerate().map(|(position, tensor)| {
            let id = TensorId(u32::try_from(position).expect("few tensors"));
            let shape = statement.shape(id);
            match &tensor.kind {
                TensorKind::Witness => vec![0; statement.len_of(id)],
                TensorKind::Weight => weights[&tensor.name].iter().map(i64::from).collect(),
                TensorKind::Public(public) => public.entries(&shape).collect(),
            }
        });
        Self { statement, values: values.collect(), change }
    }

    /// The witness. Layers feed each other, so it takes as many passes as values take to arrive everywhere.
    ///
    /// # Panics
    /// If they never do.
    #[must_use]
    pub fn solve(mut self) -> Assignment {
        let statement = self.statement;
        let arrived = (0..PASSES).any(|_| {
            let before = self.values.clone();
            statement.relations.iter().for_each(|named| self.define(named));
            self.values == before
        });
        assert!(arrived, "values still change after {PASSES} passes");
        let witnesses =
            statement.tensors.iter().zip(&self.values).filter(|(tensor, _)| tensor.kind == TensorKind::Witness);
        let counts = |name: &str| name.ends_with(": multiplicity");
        let fits = |&value: &i64| i32::try_from(value).unwrap_or(i32::MAX);
        let entries = witnesses.filter(|(tensor, _)| !counts(&tensor.name));
        entries.map(|(tensor, values)| (tensor.name.clone(), values.iter().map(fits).collect())).collect()
    }

    /// From values that are right in part: those arrive sooner.
    #[must_use]
    pub fn starting_at(mut self, witness: &Assignment) -> Self {
        for (tensor, values) in self.statement.tensors.iter().zip(&mut self.values) {
            if let Some(known) = witness.get(&tensor.name).filter(|_| tensor.kind == TensorKind::Witness) {
                *values = known.iter().map(|&entry| entry.into()).collect();
            }
        }
        self
    }

    /// The logits that the head compares, from its relation.
    ///
    /// # Panics
    /// If the statement has no head.
    #[must_use]
    pub fn logits(&self) -> Vec<i64> {
        let head = self.statement.relations.iter().find(|named| named.name == "logit_gap: best minus logit");
        self.contracted(head.expect("a head"))
    }

    fn define(&mut self, named: &NamedRelation) {
        match (named.name.as_str(), &named.relation) {
            ("is_maximum: one key", _) => self.largest_scores(),
            ("score: query times key", _) if self.find("score_difference").is_some() => {}
            (name, _) if name.ends_with(".leading: one position") => self.leading_digit(name),
            ("logit_gap: best minus logit", Relation::Product { output, .. }) => {
                let logits = self.contracted(named);
                self.best(&logits, named);
                self.decompose(named, &scaled(output, -1), logits.iter().map(|value| -value).collect());
            }
            (_, Relation::Product { output, contractions, .. }) => {
                let sign = match named.name.as_str() {
                    "denominator: sum of numerators" | "total_probability: sum" => -1,
                    _ => 1,
                };
                let sums = if contractions.is_empty() { vec![0; self.size(named)] } else { self.contracted(named) };
                self.decompose(named, &scaled(output, sign), sums.into_iter().map(|sum| sign * sum).collect());
            }
            (name, Relation::Rows { monomials }) => {
                let sign = if name.ends_with(".window: leading digits") { 1 } else { -1 };
                if !name.ends_with(".leading: boolean") && !name.ends_with(".leading: nothing above") {
                    self.solve_rows(named, monomials, sign);
                }
            }
            (_, Relation::Lookup(lookup)) => {
                if let [first, Linear { terms, constant: 0 }] = lookup.columns.as_slice()
                    && let [(1, second)] = terms.as_slice()
                {
                    let rows = &self.statement.tables[usize::from(lookup.table.0)].rows;
                    let value = |row| match rows.committed(1) {
                        Some(values) => self.values[values.0 as usize][row],
                        None => rows.value(1, row),
                    };
                    let arguments = self.form(named, first);
                    let mask = lookup.mask.as_ref().map(|mask| self.all(named, mask));
                    let of = |(place, argument): (usize, &i64)| {
                        let row = usize::try_from(argument - rows.first()).unwrap_or(0).min((1 << rows.bits()) - 1);
                        if mask.as_ref().is_some_and(|mask| mask[place] == 0) { 0 } else { value(row) }
                    };
                    let values = arguments.iter().enumerate().map(of).collect();
                    self.set(named, second, values);
                }
            }
            (_, Relation::Vanishing { .. }) => {}
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.statement.find(name).map(|id| id.0 as usize)
    }

    fn size(&self, named: &NamedRelation) -> usize {
        self.sizes(&named.axes).iter().product()
    }

    fn sizes(&self, axes: &[AxisId]) -> Vec<usize> {
        axes.iter().map(|&axis| self.statement.axis(axis).size).collect()
    }

    fn strided(&self, access: &Access, axes: &[AxisId]) -> Strided {
        let shape = self.statement.shape(access.tensor);
        let mut strided =
            Strided { tensor: access.tensor.0 as usize, start: 0, strides: vec![0; axes.len()], summed: None };
        let mut stride = 1;
        for (index, size) in access.index.iter().zip(&shape).rev() {
            match *index {
                Index::Axis(axis) | Index::First(axis) => {
                    strided.strides[axes.iter().position(|&own| own == axis).expect("an axis of the relation")] =
                        stride;
                }
                Index::Fixed(place) => strided.start += place * stride,
                Index::Sum => strided.summed = Some((stride, *size)),
            }
            stride *= size;
        }
        strided
    }

    fn at(&self, strided: &Strided, index: &[usize]) -> i64 {
        let place = strided.start + dot(&strided.strides, index);
        let values = &self.values[strided.tensor];
        match strided.summed {
            None => values[place],
            Some((stride, size)) => (0..size).map(|i| values[place + i * stride]).sum(),
        }
    }

    /// An access at every place of a relation's box.
    fn all(&self, named: &NamedRelation, access: &Access) -> Vec<i64> {
        let (strided, sizes) = (self.strided(access, &named.axes), self.sizes(&named.axes));
        (0..self.size(named)).map(|place| self.at(&strided, &index(&sizes, place))).collect()
    }

    fn form(&self, named: &NamedRelation, form: &Linear) -> Vec<i64> {
        let mut values = vec![form.constant; self.size(named)];
        for (coefficient, access) in &form.terms {
            values.iter_mut().zip(self.all(named, access)).for_each(|(sum, value)| *sum += coefficient * value);
        }
        values
    }

    /// The sum of contractions at every place of a relation's box.
    fn contracted(&self, named: &NamedRelation) -> Vec<i64> {
        let Relation::Product { contractions, summed, .. } = &named.relation else { unreachable!("a product") };
        let axes = [named.axes.as_slice(), summed].concat();
        let (outer, inner) = (self.sizes(&named.axes), self.sizes(summed));
        let steps: Vec<Vec<usize>> = (0..inner.iter().product()).map(|step| index(&inner, step)).collect();
        let mut sums = vec![0; self.size(named)];
        for contraction in contractions {
            let [left, right] = [&contraction.left, &contraction.right].map(|access| self.strided(access, &axes));
            let along = |strided: &Strided| -> Vec<usize> {
                steps.iter().map(|step| dot(&strided.strides[outer.len()..], step)).collect()
            };
            let inside: Vec<(usize, usize)> = along(&left).into_iter().zip(along(&right)).collect();
            let [left_values, right_values] = [&left, &right].map(|strided| &self.values[strided.tensor]);
            for (place, sum) in sums.iter_mut().enumerate() {
                let index = index(&outer, place);
                let [left, right] =
                    [&left, &right].map(|strided| strided.start + dot(&strided.strides[..outer.len()], &index));
                let products = inside.iter().map(|(l, r)| left_values[left + l] * right_values[right + r]);
                *sum += contraction.coefficient * products.sum::<i64>();
            }
        }
        sums
    }

    /// Set a tensor where an access of a relation's box reads it.
    fn set(&mut self, named: &NamedRelation, access: &Access, values: Vec<i64>) -> Vec<i64> {
        let (strided, sizes) = (self.strided(access, &named.axes), self.sizes(&named.axes));
        let name = &self.statement.tensor(access.tensor).name;
        let changed = values.into_iter().enumerate().map(|(place, value)| {
            let place = strided.start + dot(&strided.strides, &index(&sizes, place));
            self.values[strided.tensor][place] = (self.change)(name, place, value);
            self.values[strided.tensor][place]
        });
        changed.collect()
    }

    /// Give the terms of a form with positive coefficients the values that make it `sums`: the largest coefficient first, each as large
    /// as the intervals of the others let it be. What is left after a lie is the last term's.
    fn decompose(&mut self, named: &NamedRelation, form: &Linear, sums: Vec<i64>) {
        let is_witness = |access: &Access| self.statement.tensor(access.tensor).kind == TensorKind::Witness;
        let (mut open, known): (Vec<_>, Vec<_>) = form.terms.iter().cloned().partition(|(coefficient, access)| {
            *coefficient > 0 && is_witness(access) && access.index.iter().all(|index| *index != Index::Sum)
        });
        let known = self.form(named, &Linear { terms: known, constant: form.constant });
        let mut rest: Vec<i64> = sums.iter().zip(known).map(|(sum, known)| sum - known).collect();
        open.sort_by_key(|(coefficient, _)| std::cmp::Reverse(*coefficient));
        for (place, (coefficient, access)) in open.iter().enumerate() {
            let low =
                |(coefficient, access): &(i64, Access)| coefficient * self.statement.tensor(access.tensor).interval.low;
            let lows: i64 = open[place + 1..].iter().map(low).sum();
            let values = rest.iter().map(|rest| (rest - lows).div_euclid(*coefficient)).collect();
            let values = self.set(named, access, values);
            rest.iter_mut().zip(values).for_each(|(rest, value)| *rest -= coefficient * value);
        }
    }

    /// As [`Solver::decompose`], for the monomials of a sign: the last factor of each is open, the others are known.
    fn solve_rows(&mut self, named: &NamedRelation, monomials: &[Monomial], sign: i64) {
        let value = |solver: &Self, factors: &[Access]| -> Vec<i64> {
            let ones = vec![1; solver.size(named)];
            factors.iter().fold(ones, |product, access| {
                product.into_iter().zip(solver.all(named, access)).map(|(product, value)| product * value).collect()
            })
        };
        let is_open = |monomial: &&Monomial| {
            let last = monomial.factors.last().map(|access| self.statement.tensor(access.tensor));
            monomial.coefficient.signum() == sign && last.is_some_and(|tensor| tensor.kind == TensorKind::Witness)
        };
        let (mut open, known): (Vec<&Monomial>, Vec<&Monomial>) = monomials.iter().partition(is_open);
        let mut rest = vec![0; self.size(named)];
        for monomial in known {
            let values = value(self, &monomial.factors);
            rest.iter_mut().zip(values).for_each(|(rest, value)| *rest -= sign * monomial.coefficient * value);
        }
        open.sort_by_key(|monomial| {
            (std::cmp::Reverse(monomial.factors.len()), std::cmp::Reverse(monomial.coefficient.abs()))
        });
        for (place, monomial) in open.iter().enumerate() {
            let (access, others) = monomial.factors.split_last().expect("an open factor");
            let lows: i64 = open[place + 1..]
                .iter()
                .map(|other| other.coefficient.abs() * self.statement.tensor(other.factors[0].tensor).interval.low)
                .sum();
            let factor: Vec<i64> = value(self, others).iter().map(|value| monomial.coefficient.abs() * value).collect();
            let values =
                rest.iter().zip(&factor).map(|(rest, factor)| (rest - lows).div_euclid((*factor).max(1))).collect();
            let values = self.set(named, access, values);
            rest.iter_mut().zip(values).zip(factor).for_each(|((rest, value), factor)| *rest -= factor * value);
        }
    }

    fn leading_digit(&mut self, name: &str) {
        let name = name.strip_suffix(".leading: one position").expect("named so");
        let [leading, digits] = ["leading", "digits"].map(|part| self.find(&format!("{name}.{part}")).expect("a norm"));
        let of = |tensor: usize| *self.statement.shape(TensorId(tensor as u32)).last().expect("an axis");
        let (positions, count) = (of(leading), of(digits));
        let lowest = count - positions;
        for row in 0..self.values[leading].len() / positions {
            let own = &self.values[digits][row * count..][..count];
            let position = own.iter().rposition(|&digit| digit != 0).unwrap_or(0).max(lowest);
            let position = (self.change)(&format!("{name}.leading{LEADING}"), row, position as i64);
            for flag in 0..positions {
                let place = row * positions + flag;
                let value = i64::from(flag + lowest == position as usize);
                self.values[leading][place] = (self.change)(&format!("{name}.leading"), place, value);
            }
        }
    }

    /// Maximum, selector and differences of every row of scores.
    fn largest_scores(&mut self) {
        let relation =
            |name: &str| self.statement.relations.iter().find(|named| named.name == name).expect("attention");
        let product = relation("score: query times key");
        let seen = relation("is_maximum: seen");
        let Relation::Vanishing { left: hidden, .. } = &seen.relation else { unreachable!("a selector that vanishes") };
        let hidden = self.form(seen, hidden);
        let capped = self.find("capped_score");
        let scores = match capped {
            Some(capped) => self.values[capped].clone(),
            None => {
                let Relation::Product { output, .. } = &product.relation else { unreachable!("a product") };
                let unit = -2 * output.constant;
                self.contracted(product).iter().map(|sum| (sum + unit / 2).div_euclid(unit)).collect()
            }
        };
        let keys = self.sizes(&product.axes[product.axes.len() - 1..])[0];
        let end = self.statement.relations.iter().find_map(|named| match &named.relation {
            Relation::Vanishing { right, .. } if named.name == "score_beyond: only at the end" => Some(right.constant),
            _ => None,
        });
        let selector = self.find("is_maximum").expect("attention");
        for row in 0..scores.len() / keys {
            let own = row * keys..(row + 1) * keys;
            let visible = own.clone().filter(|&place| hidden[place] == 0);
            let largest = visible.rev().max_by_key(|&place| scores[place]).expect("a position sees itself");
            let key = (self.change)(&format!("is_maximum{LARGEST}"), row, (largest - own.start) as i64);
            let largest = own.start + key as usize;
            let maximum = self.set_wide("maximum", row, scores[largest]);
            for place in own {
                self.values[selector][place] = (self.change)("is_maximum", place, i64::from(place == largest));
                if let Some(end) = end {
                    let below = maximum - scores[place];
                    let inside = (0..=end).contains(&below);
                    let difference = self.find("score_difference").expect("attention");
                    let value = (self.change)("score_difference", place, if inside { below } else { end });
                    self.values[difference][place] = value;
                    self.set_wide("score_beyond", place, below - value);
                }
            }
        }
        if end.is_some() {
            let Relation::Product { output, .. } = &product.relation else { unreachable!("a product") };
            let is_remainder = |access: &Access| self.statement.tensor(access.tensor).name == "score.remainder";
            let (remainder, known): (Vec<_>, Vec<_>) =
                output.terms.iter().cloned().partition(|(_, access)| is_remainder(access));
            let known = self.form(product, &Linear { terms: known, constant: output.constant });
            let rest = self.contracted(product).iter().zip(known).map(|(sum, known)| sum - known).collect();
            self.set(product, &remainder[0].1, rest);
        }
    }

    /// Set a number of one limb or two; returns what it is.
    fn set_wide(&mut self, name: &str, place: usize, value: i64) -> i64 {
        let value = (self.change)(name, place, value);
        match self.find(name) {
            Some(tensor) => self.values[tensor][place] = value,
            None => return self.set_limbs(name, place, value, 16),
        }
        value
    }

    fn set_limbs(&mut self, name: &str, place: usize, value: i64, bits: u32) -> i64 {
        let limbs = [("low", value & ((1 << bits) - 1)), ("high", value >> bits)].map(|(limb, value)| {
            let limb = format!("{name}.{limb}");
            let tensor = self.find(&limb).expect("two limbs");
            self.values[tensor][place] = (self.change)(&limb, place, value);
            self.values[tensor][place]
        });
        limbs[0] + (limbs[1] << bits)
    }

    /// The best logit of every row.
    fn best(&mut self, logits: &[i64], named: &NamedRelation) {
        let width = *self.sizes(&named.axes).last().expect("an axis");
        for (row, logits) in logits.chunks_exact(width).enumerate() {
            let best = (self.change)("best", row, *logits.iter().max().expect("a vocabulary"));
            self.set_limbs("best", row, best, 15);
        }
    }
}

fn dot(strides: &[usize], index: &[usize]) -> usize {
    strides.iter().zip(index).map(|(stride, i)| stride * i).sum()
}

/// The index of a place in a box.
fn index(sizes: &[usize], mut place: usize) -> Vec<usize> {
    let mut index = vec![0; sizes.len()];
    for (coordinate, size) in index.iter_mut().zip(sizes).rev() {
        *coordinate = place % size;
        place /= size;
    }
    index
}

fn scaled(form: &Linear, sign: i64) -> Linear {
    let terms = form.terms.iter().map(|(coefficient, access)| (sign * coefficient, access.clone()));
    Linear { terms: terms.collect(), constant: sign * form.constant }
}
