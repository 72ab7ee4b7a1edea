//! On which nodes the scheduler puts jobs for GPUs, with the labels of real clusters on simulated nodes: nodes without a kubelet, on which pods are
//! bound and never start.

use serde_json::{Value, json};

use crate::kubectl::{apply, delete_and_wait, get, install, kubectl, names, proof_job, wait_for};

/// Nodes of one class and of none, deleted at the end whatever happens.
struct Nodes(Vec<Value>);

impl Nodes {
    fn of_class(class: &str) -> Self {
        let text = include_str!("../../fixtures/nodes.json");
        let all: Vec<Value> = serde_json::from_str(text).unwrap();
        let nodes: Vec<Value> =
            all.into_iter().filter(|node| node["class"] == class || node["class"].is_null()).collect();
        for node in &nodes {
            let taints = if node["taints"].is_null() { json!([]) } else { node["taints"].clone() };
            let object = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": node["name"], "labels": node["labels"]}, "spec": {"taints": taints},
            });
            apply(&object.to_string());
            let mut allocatable = node["allocatable"].clone();
            for (resource, amount) in [("cpu", "64"), ("memory", "1Ti"), ("pods", "110"), ("ephemeral-storage", "1Ti")]
            {
                allocatable[resource] = amount.into();
            }
            let now = now();
            let ready = json!({
                "type": "Ready", "status": "True", "reason": "Simulated", "message": "",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            });
            let status =
                json!({"status": {"capacity": allocatable, "allocatable": allocatable, "conditions": [ready]}});
            let name = node["name"].as_str().unwrap();
            kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status.to_string()]);
        }
        Self(nodes)
    }

    /// The fixture of a node.
    fn find(&self, name: &str) -> Value {
        self.0.iter().find(|node| node["name"] == name).cloned().unwrap_or_default()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let names: Vec<&str> = self.0.iter().filter_map(|node| node["name"].as_str()).collect();
        let _ = crate::kubectl::try_kubectl(&[&["delete", "node", "--ignore-not-found"], &names[..]].concat());
    }
}

fn now() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A job for a GPU.
fn for_gpu(name: &str, gpu: &str) -> String {
    proof_job(name, "{prompt: Hello}", "  podOverrides: {tolerations: [{key: sku, operator: Exists}]}\n")
        .replace("{cpu: {cores: 250m, memory: 2Gi}}", &format!("{{gpu: {gpu}}}"))
}

fn condition(job: &str) -> (String, String) {
    let conditions = get("proofjob", job)["status"]["conditions"].take();
    let ready =
        conditions.as_array().into_iter().flatten().find(|of| of["type"] == "Ready").cloned().unwrap_or_default();
    let word = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
    (word("reason"), word("message"))
}

/// The node on which the scheduler puts a pod with the constraints of a job's prove pod. Its volumes, which lie on the one real node, are left
/// out.
fn landed_on(job: &str) -> String {
    let prove = format!("{job}-prove-1");
    wait_for(&format!("{job} has its Job"), 30, || get("job", &prove) != Value::Null);
    let pod = get("job", &prove)["spec"]["template"]["spec"].take();
    let twin = format!("{job}-twin");
    let mut affinity = pod["affinity"].clone();
    affinity.as_object_mut().unwrap().remove("podAffinity");
    let container = json!({
        "name": "c", "image": pod["containers"][0]["image"],
        "resources": pod["containers"][0]["resources"], "securityContext": pod["containers"][0]["securityContext"],
    });
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": twin},
        "spec": {
            "affinity": affinity, "nodeSelector": pod["nodeSelector"], "tolerations": pod["tolerations"],
            "runtimeClassName": pod["runtimeClassName"], "containers": [container],
        },
    });
    apply(&object.to_string());
    let mut node = String::new();
    wait_for(&format!("{twin} is bound"), 60, || {
        node = get("pod", &twin)["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        !node.is_empty()
    });
    kubectl(&["delete", "pod", &twin, "--force", "--grace-period=0"]);
    node
}

#[test]
fn a_job_lands_on_the_class_that_it_asks_for_in_every_dialect() {
    install();
    for class in ["RTX4090", "A100", "H100", "H200", "B200", "B300"] {
        let nodes = Nodes::of_class(class);
        let mut sizes: Vec<String> = nodes
            .0
            .iter()
            .filter(|node| node["class"] == class && node["partition"] == "Whole")
            .map(|node| node["memory"].as_str().unwrap().to_owned())
            .collect();
        sizes.sort();
        sizes.dedup();
        for size in sizes {
            let name = format!("on-{}-{}", class.to_lowercase(), size.to_lowercase());
            apply(&for_gpu(&name, &format!("{{classes: [{class}], minMemory: {size}}}")));
            let node = nodes.find(&landed_on(&name));
            let gibibytes = |text: &str| text.trim_end_matches("Gi").parse::<u32>().unwrap();
            assert_eq!((&node["class"], &node["partition"]), (&json!(class), &json!("Whole")), "{name}: {node}");
            assert!(gibibytes(node["memory"].as_str().unwrap()) >= gibibytes(&size), "{name}: {node}");
            delete_and_wait(&name);
        }
    }
}

#[test]
fn a_job_for_a_processor_that_the_image_is_not_for_says_so() {
    install();
    for class in ["GH200", "GB200", "GB300"] {
        let _nodes = Nodes::of_class(class);
        let name = format!("no-{}", class.to_lowercase());
        apply(&for_gpu(&name, &format!("{{classes: [{class}]}}")));
        wait_for("there is a reason", 40, || condition(&name).1.contains("(arm64, the image is for amd64)"));
        assert_eq!(condition(&name).0, "NoMatchingGpu");
        delete_and_wait(&name);
    }
}

#[test]
fn slices_and_shares_go_to_jobs_that_take_them() {
    install();
    let nodes = Nodes::of_class("H100");
    let whole: Vec<&str> =
        nodes.0.iter().filter(|node| node["partition"] == "Whole").filter_map(|node| node["name"].as_str()).collect();
    kubectl(&[&["delete", "node"], &whole[..]].concat());
    apply(&for_gpu("whole", "{classes: [H100]}"));
    wait_for("there is a reason", 40, || {
        let (reason, message) = condition("whole");
        reason == "NoMatchingGpu" && message.contains("in MIG slices") && message.contains("shared by")
    });
    for (name, sharing, partition) in [("slice", "AllowMig", "Mig"), ("share", "AllowShared", "Shared")] {
        apply(&for_gpu(name, &format!("{{classes: [H100], sharing: {sharing}}}")));
        assert_eq!(nodes.find(&landed_on(name))["partition"], partition);
        delete_and_wait(name);
    }
    delete_and_wait("whole");
}

#[test]
fn a_pool_without_nodes_gets_its_pending_pod_and_says_what_it_promises() {
    install();
    apply(
        "apiVersion: proving.obelysk.dev/v1alpha1
kind: ProverPool
metadata: {name: from-zero}
spec: {nodeSelector: {fleet: from-zero}, promises: [{class: H100}], maxConcurrent: 1}
",
    );
    wait_for("the pool is ready", 30, || {
        let conditions = get("proverpool", "from-zero")["status"]["conditions"].take();
        conditions.as_array().into_iter().flatten().any(|of| of["type"] == "Ready" && of["reason"] == "Promised")
    });
    for name in ["first", "second"] {
        apply(&for_gpu(name, "{classes: [H100], minMemory: 80Gi, poolRef: {name: from-zero}}"));
        wait_for("the turn is taken in order", 30, || match name {
            "first" => names("pods", "proving.obelysk.dev/proofjob=first").len() == 1,
            _ => condition(name).0 == "WaitingForTurn",
        });
    }
    let pod = get("pod", &names("pods", "proving.obelysk.dev/proofjob=first")[0]);
    assert_eq!(pod["spec"]["nodeSelector"], json!({"fleet": "from-zero"}));
    kubectl(&["patch", "proofjob", "first", "--type=merge", "-p", r#"{"spec":{"cancel":true}}"#]);
    wait_for("the next has its turn", 60, || names("pods", "proving.obelysk.dev/proofjob=second").len() == 1);
    delete_and_wait("first");
    delete_and_wait("second");
    kubectl(&["delete", "proverpool", "from-zero"]);
}
