//! What the metrics page says, that each thing is counted once, and that alerts, dashboard and health checks fit it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use obelysk_api::crd::{ModelCache, ModelCacheStatus, ProofJob, ProofJobStatus};
use obelysk_operator::kube::Error;
use obelysk_operator::metrics::{Metrics, client};
use promql_parser::parser::{self, Expr};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn proof_job(status: Option<&ProofJobStatus>) -> ProofJob {
    let mut job: ProofJob = serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob",
        "metadata": {"name": "j-1", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "model": {"cacheRef": {"name": "m-1"}}, "inference": {"prompt": "a"}, "hardware": {"gpu": {"classes": ["H100"]}},
        },
    }))
    .unwrap();
    job.status = status.cloned();
    job
}

fn status(value: Value) -> ProofJobStatus {
    serde_json::from_value(value).unwrap()
}

/// The statuses of a job whose first attempt loses its GPU and whose second succeeds.
fn life() -> Vec<ProofJobStatus> {
    let step = |name: &str, state: &str, attempts: i32, seconds: Value| {
        let start = format!("2026-01-01T00:0{attempts}:00Z");
        json!({"name": name, "state": state, "attempts": attempts, "startTime": start, "seconds": seconds})
    };
    let attempt = |number: i32, class: Value, reason: &str, end: &str| {
        json!({"step": "prove", "number": number, "class": class, "reason": reason,
               "startedAt": "2026-01-01T00:00:00Z", "finishedAt": end})
    };
    let lost = attempt(1, json!("Gpu"), "GpuLost", "2026-01-01T00:01:40Z");
    let proved = attempt(2, Value::Null, "Succeeded", "2026-01-01T00:02:30Z");
    let proof = json!({
        "uri": "pvc://default/c/f/proof.bin", "sha256": "", "sizeBytes": 1, "mode": "gkr", "profile": "", "securityBits": "",
        "verified": true, "provingSeconds": "20.00", "submissionReady": false,
    });
    vec![
        status(json!({"phase": "Queued", "conditions": [
            {"type": "Reconciling", "status": "True", "reason": "NoMatchingGpu", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Ready", "status": "False", "reason": "NoMatchingGpu", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Scheduled", "status": "False", "reason": "NotScheduled", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]})),
        status(json!({"phase": "Proving", "steps": [step("Validate", "Running", 1, Value::Null)]})),
        status(json!({
            "phase": "Queued", "steps": [step("Validate", "Running", 1, Value::Null)], "attempts": [lost],
            "retries": {"gpu": 1},
        })),
        status(json!({
            "phase": "Verifying", "attempts": [proved, lost], "retries": {"gpu": 1}, "proof": proof,
            "placement": {"gpuClass": "H100"},
            "steps": [step("Validate", "Succeeded", 2, json!("0.25")), step("Prove", "Succeeded", 2, json!("20.00"))],
        })),
        status(json!({
            "phase": "Succeeded", "attempts": [proved, lost], "retries": {"gpu": 1}, "proof": proof,
            "placement": {"gpuClass": "H100"},
            "steps": [step("Validate", "Succeeded", 2, json!("0.25")), step("Prove", "Succeeded", 2, json!("20.00"))],
        })),
    ]
}

/// Metrics with something of everything.
async fn lived() -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::default());
    metrics.set_ready();
    let mut before = None;
    for after in life() {
        metrics.written(&proof_job(before.as_ref()), &after);
        // The same status again says nothing new.
        metrics.written(&proof_job(Some(&after)), &after);
        before = Some(after);
    }
    let statuses = life();
    metrics.set_proof_jobs(statuses.iter().map(Some));
    metrics.reconciled("proofjob", Instant::now(), &Err::<(), _>(Error::Slow(15)));
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    // Nobody answers; it was asked all the same.
    let asked = client(config, &metrics).unwrap().apiserver_version().await;
    assert!(asked.is_err());
    metrics
}

/// Name and type of every metric on a page.
fn served(page: &str) -> BTreeMap<String, String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// Labels of every sample of a metric.
fn labels(page: &str, name: &str) -> BTreeSet<String> {
    let of_metric = |line: &&str| {
        let sample = line.split(['{', ' ']).next().unwrap_or_default();
        [name.to_owned(), format!("{name}_bucket")].contains(&sample.to_owned())
    };
    let pairs = page.lines().filter(of_metric).filter_map(|line| line.split_once('{')?.1.rsplit_once('}'));
    let names = pairs.flat_map(|(pairs, _)| pairs.split(',').filter_map(|pair| pair.split_once('=')));
    names.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect()
}

#[tokio::test]
async fn the_page_has_the_metrics_of_the_documentation_and_no_others() {
    let page = lived().await.page();
    let mut documented = BTreeSet::new();
    for row in read("docs/operating/metrics.md").lines().filter(|line| line.starts_with("| `obelysk_")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].trim_matches('`');
        let named = cells[2].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        assert_eq!(served(&page).get(name).map(String::as_str), Some(cells[1]), "{name}\n{page}");
        assert_eq!(labels(&page, name), named.filter(|label| !label.is_empty()).collect(), "{name}");
        documented.insert(name.to_owned());
    }
    let ours: BTreeSet<String> = served(&page).into_keys().filter(|name| !name.starts_with("process_")).collect();
    assert_eq!(ours, documented);
    // The contract's.
    for name in [
        "proofjobs",
        "proofjobs_unscheduled",
        "step_duration_seconds",
        "queue_wait_seconds",
        "retries_total",
        "proofs_total",
        "gpu_seconds_total",
        "download_bytes_total",
        "transactions",
        "reconcile_duration_seconds",
        "api_requests_total",
        "status_writes_total",
    ] {
        assert!(ours.contains(&format!("obelysk_{name}")), "{name}");
    }
    for name in
        ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds"]
    {
        assert!(served(&page).contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn each_thing_that_happens_to_a_job_is_counted_once() {
    let page = lived().await.page();
    for line in [
        r#"obelysk_retries_total{class="Gpu"} 1"#,
        r#"obelysk_proofs_total{gpu_class="H100",mode="gkr",result="Succeeded"} 1"#,
        r#"obelysk_step_duration_seconds_sum{gpu_class="H100",step="Prove"} 20"#,
        r#"obelysk_step_duration_seconds_count{gpu_class="H100",step="Prove"} 1"#,
        // It waited for a minute until its first prover ran; the second attempt is no wait.
        "obelysk_queue_wait_seconds_sum 60",
        "obelysk_queue_wait_seconds_count 1",
        // 40 s until the first attempt failed, before any device said what it is; 30 s in the second.
        r#"obelysk_gpu_seconds_total{gpu_class="none"} 40"#,
        r#"obelysk_gpu_seconds_total{gpu_class="H100"} 30"#,
        r#"obelysk_reconcile_errors_total{controller="proofjob",reason="Slow"} 1"#,
        r#"obelysk_api_requests_total{verb="get"} 1"#,
        "obelysk_leader 1",
        r#"obelysk_proofjobs{phase="Succeeded"} 1"#,
        r#"obelysk_proofjobs_unscheduled{reason="NoMatchingGpu"} 1"#,
        r#"obelysk_transactions{state="sent"} 0"#,
    ] {
        assert!(page.lines().any(|of| of == line), "{line}\n{page}");
    }
}

#[test]
fn a_download_is_counted_when_it_is_there_and_not_again_when_it_is_prepared() {
    let metrics = Metrics::default();
    let mut cache: ModelCache = serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ModelCache", "metadata": {"name": "m-1"},
        "spec": {"source": {"bundled": {"name": "tiny-chat"}}, "storage": {"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}}},
    }))
    .unwrap();
    let fetch = |number: i32, reason: &str| json!({"step": "fetch", "number": number, "reason": reason});
    let prepare = json!({"step": "prepare", "number": 1, "reason": "Succeeded"});
    for attempts in [
        json!([fetch(1, "NetworkError")]),
        json!([fetch(2, "Succeeded"), fetch(1, "NetworkError")]),
        json!([prepare, fetch(2, "Succeeded"), fetch(1, "NetworkError")]),
    ] {
        let after: ModelCacheStatus =
            serde_json::from_value(json!({"attempts": attempts, "resolved": {"bytes": 1000}})).unwrap();
        metrics.written(&cache, &after);
        cache.status = Some(after);
    }
    assert!(metrics.page().contains("\nobelysk_download_bytes_total 1000\n"), "{}", metrics.page());
}

#[test]
fn words_of_kubernetes_make_no_label_of_their_own() {
    let metrics = Metrics::default();
    let odd: Vec<ProofJobStatus> = (0..3)
        .map(|number| {
            let mut status = life().swap_remove(0);
            status.phase = Some(format!("Phase{number}"));
            status.conditions.iter_mut().for_each(|of| of.reason = format!("failed to reserve container {number}"));
            status
        })
        .collect();
    let samples = |page: &str| {
        page.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let before = samples(&metrics.page());
    metrics.set_proof_jobs(odd.iter().map(Some));
    let page = metrics.page();
    assert_eq!(samples(&page), before);
    assert!(page.contains(r#"obelysk_proofjobs_unscheduled{reason="Other"} 3"#), "{page}");
    metrics.set_proof_jobs(std::iter::empty());
    assert!(metrics.page().contains(r#"obelysk_proofjobs_unscheduled{reason="Other"} 0"#));
}

/// Names of the metrics in an expression, which must be one.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    let parsed = parser::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let mut names = BTreeSet::new();
    collect(&parsed, &mut names);
    names
}

fn collect(expression: &Expr, names: &mut BTreeSet<String>) {
    match expression {
        Expr::Aggregate(of) => collect(&of.expr, names),
        Expr::Unary(of) => collect(&of.expr, names),
        Expr::Binary(of) => {
            collect(&of.lhs, names);
            collect(&of.rhs, names);
        }
        Expr::Paren(of) => collect(&of.expr, names),
        Expr::Subquery(of) => collect(&of.expr, names),
        Expr::VectorSelector(of) => names.extend(of.name.clone()),
        Expr::MatrixSelector(of) => names.extend(of.vs.name.clone()),
        Expr::Call(of) => of.args.args.iter().for_each(|argument| collect(argument, names)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        Expr::Extension(_) => panic!("an extension of the language"),
    }
}

fn assert_known(expression: &str, page: &str) {
    let served = served(page);
    let names = metrics_of(expression);
    assert!(!names.is_empty(), "{expression}");
    for name in names {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let histogram = served.get(base).is_some_and(|kind| kind == "histogram");
        assert!(served.contains_key(&name) || histogram, "{expression}: the operator has no {name}");
    }
}

#[tokio::test]
async fn alerts_are_about_metrics_that_exist_and_each_has_a_runbook() {
    let page = lived().await.page();
    let rules: Value = serde_yaml_ng::from_str(&read("charts/proving-operator/files/alerts.yaml")).unwrap();
    let mut runbooks = BTreeSet::new();
    for rule in rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = rule["alert"].as_str().unwrap();
        assert_known(rule["expr"].as_str().unwrap(), &page);
        assert!(["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        let link = rule["annotations"]["runbook_url"].as_str().unwrap();
        let (_, path) = link.split_once("/blob/main/").unwrap_or_else(|| panic!("{name}: {link}"));
        assert!(read(path).starts_with(&format!("# {name}\n")), "{path} is not about {name}");
        runbooks.insert(path.rsplit('/').next().unwrap().to_owned());
    }
    let files = std::fs::read_dir(root().join("docs/operating/runbooks")).unwrap();
    let files: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, runbooks, "each page is of an alert");
}

#[tokio::test]
async fn the_dashboard_is_about_metrics_that_exist() {
    let page = lived().await.page();
    let dashboard: Value = serde_json::from_str(&read("charts/proving-operator/files/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets: Vec<&Value> = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).collect();
    assert!(targets.len() >= panels.len());
    let mut shown = BTreeSet::new();
    for target in targets {
        let expression = target["expr"].as_str().unwrap();
        assert_known(expression, &page);
        shown.extend(metrics_of(expression));
    }
    for name in served(&page).into_keys().filter(|name| name.starts_with("obelysk_")) {
        assert!(shown.iter().any(|of| of.starts_with(&name)), "{name} is on no panel");
    }
}

/// Health of an object, as a check for Argo CD judges it.
fn health(check: &str, object: &Value) -> String {
    use mlua::LuaSerdeExt;
    let lua = mlua::Lua::new();
    lua.globals().set("obj", lua.to_value(object).unwrap()).unwrap();
    let health: mlua::Table =
        lua.load(read(&format!("charts/proving-operator/files/argo-cd/{check}.lua"))).eval().unwrap();
    assert!(health.get::<String>("message").is_ok());
    health.get("status").unwrap()
}

fn with_conditions(generation: i64, conditions: &[(&str, &str)]) -> Value {
    let conditions: Vec<Value> =
        conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status, "message": "why"})).collect();
    json!({"metadata": {"generation": 2}, "status": {"observedGeneration": generation, "conditions": conditions}})
}

#[test]
fn argo_cd_sees_health_as_the_conditions_say_it() {
    let none = json!({"metadata": {"generation": 1}});
    for check in ["proofjob", "modelcache"] {
        assert_eq!(health(check, &none), "Progressing");
        assert_eq!(health(check, &with_conditions(2, &[("Reconciling", "True")])), "Progressing");
        assert_eq!(health(check, &with_conditions(2, &[("Ready", "False"), ("Stalled", "True")])), "Degraded");
    }
    assert_eq!(health("proofjob", &with_conditions(2, &[("Complete", "True")])), "Healthy");
    assert_eq!(health("proofjob", &with_conditions(1, &[("Complete", "True")])), "Progressing");
    assert_eq!(health("proofjob", &with_conditions(2, &[("Suspended", "True"), ("Reconciling", "True")])), "Suspended");
    assert_eq!(health("proofjob", &with_conditions(2, &[("Failed", "True")])), "Degraded");
    assert_eq!(health("modelcache", &with_conditions(2, &[("Ready", "True")])), "Healthy");
}
