//! Elements of the extension field as kernels hold them: four words in sixteen bytes, read by one instruction.

use cudarc::driver::{DeviceRepr, ValidAsZeroBits};
use obelysk_statement::Challenge;
use obelysk_statement::words::{challenge, words};

/// The twin of `Extension` in `native/field.cuh`: coordinates in the basis `1, i, u, iu`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Extension([u32; 4]);

// SAFETY: plain words without padding, laid out as the kernels' structure is.
#[allow(unsafe_code)]
unsafe impl DeviceRepr for Extension {}

// SAFETY: zero words are the element zero.
#[allow(unsafe_code)]
unsafe impl ValidAsZeroBits for Extension {}

impl From<Challenge> for Extension {
    fn from(element: Challenge) -> Self {
        Self(words(element))
    }
}

impl Extension {
    /// The field element, `None` if a kernel left a word that is not below the modulus.
    #[must_use]
    pub fn element(self) -> Option<Challenge> {
        challenge(self.0)
    }
}

/// Elements as kernels hold them.
pub(crate) fn extensions(elements: &[Challenge]) -> Vec<Extension> {
    elements.iter().map(|&element| element.into()).collect()
}
