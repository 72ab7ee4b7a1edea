//! The circle code over Mersenne-31: a Reed-Solomon-like code whose domain is a coset of the circle group, so that a
//! field whose multiplicative group is not smooth still has a fast transform (Haböck, Levit, Papini, Circle STARKs).

use p3_circle::{CircleDomain, CircleEvaluations, Point as CirclePoint};
use p3_commit::Encoder;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use p3_multilinear_util::point::Point;
use p3_util::{log2_strict_usize, reverse_bits_len};
use p3_whir::{WhirDomain, WhirQueryPoint};

use crate::{Challenge, Value};

/// Encoder of multilinear evaluations in the order of the circle transform.
#[derive(Clone, Copy, Debug, Default)]
pub struct CircleCode;

/// Rows `2j` and `2j + 1` of a codeword of `2^log_size` rows hold the conjugate points `(x, y)` and `(x, -y)`.
fn row_point(log_size: usize, row: usize) -> CirclePoint<Value> {
    let shift = CirclePoint::<Value>::generator(log_size + 1);
    let point = shift * (2 * reverse_bits_len(row >> 1, log_size) + 1);
    if row % 2 == 1 { -point } else { point }
}

impl Encoder<Value> for CircleCode {
    fn encode_batch(&self, messages: RowMajorMatrix<Value>, log_inverse_rate: usize) -> RowMajorMatrix<Value> {
        let domain = CircleDomain::standard(log2_strict_usize(messages.height()) + log_inverse_rate);
        CircleEvaluations::evaluate(domain, messages).to_cfft_order()
    }

    fn encode_batch_padded(&self, mut padded: RowMajorMatrix<Value>, log_inverse_rate: usize) -> RowMajorMatrix<Value> {
        let length = padded.values.len() >> log_inverse_rate;
        padded.values.truncate(length);
        self.encode_batch(padded, log_inverse_rate)
    }
}

impl WhirDomain<Value, Challenge> for CircleCode {
    fn protocol_id(&self) -> &'static [u8] {
        b"obelysk circle code over M31"
    }

    fn max_log_domain_size(&self) -> usize {
        30
    }

    fn encode_extension_batch_padded(
        &self,
        padded: RowMajorMatrix<Challenge>,
        log_inverse_rate: usize,
    ) -> RowMajorMatrix<Challenge> {
        let width = padded.width();
        let coordinates = <Challenge as BasedVectorSpace<Value>>::flatten_to_base(padded.values);
        let encoded = self.encode_batch_padded(RowMajorMatrix::new(coordinates, width * 4), log_inverse_rate);
        RowMajorMatrix::new(<Challenge as BasedVectorSpace<Value>>::reconstitute_from_base(encoded.values), width)
    }

    fn query_point(&self, log_size: usize, variables: usize, index: usize) -> WhirQueryPoint<Value> {
        // The fold selects by y first, then by x and its images under x -> 2x^2 - 1.
        let point = row_point(log_size, index);
        let mut coordinates = vec![point.y];
        let mut x = point.x;
        for _ in 1..variables {
            coordinates.push(x);
            x = x.square().double() - Value::ONE;
        }
        coordinates.reverse();
        WhirQueryPoint::Multilinear(Point::new(coordinates))
    }
}
