//! What templates may call: the functions that `transformers` adds to Jinja, and methods of Python's strings.

use std::fmt;

use jiff::Zoned;
use minijinja::value::{ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::json::tojson;

/// The template's own word that it does not take a conversation.
#[derive(Debug)]
pub(super) struct Refusal;

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("the template refuses the conversation")
    }
}

impl std::error::Error for Refusal {}

/// Add them to an environment where it is `now`.
pub(super) fn add_to(environment: &mut Environment, now: &Zoned) {
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message).with_source(Refusal))
    });
    let now = now.clone();
    environment.add_function("strftime_now", move |format: String| -> Result<String, Error> {
        jiff::fmt::strtime::format(&format, &now)
            .map_err(|error| Error::new(ErrorKind::UnknownFunction, format!("strftime_now of `{format}`: {error}")))
    });
    environment.set_unknown_method_callback(method);
}

fn method(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let known = if value.kind() == ValueKind::String {
        of_string(value.as_str().unwrap_or_default(), name, arguments)?
    } else {
        None
    };
    match known {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

/// The methods that the library of Python's methods lacks or has otherwise.
fn of_string(string: &str, name: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    let parts = |cut: Option<(&str, &str)>, separator: &str, otherwise: [&str; 3]| {
        let parts = cut.map_or(otherwise, |(before, after)| [before, separator, after]);
        Value::from_iter(parts.map(Value::from))
    };
    Ok(Some(match name {
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            Value::from(string.strip_prefix(prefix).unwrap_or(string))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            Value::from(string.strip_suffix(suffix).unwrap_or(string))
        }
        // A letter after anything but a letter begins a word, after an apostrophe too.
        "title" => {
            let () = from_args(arguments)?;
            let mut titled = String::with_capacity(string.len());
            let mut in_word = false;
            for letter in string.chars() {
                if in_word {
                    titled.extend(letter.to_lowercase())
                } else {
                    titled.extend(letter.to_uppercase())
                }
                in_word = letter.is_alphabetic();
            }
            Value::from(titled)
        }
        "partition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            parts(string.split_once(separator), separator, [string, "", ""])
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            parts(string.rsplit_once(separator), separator, ["", "", string])
        }
        "rsplit" => {
            let (separator, most): (&str, Option<i64>) = from_args(arguments)?;
            let most =
                most.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |most| most.saturating_add(1));
            let mut pieces: Vec<&str> = string.rsplitn(most, separator).collect();
            pieces.reverse();
            Value::from_iter(pieces.into_iter().map(Value::from))
        }
        _ => return Ok(None),
    }))
}
