//! How GGUF files encode numbers: as floats, or in blocks of small integers that share a scale.

use anyhow::{Result, bail};
use half::f16;

/// Numbers of a block.
const BLOCK: usize = 32;

/// An encoding of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    F32,
    F16,
    /// Blocks of a scale, an offset and 4 bits for each number: first half in the low bits.
    Q4_1,
    /// Blocks of a scale and 8 bits, signed, for each number.
    Q8_0,
}

impl Encoding {
    /// The encoding that a file means by a number.
    pub fn of_number(number: u32) -> Result<Self> {
        Ok(match number {
            0 => Self::F32,
            1 => Self::F16,
            3 => Self::Q4_1,
            8 => Self::Q8_0,
            _ => bail!("encoding {number} cannot be read; F32, F16, Q4_1 and Q8_0 can"),
        })
    }

    /// Numbers and bytes of the smallest piece.
    const fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 => (1, 2),
            Self::Q4_1 => (BLOCK, 4 + BLOCK / 2),
            Self::Q8_0 => (BLOCK, 2 + BLOCK),
        }
    }

    /// Bytes of some numbers, if they fill whole blocks.
    pub fn bytes(self, numbers: usize) -> Option<usize> {
        let (block, bytes) = self.block();
        if numbers.is_multiple_of(block) { (numbers / block).checked_mul(bytes) } else { None }
    }

    /// The numbers of whole blocks.
    pub fn decode(self, data: &[u8]) -> Vec<f32> {
        let (numbers, bytes) = self.block();
        let mut decoded = Vec::with_capacity(data.len() / bytes * numbers);
        for block in data.chunks_exact(bytes) {
            let half = |place: usize| f16::from_le_bytes([block[place], block[place + 1]]).to_f32();
            match self {
                Self::F32 => decoded.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
                Self::F16 => decoded.push(half(0)),
                Self::Q4_1 => {
                    let (scale, offset) = (half(0), half(2));
                    for shift in [0, 4] {
                        decoded.extend(block[4..].iter().map(|byte| f32::from((byte >> shift) & 15) * scale + offset));
                    }
                }
                Self::Q8_0 => {
                    let scale = half(0);
                    decoded.extend(block[2..].iter().map(|byte| f32::from(i8::from_le_bytes([*byte])) * scale));
                }
            }
        }
        decoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bits_with_an_offset_come_low_bits_first() {
        let mut block = [f16::from_f32(0.5).to_le_bytes(), f16::from_f32(-2.0).to_le_bytes()].concat();
        block.extend((0..16).map(|number| number | ((15 - number) << 4)));
        let decoded = Encoding::Q4_1.decode(&block);
        let expected = (0..16u8).chain((0..16).rev()).map(|number| f32::from(number) * 0.5 - 2.0);
        assert_eq!(decoded, expected.collect::<Vec<_>>());
    }

    #[test]
    fn eight_bits_are_signed() {
        let mut block = f16::from_f32(0.25).to_le_bytes().to_vec();
        block.extend((-16..16i8).map(|number| number.to_le_bytes()[0]));
        let decoded = Encoding::Q8_0.decode(&block);
        assert_eq!((decoded[0], decoded[16], decoded[31]), (-4.0, 0.0, 3.75));
    }

    #[test]
    fn half_a_block_has_no_length() {
        assert_eq!(Encoding::Q8_0.bytes(64), Some(68));
        assert_eq!(Encoding::Q4_1.bytes(48), None);
        assert!(Encoding::of_number(2).is_err());
    }
}
