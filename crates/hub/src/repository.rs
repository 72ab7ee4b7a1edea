//! What a repository holds at a revision.

use std::fmt;
use std::str::FromStr;

use reqwest::header::LINK;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::backoff::Attempt;
use crate::client::{Client, body};
use crate::error::HubError;

/// A repository, and a branch, tag or commit of it: `organisation/name` or `organisation/name@revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Organisation.
    pub organisation: String,
    /// Name.
    pub name: String,
    /// Branch, tag or commit.
    pub revision: String,
}

/// A pinned revision and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Commit, 40 hex digits.
    pub commit: String,
    /// All files.
    pub files: Vec<RemoteFile>,
}

/// A file as the hub describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Path in the repository.
    pub path: String,
    /// Length; 0 while only a list names the file, see [`Store::measure`](crate::Store::measure).
    pub bytes: u64,
    /// Digest of the content.
    pub digest: StatedDigest,
}

/// The digest that the hub states for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatedDigest {
    /// SHA-256 of a large file.
    Sha256(String),
    /// Git's object id of a small one: SHA-1 of `blob`, the length, a zero byte and the content.
    Git(String),
    /// A mirror states none.
    Unstated,
}

/// Longest answer in JSON: a page describes at most a few thousand files.
const JSON_BYTES_MAX: u64 = 16 << 20;
/// Most files and pages that are read of a repository.
const PAGES_MAX: usize = 1000;

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    oid: String,
    size: u64,
}

impl Reference {
    /// `organisation/name`.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.organisation, self.name)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}@{}", self.organisation, self.name, self.revision)
    }
}

impl FromStr for Reference {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        let bad = || HubError::BadReference(format!("`{text}` does not name a repository"));
        let (organisation, name) = repository.split_once('/').ok_or_else(bad)?;
        // The names that the hub allows; they become names of folders.
        let plain = |part: &str| {
            !part.is_empty()
                && part.len() <= 96
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                && !part.starts_with('.')
                && !part.contains("..")
                && !part.contains("--")
        };
        if !plain(organisation) || !plain(name) {
            return Err(bad());
        }
        if !is_revision(revision) {
            return Err(HubError::BadReference(format!("`{revision}` in `{text}` is no branch, tag or commit")));
        }
        // The digits of a commit may be of either case.
        let is_commit = revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit());
        let revision = if is_commit { revision.to_ascii_lowercase() } else { revision.into() };
        Ok(Self { organisation: organisation.into(), name: name.into(), revision })
    }
}

/// Whether Git allows a name for a branch or tag. It becomes a part of addresses and of file names.
fn is_revision(name: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\\~^:?*[".contains(c);
    name.len() <= 256
        && !name.contains(odd)
        && !name.contains("..")
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

impl Client {
    /// Pin a reference to a commit and list its files.
    ///
    /// # Errors
    /// What the hub answers, or that it cannot be reached.
    pub fn revision(&self, reference: &Reference) -> Result<Revision, HubError> {
        let repository = reference.repository();
        let info =
            self.address(&["api", "models", &reference.organisation, &reference.name, "revision", &reference.revision]);
        let (info, _): (Info, _) = self.json(&repository, &info)?;
        let commit = info.sha;
        if commit.len() != 40 || !is_hex(&commit) {
            let reason = format!("`{commit}` is not a commit");
            return Err(HubError::Protocol { what: reference.to_string(), reason });
        }
        let mut files = match self.tree(reference, &commit) {
            // A mirror without that address still lists names with the commit.
            Err(HubError::NotFound(_) | HubError::Refused { .. }) if !info.siblings.is_empty() => {
                let name =
                    |sibling: Sibling| RemoteFile { path: sibling.rfilename, bytes: 0, digest: StatedDigest::Unstated };
                info.siblings.into_iter().map(name).collect()
            }
            listed => listed?,
        };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Revision { commit, files })
    }

    /// All files of a commit with their digests.
    fn tree(&self, reference: &Reference, commit: &str) -> Result<Vec<RemoteFile>, HubError> {
        let repository = reference.repository();
        let tree = ["api", "models", &reference.organisation, &reference.name, "tree", commit];
        let mut next = Some(self.address(&tree));
        if let Some(url) = &mut next {
            url.set_query(Some("recursive=true"));
        }
        let mut files = Vec::new();
        for _ in 0..PAGES_MAX {
            let Some(url) = next else { break };
            let (entries, link): (Vec<Entry>, _) = self.json(&repository, &url)?;
            for entry in entries.into_iter().filter(|entry| entry.kind == "file") {
                files.push(entry.check(&repository)?);
            }
            next = link.and_then(|link| url.join(&link).ok());
        }
        Ok(files)
    }

    /// Ask for JSON; also returns the address of the next page.
    fn json<T: DeserializeOwned>(&self, repository: &str, url: &Url) -> Result<(T, Option<String>), HubError> {
        let (text, link) = self.patience.persist(url.as_str(), || {
            let attempt = self.get(repository, url, 0).and_then(|response| {
                let link = response.headers().get(LINK).and_then(|link| link.to_str().ok()).and_then(next_page);
                body(url.as_str(), response, JSON_BYTES_MAX).and_then(|text| Attempt::Done((text, link)))
            });
            (attempt, false)
        })?;
        let parsed = serde_json::from_slice(&text)
            .map_err(|error| HubError::Protocol { what: url.to_string(), reason: error.to_string() })?;
        Ok((parsed, link))
    }
}

/// The target of `rel="next"` in a `Link` header (RFC 8288).
fn next_page(header: &str) -> Option<String> {
    let link = header.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, rest) = link.split_once('<')?;
    rest.split_once('>').map(|(target, _)| target.to_owned())
}

pub(crate) fn is_hex(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
}

impl Entry {
    fn check(self, repository: &str) -> Result<RemoteFile, HubError> {
        let (digest, bytes) = match self.lfs {
            Some(LargeFile { oid, size }) => (StatedDigest::Sha256(oid), size),
            None => (StatedDigest::Git(self.oid), self.size),
        };
        let sane = match &digest {
            StatedDigest::Sha256(digest) => digest.len() == 64 && is_hex(digest),
            StatedDigest::Git(digest) => digest.len() == 40 && is_hex(digest),
            StatedDigest::Unstated => false,
        };
        if sane {
            Ok(RemoteFile { path: self.path, bytes, digest })
        } else {
            let what = format!("{repository}/{}", self.path);
            Err(HubError::Protocol { what, reason: format!("{digest:?} is not a digest") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_repository_and_a_revision() {
        let reference: Reference = "Qwen/Qwen3-0.6B@v1.0".parse().unwrap();
        assert_eq!(reference.to_string(), "Qwen/Qwen3-0.6B@v1.0");
        assert_eq!("a/b".parse::<Reference>().unwrap().revision, "main");
        for bad in ["", "a", "/b", "a/", "a/b/c", "../b", "a/..", "a/b@", "a b/c", "a/b@x y", "a/b--c", ".a/b"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn revisions_that_would_drop_out_of_an_address_are_refused() {
        for bad in ["..", ".", "a/../b", "a//b", "/a", "a/", "a/.b", "a\\b", "a\0b", "v1..v2"] {
            let error = format!("a/b@{bad}").parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains("is no branch, tag or commit"), "{bad}: {error}");
        }
        assert_eq!("a/b@refs/pr/1".parse::<Reference>().unwrap().revision, "refs/pr/1");
    }

    #[test]
    fn a_commit_is_one_in_either_case() {
        let commit = "C0FFEE1234".repeat(4);
        let reference: Reference = format!("a/b@{commit}").parse().unwrap();
        assert_eq!(reference.revision, commit.to_lowercase());
        assert_eq!("a/b@V1".parse::<Reference>().unwrap().revision, "V1");
    }

    #[test]
    fn the_next_page_is_found_in_the_link_header() {
        let header = r#"<https://hub/x?cursor=0>; rel="first", <https://hub/x?cursor=2>; rel="next""#;
        assert_eq!(next_page(header).as_deref(), Some("https://hub/x?cursor=2"));
        assert_eq!(next_page(r#"<https://hub/x>; rel="prev""#), None);
    }
}
