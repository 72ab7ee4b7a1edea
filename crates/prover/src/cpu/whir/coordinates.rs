//! Vectors of challenges as four vectors of coordinates, which is what the arithmetic of whole registers wants.

use obelysk_statement::words::CHALLENGE_WORDS;
use obelysk_statement::{Challenge, Value};
use p3_field::{BasedVectorSpace, PackedValue as _, PrimeCharacteristicRing};
use rayon::prelude::*;

use crate::packed::{PackedChallenge, PackedValue, total};

/// Part of a vector of challenges.
pub(crate) type Part<'a, P = Value> = [&'a [P]; CHALLENGE_WORDS];
/// Part of a vector of challenges, to change.
pub(crate) type PartMut<'a, P = Value> = [&'a mut [P]; CHALLENGE_WORDS];

/// Entries that one task handles.
pub(crate) const TASK: usize = 1 << 12;

/// A vector of challenges.
#[derive(Clone)]
pub struct Coordinates([Vec<Value>; CHALLENGE_WORDS]);

/// One challenge, or as many as a register holds.
trait Lanes<P>: PrimeCharacteristicRing + BasedVectorSpace<P> + From<Challenge> + Copy
where
    P: PrimeCharacteristicRing + Copy,
{
    fn load(part: &[impl AsRef<[P]>; CHALLENGE_WORDS], index: usize) -> Self {
        Self::from_basis_coefficients_fn(|coordinate| part[coordinate].as_ref()[index])
    }

    fn store(self, part: &mut PartMut<P>, index: usize) {
        for (vector, &value) in part.iter_mut().zip(self.as_basis_coefficients_slice()) {
            vector[index] = value;
        }
    }
}

impl<P, L> Lanes<P> for L
where
    P: PrimeCharacteristicRing + Copy,
    L: PrimeCharacteristicRing + BasedVectorSpace<P> + From<Challenge> + Copy,
{
}

/// Whether a vector of this length consists of whole registers.
fn is_packed(length: usize) -> bool {
    length.is_multiple_of(PackedValue::WIDTH)
}

fn pack<'a>(part: Part<'a>) -> Part<'a, PackedValue> {
    part.map(PackedValue::pack_slice)
}

fn pack_mut<'a>(part: PartMut<'a>) -> PartMut<'a, PackedValue> {
    part.map(PackedValue::pack_slice_mut)
}

impl Coordinates {
    /// A vector of these coordinates, all of one length.
    #[must_use]
    pub fn new(coordinates: [Vec<Value>; CHALLENGE_WORDS]) -> Self {
        assert!(coordinates.iter().all(|vector| vector.len() == coordinates[0].len()), "coordinates of one vector");
        Self(coordinates)
    }

    pub(crate) fn zero(length: usize) -> Self {
        Self(std::array::from_fn(|_| vec![Value::ZERO; length]))
    }

    pub(crate) fn len(&self) -> usize {
        self.0[0].len()
    }

    pub(crate) fn to_vec(&self) -> Vec<Challenge> {
        (0..self.len()).map(|index| Challenge::load(&self.0, index)).collect()
    }

    pub(crate) fn coordinate(&self, coordinate: usize) -> &[Value] {
        &self.0[coordinate]
    }

    pub(crate) fn part(&self, from: usize, length: usize) -> Part<'_> {
        self.0.each_ref().map(|vector| &vector[from..from + length])
    }

    pub(crate) fn part_mut(&mut self, from: usize, length: usize) -> PartMut<'_> {
        self.0.each_mut().map(|vector| &mut vector[from..from + length])
    }

    /// Parts of equal length, for tasks.
    pub(crate) fn parts_mut(&mut self, length: usize) -> impl IndexedParallelIterator<Item = PartMut<'_>> {
        let [a, b, c, d] = self.0.each_mut().map(|vector| vector.par_chunks_mut(length));
        a.zip(b).zip(c.zip(d)).map(|((a, b), (c, d))| [a, b, c, d])
    }

    /// The table of `eq(point, index)`.
    pub(crate) fn eq_table(point: &[Challenge]) -> Self {
        let mut table = Self::zero(1 << point.len());
        Challenge::ONE.store(&mut table.part_mut(0, 1), 0);
        // The least significant coordinate first: each doubles the part that is known.
        for (known, &coordinate) in point.iter().rev().enumerate() {
            let halves = table.0.each_mut().map(|vector| vector[..2 << known].split_at_mut(1 << known));
            let [(a0, a1), (b0, b1), (c0, c1), (d0, d1)] = halves;
            let (low, high) = ([a0, b0, c0, d0], [a1, b1, c1, d1]);
            if is_packed(1 << known) {
                double::<_, PackedChallenge>(pack_mut(low), pack_mut(high), coordinate);
            } else {
                double::<_, Challenge>(low, high, coordinate);
            }
        }
        table
    }

    /// Bind the most significant variable.
    pub(crate) fn bind(&mut self, challenge: Challenge) {
        let half = self.len() / 2;
        let task = TASK.min(half);
        let (mut low, mut high) = (Self(Default::default()), Self(Default::default()));
        for (vector, (low, high)) in self.0.iter_mut().zip(low.0.iter_mut().zip(&mut high.0)) {
            *high = vector.split_off(half);
            *low = std::mem::take(vector);
        }
        low.parts_mut(task).enumerate().for_each(|(index, low)| {
            let high = high.part(index * task, task);
            if is_packed(task) {
                bind::<_, PackedChallenge>(pack_mut(low), pack(high), challenge);
            } else {
                bind::<_, Challenge>(low, high, challenge);
            }
        });
        low.0.iter_mut().for_each(Vec::shrink_to_fit);
        *self = low;
    }
}

/// A round of the sumcheck of an inner product: the constant coefficient and that of the square.
pub(crate) fn round(left: &Coordinates, right: &Coordinates) -> [Challenge; 2] {
    let half = left.len() / 2;
    let task = TASK.min(half);
    let sums = |index: usize| {
        let from = index * task;
        let parts = [left.part(from, task), left.part(half + from, task)];
        let others = [right.part(from, task), right.part(half + from, task)];
        if is_packed(task) {
            round_sums::<_, PackedChallenge>(parts.map(pack), others.map(pack)).map(total)
        } else {
            round_sums::<_, Challenge>(parts, others)
        }
    };
    let zero = || [Challenge::ZERO; 2];
    (0..half / task).into_par_iter().map(sums).reduce(zero, |a, b| [a[0] + b[0], a[1] + b[1]])
}

/// The inner product with values of the base field.
pub(crate) fn dot(weights: Part, values: &[Value]) -> Challenge {
    let sum = |weights: &[Value]| {
        let (packed, rest) = PackedValue::pack_slice_with_suffix(weights);
        let (own, own_rest) = PackedValue::pack_slice_with_suffix(values);
        let lanes: PackedValue = packed.iter().zip(own).map(|(&weight, &value)| weight * value).sum();
        let tail: Value = rest.iter().zip(own_rest).map(|(&weight, &value)| weight * value).sum();
        lanes.as_slice().iter().copied().sum::<Value>() + tail
    };
    Challenge::from_basis_coefficients_fn(|coordinate| sum(weights[coordinate]))
}

/// `target += scale * values`, for values of the base field.
pub(crate) fn add_scaled(target: PartMut, scale: Challenge, values: &[Value]) {
    let scale: &[Value] = scale.as_basis_coefficients_slice();
    for (target, &scale) in target.into_iter().zip(scale) {
        let (packed, rest) = PackedValue::pack_slice_with_suffix_mut(target);
        let (own, own_rest) = PackedValue::pack_slice_with_suffix(values);
        let factor = PackedValue::from(scale);
        for (target, &value) in packed.iter_mut().zip(own) {
            *target += factor * value;
        }
        for (target, &value) in rest.iter_mut().zip(own_rest) {
            *target += scale * value;
        }
    }
}

/// `target += scale * table`.
pub(crate) fn add_product(target: PartMut, scale: Challenge, table: Part) {
    if is_packed(table[0].len()) {
        product::<_, PackedChallenge>(pack_mut(target), scale, pack(table));
    } else {
        product::<_, Challenge>(target, scale, table);
    }
}

/// `high = low * coordinate; low -= high`.
fn double<P: PrimeCharacteristicRing + Copy, L: Lanes<P>>(mut low: PartMut<P>, mut high: PartMut<P>, by: Challenge) {
    let by = L::from(by);
    for index in 0..low[0].len() {
        let whole = L::load(&low, index);
        let upper = whole * by;
        upper.store(&mut high, index);
        (whole - upper).store(&mut low, index);
    }
}

fn bind<P: PrimeCharacteristicRing + Copy, L: Lanes<P>>(mut low: PartMut<P>, high: Part<P>, challenge: Challenge) {
    let challenge = L::from(challenge);
    for index in 0..high[0].len() {
        let own = L::load(&low, index);
        (own + (L::load(&high, index) - own) * challenge).store(&mut low, index);
    }
}

fn product<P: PrimeCharacteristicRing + Copy, L: Lanes<P>>(mut target: PartMut<P>, scale: Challenge, table: Part<P>) {
    let scale = L::from(scale);
    for index in 0..table[0].len() {
        (L::load(&target, index) + L::load(&table, index) * scale).store(&mut target, index);
    }
}

fn round_sums<P: PrimeCharacteristicRing + Copy, L: Lanes<P>>(left: [Part<P>; 2], right: [Part<P>; 2]) -> [L; 2] {
    let mut sums = [L::ZERO; 2];
    for index in 0..left[0][0].len() {
        let [l0, l1] = [0, 1].map(|half| L::load(&left[half], index));
        let [r0, r1] = [0, 1].map(|half| L::load(&right[half], index));
        sums[0] += l0 * r0;
        sums[1] += (l1 - l0) * (r1 - r0);
    }
    sums
}
