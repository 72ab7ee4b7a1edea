//! Requests to a hub: redirects followed by hand, so that the token never leaves the hub's host.

use std::io::Read;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client as HttpClient, RequestBuilder, Response};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, LOCATION, RANGE, RETRY_AFTER};
use reqwest::redirect::Policy;
use url::Url;

use crate::backoff::{Attempt, Failed, Patience};
use crate::error::HubError;

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
    /// [`HubError::BadReference`] for what is no address.
    pub fn new(url: &str, token: Option<String>) -> Result<Self, HubError> {
        let bad = || HubError::BadReference(format!("`{url}` is not the address of a hub"));
        let mut url = server(url).ok_or_else(bad)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
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
        let mut url = url.clone();
        for _ in 0..REDIRECTS_MAX {
            let mut request = ask(&self.http, url.clone(), from);
            if let Some(token) = self.endpoint.token.as_ref().filter(|_| self.endpoint.is_own(&url)) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = match request.send() {
                Ok(response) => response,
                Err(error) => return Attempt::Failed(Failed::new(chain(&error))),
            };
            if !response.status().is_redirection() {
                return self.sort(repository, &url, response);
            }
            let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match target.and_then(|target| url.join(target).ok()) {
                Some(target) => url = target,
                None => return Attempt::Failed(Failed::new(format!("{} without a place to go", response.status()))),
            }
        }
        Attempt::Failed(Failed::new("too many redirects"))
    }

    fn sort(&self, repository: &str, url: &Url, response: Response) -> Attempt<Response> {
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Attempt::Done(response);
        }
        let headers = response.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (code, message) = (text("X-Error-Code"), text("X-Error-Message"));
        let own = self.endpoint.is_own(url);
        let repository = repository.to_owned();
        match status {
            // A store's signed address has expired: the hub gives a new one.
            StatusCode::FORBIDDEN if !own => Attempt::Failed(Failed::new("the store refuses the address (403)")),
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
            _ => Attempt::Failed(Failed { reason: format!("status {status} {message}"), retry_after: asked(headers) }),
        }
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

/// The whole of a short answer.
pub(crate) fn body(response: Response, bytes_max: u64) -> Attempt<Vec<u8>> {
    let mut text = Vec::new();
    match response.take(bytes_max + 1).read_to_end(&mut text) {
        Ok(read) if read as u64 > bytes_max => {
            Attempt::Failed(Failed::new(format!("an answer of more than {bytes_max} bytes")))
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
