//! What happens to a template's text before it is parsed: line ends, the `generation` tag, and the limits on its size that
//! bound the depth of what is parsed.

/// Longest template, in bytes; the longest published ones have 30,000.
const LENGTH_MAX: usize = 1 << 18;
/// Longest tag or expression, in bytes. A chain of operators is parsed as deep as it is long.
const TAG_MAX: usize = 1 << 14;

/// A tag marks what the assistant says, for training. What is in it has a scope of its own, as in `with`.
const SCOPES: [(&str, &str); 2] = [("generation", "with"), ("endgeneration", "endwith")];

/// The text as the parser reads it, or what is wrong with it.
pub(super) fn prepare(text: &str) -> Result<String, String> {
    if text.len() > LENGTH_MAX {
        return Err(format!("the chat template has {} bytes; at most {LENGTH_MAX} are read", text.len()));
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut prepared = String::with_capacity(text.len());
    let mut rest = text.as_str();
    let mut is_raw = false;
    while let Some(start) = rest.find('{') {
        let (before, tag) = rest.split_at(start);
        prepared.push_str(before);
        let length = match tag.as_bytes().get(1) {
            Some(b'#') if !is_raw => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some(b'{') if !is_raw => length_of_tag(tag, "}}")?,
            Some(b'%') => {
                let length =
                    if is_raw { tag.find("%}").map_or(tag.len(), |end| end + 2) } else { length_of_tag(tag, "%}")? };
                let word = word_of(&tag[..length]);
                match (is_raw, word) {
                    (false, "raw") => is_raw = true,
                    (true, "endraw") => is_raw = false,
                    _ => {}
                }
                let scope = SCOPES.into_iter().find(|(name, _)| !is_raw && *name == word);
                if let Some((name, scope)) = scope {
                    prepared.push_str(&tag[..length].replacen(name, scope, 1));
                    rest = &tag[length..];
                    continue;
                }
                // A raw block ends at a tag, so what only looks like one is read on from its second byte.
                if is_raw { 1 } else { length }
            }
            _ => 1,
        };
        prepared.push_str(&tag[..length]);
        rest = &tag[length..];
    }
    prepared.push_str(rest);
    Ok(prepared)
}

/// Length of a tag up to its `end`, which counts where it is not in a string.
fn length_of_tag(tag: &str, end: &str) -> Result<usize, String> {
    let bytes = tag.as_bytes();
    let mut quote = None;
    let mut place = 2;
    let length = loop {
        match (bytes.get(place), quote) {
            (None, _) => break bytes.len(),
            (Some(b'\\'), Some(_)) => place += 1,
            (Some(byte), Some(open)) if *byte == open => quote = None,
            (Some(byte @ (b'\'' | b'"')), None) => quote = Some(*byte),
            (Some(_), None) if bytes[place..].starts_with(end.as_bytes()) => break place + 2,
            _ => {}
        }
        place += 1;
    };
    if length > TAG_MAX {
        return Err(format!("an expression of the chat template has {length} bytes; at most {TAG_MAX} are read"));
    }
    Ok(length)
}

/// The first word of a tag.
fn word_of(tag: &str) -> &str {
    let inner = tag[2..].trim_start_matches(['-', '+']).trim_start();
    let end = inner.find(|character: char| !(character.is_alphanumeric() || character == '_'));
    &inner[..end.unwrap_or(inner.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_tag_becomes_a_scope_wherever_it_is_a_tag() {
        let text = "{%- generation -%}{{ '{% generation %}' }}{% raw %}{% generation %}{% endraw %}{# {% generation %} #}{% endgeneration %}";
        let prepared = "{%- with -%}{{ '{% generation %}' }}{% raw %}{% generation %}{% endraw %}{# {% generation %} #}{% endwith %}";
        assert_eq!(prepare(text).unwrap(), prepared);
    }

    #[test]
    fn what_is_no_whole_tag_is_kept() {
        for text in ["{", "{%", "{{ 'a", "{# a", "a { b", "{% raw %}{", "{% é %}"] {
            assert_eq!(prepare(text).unwrap(), text);
        }
    }
}
