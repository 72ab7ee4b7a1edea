//! Integer formulas as Cairo: every intermediate value has the exact interval that arithmetic gives it, so that nothing is checked
//! until the one division with remainder at the end of a formula.

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;

/// A value in Cairo: its name, and the integers that it may be.
#[derive(Clone, Debug)]
pub struct Value {
    name: String,
    low: BigInt,
    high: BigInt,
}

/// The functions of a Cairo file, and the declarations that they need.
#[derive(Default)]
pub struct Writer {
    /// Declarations of the types of results, by what they are for.
    helpers: BTreeMap<String, String>,
    constants: BTreeSet<BigInt>,
    divisors: BTreeSet<BigInt>,
    body: Vec<String>,
    next: usize,
    functions: Vec<String>,
}

impl Value {
    /// The type of its interval.
    pub fn interval(&self) -> String {
        interval(&self.low, &self.high)
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

fn interval(low: &BigInt, high: &BigInt) -> String {
    if low == high { format!("UnitInt<{low}>") } else { format!("BoundedInt<{low}, {high}>") }
}

fn constant_name(value: &BigInt) -> String {
    format!("INTEGER_{value}")
}

impl Writer {
    fn bind(&mut self, expression: &str, low: BigInt, high: BigInt) -> Value {
        let name = format!("t{}", self.next);
        self.next += 1;
        self.body.push(format!("    let {name}: {} = {expression};", interval(&low, &high)));
        Value { name, low, high }
    }

    fn helper(&mut self, operation: &str, a: &Value, b: &Value, low: &BigInt, high: &BigInt) {
        let key = format!("{operation}Helper<{}, {}>", a.interval(), b.interval());
        self.helpers.entry(key).or_insert_with(|| format!("type Result = {};", interval(low, high)));
    }

    pub fn constant(&mut self, value: impl Into<BigInt>) -> Value {
        let value = value.into();
        self.constants.insert(value.clone());
        Value { name: constant_name(&value), low: value.clone(), high: value }
    }

    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        let (low, high) = (&a.low + &b.low, &a.high + &b.high);
        self.helper("Add", a, b, &low, &high);
        self.bind(&format!("bounded_int_add({}, {})", a.name, b.name), low, high)
    }

    pub fn sub(&mut self, a: &Value, b: &Value) -> Value {
        let (low, high) = (&a.low - &b.high, &a.high - &b.low);
        self.helper("Sub", a, b, &low, &high);
        self.bind(&format!("bounded_int_sub({}, {})", a.name, b.name), low, high)
    }

    pub fn mul(&mut self, a: &Value, b: &Value) -> Value {
        let ends = [&a.low * &b.low, &a.low * &b.high, &a.high * &b.low, &a.high * &b.high];
        let low = ends.iter().min().expect("four ends").clone();
        let high = ends.iter().max().expect("four ends").clone();
        self.helper("Mul", a, b, &low, &high);
        self.bind(&format!("bounded_int_mul({}, {})", a.name, b.name), low, high)
    }

    /// Quotient and remainder of a value that is not negative.
    pub fn divide(&mut self, a: &Value, by: u64) -> (Value, Value) {
        assert!(a.low == BigInt::ZERO && by > 1, "division is of what is not negative");
        let [quotient, remainder] = ["q", "r"].map(|letter| format!("{letter}{}", self.next));
        self.next += 1;
        let quotient = Value { name: quotient, low: BigInt::ZERO, high: &a.high / by };
        let remainder = Value { name: remainder, low: BigInt::ZERO, high: BigInt::from(by - 1) };
        self.divisors.insert(by.into());
        let key = format!("DivRemHelper<{}, UnitInt<{by}>>", a.interval());
        let types = format!("type DivT = {}; type RemT = {};", quotient.interval(), remainder.interval());
        self.helpers.entry(key).or_insert(types);
        self.body.push(format!(
            "    let ({}, {}) = bounded_int_div_rem({}, DIVISOR_{by});",
            quotient.name, remainder.name, a.name
        ));
        (quotient, remainder)
    }

    /// [`Writer::divide`] where the quotient does not matter.
    pub fn remainder(&mut self, a: &Value, by: u64) -> Value {
        let (quotient, remainder) = self.divide(a, by);
        let line = self.body.last_mut().expect("a division");
        *line = line.replacen(&format!("({},", quotient.name), "(_,", 1);
        remainder
    }

    /// The residue modulo `modulus`: a multiple of it is added first where the value may be negative.
    pub fn reduce(&mut self, a: &Value, modulus: u64) -> Value {
        let positive = if a.low < BigInt::ZERO {
            let least = self.constant((-&a.low + modulus - 1) / modulus * modulus);
            let sum = self.add(a, &least);
            self.from_zero(&sum)
        } else {
            a.clone()
        };
        self.remainder(&positive, modulus)
    }

    /// The same value in an interval that begins at zero.
    fn from_zero(&mut self, a: &Value) -> Value {
        if a.low == BigInt::ZERO {
            return a.clone();
        }
        self.bind(&format!("upcast({})", a.name), BigInt::ZERO, a.high.clone())
    }

    /// An argument of the function that is written next.
    pub fn argument(name: &str, high: impl Into<BigInt>) -> Value {
        Value { name: name.into(), low: BigInt::ZERO, high: high.into() }
    }

    /// End a function: its signature, lines that open its arguments, and its result.
    pub fn finish(&mut self, signature: &str, opening: &str, result: &str) {
        let body = std::mem::take(&mut self.body).join("\n");
        self.next = 0;
        self.functions.push(format!("{signature} {{\n{opening}{body}\n    {result}\n}}\n"));
    }

    /// [`Writer::finish`] twice: a function that is inlined, and one of its own that is called.
    pub fn finish_both(&mut self, name: &str, signature: &str, opening: &str, result: &str) {
        let body = self.body.clone();
        self.finish(&format!("#[inline(always)]\npub fn {name}{signature}"), opening, result);
        self.body = body;
        self.finish(&format!("#[inline(never)]\npub fn {name}_call{signature}"), opening, result);
    }

    /// The file.
    pub fn source(&self, head: &str) -> String {
        let mut text = format!("{head}\n");
        for value in &self.constants {
            text += &format!("const {}: UnitInt<{value}> = {value};\n", constant_name(value));
        }
        for value in &self.divisors {
            text += &format!("const DIVISOR_{value}: NonZero<UnitInt<{value}>> = {value};\n");
        }
        text.push('\n');
        for (place, (helper, types)) in self.helpers.iter().enumerate() {
            text += &format!("impl H{place} of {helper} {{ {types} }}\n");
        }
        text.push('\n');
        text += &self.functions.join("\n");
        text
    }
}
