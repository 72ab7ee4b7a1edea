//! What a proof is asked to be about, against what its statement says.

use obelysk_api::job::{Input, Question};
use obelysk_model::integer::is_whole_answer;
use obelysk_statement::Inference;
use obelysk_verifier::folder::{Expectations, ProofFolder};

use crate::failure::{ExitCode, Failure};
use crate::pipeline::inference::Prompt;
use crate::pipeline::inputs::{self, ModelSelection, RunInputs, parse_bytes32};

/// Tokens that a message quotes.
const QUOTED: usize = 12;

/// The inputs of the run that answers a question.
pub fn run_inputs(question: &Question, model: ModelSelection) -> Result<RunInputs, Failure> {
    let prompt = |input: &Input| match input.clone() {
        Input::Prompt(text) => inputs::Input::Prompt { text, chat: question.chat },
        Input::Tokens(tokens) => inputs::Input::Tokens(tokens),
    };
    let inputs = RunInputs {
        model,
        prompts: question.inputs.iter().map(prompt).collect(),
        max_new_tokens: question.max_new_tokens,
        count: question.count,
    };
    inputs.check()?;
    Ok(inputs)
}

/// What a verifier may expect before it looks at tokens.
pub fn expectations(question: &Question) -> Result<Expectations, Failure> {
    Ok(Expectations {
        model_digest: Some(parse_bytes32("the model digest", &question.model_digest)?),
        nonce: Some(parse_bytes32("the nonce", &question.nonce)?),
        ..Expectations::default()
    })
}

/// Refuse a statement that is not about whole answers to these prompts, each once and in order, and nothing else.
pub fn require_answered(question: &Question, prompts: &[Prompt], folder: &ProofFolder) -> Result<(), Failure> {
    let claim = &folder.claim;
    require("mode", &question.mode, claim.mode.name())?;
    let mut asked: Vec<&Prompt> = Vec::new();
    for prompt in prompts {
        if asked.iter().all(|known| known.tokens != prompt.tokens) {
            asked.push(prompt);
        }
    }
    let inferences = claim.inferences();
    require("number of inferences", &asked.len().to_string(), &inferences.len().to_string())?;
    for (number, (prompt, inference)) in asked.into_iter().zip(&inferences).enumerate() {
        let number = number + 1;
        let Inference { prompt_tokens, output_tokens } = inference;
        if *prompt_tokens != prompt.tokens {
            let same = prompt_tokens.iter().zip(&prompt.tokens).take_while(|(a, b)| a == b).count();
            let what = format!("prompt {number} from its token {same} on");
            return require(&what, &quote(&prompt.tokens, same), &quote(prompt_tokens, same));
        }
        let limit = question.max_new_tokens as usize;
        if !is_whole_answer(inference, limit, folder.description.shape.positions, &prompt.stop_tokens) {
            let what = format!("answer {number}");
            let whole = format!("{limit} tokens, or fewer with a token that ends it");
            return require(&what, &whole, &quote(output_tokens, output_tokens.len().saturating_sub(QUOTED)));
        }
    }
    Ok(())
}

fn require(what: &str, asked: &str, stated: &str) -> Result<(), Failure> {
    if asked == stated {
        return Ok(());
    }
    let message = format!("the {what} should be {asked}; the statement says {stated}");
    let hint = "do not use this folder: it is the proof of something else; make a new job";
    Err(Failure::new(ExitCode::SelfVerification, message, hint))
}

/// Some tokens, and how many there are.
fn quote(tokens: &[u32], from: usize) -> String {
    let quoted: Vec<String> = tokens.iter().skip(from).take(QUOTED).map(u32::to_string).collect();
    format!("[{}] of {} tokens", quoted.join(", "), tokens.len())
}
