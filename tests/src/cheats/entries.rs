//! One entry is wrong, and everything that follows is computed from it: norms, softmax, activation.

use super::solver::{LARGEST, LEADING};

/// What is done, to which tensor, at which place, and the relations that then do not hold.
pub struct Entry {
    /// What is done.
    pub name: &'static str,
    /// Where.
    pub tensor: &'static str,
    /// At which place of the tensor, the others as they follow.
    pub place: usize,
    /// What an entry becomes.
    pub change: fn(i64) -> i64,
    /// What does not hold.
    pub broken: &'static [&'static str],
}

impl Entry {
    /// The change of a tensor's entry at a place.
    #[must_use]
    pub fn apply(&self, tensor: &str, place: usize, value: i64) -> i64 {
        let own = self.tensor.strip_suffix('*').map_or(self.tensor == tensor, |start| {
            // A choice of a position has the name of its tensor first.
            tensor.strip_prefix(start).is_some_and(|rest| rest == LEADING || rest == LARGEST)
        });
        if own && place == self.place { (self.change)(value) } else { value }
    }
}

const fn entry(
    name: &'static str,
    tensor: &'static str,
    place: usize,
    change: fn(i64) -> i64,
    broken: &'static [&'static str],
) -> Entry {
    Entry { name, tensor, place, change, broken }
}

/// Of two positions and no cap.
pub const ENTRIES: [Entry; 24] = [
    entry(
        "the leading digit is the one above",
        "head_norm.leading*",
        0,
        |position| position + 1,
        &["head_norm.window: leads with a digit"],
    ),
    entry(
        "the leading digit is the one below",
        "head_norm.leading*",
        0,
        |position| position - 1,
        &["head_norm.leading: nothing above"],
    ),
    entry("a root of another window", "head_norm.root", 0, |root| root + 100, &["head_norm.root: table"]),
    entry(
        "a root of another window in the first layer",
        "attention_norm.root",
        0,
        |root| root / 2,
        &["attention_norm.root: table"],
    ),
    entry(
        "a shifted element one too low",
        "head_norm.shifted",
        3,
        |element| element - 1,
        &["head_norm.cut: below the power"],
    ),
    entry("a shifted element one too high", "head_norm.shifted", 3, |element| element + 1, &["head_norm.cut: range"]),
    entry("a normalised output one too high", "head_norm", 5, |output| output + 1, &["head_norm.remainder: range"]),
    entry("a normalised output one too low", "head_norm", 5, |output| output - 1, &["head_norm.remainder: range"]),
    entry(
        "a digit of 16 more, the next one less",
        "head_norm.digits",
        1,
        |digit| digit - 1,
        &["head_norm.digits: range"],
    ),
    entry(
        "a power of another position",
        "head_norm.power",
        0,
        |power| 4 * power,
        &["head_norm.power: of the leading position"],
    ),
    entry(
        "a window of other digits",
        "head_norm.window",
        0,
        |window| window + 64,
        &["head_norm.window: leading digits"],
    ),
    entry("the maximum is that of another key", "is_maximum*", 1, |key| 1 - key, &["score_beyond: seen"]),
    entry("the maximum is that of a larger key that is not seen", "is_maximum*", 6, |_| 1, &["is_maximum: seen"]),
    entry(
        "the maximum is that of a smaller key that is not seen",
        "is_maximum*",
        0,
        |_| 1,
        &["score_beyond: seen", "is_maximum: seen"],
    ),
    entry("a maximum of no key", "maximum", 1, |maximum| maximum + 700, &["is_maximum: no difference"]),
    entry(
        "a difference one too small",
        "score_difference",
        3,
        |difference| difference - 1,
        &["score_beyond: only at the end"],
    ),
    entry("a numerator of another difference", "numerator", 3, |numerator| numerator / 2, &["numerator: exponential"]),
    entry(
        "another logarithm of the denominator",
        "log_denominator",
        1,
        |logarithm| logarithm + 900,
        &["log_denominator: table"],
    ),
    entry("3000 more of one key", "probability", 3, |weight| weight + 3000, &["probability: exponential"]),
    entry("a weight of a key that is not seen", "probability", 1, |_| 3000, &["probability: seen"]),
    entry("37 more of one activation", "activation", 7, |activation| activation + 37, &["activation: table"]),
    entry("an embedding of no token", "embedded", 11, |entry| entry + 500, &["embedded: row of the token"]),
    entry("a numerator of a key that is not seen", "numerator", 1, |_| 3000, &["numerator: seen"]),
    entry("a digit whose parts are others", "head_norm.digits", 3, |digit| digit + 1, &["head_norm.digit_3: parts"]),
];
