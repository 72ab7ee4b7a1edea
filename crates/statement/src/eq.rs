//! The polynomial `eq(x, y) = prod_i (x_i y_i + (1 - x_i)(1 - y_i))`, whole, in tables and cut to a box.

use p3_field::PrimeCharacteristicRing;

use crate::Challenge;
use crate::axis::tiles_of;

/// All `2^n` values of `eq(point, .)`, index 0 first, most significant variable first.
#[must_use]
pub fn eq_table(point: &[Challenge]) -> Vec<Challenge> {
    let mut table = vec![Challenge::ONE];
    for &coordinate in point {
        table = table
            .iter()
            .flat_map(|&value| {
                let high = value * coordinate;
                [value - high, high]
            })
            .collect();
    }
    table
}

/// `eq(point, index)` for one boolean index.
pub fn eq_at(point: &[Challenge], index: usize) -> Challenge {
    point.iter().rev().enumerate().fold(Challenge::ONE, |product, (bit, &coordinate)| {
        product * if index >> bit & 1 == 1 { coordinate } else { Challenge::ONE - coordinate }
    })
}

/// `sum over index < bound of eq(point, index)`.
pub fn below_at(point: &[Challenge], bound: usize) -> Challenge {
    if bound >> point.len() != 0 {
        return Challenge::ONE;
    }
    let mut sum = Challenge::ZERO;
    let mut prefix = Challenge::ONE;
    for (position, &coordinate) in point.iter().enumerate() {
        let bit = bound >> (point.len() - 1 - position) & 1;
        if bit == 1 {
            sum += prefix * (Challenge::ONE - coordinate);
            prefix *= coordinate;
        } else {
            prefix *= Challenge::ONE - coordinate;
        }
    }
    sum
}

/// `sum over i < size of eq(left, i) eq(right, i)`.
pub fn restricted_eq(left: &[Challenge], right: &[Challenge], size: usize) -> Challenge {
    tiles_of(size)
        .into_iter()
        .map(|tile| {
            let prefix = left.len() - tile.log_size;
            let address = tile.offset >> tile.log_size;
            let outer = eq_at(&left[..prefix], address) * eq_at(&right[..prefix], address);
            outer * eq(&left[prefix..], &right[prefix..])
        })
        .sum()
}

/// `eq(left, right)` of two points.
pub fn eq(left: &[Challenge], right: &[Challenge]) -> Challenge {
    left.iter().zip(right).map(|(&a, &b)| a * b + (Challenge::ONE - a) * (Challenge::ONE - b)).product()
}
