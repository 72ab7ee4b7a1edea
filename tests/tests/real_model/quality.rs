//! How well the integer model follows the float model: on the product's own questions, and on text.

use obelysk_model::float::{self, FloatModel};
use obelysk_model::integer::{IntegerModel, argmax};
use obelysk_model::tokenizer::ModelTokenizer;

use crate::model::real_model;

const TEXT: &str = include_str!("../../fixtures/text.txt");
/// Tokens that the engines read at once.
const PIECE: usize = 160;

const PERPLEXITY_MAX: f64 = 0.01;
const DIVERGENCE_MAX: f64 = 0.002;
/// Fewer on text than in conversations: where many words may follow, two are often about as likely.
const AGREEMENT_MIN_CHAT: f64 = 0.99;
const AGREEMENT_MIN_TEXT: f64 = 0.985;

struct Figures {
    /// Perplexity of the integer engine relative to the float engine's, less one.
    perplexity: f64,
    /// Mean, in nats.
    divergence: f64,
    /// Share of positions at which both engines prefer the same token.
    agreement: f64,
}

fn require(what: &str, figures: &Figures, agreement_min: f64) {
    let Figures { perplexity, divergence, agreement } = *figures;
    println!(
        "{what}: perplexity {:+.2} % (at most {:.2} %), divergence {divergence:.5} (at most {DIVERGENCE_MAX}), \
         agreement {agreement:.4} (at least {agreement_min})",
        perplexity * 100.0,
        PERPLEXITY_MAX * 100.0
    );
    assert!(perplexity.abs() <= PERPLEXITY_MAX, "{what}: perplexity");
    assert!(divergence <= DIVERGENCE_MAX, "{what}: divergence");
    assert!(agreement >= agreement_min, "{what}: agreement");
}

#[test]
fn conversations_are_within_a_percent_of_the_float_engine() {
    let shown = real_model().obelysk([&["model", "show", "--quality"], &real_model().option()[..]].concat());
    let quality = &shown["quality"];
    let number = |name: &str| quality[name].as_f64().unwrap_or_else(|| panic!("no {name} in {quality}"));
    assert!(number("tokens") > 500.0, "{quality}");
    let figures = Figures {
        perplexity: number("perplexityInt") / number("perplexityFloat") - 1.0,
        divergence: number("meanKL"),
        agreement: number("top1Agreement"),
    };
    require("conversations", &figures, AGREEMENT_MIN_CHAT);
}

#[test]
fn text_is_within_a_percent_of_the_float_engine() {
    let folder = &real_model().folder;
    let quantized = real_model().quantized();
    let (integer, unit) = (IntegerModel::new(&quantized), quantized.logit_unit());
    let float = FloatModel::open(folder).unwrap();
    let tokens = ModelTokenizer::open(folder).unwrap().encode(TEXT).unwrap();
    let vocabulary = float.config().vocab_size;
    let (mut excess, mut divergence, mut agreed, mut count) = (0.0, 0.0, 0usize, 0usize);
    for piece in tokens.chunks_exact(PIECE) {
        let expected = float.logits(piece);
        let actual = integer.read(&mut integer.cache(), piece, piece.len());
        let rows = expected.chunks_exact(vocabulary).zip(actual.chunks_exact(vocabulary));
        for ((expected, actual), &next) in rows.zip(&piece[1..]) {
            count += 1;
            agreed += usize::from(float::argmax(expected) == argmax(actual));
            let p = log_softmax(expected.iter().map(|&logit| f64::from(logit)).collect());
            let q = log_softmax(actual.iter().map(|&logit| f64::from(logit) * unit).collect());
            excess += p[next as usize] - q[next as usize];
            divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        }
    }
    assert!(count > 600, "{count} predictions");
    let count = count as f64;
    let figures = Figures {
        perplexity: (excess / count).exp() - 1.0,
        divergence: divergence / count,
        agreement: agreed as f64 / count,
    };
    require("text", &figures, AGREEMENT_MIN_TEXT);
}

fn log_softmax(mut logits: Vec<f64>) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln() + largest;
    logits.iter_mut().for_each(|logit| *logit -= total);
    logits
}
