//! A model hub for tests and for places without internet. It serves folders `ORGANISATION/NAME` as repositories of one
//! commit each, through the interface of the Hugging Face hub, and can be told to misbehave.
//!
//! Large files are answered by a redirect to a store under another host name, as the hub does it: clients must follow
//! it without their token.

mod answer;
mod background;
mod bucket;
mod faults;
mod repository;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use background::Background;
pub use bucket::{BucketServer, write_sums};
pub use faults::{Faults, Ranges};
use repository::Repositories;

/// What a server serves, and how it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of organisations, each a folder of repositories.
    pub root: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Address of the store that large files are redirected to: this server under another name. `None` takes
    /// `localhost`, where the server itself is addressed by number.
    pub store: Option<String>,
    /// Repositories that ask for a token, `organisation/name=token`.
    pub gated: Vec<(String, String)>,
}

/// A request as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// `Range` header.
    pub range: Option<String>,
    /// Whether a token came with it.
    pub authorised: bool,
    /// Whether it went to the store.
    pub to_store: bool,
}

/// What all requests share.
pub(crate) struct State {
    repositories: Repositories,
    gated: Vec<(String, String)>,
    store: String,
    faults: Mutex<Faults>,
    log: Mutex<Vec<Request>>,
    /// Bytes of files that answers have carried.
    sent: Arc<AtomicU64>,
}

/// A server that runs in the background of a test, until it is dropped.
pub struct Server {
    state: Arc<State>,
    background: Background,
}

impl Server {
    /// Serve `root` on a free port of the loopback.
    ///
    /// # Panics
    /// If the machine has no free port or no threads: tests cannot go on without.
    #[must_use]
    pub fn start(root: PathBuf, gated: &[(&str, &str)]) -> Self {
        let gated = gated.iter().map(|(name, token)| ((*name).to_owned(), (*token).to_owned())).collect();
        let options = Options { root, listen: (Ipv4Addr::LOCALHOST, 0).into(), store: None, gated };
        let mut shared = None;
        let background = Background::serve(|address| {
            let state = shared.insert(state(&options, address));
            router(Arc::clone(state))
        });
        Self { state: shared.expect("the router was made"), background }
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

    /// Bytes of files that answers have carried, whether they arrived or not.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    /// The requests since the last call.
    ///
    /// # Panics
    /// If a request has panicked.
    #[must_use]
    pub fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.log.lock().expect("requests do not panic"))
    }
}

fn state(options: &Options, address: SocketAddr) -> Arc<State> {
    let store = options.store.clone().unwrap_or_else(|| format!("http://localhost:{}", address.port()));
    Arc::new(State {
        repositories: Repositories::new(options.root.clone()),
        gated: options.gated.clone(),
        store,
        faults: Mutex::default(),
        log: Mutex::default(),
        sent: Arc::default(),
    })
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/_faults", post(answer::set_faults))
        .route("/_log", post(answer::take_log))
        .route("/api/models/{organisation}/{name}", get(answer::info))
        .route("/api/models/{organisation}/{name}/revision/{revision}", get(answer::info_of_revision))
        .route("/api/models/{organisation}/{name}/tree/{revision}", get(answer::tree))
        .route("/{organisation}/{name}/resolve/{revision}/{*path}", get(answer::resolve))
        .route("/api/resolve-cache/models/{organisation}/{name}/{revision}/{*path}", get(answer::small))
        .route("/_store/{organisation}/{name}/{digest}", get(answer::large))
        .with_state(state)
}

/// Serve until the process is told to stop.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    println!("serving {} on http://{address}", options.root.display());
    axum::serve(listener, router(state(options, address))).await?;
    Ok(())
}
