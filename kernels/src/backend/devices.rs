//! Several GPUs of one machine, and how they share a space of indices: each has those whose last bits are its number. Binding takes the
//! first bits, so a share is halved with the whole, and the device works as if it were alone; what is left in the end, an index each, is
//! brought together. Sums over shares are added by the processor: field addition is exact, so no order matters.

use std::panic;
use std::thread;

use obelysk_prover::DeviceError;
use obelysk_statement::Challenge;
use p3_field::PrimeCharacteristicRing;

use crate::kernels::Kernels;

/// Bits of an index that a device has to itself at least: with fewer, the work is less than that of bringing it together.
const OWN_BITS: usize = 4;

/// The indices whose last `bits` bits are `value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) bits: usize,
    pub(super) value: usize,
}

/// The GPUs with their kernels, at least one. The first does what is not shared.
pub(super) struct Devices(Vec<Kernels>);

impl Share {
    /// How many of the indices below `end` it has.
    pub(super) fn below(self, end: usize) -> usize {
        end.saturating_sub(self.value).div_ceil(1 << self.bits)
    }

    /// Weights of the last bits at a point of as many coordinates: `eq` of the share's value.
    pub(super) fn weight(self, point: &[Challenge]) -> Challenge {
        assert_eq!(point.len(), self.bits, "a coordinate for every bit");
        let bit = |place: usize| self.value >> (self.bits - 1 - place) & 1 == 1;
        let factor = |(place, &own): (usize, &Challenge)| if bit(place) { own } else { Challenge::ONE - own };
        point.iter().enumerate().map(factor).product()
    }
}

impl Devices {
    /// # Panics
    /// Without a device.
    pub(super) fn new(devices: Vec<Kernels>) -> Self {
        assert!(!devices.is_empty(), "there is a device");
        Self(devices)
    }

    pub(super) fn first(&self) -> &Kernels {
        &self.0[0]
    }

    pub(super) fn all(&self) -> &[Kernels] {
        &self.0
    }

    /// The devices that share the work on indices of so many bits, each with its share.
    pub(super) fn shares(&self, bits: usize) -> Vec<(&Kernels, Share)> {
        let own = share_bits(self.0.len(), bits);
        self.0.iter().take(1 << own).enumerate().map(|(value, kernels)| (kernels, Share { bits: own, value })).collect()
    }
}

/// Bits of an index that tell apart the shares of so many devices; a power of two of them takes part.
pub(super) fn share_bits(devices: usize, bits: usize) -> usize {
    (devices.ilog2() as usize).min(bits.saturating_sub(OWN_BITS))
}

/// Work on all parts at once, each on a thread of its own, where there is more than one; the first error is that of the first part.
pub(super) fn each<P: Send, T: Send>(
    parts: impl IntoIterator<Item = P>,
    work: impl Fn(P) -> Result<T, DeviceError> + Sync,
) -> Result<Vec<T>, DeviceError> {
    let mut parts: Vec<P> = parts.into_iter().collect();
    if parts.len() == 1 {
        return Ok(vec![work(parts.remove(0))?]);
    }
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || work(part))).collect();
        threads.into_iter().map(|own| own.join().unwrap_or_else(|payload| panic::resume_unwind(payload))).collect()
    })
}

/// Sums of the same values over all shares.
pub(super) fn total<const COUNT: usize>(sums: Vec<[Challenge; COUNT]>) -> [Challenge; COUNT] {
    let add =
        |total: [Challenge; COUNT], own: [Challenge; COUNT]| std::array::from_fn(|place| total[place] + own[place]);
    sums.into_iter().fold([Challenge::ZERO; COUNT], add)
}
