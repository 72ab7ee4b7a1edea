//! Folders of a bucket that is reached through the S3 interface. A bucket states no digests that could be relied on, so the
//! folder holds `SHA256SUMS` beside the model's files, as `sha256sum * > SHA256SUMS` writes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client as HttpClient, Response};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use rusty_s3::actions::{GetObject, HeadObject, S3Action};
use rusty_s3::{Bucket as Signer, Credentials, UrlStyle};
use serde::{Deserialize, Serialize};

use crate::backoff::{Attempt, Failed, Patience};
use crate::client::{ask, asked, body, connections, server};
use crate::error::HubError;
use crate::repository::{RemoteFile, StatedDigest, is_hex};
use crate::sending::{may_pass, require_sendable, unanswered};

/// Name of the file with the digests.
const SUMS: &str = "SHA256SUMS";
/// No list of a model's files is longer.
const SUMS_BYTES_MAX: u64 = 4 << 20;
/// How long a signed address is good for: long enough for one answer to begin.
const SIGNED_FOR: Duration = Duration::from_secs(900);

/// A folder of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// The folder, without slashes at its ends; empty for the bucket itself.
    #[serde(default)]
    pub prefix: String,
    /// Address of the server; absent for AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region; `us-east-1` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(formatter, "s3://{}{slash}{}", self.bucket, self.prefix)
    }
}

/// `s3://BUCKET/PREFIX`.
impl FromStr for Location {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let bad = || HubError::BadLocation(format!("`{text}` is not a folder of a bucket: write s3://BUCKET/FOLDER"));
        let path = text.strip_prefix("s3://").ok_or_else(bad)?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let location =
            Self { bucket: bucket.into(), prefix: prefix.trim_matches('/').into(), endpoint: None, region: None };
        if location.is_plain() { Ok(location) } else { Err(bad()) }
    }
}

impl Location {
    fn is_plain(&self) -> bool {
        let bucket = &self.bucket;
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let parts = self.prefix.split('/');
        let hidden = |part: &str| part.starts_with('.') || (part.is_empty() && !self.prefix.is_empty());
        (3..=63).contains(&bucket.len())
            && bucket.chars().all(allowed)
            && !bucket.starts_with('.')
            && !parts.into_iter().any(hidden)
    }
}

/// An access key.
#[derive(Clone)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Token of a session, where the key is temporary.
    pub session_token: Option<String>,
}

/// The secret is not printed.
impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl AccessKey {
    /// Line breaks around a part come from the files that keep it.
    fn credentials(&self) -> Result<Credentials, HubError> {
        let part = |name: &str, text: &str| {
            let text = text.trim();
            require_sendable(name, text).map(|()| text.to_owned())
        };
        let (id, secret) = (part("AWS_ACCESS_KEY_ID", &self.id)?, part("AWS_SECRET_ACCESS_KEY", &self.secret)?);
        Ok(match &self.session_token {
            Some(token) => Credentials::new_with_token(id, secret, part("AWS_SESSION_TOKEN", token)?),
            None => Credentials::new(id, secret),
        })
    }
}

/// A client of one folder.
pub struct Bucket {
    location: Location,
    signer: Signer,
    credentials: Option<Credentials>,
    http: HttpClient,
    pub(crate) patience: Patience,
}

impl Bucket {
    /// A client of `location`; without a key only public buckets answer.
    ///
    /// # Errors
    /// [`HubError::BadLocation`] for what is no bucket or no address, [`HubError::BadToken`] for a key that is none.
    pub fn new(location: Location, key: Option<AccessKey>, patience: Patience) -> Result<Self, HubError> {
        let bad = |reason: String| HubError::BadLocation(format!("{location}: {reason}"));
        if !location.is_plain() {
            return Err(bad("this is not the name of a bucket and a folder".into()));
        }
        let region = location.region.clone().unwrap_or_else(|| "us-east-1".into());
        let (endpoint, style) = match &location.endpoint {
            Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
            None => (format!("https://s3.{region}.amazonaws.com"), UrlStyle::VirtualHost),
        };
        let url = server(&endpoint).ok_or_else(|| bad(format!("`{endpoint}` is not the address of a server")))?;
        let signer =
            Signer::new(url, style, location.bucket.clone(), region).map_err(|error| bad(error.to_string()))?;
        let credentials = key.map(|key| key.credentials()).transpose()?;
        Ok(Self { location, signer, credentials, http: connections(&patience)?, patience })
    }

    /// The folder.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The files that `SHA256SUMS` lists, with their digests. It says nothing of lengths: see [`Store::measure`].
    ///
    /// # Errors
    /// The bucket does not answer, refuses, or lacks `SHA256SUMS`.
    ///
    /// [`Store::measure`]: crate::Store::measure
    pub fn files(&self) -> Result<Vec<RemoteFile>, HubError> {
        let what = format!("{}/{SUMS}", self.location);
        let ask = || (self.get(SUMS, 0).and_then(|sums| body(&what, sums, SUMS_BYTES_MAX)), false);
        let text = self.patience.persist(&what, ask)?;
        parse_sums(&text).map_err(|reason| HubError::Protocol { what, reason })
    }

    /// Length of a file.
    pub(crate) fn length(&self, path: &str) -> Attempt<u64> {
        let key = self.key(path);
        let url = HeadObject::new(&self.signer, self.credentials.as_ref(), &key).sign(SIGNED_FOR);
        let response = match self.http.head(url).header(ACCEPT_ENCODING, "identity").send() {
            Ok(response) => response,
            Err(error) => return unanswered(&self.location.to_string(), error),
        };
        self.sort(path, response).and_then(|response| {
            let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            match length.and_then(|length| length.parse().ok()) {
                Some(length) => Attempt::Done(length),
                None => Attempt::Failed(Failed::new("an answer without a length")),
            }
        })
    }

    /// Ask for a file from byte `from` on.
    pub(crate) fn get(&self, path: &str, from: u64) -> Attempt<Response> {
        let key = self.key(path);
        let url = GetObject::new(&self.signer, self.credentials.as_ref(), &key).sign(SIGNED_FOR);
        match ask(&self.http, url, from).send() {
            Ok(response) => self.sort(path, response),
            Err(error) => unanswered(&self.location.to_string(), error),
        }
    }

    fn key(&self, path: &str) -> String {
        if self.location.prefix.is_empty() { path.into() } else { format!("{}/{path}", self.location.prefix) }
    }

    fn sort(&self, path: &str, response: Response) -> Attempt<Response> {
        let status = response.status();
        let place = self.location.to_string();
        match status {
            _ if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE => Attempt::Done(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Attempt::Hopeless(HubError::BucketRefuses { place, status: status.as_u16() })
            }
            StatusCode::NOT_FOUND => Attempt::Hopeless(HubError::BucketLacks { place, file: path.into() }),
            _ if status.is_redirection() => {
                let reason = format!("{status}: the bucket is in another region or at another address");
                Attempt::Hopeless(HubError::BadLocation(format!("{place}: {reason}")))
            }
            _ if may_pass(status) => {
                Attempt::Failed(Failed { reason: format!("status {status}"), retry_after: asked(response.headers()) })
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Attempt::Hopeless(HubError::Proxy { what: place, reason: format!("status {status}") })
            }
            _ => {
                // The code in the answer's XML, such as ExpiredToken.
                let message = response.text().ok().and_then(|text| code(&text)).unwrap_or_default();
                Attempt::Hopeless(HubError::Refused { what: place, status: status.as_u16(), message })
            }
        }
    }
}

/// The code of an error of the S3 interface.
fn code(answer: &str) -> Option<String> {
    let code = answer.split_once("<Code>")?.1.split_once("</Code>")?.0;
    (code.len() <= 100).then(|| code.to_owned())
}

/// Lines `DIGEST  NAME` or `DIGEST *NAME`. Lengths are not known yet.
fn parse_sums(text: &[u8]) -> Result<Vec<RemoteFile>, String> {
    let text = str::from_utf8(text).map_err(|error| error.to_string())?;
    let parse = |line: &str| {
        let (digest, name) = line.split_once(' ').unwrap_or_default();
        let name = name.strip_prefix([' ', '*']).unwrap_or_default();
        let name = name.strip_prefix("./").unwrap_or(name);
        if digest.len() != 64 || !is_hex(digest) || name.is_empty() {
            return Err(format!("`{}` is not a line of sha256sum", line.chars().take(100).collect::<String>()));
        }
        Ok(RemoteFile { path: name.into(), bytes: 0, digest: StatedDigest::Sha256(digest.into()) })
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_written_as_addresses() {
        let location: Location = "s3://models/qwen/0.6b/".parse().unwrap();
        assert_eq!((location.bucket.as_str(), location.prefix.as_str()), ("models", "qwen/0.6b"));
        assert_eq!(location.to_string(), "s3://models/qwen/0.6b");
        assert_eq!("s3://models".parse::<Location>().unwrap().prefix, "");
        for bad in ["models/x", "s3://", "s3://M/x", "s3://models/../x", "s3://models/a//b", "http://models/x"] {
            assert!(bad.parse::<Location>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sums_are_read_as_sha256sum_writes_them() {
        let digest = "ab".repeat(32);
        let files = parse_sums(format!("{digest}  config.json\n{digest} *./model.safetensors\n\n").as_bytes()).unwrap();
        assert_eq!(
            files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            ["config.json", "model.safetensors"]
        );
        for bad in ["config.json", &format!("{digest}config.json"), &format!("{}  x", digest.to_uppercase())] {
            assert!(parse_sums(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let key = AccessKey { id: "id".into(), secret: "hush".into(), session_token: Some("hush".into()) };
        assert!(!format!("{key:?}").contains("hush"));
    }
}
