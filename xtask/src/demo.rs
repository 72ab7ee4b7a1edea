//! From nothing to a verified proof: a ProofJob in a real Kubernetes, and a stranger who checks what comes out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::progress::Progress;
use crate::tools::{self, Minor};
use crate::{cluster, image, process, root};

/// Arguments of `demo`.
#[derive(Args)]
pub struct Arguments {
    /// Use a context of the default kubeconfig instead of a cluster of its own. Its nodes must have the image.
    #[arg(long, requires = "image")]
    context: Option<String>,
    /// Image for `--context`.
    #[arg(long)]
    image: Option<String>,
    /// Minor version of Kubernetes.
    #[arg(long, value_enum, default_value_t, conflicts_with = "context")]
    kubernetes: Minor,
    /// Leave the cluster up.
    #[arg(long)]
    keep: bool,
    /// Remove a cluster that was left up.
    #[arg(long, conflicts_with_all = ["keep", "context"])]
    down: bool,
}

/// Longest silence while the job is followed.
const SILENCE: Duration = Duration::from_secs(5);
/// Longest wait for the proof.
const PATIENCE: Duration = Duration::from_secs(600);
/// Name of the ProofJob in `examples/tiny-chat.yaml`.
const JOB: &str = "seven-plus-five";

/// kubectl and helm, pointed at a cluster.
struct Target {
    tools: tools::Tools,
    credentials: Vec<String>,
    helm_credentials: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.down {
        return cluster::down();
    }
    let start = Instant::now();
    let result = prove(arguments);
    if arguments.context.is_none() && !arguments.keep {
        cluster::down()?;
    }
    let how_to_go_on = result?;
    println!("\nfrom start to verified proof: {:.0} s", start.elapsed().as_secs_f64());
    if arguments.keep {
        println!(
            "\nthe cluster is up; to go on:\n{how_to_go_on}\nkubectl get proofjob,modelcache,pods\ncargo xtask demo --down"
        );
    } else if arguments.context.is_none() {
        println!("\nthe cluster is gone; `cargo xtask demo --keep` leaves it up");
    }
    Ok(())
}

/// From the charts to the verified proof; lines that say how to go on.
fn prove(arguments: &Arguments) -> Result<String> {
    let (target, tag, how_to_go_on) = match (&arguments.context, &arguments.image) {
        (Some(context), Some(image)) => {
            let target = Target {
                tools: tools::ensure(arguments.kubernetes)?,
                credentials: vec!["--context".into(), context.clone()],
                helm_credentials: vec!["--kube-context".into(), context.clone()],
            };
            (target, image.clone(), String::new())
        }
        _ => {
            let cluster = cluster::up(arguments.kubernetes)?;
            let image = image::build()?;
            cluster.import(&image.path)?;
            let kubeconfig = vec!["--kubeconfig".to_owned(), cluster.kubeconfig().display().to_string()];
            let how_to_go_on = cluster.how_to_go_on();
            let target = Target { tools: cluster.tools, credentials: kubeconfig.clone(), helm_credentials: kubeconfig };
            (target, image.tag, how_to_go_on)
        }
    };
    target.install(&tag)?;
    let manifest = root().join("examples/tiny-chat.yaml");
    say("kubectl apply -f examples/tiny-chat.yaml");
    print!("{}", target.kubectl(&["apply", "-f", &manifest.display().to_string()])?);
    target.follow()?;
    say("kubectl get proofjob,modelcache");
    print!("{}", target.kubectl(&["get", "proofjob,modelcache"])?);
    say(&format!("kubectl get proofjob {JOB} -o yaml"));
    print!("{}", target.kubectl(&["get", "proofjob", JOB, "-o", "yaml"])?);
    let status = target.status()?;
    println!("\nanswer: {}", status["inference"]["text"].as_str().unwrap_or_default());
    let folder = target.fetch(&status, &tag)?;
    let digest = status["model"]["modelDigest"].as_str().context("the status names the model's digest")?;
    say("obelysk-verify target/demo/proof --model-digest DIGEST");
    let verify = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| root().join("target").into()));
    process::run(Command::new(verify.join("release/obelysk-verify")).arg(&folder).args(["--model-digest", digest]))?;
    Ok(how_to_go_on)
}

fn say(command: &str) {
    println!("\n$ {command}");
}

impl Target {
    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tools.kubernetes);
        command.arg("kubectl").args(&self.credentials).args(arguments);
        command
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        process::output(&mut self.kubectl_command(arguments))
    }

    fn helm(&self, arguments: &[&str]) -> Result<String> {
        let _progress = Progress::new("helm waits for what it installs");
        process::output(Command::new(&self.tools.helm).args(&self.helm_credentials).args(arguments))
    }

    fn install(&self, tag: &str) -> Result<()> {
        let chart = |name: &str| root().join("charts").join(name).display().to_string();
        say("helm upgrade --install proving-crds charts/proving-crds");
        self.helm(&["upgrade", "--install", "proving-crds", &chart("proving-crds"), "--wait"])?;
        say("helm upgrade --install proving-operator charts/proving-operator --namespace obelysk-system");
        let image = format!("image.reference={tag}");
        let arguments =
            ["--namespace", "obelysk-system", "--create-namespace", "--set", &image, "--wait", "--timeout", "2m"];
        let install = ["upgrade", "--install", "proving-operator", &chart("proving-operator")];
        self.helm(&[&install[..], &arguments].concat()).map(drop)
    }

    fn status(&self) -> Result<Value> {
        let text = self.kubectl(&["get", "proofjob", JOB, "-o", "json"])?;
        Ok(serde_json::from_str::<Value>(&text)?["status"].take())
    }

    /// Print every change until the job ends.
    fn follow(&self) -> Result<()> {
        let start = Instant::now();
        let (mut last, mut said) = (String::new(), Instant::now());
        loop {
            let status = self.status()?;
            let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
            let line = format!("{:<10} {:<4} {}", text("phase"), text("progress"), text("summary"));
            if line != last || said.elapsed() >= SILENCE {
                said = Instant::now();
                println!("{:>5.0} s  {line}", start.elapsed().as_secs_f64());
                last = line;
            }
            match text("phase").as_str() {
                "Succeeded" => return Ok(()),
                "Failed" | "Cancelled" => bail!("the ProofJob ended as {}: {}", text("phase"), text("summary")),
                _ if start.elapsed() > PATIENCE => bail!("no proof within {PATIENCE:?}: {last}"),
                _ => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }

    /// Bring the proof's folder out of the cluster through a pod that mounts its claim.
    fn fetch(&self, status: &Value, tag: &str) -> Result<PathBuf> {
        let uri = status["proof"]["uri"].as_str().context("the status names the proof")?;
        let mut parts = uri.trim_start_matches("pvc://").splitn(3, '/');
        let (Some(_), Some(claim), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            bail!("`{uri}` does not name a claim and a path");
        };
        let folder = Path::new(path).parent().context("the proof lies in a folder")?.display().to_string();
        self.kubectl(&["delete", "pod", "reader", "--ignore-not-found", "--wait"])?;
        self.apply(&reader(tag, claim))?;
        let _progress = Progress::new("waiting for the pod that reads the proof");
        self.kubectl(&["wait", "pod/reader", "--for=condition=Ready", "--timeout=60s"])?;
        say(&format!("kubectl exec reader -- obelysk artifacts tar /artifacts/{folder} > proof.tar"));
        let output = self
            .kubectl_command(&["exec", "reader", "--", "obelysk", "artifacts", "tar", &format!("/artifacts/{folder}")])
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(output.status.success(), "the folder could not be read: {}", output.status);
        self.kubectl(&["delete", "pod", "reader", "--wait=false"])?;
        let target = root().join("target/demo/proof");
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        fs::create_dir_all(&target)?;
        tar::Archive::new(output.stdout.as_slice()).unpack(&target)?;
        Ok(target)
    }

    fn apply(&self, object: &Value) -> Result<()> {
        let mut child =
            self.kubectl_command(&["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        serde_json::to_writer(child.stdin.take().context("a piped input")?, object)?;
        anyhow::ensure!(child.wait()?.success(), "kubectl apply failed");
        Ok(())
    }
}

/// A pod that mounts a claim and waits.
fn reader(image: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "reader",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/usr/local/bin/obelysk", "artifacts", "hold"],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "artifacts", "mountPath": "/artifacts", "readOnly": true}],
            }],
            "volumes": [{"name": "artifacts", "persistentVolumeClaim": {"claimName": claim, "readOnly": true}}],
        },
    })
}
