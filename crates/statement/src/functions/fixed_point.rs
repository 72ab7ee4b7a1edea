//! Fixed-point reals: `i128` with [`FRACTION`] fractional bits. The series stop when their terms vanish, so the error is
//! a few units of `2^-60`, far below the rounding of any table entry.

/// Fractional bits of the fixed-point numbers.
pub(super) const FRACTION: u32 = 60;
pub(super) const ONE: i128 = 1 << FRACTION;
/// `ln 2`.
const LN_2: i128 = 0x0B17_217F_7D1C_F79A;
/// `pi`.
pub(super) const PI: i128 = 0x3243_F6A8_885A_308D;

pub(super) fn multiply(a: i128, b: i128) -> i128 {
    (a * b) >> FRACTION
}

pub(super) fn divide(a: i128, b: i128) -> i128 {
    (a << FRACTION) / b
}

/// `round(value * 2^bits)`, half away from minus infinity.
pub(super) fn round_to(value: i128, bits: u32) -> i64 {
    let shift = FRACTION - bits;
    i64::try_from((value + (1 << (shift - 1))) >> shift).expect("table entries are small")
}

/// `exp(-x)` for `x >= 0`.
pub(super) fn exponential_of_negative(x: i128) -> i128 {
    let halvings = x / LN_2;
    if halvings > 62 {
        return 0;
    }
    let rest = x - halvings * LN_2;
    let (mut sum, mut term, mut n) = (ONE, ONE, 1);
    while term != 0 {
        term = -multiply(term, rest) / n;
        sum += term;
        n += 1;
    }
    sum >> halvings
}

/// `ln(numerator / 2^bits)` for a positive numerator.
pub(super) fn logarithm_of(numerator: u128, bits: u32) -> i128 {
    let length = 128 - numerator.leading_zeros();
    let mantissa = i128::try_from(if length > FRACTION {
        numerator >> (length - FRACTION)
    } else {
        numerator << (FRACTION - length)
    })
    .expect("a mantissa has 60 bits");
    // ln m = 2 atanh((m - 1) / (m + 1)) for m in [1/2, 1).
    let ratio = divide(mantissa - ONE, mantissa + ONE);
    let square = multiply(ratio, ratio);
    let (mut sum, mut power, mut n) = (0, ratio, 1);
    while power != 0 && power != -1 {
        sum += power / n;
        power = multiply(power, square);
        n += 2;
    }
    2 * sum + (i128::from(length) - i128::from(bits)) * LN_2
}

/// `(cos x, sin x)` for `x >= 0`.
pub(super) fn cosine_and_sine(x: i128) -> (i128, i128) {
    let quarter = PI / 2;
    let turns = x / quarter;
    let rest = x - turns * quarter;
    let (mut cosine, mut sine, mut term, mut n) = (0, 0, ONE, 0i128);
    while term != 0 && term != -1 {
        match n % 4 {
            0 => cosine += term,
            1 => sine += term,
            2 => cosine -= term,
            _ => sine -= term,
        }
        n += 1;
        term = multiply(term, rest) / n;
    }
    match turns % 4 {
        0 => (cosine, sine),
        1 => (-sine, cosine),
        2 => (-cosine, -sine),
        _ => (sine, -cosine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(value: i128) -> f64 {
        value as f64 / ONE as f64
    }

    #[test]
    fn fixed_point_functions_agree_with_floating_point() {
        for x in [0.0, 1e-6, 0.1, 0.7, 1.0, 3.3, 17.5, 40.0] {
            let fixed = (x * ONE as f64) as i128;
            assert!((real(exponential_of_negative(fixed)) - (-x).exp()).abs() < 1e-15, "exp(-{x})");
            let (cosine, sine) = cosine_and_sine(fixed);
            assert!((real(cosine) - x.cos()).abs() < 1e-14 && (real(sine) - x.sin()).abs() < 1e-14, "angle {x}");
        }
        for n in [1u128, 2, 3, 10, 16384, 1_000_000, u128::from(u64::MAX)] {
            assert!((real(logarithm_of(n, 3)) - (n as f64 / 8.0).ln()).abs() < 1e-13, "ln({n}/8)");
        }
    }
}
