//! When two challenges are equal: a word of 2^31 - 1 stands for zero.
#[feature("bounded-int-utils")]
use core::internal::bounded_int::upcast;
use super::field::{M, Q, sub_call};

#[inline(always)]
fn is_zero_word(x: M) -> bool {
    let x: felt252 = upcast(x);
    x == 0 || x == 2147483647
}

pub fn is_zero(x: Q) -> bool {
    is_zero_word(x.a) && is_zero_word(x.b) && is_zero_word(x.c) && is_zero_word(x.d)
}

#[inline(never)]
pub fn assert_equal(x: Q, y: Q, reason: felt252) {
    assert(is_zero(sub_call(x, y)), reason);
}
