//! A prover of hand-written statements that may lie in each of its messages. It shares no code with the prover of the product: it
//! is slow and obvious, and where it tells the truth both make the same bytes.

mod late;
mod sums;
mod tree;
mod values;

use obelysk_statement::layout::Role;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::reduction::Openings;
use obelysk_statement::schedule::{LOOKUP_GRINDING, first_fold};
use obelysk_statement::transcript::{Commitments, Opening, Root, Transcript, grind, sample, start};
use obelysk_statement::{Assignment, Challenge, Statement, Value};
use obelysk_verifier::proof::{Proof, root_bytes};
use p3_commit::MultilinearPcs;
use p3_field::PrimeCharacteristicRing;
use p3_matrix::dense::RowMajorMatrix;
use p3_sumcheck::PrescribedPointPcs;
use p3_sumcheck::layout::{Layout as _, SuffixProver, Table};

use values::Values;

pub use late::balance;
pub use values::multiplicities;

type Committing = <Commitments as MultilinearPcs<Challenge, Transcript>>::ProverData;

/// What the prover says that is not so. Without any, it is honest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lies {
    /// Keys of the lookup argument lack the table's number.
    pub without_table_numbers: bool,
    /// All columns of a lookup have the same weight.
    pub equal_columns: bool,
    /// The second column has the weight of the table's number.
    pub column_weighs_as_table: bool,
    /// The fractions sum to zero whatever they are, and one number of every layer makes up for it.
    pub tree: Option<Repair>,
    /// Sumchecks of products claim what their outputs add up to.
    pub sums_of_outputs: bool,
    /// Zerochecks claim what they add up to.
    pub sums_of_rows: bool,
    /// Products are added up without random weights.
    pub products_without_weights: bool,
    /// Row relations are added up without random weights.
    pub rows_without_weights: bool,
    /// Row relations are added up without a random point.
    pub rows_without_point: bool,
    /// No proof of work.
    pub without_grinding: bool,
    /// The root of the witness is said after everything else.
    pub late_witness: bool,
    /// No lookup argument.
    pub without_lookups: bool,
    /// No sumchecks of products.
    pub without_products: bool,
    /// No zerochecks.
    pub without_zerochecks: bool,
    /// No opening of the weights.
    pub without_weights: bool,
}

/// What is wrong at the end of a tree of fractions whose root is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The numerator; denominators are those of the committed values.
    Numerator,
    /// The denominator; numerators are those of the committed values.
    Denominator,
}

/// The root of the commitment to the weights of a statement, by this prover.
///
/// # Panics
/// If the statement is larger than hand-written ones are.
#[must_use]
pub fn weight_root(statement: &Statement, weights: &Assignment) -> [u8; 32] {
    let committed = Committed::new(statement, Role::Weight).expect("a small statement");
    let values = Values { statement, weights, witness: &Assignment::new() };
    let mut scratch = start(&[], statement, &[0; 32]);
    committed.map_or([0; 32], |committed| {
        root_bytes(&commit(&committed, &values, &mut scratch).0).expect("a commitment has one root")
    })
}

/// Prove a statement from values of all its tensors, multiplicities among them, whether it holds or not.
///
/// # Panics
/// If the statement is larger than hand-written ones are, or values are missing.
#[must_use]
pub fn forge(statement: &Statement, header: &[u8], weights: &Assignment, witness: &Assignment, lies: Lies) -> Proof {
    let plan = Plan::new(statement).expect("a small statement");
    let values = Values { statement, weights, witness };
    let root = weight_root(statement, weights);
    let mut transcript = start(header, statement, &root);
    let mut unheard = transcript.clone();
    let listener = if lies.late_witness { &mut unheard } else { &mut transcript };
    let committed = plan.witness.as_ref().map(|committed| commit(committed, &values, listener));
    let mut claims = plan.claims();
    let grinding = if lies.without_grinding {
        let mut other = transcript.clone();
        let witness = grind(&mut other, LOOKUP_GRINDING) + Value::ONE;
        obelysk_statement::transcript::check_grinding(&mut transcript, LOOKUP_GRINDING, witness);
        witness
    } else {
        grind(&mut transcript, LOOKUP_GRINDING)
    };
    let lookup = (!plan.blocks.is_empty() && !lies.without_lookups).then(|| {
        let keys = [sample(&mut transcript), sample(&mut transcript)];
        let leaves = values.leaves(&plan, keys, lies);
        let (proof, end) = tree::prove(leaves, lies.tree, &mut transcript);
        claims.lookup(&plan.blocks, keys, end.point.as_slice(), [end.numerator, end.denominator]);
        proof
    });
    let points = plan.draw_points(&mut transcript);
    let lambda = sample(&mut transcript);
    claims.linear_relations(&points);
    let weighed = |plain: bool| if plain { Challenge::ONE } else { lambda };
    let mut products = Vec::new();
    for batch in plan.products.iter().filter(|_| !lies.without_products) {
        let lambda = weighed(lies.products_without_weights);
        let (proof, end) = sums::products(&values, batch, lambda, &points, lies.sums_of_outputs, &mut transcript);
        claims.products(batch, lambda, &points, proof.claimed_sum, end.as_slice(), Challenge::ZERO);
        products.push(proof);
    }
    let mut zerochecks = Vec::new();
    for batch in plan.zerochecks.iter().filter(|_| !lies.without_zerochecks) {
        let lambda = weighed(lies.rows_without_weights);
        let (proof, end) = sums::zerocheck(&values, batch, lambda, &points, lies, &mut transcript);
        claims.zerocheck(batch, lambda, &points, end.as_slice(), Challenge::ZERO);
        zerochecks.push(proof);
    }
    let openings = [Role::Weight, Role::Witness].map(|role| claims.openings(role, first_fold(role)));
    let [weight_openings, witness_openings] = &openings;
    let opened = plan.weights.as_ref().filter(|_| !lies.without_weights);
    let weight_opening = opened.zip(weight_openings.as_ref()).map(|(committed, openings)| {
        let (_, data) = commit(committed, &values, &mut transcript.clone());
        open(committed, data, openings, &mut transcript)
    });
    let (witness_root, witness_opening) = match (&plan.witness, committed, witness_openings) {
        (Some(plan), Some((root, data)), Some(openings)) => {
            (Some(root), Some(open(plan, data, openings, &mut transcript)))
        }
        _ => (None, None),
    };
    Proof { witness_root, grinding, lookup, products, zerochecks, weight_opening, witness_opening }
}

/// Commit to all tiles of a layout and absorb the root.
fn commit(committed: &Committed, values: &Values, transcript: &mut Transcript) -> (Root, Committing) {
    let tables = committed.layout.tables.iter().map(|table| {
        let mut entries: Vec<Value> =
            table.columns.iter().flat_map(|&tile| values.tile(&committed.layout.tiles[tile])).collect();
        entries.resize(table.columns.len().max(1) << table.arity, Value::ZERO);
        Table::new(RowMajorMatrix::new(entries, 1 << table.arity))
    });
    let witness = SuffixProver::<Value, Challenge>::new_witness(tables.collect(), committed.schedule.folds[0]);
    MultilinearPcs::<Challenge, Transcript>::commit(&committed.commitments, witness, transcript).expect("a small size")
}

fn open(committed: &Committed, data: Committing, openings: &Openings, transcript: &mut Transcript) -> Opening {
    let opened = committed.commitments.open_at(data, &openings.protocol, &openings.points, transcript);
    opened.expect("as many claims as the schedule has room for")
}
