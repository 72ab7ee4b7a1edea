//! The second best token in place of the best: everything up to the logits is true.

use obelysk_model::integer::IntegerModel;
use obelysk_statement::MODULUS;
use obelysk_statement::description::Inference;

use super::Cheat;
use crate::subject::Subject;

/// Bits of each limb of a gap between logits.
const LIMB_BITS: u32 = 15;

/// How the second best token is made to look best: the gap that is committed at a token, from the best logit that is claimed, the
/// token's own gap, and whether it is the best token or the claimed one.
pub struct Lie {
    /// What is done.
    pub name: &'static str,
    /// Whether the claimed maximum is the logit of the best token, not of the second best.
    true_maximum: bool,
    gap: fn(gap: i64, is_best: bool, is_claimed: bool) -> i64,
    broken: &'static [&'static str],
}

/// Each with another gap.
pub const LIES: [Lie; 6] = [
    Lie {
        name: "the best token's gap is negative",
        true_maximum: false,
        gap: |gap, _, _| gap,
        broken: &["logit_gap.high: range"],
    },
    Lie {
        name: "the best token's gap is positive modulo the field",
        true_maximum: false,
        gap: |gap, _, _| if gap < 0 { gap + MODULUS } else { gap },
        broken: &["logit_gap.high: range", "logit_gap: best minus logit"],
    },
    Lie {
        name: "the best token's gap is zero",
        true_maximum: false,
        gap: |gap, _, _| gap.max(0),
        broken: &["logit_gap: best minus logit"],
    },
    Lie {
        name: "the claimed token has a gap",
        true_maximum: true,
        gap: |gap, _, _| gap,
        broken: &["logit_gap: none at the output token"],
    },
    Lie {
        name: "the claimed token's gap is left out",
        true_maximum: true,
        gap: |gap, _, is_claimed| if is_claimed { 0 } else { gap },
        broken: &["logit_gap: best minus logit"],
    },
    Lie {
        name: "gaps of the best and the claimed token are left out",
        true_maximum: true,
        gap: |gap, is_best, is_claimed| if is_best || is_claimed { 0 } else { gap },
        broken: &["logit_gap: best minus logit"],
    },
];

/// Cheats, each with the relations that it may break.
///
/// # Panics
/// If the trusted claim is not of one inference with one token.
#[must_use]
pub fn second_best(trusted: &Subject) -> Vec<(Cheat, &'static [&'static str])> {
    let engine = IntegerModel::new(&trusted.model);
    let (_, logits) = engine.witness(&trusted.inferences).expect("the engine's own answers");
    let ([asked], [logits]) = (trusted.inferences.as_slice(), logits.as_slice()) else { panic!("one inference") };
    let [best] = asked.output_tokens.as_slice() else { panic!("one output token") };
    let best = *best as usize;
    let others = logits.iter().enumerate().filter(|(token, _)| *token != best);
    let second = others.max_by_key(|(_, logit)| **logit).map(|(token, _)| token).expect("many tokens");
    let claimed = Inference { prompt_tokens: asked.prompt_tokens.clone(), output_tokens: vec![second as u32] };
    let cheat = |lie: &Lie| {
        let maximum = i64::from(logits[if lie.true_maximum { best } else { second }]);
        let gaps = logits.iter().enumerate().map(|(token, &logit)| {
            let gap = maximum - i64::from(logit) - i64::from(token < second);
            (lie.gap)(gap, token == best, token == second)
        });
        let gaps: Vec<i64> = gaps.collect();
        let mut witness = trusted.witness.clone();
        let mut set = |name: &str, values: &[i64]| {
            let low = values.iter().map(|value| (value & ((1 << LIMB_BITS) - 1)) as i32).collect();
            let high = values.iter().map(|value| (value >> LIMB_BITS) as i32).collect();
            witness.insert(format!("{name}.low"), low);
            witness.insert(format!("{name}.high"), high);
        };
        set("best", &[maximum]);
        set("logit_gap", &gaps);
        (Cheat::new(lie.name, trusted, vec![claimed.clone()], witness), lie.broken)
    };
    LIES.iter().map(cheat).collect()
}
