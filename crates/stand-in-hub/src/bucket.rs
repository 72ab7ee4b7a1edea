//! A bucket with the S3 interface, as far as reading needs it: signed addresses, ranges, lengths.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{OriginalUri, Path, Query, State as Shared};
use axum::http::header::HOST;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use rusty_s3::actions::{GetObject, HeadObject, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use sha2::{Digest, Sha256};
use url::Url;

use crate::answer::{Answer, send};
use crate::background::Background;
use crate::faults::{Faults, take};

/// The region that addresses must be signed for.
const REGION: &str = "us-east-1";

struct State {
    /// Folder of buckets.
    root: PathBuf,
    credentials: Credentials,
    faults: Mutex<Faults>,
    sent: Arc<AtomicU64>,
}

/// Buckets that are served in the background of a test, until this is dropped.
pub struct BucketServer {
    state: Arc<State>,
    background: Background,
}

impl BucketServer {
    /// Serve the folders of `root` as buckets on a free port of the loopback, to whoever signs with this key.
    ///
    /// # Panics
    /// If the machine has no free port or no threads: tests cannot go on without.
    #[must_use]
    pub fn start(root: PathBuf, key_id: &str, secret: &str) -> Self {
        let credentials = Credentials::new(key_id, secret);
        let state = Arc::new(State { root, credentials, faults: Mutex::default(), sent: Arc::default() });
        let router = Router::new().route("/{bucket}/{*key}", get(object)).with_state(Arc::clone(&state));
        Self { state, background: Background::serve(|_| router) }
    }

    /// The address to pass as endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.background.endpoint()
    }

    /// Misbehave from now on.
    ///
    /// # Panics
    /// If a request has panicked.
    pub fn set(&self, faults: Faults) {
        *self.state.faults.lock().expect("requests do not panic") = faults;
    }
}

async fn object(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    Path((bucket, key)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Answer {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let asked = format!("http://{host}{uri}");
    if signed(&state.credentials, &method, host, &bucket, &key, &query).is_none_or(|address| address.as_str() != asked)
    {
        return Err((StatusCode::FORBIDDEN, "<Error><Code>SignatureDoesNotMatch</Code></Error>")
            .into_response()
            .into());
    }
    let refusal = state.faults.lock().expect("requests do not panic").refusal;
    if let Some(status) = refusal.and_then(|status| StatusCode::from_u16(status).ok()) {
        return Err((status, "<Error><Code>NotHere</Code></Error>").into_response().into());
    }
    let leaves = [&bucket, &key].iter().any(|part| part.split('/').any(|part| part.starts_with('.')));
    let location = state.root.join(&bucket).join(&key);
    if leaves || !location.is_file() {
        return Err((StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response().into());
    }
    let faults = {
        let mut all = state.faults.lock().expect("requests do not panic");
        let is_large = method == Method::GET && !key.ends_with("SUMS");
        Faults {
            cuts: u32::from(is_large && take(&mut all.cuts)),
            flips: u32::from(is_large && take(&mut all.flips)),
            ..all.clone()
        }
    };
    send(&location, &headers, &faults, Arc::clone(&state.sent)).await
}

/// The address that a client with these credentials would have made at the same time.
fn signed(
    credentials: &Credentials,
    method: &Method,
    host: &str,
    bucket: &str,
    key: &str,
    query: &HashMap<String, String>,
) -> Option<Url> {
    let endpoint = Url::parse(&format!("http://{host}")).ok()?;
    let bucket = Bucket::new(endpoint, UrlStyle::Path, bucket.to_owned(), REGION).ok()?;
    let seconds = query.get("X-Amz-Expires")?.parse().ok()?;
    let time = time_of(query.get("X-Amz-Date")?)?;
    let good_for = Duration::from_secs(seconds);
    Some(match *method {
        Method::HEAD => HeadObject::new(&bucket, Some(credentials), key).sign_with_time(good_for, &time),
        _ => GetObject::new(&bucket, Some(credentials), key).sign_with_time(good_for, &time),
    })
}

/// `20261125T101112Z`.
fn time_of(text: &str) -> Option<jiff::Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Write `SHA256SUMS` beside the files of a folder, as `sha256sum` does.
///
/// # Panics
/// If the folder cannot be read or written.
pub fn write_sums(folder: &FilePath) {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.expect("a readable folder");
        let content = std::fs::read(entry.path()).expect("a readable file");
        lines.push(format!("{}  {}\n", hex::encode(Sha256::digest(content)), entry.file_name().to_string_lossy()));
    }
    lines.sort();
    std::fs::write(folder.join("SHA256SUMS"), lines.concat()).expect("a writable folder");
}
