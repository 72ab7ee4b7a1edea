//! The tables of the integer model, made by integer arithmetic alone, so that every machine makes the same ones.

mod fixed_point;
mod tables;

use crate::description::{Activation, Rotary, RotaryScaling, ScoreCap, TABLE_BITS};
use fixed_point::{
    FRACTION, ONE, PI, cosine_and_sine, divide, exponential_of_negative, logarithm_of, multiply, round_to,
};

pub use tables::{Constant, FunctionTable, constants, rotary_positions};

/// Fractional bits of the steps that `model.json` states, such as the step of the exponential.
pub const STEP_FRACTION: u32 = 40;

/// The value of a function of signed integers, given by its values, at an argument that is clamped to these.
#[must_use]
pub fn at_clamped(values: &[i32], argument: i32) -> i32 {
    let end = values.len() / 2;
    let last = i64::try_from(values.len() - 1).expect("tables are shorter than 2^31");
    values[(i64::from(argument) + end as i64).clamp(0, last) as usize]
}

/// What a function of signed integers of [`TABLE_BITS`] takes an argument for.
#[must_use]
pub fn clamped_argument(argument: i32) -> i32 {
    let end = 1 << (TABLE_BITS - 1);
    argument.clamp(-end, end - 1)
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

/// What no entry of [`logarithm`] with `2^length_bits` arguments exceeds.
#[must_use]
pub fn most_logarithm(step: u64, bits: u32, shift: u32, length_bits: u32) -> i64 {
    // The entry is a logarithm in units of the step, rounded; the table's own roundings lose less than one of them.
    let largest = logarithm_of(1u128 << (length_bits + shift), bits);
    i64::try_from(largest / fixed_step(step) + 2).expect("steps are not that fine")
}

/// Whether entry `index` of [`exponential`] is zero, and all that follow.
#[must_use]
pub fn exponential_ends(step: u64, bits: u32, index: i32) -> bool {
    if index < 0 {
        return false;
    }
    let peak = (1i128 << bits) - 1;
    // The table rounds powers of the decay down: an entry is at most what is rounded here, but for the error of a series.
    let value = exponential_of_negative(fixed_step(step) * i128::from(index)) + (1 << 8);
    2 * peak * value < ONE
}

/// What no entry of the table of an activation falls below, near zero.
#[must_use]
pub fn least_activation(activation: Activation, fraction: u32) -> i64 {
    // The least values are -0.278464.. and -0.170040..; rounding takes half a unit more at most.
    let millionths: i64 = match activation {
        Activation::Silu => 278_465,
        Activation::GeluTanh => 170_041,
    };
    -((millionths << fraction) / 1_000_000 + 1)
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

/// `activation` of every 16-bit gate, `round(f(gate / 2^fraction) 2^fraction)`, indexed by `gate + 2^15`.
#[must_use]
pub fn silu(fraction: u32) -> Vec<i32> {
    let decays = powers_of_decay(ONE >> fraction);
    gated(decays.map(|decay| divide(ONE, ONE + decay)))
}

/// GELU in its approximation by a hyperbolic tangent, `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`, as [`silu`].
#[must_use]
pub fn gelu_tanh(fraction: u32) -> Vec<i32> {
    /// `2 sqrt(2 / pi)`.
    const LINEAR: i128 = 0x1988_4533_D436_508D;
    /// `0.044715` of it.
    const CUBIC: i128 = LINEAR / 1_000_000 * 44_715;
    gated((0..).map(|gate: i128| {
        let exponent = ((LINEAR * gate) >> fraction) + ((CUBIC * gate * gate * gate) >> (3 * fraction));
        divide(ONE, ONE + exponential_of_negative(exponent))
    }))
}

/// `round(gate s(gate))` of every 16-bit gate for a function with `s(-gate) = 1 - s(gate)`, given for `gate` = 0, 1, ...
fn gated(sigmoids: impl Iterator<Item = i128>) -> Vec<i32> {
    let length = 1usize << 15;
    let mut table = vec![0; 2 * length];
    for (gate, sigmoid) in sigmoids.take(length + 1).enumerate() {
        let entry = |value: i128| i32::try_from(round_to(value, 0)).expect("the function shrinks");
        if gate < length {
            table[length + gate] = entry(gate as i128 * sigmoid);
        }
        table[length - gate] = entry(-(gate as i128) * (ONE - sigmoid));
    }
    table
}

/// `round(peak tanh(step score))` of every 16-bit score, indexed by `score + 2^15`.
#[must_use]
pub fn soft_cap(cap: &ScoreCap) -> Vec<i32> {
    let length = 1usize << 15;
    let mut table = vec![0; 2 * length];
    for (score, decay) in powers_of_decay(2 * fixed_step(cap.step)).take(length + 1).enumerate() {
        let tangent = divide(ONE - decay, ONE + decay);
        let entry = i32::try_from(round_to(i128::from(cap.peak) * tangent, 0)).expect("at most the peak");
        if score < length {
            table[length + score] = entry;
        }
        table[length - score] = -entry;
    }
    table
}

fn fixed_step(step: u64) -> i128 {
    i128::from(step) << (FRACTION - STEP_FRACTION)
}

/// Cosines and sines of rotary position embedding, shape [positions, head_dim / 2], with `bits` fractional bits.
/// Pair `i` turns by `theta^(-2i / head_dim)` per position (Su et al., RoFormer, section 3.4.2), unless that is scaled.
#[must_use]
pub fn rotary(rotary: &Rotary, head_dim: usize, positions: usize, bits: u32) -> (Vec<i32>, Vec<i32>) {
    let log_theta = logarithm_of(u128::from(rotary.theta), 0);
    let frequencies: Vec<i128> = (0..head_dim / 2)
        .map(|pair| exponential_of_negative(log_theta * 2 * pair as i128 / head_dim as i128))
        .map(|frequency| rotary.scaling.map_or(frequency, |scaling| stretch(&scaling, frequency)))
        .collect();
    (0..positions as i128)
        .flat_map(|position| frequencies.iter().map(move |frequency| cosine_and_sine(position * frequency)))
        .map(|(cosine, sine)| {
            let entry = |value| i32::try_from(round_to(value, bits)).expect("at most one");
            (entry(cosine), entry(sine))
        })
        .unzip()
}

/// The frequency after the `llama3` scaling.
fn stretch(scaling: &RotaryScaling, frequency: i128) -> i128 {
    let fixed = |value: u64| i128::from(value) << (FRACTION - RotaryScaling::FRACTION);
    let turns = i128::from(scaling.original) * divide(frequency, 2 * PI);
    let (low, high) = (fixed(scaling.low), fixed(scaling.high));
    let kept = divide(turns.clamp(low, high) - low, high - low);
    multiply(frequency, kept + divide(ONE - kept, fixed(scaling.factor)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn no_logarithm_exceeds_its_bound_and_few_are_far_below() {
        for step in [1u64 << 24, 1 << 30, 12_345_678_901, 1 << 39, 1 << 47] {
            for shift in [0, 4, 11] {
                let most = most_logarithm(step, 14, shift, 16);
                let last = i64::from(*logarithm(step, 14, shift, 1 << 16).last().unwrap());
                assert!((most - 3..=most).contains(&last), "step {step}, shift {shift}: {last}, at most {most}");
            }
        }
    }

    #[test]
    fn where_an_exponential_ends_all_its_entries_are_zero() {
        for step in [1u64 << 26, 1 << 30, 12_345_678_901, 1 << 39] {
            let table = exponential(step, 14, 1 << 16);
            let first = (0..1 << 16).find(|&index| exponential_ends(step, 14, index));
            let zero = table.iter().position(|&entry| entry == 0).map(|index| i32::try_from(index).unwrap());
            // The bound may be one entry late, never early.
            assert!(first == zero || first == zero.map(|index| index + 1), "step {step}: {first:?}, {zero:?}");
        }
        assert!(!exponential_ends(1 << 47, 14, -1));
    }

    #[test]
    fn no_activation_falls_below_its_bound() {
        for fraction in 1..=16 {
            for (activation, table) in [(Activation::Silu, silu(fraction)), (Activation::GeluTanh, gelu_tanh(fraction))]
            {
                let (bound, least) = (least_activation(activation, fraction), table.iter().copied().min().unwrap());
                assert!(bound <= i64::from(least), "{activation:?} {fraction}: {least}, {bound}");
                // With more fractional bits no gate reaches the least value.
                assert!(fraction > 13 || i64::from(least) <= bound + 1, "{activation:?} {fraction}: {least}, {bound}");
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
        let (cosines, sines) = rotary(&Rotary { theta: 1_000_000, scaling: None }, 32, 300, 10);
        for (position, pair) in [(0usize, 0usize), (299, 0), (299, 15), (17, 3)] {
            let angle = position as f64 * 1e6_f64.powf(-(pair as f64) / 16.0);
            assert!((f64::from(cosines[position * 16 + pair]) / 1024.0 - angle.cos()).abs() < 6e-4);
            assert!((f64::from(sines[position * 16 + pair]) / 1024.0 - angle.sin()).abs() < 6e-4);
        }
    }

    #[test]
    fn gelu_agrees_with_floating_point() {
        for fraction in [1, 6, 12] {
            let table = gelu_tanh(fraction);
            let unit = f64::from(1 << fraction);
            for gate in [-32_768i32, -9000, -700, -1, 0, 1, 350, 5000, 32_767] {
                let x = f64::from(gate) / unit;
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                let expected = 0.5 * x * (1.0 + inner.tanh()) * unit;
                let actual = f64::from(table[(gate + 32_768) as usize]);
                assert!((actual - expected).abs() <= 0.5 + 1e-6, "gelu({x}) = {expected}, not {actual}");
            }
        }
    }

    #[test]
    fn the_soft_cap_agrees_with_floating_point() {
        let table = soft_cap(&ScoreCap { step: 1 << 28, peak: 31_000 });
        for score in [-32_768i32, -4096, -1, 0, 1, 17, 4096, 32_767] {
            let expected = 31_000.0 * (f64::from(score) / 4096.0).tanh();
            assert!((f64::from(table[(score + 32_768) as usize]) - expected).abs() <= 0.5 + 1e-6, "{score}");
        }
    }

    #[test]
    fn scaled_rotary_angles_agree_with_floating_point() {
        let unit = 1 << RotaryScaling::FRACTION;
        let scaling = RotaryScaling { factor: 8 * unit, low: unit, high: 4 * unit, original: 32 };
        let (cosines, _) = rotary(&Rotary { theta: 500_000, scaling: Some(scaling) }, 24, 128, 12);
        for pair in 0..12usize {
            let frequency = 5e5_f64.powf(-(pair as f64) / 12.0);
            let turns = 32.0 * frequency / std::f64::consts::TAU;
            let kept = ((turns - 1.0) / 3.0).clamp(0.0, 1.0);
            let angle = 127.0 * frequency * (kept + (1.0 - kept) / 8.0);
            assert!((f64::from(cosines[127 * 12 + pair]) / 4096.0 - angle.cos()).abs() < 2e-4, "pair {pair}");
        }
    }
}
