//! What a challenge does to the values of a multilinear polynomial.

use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

/// Values that one task takes at least.
const TASK: usize = 256;

/// Bind the most significant variable of a polynomial given by its values on the cube.
pub(crate) fn bind<A: PrimeCharacteristicRing + Copy + Send + Sync>(values: &mut Vec<A>, challenge: A) {
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    low.par_iter_mut().zip(high).with_min_len(TASK).for_each(|(low, high)| *low += challenge * (*high - *low));
    values.truncate(half);
}
