//! The lookup argument: a tree of fractions from their sum, which is zero, down to the leaves (Haböck, ePrint 2022/1530; Papini and Haböck,
//! ePrint 2023/1284).

use obelysk_statement::transcript::Transcript;
use obelysk_statement::{Challenge, Value};
use p3_field::{Field, PrimeCharacteristicRing};
use p3_multi_stark::fractional_gkr::transcript::FractionGkrProverTranscript;
use p3_multi_stark::fractional_gkr::{FractionGkrLayerProof, FractionGkrProof, FractionGkrShape, SplitFraction};

use crate::backend::{DeviceError, Fractions};

/// Prove that the fractions of `2^variables` leaves sum to zero. The messages, and the point of the leaves where they end.
pub(crate) fn prove(
    variables: usize,
    fractions: &mut dyn Fractions,
    transcript: &mut Transcript,
) -> Result<(FractionGkrProof<Challenge>, Vec<Challenge>), DeviceError> {
    let root_denominator = fractions.root();
    let shape = FractionGkrShape { num_variables: variables };
    let mut messages = FractionGkrProverTranscript::<_, Value, Challenge>::new(transcript, shape, root_denominator);
    let mut point: Vec<Challenge> = Vec::new();
    let (mut numerator, mut denominator) = (Challenge::ZERO, root_denominator);
    let mut layers = Vec::new();
    for _ in 0..shape.num_variables {
        let lambda = messages.begin_layer();
        let mut layer = fractions.layer(lambda, &point)?;
        let mut claim = Claim { weight: Challenge::ONE, sum: numerator + lambda * denominator };
        let mut round_polys = Vec::new();
        let mut inner = vec![Challenge::ZERO];
        for &coordinate in &point {
            let polynomial = claim.polynomial(layer.polynomial()?, coordinate);
            let message = [0, 2, 3].map(|place| polynomial.value(Challenge::from_u32(place)));
            let challenge = messages.round(&message);
            layer.fold(challenge)?;
            claim = polynomial.at(challenge);
            round_polys.push(message);
            inner.push(challenge);
        }
        let [n0, d0, n1, d1] = layer.children()?;
        let claims = SplitFraction { n0, d0, n1, d1 };
        let branch = messages.end_layer(&claims);
        numerator = n0 + branch * (n1 - n0);
        denominator = d0 + branch * (d1 - d0);
        inner[0] = branch;
        point = inner;
        layers.push(FractionGkrLayerProof { round_polys, claims });
    }
    messages.finish();
    Ok((FractionGkrProof { root_denominator, layers }, point))
}

/// What is left of a layer's claim: `weight`, which is `eq` of the bound variables, times `sum`.
struct Claim {
    weight: Challenge,
    sum: Challenge,
}

/// `weight * eq(coordinate, X) * (c0 + c1 X + c2 X^2)`.
struct Polynomial {
    weight: Challenge,
    coordinate: Challenge,
    coefficients: [Challenge; 3],
}

impl Claim {
    /// The round polynomial from its quadratic factor, whose middle coefficient follows from the sum
    /// `(1 - coordinate) q(0) + coordinate q(1)`. No coordinate is zero: the transcript draws such challenges again.
    fn polynomial(&self, [constant, leading]: [Challenge; 2], coordinate: Challenge) -> Polynomial {
        let at_one = (self.sum - (Challenge::ONE - coordinate) * constant) * coordinate.inverse();
        Polynomial { weight: self.weight, coordinate, coefficients: [constant, at_one - constant - leading, leading] }
    }
}

impl Polynomial {
    /// The claim after a challenge.
    fn at(&self, x: Challenge) -> Claim {
        let [constant, linear, leading] = self.coefficients;
        let eq = Challenge::ONE - self.coordinate - x + (self.coordinate * x).double();
        Claim { weight: self.weight * eq, sum: constant + x * (linear + x * leading) }
    }

    fn value(&self, x: Challenge) -> Challenge {
        let Claim { weight, sum } = self.at(x);
        weight * sum
    }
}
