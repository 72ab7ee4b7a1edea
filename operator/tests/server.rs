//! What the operator makes of the answers of an API server, over HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use obelysk_api::crd::{ModelCache, ProofJob};
use obelysk_operator::app;
use obelysk_operator::controllers::Note;
use obelysk_operator::controllers::children::{CREATE_REFUSED, NAME_CONFLICT};
use obelysk_operator::controllers::proof_job::plan::plan;
use obelysk_operator::controllers::stalled::UNDECODABLE;
use obelysk_operator::kube::kubernetes::Kubernetes;
use obelysk_operator::kube::server::Server as _;
use obelysk_operator::kube::{Context, Error, apply, lease, read};
use obelysk_operator::metrics::Metrics;
use obelysk_operator::settings::Settings;
use serde_json::{Value, json};

const OURS: &str = "/apis/proving.obelysk.dev/v1alpha1/namespaces/default";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const PATIENCE: Duration = Duration::from_secs(20);

/// A request: method, path, body.
type Asked = (String, String, Value);

/// A server that answers as it is told, keeps what it is asked, and has nothing else.
#[derive(Clone, Default)]
struct Server {
    client: Option<kube::Client>,
    answers: Arc<Vec<(&'static str, String, u16, Value)>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    queries: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<(&'static str, String, u16, Value)>) -> (Self, Arc<Context<Kubernetes>>) {
        let server = Self { answers: Arc::new(answers), ..Self::default() };
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let held = lease::Held::default();
        lease::acquire(&client, "default", "test", &held).await;
        let (of_lease, kept) = (client.clone(), held.clone());
        tokio::spawn(async move { lease::keep(&of_lease, "default", "test", &kept).await });
        let kubernetes = Kubernetes::new(client.clone(), "test", held);
        let context = Context { server: kubernetes, settings: settings(), metrics: Arc::new(Metrics::default()) };
        (Self { client: Some(client), ..server }, Arc::new(context))
    }

    /// Bodies of the requests with this method whose path ends so.
    fn asked(&self, method: &str, path: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter(|(of, at, _)| of == method && at.ends_with(path));
        of.map(|(_, _, body)| body.clone()).collect()
    }

    /// Wait for a request.
    async fn wait_for(&self, method: &str, path: &str) -> Value {
        let wait = async {
            loop {
                if let Some(body) = self.asked(method, path).pop() {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("nobody asks {method} {path}"))
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    if parts.uri.query().is_some_and(|query| query.contains("watch=true")) {
        return Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()).into_response();
    }
    server.queries.lock().unwrap().push(parts.uri.query().unwrap_or_default().to_owned());
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    server.asked.lock().unwrap().push((method.clone(), path.clone(), body.clone()));
    let told = server.answers.iter().find(|(of, at, ..)| *of == method && *at == path);
    let is_list = !path.rsplit('/').next().unwrap_or_default().contains('-');
    let (code, answer) = match (told, method.as_str()) {
        // It never answers.
        (Some((_, _, 0, _)), _) => std::future::pending().await,
        (Some((_, _, code, answer)), _) => (*code, answer.clone()),
        (None, "GET") if is_list => (200, list(Vec::new())),
        (None, "GET") => (404, failure(404, "NotFound", "there is none")),
        // A patch is answered with an object of its name.
        (None, "PATCH") => (200, json!({"metadata": {"name": "patched"}})),
        (None, _) => (200, body),
    };
    let mut response = answer.to_string().into_response();
    *response.status_mut() = code.try_into().unwrap();
    response
}

fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
    })
}

fn settings() -> Settings {
    Settings::parse_from(["obelysk-operator", "--image", "obelysk.dev/obelysk:1"])
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": kind,
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("uid-of-{name}"), "generation": 1,
            "resourceVersion": "7",
        },
        "spec": spec,
    })
}

fn proof_job(name: &str) -> Value {
    object(
        "ProofJob",
        name,
        json!({
            "model": {"cacheRef": {"name": "m-1"}}, "inference": {"prompt": "a secret"}, "hardware": {"cpu": {}},
        }),
    )
}

/// As a version that knows more has written it.
fn undecodable(name: &str) -> Value {
    let mut object = proof_job(name);
    object["spec"]["proof"] = json!({"mode": "Folded"});
    object["status"] = json!({"startTime": "2026-01-01T00:00:00Z"});
    object
}

fn cache() -> Value {
    let mut cache = object(
        "ModelCache",
        "m-1",
        json!({
            "source": {"bundled": {"name": "tiny-chat"}},
            "storage": {"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}},
        }),
    );
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Prepared", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    cache["status"] = json!({"conditions": [condition], "resolved": {"modelDigest": "ab"}});
    cache
}

fn ready_cache() -> (&'static str, String, u16, Value) {
    ("GET", format!("{OURS}/modelcaches/m-1"), 200, cache())
}

/// Read, plan, apply, as one reconcile does.
async fn reconcile(context: &Context<Kubernetes>, job: &ProofJob) -> apply::Applied<ProofJob> {
    let snapshot = read::proof_job(&context.server, job).await.unwrap();
    let plan = plan(job, &snapshot, &context.settings, Timestamp::now());
    assert_eq!(plan.create.len(), 2, "a claim and a Job: {:?}", plan.status.summary);
    apply::apply(context, job, &plan).await.unwrap()
}

#[tokio::test]
async fn a_job_that_no_label_finds_is_found_when_its_name_is_taken() {
    let ours = json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob", "name": "j-1", "uid": "uid-of-j-1",
        "controller": true,
    });
    for (owners, reason) in [(json!([]), Some(NAME_CONFLICT)), (json!([ours]), None)] {
        let there = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "j-1-prove-1", "uid": "x", "ownerReferences": owners},
        });
        let (_, context) = Server::start(vec![
            ready_cache(),
            ("POST", JOBS.into(), 409, failure(409, "AlreadyExists", "jobs.batch \"j-1-prove-1\" already exists")),
            ("GET", format!("{JOBS}/j-1-prove-1"), 200, there),
        ])
        .await;
        let job = serde_json::from_value(proof_job("j-1")).unwrap();
        let refused = reconcile(&context, &job).await.refused;
        assert_eq!(refused.as_ref().map(|refused| refused.reason.as_str()), reason);
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_told_and_nothing_is_made_after_it() {
    let words = "persistentvolumeclaims \"j-1-artifacts\" is forbidden: exceeded quota: claims";
    let (server, context) =
        Server::start(vec![ready_cache(), ("POST", CLAIMS.into(), 403, failure(403, "Forbidden", words))]).await;
    let job = serde_json::from_value(proof_job("j-1")).unwrap();
    let applied = reconcile(&context, &job).await;
    let refused = applied.refused.unwrap();
    assert_eq!(refused.reason, CREATE_REFUSED);
    assert!(refused.message.ends_with(words), "{}", refused.message);
    assert!(server.asked("POST", "/jobs").is_empty());
    assert!(applied.object.status.unwrap().start_time.is_some(), "the status went first");
}

#[tokio::test]
async fn a_cache_counts_a_reader_that_it_cannot_read_and_a_job_stalls_on_a_cache_that_it_cannot() {
    let mut odd = cache();
    odd["spec"]["storage"]["claim"]["accessMode"] = json!("ReadSometimes");
    let (_, context) = Server::start(vec![
        ("GET", format!("{OURS}/proofjobs"), 200, list(vec![undecodable("later-1"), proof_job("j-1")])),
        ("GET", format!("{OURS}/modelcaches/m-1"), 200, odd),
    ])
    .await;
    let cache: ModelCache = serde_json::from_value(cache()).unwrap();
    let snapshot = read::model_cache(&context.server, &context.settings, &cache).await.unwrap();
    assert_eq!((snapshot.consumers, snapshot.readers), (2, 1));
    let job: ProofJob = serde_json::from_value(proof_job("j-1")).unwrap();
    let error = read::proof_job(&context.server, &job).await.unwrap_err();
    assert!(
        matches!(&error, Error::Undecodable { kind, name, .. } if kind == "ModelCache" && name == "m-1"),
        "{error}"
    );
    assert_eq!(error.stalls(), Some(UNDECODABLE));
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stalls_alone_and_the_others_go_on() {
    let all = "/apis/proving.obelysk.dev/v1alpha1";
    let (server, context) = Server::start(vec![
        ready_cache(),
        ("GET", format!("{all}/proofjobs"), 200, list(vec![undecodable("later-1"), proof_job("j-1")])),
        ("GET", format!("{all}/modelcaches"), 200, list(vec![cache()])),
        ("GET", format!("{OURS}/proofjobs/later-1"), 200, undecodable("later-1")),
        ("POST", JOBS.into(), 422, failure(422, "Invalid", "no such Job")),
    ])
    .await;
    let controllers = tokio::spawn(app::control(server.client.clone().unwrap(), context));
    let stalled = server.wait_for("PATCH", "/proofjobs/later-1/status").await;
    assert_eq!(stalled["metadata"], json!({"resourceVersion": "7"}));
    let conditions = stalled["status"]["conditions"].as_array().unwrap();
    let of = |kind: &str| conditions.iter().find(|of| of["type"] == kind).unwrap();
    assert_eq!((&of("Stalled")["status"], &of("Stalled")["reason"]), (&json!("True"), &json!(UNDECODABLE)));
    assert!(of("Stalled")["message"].as_str().unwrap().contains("variant Folded"), "{stalled}");
    assert!(!stalled.to_string().contains("a secret"));

    // The other one is proven as far as the server lets it, and says at once how far that is.
    let wait = async {
        loop {
            let written = server.asked("PUT", "/proofjobs/j-1/status");
            if let Some(last) = written.iter().find(|of| of["status"]["summary"] == "Job j-1-prove-1: no such Job") {
                return last.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, wait).await.expect("the refusal is in the status");
    assert_eq!(told["status"]["phase"], "Queued");
    controllers.abort();
}

#[tokio::test]
async fn a_write_says_whose_it_is_which_object_it_means_and_is_given_up_after_two_seconds() {
    let (server, context) = Server::start(vec![("POST", CLAIMS.into(), 0, Value::Null)]).await;
    let job: Job = serde_json::from_value(json!({"metadata": {"name": "j-1", "namespace": "default"}})).unwrap();
    context.server.create(&job).await.unwrap();
    assert!(server.queries.lock().unwrap().last().unwrap().contains("fieldManager=obelysk-operator"));
    context.server.delete::<Job>("default", "j-1", Some("uid-of-j-1")).await.unwrap();
    let deleted = server.asked("DELETE", "/jobs/j-1").pop().unwrap();
    assert_eq!(deleted["preconditions"], json!({"uid": "uid-of-j-1"}));
    assert_eq!(deleted["propagationPolicy"], "Background");

    let claim: PersistentVolumeClaim =
        serde_json::from_value(json!({"metadata": {"name": "c-1", "namespace": "default"}})).unwrap();
    let asked = std::time::Instant::now();
    let error = context.server.create(&claim).await.unwrap_err();
    assert!(matches!(error, Error::Slow(2)), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn events_of_one_reason_keep_their_own_words() {
    let (server, context) = Server::start(Vec::new()).await;
    let job: ProofJob = serde_json::from_value(proof_job("j-1")).unwrap();
    for line in ["prove attempt 1", "prove attempt 3", "prove attempt 3"] {
        context.server.publish(&Note::normal("StepStarted", line), &job.object_ref(&())).await;
    }
    let made = server.asked("POST", "/events");
    let notes: Vec<_> = made.iter().map(|event| event["note"].as_str().unwrap()).collect();
    assert_eq!(notes, ["prove attempt 1", "prove attempt 3"], "and what is said again is counted");
}

#[tokio::test]
async fn a_plan_of_an_object_that_has_moved_on_makes_nothing() {
    let mut moved = proof_job("j-1");
    moved["metadata"]["resourceVersion"] = json!("8");
    let (server, context) =
        Server::start(vec![ready_cache(), ("GET", format!("{OURS}/proofjobs/j-1"), 200, moved)]).await;
    let mut job: ProofJob = serde_json::from_value(proof_job("j-1")).unwrap();
    let snapshot = read::proof_job(&context.server, &job).await.unwrap();
    // Its status says already what the plan would write.
    let now = Timestamp::now();
    job.status = Some(plan(&job, &snapshot, &context.settings, now).status);
    let plan = plan(&job, &snapshot, &context.settings, now);
    assert!(!plan.create.is_empty() && job.status.as_ref() == Some(&plan.status));
    let refused = apply::apply(&*context, &job, &plan).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Stale), "{refused}");
    assert!(server.asked("POST", "/jobs").is_empty());
}
