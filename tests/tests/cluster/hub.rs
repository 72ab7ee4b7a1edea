//! Models of a hub that answers inside of the cluster.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;

use crate::kubectl::{apply, delete_and_wait, get, image, install, kubectl, phase, proof_job, try_kubectl, wait_for};

/// Port of the stand-in hub.
const PORT: u16 = 8090;
/// Jobs that want the model at the same time.
const JOBS: usize = 10;

/// Start a hub that serves one small model from a ConfigMap; its address.
fn start_hub() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/gemma2");
    let files =
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let mut create = vec!["create".to_owned(), "configmap".to_owned(), "hub-files".to_owned()];
    create.extend(files.iter().map(|file| format!("--from-file={}", folder.join(file).display())));
    kubectl(&create.iter().map(String::as_str).collect::<Vec<_>>());
    apply(&format!(
        r#"apiVersion: v1
kind: Pod
metadata: {{name: hub}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: hub
      image: "{}"
      command: [/usr/local/bin/obelysk-stand-in-hub, /hub, --listen, "0.0.0.0:{PORT}", --store, "http://$(IP):{PORT}"]
      env: [{{name: IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}]
      volumeMounts: [{{name: files, mountPath: /hub/tiny-org/gemma2}}]
      readinessProbe: {{httpGet: {{path: /healthz, port: {PORT}}}, periodSeconds: 1}}
  volumes: [{{name: files, configMap: {{name: hub-files}}}}]
"#,
        image()
    ));
    kubectl(&["wait", "pod/hub", "--for=condition=Ready", "--timeout=60s"]);
    get("pod", "hub")["status"]["podIP"].as_str().unwrap().to_owned()
}

/// The requests that the hub has seen.
fn log_of(hub: &str) -> Vec<Value> {
    let mut connection = TcpStream::connect((hub, PORT)).unwrap();
    connection
        .write_all(b"POST /_log HTTP/1.1\r\nhost: hub\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[test]
fn ten_jobs_that_name_a_preset_of_a_hub_download_it_once() {
    install();
    let hub = start_hub();
    apply(&format!(
        "apiVersion: proving.obelysk.dev/v1alpha1
kind: ModelPreset
metadata: {{name: of-hub}}
spec:
  source: {{huggingFace: {{repo: tiny-org/gemma2, endpoint: 'http://{hub}:{PORT}'}}}}
  storage: {{claim: {{storageClassName: obelysk-local, accessMode: ReadWriteOnce, size: 1Gi}}}}
"
    ));
    let name = |job: usize| format!("of-hub-{job}");
    for job in 0..JOBS {
        let manifest = proof_job(&name(job), "{tokens: [5, 6, 7], maxNewTokens: 2}", "")
            .replace("{cacheRef: {name: tiny-chat}}", "{preset: {name: of-hub}}")
            .replace("{cores: 250m, memory: 2Gi}", "{cores: 100m, memory: 1Gi}");
        apply(&manifest);
    }
    for job in 0..JOBS {
        wait_for(&format!("{} has ended", name(job)), 400, || {
            ["Succeeded", "Failed"].contains(&phase(&name(job)).as_str())
        });
        assert_eq!(phase(&name(job)), "Succeeded", "{}", get("proofjob", &name(job))["status"]["summary"]);
    }
    let cache = get("modelcache", "of-hub")["status"].take();
    assert_eq!(cache["resolved"]["revision"].as_str().unwrap().len(), 40, "{cache}");
    assert!(cache["resolved"]["modelDigest"].is_string() && cache["quality"]["top1Agreement"].is_string(), "{cache}");
    let downloads = log_of(&hub).iter().filter(|request| request["toStore"] == true).count();
    assert_eq!(downloads, 1, "one download for {JOBS} jobs");
    (0..JOBS).for_each(|job| delete_and_wait(&name(job)));
    for (kind, name) in
        [("modelcache", "of-hub"), ("modelpreset", "of-hub"), ("pod", "hub"), ("configmap", "hub-files")]
    {
        kubectl(&["delete", kind, name, "--wait"]);
    }
}

#[test]
fn a_repository_that_no_hub_has_stalls_with_the_reason() {
    install();
    let source = "{huggingFace: {repo: tiny-org/none, endpoint: 'ftp://nowhere'}}";
    let manifest = proof_job("no-hub", "{tokens: [5]}", "").replace("{cacheRef: {name: tiny-chat}}", source);
    apply(&manifest);
    let summary = || get("proofjob", "no-hub")["status"]["summary"].as_str().unwrap_or_default().to_owned();
    wait_for("the reason reaches the job", 120, || summary().contains("ftp://nowhere"));
    let caches = try_kubectl(&["get", "modelcaches", "-o", "name"]).unwrap();
    let cache = caches.lines().find(|name| name.contains("/none-")).unwrap().to_owned();
    let stalled = kubectl(&["get", &cache, "-o", "jsonpath={.status.conditions[?(@.type==\"Stalled\")].status}"]);
    assert_eq!(stalled, "True");
    delete_and_wait("no-hub");
    kubectl(&["delete", &cache, "--wait"]);
}
