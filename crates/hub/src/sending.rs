//! What it means that a request was not sent, or was answered with a failure: a nuisance that passes, or not.

use std::error::Error;
use std::io;

use reqwest::StatusCode;

use crate::backoff::{Attempt, Failed};
use crate::client::chain;
use crate::error::HubError;

/// The outcome of a request for `what` that got no answer. The address is left out of messages: a signed one is a secret.
pub(crate) fn unanswered<T>(what: &str, error: reqwest::Error) -> Attempt<T> {
    let error = error.without_url();
    let (what, reason) = (what.to_owned(), chain(&error));
    if error.is_builder() {
        return Attempt::Hopeless(HubError::Protocol { what, reason });
    }
    if error.is_connect() {
        // The addresses themselves have been checked, so that a scheme that is refused is a proxy's.
        if reason.contains("unsupported scheme") || is_refused_tunnel(&reason) {
            return Attempt::Hopeless(HubError::Proxy { what, reason });
        }
        if is_of_tls(&error) {
            return Attempt::Hopeless(HubError::Insecure { what, reason });
        }
    }
    Attempt::Failed(Failed::new(reason))
}

/// Whether a proxy answered the request for a tunnel, and not with one.
fn is_refused_tunnel(reason: &str) -> bool {
    ["tunnel error: proxy authorization required", "tunnel error: unsuccessful"].iter().any(|end| reason.contains(end))
}

/// Whether an error comes from TLS itself, rather than from the connection below it.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    // The error inside of one of input and output is not its source.
    let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || inside.is_some_and(|error| is_of_tls(error)) || error.source().is_some_and(is_of_tls)
}

/// Whether the same request may be answered otherwise later.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    match status.as_u16() {
        // Timeouts and limits.
        408 | 425 | 429 => true,
        // Not implemented, no such version, log in to the network first.
        501 | 505 | 511 => false,
        _ => status.is_server_error(),
    }
}

/// Refuse a secret that no request can carry. Nothing of it is told but the place.
pub(crate) fn require_sendable(name: &str, secret: &str) -> Result<(), HubError> {
    match secret.chars().position(|c| !c.is_ascii_graphic()) {
        None => Ok(()),
        Some(place) => {
            let count = secret.chars().count();
            let reason = "is a line break, a blank or no ASCII: no request can carry it";
            Err(HubError::BadToken(format!("{name}: character {} of {count} {reason}", place + 1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statuses_that_pass_are_asked_again() {
        let pass = |status: &u16| may_pass(StatusCode::from_u16(*status).unwrap());
        assert!([408, 425, 429, 500, 502, 503, 504].iter().all(pass));
        assert!(![400, 404, 405, 407, 410, 418, 451, 501, 505, 511].iter().any(pass));
    }

    #[test]
    fn a_secret_with_a_line_break_is_named_and_not_told() {
        let error = require_sendable("the token", "hf_abc\nhf_def").unwrap_err().to_string();
        assert!(error.contains("the token: character 7 of 13") && !error.contains("hf_"), "{error}");
        require_sendable("the token", "hf_abc").unwrap();
    }
}
