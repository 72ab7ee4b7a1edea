//! Sumchecks of products and of row relations, over tables of all their factors.

use obelysk_statement::Challenge;
use obelysk_statement::Relation;
use obelysk_statement::axis::AxisId;
use obelysk_statement::batch::{ProductBatch, ZerocheckBatch, variables};
use obelysk_statement::point::AxisPoints;
use obelysk_statement::public::{eq_at, eq_table};
use obelysk_statement::reduction::constant;
use obelysk_statement::relation::Access;
use obelysk_statement::transcript::Transcript;
use obelysk_verifier::proof::Sumcheck;
use p3_field::PrimeCharacteristicRing;
use p3_multilinear_util::point::Point;
use p3_sumcheck::generic_degree::RoundProver;

use super::Lies;
use super::values::{Place, Values, places};

/// `sum over x of sum coefficient * product of tables(x)`.
pub(super) struct SumOfProducts {
    pub(super) tables: Vec<Vec<Challenge>>,
    pub(super) terms: Vec<(Challenge, Vec<usize>)>,
    pub(super) degree: usize,
}

impl SumOfProducts {
    fn at(&self, value: impl Fn(&[Challenge]) -> Challenge) -> Challenge {
        let values: Vec<Challenge> = self.tables.iter().map(|table| value(table)).collect();
        let term = |(coefficient, factors): &(Challenge, Vec<usize>)| {
            *coefficient * factors.iter().map(|&factor| values[factor]).product::<Challenge>()
        };
        self.terms.iter().map(term).sum()
    }

    fn total(&self) -> Challenge {
        (0..self.tables[0].len()).map(|x| self.at(|table| table[x])).sum()
    }
}

impl RoundProver<Challenge> for SumOfProducts {
    fn fold(&mut self, challenge: Challenge) {
        for table in &mut self.tables {
            let (low, high) = table.split_at(table.len() / 2);
            *table = low.iter().zip(high).map(|(&low, &high)| low + challenge * (high - low)).collect();
        }
    }

    fn round_poly(&self) -> Vec<Challenge> {
        let half = self.tables[0].len() / 2;
        let arguments = (0..=self.degree as u64).filter(|&argument| argument != 1).map(Challenge::from_u64);
        let value = |argument| {
            let at = |x: usize| self.at(|table| table[x] + argument * (table[x + half] - table[x]));
            (0..half).map(at).sum()
        };
        arguments.map(value).collect()
    }
}

/// The point of some axes, one coordinate per variable.
fn point_of(points: &AxisPoints, axes: &[AxisId]) -> Vec<Challenge> {
    axes.iter().flat_map(|axis| points[axis].iter().map(|coordinate| coordinate.value())).collect()
}

/// `eq` of the point of some axes with a place.
fn weight(values: &Values, points: &AxisPoints, axes: &[AxisId], place: &Place) -> Challenge {
    axes.iter().map(|axis| eq_at(&point_of(points, &[*axis]), place[axis])).product::<Challenge>()
        * Challenge::from_bool(axes.iter().all(|axis| place[axis] < values.statement.axis(*axis).size))
}

/// A batch of products; `of_outputs` claims the sum that the outputs call for.
pub(super) fn products(
    values: &Values,
    batch: &ProductBatch,
    lambda: Challenge,
    points: &AxisPoints,
    of_outputs: bool,
    transcript: &mut Transcript,
) -> (Sumcheck, Point<Challenge>) {
    let statement = values.statement;
    let kept = batch.axes();
    let cube = places(statement, &kept);
    // A factor at every place of the axes that the sumcheck binds, its free axes at the challenge point.
    let table = |access: &Access| -> Vec<Challenge> {
        let free: Vec<AxisId> = access.axes().filter(|axis| !kept.contains(axis)).collect();
        let outer = places(statement, &free);
        let entry = |inner: &Place| {
            let at = |outer: &Place| {
                let whole = outer.iter().chain(inner).map(|(&axis, &index)| (axis, index)).collect();
                weight(values, points, &free, outer) * values.entry(access, &whole)
            };
            outer.iter().map(at).sum()
        };
        cube.iter().map(entry).collect()
    };
    let shared = eq_table(&point_of(points, &batch.shared));
    let repeated = cube.len() / shared.len();
    let mut tables = vec![shared.into_iter().flat_map(|weight| vec![weight; repeated]).collect::<Vec<_>>()];
    let (mut terms, mut power, mut outputs) = (Vec::new(), Challenge::ONE, Challenge::ZERO);
    for &position in &batch.relations {
        let named = &statement.relations[position];
        let Relation::Product { output, contractions, .. } = &named.relation else { unreachable!("a product") };
        for contraction in contractions {
            terms.push((power * constant(contraction.coefficient), vec![0, tables.len(), tables.len() + 1]));
            tables.extend([table(&contraction.left), table(&contraction.right)]);
        }
        let at = |place: &Place| weight(values, points, &named.axes, place) * values.form(output, place);
        outputs += power * places(statement, &named.axes).iter().map(at).sum::<Challenge>();
        power *= lambda;
    }
    let mut sum = SumOfProducts { tables, terms, degree: batch.degree() };
    let claimed = if of_outputs { outputs } else { sum.total() };
    sum.prove(transcript, variables(statement, &kept), batch.degree(), 0, claimed)
}

/// A batch of row relations.
pub(super) fn zerocheck(
    values: &Values,
    batch: &ZerocheckBatch,
    lambda: Challenge,
    points: &AxisPoints,
    lies: Lies,
    transcript: &mut Transcript,
) -> (Sumcheck, Point<Challenge>) {
    let statement = values.statement;
    let cube = places(statement, &batch.axes);
    let inside = |place: &Place| place.iter().all(|(&axis, &index)| index < statement.axis(axis).size);
    let weight = |place: &Place| match lies.rows_without_point {
        true => Challenge::from_bool(inside(place)),
        false => weight(values, points, &batch.axes, place),
    };
    let mut tables: Vec<Vec<Challenge>> = vec![cube.iter().map(weight).collect()];
    let (mut terms, mut power) = (Vec::new(), Challenge::ONE);
    let add = |tables: &mut Vec<Vec<Challenge>>, table: Vec<Challenge>| {
        tables.push(table);
        tables.len() - 1
    };
    for &position in &batch.relations {
        match &statement.relations[position].relation {
            Relation::Rows { monomials } => {
                for monomial in monomials {
                    let of = |access| cube.iter().map(|place| values.entry(access, place).into()).collect();
                    let factors = monomial.factors.iter().map(|access| add(&mut tables, of(access)));
                    let factors = [0].into_iter().chain(factors).collect();
                    terms.push((power * constant(monomial.coefficient), factors));
                }
            }
            Relation::Vanishing { left, right } => {
                let of = |form| cube.iter().map(|place| values.form(form, place).into()).collect();
                let factors = [left, right].map(|form| add(&mut tables, of(form)));
                terms.push((power, vec![0, factors[0], factors[1]]));
            }
            Relation::Product { .. } | Relation::Lookup(_) => unreachable!("batches name row relations"),
        }
        power *= lambda;
    }
    let mut sum = SumOfProducts { tables, terms, degree: batch.degree };
    let claimed = if lies.sums_of_rows { sum.total() } else { Challenge::ZERO };
    sum.prove(transcript, variables(statement, &batch.axes), batch.degree, 0, claimed)
}
