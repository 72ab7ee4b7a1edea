//! What a description or an inference may not say: one value beyond each limit is refused, by the words that name it.

use std::sync::LazyLock;

use obelysk_model::quantize::Precision;
use obelysk_statement::compile::{RANGE_BITS, UNCLAMPED_BITS, validate_description};
use obelysk_statement::description::{
    Inference, LowLimbs, ModelDescription, Norm, RotaryScaling, Rounding, ScoreCap, StreamClamp,
};
use obelysk_statement::{CompileError, compile};
use obelysk_tests::subject::{fixture, quantized};

/// A model with norms of heads, and one with caps and norms of branches.
static DESCRIPTIONS: LazyLock<[ModelDescription; 2]> = LazyLock::new(|| {
    ["qwen3", "gemma2"].map(|name| {
        let description = quantized(&fixture(name), Some(Precision::PLAIN)).description;
        validate_description(&description).expect("a description that is valid before it is changed");
        description
    })
});

type Change = fn(&mut ModelDescription);

fn refusal(of: usize, change: impl FnOnce(&mut ModelDescription)) -> Option<String> {
    let mut description = DESCRIPTIONS[of].clone();
    change(&mut description);
    match validate_description(&description) {
        Err(CompileError::Unsupported(reason)) => Some(reason),
        Err(other) => panic!("{other}"),
        Ok(()) => None,
    }
}

/// Every change of the first or second description is refused with its words.
fn refuses(of: usize, changes: &[(&str, Change)]) {
    for (place, (words, change)) in changes.iter().enumerate() {
        let refused = refusal(of, change);
        assert!(
            refused.as_ref().is_some_and(|reason| reason.contains(words)),
            "change {place}: {refused:?} does not say `{words}`"
        );
    }
    println!("{} refusals", changes.len());
}

/// A part of a description, by its name.
type Part<T> = (&'static str, fn(&mut ModelDescription) -> &mut T);

#[test]
fn sizes_have_limits() {
    refuses(
        0,
        &[
            ("specification", |model| model.specification += 1),
            ("layers = 0", |model| model.shape.layers = 0),
            ("layers = 129", |model| model.shape.layers = 129),
            ("hidden = 0", |model| model.shape.hidden = 0),
            ("hidden = 16385", |model| model.shape.hidden = (1 << 14) + 1),
            ("intermediate = 0", |model| model.shape.intermediate = 0),
            ("intermediate = 65537", |model| model.shape.intermediate = (1 << 16) + 1),
            ("kv_heads = 0", |model| model.shape.kv_heads = 0),
            ("kv_heads = 257", |model| model.shape.kv_heads = 257),
            ("group = 0", |model| model.shape.group = 0),
            ("group = 257", |model| model.shape.group = 257),
            ("head_dim = 0", |model| model.shape.head_dim = 0),
            ("head_dim = 1025", |model| model.shape.head_dim = 1025),
            ("odd number", |model| model.shape.head_dim += 1),
            ("vocabulary = 0", |model| model.shape.vocabulary = 0),
            ("vocabulary = 1048577", |model| model.shape.vocabulary = (1 << 20) + 1),
            ("positions = 0", |model| model.shape.positions = 0),
            ("positions = 8193", |model| model.shape.positions = (1 << 13) + 1),
        ],
    );
}

#[test]
fn norms_have_limits() {
    let changes: [fn(&mut Norm); 21] = [
        |norm| norm.limbs = 1,
        |norm| norm.limbs = 4,
        |norm| norm.limb_bits = 5,
        |norm| norm.limb_bits = 13,
        |norm| norm.highest_bits = 1,
        |norm| norm.highest_bits = norm.limb_bits + 1,
        |norm| norm.lowest = 2,
        |norm| norm.lowest = 7,
        |norm| norm.digits = norm.lowest,
        |norm| norm.digits = norm.lowest + 10,
        |norm| norm.digits = (norm.limbs - 1) * norm.limb_bits / 2,
        |norm| (norm.limbs, norm.limb_bits, norm.highest_bits, norm.digits) = (3, 11, 2, norm.lowest + 9),
        |norm| norm.epsilon = 1 << 28,
        |norm| norm.constant = 0,
        |norm| norm.constant = (1 << 20) + 1,
        |norm| norm.shift = 0,
        |norm| norm.shift = 16,
        |norm| norm.bits = 1,
        |norm| norm.bits = 17,
        |norm| norm.limb_bits = 0,
        |norm| norm.highest_bits = 0,
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let of: [fn(&mut ModelDescription) -> &mut Norm; 3] = [
            |model| &mut model.hidden_norm,
            |model| &mut model.head_norms.as_mut().expect("a model with them").query,
            |model| &mut model.head_norms.as_mut().expect("a model with them").key,
        ];
        for norm in of {
            let refused = refusal(0, |model| change(norm(model)));
            let named = refused.as_ref().is_some_and(|reason| reason.contains("norm parameters out of range"));
            assert!(named, "change {place}: {refused:?}");
        }
        for which in 0..2 {
            let refused = refusal(1, |model| {
                let norms = model.branch_norms.as_mut().expect("a model with them");
                let norm = if which == 0 { &mut norms.attention } else { &mut norms.feed_forward };
                change(&mut norm.norm);
            });
            let named = refused.as_ref().is_some_and(|reason| reason.contains("norm parameters out of range"));
            assert!(named, "change {place}: {refused:?}");
        }
    }
    refuses(
        0,
        &[("different constants", |model| model.head_norms.as_mut().expect("a model with them").key.constant += 1)],
    );
    refuses(
        1,
        &[
            ("the norm of a block's output", |model| {
                model.branch_norms.as_mut().expect("a model with them").attention.norm.constant += 1;
            }),
            ("the norm of a block's output", |model| {
                model.branch_norms.as_mut().expect("a model with them").feed_forward.norm.constant += 1;
            }),
        ],
    );
}

#[test]
fn windows_and_rotary_positions_have_limits() {
    let scaled = |scaling: RotaryScaling| refusal(0, |model| model.rotary.scaling = Some(scaling));
    let sound = RotaryScaling { factor: 8 << 16, low: 1 << 16, high: 4 << 16, original: 64 };
    assert_eq!(scaled(sound), None);
    for scaling in [
        RotaryScaling { factor: (1 << 16) - 1, ..sound },
        RotaryScaling { factor: 1 << 40, ..sound },
        RotaryScaling { low: 4 << 16, ..sound },
        RotaryScaling { high: (64 << 16) + 1, ..sound },
        RotaryScaling { original: 0, ..sound },
        RotaryScaling { original: 1 << 24, ..sound },
    ] {
        let refused = scaled(scaling);
        assert!(refused.as_ref().is_some_and(|reason| reason.contains("rotary positions")), "{refused:?}");
    }
    refuses(
        0,
        &[
            ("rotary positions", |model| model.rotary.theta = 0),
            ("rotary positions", |model| model.rotary.theta = 1 << 60),
            ("windows", |model| model.windows.truncate(1)),
            ("windows", |model| model.windows.push(None)),
            ("whose window is 0", |model| model.windows[0] = Some(0)),
        ],
    );
}

#[test]
fn roundings_have_limits() {
    let of: [Part<Rounding>; 7] = [
        ("query", |model| &mut model.attention.query_rounding),
        ("key", |model| &mut model.attention.key_rounding),
        ("score", |model| &mut model.attention.score_rounding),
        ("value", |model| &mut model.attention.value_rounding),
        ("gate", |model| &mut model.feed_forward.gate_rounding),
        ("up", |model| &mut model.feed_forward.up_rounding),
        ("hidden", |model| &mut model.feed_forward.hidden_rounding),
    ];
    for (name, rounding) in of {
        let changes: [fn(&mut Rounding); 3] = [
            |rounding| rounding.shift = 0,
            |rounding| rounding.shift = 17,
            |rounding| rounding.unclamped_bits = UNCLAMPED_BITS + 1,
        ];
        for change in changes {
            let refused = refusal(0, |model| change(rounding(model)));
            let named =
                refused.as_ref().is_some_and(|reason| reason.starts_with(name) && reason.contains("shifts are"));
            assert!(named, "{name}: {refused:?}");
        }
    }
}

#[test]
fn formats_of_attention_have_limits() {
    refuses(
        0,
        &[
            ("rotary fraction = 0", |model| model.attention.rotary_fraction = 0),
            ("rotary fraction = 17", |model| model.attention.rotary_fraction = 17),
            ("value bits = 0", |model| model.attention.value_bits = 0),
            ("value bits = 17", |model| model.attention.value_bits = 17),
            ("mean bits = 0", |model| model.attention.mean_bits = model.attention.mean_limbs.total()),
            ("mean bits = 17", |model| model.attention.mean_bits = model.attention.mean_limbs.total() + 17),
            ("rotary shifts", |model| model.attention.query_rotary_shift = 0),
            ("rotary shifts", |model| model.attention.query_rotary_shift = 21),
            ("rotary shifts", |model| model.attention.key_rotary_shift = 0),
            ("rotary shifts", |model| model.attention.key_rotary_shift = 21),
            ("projected end = 0", |model| model.attention.projected_end = 0),
            ("projected end = 32768", |model| model.attention.projected_end = 1 << 15),
            ("rotated end = 0", |model| model.attention.rotated_end = 0),
            ("rotated end = 32768", |model| model.attention.rotated_end = 1 << 15),
            ("exceed 30 bits", |model| model.attention.rotated_end = (1 << 15) - 1),
            ("score step", |model| model.attention.score_step = (1 << 24) - 1),
            ("score step", |model| model.attention.score_step = 0),
            ("score step", |model| model.attention.score_step = 1 << 48),
            ("before the exponential is zero", |model| model.attention.score_step = 1 << 24),
            ("never clamped", |model| model.attention.score_rounding.unclamped_bits = 18),
        ],
    );
    refuses(
        1,
        &[
            ("a cap of scores", |model| model.attention.score_cap = Some(ScoreCap { step: 0, peak: 1 })),
            ("a cap of scores", |model| model.attention.score_cap = Some(ScoreCap { step: 1 << 48, peak: 1 })),
            ("a cap of scores", |model| model.attention.score_cap = Some(ScoreCap { step: 1, peak: 0 })),
            ("a cap of scores", |model| model.attention.score_cap = Some(ScoreCap { step: 1, peak: 1 << 15 })),
        ],
    );
}

#[test]
fn formats_of_blocks_and_branches_have_limits() {
    refuses(
        0,
        &[
            ("up bits = 0", |model| model.feed_forward.up_bits = 0),
            ("up bits = 17", |model| model.feed_forward.up_bits = 17),
            ("hidden bits = 0", |model| model.feed_forward.hidden_bits = model.feed_forward.hidden_limbs.total()),
            ("hidden bits = 17", |model| model.feed_forward.hidden_bits = model.feed_forward.hidden_limbs.total() + 17),
            ("gate fraction = 0", |model| model.feed_forward.gate_fraction = 0),
            ("gate fraction = 17", |model| model.feed_forward.gate_fraction = 17),
            ("the limits are four low limbs", |model| model.attention.mean_limbs = LowLimbs { count: 5, bits: 4 }),
            ("the limits are four low limbs", |model| model.attention.mean_limbs = LowLimbs { count: 1, bits: 13 }),
            ("the limits are four low limbs", |model| model.attention.mean_limbs = LowLimbs { count: 3, bits: 9 }),
            ("the limits are four low limbs", |model| model.feed_forward.hidden_limbs = LowLimbs { count: 0, bits: 1 }),
            ("the limits are four low limbs", |model| model.feed_forward.hidden_limbs = LowLimbs { count: 1, bits: 0 }),
            ("range of the residual stream", |model| model.residual.clamp = Some(StreamClamp { excess_bits: 0 })),
            ("range of the residual stream", |model| {
                model.residual.clamp = Some(StreamClamp { excess_bits: RANGE_BITS + 1 });
            }),
            ("a branch of format", |model| model.residual.attention.low_bits = 0),
            ("a branch of format", |model| model.residual.attention.low_bits = 17),
            ("a branch of format", |model| model.residual.feed_forward.high_bits = 0),
            ("a branch of format", |model| model.residual.feed_forward.high_bits = 17),
            ("a branch of format", |model| model.residual.attention.rounding.shift = 0),
            ("a branch of format", |model| {
                model.residual.attention.rounding.shift = model.attention.mean_limbs.total() + 17;
            }),
            ("a branch of format", |model| model.residual.attention.rounding.unclamped_bits = UNCLAMPED_BITS + 1),
        ],
    );
    refuses(
        1,
        &[("a branch of format", |model| {
            model.branch_norms.as_mut().expect("a model with them").attention.output.low_bits = 17;
        })],
    );
}

#[test]
fn weights_have_bounds_and_belong_to_an_operation() {
    refuses(
        0,
        &[
            ("bounds of weight `embedding`", |model| bound(model).magnitude = 1 << 30),
            ("bounds of weight `embedding`", |model| bound(model).magnitude = -1),
            ("bounds of weight `embedding`", |model| bound(model).row_mass = 1 << 31),
            ("bounds of weight `embedding`", |model| bound(model).row_mass = -1),
            ("bounds of weight `embedding`", |model| bound(model).row_norm = 1 << 31),
            ("bounds of weight `embedding`", |model| bound(model).row_norm = -1),
            ("weight `up_weight` has no bounds", |model| model.weights.retain(|name, _| name != "up_weight")),
            ("belong to no operation", |model| {
                let bound = model.weights["embedding"];
                model.weights.insert("another".into(), bound);
            }),
        ],
    );
}

fn bound(model: &mut ModelDescription) -> &mut obelysk_statement::description::WeightBound {
    model.weights.get_mut("embedding").expect("a weight of every model")
}

#[test]
fn inferences_have_limits() {
    let description = &DESCRIPTIONS[0];
    let inference =
        |prompt: usize, output: usize| Inference { prompt_tokens: vec![1; prompt], output_tokens: vec![2; output] };
    let refusal = |inferences: &[Inference]| match compile(description, inferences) {
        Err(CompileError::Unsupported(reason)) => reason,
        other => panic!("{:?}", other.map(|_| ())),
    };
    let (positions, vocabulary) = (description.shape.positions, description.shape.vocabulary as u32);
    assert!(compile(description, &[inference(1, 1)]).is_ok());
    assert!(refusal(&[]).contains("0 inferences"));
    assert!(refusal(&vec![inference(1, 1); 1001]).contains("1001 inferences"));
    assert!(refusal(&[inference(0, 1)]).contains("without prompt or output"));
    assert!(refusal(&[inference(1, 0)]).contains("without prompt or output"));
    assert!(refusal(&[inference(positions, 2)]).contains("positions; the model has"));
    let with = |prompt: u32, output: u32| Inference { prompt_tokens: vec![prompt], output_tokens: vec![output] };
    assert!(compile(description, &[with(vocabulary - 1, vocabulary - 1)]).is_ok());
    assert!(refusal(&[with(vocabulary, 1)]).contains("the vocabulary has"));
    assert!(refusal(&[with(1, vocabulary)]).contains("the vocabulary has"));
    assert!(refusal(&[with(1, 1), with(vocabulary, 1)]).contains("the vocabulary has"));
}
