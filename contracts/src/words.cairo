// Words out of felts: eight of 31 bits, the seven of a digest, fifteen entries of a plan, the lowest first. Written by
// `cargo xtask contracts --bless`; `toolchain/src/words.rs` says what.
use core::integer::{U128sFromFelt252Result, u128s_from_felt252};
#[feature("bounded-int-utils")]
use core::internal::bounded_int::{
    AddHelper, BoundedInt, DivRemHelper, MulHelper, UnitInt, bounded_int_add, bounded_int_div_rem, bounded_int_mul, downcast, upcast,
};
use super::field::{M, Q};

/// The high and the low 128 bits.
#[inline(always)]
pub fn halves(x: felt252) -> (u128, u128) {
    match u128s_from_felt252(x) {
        U128sFromFelt252Result::Narrow(low) => (0, low),
        U128sFromFelt252Result::Wide((high, low)) => (high, low),
    }
}

/// Two residues out of a felt that holds them 2^128 apart.
#[inline(always)]
pub fn residues(x: felt252) -> (M, M) {
    let (high, low) = halves(x);
    (residue_of(upcast(low)), residue_of(upcast(high)))
}

const INTEGER_16: UnitInt<16> = 16;
const DIVISOR_65536: NonZero<UnitInt<65536>> = 65536;
const DIVISOR_134217728: NonZero<UnitInt<134217728>> = 134217728;
const DIVISOR_2147483647: NonZero<UnitInt<2147483647>> = 2147483647;
const DIVISOR_2147483648: NonZero<UnitInt<2147483648>> = 2147483648;
const DIVISOR_4294967296: NonZero<UnitInt<4294967296>> = 4294967296;

impl H0 of AddHelper<BoundedInt<0, 2147483632>, BoundedInt<0, 15>> { type Result = BoundedInt<0, 2147483647>; }
impl H1 of DivRemHelper<BoundedInt<0, 1208925819614629174706175>, UnitInt<65536>> { type DivT = BoundedInt<0, 18446744073709551615>; type RemT = BoundedInt<0, 65535>; }
impl H2 of DivRemHelper<BoundedInt<0, 1329227995784915872903807060280344575>, UnitInt<134217728>> { type DivT = BoundedInt<0, 9903520314283042199192993791>; type RemT = BoundedInt<0, 134217727>; }
impl H3 of DivRemHelper<BoundedInt<0, 158456325028528675187087900671>, UnitInt<2147483648>> { type DivT = BoundedInt<0, 73786976294838206463>; type RemT = BoundedInt<0, 2147483647>; }
impl H4 of DivRemHelper<BoundedInt<0, 18446744073709551615>, UnitInt<4294967296>> { type DivT = BoundedInt<0, 4294967295>; type RemT = BoundedInt<0, 4294967295>; }
impl H5 of DivRemHelper<BoundedInt<0, 18446744073709551615>, UnitInt<65536>> { type DivT = BoundedInt<0, 281474976710655>; type RemT = BoundedInt<0, 65535>; }
impl H6 of DivRemHelper<BoundedInt<0, 281474976710655>, UnitInt<65536>> { type DivT = BoundedInt<0, 4294967295>; type RemT = BoundedInt<0, 65535>; }
impl H7 of DivRemHelper<BoundedInt<0, 340282366920938463463374607431768211455>, UnitInt<2147483647>> { type DivT = BoundedInt<0, 158456325102315651516285845520>; type RemT = BoundedInt<0, 2147483646>; }
impl H8 of DivRemHelper<BoundedInt<0, 340282366920938463463374607431768211455>, UnitInt<2147483648>> { type DivT = BoundedInt<0, 158456325028528675187087900671>; type RemT = BoundedInt<0, 2147483647>; }
impl H9 of DivRemHelper<BoundedInt<0, 340282366920938463463374607431768211455>, UnitInt<4294967296>> { type DivT = BoundedInt<0, 79228162514264337593543950335>; type RemT = BoundedInt<0, 4294967295>; }
impl H10 of DivRemHelper<BoundedInt<0, 340282366920938463463374607431768211455>, UnitInt<65536>> { type DivT = BoundedInt<0, 5192296858534827628530496329220095>; type RemT = BoundedInt<0, 65535>; }
impl H11 of DivRemHelper<BoundedInt<0, 34359738367>, UnitInt<2147483648>> { type DivT = BoundedInt<0, 15>; type RemT = BoundedInt<0, 2147483647>; }
impl H12 of DivRemHelper<BoundedInt<0, 4294967295>, UnitInt<65536>> { type DivT = BoundedInt<0, 65535>; type RemT = BoundedInt<0, 65535>; }
impl H13 of DivRemHelper<BoundedInt<0, 4611686018427387903>, UnitInt<2147483648>> { type DivT = BoundedInt<0, 2147483647>; type RemT = BoundedInt<0, 2147483647>; }
impl H14 of DivRemHelper<BoundedInt<0, 5192296858534827628530496329220095>, UnitInt<65536>> { type DivT = BoundedInt<0, 79228162514264337593543950335>; type RemT = BoundedInt<0, 65535>; }
impl H15 of DivRemHelper<BoundedInt<0, 73786976294838206463>, UnitInt<2147483648>> { type DivT = BoundedInt<0, 34359738367>; type RemT = BoundedInt<0, 2147483647>; }
impl H16 of DivRemHelper<BoundedInt<0, 79228162514264337593543950335>, UnitInt<4294967296>> { type DivT = BoundedInt<0, 18446744073709551615>; type RemT = BoundedInt<0, 4294967295>; }
impl H17 of DivRemHelper<BoundedInt<0, 79228162514264337593543950335>, UnitInt<65536>> { type DivT = BoundedInt<0, 1208925819614629174706175>; type RemT = BoundedInt<0, 65535>; }
impl H18 of DivRemHelper<BoundedInt<0, 9903520314283042199192993791>, UnitInt<2147483648>> { type DivT = BoundedInt<0, 4611686018427387903>; type RemT = BoundedInt<0, 2147483647>; }
impl H19 of MulHelper<BoundedInt<0, 134217727>, UnitInt<16>> { type Result = BoundedInt<0, 2147483632>; }

#[inline(always)]
fn residue_of(low: BoundedInt<0, 340282366920938463463374607431768211455>) -> M {
    let (_, r0) = bounded_int_div_rem(low, DIVISOR_2147483647);
    upcast(r0)
}

#[inline(always)]
pub fn two_challenges(x: felt252) -> (Q, Q) {
    let (high, low) = halves(x);
    let low: BoundedInt<0, 340282366920938463463374607431768211455> = upcast(low);
    let high: BoundedInt<0, 1329227995784915872903807060280344575> = downcast(high).expect('felt too large');
    let (q0, r0) = bounded_int_div_rem(low, DIVISOR_2147483648);
    let (q1, r1) = bounded_int_div_rem(q0, DIVISOR_2147483648);
    let (q2, r2) = bounded_int_div_rem(q1, DIVISOR_2147483648);
    let (q3, r3) = bounded_int_div_rem(q2, DIVISOR_2147483648);
    let (q4, r4) = bounded_int_div_rem(high, DIVISOR_134217728);
    let t5: BoundedInt<0, 2147483632> = bounded_int_mul(r4, INTEGER_16);
    let t6: BoundedInt<0, 2147483647> = bounded_int_add(t5, q3);
    let (q7, r7) = bounded_int_div_rem(q4, DIVISOR_2147483648);
    let (q8, r8) = bounded_int_div_rem(q7, DIVISOR_2147483648);
    (Q { a: upcast(r0), b: upcast(r1), c: upcast(r2), d: upcast(r3) }, Q { a: upcast(t6), b: upcast(r7), c: upcast(r8), d: upcast(q8) })
}

#[inline(always)]
pub fn append_eight(ref words: Array<u32>, x: felt252) {
    let (high, low) = halves(x);
    let low: BoundedInt<0, 340282366920938463463374607431768211455> = upcast(low);
    let high: BoundedInt<0, 1329227995784915872903807060280344575> = downcast(high).expect('felt too large');
    let (q0, r0) = bounded_int_div_rem(low, DIVISOR_2147483648);
    let (q1, r1) = bounded_int_div_rem(q0, DIVISOR_2147483648);
    let (q2, r2) = bounded_int_div_rem(q1, DIVISOR_2147483648);
    let (q3, r3) = bounded_int_div_rem(q2, DIVISOR_2147483648);
    let (q4, r4) = bounded_int_div_rem(high, DIVISOR_134217728);
    let t5: BoundedInt<0, 2147483632> = bounded_int_mul(r4, INTEGER_16);
    let t6: BoundedInt<0, 2147483647> = bounded_int_add(t5, q3);
    let (q7, r7) = bounded_int_div_rem(q4, DIVISOR_2147483648);
    let (q8, r8) = bounded_int_div_rem(q7, DIVISOR_2147483648);
    words.append(upcast(r0));
    words.append(upcast(r1));
    words.append(upcast(r2));
    words.append(upcast(r3));
    words.append(upcast(t6));
    words.append(upcast(r7));
    words.append(upcast(r8));
    words.append(upcast(q8));
}

#[inline(always)]
pub fn seven(x: felt252) -> [u32; 7] {
    let (high, low) = halves(x);
    let low: BoundedInt<0, 340282366920938463463374607431768211455> = upcast(low);
    let high: BoundedInt<0, 79228162514264337593543950335> = downcast(high).expect('felt too large');
    let (q0, r0) = bounded_int_div_rem(low, DIVISOR_4294967296);
    let (q1, r1) = bounded_int_div_rem(q0, DIVISOR_4294967296);
    let (q2, r2) = bounded_int_div_rem(q1, DIVISOR_4294967296);
    let (q3, r3) = bounded_int_div_rem(high, DIVISOR_4294967296);
    let (q4, r4) = bounded_int_div_rem(q3, DIVISOR_4294967296);
    [upcast(r0), upcast(r1), upcast(r2), upcast(q2), upcast(r3), upcast(r4), upcast(q4)]
}

#[inline(always)]
pub fn append_seven(ref words: Array<u32>, x: felt252) {
    let (high, low) = halves(x);
    let low: BoundedInt<0, 340282366920938463463374607431768211455> = upcast(low);
    let high: BoundedInt<0, 79228162514264337593543950335> = downcast(high).expect('felt too large');
    let (q0, r0) = bounded_int_div_rem(low, DIVISOR_4294967296);
    let (q1, r1) = bounded_int_div_rem(q0, DIVISOR_4294967296);
    let (q2, r2) = bounded_int_div_rem(q1, DIVISOR_4294967296);
    let (q3, r3) = bounded_int_div_rem(high, DIVISOR_4294967296);
    let (q4, r4) = bounded_int_div_rem(q3, DIVISOR_4294967296);
    words.append(upcast(r0));
    words.append(upcast(r1));
    words.append(upcast(r2));
    words.append(upcast(q2));
    words.append(upcast(r3));
    words.append(upcast(r4));
    words.append(upcast(q4));
}

#[inline(always)]
pub fn append_fifteen(ref words: Array<u32>, x: felt252) {
    let (high, low) = halves(x);
    let low: BoundedInt<0, 340282366920938463463374607431768211455> = upcast(low);
    let high: BoundedInt<0, 5192296858534827628530496329220095> = downcast(high).expect('felt too large');
    let (q0, r0) = bounded_int_div_rem(low, DIVISOR_65536);
    let (q1, r1) = bounded_int_div_rem(q0, DIVISOR_65536);
    let (q2, r2) = bounded_int_div_rem(q1, DIVISOR_65536);
    let (q3, r3) = bounded_int_div_rem(q2, DIVISOR_65536);
    let (q4, r4) = bounded_int_div_rem(q3, DIVISOR_65536);
    let (q5, r5) = bounded_int_div_rem(q4, DIVISOR_65536);
    let (q6, r6) = bounded_int_div_rem(q5, DIVISOR_65536);
    let (q7, r7) = bounded_int_div_rem(high, DIVISOR_65536);
    let (q8, r8) = bounded_int_div_rem(q7, DIVISOR_65536);
    let (q9, r9) = bounded_int_div_rem(q8, DIVISOR_65536);
    let (q10, r10) = bounded_int_div_rem(q9, DIVISOR_65536);
    let (q11, r11) = bounded_int_div_rem(q10, DIVISOR_65536);
    let (q12, r12) = bounded_int_div_rem(q11, DIVISOR_65536);
    words.append(upcast(r0));
    words.append(upcast(r1));
    words.append(upcast(r2));
    words.append(upcast(r3));
    words.append(upcast(r4));
    words.append(upcast(r5));
    words.append(upcast(r6));
    words.append(upcast(q6));
    words.append(upcast(r7));
    words.append(upcast(r8));
    words.append(upcast(r9));
    words.append(upcast(r10));
    words.append(upcast(r11));
    words.append(upcast(r12));
    words.append(upcast(q12));
}
