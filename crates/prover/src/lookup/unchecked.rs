//! The tree of fractions without the assertion that they sum to zero: what a cheating prover runs.

use obelysk_statement::point::eq;
use obelysk_statement::public::eq_table;
use obelysk_statement::transcript::Transcript;
use obelysk_statement::{Challenge, Value};
use p3_field::PrimeCharacteristicRing;
use p3_multi_stark::fractional_gkr::transcript::FractionGkrProverTranscript;
use p3_multi_stark::fractional_gkr::{
    FractionGkrLayerProof, FractionGkrOutput, FractionGkrProof, FractionGkrShape, SplitFraction,
};
use p3_multilinear_util::point::Point;

use crate::product::fold;

/// Numerators and denominators of one layer, the two children of a node half a layer apart.
struct Layer {
    numerators: Vec<Challenge>,
    denominators: Vec<Challenge>,
}

impl Layer {
    fn parent(&self) -> Self {
        let half = self.numerators.len() / 2;
        let (n0, n1) = self.numerators.split_at(half);
        let (d0, d1) = self.denominators.split_at(half);
        Self {
            numerators: (0..half).map(|x| d1[x] * n0[x] + d0[x] * n1[x]).collect(),
            denominators: (0..half).map(|x| d0[x] * d1[x]).collect(),
        }
    }
}

pub(super) fn prove(
    numerators: Vec<Value>,
    denominators: Vec<Challenge>,
    transcript: &mut Transcript,
) -> (FractionGkrProof<Challenge>, FractionGkrOutput<Challenge>) {
    let variables = numerators.len().trailing_zeros() as usize;
    let mut layers = vec![Layer { numerators: numerators.into_iter().map(Challenge::from).collect(), denominators }];
    while layers.last().expect("not empty").numerators.len() > 1 {
        let parent = layers.last().expect("not empty").parent();
        layers.push(parent);
    }
    let root_denominator = layers.pop().expect("the root").denominators[0];
    let mut messages = FractionGkrProverTranscript::<_, Value, Challenge>::new(
        transcript,
        FractionGkrShape { num_variables: variables },
        root_denominator,
    );
    let mut point: Vec<Challenge> = Vec::new();
    let mut numerator = Challenge::ZERO;
    let mut denominator = root_denominator;
    let mut proofs = Vec::new();
    for layer in layers.into_iter().rev() {
        let lambda = messages.begin_layer();
        let half = layer.numerators.len() / 2;
        let mut factors = [
            layer.numerators[..half].to_vec(),
            layer.denominators[..half].to_vec(),
            layer.numerators[half..].to_vec(),
            layer.denominators[half..].to_vec(),
        ];
        let mut weights = eq_table(&point);
        let mut round_polys = Vec::new();
        let mut inner = Vec::new();
        while weights.len() > 1 {
            let polynomial = round(&weights, &factors, lambda);
            let challenge = messages.round(&polynomial);
            fold(&mut weights, challenge);
            factors.iter_mut().for_each(|factor| fold(factor, challenge));
            round_polys.push(polynomial);
            inner.push(challenge);
        }
        debug_assert_eq!(weights[0], eq(&point, &inner));
        let [n0, d0, n1, d1] = factors.map(|factor| factor[0]);
        let claims = SplitFraction { n0, d0, n1, d1 };
        let branch = messages.end_layer(&claims);
        numerator = n0 + branch * (n1 - n0);
        denominator = d0 + branch * (d1 - d0);
        inner.insert(0, branch);
        point = inner;
        proofs.push(FractionGkrLayerProof { round_polys, claims });
    }
    messages.finish();
    let output = FractionGkrOutput { point: Point::new(point), numerator, denominator };
    (FractionGkrProof { root_denominator, layers: proofs }, output)
}

/// Values at 0, 2 and 3 of `sum eq (d1 n0 + d0 n1 + lambda d0 d1)` in the first variable.
fn round(weights: &[Challenge], factors: &[Vec<Challenge>; 4], lambda: Challenge) -> [Challenge; 3] {
    let half = weights.len() / 2;
    let mut values = [Challenge::ZERO; 3];
    for x in 0..half {
        let at =
            |values: &[Challenge], place: u64| values[x] + (values[x + half] - values[x]) * Challenge::from_u64(place);
        for (value, place) in values.iter_mut().zip([0, 2, 3]) {
            let [n0, d0, n1, d1] = [0, 1, 2, 3].map(|k| at(&factors[k], place));
            *value += at(weights, place) * (d1 * n0 + d0 * n1 + lambda * d0 * d1);
        }
    }
    values
}
