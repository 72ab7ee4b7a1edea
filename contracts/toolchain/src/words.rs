//! Words out of field elements of the chain, as Cairo: eight of 31 bits, the seven of a digest, fifteen entries of a plan.

use crate::interval::{Value, Writer};

const HEAD: &str = "// Words out of felts: eight of 31 bits, the seven of a digest, fifteen entries of a plan, the lowest first. Written by
// `cargo xtask contracts --bless`; `toolchain/src/words.rs` says what.
use core::integer::{U128sFromFelt252Result, u128s_from_felt252};
#[feature(\"bounded-int-utils\")]
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
";

pub fn source() -> String {
    let mut writer = Writer::default();
    let low = Writer::argument("low", u128::MAX);
    let residue = writer.remainder(&low, (1 << 31) - 1);
    let result = format!("upcast({})", residue.name());
    writer.finish(
        "#[inline(always)]\nfn residue_of(low: BoundedInt<0, 340282366920938463463374607431768211455>) -> M",
        "",
        &result,
    );

    let opening = open(120);
    let words = eight(&mut writer);
    let names: Vec<String> = words.iter().map(|word| format!("upcast({})", word.name())).collect();
    let challenge =
        |names: &[String]| format!("Q {{ a: {}, b: {}, c: {}, d: {} }}", names[0], names[1], names[2], names[3]);
    let result = format!("({}, {})", challenge(&names[..4]), challenge(&names[4..]));
    writer.finish("#[inline(always)]\npub fn two_challenges(x: felt252) -> (Q, Q)", &opening, &result);
    let words = eight(&mut writer);
    append(&mut writer, "append_eight", &opening, &words);

    let words = seven(&mut writer);
    let names: Vec<String> = words.iter().map(|word| format!("upcast({})", word.name())).collect();
    writer.finish(
        "#[inline(always)]\npub fn seven(x: felt252) -> [u32; 7]",
        &open(96),
        &format!("[{}]", names.join(", ")),
    );
    let words = seven(&mut writer);
    append(&mut writer, "append_seven", &open(96), &words);

    let words = fifteen(&mut writer);
    append(&mut writer, "append_fifteen", &open(112), &words);
    writer.source(HEAD)
}

/// Halves of which the high one has no more than these bits.
fn open(bits: u32) -> String {
    let high = (1u128 << bits) - 1;
    format!(
        "    let (high, low) = halves(x);
    let low: BoundedInt<0, 340282366920938463463374607431768211455> = upcast(low);
    let high: BoundedInt<0, {high}> = downcast(high).expect('felt too large');\n"
    )
}

fn append(writer: &mut Writer, name: &str, opening: &str, words: &[Value]) {
    let appended: Vec<String> = words.iter().map(|word| format!("words.append(upcast({}));", word.name())).collect();
    writer.finish(
        &format!("#[inline(always)]\npub fn {name}(ref words: Array<u32>, x: felt252)"),
        opening,
        &appended.join("\n    "),
    );
}

/// `count` words of some bits, and what is left.
fn cut(writer: &mut Writer, value: Value, bits: u32, count: usize) -> (Vec<Value>, Value) {
    let mut words = Vec::new();
    let mut rest = value;
    for _ in 0..count {
        let (above, word) = writer.divide(&rest, 1 << bits);
        words.push(word);
        rest = above;
    }
    (words, rest)
}

/// Eight words of 31 bits: the fifth lies across the halves.
fn eight(writer: &mut Writer) -> Vec<Value> {
    let (mut words, rest) = cut(writer, Writer::argument("low", u128::MAX), 31, 4);
    let (above, upper) = writer.divide(&Writer::argument("high", (1u128 << 120) - 1), 1 << 27);
    let shift = writer.constant(16);
    let upper = writer.mul(&upper, &shift);
    words.push(writer.add(&upper, &rest));
    let (last, rest) = cut(writer, above, 31, 2);
    words.extend(last);
    words.push(rest);
    words
}

fn seven(writer: &mut Writer) -> Vec<Value> {
    let (mut words, rest) = cut(writer, Writer::argument("low", u128::MAX), 32, 3);
    words.push(rest);
    let (upper, rest) = cut(writer, Writer::argument("high", (1u128 << 96) - 1), 32, 2);
    words.extend(upper);
    words.push(rest);
    words
}

fn fifteen(writer: &mut Writer) -> Vec<Value> {
    let (mut words, rest) = cut(writer, Writer::argument("low", u128::MAX), 16, 7);
    words.push(rest);
    let (upper, rest) = cut(writer, Writer::argument("high", (1u128 << 112) - 1), 16, 6);
    words.extend(upper);
    words.push(rest);
    words
}
