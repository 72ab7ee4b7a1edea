//! The integer engine's answers against those of the float engine.

use std::fmt;

use obelysk_statement::Inference;

use super::inference::FloatAnswer;

/// How many tokens of the answers agree, from the first of each answer on: after a difference the engines read different
/// texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Tokens that agree, and all of them, as `3/16`.
    pub tokens: String,
    /// The first answer that is not, and its first token that is not, both counted from 1.
    pub first_difference: Option<[usize; 2]>,
}

impl Agreement {
    /// Compare answers to the same prompts.
    #[must_use]
    pub fn of(float: &FloatAnswer, integer: &[Inference]) -> Self {
        let (mut agreeing, mut all, mut first_difference) = (0, 0, None);
        for (index, answer) in integer.iter().enumerate() {
            let Some(float) = float.iter().find(|float| float.prompt_tokens == answer.prompt_tokens) else { continue };
            let both = float.output_tokens.iter().zip(&answer.output_tokens);
            let equal = both.take_while(|(a, b)| a == b).count();
            let longest = float.output_tokens.len().max(answer.output_tokens.len());
            if equal < longest && first_difference.is_none() {
                first_difference = Some([index + 1, equal + 1]);
            }
            agreeing += equal;
            all += longest;
        }
        Self { tokens: format!("{agreeing}/{all}"), first_difference }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = &self.tokens;
        match self.first_difference {
            None => write!(formatter, "{tokens} tokens of the integer engine are those of the float engine"),
            Some([answer, token]) => write!(
                formatter,
                "the proven text is not the float engine's: {tokens} tokens equal, answer {answer} differs from token {token} on"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(prompt: u32, output_tokens: &[u32]) -> FloatAnswer {
        FloatAnswer {
            prompt_tokens: vec![prompt],
            output_tokens: output_tokens.to_vec(),
            text: String::new(),
            tokens_per_second: 1.0,
            further: Vec::new(),
        }
    }

    fn integer(prompt: u32, output_tokens: &[u32]) -> Inference {
        Inference { prompt_tokens: vec![prompt], output_tokens: output_tokens.to_vec() }
    }

    #[test]
    fn the_first_token_that_differs_is_named() {
        let float = FloatAnswer { further: vec![float(2, &[7, 8, 9])], ..float(1, &[5, 6]) };
        let agreement = Agreement::of(&float, &[integer(1, &[5, 6]), integer(2, &[7, 0, 9])]);
        assert_eq!(agreement.first_difference, Some([2, 2]));
        assert!(agreement.to_string().contains("3/5 tokens equal, answer 2 differs from token 2 on"), "{agreement}");
    }

    #[test]
    fn an_answer_that_ends_earlier_differs_where_it_ends() {
        let agreement = Agreement::of(&float(1, &[5, 6]), &[integer(1, &[5])]);
        assert_eq!(agreement.first_difference, Some([1, 2]));
        assert_eq!(Agreement::of(&float(1, &[5]), &[integer(1, &[5])]).first_difference, None);
    }
}
