//! The texts that quality is measured on: questions and prose, none of them the quantiser's.

use crate::calibration::as_question;
use crate::error::ModelError;
use crate::template::ChatTemplate;
use crate::tokenizer::ModelTokenizer;

/// Questions, one per line.
const QUESTIONS: &str = include_str!("../../texts/questions.txt");
/// Prose of many subjects.
const PROSE: &str = include_str!("../../texts/prose.txt");
/// Tokens of a question and its answer at most.
pub(super) const CHAT_TOKENS: usize = 72;
/// Tokens of a piece of prose at most.
const PIECE_TOKENS: usize = 160;
/// Pieces of prose at most.
const PIECES: usize = 5;

/// Questions as a model reads them: in its chat template where it has one.
pub(super) fn questions(
    tokenizer: &ModelTokenizer,
    template: Option<&ChatTemplate>,
    vocabulary: usize,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let questions = QUESTIONS.lines().filter(|line| !line.is_empty());
    let encode = |question: &str| -> Result<Vec<u32>, ModelError> {
        Ok(known(as_question(tokenizer, template, question)?, vocabulary))
    };
    questions.map(encode).collect()
}

/// Pieces of prose, each of two tokens at least.
pub(super) fn prose(
    tokenizer: &ModelTokenizer,
    vocabulary: usize,
    positions: usize,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let tokens = known(tokenizer.encode_prompt(PROSE)?, vocabulary);
    let pieces = tokens.chunks(PIECE_TOKENS.min(positions.max(1))).take(PIECES);
    Ok(pieces.filter(|piece| piece.len() >= 2).map(<[u32]>::to_vec).collect())
}

/// A tokenizer may know more tokens than its model.
fn known(mut tokens: Vec<u32>, vocabulary: usize) -> Vec<u32> {
    tokens.retain(|&token| (token as usize) < vocabulary);
    tokens
}
