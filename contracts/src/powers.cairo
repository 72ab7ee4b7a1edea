//! Powers of small numbers.

/// `base` to the power of `exponent`.
pub fn power(base: felt252, exponent: u32) -> felt252 {
    let mut value = 1;
    let mut left = exponent;
    while left != 0 {
        value = value * base;
        left -= 1;
    }
    value
}

/// `2^exponent` of at most 31.
pub fn power_of_two(exponent: u32) -> u32 {
    power(2, exponent).try_into().expect('exponent')
}
