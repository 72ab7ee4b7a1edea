//! How well the integer model follows the float model, as the product itself measures it: on questions and on prose.

use serde_json::Value;

use crate::model::real_model;

const PERPLEXITY_MAX: f64 = 0.01;
const DIVERGENCE_MAX: f64 = 0.002;
/// Fewer on text than in conversations: where many words may follow, two are often about as likely.
const AGREEMENT_MIN_CHAT: f64 = 0.99;
const AGREEMENT_MIN_TEXT: f64 = 0.985;

fn require(what: &str, quality: &Value, agreement_min: f64) {
    let number = |name: &str| quality[name].as_f64().unwrap_or_else(|| panic!("no {name} in {quality}"));
    let perplexity = number("perplexityInt") / number("perplexityFloat") - 1.0;
    let (divergence, agreement) = (number("meanKL"), number("top1Agreement"));
    println!(
        "{what}: perplexity {:+.2} % (at most {:.2} %), divergence {divergence:.5} (at most {DIVERGENCE_MAX}), \
         agreement {agreement:.4} (at least {agreement_min})",
        perplexity * 100.0,
        PERPLEXITY_MAX * 100.0
    );
    assert!(number("tokens") > 600.0, "{what}: {quality}");
    assert!(perplexity.abs() <= PERPLEXITY_MAX, "{what}: perplexity");
    assert!(divergence <= DIVERGENCE_MAX, "{what}: divergence");
    assert!(agreement >= agreement_min, "{what}: agreement");
}

#[test]
fn answers_and_prose_are_within_a_percent_of_the_float_engine() {
    let shown = real_model().obelysk([&["model", "show", "--quality"], &real_model().option()[..]].concat());
    require("chat", &shown["quality"]["chat"], AGREEMENT_MIN_CHAT);
    require("text", &shown["quality"]["text"], AGREEMENT_MIN_TEXT);
}
