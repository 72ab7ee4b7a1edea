//! Goals O1 to O3: many ProofJobs that wait for a GPU which no node has, on a real API server with simulated nodes. How long until each
//! says why it waits, what the operator asks when nothing happens, and what memory it takes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{fresh_folder, machine, report};
use crate::cluster::{self, Cluster};
use crate::progress::Progress;
use crate::tools::Minor;
use crate::{image, process};

/// The class that jobs ask for, and the product of the nodes that there are.
const ASKED: &str = "B300";
const PRODUCT: &str = "NVIDIA-A100-SXM4-80GB";
/// Where the operator serves its pages.
const METRICS: &str = "127.0.0.1:29090";
/// Longest wait until every job has a reason.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Time for what is under way to end, and then the time in which nothing should happen.
const SETTLE: Duration = Duration::from_secs(40);
const IDLE: Duration = Duration::from_secs(60);
/// Objects in one file for kubectl.
const BATCH: usize = 500;
/// What the operator of commit fd6687f took with 2,000 jobs on two cores: seconds, reads per second in idle, MB.
const EARLIER: (f64, f64, f64) = (140.0, 385.0, 225.0);

/// Measure with a number of jobs and of simulated nodes. The cluster is this bench's own: it must not be up, and goes with it.
pub(super) fn run(jobs: usize, nodes: usize) -> Result<()> {
    ensure!(!cluster::is_there(), "a cluster is up: `cargo xtask cluster down` takes it down");
    let programs = image::build_programs()?;
    let folder = fresh_folder("fleet")?;
    let cluster = cluster::up(Minor::default())?;
    let measured = measure(&cluster, &programs.join("obelysk-operator"), &folder, jobs, nodes);
    cluster::down()?;
    let measured = measured?;
    println!("\n{jobs} ProofJobs, {nodes} simulated nodes, Kubernetes {}, {}", Minor::default().version()?, machine());
    println!("| | commit fd6687f, 2,000 jobs | now |\n|---|---|---|");
    let row =
        |what: &str, earlier: f64, now: f64, unit: &str| println!("| {what} | {earlier} {unit} | {now:.1} {unit} |");
    row("until every job has a reason", EARLIER.0, measured.seconds, "s");
    row("reads in idle", EARLIER.1, measured.reads, "/s");
    row("writes in idle, the Lease's alone", 0.5, measured.writes, "/s");
    row("peak resident memory", EARLIER.2, measured.peak, "MB");
    let name = |what: &str| format!("fleet of {jobs} waiting jobs: {what}");
    report(&name("all have a reason"), "s", &mut [measured.seconds]);
    report(&name("reads in idle"), "1/s", &mut [measured.reads]);
    report(&name("writes in idle"), "1/s", &mut [measured.writes]);
    report(&name("peak resident memory"), "MB", &mut [measured.peak]);
    report(&name("resident memory in idle"), "MB", &mut [measured.resident]);
    report(&name("status writes per job"), "", &mut [measured.status_writes / jobs as f64]);
    report(&name("requests until all have a reason, per job"), "", &mut [measured.requests / jobs as f64]);
    report(&name("processor time until all have a reason"), "s", &mut [measured.processor]);
    Ok(())
}

struct Measured {
    seconds: f64,
    reads: f64,
    writes: f64,
    peak: f64,
    resident: f64,
    status_writes: f64,
    requests: f64,
    processor: f64,
}

fn measure(cluster: &Cluster, operator: &Path, folder: &Path, jobs: usize, nodes: usize) -> Result<Measured> {
    let create = |name: &str, objects: Vec<Value>| create(cluster, folder, name, objects);
    cluster.kubectl(&["apply", "-f", &crate::root().join("crds").display().to_string()])?;
    create("nodes", (0..nodes).map(node).collect())?;
    create("cache", vec![cache()])?;
    // The model counts as prepared: that an attempt succeeded is on record, and no pod has to run for it.
    let fetched = |step: &str| json!({"step": step, "number": 1, "reason": "Succeeded"});
    let status = json!({"status": {
        "attempts": [fetched("prepare"), fetched("fetch")], "resolved": {"modelDigest": "00", "bytes": 1},
    }});
    let patch = ["patch", "modelcache", "tiny-chat", "--subresource=status", "--type=merge", "-p", &status.to_string()];
    cluster.kubectl(&patch)?;
    let operator = Operator::start(cluster, operator, folder)?;
    let ready = || cluster.kubectl(&["wait", "modelcache/tiny-chat", "--for=condition=Ready", "--timeout=1s"]).is_ok();
    ensure!(process::wait_until(Duration::from_secs(60), ready), "the model is not ready:\n{}", operator.log(folder));

    let before = operator.metrics()?;
    let start = Instant::now();
    create("jobs", (0..jobs).map(job).collect())?;
    println!("{jobs} ProofJobs created in {:.1} s", start.elapsed().as_secs_f64());
    let progress = Progress::new("waiting until every ProofJob says why it waits");
    loop {
        ensure!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}:\n{}", operator.log(folder));
        let written = sum(&operator.metrics()?, r#"obelysk_status_writes_total{kind="ProofJob"}"#);
        progress.set_detail(&format!("{written} statuses written"));
        // Asking the API server for all of them costs it more than a write: only when it can be so.
        if written >= jobs as f64 && waiting(cluster)? == jobs {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = operator.metrics()?;
    drop(progress);

    let _progress = Progress::new("measuring what is asked when nothing happens");
    std::thread::sleep(SETTLE);
    let first = operator.metrics()?;
    std::thread::sleep(IDLE);
    let last = operator.metrics()?;
    let per_second = |verbs: &[&str]| {
        let count = |page| {
            verbs.iter().map(|verb| sum(page, &format!("obelysk_api_requests_total{{verb=\"{verb}\"}}"))).sum::<f64>()
        };
        (count(&last) - count(&first)) / IDLE.as_secs_f64()
    };
    let change = |name: &str| sum(&after, name) - sum(&before, name);
    Ok(Measured {
        seconds,
        reads: per_second(&["get", "list", "watch"]),
        writes: per_second(&["create", "update", "patch", "delete"]),
        peak: operator.memory("VmHWM")?,
        resident: operator.memory("VmRSS")?,
        status_writes: change("obelysk_status_writes_total"),
        requests: change("obelysk_api_requests_total"),
        processor: change("process_cpu_seconds_total"),
    })
}

/// ProofJobs whose condition says that no GPU fits.
fn waiting(cluster: &Cluster) -> Result<usize> {
    let query = r#"jsonpath={range .items[*]}{.status.conditions[?(@.type=="Scheduled")].reason}{"\n"}{end}"#;
    let reasons = cluster.kubectl(&["get", "proofjobs", "-o", query])?;
    Ok(reasons.lines().filter(|reason| *reason == "NoMatchingGpu").count())
}

fn create(cluster: &Cluster, folder: &Path, name: &str, objects: Vec<Value>) -> Result<()> {
    let _progress = Progress::new(&format!("creating {name}"));
    for (number, batch) in objects.chunks(BATCH).enumerate() {
        let path = folder.join(format!("{name}-{number}.json"));
        fs::write(&path, json!({"apiVersion": "v1", "kind": "List", "items": batch}).to_string())?;
        cluster.kubectl(&["create", "-f", &path.display().to_string()])?;
    }
    Ok(())
}

/// A node without a kubelet, as large as a real one.
fn node(number: usize) -> Value {
    let padding: BTreeMap<String, String> =
        (0..60).map(|place| (format!("example.com/fact-{place}"), "x".repeat(200))).collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": format!("simulated-{number}"),
            "labels": {"kubernetes.io/hostname": format!("simulated-{number}"), "nvidia.com/gpu.product": PRODUCT,
                       "nvidia.com/gpu.memory": "81920"},
            "annotations": padding,
        },
    })
}

fn cache() -> Value {
    json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ModelCache", "metadata": {"name": "tiny-chat"},
        "spec": {
            "source": {"bundled": {"name": "tiny-chat"}},
            "storage": {"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}},
        },
    })
}

fn job(number: usize) -> Value {
    json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob", "metadata": {"name": format!("waiting-{number}")},
        "spec": {
            "model": {"cacheRef": {"name": "tiny-chat"}},
            "inference": {"prompt": "What is 7 + 5?", "chat": true, "maxNewTokens": 16},
            "hardware": {"gpu": {"classes": [ASKED]}},
        },
    })
}

/// The operator as a process of this machine.
struct Operator(Child);

impl Operator {
    fn start(cluster: &Cluster, program: &Path, folder: &Path) -> Result<Self> {
        let child = Command::new(program)
            .env("KUBECONFIG", cluster.kubeconfig())
            .args(["--image", "obelysk.dev/obelysk:bench", "--metrics-address", METRICS])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("operator.log"))?)
            .spawn()?;
        let operator = Self(child);
        let leads = || operator.metrics().is_ok_and(|page| sum(&page, "obelysk_leader") == 1.0);
        ensure!(
            process::wait_until(Duration::from_secs(60), leads),
            "the operator does not lead:\n{}",
            operator.log(folder)
        );
        Ok(operator)
    }

    fn metrics(&self) -> Result<String> {
        process::output(Command::new("curl").args(["-sSf", "--max-time", "10", &format!("http://{METRICS}/metrics")]))
    }

    /// A line of the process' status, in MB.
    fn memory(&self, line: &str) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let found = text.lines().find_map(|of| of.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next());
        Ok(found.context("a running process has memory")?.parse::<f64>()? * 1024.0 / 1e6)
    }

    fn log(&self, folder: &Path) -> String {
        let text = fs::read_to_string(folder.join("operator.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sum of the samples of a metric, or of those with these labels.
fn sum(page: &str, name: &str) -> f64 {
    let samples = page.lines().filter_map(|line| line.rsplit_once(' '));
    let of_metric = samples
        .filter(|(sample, _)| *sample == name || sample.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
    of_metric.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_are_summed_and_no_other_ones() {
        let page = "# TYPE a counter\na{k=\"x\"} 2\na{k=\"y\"} 3\nab 7\nc 1\n";
        assert_eq!((sum(page, "a"), sum(page, "a{k=\"y\"}"), sum(page, "c")), (5.0, 3.0, 1.0));
    }
}
