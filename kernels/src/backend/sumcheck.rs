//! Sumchecks of products and zerochecks: rows of eq and all factors, and a sum of monomials over them.

use obelysk_prover::Rows;
use obelysk_prover::backend::{DeviceError, ProductTerms, Rounds};
use obelysk_statement::Challenge;
use obelysk_statement::axis::AxisId;
use obelysk_statement::point::AxisPoints;
use obelysk_statement::relation::Access;
use p3_field::PrimeCharacteristicRing;

use super::tensors::Tensors;
use crate::device::Buffer;
use crate::extension::Extension;
use crate::kernels::Kernels;
use crate::program::{DEGREE_MAX, Monomial};
use crate::sum::Places;

/// A sumcheck in progress.
pub(super) struct Program<'a> {
    kernels: &'a Kernels,
    /// For every index: eq, then the factors.
    rows: Buffer<Extension>,
    width: usize,
    monomials: Buffer<Monomial>,
    degree: usize,
}

/// What is filled in before the rounds begin.
struct Unfilled<'a, 'b> {
    kernels: &'a Kernels,
    values: &'b Tensors<'b>,
    axes: &'b [AxisId],
    points: &'b AxisPoints,
    rows: Buffer<Extension>,
    width: usize,
}

impl<'a> Program<'a> {
    /// The sum that the rounds are about.
    pub(super) fn sum(&self) -> Result<Challenge, DeviceError> {
        let values = self.values()?;
        Ok(values[0] + values[1])
    }

    /// Values at 0 .. degree of the round polynomial.
    fn values(&self) -> Result<Vec<Challenge>, DeviceError> {
        self.kernels.monomials_round(&self.rows, self.width, &self.monomials, self.degree)
    }

    pub(super) fn product(
        kernels: &'a Kernels,
        values: &Tensors,
        terms: &ProductTerms,
        points: &AxisPoints,
    ) -> Result<Self, DeviceError> {
        let ProductTerms { batch, terms } = terms;
        let mut factors: Vec<Access> = Vec::new();
        let mut place = |access: &Access| {
            factors.iter().position(|known| known == access).unwrap_or_else(|| {
                factors.push(access.clone());
                factors.len() - 1
            })
        };
        let monomials =
            terms.iter().map(|(scale, product)| (*scale, vec![place(&product.left), place(&product.right)]));
        let monomials = monomials.collect();
        let axes = batch.axes();
        let mut unfilled = Unfilled::new(kernels, values, &axes, points, factors.len())?;
        let summed: usize = batch.summed.iter().map(|&axis| values.statement.axis(axis).bits()).sum();
        let shared: Vec<Challenge> = coordinates(points, &batch.shared);
        let eq = kernels.eq_table(&shared)?;
        let ones = kernels.device.upload(&vec![Extension::from(Challenge::ONE); 1 << summed])?;
        let low_count = ones.len();
        kernels.outer_product(&eq, &ones, low_count, unfilled.column(0))?;
        unfilled.fill(&factors)?;
        unfilled.finish(monomials, batch.degree())
    }

    pub(super) fn zerocheck(
        kernels: &'a Kernels,
        values: &Tensors,
        rows: &Rows,
        points: &AxisPoints,
    ) -> Result<Self, DeviceError> {
        let mut monomials = Vec::new();
        for (power, constraint) in &rows.constraints {
            monomials.extend(constraint.monomials().into_iter().map(|(own, factors)| (*power * own, factors)));
        }
        let axes = &rows.batch.axes;
        let mut unfilled = Unfilled::new(kernels, values, axes, points, rows.factors.len())?;
        unfilled.fill_box()?;
        unfilled.fill(&rows.factors)?;
        unfilled.finish(monomials, rows.batch.degree)
    }
}

impl<'a, 'b> Unfilled<'a, 'b> {
    fn new(
        kernels: &'a Kernels,
        values: &'b Tensors<'b>,
        axes: &'b [AxisId],
        points: &'b AxisPoints,
        factors: usize,
    ) -> Result<Self, DeviceError> {
        let variables: usize = axes.iter().map(|&axis| values.statement.axis(axis).bits()).sum();
        let width = 1 + factors;
        // A second row of zeros where there is one index, so that its value is that of a polynomial at 0.
        let rows = kernels.device.zeros(width << variables.max(1))?;
        Ok(Self { kernels, values, axes, points, rows, width })
    }

    /// The places of one factor, or of eq.
    fn column(&mut self, first: usize) -> Places<'_> {
        Places { elements: &mut self.rows, first, stride: self.width }
    }

    fn indices(&self) -> usize {
        self.axes.iter().map(|&axis| 1usize << self.values.statement.axis(axis).bits()).product()
    }

    /// eq, zero outside of the box.
    fn fill_box(&mut self) -> Result<(), DeviceError> {
        let kernels = self.kernels;
        let one = [Extension::from(Challenge::ONE)];
        let mut eq = kernels.device.upload(&one)?;
        let (statement, points) = (self.values.statement, self.points);
        let Some((last, outer)) = self.axes.split_last() else {
            let one = kernels.device.upload(&one)?;
            return kernels.outer_product(&eq, &one, 1, self.column(0));
        };
        let table = |axis: AxisId| -> Result<Buffer<Extension>, DeviceError> {
            let mut table = kernels.eq_table(&coordinates(points, &[axis]))?;
            table.truncate(statement.axis(axis).size);
            Ok(table)
        };
        for &axis in outer {
            let low_count = 1 << statement.axis(axis).bits();
            let mut products = kernels.device.allocate(eq.len() * low_count)?;
            kernels.outer_product(&eq, &table(axis)?, low_count, Places::start_of(&mut products))?;
            eq = products;
        }
        let low_count = 1 << statement.axis(*last).bits();
        kernels.outer_product(&eq, &table(*last)?, low_count, self.column(0))
    }

    /// Factors at every index, evaluated at the challenge point of every other axis.
    fn fill(&mut self, factors: &[Access]) -> Result<(), DeviceError> {
        let (kernels, values, indices) = (self.kernels, self.values, self.indices());
        for (place, access) in factors.iter().enumerate() {
            let weighed: Vec<AxisId> = access.axes().filter(|axis| !self.axes.contains(axis)).collect();
            let point = coordinates(self.points, &weighed);
            let weights = kernels.eq_table(&point)?;
            let view = values.view(&kernels.device, access, &[self.axes, &weighed].concat())?;
            kernels.weighted_sums(&view, &weights, point.len(), indices, self.column(1 + place))?;
        }
        Ok(())
    }

    fn finish(self, monomials: Vec<(Challenge, Vec<usize>)>, degree: usize) -> Result<Program<'a>, DeviceError> {
        if degree > DEGREE_MAX {
            let reason = format!("a sumcheck of degree {degree}; at most {DEGREE_MAX}");
            return Err(DeviceError::Unsupported(reason));
        }
        let Self { kernels, rows, width, .. } = self;
        // Rows begin with eq.
        let own = |(coefficient, factors): (Challenge, Vec<usize>)| {
            Monomial::new(coefficient, &factors.iter().map(|factor| 1 + factor).collect::<Vec<usize>>())
        };
        let mut monomials: Vec<Monomial> = monomials.into_iter().map(own).collect::<Result<_, _>>()?;
        if monomials.is_empty() {
            // Nothing is a sum too, and a buffer holds something.
            monomials.push(Monomial::new(Challenge::ZERO, &[])?);
        }
        let monomials = kernels.device.upload(&monomials)?;
        Ok(Program { kernels, rows, width, monomials, degree })
    }
}

fn coordinates(points: &AxisPoints, axes: &[AxisId]) -> Vec<Challenge> {
    axes.iter().flat_map(|axis| points[axis].iter().map(|coordinate| coordinate.value())).collect()
}

impl Rounds for Program<'_> {
    fn polynomial(&mut self) -> Result<Vec<Challenge>, DeviceError> {
        let values = self.values()?;
        // The one at 1 follows from the sum.
        Ok([&values[..1], &values[2..]].concat())
    }

    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        self.kernels.bind(&mut self.rows, challenge.into())
    }
}
