//! kubectl, helm, and the patience that a cluster needs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What `cargo xtask` says about the cluster.
static ENVIRONMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = root().join(".cache/cluster/environment.json");
    let text = std::fs::read_to_string(&path).expect("`cargo xtask test` brings the cluster up");
    serde_json::from_str(&text).unwrap()
});

/// The charts, installed once.
static INSTALLED: LazyLock<()> = LazyLock::new(|| {
    helm(&["upgrade", "--install", "proving-crds", "charts/proving-crds", "--wait"]);
    install_operator(&[]);
    apply(&cache("tiny-chat"));
    wait_for("the model is ready", 120, || get("modelcache", "tiny-chat")["status"]["phase"] == "Ready");
});

/// Namespace of the operator.
pub const SYSTEM: &str = "obelysk-system";

/// Run helm, which must succeed.
pub fn helm(arguments: &[&str]) -> String {
    let mut command = Command::new(text("helm"));
    command.args(["--kubeconfig", &text("kubeconfig")]).args(arguments).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Install the operator, or upgrade it, with more values. Claims are of the cluster's default class.
pub fn install_operator(values: &[&str]) {
    let image = format!("image.reference={}", text("image"));
    let operator = ["upgrade", "--install", "proving-operator", "charts/proving-operator", "--wait", "--timeout", "2m"];
    let always = ["--namespace", SYSTEM, "--create-namespace", "--set", &image, "--set", "nodeLocal.enabled=true"];
    let more: Vec<&str> = values.iter().flat_map(|&value| ["--set", value]).collect();
    helm(&[&operator[..], &always, &more].concat());
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(field: &str) -> String {
    ENVIRONMENT[field].as_str().unwrap().to_owned()
}

/// The operator's and provers' image.
pub fn image() -> String {
    text("image")
}

/// Install the charts and prepare the model, if no test has yet.
pub fn install() {
    LazyLock::force(&INSTALLED);
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(text("kubectl"));
    command.args(["kubectl", "--kubeconfig", &text("kubeconfig")]).args(arguments);
    command
}

/// Run kubectl: standard output, or standard error where it fails.
pub fn try_kubectl(arguments: &[&str]) -> Result<String, String> {
    let output = command(arguments).output().unwrap();
    let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(read(&output.stdout)) } else { Err(read(&output.stderr)) }
}

/// Run kubectl, which must succeed.
pub fn kubectl(arguments: &[&str]) -> String {
    try_kubectl(arguments).unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
}

/// Standard output of kubectl as bytes.
pub fn kubectl_bytes(arguments: &[&str]) -> Vec<u8> {
    let output = command(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Apply a manifest: what kubectl says.
pub fn try_apply(manifest: &str, extra: &[&str]) -> Result<String, String> {
    let mut command = command(&[&["apply", "-f", "-"], extra].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(read(&output.stdout)) } else { Err(read(&output.stderr)) }
}

/// Apply a manifest, which must be accepted.
pub fn apply(manifest: &str) -> String {
    try_apply(manifest, &[]).unwrap_or_else(|error| panic!("{error}\n{manifest}"))
}

/// An object, or null.
pub fn get(kind: &str, name: &str) -> Value {
    let found = try_kubectl(&["get", kind, name, "-o", "json"]);
    found.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
}

/// Names of the objects of a kind that carry a label.
pub fn names(kind: &str, label: &str) -> Vec<String> {
    let listed = kubectl(&["get", kind, "-l", label, "-o", "jsonpath={.items[*].metadata.name}"]);
    listed.split_whitespace().map(str::to_owned).collect()
}

/// Wait until something is true.
pub fn wait_for(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > Duration::from_secs(seconds) {
            let state = try_kubectl(&["get", "proofjobs,modelcaches,jobs,pods,persistentvolumeclaims", "-o", "wide"]);
            let events = try_kubectl(&["get", "events", "--sort-by=.lastTimestamp"]).unwrap_or_default();
            let lines: Vec<&str> = events.lines().collect();
            let last = lines[lines.len().saturating_sub(15)..].join("\n");
            panic!("not within {seconds} s: {what}\n{}\n{last}", state.unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Phase of a ProofJob.
pub fn phase(name: &str) -> String {
    get("proofjob", name)["status"]["phase"].as_str().unwrap_or_default().to_owned()
}

/// A ModelCache of the bundled model.
pub fn cache(name: &str) -> String {
    format!(
        "apiVersion: proving.obelysk.dev/v1alpha1
kind: ModelCache
metadata: {{name: {name}}}
spec:
  source: {{bundled: {{name: tiny-chat}}}}
  storage: {{claim: {{storageClassName: obelysk-local, accessMode: ReadWriteOnce, size: 1Gi}}}}
"
    )
}

/// A ProofJob with more fields.
pub fn proof_job(name: &str, inference: &str, more: &str) -> String {
    format!(
        "apiVersion: proving.obelysk.dev/v1alpha1
kind: ProofJob
metadata: {{name: {name}}}
spec:
  model: {{cacheRef: {{name: tiny-chat}}}}
  inference: {inference}
  hardware: {{cpu: {{cores: 250m, memory: 2Gi}}}}
{more}"
    )
}

/// An inference whose proof takes long enough to be disturbed.
pub fn long_inference() -> String {
    let tokens: Vec<String> = (0..200).map(|place| (260 + place % 200).to_string()).collect();
    format!("{{tokens: [{}], maxNewTokens: 8}}", tokens.join(", "))
}

/// Wait until a job's prover runs; the pod's name.
pub fn running_prover(job: &str) -> String {
    let label = format!("proving.obelysk.dev/proofjob={job},proving.obelysk.dev/step=prove");
    let mut found = String::new();
    wait_for(&format!("the prover of {job} runs"), 90, || {
        let query = "jsonpath={.items[?(@.status.phase==\"Running\")].metadata.name}";
        found = kubectl(&["get", "pods", "-l", &label, "-o", query]);
        !found.is_empty()
    });
    found
}

/// Wait for the end that a job should have.
pub fn wait_for_phase(job: &str, wanted: &str, seconds: u64) {
    wait_for(&format!("{job} is {wanted}"), seconds, || {
        let now = phase(job);
        assert!(now == wanted || now != "Failed", "{job} failed: {}", get("proofjob", job)["status"]["summary"]);
        now == wanted
    });
}

/// Delete a ProofJob and wait until it and its children are gone.
pub fn delete_and_wait(job: &str) {
    kubectl(&["delete", "proofjob", job, "--wait"]);
    let label = format!("proving.obelysk.dev/proofjob={job}");
    wait_for(&format!("nothing is left of {job}"), 90, || {
        ["jobs", "pods", "persistentvolumeclaims"].iter().all(|kind| names(kind, &label).is_empty())
    });
}
