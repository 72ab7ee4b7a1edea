//! Rounds of products and zerochecks.

use cudarc::driver::DeviceRepr;
use obelysk_prover::DeviceError;
use obelysk_statement::Challenge;

use crate::device::Buffer;
use crate::extension::Extension;
use crate::kernels::Kernels;

/// Degree of a round's polynomial at most: `DEGREE_MAX` in `native/program.cu`.
pub(crate) const DEGREE_MAX: usize = 4;
/// Factors of a monomial at most: `FACTORS_MAX` in `native/program.cu`.
const FACTORS_MAX: usize = 3;

/// A coefficient times some factors, by their places in a row: the twin of `Monomial` in `native/program.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub(crate) struct Monomial {
    coefficient: Extension,
    count: u32,
    places: [u32; FACTORS_MAX],
}

// SAFETY: plain words without padding, laid out as the kernels' structure is.
#[allow(unsafe_code)]
unsafe impl DeviceRepr for Monomial {}

impl Monomial {
    /// # Errors
    /// [`DeviceError::Unsupported`] for too many factors.
    pub(crate) fn new(coefficient: Challenge, factors: &[usize]) -> Result<Self, DeviceError> {
        if factors.len() > FACTORS_MAX {
            let reason = format!("a product of {} factors; at most {FACTORS_MAX}", factors.len());
            return Err(DeviceError::Unsupported(reason));
        }
        let mut places = [0; FACTORS_MAX];
        for (place, &factor) in places.iter_mut().zip(factors) {
            *place = u32::try_from(factor).expect("few factors");
        }
        Ok(Self { coefficient: coefficient.into(), count: factors.len() as u32, places })
    }
}

impl Kernels {
    /// The values at 0 .. `degree` of the polynomial in the most significant variable: the sum over the later ones of eq, with which rows of
    /// `width` elements begin, times the sum of monomials.
    pub(crate) fn monomials_round(
        &self,
        rows: &Buffer<Extension>,
        width: usize,
        monomials: &Buffer<Monomial>,
        degree: usize,
    ) -> Result<Vec<Challenge>, DeviceError> {
        assert!(degree <= DEGREE_MAX, "the caller refuses higher degrees");
        let half = rows.len() / (2 * width);
        assert_eq!(2 * half * width, rows.len(), "each row has another one that differs in the variable");
        let kernel = &self.monomials_round;
        self.round(kernel, half, degree + 1, |sums| {
            let (width, count, degree) = (width as u32, monomials.len() as u32, degree as u32);
            let rows_count = half as u64;
            let mut arguments = self.launch(kernel);
            arguments.arg(self.given(rows)).arg(&width).arg(&rows_count).arg(self.given(monomials)).arg(&count);
            arguments.arg(&degree).arg(self.given_mut(sums));
            // SAFETY: `monomials_round(const Extension*, uint32_t, uint64_t, const Monomial*, uint32_t, uint32_t, Extension*)` reads
            // `2 * half` rows at the places of the monomials, which lie in a row, and writes `degree + 1` sums for each block.
            #[allow(unsafe_code)]
            unsafe {
                self.queue(kernel, half, &mut arguments)
            }
        })
    }
}
