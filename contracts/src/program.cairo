//! Runs a part of a plan over a tape of challenges; `crates/chain/src/plan/program.rs` says what each instruction does.
#[feature("bounded-int-utils")]
use core::internal::bounded_int::downcast;
use super::equality::assert_equal;
use super::field::{Q, add_call, eq_step_call, mul_add_call, mul_call, mul_complement_call, sub_call};

const ZERO: Q = Q { a: 0, b: 0, c: 0, d: 0 };
const ONE: Q = Q { a: 1, b: 0, c: 0, d: 0 };

/// The constants that every tape begins with.
pub fn constants() -> Array<Q> {
    array![ZERO, ONE, Q { a: 1073741824, b: 0, c: 0, d: 0 }]
}

#[inline(always)]
fn next(ref program: Span<u32>) -> u32 {
    match program.pop_front() {
        Option::Some(entry) => *entry,
        Option::None => core::panic_with_felt252('plan too short'),
    }
}

pub fn run(program: Span<u32>, ref tape: Array<Q>, public: Span<u32>) {
    let mut program = program;
    while let Option::Some(operation) = program.pop_front() {
        match *operation {
            0 => {
                let [low, high] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                tape.append(Q { a: downcast(low + 65536 * high).unwrap(), b: 0, c: 0, d: 0 });
            },
            1 => {
                let [a, b] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                tape.append(add_call(*tape.at(a), *tape.at(b)));
            },
            2 => {
                let [a, b] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                tape.append(mul_call(*tape.at(a), *tape.at(b)));
            },
            3 => {
                let [a, b] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                let whole = *tape.at(a);
                let high = mul_call(whole, *tape.at(b));
                tape.append(sub_call(whole, high));
                tape.append(high);
            },
            4 => {
                let [a, b, count] = (*program.multi_pop_front::<3>().unwrap()).unbox();
                tape.append(equal(tape.span(), a, b, count));
            },
            5 => {
                let count = next(ref program);
                let sum = dot(tape.span(), program.slice(0, 2 * count));
                program = program.slice(2 * count, program.len() - 2 * count);
                tape.append(sum);
            },
            6 => {
                let [a, b, count] = (*program.multi_pop_front::<3>().unwrap()).unbox();
                tape.append(dot_of_runs(tape.span().slice(a, count), tape.span().slice(b, count)));
            },
            7 => {
                let [count, a] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                let places = program.slice(0, count);
                program = program.slice(count, program.len() - count);
                tape.append(weighed(tape.span(), tape.span().slice(a, count), places));
            },
            8 => {
                let [a, count] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                let base = *tape.at(a);
                let mut power = ONE;
                let mut left = count;
                while left != 0 {
                    tape.append(power);
                    power = mul_call(power, base);
                    left -= 1;
                }
            },
            9 => {
                let [a, count] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                tape.append_span(eq_table(tape.span().slice(a, count)));
            },
            10 => {
                let [a, count] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                let mut bits = tape.span().slice(a, count);
                let mut sum = ZERO;
                while let Option::Some(bit) = bits.pop_front() {
                    sum = add_call(add_call(sum, sum), *bit);
                }
                tape.append(sum);
            },
            11 => {
                let count = next(ref program);
                let mut places = program.slice(0, count);
                program = program.slice(count, program.len() - count);
                while let Option::Some(place) = places.pop_front() {
                    tape.append(*tape.at(*place));
                }
            },
            12 => {
                let [a, b, count, shift] = (*program.multi_pop_front::<4>().unwrap()).unbox();
                tape.append(prefix(tape.span().slice(a, count), tape.span().slice(b, count), shift));
            },
            13 => {
                let [a, count, word, b, bits] = (*program.multi_pop_front::<5>().unwrap()).unbox();
                let words = public.slice(word, count);
                tape.append(select(tape.span().slice(a, count), words, tape.span().slice(b, bits), false));
            },
            14 => {
                let [a, count, word, b, bits] = (*program.multi_pop_front::<5>().unwrap()).unbox();
                let words = public.slice(word, count);
                tape.append(select(tape.span().slice(a, count), words, tape.span().slice(b, bits), true));
            },
            15 => {
                let [a, b] = (*program.multi_pop_front::<2>().unwrap()).unbox();
                assert_equal(*tape.at(a), *tape.at(b), 'equation');
            },
            _ => core::panic_with_felt252('plan'),
        }
    }
}

/// `eq` of two runs; the place of a constant stands for it over and over.
fn equal(tape: Span<Q>, a: u32, b: u32, count: u32) -> Q {
    let mut right = tape.slice(b, count);
    let mut value = ONE;
    if a < 3 {
        let left = *tape.at(a);
        while let Option::Some(y) = right.pop_front() {
            value = eq_step_call(value, left, *y);
        }
    } else {
        let mut left = tape.slice(a, count);
        while let Option::Some(y) = right.pop_front() {
            value = eq_step_call(value, *left.pop_front().unwrap(), *y);
        }
    }
    value
}

fn dot(tape: Span<Q>, pairs: Span<u32>) -> Q {
    let mut pairs = pairs;
    let mut sum = ZERO;
    while let Option::Some(pair) = pairs.multi_pop_front::<2>() {
        let [a, b] = (*pair).unbox();
        sum = mul_add_call(*tape.at(a), *tape.at(b), sum);
    }
    sum
}

pub fn dot_of_runs(left: Span<Q>, right: Span<Q>) -> Q {
    let mut left = left;
    let mut right = right;
    let mut sum = ZERO;
    while let Option::Some(x) = left.pop_front() {
        sum = mul_add_call(*x, *right.pop_front().unwrap(), sum);
    }
    sum
}

fn weighed(tape: Span<Q>, weights: Span<Q>, places: Span<u32>) -> Q {
    let mut weights = weights;
    let mut places = places;
    let mut sum = ZERO;
    while let Option::Some(weight) = weights.pop_front() {
        sum = mul_add_call(*weight, *tape.at(*places.pop_front().unwrap()), sum);
    }
    sum
}

/// All values of `eq`, index 0 first, the most significant variable first.
pub fn eq_table(point: Span<Q>) -> Span<Q> {
    let mut point = point;
    let mut table = array![ONE];
    while let Option::Some(coordinate) = point.pop_front() {
        let mut before = table.span();
        let mut after = array![];
        while let Option::Some(value) = before.pop_front() {
            let high = mul_call(*value, *coordinate);
            after.append(sub_call(*value, high));
            after.append(high);
        }
        table = after;
    }
    table.span()
}

/// The sum over rows of their weight times the weights of the first columns, `row + 1 - shift` of them.
fn prefix(rows: Span<Q>, columns: Span<Q>, shift: u32) -> Q {
    let mut rows = rows;
    let mut columns = columns;
    let mut hidden = shift;
    let mut sum = ZERO;
    let mut seen = ZERO;
    while let Option::Some(row) = rows.pop_front() {
        if hidden == 0 {
            seen = add_call(seen, *columns.pop_front().unwrap());
            sum = mul_add_call(*row, seen, sum);
        } else {
            hidden -= 1;
        }
    }
    sum
}

/// The sum over rows of their weight times `eq(point, word)`, or the sum of `eq` at all numbers below the word.
fn select(rows: Span<Q>, words: Span<u32>, point: Span<Q>, below: bool) -> Q {
    let mut rows = rows;
    let mut words = words;
    let mut sum = ZERO;
    while let Option::Some(row) = rows.pop_front() {
        let (at, under) = at_and_below(point, *words.pop_front().unwrap());
        sum = mul_add_call(*row, if below { under } else { at }, sum);
    }
    sum
}

/// `eq(point, number)`, and the sum of `eq` at all numbers below it; 0 and 1 for a number that has no place.
fn at_and_below(point: Span<Q>, number: u32) -> (Q, Q) {
    let mut point = point;
    let mut prefix = ONE;
    let mut sum = ZERO;
    // The bits from the most significant on: what is left of the number is compared with the weight of the next bit.
    let mut unit = super::powers::power_of_two(point.len());
    if number >= unit {
        return (ZERO, ONE);
    }
    let mut rest = number;
    while let Option::Some(coordinate) = point.pop_front() {
        unit = unit / 2;
        let high = mul_call(prefix, *coordinate);
        let low = mul_complement_call(prefix, *coordinate);
        if rest >= unit {
            rest -= unit;
            sum = add_call(sum, low);
            prefix = high;
        } else {
            prefix = low;
        }
    }
    (prefix, sum)
}
