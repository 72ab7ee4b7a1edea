//! Sumchecks of products and zerochecks: rows of eq and all factors, and a sum of monomials over them.

use obelysk_prover::Rows;
use obelysk_prover::backend::{DeviceError, ProductTerms, Rounds};
use obelysk_statement::axis::AxisId;
use obelysk_statement::point::AxisPoints;
use obelysk_statement::relation::Access;
use obelysk_statement::{Challenge, Statement};
use p3_field::PrimeCharacteristicRing;

use super::devices::{Devices, Share, each};
use super::tensors::Tensors;
use super::weigh::weighted_sums;
use crate::device::Buffer;
use crate::extension::Extension;
use crate::kernels::Kernels;
use crate::program::{DEGREE_MAX, Monomial};
use crate::sum::Places;

/// A sumcheck in progress, by shares of its index.
pub(super) struct Program<'a> {
    first: &'a Kernels,
    shares: Vec<ShareProgram<'a>>,
}

/// What a device has of it.
struct ShareProgram<'a> {
    kernels: &'a Kernels,
    /// For every index: eq, then the factors.
    rows: Buffer<Extension>,
    width: usize,
    monomials: Vec<Monomial>,
    on_device: Buffer<Monomial>,
    degree: usize,
}

/// What is filled in before the rounds begin.
struct Unfilled<'a, 'b> {
    devices: &'a Devices,
    /// Who has it.
    at: usize,
    share: Share,
    values: &'b Tensors<'b>,
    axes: &'b [AxisId],
    points: &'b AxisPoints,
    rows: Buffer<Extension>,
    width: usize,
}

/// A sumcheck of products.
pub(super) fn product<'a>(
    devices: &'a Devices,
    values: &Tensors,
    terms: &ProductTerms,
    points: &AxisPoints,
) -> Result<Program<'a>, DeviceError> {
    let ProductTerms { batch, terms } = terms;
    let mut factors: Vec<Access> = Vec::new();
    let mut place = |access: &Access| {
        factors.iter().position(|known| known == access).unwrap_or_else(|| {
            factors.push(access.clone());
            factors.len() - 1
        })
    };
    let monomials = terms.iter().map(|(scale, product)| (*scale, vec![place(&product.left), place(&product.right)]));
    let monomials: Vec<_> = monomials.collect();
    let axes = batch.axes();
    Program::of_shares(devices, shared_bits(values.statement, &axes), |at, share| {
        let mut unfilled = Unfilled::new(devices, (at, share), values, &axes, points, factors.len())?;
        unfilled.fill_eq(&batch.shared, &batch.summed)?;
        unfilled.fill(&factors)?;
        unfilled.finish(&monomials, batch.degree())
    })
}

/// A sumcheck of constraints.
pub(super) fn zerocheck<'a>(
    devices: &'a Devices,
    values: &Tensors,
    rows: &Rows,
    points: &AxisPoints,
) -> Result<Program<'a>, DeviceError> {
    let mut monomials = Vec::new();
    for (power, constraint) in &rows.constraints {
        monomials.extend(constraint.monomials().into_iter().map(|(own, factors)| (*power * own, factors)));
    }
    let axes = &rows.batch.axes;
    Program::of_shares(devices, shared_bits(values.statement, axes), |at, share| {
        let mut unfilled = Unfilled::new(devices, (at, share), values, axes, points, rows.factors.len())?;
        unfilled.fill_box()?;
        unfilled.fill(&rows.factors)?;
        unfilled.finish(&monomials, rows.batch.degree)
    })
}

/// Bits of an index over axes that shares may be told apart by: those of the last axis.
pub(super) fn shared_bits(statement: &Statement, axes: &[AxisId]) -> usize {
    axes.last().map_or(0, |&axis| statement.axis(axis).bits())
}

impl<'a> Program<'a> {
    fn of_shares(
        devices: &'a Devices,
        bits: usize,
        fill: impl Fn(usize, Share) -> Result<ShareProgram<'a>, DeviceError> + Sync,
    ) -> Result<Self, DeviceError> {
        let shares = devices.shares(bits).into_iter().enumerate();
        let shares = each(shares, |(at, (_, share)): (usize, (&Kernels, Share))| fill(at, share))?;
        Ok(Self { first: devices.first(), shares })
    }

    /// The sum that the rounds are about.
    pub(super) fn sum(&self) -> Result<Challenge, DeviceError> {
        let values = self.values()?;
        Ok(values[0] + values[1])
    }

    /// Values at 0 .. degree of the round polynomial.
    fn values(&self) -> Result<Vec<Challenge>, DeviceError> {
        let values = each(&self.shares, ShareProgram::values)?;
        let add = |total: Vec<Challenge>, own: Vec<Challenge>| total.into_iter().zip(own).map(|(a, b)| a + b).collect();
        Ok(values.into_iter().reduce(add).expect("there is a share"))
    }
}

impl ShareProgram<'_> {
    fn values(&self) -> Result<Vec<Challenge>, DeviceError> {
        self.kernels.monomials_round(&self.rows, self.width, &self.on_device, self.degree)
    }
}

impl<'a, 'b> Unfilled<'a, 'b> {
    fn new(
        devices: &'a Devices,
        (at, share): (usize, Share),
        values: &'b Tensors<'b>,
        axes: &'b [AxisId],
        points: &'b AxisPoints,
        factors: usize,
    ) -> Result<Self, DeviceError> {
        let variables: usize = axes.iter().map(|&axis| values.statement.axis(axis).bits()).sum();
        let width = 1 + factors;
        // A second row of zeros where there is one index, so that its value is that of a polynomial at 0.
        let rows = devices.all()[at].device.zeros(width << (variables - share.bits).max(1))?;
        Ok(Self { devices, at, share, values, axes, points, rows, width })
    }

    fn kernels(&self) -> &'a Kernels {
        &self.devices.all()[self.at]
    }

    /// The places of one factor, or of eq.
    fn column(&mut self, first: usize) -> Places<'_> {
        Places { elements: &mut self.rows, first, stride: self.width }
    }

    fn indices(&self) -> usize {
        let all: usize = self.axes.iter().map(|&axis| 1usize << self.values.statement.axis(axis).bits()).product();
        all >> self.share.bits
    }

    /// eq of the shared axes, over all of the summed ones, which come last.
    fn fill_eq(&mut self, shared: &[AxisId], summed: &[AxisId]) -> Result<(), DeviceError> {
        let kernels = self.kernels();
        let bits: usize = summed.iter().map(|&axis| self.values.statement.axis(axis).bits()).sum();
        let mut shared = coordinates(self.points, shared);
        // Bits of the share that are not those of a summed axis.
        let own = self.share.bits.saturating_sub(bits);
        let last = shared.split_off(shared.len() - own);
        let weight = Share { bits: own, value: self.share.value >> (self.share.bits - own) }.weight(&last);
        let eq = kernels.eq_table(&shared)?;
        let weights =
            kernels.device.upload(&vec![Extension::from(weight); 1 << bits.saturating_sub(self.share.bits)])?;
        let low_count = weights.len();
        kernels.outer_product(&eq, &weights, low_count, self.column(0))
    }

    /// eq, zero outside of the box.
    fn fill_box(&mut self) -> Result<(), DeviceError> {
        let kernels = self.kernels();
        let one = [Extension::from(Challenge::ONE)];
        let mut eq = kernels.device.upload(&one)?;
        let (statement, points, share) = (self.values.statement, self.points, self.share);
        let Some((last, outer)) = self.axes.split_last() else {
            let one = kernels.device.upload(&one)?;
            return kernels.outer_product(&eq, &one, 1, self.column(0));
        };
        for &axis in outer {
            let mut table = kernels.eq_table(&coordinates(points, &[axis]))?;
            table.truncate(statement.axis(axis).size);
            let low_count = 1 << statement.axis(axis).bits();
            let mut products = kernels.device.allocate(eq.len() * low_count)?;
            kernels.outer_product(&eq, &table, low_count, Places::start_of(&mut products))?;
            eq = products;
        }
        // The last axis by the share: the bits before it, scaled by eq of its own.
        let mut point = coordinates(points, &[*last]);
        let low_count = 1 << (point.len() - share.bits);
        let weight = share.weight(&point.split_off(point.len() - share.bits));
        let size = share.below(statement.axis(*last).size);
        if size == 0 {
            return Ok(());
        }
        let mut table = kernels.eq_table(&point)?;
        table.truncate(size);
        if share.bits > 0 {
            let weight = kernels.device.upload(&[Extension::from(weight)])?;
            let mut scaled = kernels.device.allocate(size)?;
            kernels.outer_product(&table, &weight, 1, Places::start_of(&mut scaled))?;
            table = scaled;
        }
        kernels.outer_product(&eq, &table, low_count, self.column(0))
    }

    /// Factors at every index, evaluated at the challenge point of every other axis.
    fn fill(&mut self, factors: &[Access]) -> Result<(), DeviceError> {
        let (devices, values, indices, place) = (self.devices, self.values, self.indices(), (self.at, self.share));
        for (factor, access) in factors.iter().enumerate() {
            let weighed: Vec<AxisId> = access.axes().filter(|axis| !self.axes.contains(axis)).collect();
            let point = coordinates(self.points, &weighed);
            let entries = values.view(devices, place, access, self.axes, &weighed)?;
            weighted_sums(devices, self.at, &entries, &point, indices, self.column(1 + factor))?;
        }
        Ok(())
    }

    fn finish(self, monomials: &[(Challenge, Vec<usize>)], degree: usize) -> Result<ShareProgram<'a>, DeviceError> {
        if degree > DEGREE_MAX {
            let reason = format!("a sumcheck of degree {degree}; at most {DEGREE_MAX}");
            return Err(DeviceError::Unsupported(reason));
        }
        let kernels = self.kernels();
        let Self { rows, width, .. } = self;
        // Rows begin with eq.
        let own = |(coefficient, factors): &(Challenge, Vec<usize>)| {
            Monomial::new(*coefficient, &factors.iter().map(|factor| 1 + factor).collect::<Vec<usize>>())
        };
        let mut monomials: Vec<Monomial> = monomials.iter().map(own).collect::<Result<_, _>>()?;
        if monomials.is_empty() {
            // Nothing is a sum too, and a buffer holds something.
            monomials.push(Monomial::new(Challenge::ZERO, &[])?);
        }
        let on_device = kernels.device.upload(&monomials)?;
        Ok(ShareProgram { kernels, rows, width, monomials, on_device, degree })
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
        let challenge = Extension::from(challenge);
        each(&mut self.shares, |own: &mut ShareProgram| own.kernels.bind(&mut own.rows, challenge))?;
        if self.shares.len() == 1 || self.shares[0].rows.len() > self.shares[0].width {
            return Ok(());
        }
        // Each share is one row: the variables that are left are those of their numbers.
        let rows = each(&self.shares, |own: &ShareProgram| own.kernels.device.download(&own.rows))?.concat();
        let ShareProgram { width, monomials, degree, .. } = self.shares.swap_remove(0);
        let (kernels, device) = (self.first, &self.first.device);
        let (rows, on_device) = (device.upload(&rows)?, device.upload(&monomials)?);
        self.shares = vec![ShareProgram { kernels, rows, width, monomials, on_device, degree }];
        Ok(())
    }
}
