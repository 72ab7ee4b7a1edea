//! Requests to a hub: redirects followed by hand, so that the token never leaves the hub's host.

use std::io::Read;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client as HttpClient, RequestBuilder, Response};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderMap, LOCATION, RANGE, RETRY_AFTER};
use reqwest::redirect::Policy;
use url::Url;

use crate::backoff::{Attempt, Failed, Patience};
use crate::error::HubError;
use crate::repository::{StatedDigest, is_hex};
use crate::sending::{may_pass, require_sendable, unanswered};

/// Longest chain of redirects.
const REDIRECTS_MAX: usize = 8;

/// Where a hub answers, and the token for it.
#[derive(Clone)]
pub struct Endpoint {
    url: Url,
    token: Option<String>,
}

impl Endpoint {
    /// The public hub.
    pub const DEFAULT: &str = "https://huggingface.co";

    /// A hub at `url`; `token` is sent to its host alone.
    ///
    /// # Errors
    /// [`HubError::BadEndpoint`] for what is no address, [`HubError::BadToken`] for a token that cannot be sent.
    pub fn new(url: &str, token: Option<String>) -> Result<Self, HubError> {
        let bad = || HubError::BadEndpoint(format!("`{url}` is not the address of a hub"));
        let mut url = server(url).ok_or_else(bad)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        token.iter().try_for_each(|token| require_sendable("the hub's token", token))?;
        Ok(Self { url, token })
    }

    /// The address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    fn is_own(&self, url: &Url) -> bool {
        url.scheme() == self.url.scheme()
            && url.host_str() == self.url.host_str()
            && url.port_or_known_default() == self.url.port_or_known_default()
    }
}

/// The token is not printed.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Endpoint").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// A client of one hub.
pub struct Client {
    endpoint: Endpoint,
    http: HttpClient,
    pub(crate) patience: Patience,
}

impl Client {
    /// A client of `endpoint`.
    ///
    /// # Errors
    /// [`HubError::Protocol`] if no secure connections can be made on this machine.
    pub fn new(endpoint: Endpoint, patience: Patience) -> Result<Self, HubError> {
        Ok(Self { endpoint, http: connections(&patience)?, patience })
    }

    /// The address of a path below the endpoint.
    pub(crate) fn address(&self, segments: &[&str]) -> Url {
        let mut url = self.endpoint.url.clone();
        let mut path = url.path_segments_mut().expect("addresses of hubs have paths");
        path.pop_if_empty().extend(segments);
        drop(path);
        url
    }

    /// Ask for `url` from byte `from` on, following redirects. Answers other than success are sorted by what they mean
    /// for `repository`.
    pub(crate) fn get(&self, repository: &str, url: &Url, from: u64) -> Attempt<Response> {
        self.follow(repository, url, |http, url| ask(http, url, from), |_| false)
    }

    /// Length and digest of a file, as far as the hub states them.
    pub(crate) fn describe(&self, repository: &str, url: &Url) -> Attempt<(u64, StatedDigest)> {
        let ask = |http: &HttpClient, url| http.head(url).header(ACCEPT_ENCODING, "identity");
        // Large files lie elsewhere: the hub describes them before it sends one there.
        let linked = |response: &Response| text(response, "X-Linked-Size").is_some();
        self.follow(repository, url, ask, linked).and_then(|response| {
            let length = text(&response, "X-Linked-Size").or_else(|| text(&response, CONTENT_LENGTH.as_str()));
            match length.and_then(|length| length.parse().ok()) {
                Some(length) => Attempt::Done((length, stated(&response))),
                None => Attempt::Hopeless(HubError::Protocol {
                    what: url.to_string(),
                    reason: "an answer without a length".into(),
                }),
            }
        })
    }

    /// Ask for `url`, following redirects up to the first answer that is `enough`.
    fn follow(
        &self,
        repository: &str,
        url: &Url,
        ask: impl Fn(&HttpClient, Url) -> RequestBuilder,
        enough: impl Fn(&Response) -> bool,
    ) -> Attempt<Response> {
        let mut url = url.clone();
        let astray = |reason: String| Attempt::Hopeless(HubError::Protocol { what: repository.to_owned(), reason });
        for _ in 0..REDIRECTS_MAX {
            let mut request = ask(&self.http, url.clone());
            if let Some(token) = self.endpoint.token.as_ref().filter(|_| self.endpoint.is_own(&url)) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = match request.send() {
                Ok(response) => response,
                Err(error) => return unanswered(repository, error),
            };
            if !response.status().is_redirection() {
                return self.sort(repository, &url, response);
            }
            if enough(&response) {
                return Attempt::Done(response);
            }
            match text(&response, LOCATION.as_str()).and_then(|target| url.join(target).ok()) {
                Some(target) => url = target,
                None => return astray(format!("{} without a place to go", response.status())),
            }
        }
        astray(format!("more than {REDIRECTS_MAX} redirects"))
    }

    fn sort(&self, repository: &str, url: &Url, response: Response) -> Attempt<Response> {
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Attempt::Done(response);
        }
        let said = |name: &str| text(&response, name).unwrap_or_default().to_owned();
        let (code, message) = (said("X-Error-Code"), said("X-Error-Message"));
        let own = self.endpoint.is_own(url);
        let repository = repository.to_owned();
        match status {
            // A store's signed address has expired: the hub gives a new one.
            StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST if !own => {
                Attempt::Failed(Failed::new(format!("the store refuses the address ({status})")))
            }
            StatusCode::UNAUTHORIZED if code == "RepoNotFound" => {
                Attempt::Hopeless(HubError::NotFound(format!("there is no repository {repository}, or it is private")))
            }
            StatusCode::UNAUTHORIZED => Attempt::Hopeless(HubError::Unauthorised { repository, message }),
            StatusCode::FORBIDDEN => Attempt::Hopeless(HubError::Gated { repository, message }),
            StatusCode::NOT_FOUND => Attempt::Hopeless(HubError::NotFound(match code.as_str() {
                "RevisionNotFound" => format!("{repository} has no such revision: {message}"),
                "EntryNotFound" => format!("{repository} has no such file: {}", url.path()),
                _ => format!("there is no repository {repository}"),
            })),
            _ if may_pass(status) => Attempt::Failed(Failed {
                reason: format!("status {status} {message}"),
                retry_after: asked(response.headers()),
            }),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Attempt::Hopeless(HubError::Proxy { what: repository, reason: format!("status {status} {message}") })
            }
            _ => Attempt::Hopeless(HubError::Refused { what: repository, status: status.as_u16(), message }),
        }
    }
}

/// The text of a header.
pub(crate) fn text<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The digest in an answer of a hub: other servers have tags of their own making, which say nothing of the content.
fn stated(response: &Response) -> StatedDigest {
    let linked = text(response, "X-Linked-Etag");
    let own = text(response, "X-Repo-Commit").and_then(|_| text(response, ETAG.as_str()));
    match linked.or(own).unwrap_or_default().trim_matches('"') {
        tag if is_hex(tag) && tag.len() == 64 => StatedDigest::Sha256(tag.into()),
        tag if is_hex(tag) && tag.len() == 40 => StatedDigest::Git(tag.into()),
        _ => StatedDigest::Unstated,
    }
}

/// Connections that follow no redirect by themselves.
pub(crate) fn connections(patience: &Patience) -> Result<HttpClient, HubError> {
    // Another part of the program may have chosen its provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpClient::builder()
        .redirect(Policy::none())
        .connect_timeout(patience.stall)
        .timeout(patience.stall)
        .user_agent(concat!("obelysk/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| HubError::Protocol { what: "a client".into(), reason: chain(&error) })
}

/// The address of a server.
pub(crate) fn server(address: &str) -> Option<Url> {
    Url::parse(address).ok().filter(|url| url.has_host() && ["http", "https"].contains(&url.scheme()))
}

/// A request for a file from byte `from` on, as it is stored.
pub(crate) fn ask(http: &HttpClient, url: Url, from: u64) -> RequestBuilder {
    let request = http.get(url).header(ACCEPT_ENCODING, "identity");
    if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request }
}

/// The whole of a short answer for `what`.
pub(crate) fn body(what: &str, response: Response, bytes_max: u64) -> Attempt<Vec<u8>> {
    let mut text = Vec::new();
    match response.take(bytes_max + 1).read_to_end(&mut text) {
        Ok(read) if read as u64 > bytes_max => {
            let reason = format!("an answer of more than {bytes_max} bytes");
            Attempt::Hopeless(HubError::Protocol { what: what.to_owned(), reason })
        }
        Ok(_) => Attempt::Done(text),
        Err(error) => Attempt::Failed(Failed::new(chain(&error))),
    }
}

/// The wait that a busy server asks for, in seconds.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error with everything that caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
