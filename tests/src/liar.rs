//! A device that lies: it commits to one witness and computes with another. The prover's driver makes every round consistent by
//! itself, so that a lie shows where it ends, and only there.

use obelysk_prover::backend::{Evaluated, Fractions, Layer, Opened, OpenedRows, OpeningRounds, ProductTerms, Rounds};
use obelysk_prover::{Backend, CommittedModel, Cpu, DeviceError, Rows};
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::point::{AxisPoints, Coordinate};
use obelysk_statement::reduction::constant;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{ClaimGroup, Code};
use obelysk_statement::{Challenge, Statement};
use obelysk_witness::Assignment;
use p3_field::{Field, PrimeCharacteristicRing};

/// What is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Leaves of the lookup argument are those of the told statement and witness.
    Leaves,
    /// Sums of products are those of the told witness.
    Sums,
    /// Rounds of products are those of the told witness.
    Products,
    /// Rounds of zerochecks are those of the told witness.
    Zerochecks,
    /// Claimed values are those of the told witness.
    Claims,
    /// The polynomial that is opened is the told one.
    Columns,
    /// Rows are those of the told codeword.
    Queries,
    /// Every layer of the tree contradicts none above it: a numerator makes up for what is wrong.
    Numerators,
    /// The same, but a denominator makes up for it.
    Denominators,
    /// Products are added up without random weights.
    ProductsWithoutWeights,
    /// Row relations are added up without random weights.
    RowsWithoutWeights,
    /// Row relations are added up without a random point.
    RowsWithoutPoint,
}

/// All values that follow from a witness are the told ones.
pub const COMPUTED: [Lie; 5] = [Lie::Leaves, Lie::Sums, Lie::Products, Lie::Zerochecks, Lie::Claims];

type Tensors<'a> = <Cpu as Backend>::Values<'a>;

/// The device.
pub struct Liar<'a> {
    plan: Plan<'a>,
    told: Tensors<'a>,
    lies: &'a [Lie],
}

impl<'a> Liar<'a> {
    /// A device with a story: a statement over the tensors of the true one, other weights and another witness.
    ///
    /// # Panics
    /// If the statement is too large.
    #[must_use]
    pub fn new(statement: &'a Statement, model: &'a CommittedModel, witness: &Assignment, lies: &'a [Lie]) -> Self {
        let plan = Plan::new(statement).expect("a small statement");
        Self { plan, told: Cpu.values(statement, model, witness.clone()).expect("values"), lies }
    }

    fn does(&self, lie: Lie) -> bool {
        self.lies.contains(&lie)
    }

    fn of<'b>(&'b self, lie: Lie, held: &'b Tensors<'b>) -> &'b Tensors<'b> {
        if self.does(lie) { &self.told } else { held }
    }
}

impl Backend for Liar<'_> {
    type Model = CommittedModel;
    type Values<'a> = Tensors<'a>;
    /// To what is held, and to what is told.
    type Commitment = [<Cpu as Backend>::Commitment; 2];

    fn root(&self, model: &CommittedModel) -> Digest {
        model.root()
    }

    fn values<'a>(
        &self,
        statement: &'a Statement,
        model: &'a CommittedModel,
        witness: Assignment,
    ) -> Result<Tensors<'a>, DeviceError> {
        Cpu.values(statement, model, witness)
    }

    fn commit(&self, committed: &Committed, held: &Tensors) -> Result<(Digest, Self::Commitment), DeviceError> {
        let (root, commitment) = Cpu.commit(committed, held)?;
        let (_, other) = Cpu.commit(committed, &self.told)?;
        Ok((root, [commitment, other]))
    }

    fn fractions<'a>(
        &'a self,
        plan: &'a Plan,
        held: &'a Tensors<'_>,
        keys: [Challenge; 2],
    ) -> Result<Box<dyn Fractions + 'a>, DeviceError> {
        let plan = if self.does(Lie::Leaves) { &self.plan } else { plan };
        let honest = Cpu.fractions(plan, self.of(Lie::Leaves, held), keys)?;
        let repair = [Lie::Numerators, Lie::Denominators].into_iter().find(|&lie| self.does(lie));
        Ok(match repair {
            Some(repair) => Box::new(Repaired { honest, repair, children: [Challenge::ZERO; 4] }),
            None => honest,
        })
    }

    fn product<'a>(
        &'a self,
        held: &'a Tensors<'_>,
        terms: &ProductTerms,
        points: &AxisPoints,
    ) -> Result<(Challenge, Box<dyn Rounds + 'a>), DeviceError> {
        let mut terms = ProductTerms { batch: terms.batch, terms: terms.terms.clone() };
        if self.does(Lie::ProductsWithoutWeights) {
            terms.terms.iter_mut().for_each(|(scale, contraction)| *scale = constant(contraction.coefficient));
        }
        let (sum, _) = Cpu.product(self.of(Lie::Sums, held), &terms, points)?;
        let (_, rounds) = Cpu.product(self.of(Lie::Products, held), &terms, points)?;
        Ok((sum, rounds))
    }

    fn zerocheck<'a>(
        &'a self,
        held: &'a Tensors<'_>,
        mut rows: Rows<'a>,
        points: &AxisPoints,
    ) -> Result<Box<dyn Rounds + 'a>, DeviceError> {
        if self.does(Lie::RowsWithoutWeights) {
            rows.constraints.iter_mut().for_each(|(weight, _)| *weight = Challenge::ONE);
        }
        let mut points = points.clone();
        if self.does(Lie::RowsWithoutPoint) {
            points.values_mut().flatten().for_each(|coordinate| *coordinate = Coordinate::Half);
        }
        Cpu.zerocheck(self.of(Lie::Zerochecks, held), rows, &points)
    }

    fn evaluate(
        &self,
        committed: &Committed,
        held: &Tensors,
        groups: Vec<ClaimGroup>,
    ) -> Result<Evaluated, DeviceError> {
        Cpu.evaluate(committed, self.of(Lie::Claims, held), groups)
    }

    fn opening<'a>(
        &'a self,
        committed: &'a Committed,
        opened: Opened<'a, Self>,
        held: &'a Tensors<'_>,
        claims: &'a Evaluated,
        alpha: Challenge,
    ) -> Result<Box<dyn OpeningRounds + 'a>, DeviceError> {
        let opened = match opened {
            Opened::Model(model) => Opened::Model(model),
            Opened::Witness([_, told]) if self.does(Lie::Queries) => Opened::Witness(told),
            Opened::Witness([held, _]) => Opened::Witness(held),
        };
        let rounds = Cpu.opening(committed, opened, self.of(Lie::Columns, held), claims, alpha)?;
        let queried = Cpu.opening(committed, opened, self.of(Lie::Queries, held), claims, alpha)?;
        Ok(Box::new(Opening { rounds, queried }))
    }
}

/// An opening of one polynomial whose first rows are those of another.
struct Opening<'a> {
    rounds: Box<dyn OpeningRounds + 'a>,
    queried: Box<dyn OpeningRounds + 'a>,
}

impl OpeningRounds for Opening<'_> {
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError> {
        self.rounds.polynomial()
    }

    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        self.rounds.fold(challenge)
    }

    fn encode(&mut self, code: &Code) -> Result<Digest, DeviceError> {
        self.rounds.encode(code)
    }

    fn rows(&mut self, code: usize, positions: &[usize]) -> Result<OpenedRows, DeviceError> {
        if code == 0 { self.queried.rows(0, positions) } else { self.rounds.rows(code, positions) }
    }

    fn weigh_rows(&mut self, code: &Code, positions: &[usize], gamma: Challenge) -> Result<(), DeviceError> {
        self.rounds.weigh_rows(code, positions, gamma)
    }

    fn values(&mut self) -> Result<Vec<Challenge>, DeviceError> {
        self.rounds.values()
    }
}

/// A tree whose layers agree with a root that is not theirs.
struct Repaired<'a> {
    honest: Box<dyn Fractions + 'a>,
    repair: Lie,
    /// Those of the last layer as they were sent.
    children: [Challenge; 4],
}

impl Fractions for Repaired<'_> {
    fn root(&self) -> Challenge {
        self.honest.root()
    }

    fn layer<'a>(&'a mut self, lambda: Challenge, point: &[Challenge]) -> Result<Box<dyn Layer + 'a>, DeviceError> {
        let [n0, d0, n1, d1] = self.children;
        let [numerator, denominator] = match point.first() {
            None => [Challenge::ZERO, self.honest.root()],
            Some(&branch) => [n0 + branch * (n1 - n0), d0 + branch * (d1 - d0)],
        };
        Ok(Box::new(RepairedLayer {
            honest: self.honest.layer(lambda, point)?,
            repair: self.repair,
            lambda,
            coordinates: point.iter().rev().copied().collect(),
            sum: numerator + lambda * denominator,
            polynomial: [Challenge::ZERO; 2],
            children: &mut self.children,
        }))
    }
}

struct RepairedLayer<'a> {
    honest: Box<dyn Layer + 'a>,
    repair: Lie,
    lambda: Challenge,
    /// Those of the rounds that are left, the next one last.
    coordinates: Vec<Challenge>,
    sum: Challenge,
    polynomial: [Challenge; 2],
    children: &'a mut [Challenge; 4],
}

impl Layer for RepairedLayer<'_> {
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError> {
        self.polynomial = self.honest.polynomial()?;
        Ok(self.polynomial)
    }

    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        let [low, square] = self.polynomial;
        let coordinate = self.coordinates.pop().expect("a coordinate for every round");
        // The linear coefficient is what makes the polynomial agree with the sum.
        let linear = (self.sum - low) * coordinate.inverse() - square;
        self.sum = low + challenge * (linear + challenge * square);
        self.honest.fold(challenge)
    }

    fn children(&mut self) -> Result<[Challenge; 4], DeviceError> {
        let [n0, d0, mut n1, mut d1] = self.honest.children()?;
        if self.repair == Lie::Numerators {
            n1 = (self.sum - d1 * n0 - self.lambda * d0 * d1) * d0.inverse();
        } else {
            d1 = (self.sum - d0 * n1) * (n0 + self.lambda * d0).inverse();
        }
        *self.children = [n0, d0, n1, d1];
        Ok(*self.children)
    }
}
