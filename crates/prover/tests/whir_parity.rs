//! Where the order of messages does not matter, an opening agrees with that of Plonky3: claimed values, codewords, query
//! counts and security; and it is smaller.

use obelysk_prover::backend::Evaluated;
use obelysk_prover::cpu::whir::{Codeword, Columns, CommittedTiles, Keep, Tiles, commit, evaluate};
use obelysk_statement::circle::CircleCode;
use obelysk_statement::eq::eq_table;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::layout::Role;
use obelysk_statement::schedule::{Schedule, first_fold};
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{OpeningPlan, Stack, encoded, evaluated, grouped, opening_error, row_coordinates};
use obelysk_statement::words::word;
use obelysk_statement::{Challenge, Value};
use p3_blake3::Blake3;
use p3_challenger::{HashChallenger, SerializingChallenger32};
use p3_commit::{Encoder, MultilinearPcs};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::dense::RowMajorMatrix;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_multilinear_util::point::Point;
use p3_sumcheck::layout::{Layout, SuffixProver, Table};
use p3_sumcheck::{OpeningBatch, OpeningProtocol, PrescribedPointPcs, TableShape, TableSpec};
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};
use p3_whir::parameters::WhirConfig;
use p3_whir::pcs::prover::WhirProver;

type Transcript = SerializingChallenger32<Value, HashChallenger<u8, Blake3, 32>>;
type Merkle = MerkleTreeMmcs<Value, u8, SerializingHasher<Blake3>, CompressionFunctionFromHasher<Blake3, 2, 32>, 2, 32>;
type Commitments = WhirProver<Challenge, Value, CircleCode, Merkle, Transcript, SuffixProver<Value, Challenge>>;

/// Claims about tiles of two sizes, as both schemes see them.
struct Case {
    schedule: Schedule,
    plan: OpeningPlan,
    tiles: Vec<Vec<i16>>,
    points: Vec<Vec<Challenge>>,
}

/// What Plonky3 makes of a case.
struct Theirs {
    values: Vec<Challenge>,
    bytes: usize,
    bits: f64,
}

impl Case {
    fn new(variables: usize) -> Self {
        let schedule = Schedule::new(variables, first_fold(variables, Role::Weight));
        let arities = [variables - 1, variables - 2, variables - 2];
        let plan = OpeningPlan::new(Stack::new(&arities, schedule.folds[0], 0), &schedule).expect("a plan");
        let entry = |index: usize, tile: usize| ((index ^ tile << 9).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 49) as i16;
        let tiles = arities.iter().enumerate().map(|(tile, &arity)| (0..1 << arity).map(|i| entry(i, tile)).collect());
        let tiles = tiles.collect();
        let mut transcript = FiatShamir::default();
        let points = [arities[0], arities[1]].map(|length| transcript.challenges(length)).to_vec();
        Self { schedule, plan, tiles, points }
    }

    fn cells(&self) -> Tiles<'_, i16> {
        Tiles(self.tiles.iter().map(Vec::as_slice).collect())
    }

    fn claims(&self) -> Evaluated {
        let [first, second] = [0, 1].map(|index: usize| self.points[index].as_slice());
        let (groups, _) = grouped([(0, first), (1, second), (2, second)]);
        evaluate(&self.plan, &self.cells(), groups)
    }

    /// Commit, claim and open with Plonky3.
    fn theirs(&self) -> Theirs {
        let variables = self.plan.variables();
        let commitments = scheme(&self.schedule, variables);
        let table = |tiles: &[usize]| {
            let values = tiles.iter().flat_map(|&tile| self.tiles[tile].iter().map(|&entry| Value::from_i16(entry)));
            Table::new(RowMajorMatrix::new(values.collect(), self.tiles[tiles[0]].len()))
        };
        let witness =
            SuffixProver::<Value, Challenge>::new_witness(vec![table(&[0]), table(&[1, 2])], self.plan.stack.fold);
        let mut transcript = Transcript::from_hasher(Vec::new(), Blake3);
        let (_, data) = MultilinearPcs::<Challenge, Transcript>::commit(&commitments, witness, &mut transcript)
            .expect("a commitment");
        let spec = |arity, width| {
            let batch = OpeningBatch::new((0..width).collect(), Vec::new());
            TableSpec::new(TableShape::new(arity, width), vec![batch])
        };
        let protocol = OpeningProtocol::new(vec![spec(variables - 1, 1), spec(variables - 2, 2)]);
        let points: Vec<_> = self.points.iter().map(|point| Point::new(point.clone())).collect();
        let opening = PrescribedPointPcs::<Challenge, Transcript>::open_at(
            &commitments,
            data,
            &protocol,
            &points,
            &mut transcript,
        )
        .expect("an opening");
        let values = opening.evals.iter().flat_map(|evals| evals.current().to_vec()).collect();
        let bits = security_of(&commitments, &protocol);
        Theirs { values, bytes: postcard::to_allocvec(&opening).expect("plain data").len(), bits }
    }
}

fn security_of(commitments: &Commitments, protocol: &OpeningProtocol) -> f64 {
    let security = PrescribedPointPcs::<Challenge, Transcript>::prescribed_security(commitments, protocol);
    security.expect("a bound").error().bits()
}

/// Plonky3's scheme with the same schedule over the same code.
fn scheme(schedule: &Schedule, variables: usize) -> Commitments {
    let parameters = schedule.protocol_parameters();
    let config = WhirConfig::new_with_domain(variables, parameters, &CircleCode).expect("a supported size");
    let merkle = Merkle::new(SerializingHasher::new(Blake3), CompressionFunctionFromHasher::new(Blake3), 0);
    Commitments::new(config, CircleCode, merkle)
}

#[test]
fn values_and_security_are_those_of_plonky3_and_the_opening_is_smaller() {
    for variables in [12, 18, 22] {
        let case = Case::new(variables);
        let claims = case.claims();
        let own: Vec<Challenge> = claims.groups.iter().flat_map(|group| group.values.clone()).collect();
        let commitment = commit(&case.plan, &case.cells(), Keep::Codeword);
        let committed = CommittedTiles { plan: &case.plan, codeword: &commitment, cells: &case.cells() };
        let mut transcript = FiatShamir::default();
        transcript.absorb(Label::ROOT, &commitment.root().0);
        let bytes = committed.open(&claims, &mut transcript).expect("a processor").encode().len();
        let theirs = case.theirs();
        assert_eq!(own, theirs.values);
        let bits = opening_error("opening", &case.plan, own.len()).bits;
        println!(
            "2^{variables} cells: {bytes} bytes, {bits:.2} bits; Plonky3: {} bytes, {:.2} bits",
            theirs.bytes, theirs.bits
        );
        assert!((bits - theirs.bits).abs() < 0.1, "2^{variables}: {bits} bits, by Plonky3 {}", theirs.bits);
        assert!(bytes < theirs.bytes);
    }
}

#[test]
fn the_soundness_error_of_known_schedules_is_pinned() {
    let bits = |variables: usize, role, claims| {
        let schedule = Schedule::new(variables, first_fold(variables, role));
        let stack = Stack::new(&[variables], schedule.folds[0], 0);
        let plan = OpeningPlan::new(stack, &schedule).expect("a plan");
        (opening_error("opening", &plan, claims).bits * 100.0).round() / 100.0
    };
    assert_eq!(
        [
            bits(12, Role::Weight, 1),
            bits(18, Role::Weight, 16),
            bits(22, Role::Weight, 1000),
            bits(21, Role::Witness, 1134),
            bits(28, Role::Witness, 10_000),
        ],
        [104.59, 102.07, 101.42, 101.45, 101.68]
    );
}

#[test]
fn the_committed_codeword_is_plonky3s_encoding_of_the_columns() {
    let case = Case::new(12);
    let columns = OfTiles(&case);
    let (count, height) = (columns.count(), 1 << columns.variables());
    let mut message = vec![Value::ZERO; count * height];
    let mut column = vec![Value::ZERO; height];
    for index in 0..count {
        columns.read(index, 0, &mut column);
        for (row, &entry) in column.iter().enumerate() {
            message[row * count + index] = entry;
        }
    }
    let code = &case.plan.codes[0];
    let rows = CircleCode.encode_batch(RowMajorMatrix::new(message.clone(), count), code.log_inverse_rate).values;
    let mut nodes: Vec<Digest> =
        rows.chunks(count).map(|row| Digest::of_row(row.iter().map(|&entry| word(entry)))).collect();
    while nodes.len() > 1 {
        nodes = nodes.chunks(2).map(|pair| Digest::of_children(pair[0], pair[1])).collect();
    }
    let commitment = commit(&case.plan, &case.cells(), Keep::Codeword);
    assert_eq!(commitment.root(), nodes[0]);
    let positions = [0, 1, 77, 200];
    let opened: Vec<Value> = positions.iter().flat_map(|&row| rows[row * count..(row + 1) * count].to_vec()).collect();
    for keep in [Keep::Codeword, Keep::Top] {
        assert_eq!(Codeword::new(&columns, code.log_inverse_rate, keep).rows(&columns, &positions), opened);
    }

    // Folding a row of the codeword and encoding the folded columns are the same.
    let mut transcript = FiatShamir::default();
    let point = transcript.challenges(code.fold);
    let weights = eq_table(&point);
    let fold = |row: &[Value]| -> Challenge { row.iter().zip(&weights).map(|(&entry, &weight)| weight * entry).sum() };
    let folded: Vec<Challenge> = message.chunks(count).map(fold).collect();
    for (position, row) in rows.chunks(count).enumerate() {
        assert_eq!(fold(row), encoded(&folded, &row_coordinates(code, position)));
    }

    // A claim about a tile is one about the stacked polynomial: its point's first coordinates fold the columns.
    let stacked = case.plan.stack.tiles[1];
    let point = &case.points[1];
    let (head, rest) = point.split_at(code.fold);
    let head = eq_table(head);
    let part = |row: usize| -> Challenge {
        message[row * count..(row + 1) * count].iter().zip(&head).map(|(&entry, &weight)| weight * entry).sum()
    };
    let part: Vec<Challenge> = (stacked.offset..stacked.offset + (1 << stacked.column_arity)).map(part).collect();
    assert_eq!(evaluated(&part, rest), case.claims().groups[1].values[0]);
}

/// The columns of a case by the definition of the stack.
struct OfTiles<'a>(&'a Case);

impl Columns for OfTiles<'_> {
    fn count(&self) -> usize {
        1 << self.0.plan.stack.fold
    }

    fn variables(&self) -> usize {
        self.0.plan.stack.column_variables()
    }

    fn read(&self, column: usize, from: usize, output: &mut [Value]) {
        let mut whole = vec![Value::ZERO; 1 << self.variables()];
        for (tile, stacked) in self.0.tiles.iter().zip(&self.0.plan.stack.tiles) {
            let length = 1 << stacked.column_arity;
            for (index, &entry) in tile[column * length..(column + 1) * length].iter().enumerate() {
                whole[stacked.offset + index] = Value::from_i16(entry);
            }
        }
        output.copy_from_slice(&whole[from..from + output.len()]);
    }
}
