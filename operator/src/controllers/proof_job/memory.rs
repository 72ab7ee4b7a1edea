//! Memory of the pods of a ProofJob that asks for none.

use obelysk_api::crd::ModelCache;
use obelysk_api::job::{Input, JobKind, ProofMemory};

use super::validate::Valid;
use crate::controllers::job;

/// The program itself, and a margin for what the estimate of a proof leaves out.
const LEAST_MEBIBYTES: i64 = 2048;
/// Letters of a token: English text has four, and a pod that gets too little says so before it starts.
const LETTERS_PER_TOKEN: usize = 3;

/// What a proof takes by the sizes that `prepare` has computed. Where it has computed none, and where nothing is proven, what the
/// weights take.
pub(super) fn memory_for(step: JobKind, cache: &ModelCache, valid: &Valid) -> String {
    let resolved = cache.status.as_ref().and_then(|status| status.resolved.as_ref());
    let computed = resolved.and_then(|resolved| resolved.proof_memory.as_ref()).filter(|_| step == JobKind::Prove);
    match computed.and_then(|memory| mebibytes(memory, valid)) {
        Some(mebibytes) => format!("{}Mi", mebibytes.saturating_add(LEAST_MEBIBYTES)),
        None => {
            let bytes = resolved.and_then(|resolved| resolved.bytes).unwrap_or_default();
            job::memory_for_commitment(bytes, LEAST_MEBIBYTES)
        }
    }
}

/// Of the smallest size that holds all positions; beyond the largest, as many times its memory.
fn mebibytes(memory: &ProofMemory, valid: &Valid) -> Option<i64> {
    let positions = i64::try_from(positions(memory, valid)).ok()?;
    let holds = memory.sizes.iter().find(|size| i64::from(size.positions) >= positions);
    holds.map(|size| size.mebibytes).or_else(|| {
        let largest = memory.sizes.last()?;
        let times = positions.saturating_add(i64::from(largest.positions) - 1) / i64::from(largest.positions.max(1));
        Some(largest.mebibytes.saturating_mul(times))
    })
}

/// About as many as prompts and answers have: all inferences of a proof are as long as the longest.
fn positions(memory: &ProofMemory, valid: &Valid) -> usize {
    let template = if valid.chat { usize::try_from(memory.template_tokens).unwrap_or_default() } else { 1 };
    let tokens = |input: &Input| match input {
        Input::Tokens(tokens) => tokens.len(),
        Input::Prompt(text) => tokens_of(text).saturating_add(template),
    };
    let longest = valid.inputs.iter().map(tokens).max().unwrap_or_default() + valid.max_new_tokens as usize;
    valid.inputs.len() * longest.saturating_sub(1)
}

/// No fewer than most tokenizers make of a text: digits, punctuation and other scripts take up to a token a byte.
fn tokens_of(text: &str) -> usize {
    let letters = text.bytes().filter(|byte| byte.is_ascii_alphabetic() || *byte == b' ').count();
    letters.div_ceil(LETTERS_PER_TOKEN) + text.len() - letters
}

#[cfg(test)]
mod tests {
    use obelysk_api::crd::ProofJobSpec;
    use obelysk_api::crd::model_cache::{ModelCacheStatus, Resolved};
    use obelysk_api::job::ProofSize;

    use super::super::validate::validate;
    use super::*;

    fn job(inference: &str) -> Valid {
        let spec = format!(
            r#"{{"model": {{"preset": {{"name": "tiny-chat"}}}}, "inference": {inference}, "hardware": {{"cpu": {{}}}}}}"#
        );
        let spec: ProofJobSpec = serde_json::from_str(&spec).expect("a specification");
        validate(&spec).expect("a supported one")
    }

    fn cache(resolved: Resolved) -> ModelCache {
        let spec = serde_json::from_str(r#"{"source": {"preset": {"name": "tiny-chat"}}, "storage": {}}"#)
            .expect("a specification");
        let mut cache = ModelCache::new("model", spec);
        cache.status = Some(ModelCacheStatus { resolved: Some(resolved), ..ModelCacheStatus::default() });
        cache
    }

    #[test]
    fn a_proof_gets_what_its_size_takes() {
        let size = |positions, mebibytes| ProofSize { positions, mebibytes };
        let sizes = vec![size(16, 1000), size(48, 8000), size(64, 16000)];
        let cache = cache(Resolved {
            bytes: Some(1 << 30),
            proof_memory: Some(ProofMemory { template_tokens: 28, sizes }),
            ..Resolved::default()
        });
        let memory = |inference: &str| memory_for(JobKind::Prove, &cache, &job(inference));
        // 11 tokens of text, 28 of the template, 8 answers of which the last is never read.
        let question = r#""prompt": "What is the capital of France?", "maxNewTokens": 8"#;
        assert_eq!(memory(&format!(r#"{{{question}, "chat": true}}"#)), "10048Mi");
        assert_eq!(memory(&format!(r#"{{{question}, "chat": false}}"#)), "10048Mi");
        assert_eq!(memory(r#"{"tokens": [1, 2, 3], "maxNewTokens": 8}"#), "3048Mi");
        // Two inferences of 47 positions: one and a half of the largest size.
        let two = r#"{"prompts": ["What is the capital of France?", "Hi"], "maxNewTokens": 10, "chat": true}"#;
        assert_eq!(memory(two), "34048Mi");
    }

    #[test]
    fn what_proves_nothing_gets_what_the_weights_take() {
        let cache = cache(Resolved { bytes: Some(1 << 30), ..Resolved::default() });
        let memory = memory_for(JobKind::Prove, &cache, &job(r#"{"tokens": [1], "maxNewTokens": 1}"#));
        assert_eq!(memory, format!("{}Mi", 2048 + 6 * 1024));
        assert_eq!(memory_for(JobKind::Finish, &cache, &job(r#"{"tokens": [1], "maxNewTokens": 1}"#)), memory);
    }
}
