//! Whether the integer engine follows the float engine well enough for its answers to be worth a proof.

use super::{Measured, Quality};

/// Bounds that hold on every set of texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// Largest mean divergence, in nats.
    pub mean_kl: f64,
    /// Largest ratio of the integer engine's perplexity to the float engine's. A smaller perplexity is no fault of its own.
    pub perplexity_ratio: f64,
    /// Smallest share of positions at which both engines prefer the same token.
    pub top1_agreement: f64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { mean_kl: 0.01, perplexity_ratio: 1.05, top1_agreement: 0.95 }
    }
}

impl Gate {
    /// What misses the gate, one line per set and measure; empty for a model that passes.
    #[must_use]
    pub fn misses(&self, measured: &Measured) -> Vec<String> {
        measured.sets().into_iter().flat_map(|(name, quality)| self.misses_of(name, quality)).collect()
    }

    /// Written so that what is not a number misses.
    fn misses_of(&self, name: &str, quality: &Quality) -> Vec<String> {
        let Quality { tokens, perplexity_float, perplexity_int, top1_agreement, mean_kl, .. } = *quality;
        if tokens == 0 {
            return vec![format!("{name}: nothing could be measured")];
        }
        let holds = [
            mean_kl <= self.mean_kl,
            perplexity_int <= self.perplexity_ratio * perplexity_float,
            top1_agreement >= self.top1_agreement,
        ];
        let lines = [
            format!("{name}: KL {mean_kl:.4}, at most {}", self.mean_kl),
            format!(
                "{name}: perplexity {perplexity_float:.2} became {perplexity_int:.2}, at most {} times",
                self.perplexity_ratio
            ),
            format!("{name}: top-1 {top1_agreement:.4}, at least {}", self.top1_agreement),
        ];
        lines.into_iter().zip(holds).filter(|(_, holds)| !holds).map(|(line, _)| line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality() -> Quality {
        Quality {
            sequences: 1,
            tokens: 100,
            perplexity_float: 10.0,
            perplexity_int: 10.4,
            top1_agreement: 0.96,
            mean_kl: 0.009,
            saturation_rate: 0.0,
        }
    }

    fn misses(change: impl Fn(&mut Quality)) -> Vec<String> {
        let mut measured = Measured { chat: quality(), text: quality() };
        change(&mut measured.text);
        Gate::default().misses(&measured)
    }

    #[test]
    fn each_bound_is_kept_on_each_set_and_named_with_its_numbers() {
        assert_eq!(misses(|_| {}), [""; 0]);
        assert_eq!(misses(|text| text.mean_kl = 0.011), ["text: KL 0.0110, at most 0.01"]);
        assert_eq!(
            misses(|text| text.perplexity_int = 10.6),
            ["text: perplexity 10.00 became 10.60, at most 1.05 times"]
        );
        assert_eq!(misses(|text| text.top1_agreement = 0.949), ["text: top-1 0.9490, at least 0.95"]);
    }

    #[test]
    fn a_smaller_perplexity_alone_is_no_fault() {
        assert_eq!(misses(|text| text.perplexity_int = 5.0), [""; 0]);
    }

    #[test]
    fn what_was_not_measured_or_is_not_a_number_misses() {
        assert_eq!(misses(|text| text.tokens = 0).len(), 1);
        let all = |text: &mut Quality| {
            (text.mean_kl, text.perplexity_int, text.top1_agreement) = (f64::NAN, f64::NAN, f64::NAN);
        };
        assert_eq!(misses(all).len(), 3);
    }
}
