//! Answers to requests, and how faults change them.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Path, Query, State as Shared};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LINK, LOCATION, RANGE, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::faults::{Faults, Ranges, take};
use crate::repository::{Entry, Repository};
use crate::{Request, State};

/// By then a server that has nothing else to send has sent what it has.
const FLUSHED: Duration = Duration::from_millis(50);
/// Bytes per piece of an answer.
const PIECE: u64 = 1 << 16;

type Names = (String, String);
/// A refusal is boxed: it is large, and rare.
pub(crate) type Answer = Result<Response, Refusal>;

/// An answer other than what was asked for.
pub(crate) struct Refusal(Box<Response>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl<T: Into<Response>> From<T> for Refusal {
    fn from(response: T) -> Self {
        Self(Box::new(response.into()))
    }
}

pub(crate) async fn set_faults(Shared(state): Shared<Arc<State>>, Json(faults): Json<Faults>) -> Json<Value> {
    *state.faults.lock().expect("requests do not panic") = faults;
    Json(json!({}))
}

pub(crate) async fn take_log(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    Json(json!(std::mem::take(&mut *state.log.lock().expect("requests do not panic"))))
}

fn refuse(status: StatusCode, code: &'static str, message: &str) -> Refusal {
    let mut response = (status, Json(json!({"error": message}))).into_response();
    let headers = response.headers_mut();
    if !code.is_empty() {
        headers.insert("X-Error-Code", HeaderValue::from_static(code));
    }
    if let Ok(message) = HeaderValue::from_str(message) {
        headers.insert("X-Error-Message", message);
    }
    response.into()
}

impl State {
    fn note(&self, uri: &Uri, headers: &HeaderMap, to_store: bool) {
        let range = headers.get(RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
        let authorised = headers.contains_key(AUTHORIZATION);
        let request = Request { path: uri.to_string(), range, authorised, to_store };
        self.log.lock().expect("requests do not panic").push(request);
    }

    fn repository(
        &self,
        (organisation, name): (&str, &str),
        revision: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Arc<Repository>, Refusal> {
        let Some(repository) = self.repositories.find(organisation, name) else {
            let known = headers.contains_key(AUTHORIZATION);
            let status = if known { StatusCode::NOT_FOUND } else { StatusCode::UNAUTHORIZED };
            return Err(refuse(status, "RepoNotFound", "Repository not found"));
        };
        match revision {
            Some(revision) if revision != "main" && revision != repository.commit => {
                Err(refuse(StatusCode::NOT_FOUND, "RevisionNotFound", &format!("Invalid rev id: {revision}")))
            }
            _ => Ok(repository),
        }
    }

    /// Files of gated repositories need a token; their description does not.
    fn gate(&self, organisation: &str, name: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let id = format!("{organisation}/{name}");
        let Some((_, token)) = self.gated.iter().find(|(gated, _)| *gated == id) else { return Ok(()) };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match given {
            None => Err(refuse(StatusCode::UNAUTHORIZED, "GatedRepo", &format!("Access to model {id} is restricted"))),
            Some(given) if given.strip_prefix("Bearer ") == Some(token) => Ok(()),
            Some(_) => Err(refuse(
                StatusCode::FORBIDDEN,
                "GatedRepo",
                &format!("Access to model {id} is restricted and you are not in the authorized list"),
            )),
        }
    }
}

pub(crate) async fn info(
    Shared(state): Shared<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    Path((organisation, name)): Path<Names>,
    headers: HeaderMap,
) -> Answer {
    state.note(&uri, &headers, false);
    describe(&state, &organisation, &name, None, &headers)
}

pub(crate) async fn info_of_revision(
    Shared(state): Shared<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    Path((organisation, name, revision)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    state.note(&uri, &headers, false);
    describe(&state, &organisation, &name, Some(&revision), &headers)
}

fn describe(state: &State, organisation: &str, name: &str, revision: Option<&str>, headers: &HeaderMap) -> Answer {
    let refusal = state.faults.lock().expect("requests do not panic").refusal;
    if let Some(status) = refusal.and_then(|status| StatusCode::from_u16(status).ok()) {
        return Err(refuse(status, "", "not here"));
    }
    let repository = state.repository((organisation, name), revision, headers)?;
    let id = format!("{organisation}/{name}");
    let gated = state.gated.iter().any(|(gated, _)| *gated == id);
    let siblings: Vec<Value> = repository.entries.keys().map(|name| json!({"rfilename": name})).collect();
    Ok(Json(json!({
        "_id": "0",
        "id": id,
        "modelId": id,
        "author": organisation,
        "sha": repository.commit,
        "private": false,
        "gated": if gated { json!("manual") } else { json!(false) },
        "disabled": false,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "lastModified": "2026-01-01T00:00:00.000Z",
        "siblings": siblings,
    }))
    .into_response())
}

pub(crate) async fn tree(
    Shared(state): Shared<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    Path((organisation, name, revision)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Answer {
    state.note(&uri, &headers, false);
    let repository = state.repository((&organisation, &name), Some(&revision), &headers)?;
    state.gate(&organisation, &name, &headers)?;
    let entry = |(path, entry): (&String, &Entry)| {
        let mut described = json!({"type": "file", "oid": entry.git, "size": entry.bytes, "path": path});
        if let Some(sha256) = &entry.sha256 {
            described["lfs"] = json!({"oid": sha256, "size": entry.bytes, "pointerSize": 135});
        }
        described
    };
    let Faults { page, no_tree, .. } = state.faults.lock().expect("requests do not panic").clone();
    if no_tree {
        return Err(refuse(StatusCode::NOT_FOUND, "", "Not Found"));
    }
    let page = page.unwrap_or(1000);
    let start: usize = query.get("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let entries: Vec<Value> = repository.entries.iter().map(entry).skip(start).take(page).collect();
    let more = start + entries.len() < repository.entries.len();
    let mut response = Json(entries).into_response();
    if more {
        let link = format!("<{}?recursive=true&cursor={}>; rel=\"next\"", uri.path(), start + page);
        response.headers_mut().insert(LINK, HeaderValue::from_str(&link).expect("paths are plain"));
    }
    Ok(response)
}

pub(crate) async fn resolve(
    Shared(state): Shared<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    Path((organisation, name, revision, path)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    state.note(&uri, &headers, false);
    let repository = state.repository((&organisation, &name), Some(&revision), &headers)?;
    state.gate(&organisation, &name, &headers)?;
    let Some(entry) = repository.entries.get(&path) else {
        return Err(refuse(StatusCode::NOT_FOUND, "EntryNotFound", "Entry not found"));
    };
    let no_digests = {
        let mut faults = state.faults.lock().expect("requests do not panic");
        if take(&mut faults.failures) {
            let status = faults.status.and_then(|status| StatusCode::from_u16(status).ok());
            let mut response = refuse(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), "", "busy");
            if let Some(seconds) = faults.retry_after {
                response.0.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            return Err(response);
        }
        faults.no_digests
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    let text = |text: String| HeaderValue::from_str(&text).expect("digests and names are plain");
    headers.insert("X-Repo-Commit", text(repository.commit.clone()));
    headers.insert("X-Linked-Size", text(entry.bytes.to_string()));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let status = match &entry.sha256 {
        Some(sha256) => {
            headers.insert(LOCATION, text(format!("{}/_store/{organisation}/{name}/{sha256}", state.store)));
            headers.insert("X-Linked-Etag", text(format!("\"{sha256}\"")));
            headers.insert(ETAG, text(format!("\"store-{}\"", &entry.git[..8])));
            StatusCode::FOUND
        }
        None => {
            let commit = &repository.commit;
            headers.insert(LOCATION, text(format!("/api/resolve-cache/models/{organisation}/{name}/{commit}/{path}")));
            headers.insert(ETAG, text(format!("\"{}\"", entry.git)));
            StatusCode::TEMPORARY_REDIRECT
        }
    };
    if no_digests {
        headers.remove(ETAG);
        headers.remove("X-Linked-Etag");
    }
    *response.status_mut() = status;
    Ok(response)
}

pub(crate) async fn small(
    Shared(state): Shared<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    Path((organisation, name, revision, path)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    state.note(&uri, &headers, false);
    let repository = state.repository((&organisation, &name), Some(&revision), &headers)?;
    let Some(entry) = repository.entries.get(&path) else {
        return Err(refuse(StatusCode::NOT_FOUND, "EntryNotFound", "Entry not found"));
    };
    let mut response = send(&entry.location, &headers, &Faults::default(), Arc::clone(&state.sent)).await?;
    let commit = HeaderValue::from_str(&repository.commit).expect("hex is plain");
    response.headers_mut().insert("X-Repo-Commit", commit);
    response.headers_mut().insert(ETAG, HeaderValue::from_str(&format!("\"{}\"", entry.git)).expect("hex is plain"));
    Ok(response)
}

pub(crate) async fn large(
    Shared(state): Shared<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    Path((organisation, name, digest)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    state.note(&uri, &headers, true);
    let repository = state.repository((&organisation, &name), None, &headers)?;
    let entry = repository.entries.values().find(|entry| entry.sha256.as_deref() == Some(&digest));
    let Some(entry) = entry else { return Err(StatusCode::NOT_FOUND.into_response().into()) };
    // What this answer suffers from: each count is used up by one.
    let faults = {
        let mut all = state.faults.lock().expect("requests do not panic");
        let is_range = headers.contains_key(RANGE);
        Faults {
            expired: u32::from(take(&mut all.expired)),
            cuts: u32::from(take(&mut all.cuts)),
            flips: u32::from(take(&mut all.flips)),
            short_ranges: u32::from(is_range && take(&mut all.short_ranges)),
            ..all.clone()
        }
    };
    if faults.expired > 0 {
        return Err((StatusCode::FORBIDDEN, "<html>the request has expired</html>").into_response().into());
    }
    if faults.pointers {
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {}\n", entry.bytes);
        return Ok(text.into_response());
    }
    send(&entry.location, &headers, &faults, Arc::clone(&state.sent)).await
}

/// Send a file or a range of it.
///
/// `sent` counts the bytes.
pub(crate) async fn send(location: &FilePath, headers: &HeaderMap, faults: &Faults, sent: Arc<AtomicU64>) -> Answer {
    let unreadable =
        |error: std::io::Error| Refusal::from((StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response());
    let mut file = File::open(location).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok()).filter(|_| !faults.ignore_ranges);
    let (start, end) = match range.map(|range| parse_range(range, length)) {
        None => (0, length),
        Some(Some(range)) => range,
        Some(None) => {
            let range = format!("bytes */{length}");
            return Err((StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, range)]).into_response().into());
        }
    };
    let start = start + u64::from(range.is_some() && faults.ranges == Ranges::Late);
    file.seek(SeekFrom::Start(start)).await.map_err(unreadable)?;
    let stop = match (faults.cuts > 0, faults.short_ranges > 0) {
        (true, _) => end.min(start + faults.cut_after),
        (_, true) => end - 1,
        _ => end,
    };
    let flipped = (faults.flips > 0).then_some(length / 2);
    let rate = faults.rate;
    let pieces = stream::unfold((file, start, sent), move |(mut file, at, sent)| async move {
        if at == stop {
            // Less than announced: the connection breaks, after what was sent has left this machine.
            if stop < end {
                tokio::time::sleep(FLUSHED).await;
            }
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
            return (stop < end).then_some((Err(broken), (file, end, sent)));
        }
        if at >= end {
            return None;
        }
        let mut piece = vec![0; usize::try_from((stop - at).min(PIECE)).expect("pieces are small")];
        if let Err(error) = file.read_exact(&mut piece).await {
            return Some((Err(error), (file, end, sent)));
        }
        let place = flipped.and_then(|place| place.checked_sub(at)).and_then(|place| usize::try_from(place).ok());
        if let Some(byte) = place.and_then(|place| piece.get_mut(place)) {
            *byte ^= 1;
        }
        let read = piece.len() as u64;
        if let Some(rate) = rate {
            tokio::time::sleep(Duration::from_secs_f64(read as f64 / rate as f64)).await;
        }
        sent.fetch_add(read, Ordering::Relaxed);
        Some((Ok(Bytes::from(piece)), (file, at + read, sent)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if range.is_some() {
        let range = format!("bytes {start}-{}/{length}", end - 1);
        if faults.ranges != Ranges::Unnamed {
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("numbers are plain"));
        }
        if faults.ranges != Ranges::Whole {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
    }
    Ok(response)
}

/// `bytes=START-` or `bytes=START-LAST`, as a half-open range inside of `length`.
fn parse_range(range: &str, length: u64) -> Option<(u64, u64)> {
    let (start, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let start: u64 = start.parse().ok()?;
    let end = if last.is_empty() { length } else { last.parse::<u64>().ok()?.saturating_add(1).min(length) };
    (start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_and_inside_of_the_file() {
        assert_eq!(parse_range("bytes=0-0", 10), Some((0, 1)));
        assert_eq!(parse_range("bytes=4-", 10), Some((4, 10)));
        assert_eq!(parse_range("bytes=4-99", 10), Some((4, 10)));
        assert_eq!((parse_range("bytes=10-", 10), parse_range("lines=1-2", 10)), (None, None));
    }
}
