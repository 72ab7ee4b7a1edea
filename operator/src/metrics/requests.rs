//! A client of the API server that counts what it asks, by the verbs that the server's own metrics use.

use std::sync::Arc;

use axum::http::{Method, Uri};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::util::MapRequestLayer;

use super::Metrics;

/// A client whose requests are counted, repeated ones each time.
///
/// # Errors
/// The configuration names certificates or proxies that cannot be used.
pub fn client(config: Config, metrics: &Arc<Metrics>) -> Result<Client, kube::Error> {
    let requests = metrics.requests.clone();
    let count = move |request: axum::http::Request<Body>| {
        requests.with_label_values(&[verb(request.method(), request.uri())]).inc();
        request
    };
    Ok(ClientBuilder::try_from(config)?.with_layer(&MapRequestLayer::new(count)).build())
}

/// The verb of a request. A collection has no name after its resource.
fn verb(method: &Method, uri: &Uri) -> &'static str {
    let watches =
        uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1"));
    match method.as_str() {
        "GET" if watches => "watch",
        "GET" if is_collection(uri.path()) => "list",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if is_collection(uri.path()) => "deletecollection",
        "DELETE" => "delete",
        _ => "other",
    }
}

fn is_collection(path: &str) -> bool {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = match parts.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return false,
    };
    parts.drain(..group.min(parts.len()));
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    parts.len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_under_the_verbs_of_the_api_server() {
        let of = |method: &str, uri: &str| verb(&method.parse().unwrap(), &uri.parse().unwrap());
        let ours = "/apis/proving.obelysk.dev/v1alpha1";
        assert_eq!(of("GET", &format!("{ours}/proofjobs?limit=500")), "list");
        assert_eq!(of("GET", &format!("{ours}/proofjobs?watch=true&resourceVersion=7")), "watch");
        assert_eq!(of("GET", &format!("{ours}/namespaces/a/proofjobs?")), "list");
        assert_eq!(of("GET", &format!("{ours}/namespaces/a/proofjobs/watch")), "get");
        assert_eq!(of("PUT", &format!("{ours}/namespaces/a/proofjobs/x/status")), "update");
        assert_eq!(of("GET", "/api/v1/nodes"), "list");
        assert_eq!(of("GET", "/api/v1/nodes/n-1"), "get");
        assert_eq!(of("GET", "/api/v1/namespaces"), "list");
        assert_eq!(of("GET", "/api/v1/namespaces/a"), "get");
        assert_eq!(of("DELETE", "/apis/batch/v1/namespaces/a/jobs/j"), "delete");
        assert_eq!(of("GET", "/version"), "get");
    }
}
