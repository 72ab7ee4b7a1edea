//! The tables of the integer model, made by integer arithmetic alone, so that every machine makes the same ones.
//!
//! Reals are fixed-point `i128` with [`FRACTION`] fractional bits. The series stop when their terms vanish, so the
//! error is a few units of `2^-60`, far below the rounding of any table entry.

/// Fractional bits of the fixed-point numbers of this module.
const FRACTION: u32 = 60;
const ONE: i128 = 1 << FRACTION;
/// `ln 2`.
const LN_2: i128 = 0x0B17_217F_7D1C_F79A;
/// `pi`.
const PI: i128 = 0x3243_F6A8_885A_308D;

/// Fractional bits of the steps that `model.json` states, such as the step of the exponential.
pub const STEP_FRACTION: u32 = 40;

fn multiply(a: i128, b: i128) -> i128 {
    (a * b) >> FRACTION
}

fn divide(a: i128, b: i128) -> i128 {
    (a << FRACTION) / b
}

/// `round(value * 2^bits)`, half away from minus infinity.
fn round_to(value: i128, bits: u32) -> i64 {
    let shift = FRACTION - bits;
    i64::try_from((value + (1 << (shift - 1))) >> shift).expect("table entries are small")
}

/// `exp(-x)` for `x >= 0`.
fn exponential_of_negative(x: i128) -> i128 {
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
fn logarithm_of(numerator: u128, bits: u32) -> i128 {
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
fn cosine_and_sine(x: i128) -> (i128, i128) {
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

/// `exp(-step k)` for `k = 0, 1, ..`. Each factor rounds down once, so even the `2^16`-th is good to 40 bits.
fn powers_of_decay(step: i128) -> impl Iterator<Item = i128> {
    let decay = exponential_of_negative(step);
    std::iter::successors(Some(ONE), move |&value| Some(multiply(value, decay)))
}

/// `round((2^bits - 1) exp(-step k))` for `k` in `0..length`; `step` has [`STEP_FRACTION`] fractional bits.
/// The peak stays below `2^bits`, so a sum of `2^m` entries stays below `2^(bits + m)`.
#[must_use]
pub fn exponential(step: u64, bits: u32, length: usize) -> Vec<i32> {
    let peak = (1i128 << bits) - 1;
    powers_of_decay(fixed_step(step))
        .take(length)
        .map(|value| i32::try_from(round_to(value * peak, 0)).expect("at most the peak"))
        .collect()
}

/// `round(ln((index + 1/2) 2^shift / 2^bits) / step)`, at least zero: how far the exponential's index moves to
/// divide by a denominator whose leading part is `index`. With `shift` 0 the index is the denominator itself.
#[must_use]
pub fn logarithm(step: u64, bits: u32, shift: u32, length: usize) -> Vec<i32> {
    let step = fixed_step(step);
    // `moved` passes to the next integer where the denominator times exp(-step (moved + 1/2)) reaches 2^bits.
    let decay = exponential_of_negative(step);
    let mut threshold = exponential_of_negative(step / 2);
    let mut moved = 0;
    (0..length as i128)
        .map(|index| {
            let doubled = ((2 * index) << shift) + (i128::from(shift > 0) << shift);
            while doubled * threshold >= ONE << (bits + 1) {
                threshold = multiply(threshold, decay);
                moved += 1;
            }
            moved
        })
        .collect()
}

/// `min(2^15 - 1, floor(constant / sqrt(window + 1)))` for every 16-bit window.
#[must_use]
pub fn reciprocal_square_root(constant: u64) -> Vec<i32> {
    let square = u128::from(constant) * u128::from(constant);
    let mut root = (1u128 << 15) - 1;
    (1..=1u128 << 16)
        .map(|window| {
            while root * root * window > square {
                root -= 1;
            }
            i32::try_from(root).expect("15 bits")
        })
        .collect()
}

/// SiLU of every 16-bit gate: `round(silu(gate / 2^fraction) 2^fraction)`, indexed by `gate + 2^15`.
#[must_use]
pub fn silu(fraction: u32) -> Vec<i32> {
    let length = 1usize << 15;
    let mut table = vec![0; 2 * length];
    for (gate, decay) in powers_of_decay(ONE >> fraction).take(length + 1).enumerate() {
        let sigmoid = divide(ONE, ONE + decay);
        let entry = |value: i128| i32::try_from(round_to(value, 0)).expect("SiLU shrinks");
        if gate < length {
            table[length + gate] = entry(gate as i128 * sigmoid);
        }
        table[length - gate] = entry(-(gate as i128) * (ONE - sigmoid));
    }
    table
}

fn fixed_step(step: u64) -> i128 {
    i128::from(step) << (FRACTION - STEP_FRACTION)
}

/// Cosines and sines of rotary position embedding, shape [positions, head_dim / 2], with `bits` fractional bits.
/// Pair `i` turns by `theta^(-2i / head_dim)` per position (Su et al., RoFormer, section 3.4.2).
#[must_use]
pub fn rotary(theta: u64, head_dim: usize, positions: usize, bits: u32) -> (Vec<i32>, Vec<i32>) {
    let log_theta = logarithm_of(u128::from(theta), 0);
    let frequencies: Vec<i128> = (0..head_dim / 2)
        .map(|pair| exponential_of_negative(log_theta * 2 * pair as i128 / head_dim as i128))
        .collect();
    (0..positions as i128)
        .flat_map(|position| frequencies.iter().map(move |frequency| cosine_and_sine(position * frequency)))
        .map(|(cosine, sine)| {
            let entry = |value| i32::try_from(round_to(value, bits)).expect("at most one");
            (entry(cosine), entry(sine))
        })
        .unzip()
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

    #[test]
    fn the_exponential_starts_at_its_peak_and_never_rises() {
        let table = exponential(1 << 28, 14, 1 << 16);
        assert_eq!(table[0], (1 << 14) - 1);
        assert!(table.windows(2).all(|pair| pair[0] >= pair[1]));
        let expected = 16383.0 * (-1000.0 / 4096.0_f64).exp();
        assert!((f64::from(table[1000]) - expected).abs() <= 0.5 + 1e-9);
    }

    #[test]
    fn the_logarithm_undoes_the_exponential() {
        let (step, bits) = (1u64 << 30, 14);
        let entries = exponential(step, bits, 1 << 16);
        for shift in [0, 4] {
            let moves = logarithm(step, bits, shift, 1 << 16);
            for index in [1 << 14, 20_000, 65_535] {
                let denominator = (f64::from(index) + 0.5) * f64::from(1 << shift);
                let scaled = f64::from(entries[moves[index as usize] as usize]);
                assert!((scaled * denominator / 16383.0 / 16384.0 - 1.0).abs() < 2e-3, "index {index}");
            }
        }
    }

    #[test]
    fn the_reciprocal_root_is_the_floor_of_the_real_one() {
        let table = reciprocal_square_root(741_455);
        for window in [4096, 10_000, 65_535] {
            assert_eq!(f64::from(table[window]), (741_455.0 / (window as f64 + 1.0).sqrt()).floor());
        }
        assert_eq!(table[0], (1 << 15) - 1);
    }

    #[test]
    fn silu_agrees_with_floating_point() {
        let table = silu(11);
        for gate in [-32_768i32, -2048, -1, 0, 1, 5000, 32_767] {
            let x = f64::from(gate) / 2048.0;
            let expected = x / (1.0 + (-x).exp()) * 2048.0;
            assert!((f64::from(table[(gate + 32_768) as usize]) - expected).abs() <= 0.5 + 1e-9, "silu({x})");
        }
    }

    #[test]
    fn rotary_angles_agree_with_floating_point() {
        let (cosines, sines) = rotary(1_000_000, 32, 300, 10);
        for (position, pair) in [(0usize, 0usize), (299, 0), (299, 15), (17, 3)] {
            let angle = position as f64 * 1e6_f64.powf(-(pair as f64) / 16.0);
            assert!((f64::from(cosines[position * 16 + pair]) / 1024.0 - angle.cos()).abs() < 6e-4);
            assert!((f64::from(sines[position * 16 + pair]) / 1024.0 - angle.sin()).abs() < 6e-4);
        }
    }
}
