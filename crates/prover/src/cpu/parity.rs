//! The tree of fractions beside its oracle, Plonky3's prover: with the same transcript it sends the same messages.

use obelysk_statement::{Challenge, TableRows, TensorId, Value};
use p3_blake3::Blake3;
use p3_challenger::{HashChallenger, SerializingChallenger32};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_multi_stark::fractional_gkr::transcript::FractionGkrProverTranscript;
use p3_multi_stark::fractional_gkr::{
    Fraction, FractionGkrLayerProof, FractionGkrProof, FractionGkrShape, LeafNumerator, SplitFraction,
    prove_fractional_gkr,
};
use p3_multilinear_util::poly::{Poly, PolyMaybePacked};

use super::fractions::{SCALAR, Tree};
use super::leaves::Leaves;
use crate::backend::Fractions;
use crate::lookup::quadratic;

type Transcript = SerializingChallenger32<Value, HashChallenger<u8, Blake3, 32>>;

/// Two tables of `2^(variables - 1)` rows whose counts cancel.
struct Sample {
    rows: TableRows,
    entries: Vec<Value>,
    counts: [Vec<Value>; 2],
}

impl Sample {
    fn new(variables: usize) -> Self {
        let size = 1i32 << (variables - 1);
        let scrambled = |row: i32| row.wrapping_mul(0x1E37_79B1) >> 8;
        let counts: Vec<Value> = (0..size).map(|row| Value::from_i32(scrambled(row + 7))).collect();
        let negated = counts.iter().map(|&count| -count).collect();
        let rows = TableRows::Function { bits: variables - 1, first: -3, values: TensorId(0) };
        let entries = (0..size).map(|row| Value::from_i32(scrambled(row))).collect();
        Self { rows, entries, counts: [counts, negated] }
    }

    fn leaves(&self) -> Leaves<'_> {
        let base = Challenge::from_basis_coefficients_fn(|place| Value::from_usize(77_777 * (place + 3)));
        Leaves::of_tables(&self.rows, &self.entries, [&self.counts[0], &self.counts[1]], base)
    }
}

/// The oracle's messages from our layers, and the point where they end.
fn messages(
    tree: &mut Tree,
    variables: usize,
    transcript: &mut Transcript,
) -> (FractionGkrProof<Challenge>, Vec<Challenge>) {
    let root_denominator = tree.root();
    let shape = FractionGkrShape { num_variables: variables };
    let mut messages = FractionGkrProverTranscript::<_, Value, Challenge>::new(transcript, shape, root_denominator);
    let mut point: Vec<Challenge> = Vec::new();
    let (mut numerator, mut denominator) = (Challenge::ZERO, root_denominator);
    let mut layers = Vec::new();
    for _ in 0..variables {
        let lambda = messages.begin_layer();
        let mut layer = tree.layer(lambda, &point).expect("a processor");
        let mut sum = numerator + lambda * denominator;
        let mut weight = Challenge::ONE;
        let mut round_polys = Vec::new();
        let mut inner = vec![Challenge::ZERO];
        for &coordinate in &point {
            let [linear, leading, constant] = quadratic(layer.polynomial().expect("a processor"), sum, coordinate);
            let value = |x: Challenge| constant + x * (linear + x * leading);
            let eq = |x: Challenge| Challenge::ONE - coordinate - x + (coordinate * x).double();
            // The oracle sends the cubic, in which eq of all variables so far is a factor, by values.
            let message = [0, 2, 3].map(Challenge::from_u32).map(|x| weight * eq(x) * value(x));
            let challenge = messages.round(&message);
            layer.fold(challenge).expect("a processor");
            (sum, weight) = (value(challenge), weight * eq(challenge));
            round_polys.push(message);
            inner.push(challenge);
        }
        let [n0, d0, n1, d1] = layer.children().expect("a processor");
        let claims = SplitFraction { n0, d0, n1, d1 };
        let branch = messages.end_layer(&claims);
        numerator = n0 + branch * (n1 - n0);
        denominator = d0 + branch * (d1 - d0);
        inner[0] = branch;
        point = inner;
        layers.push(FractionGkrLayerProof { round_polys, claims });
    }
    messages.finish();
    (FractionGkrProof { root_denominator, layers }, point)
}

#[test]
fn kept_and_recomputed_layers_make_the_messages_of_the_oracle() {
    for variables in [1, 2, 3, 5, 11, 13, 15] {
        let sample = Sample::new(variables);
        let run = sample.leaves().run(0, 1 << variables);
        let denominators = PolyMaybePacked::Scalar(Poly::new(run.nodes().denominators));
        let numerators = Poly::new(run.numerators.expect("counts are not one"));
        let leaves = Fraction { n: LeafNumerator::Base(&numerators), d: &denominators };
        let transcript = Transcript::from_hasher(vec![7], Blake3);
        let (expected, end) = prove_fractional_gkr::<Value, Challenge, _>(leaves, &mut transcript.clone());
        for kept in [SCALAR + 1, SCALAR + 2, variables] {
            let mut tree = Tree::keeping(sample.leaves(), kept);
            let (proof, point) = messages(&mut tree, variables, &mut transcript.clone());
            assert_eq!(point, end.point.as_slice(), "{variables} variables, {kept} kept");
            assert_eq!(postcard::to_allocvec(&proof), postcard::to_allocvec(&expected));
        }
    }
}
