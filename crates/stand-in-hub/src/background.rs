//! A server in the background of a test.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// Serves on a free port of the loopback until it is dropped.
pub(crate) struct Background {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Background {
    /// Serve what `router` makes of the address.
    ///
    /// # Panics
    /// If the machine has no free port or no threads: tests cannot go on without.
    pub(crate) fn serve(router: impl FnOnce(SocketAddr) -> Router) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("threads for a test server");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("a free port for a test server");
        let address = listener.local_addr().expect("a listener has an address");
        let router = router(address);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, runtime: Some(runtime) }
    }

    /// The address to pass as endpoint.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
