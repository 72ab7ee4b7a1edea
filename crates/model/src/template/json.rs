//! The filter `tojson` of chat templates: the text of Python's `json.dumps`, which escapes nothing for HTML.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// Deepest value that is written.
const DEPTH_MAX: usize = 200;

/// `value | tojson(ensure_ascii, indent, separators, sort_keys)`.
pub(super) fn tojson(value: Value, positional: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let mut options =
        ["ensure_ascii", "indent", "separators", "sort_keys"].into_iter().zip(0..).map(|(name, place)| {
            let given = positional
                .get(place)
                .cloned()
                .map_or_else(|| named.get::<Option<Value>>(name), |value| Ok(Some(value)));
            given.map(|given| given.filter(|value| !value.is_none()))
        });
    let mut option = || options.next().expect("there are four");
    let (ascii, indent, separators, sort) = (option()?, option()?, option()?, option()?);
    named.assert_all_used()?;
    let indent = indent.map(|indent| match indent.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => usize::try_from(indent).map(|width| " ".repeat(width.min(DEPTH_MAX))),
    });
    let indent = indent.transpose()?;
    let usual = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    let (item, key) = match separators {
        Some(pair) => (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string()),
        None => usual,
    };
    let is_set = |option: Option<Value>| option.is_some_and(|value| value.is_true());
    let mut writer = Writer { text: String::new(), ascii: is_set(ascii), indent, item, key, sort: is_set(sort) };
    writer.value(&value, 0)?;
    Ok(writer.text)
}

struct Writer {
    text: String,
    ascii: bool,
    indent: Option<String>,
    /// Between items.
    item: String,
    /// Between a key and its value.
    key: String,
    sort: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson of more than {DEPTH_MAX} levels")));
        }
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => self.text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.text.push_str(&value.to_string()),
            ValueKind::Number => self.text.push_str(&number(f64::try_from(value.clone())?)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.container(['[', ']'], &items, depth, |writer, item| writer.value(item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort {
                    keys.sort_by_cached_key(ToString::to_string);
                }
                self.container(['{', '}'], &keys, depth, |writer, key| {
                    match key.kind() {
                        ValueKind::String => writer.string(key.as_str().unwrap_or_default()),
                        ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                            writer.text.push('"');
                            writer.value(key, depth + 1)?;
                            writer.text.push('"');
                        }
                        kind => return Err(unwritable(kind)),
                    }
                    let separator = writer.key.clone();
                    writer.text.push_str(&separator);
                    writer.value(&value.get_item(key)?, depth + 1)
                })?;
            }
            kind => return Err(unwritable(kind)),
        }
        Ok(())
    }

    fn container(
        &mut self,
        [open, close]: [char; 2],
        items: &[Value],
        depth: usize,
        mut write: impl FnMut(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.text.push(open);
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                let separator = self.item.clone();
                self.text.push_str(&separator);
            }
            self.new_line(depth + 1);
            write(self, item)?;
        }
        if !items.is_empty() {
            self.new_line(depth);
        }
        self.text.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.text.push('\n');
            self.text.push_str(&indent.repeat(depth));
        }
    }

    fn string(&mut self, string: &str) {
        self.text.push('"');
        for character in string.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                ' '..='~' => self.text.push(character),
                '\u{7f}'.. if !self.ascii => self.text.push(character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(self.text, "\\u{unit:04x}").expect("text takes what is written");
                    }
                }
            }
        }
        self.text.push('"');
    }
}

fn unwritable(kind: ValueKind) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson of what has no JSON form ({kind})"))
}

/// A number as Python writes it: the shortest digits that read back as the same number.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
    match exponent.parse::<i32>().expect("exponents are whole") {
        -4..=15 if value.fract() == 0.0 => format!("{value:.1}"),
        -4..=15 => value.to_string(),
        exponent => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let cases = [(1.0, "1.0"), (0.5, "0.5"), (1e16, "1e+16"), (1e15, "1000000000000000.0"), (1e-4, "0.0001")];
        for (value, text) in cases.into_iter().chain([(1.5e-5, "1.5e-05"), (-2.5e300, "-2.5e+300"), (0.0, "0.0")]) {
            assert_eq!(number(value), text);
        }
    }
}
