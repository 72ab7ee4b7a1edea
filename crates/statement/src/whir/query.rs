//! What an opened row says: the value of the folded polynomial at a point of the code's domain.

use p3_field::PrimeCharacteristicRing;
use p3_whir::{WhirDomain, WhirQueryPoint};

use super::plan::Code;
use crate::circle::CircleCode;
use crate::{Challenge, Value};

/// The coordinates of a row: the codeword's entry there is the sum over messages `b` of `message[b]` times the product of
/// the coordinates at which `b` has a one, most significant first.
#[must_use]
pub fn row_coordinates(code: &Code, row: usize) -> Vec<Value> {
    let variables = code.column_variables();
    match WhirDomain::<Value, Challenge>::query_point(&CircleCode, code.log_rows(), variables, row) {
        WhirQueryPoint::Multilinear(point) => point.as_slice()[..variables].to_vec(),
        WhirQueryPoint::Univariate(_) => unreachable!("the circle code has a multilinear basis"),
    }
}

/// The multilinear extension of a row's weights: of the products of the coordinates at which an index has a one.
pub fn row_weight(coordinates: &[Value], point: &[Challenge]) -> Challenge {
    coordinates
        .iter()
        .zip(point)
        .map(|(&coordinate, &challenge)| challenge * (coordinate - Value::ONE) + Value::ONE)
        .product()
}

/// The codeword's entry at a row's coordinates.
pub fn encoded(message: &[Challenge], coordinates: &[Value]) -> Challenge {
    let mut left = message.to_vec();
    for &coordinate in coordinates {
        let (low, high) = left.split_at(left.len() / 2);
        left = low.iter().zip(high).map(|(&low, &high)| low + high * coordinate).collect();
    }
    left[0]
}

/// The multilinear extension of a table at a point.
pub fn evaluated(table: &[Challenge], point: &[Challenge]) -> Challenge {
    let mut left = table.to_vec();
    for &coordinate in point {
        let (low, high) = left.split_at(left.len() / 2);
        left = low.iter().zip(high).map(|(&low, &high)| low + (high - low) * coordinate).collect();
    }
    left[0]
}
