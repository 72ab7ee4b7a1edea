//! The field of challenges as Cairo: `M31[i][u]` with `i^2 = -1`, `u^2 = 2 + i`, in the basis `1, i, u, iu`.

use crate::interval::{Value, Writer};

const P: u64 = (1 << 31) - 1;

const HEAD: &str = "// Arithmetic of Mersenne-31 and of its degree-4 extension, one division with remainder a coordinate. Written by
// `cargo xtask contracts --bless`; `toolchain/src/field.rs` says what.
#[feature(\"bounded-int-utils\")]
use core::internal::bounded_int::{
    AddHelper, BoundedInt, DivRemHelper, MulHelper, SubHelper, UnitInt, bounded_int_add, bounded_int_div_rem, bounded_int_mul,
    bounded_int_sub, upcast,
};

/// A word of 31 bits; 2^31 - 1 stands for zero.
pub type M = BoundedInt<0, 2147483647>;

/// A challenge.
#[derive(Copy, Drop)]
pub struct Q {
    pub a: M,
    pub b: M,
    pub c: M,
    pub d: M,
}

/// A point of the circle x^2 + y^2 = 1.
#[derive(Copy, Drop)]
pub struct Point {
    pub x: M,
    pub y: M,
}
";

type Four = [Value; 4];

/// A kind of argument.
#[derive(Clone, Copy)]
enum Kind {
    Challenge,
    Base,
    Point,
}
use Kind::{Base, Challenge, Point};

/// A file that is being written.
struct Field(Writer);

pub fn source() -> String {
    let mut field = Field(Writer::default());
    field.challenges();
    field.circle();
    field.residue();
    field.0.source(HEAD)
}

impl Field {
    fn plus(&mut self, x: &Four, y: &Four) -> Four {
        std::array::from_fn(|k| self.0.add(&x[k], &y[k]))
    }

    fn minus(&mut self, x: &Four, y: &Four) -> Four {
        std::array::from_fn(|k| self.0.sub(&x[k], &y[k]))
    }

    fn scaled(&mut self, x: &Four, by: &Value) -> Four {
        std::array::from_fn(|k| self.0.mul(&x[k], by))
    }

    fn plus_one(&mut self, x: &Four) -> Four {
        let one = self.0.constant(1);
        let mut x = x.clone();
        x[0] = self.0.add(&x[0], &one);
        x
    }

    fn times(&mut self, x: &Four, y: &Four) -> Four {
        let w = &mut self.0;
        // (2 + i)(y2 + i y3) = (2 y2 - y3) + i (y2 + 2 y3).
        let twice = w.add(&y[2], &y[2]);
        let real = w.sub(&twice, &y[3]);
        let twice = w.add(&y[3], &y[3]);
        let imaginary = w.add(&twice, &y[2]);
        let mut sum = |terms: [(bool, &Value, &Value); 4]| {
            let mut sum: Option<Value> = None;
            for (plus, left, right) in terms {
                let product = w.mul(left, right);
                sum = Some(match sum {
                    None => product,
                    Some(sum) if plus => w.add(&sum, &product),
                    Some(sum) => w.sub(&sum, &product),
                });
            }
            sum.expect("four terms")
        };
        [
            sum([(true, &x[0], &y[0]), (false, &x[1], &y[1]), (true, &x[2], &real), (false, &x[3], &imaginary)]),
            sum([(true, &x[0], &y[1]), (true, &x[1], &y[0]), (true, &x[2], &imaginary), (true, &x[3], &real)]),
            sum([(true, &x[0], &y[2]), (false, &x[1], &y[3]), (true, &x[2], &y[0]), (false, &x[3], &y[1])]),
            sum([(true, &x[0], &y[3]), (true, &x[1], &y[2]), (true, &x[2], &y[1]), (true, &x[3], &y[0])]),
        ]
    }

    fn reduced(&mut self, x: &Four) -> Four {
        x.clone().map(|value| self.0.reduce(&value, P))
    }

    /// Write a function of arguments; the formula gets four coordinates for a challenge, one for a word, two for a point.
    fn function(
        &mut self,
        name: &str,
        arguments: &[(&str, Kind)],
        formula: impl FnOnce(&mut Self, &[Vec<Value>]) -> Vec<Value>,
    ) {
        let coordinates = |argument: &str, kind: Kind| -> Vec<Value> {
            match kind {
                Base => vec![Writer::argument(argument, P)],
                Point => ["x", "y"].map(|c| Writer::argument(&format!("{argument}_{c}"), P)).into(),
                Challenge => ["a", "b", "c", "d"].map(|c| Writer::argument(&format!("{argument}_{c}"), P)).into(),
            }
        };
        let values: Vec<Vec<Value>> = arguments.iter().map(|&(argument, kind)| coordinates(argument, kind)).collect();
        let mut opening = String::new();
        let mut signature = Vec::new();
        for &(argument, kind) in arguments {
            let name_of_kind = match kind {
                Base => "M",
                Point => "Point",
                Challenge => "Q",
            };
            signature.push(format!("{argument}: {name_of_kind}"));
            opening += &match kind {
                Base => String::new(),
                Point => format!("    let Point {{ x: {argument}_x, y: {argument}_y }} = {argument};\n"),
                Challenge => format!(
                    "    let Q {{ a: {argument}_a, b: {argument}_b, c: {argument}_c, d: {argument}_d }} = {argument};\n"
                ),
            };
        }
        let result = formula(self, &values);
        let up = |k: usize| format!("upcast({})", result[k].name());
        let (kind, result) = match result.len() {
            1 => ("M", up(0)),
            2 => ("Point", format!("Point {{ x: {}, y: {} }}", up(0), up(1))),
            _ => ("Q", format!("Q {{ a: {}, b: {}, c: {}, d: {} }}", up(0), up(1), up(2), up(3))),
        };
        self.0.finish_both(name, &format!("({}) -> {kind}", signature.join(", ")), &opening, &result);
    }

    /// A function of challenges alone.
    fn of_challenges<const N: usize>(
        &mut self,
        name: &str,
        arguments: [&str; N],
        formula: impl FnOnce(&mut Self, [Four; N]) -> Four,
    ) {
        let kinds = arguments.map(|argument| (argument, Challenge));
        self.function(name, &kinds, |field, values| {
            let values: Vec<Four> = values.iter().map(|own| own.clone().try_into().expect("four")).collect();
            let result = formula(field, values.try_into().expect("as many as arguments"));
            field.reduced(&result).into()
        });
    }

    fn challenges(&mut self) {
        self.of_challenges("add", ["x", "y"], |f, [x, y]| f.plus(&x, &y));
        self.of_challenges("sub", ["x", "y"], |f, [x, y]| f.minus(&x, &y));
        self.of_challenges("mul", ["x", "y"], |f, [x, y]| f.times(&x, &y));
        // z + x y
        self.of_challenges("mul_add", ["x", "y", "z"], |f, [x, y, z]| {
            let product = f.times(&x, &y);
            f.plus(&product, &z)
        });
        // x - x y
        self.of_challenges("mul_complement", ["x", "y"], |f, [x, y]| {
            let product = f.times(&x, &y);
            f.minus(&x, &product)
        });
        // value (1 - x - y + 2 x y)
        self.of_challenges("eq_step", ["value", "x", "y"], |f, [value, x, y]| {
            let product = f.times(&x, &y);
            let twice = f.plus(&product, &product);
            let rest = f.minus(&twice, &x);
            let rest = f.minus(&rest, &y);
            let rest = f.plus_one(&rest);
            f.times(&value, &rest)
        });
        // A round of degree 2 from c0 and c2: c1 = sum - 2 c0 - c2.
        self.of_challenges("round2", ["sum", "c0", "c2", "r"], |f, [sum, c0, c2, r]| {
            let linear = f.minus(&sum, &c0);
            let linear = f.minus(&linear, &c0);
            let linear = f.minus(&linear, &c2);
            let inner = f.times(&c2, &r);
            let inner = f.plus(&inner, &linear);
            let outer = f.times(&inner, &r);
            f.plus(&outer, &c0)
        });
        // A round of the lookup argument from c1 and c2: c0 = sum - z (c1 + c2).
        self.of_challenges("layer_round", ["sum", "z", "c1", "c2", "r"], |f, [sum, z, c1, c2, r]| {
            let both = f.plus(&c1, &c2);
            let both = f.times(&z, &both);
            let constant = f.minus(&sum, &both);
            let inner = f.times(&c2, &r);
            let inner = f.plus(&inner, &c1);
            let outer = f.times(&inner, &r);
            f.plus(&outer, &constant)
        });
        let value_by = [("value", Challenge), ("r", Challenge), ("x", Base)];
        // value (1 + r (x - 1)) for a coordinate x of a row
        self.function("row_step", &value_by, |f, values| {
            let [value, r, x] = [0, 1, 2].map(|k| &values[k]);
            let one = f.0.constant(1);
            let less = f.0.sub(&x[0], &one);
            let r: Four = r.clone().try_into().expect("four");
            let step = f.scaled(&r, &less);
            let step = f.plus_one(&step);
            let product = f.times(&value.clone().try_into().expect("four"), &step);
            f.reduced(&product).into()
        });
        self.function("scale", &[("x", Challenge), ("by", Base)], |f, values| {
            let scaled = f.scaled(&values[0].clone().try_into().expect("four"), &values[1][0]);
            f.reduced(&scaled).into()
        });
    }

    fn circle(&mut self) {
        self.function("base_mul", &[("x", Base), ("y", Base)], |f, values| {
            let product = f.0.mul(&values[0][0], &values[1][0]);
            vec![f.0.reduce(&product, P)]
        });
        // 2 x^2 - 1
        self.function("double_x", &[("x", Base)], |f, values| {
            let x = &values[0][0];
            let twice = f.0.add(x, x);
            let square = f.0.mul(&twice, x);
            let one = f.0.constant(1);
            let less = f.0.sub(&square, &one);
            vec![f.0.reduce(&less, P)]
        });
        self.function("point_mul", &[("p", Point), ("q", Point)], |f, values| {
            let (p, q) = (&values[0], &values[1]);
            let w = &mut f.0;
            let [xx, yy, xy, yx] = [(0, 0), (1, 1), (0, 1), (1, 0)].map(|(i, j)| w.mul(&p[i], &q[j]));
            let x = w.sub(&xx, &yy);
            let y = w.add(&xy, &yx);
            vec![w.reduce(&x, P), w.reduce(&y, P)]
        });
        self.function("negated", &[("x", Base)], |f, values| {
            let zero = f.0.constant(0);
            let less = f.0.sub(&zero, &values[0][0]);
            vec![f.0.reduce(&less, P)]
        });
    }

    /// 64 bits modulo p, for challenges out of a hash.
    fn residue(&mut self) {
        let w = &mut self.0;
        let [low, high] = ["low", "high"].map(|name| Writer::argument(name, (1u64 << 32) - 1));
        let shift = w.constant(1u64 << 32);
        let high = w.mul(&high, &shift);
        let wide = w.add(&high, &low);
        let residue = w.reduce(&wide, P);
        let (kind, result) = (low.interval(), format!("upcast({})", residue.name()));
        w.finish(&format!("#[inline(always)]\npub fn residue(low: {kind}, high: {kind}) -> M"), "", &result);
    }
}
