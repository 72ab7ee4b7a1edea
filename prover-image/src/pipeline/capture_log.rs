//! The chained log of captured inferences: `hash = H(prev || line without hash)`, starting from the session's facts,
//! so that no entry can be changed, dropped or moved without changing the head.

use serde::{Deserialize, Serialize};

/// `log/meta.json`: what all entries of a session have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionFacts {
    /// Version of the integer semantics.
    pub specification: u32,
    /// The model's digest.
    pub model_digest: String,
    /// Longest answer, in tokens.
    pub max_new_tokens: u32,
    /// Tokens that end an answer.
    pub stop_tokens: Vec<u32>,
}

/// One line of `log/log.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Position in the log.
    pub index: u32,
    /// Prompt token ids.
    pub prompt_tokens: Vec<u32>,
    /// Output token ids.
    pub output_tokens: Vec<u32>,
    /// First byte in `log/matrices.bin` of the integer logits of the output rows, i32 little-endian.
    pub matrix_offset: u64,
    /// Their shape: rows, vocabulary.
    pub matrix_shape: [u32; 2],
    /// BLAKE3 of their bytes.
    pub matrix_digest: String,
    /// Hash of the line before, or of the session's facts.
    pub prev: String,
}

/// An entry with its hash, as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    entry: Entry,
    hash: String,
}

/// What the chain starts from.
#[must_use]
pub fn start(facts: &SessionFacts) -> String {
    let text = serde_json::to_vec(facts).expect("plain data has a JSON form");
    hex::encode(blake3::Hasher::new_derive_key("obelysk 2026 capture session").update(&text).finalize().as_bytes())
}

/// Append an entry; its hash is the new head.
#[must_use]
pub fn append(log: &mut String, entry: &Entry) -> String {
    let hash = hash(entry);
    // Written by hand around the canonical form, so that the file shows the very bytes that are hashed.
    let text = canonical(entry);
    let body = text.strip_suffix('}').expect("an object ends with a brace");
    log.push_str(&format!("{body},\"hash\":\"{hash}\"}}\n"));
    hash
}

/// Parse a log and check its chain. Returns the entries and the head.
///
/// # Errors
/// Says which line breaks the chain and how.
pub fn parse(facts: &SessionFacts, text: &str) -> Result<(Vec<Entry>, String), String> {
    let mut head = start(facts);
    let mut entries = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let broken = |reason: String| format!("line {}: {reason}", index + 1);
        let entry = parse_line(text).map_err(broken)?;
        if entry.index as usize != index {
            return Err(broken(format!("it carries index {}", entry.index)));
        }
        if entry.prev != head {
            return Err(broken("`prev` is not the hash of what is before it".into()));
        }
        head = hash(&entry);
        entries.push(entry);
    }
    Ok((entries, head))
}

fn parse_line(text: &str) -> Result<Entry, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut canonical_line = String::new();
    if append(&mut canonical_line, &line.entry) != line.hash {
        return Err("`hash` does not match the line".into());
    }
    // A second spelling of the same entry would be a byte of the log that the chain does not cover.
    if canonical_line.trim_end() != text {
        return Err("it is not in canonical form".into());
    }
    Ok(line.entry)
}

fn canonical(entry: &Entry) -> String {
    serde_json::to_string(entry).expect("plain data has a JSON form")
}

fn hash(entry: &Entry) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("obelysk 2026 capture log");
    hasher.update(entry.prev.as_bytes()).update(canonical(entry).as_bytes());
    hex::encode(hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> SessionFacts {
        SessionFacts { specification: 1, model_digest: "aa".into(), max_new_tokens: 4, stop_tokens: vec![2] }
    }

    fn log_of_two() -> (String, String) {
        let mut log = String::new();
        let mut prev = start(&facts());
        for index in 0..2 {
            let entry = Entry {
                index,
                prompt_tokens: vec![1, 88],
                output_tokens: vec![7 + index],
                matrix_offset: 0,
                matrix_shape: [1, 512],
                matrix_digest: "cc".into(),
                prev,
            };
            prev = append(&mut log, &entry);
        }
        (log, prev)
    }

    #[test]
    fn a_written_log_is_read_back_with_its_head() {
        let (log, head) = log_of_two();
        let (entries, read_head) = parse(&facts(), &log).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(read_head, head);
    }

    #[test]
    fn every_changed_byte_of_a_log_is_noticed() {
        let (log, head) = log_of_two();
        for position in 0..log.len() - 1 {
            let mut changed = log.clone().into_bytes();
            changed[position] = if changed[position] == b'1' { b'2' } else { b'1' };
            let Ok(changed) = String::from_utf8(changed) else { continue };
            if let Ok((_, changed_head)) = parse(&facts(), &changed) {
                assert_ne!(changed_head, head, "byte {position} is not covered");
            }
        }
    }

    #[test]
    fn a_log_of_another_session_does_not_parse() {
        let (log, _) = log_of_two();
        let other = SessionFacts { max_new_tokens: 5, ..facts() };
        assert!(parse(&other, &log).unwrap_err().contains("line 1"));
    }

    #[test]
    fn dropping_the_first_line_breaks_the_chain() {
        let (log, _) = log_of_two();
        let rest = log.split_once('\n').unwrap().1;
        assert!(parse(&facts(), rest).unwrap_err().contains("index"));
    }
}
