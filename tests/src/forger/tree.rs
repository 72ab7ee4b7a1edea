//! The tree of fractions, whose root is said to be zero.

use obelysk_statement::public::eq_table;
use obelysk_statement::transcript::Transcript;
use obelysk_statement::{Challenge, Value};
use p3_field::{Field, PrimeCharacteristicRing};
use p3_multi_stark::fractional_gkr::transcript::FractionGkrProverTranscript;
use p3_multi_stark::fractional_gkr::{
    FractionGkrLayerProof, FractionGkrOutput, FractionGkrProof, FractionGkrShape, SplitFraction,
};
use p3_multilinear_util::point::Point;
use p3_sumcheck::generic_degree::{RoundPolyInterpolator, RoundProver};

use super::Repair;
use super::sums::SumOfProducts;

/// Prove that the fractions `[numerators, denominators]` sum to zero. Where they do not, every layer is consistent with the one
/// above all the same: `repair` says which number makes up for it.
pub(super) fn prove(
    leaves: [Vec<Challenge>; 2],
    repair: Option<Repair>,
    transcript: &mut Transcript,
) -> (FractionGkrProof<Challenge>, FractionGkrOutput<Challenge>) {
    let variables = leaves[0].len().trailing_zeros() as usize;
    let mut layers = vec![leaves];
    while layers.last().is_some_and(|[numerators, _]| numerators.len() > 1) {
        let [numerators, denominators] = layers.last().expect("the leaves");
        let ([n0, n1], [d0, d1]) = (halves(numerators), halves(denominators));
        let parent = (0..n0.len()).map(|x| (d1[x] * n0[x] + d0[x] * n1[x], d0[x] * d1[x])).unzip();
        layers.push([parent.0, parent.1]);
    }
    let root_denominator = layers.pop().expect("the root")[1][0];
    let shape = FractionGkrShape { num_variables: variables };
    let mut messages = FractionGkrProverTranscript::<_, Value, Challenge>::new(transcript, shape, root_denominator);
    let (mut numerator, mut denominator, mut point) = (Challenge::ZERO, root_denominator, Vec::new());
    let interpolator = RoundPolyInterpolator::new(3);
    let mut proofs = Vec::new();
    for [numerators, denominators] in layers.into_iter().rev() {
        let lambda = messages.begin_layer();
        let ([n0, n1], [d0, d1]) = (halves(&numerators), halves(&denominators));
        let tables = [&eq_table(&point), n0, n1, d0, d1].map(|table| table.to_vec());
        let terms = vec![(Challenge::ONE, vec![0, 4, 1]), (Challenge::ONE, vec![0, 3, 2]), (lambda, vec![0, 3, 4])];
        let mut sum = SumOfProducts { tables: tables.into(), terms, degree: 3 };
        let (mut running, mut round_polys, mut inner) = (numerator + lambda * denominator, Vec::new(), Vec::new());
        while sum.tables[0].len() > 1 {
            let polynomial: [Challenge; 3] = sum.round_poly().try_into().expect("three values");
            let challenge = messages.round(&polynomial);
            running = interpolator.eval(&polynomial, running, challenge);
            sum.fold(challenge);
            round_polys.push(polynomial);
            inner.push(challenge);
        }
        let last: Vec<Challenge> = sum.tables.iter().map(|table| table[0]).collect();
        let [eq, n0, mut n1, d0, mut d1] = last.try_into().expect("five tables");
        let gate = running * eq.inverse();
        match repair {
            None => {}
            Some(Repair::Numerator) => n1 = (gate - d1 * n0 - lambda * d0 * d1) * d0.inverse(),
            Some(Repair::Denominator) => d1 = (gate - d0 * n1) * (n0 + lambda * d0).inverse(),
        }
        let claims = SplitFraction { n0, d0, n1, d1 };
        let branch = messages.end_layer(&claims);
        numerator = n0 + branch * (n1 - n0);
        denominator = d0 + branch * (d1 - d0);
        point = [&[branch], inner.as_slice()].concat();
        proofs.push(FractionGkrLayerProof { round_polys, claims });
    }
    messages.finish();
    let output = FractionGkrOutput { point: Point::new(point), numerator, denominator };
    (FractionGkrProof { root_denominator, layers: proofs }, output)
}

fn halves(values: &[Challenge]) -> [&[Challenge]; 2] {
    let (low, high) = values.split_at(values.len() / 2);
    [low, high]
}
