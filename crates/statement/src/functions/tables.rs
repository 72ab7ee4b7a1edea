//! The functions that relations look up, as constants of a model: what the compiler says of their values, and the values, which are committed
//! with the weights. The compiler states no value: a verifier makes no table.

use super::{
    exponential, gelu_tanh, least_activation, logarithm, most_logarithm, reciprocal_square_root, rotary, silu, soft_cap,
};
use crate::builder::Builder;
use crate::compile::denominator_shift;
use crate::description::{Activation, ModelDescription, Norm, PROBABILITY_BITS, ScoreCap, Shape, TABLE_BITS};
use crate::relation::Interval;
use crate::table::TableId;

/// A function of `2^bits` integers from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionTable {
    /// Unique in its model.
    pub name: &'static str,
    /// The first argument.
    pub first: i32,
    /// Binary logarithm of the number of arguments.
    pub bits: u32,
    /// What all values lie in.
    pub range: Interval,
    function: Function,
}

/// Which function, and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Exponential { step: u64 },
    Logarithm { step: u64, shift: u32 },
    ReciprocalRoot { constant: u64 },
    Activation(Activation, u32),
    SoftCap(ScoreCap),
}

impl FunctionTable {
    /// [`exponential`] of the step of scores.
    #[must_use]
    pub fn exponential(description: &ModelDescription) -> Self {
        let step = description.attention.score_step;
        Self::of_unsigned("exponential", Interval::unsigned(PROBABILITY_BITS), Function::Exponential { step })
    }

    /// [`logarithm`] in units of that step, of denominators that lose some low bits.
    #[must_use]
    pub fn logarithm(description: &ModelDescription) -> Self {
        let (step, shift) = (description.attention.score_step, denominator_shift(description.shape.positions));
        let range = Interval::new(0, most_logarithm(step, PROBABILITY_BITS, shift, TABLE_BITS));
        Self::of_unsigned("logarithm", range, Function::Logarithm { step, shift })
    }

    /// [`reciprocal_square_root`] for norms over the hidden axis.
    #[must_use]
    pub fn hidden_roots(description: &ModelDescription) -> Self {
        Self::roots("hidden reciprocal root", &description.hidden_norm)
    }

    /// [`reciprocal_square_root`] for norms over a head, where the model has them.
    #[must_use]
    pub fn head_roots(description: &ModelDescription) -> Option<Self> {
        description.head_norms.as_ref().map(|norms| Self::roots("head reciprocal root", &norms.query))
    }

    fn roots(name: &'static str, norm: &Norm) -> Self {
        Self::of_unsigned(name, Interval::unsigned(15), Function::ReciprocalRoot { constant: norm.constant })
    }

    /// The activation of gates, which it clamps besides.
    #[must_use]
    pub fn activation(description: &ModelDescription) -> Self {
        let format = &description.feed_forward;
        let (activation, fraction) = (format.activation, format.gate_fraction);
        let range = Interval::new(least_activation(activation, fraction), Interval::signed(TABLE_BITS).high);
        let bits = format.gate_rounding.unclamped_bits.max(TABLE_BITS);
        Self::of_signed("activation", bits, range, Function::Activation(activation, fraction))
    }

    /// The cap of scores, which it clamps besides, where the model has one.
    #[must_use]
    pub fn soft_cap(description: &ModelDescription) -> Option<Self> {
        let attention = &description.attention;
        let bits = attention.score_rounding.unclamped_bits.max(TABLE_BITS);
        attention.score_cap.map(|cap| {
            let peak = i64::from(cap.peak);
            Self::of_signed("soft cap", bits, Interval::new(-peak, peak), Function::SoftCap(cap))
        })
    }

    fn of_unsigned(name: &'static str, range: Interval, function: Function) -> Self {
        Self { name, first: 0, bits: TABLE_BITS, range, function }
    }

    fn of_signed(name: &'static str, bits: u32, range: Interval, function: Function) -> Self {
        Self { name, first: -(1 << (bits - 1)), bits, range, function }
    }

    /// The table in a statement.
    pub(crate) fn add_to(&self, builder: &mut Builder) -> TableId {
        builder.function_table(self.name, self.bits, self.first, self.range)
    }

    /// Name of the tensor of its values.
    #[must_use]
    pub fn tensor(&self) -> String {
        format!("{}: value", self.name)
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> Vec<i32> {
        let length = 1 << TABLE_BITS;
        let of_16_bits = match self.function {
            Function::Exponential { step } => exponential(step, PROBABILITY_BITS, length),
            Function::Logarithm { step, shift } => logarithm(step, PROBABILITY_BITS, shift, length),
            Function::ReciprocalRoot { constant } => reciprocal_square_root(constant),
            Function::Activation(Activation::Silu, fraction) => silu(fraction),
            Function::Activation(Activation::GeluTanh, fraction) => gelu_tanh(fraction),
            Function::SoftCap(cap) => soft_cap(&cap),
        };
        // Arguments of more bits are clamped to those of 16.
        let outside = ((1usize << self.bits) - length) / 2;
        let [lowest, highest] = [of_16_bits[0], of_16_bits[length - 1]];
        [vec![lowest; outside], of_16_bits, vec![highest; outside]].concat()
    }
}

/// A tensor that follows from a model's description, committed with its weights.
pub struct Constant {
    /// Name.
    pub tensor: String,
    /// What all entries lie in.
    pub range: Interval,
    /// In storage order.
    pub entries: Vec<i32>,
}

/// Positions that a model has cosines and sines of.
#[must_use]
pub fn rotary_positions(shape: &Shape) -> usize {
    shape.positions.next_power_of_two()
}

/// All constants of a model: values of the functions that relations look up, cosines and sines.
#[must_use]
pub fn constants(description: &ModelDescription) -> Vec<Constant> {
    let ModelDescription { shape, attention, .. } = description;
    let tables = [
        Some(FunctionTable::hidden_roots(description)),
        Some(FunctionTable::exponential(description)),
        Some(FunctionTable::logarithm(description)),
        Some(FunctionTable::activation(description)),
        FunctionTable::head_roots(description),
        FunctionTable::soft_cap(description),
    ];
    let of_table =
        |table: FunctionTable| Constant { tensor: table.tensor(), range: table.range, entries: table.values() };
    let fraction = attention.rotary_fraction;
    let (cosines, sines) = rotary(&description.rotary, shape.head_dim, rotary_positions(shape), fraction);
    let of_rotary = |(name, entries): (&str, Vec<i32>)| Constant {
        tensor: name.into(),
        range: Interval::new(-1 << fraction, 1 << fraction),
        entries,
    };
    tables.into_iter().flatten().map(of_table).chain([("cosine", cosines), ("sine", sines)].map(of_rotary)).collect()
}
