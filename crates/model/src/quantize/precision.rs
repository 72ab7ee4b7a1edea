//! How much a format may cost. The cheapest precision whose loss is small enough on the calibration texts is taken.

/// What the formats of a model aim at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    /// Largest integer of a channel of weights.
    pub(super) mantissa: f64,
    /// A range is this much larger than what calibration has seen.
    pub(super) headroom: f64,
    /// Bits that a projection may lose for never being clamped.
    pub(super) projection_loss: u32,
    /// Bits that the product of activation and up projection may lose for never being clamped.
    pub(super) product_loss: u32,
    /// Whether output projections read limbs, and the stream may have three of its own.
    pub(super) limbs: bool,
}

impl Precision {
    /// Enough for small models without activation spikes: little is clamped, and everything is one number.
    pub const PLAIN: Self = Self { mantissa: 127.0, headroom: 2.0, projection_loss: 4, product_loss: 2, limbs: false };
    /// What trained models of any size need: weights of twelve bits, products of 25, a stream that is clamped to what is
    /// expected of it.
    pub const FINE: Self = Self { mantissa: 2047.0, headroom: 1.2, projection_loss: 0, product_loss: 0, limbs: true };
}
