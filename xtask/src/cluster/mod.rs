//! A real single-node Kubernetes on this machine: etcd, apiserver, controller-manager, scheduler, containerd, kubelet,
//! kube-proxy, and a small provisioner of volumes. Everything is stopped by process id.

mod configuration;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::tools::{self, Tools};
use crate::{image, process, root};

/// Arguments of `cluster`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Bring it up; does nothing if it is up.
    Up,
    /// Stop everything and remove what it left.
    Down,
    /// Show its nodes and pods.
    Status,
}

/// A cluster that is up.
pub struct Cluster {
    /// Built programs.
    pub tools: Tools,
    /// Folder with everything that belongs to it.
    pub folder: PathBuf,
}

/// Processes in the order in which they start.
const PROCESSES: [&str; 8] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
    "provisioner",
];
/// Name of the node.
pub const NODE: &str = "node-1";
/// Image of the first process of every pod.
const PAUSE_IMAGE: &str = "obelysk.dev/pause:1";
/// Patience with one component.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.action {
        Action::Up => {
            let cluster = up()?;
            println!("export KUBECONFIG={}", cluster.kubeconfig().display());
            Ok(())
        }
        Action::Down => down(),
        Action::Status => {
            let cluster = Cluster { tools: tools::ensure()?, folder: folder() };
            cluster.kubectl(&["get", "nodes,pods", "--all-namespaces", "-o", "wide"]).map(|text| print!("{text}"))
        }
    }
}

/// Bring a cluster up, run something with its kubeconfig and image in the environment, and take it down.
pub fn with_cluster(work: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
    let result = up().and_then(|cluster| {
        let image = image::build()?;
        cluster.import(&image.path)?;
        // Child processes find the cluster through their environment.
        let tests = Environment { kubeconfig: cluster.kubeconfig(), tools: &cluster.tools, image: &image.tag };
        tests.write(&cluster.folder)?;
        work(&cluster)
    });
    let ended = down();
    result.and(ended)
}

/// What tests of a cluster need to know, in a file: `tests/tests/cluster` reads it.
struct Environment<'a> {
    kubeconfig: PathBuf,
    tools: &'a Tools,
    image: &'a str,
}

impl Environment<'_> {
    fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::json!({
            "kubeconfig": self.kubeconfig,
            "kubectl": self.tools.kubernetes,
            "helm": self.tools.helm,
            "image": self.image,
        });
        Ok(fs::write(folder.join("environment.json"), text.to_string())?)
    }
}

fn folder() -> PathBuf {
    root().join(".cache/cluster")
}

impl Cluster {
    /// Credentials of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Run kubectl and return what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.tools.kubernetes);
        command.arg("kubectl").arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        process::output(&mut command)
    }

    /// Put an image where the kubelet finds it.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(self.folder.join("containerd.sock")).args(["-n", "k8s.io", "images", "import"]);
        process::output(command.arg(archive)).map(drop)
    }

    fn start(&self, name: &str, arguments: &[String]) -> Result<()> {
        let arguments: Vec<String> = std::iter::once(name.to_owned()).chain(arguments.iter().cloned()).collect();
        process::start(&self.folder, name, &self.tools.kubernetes, &arguments)
    }

    fn wait(&self, what: &str, process_name: &str, condition: impl Fn() -> bool) -> Result<()> {
        let alive = || process::is_running(&self.folder, process_name);
        if process::wait_until(PATIENCE, || condition() || !alive()) && condition() {
            return Ok(());
        }
        bail!(
            "{what} within {PATIENCE:?}: no. The end of {process_name}'s log:\n{}",
            process::tail(&self.folder, process_name)
        );
    }
}

/// Bring the cluster up, or find it up.
pub fn up() -> Result<Cluster> {
    let cluster = Cluster { tools: tools::ensure()?, folder: folder() };
    if PROCESSES.iter().all(|name| process::is_running(&cluster.folder, name)) {
        return Ok(cluster);
    }
    down()?;
    fs::create_dir_all(cluster.folder.join("etcd"))?;
    fs::create_dir_all(cluster.folder.join("volumes"))?;
    configuration::write(&cluster.folder, PAUSE_IMAGE)?;
    // Bridged pod traffic must pass iptables for ClusterIPs to work; not every kernel has the module, or needs it.
    let _ = Command::new("modprobe").args(["-a", "br_netfilter", "overlay"]).output();
    let _ = fs::write("/proc/sys/net/ipv4/ip_forward", "1");

    cluster.start("etcd", &configuration::etcd(&cluster.folder))?;
    cluster.start("kube-apiserver", &configuration::apiserver(&cluster.folder))?;
    cluster
        .wait("the apiserver is ready", "kube-apiserver", || cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok())?;
    cluster.start("kube-controller-manager", &configuration::controller_manager(&cluster.folder))?;
    cluster.start("kube-scheduler", &configuration::scheduler(&cluster.folder))?;
    let containerd = ["--config".to_owned(), configuration::path(&cluster.folder, "containerd.toml")];
    process::start(&cluster.folder, "containerd", Path::new("containerd"), &containerd)?;
    let socket = cluster.folder.join("containerd.sock");
    let answers =
        || Command::new("ctr").arg("-a").arg(&socket).arg("version").output().is_ok_and(|o| o.status.success());
    cluster.wait("containerd answers", "containerd", answers)?;
    let pause = cluster.folder.join("pause.tar");
    image::pack(&pause, PAUSE_IMAGE, "/pause", &[("pause".into(), cluster.tools.pause.clone())], None)?;
    cluster.import(&pause)?;
    cluster.start("kubelet", &configuration::kubelet(&cluster.folder))?;
    cluster.start("kube-proxy", &configuration::proxy(&cluster.folder))?;
    cluster.wait("the node is ready", "kubelet", || {
        cluster.kubectl(&["get", "nodes"]).is_ok_and(|nodes| nodes.contains(" Ready"))
    })?;
    cluster.kubectl(&["apply", "-f", &configuration::path(&cluster.folder, "storage-class.yaml")])?;
    let provisioner: Vec<String> = [
        "provisioner",
        "--kubernetes",
        &cluster.tools.kubernetes.display().to_string(),
        "--kubeconfig",
        &cluster.kubeconfig().display().to_string(),
        "--volumes",
        &configuration::path(&cluster.folder, "volumes"),
    ]
    .map(str::to_owned)
    .into();
    process::start(&cluster.folder, "provisioner", &std::env::current_exe()?, &provisioner)?;
    cluster
        .wait("the default service account exists", "kube-controller-manager", || {
            cluster.kubectl(&["get", "serviceaccount", "default"]).is_ok()
        })
        .context("the controller-manager does not work")?;
    Ok(cluster)
}

/// Stop everything, and remove what it left on the machine.
pub fn down() -> Result<()> {
    let folder = folder();
    if !folder.exists() {
        return Ok(());
    }
    for name in ["provisioner", "kubelet", "kube-proxy"] {
        process::stop(&folder, name);
    }
    stop_containers(&folder);
    for name in ["containerd", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"] {
        process::stop(&folder, name);
    }
    unmount_below(&folder);
    let _ = Command::new("ip").args(["link", "delete", configuration::BRIDGE]).output();
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Containers outlive the kubelet and containerd: their shims must go one by one.
fn stop_containers(folder: &Path) {
    let ctr = |arguments: &[&str]| {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(folder.join("containerd.sock")).args(["-n", "k8s.io"]).args(arguments);
        process::output(&mut command).unwrap_or_default()
    };
    let tasks: Vec<String> = ctr(&["tasks", "list", "-q"]).lines().map(str::to_owned).collect();
    for task in &tasks {
        ctr(&["tasks", "kill", "-s", "SIGKILL", task]);
    }
    process::wait_until(Duration::from_secs(5), || !ctr(&["tasks", "list"]).contains("RUNNING"));
    for task in &tasks {
        ctr(&["tasks", "delete", "--force", task]);
        ctr(&["containers", "delete", task]);
    }
}

fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below =
        mounts.lines().filter_map(|line| line.split_whitespace().nth(1)).filter(|at| Path::new(at).starts_with(folder));
    let mut below: Vec<&str> = below.collect();
    below.sort_unstable_by_key(|at| std::cmp::Reverse(at.len()));
    for at in below {
        let _ = Command::new("umount").args(["--lazy", at]).output();
    }
    // Sandboxes keep their network namespaces as mounts of their own.
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("cni-") {
            let _ = Command::new("umount").arg("--lazy").arg(entry.path()).output();
            let _ = fs::remove_file(entry.path());
        }
    }
}
