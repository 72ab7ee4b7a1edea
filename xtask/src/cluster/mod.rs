//! A real single-node Kubernetes on this machine: etcd, apiserver, controller-manager, scheduler, containerd, kubelet,
//! kube-proxy, and a small provisioner of volumes. Everything is stopped by process id.

mod configuration;
mod traces;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::progress::Progress;
use crate::tools::{self, Minor, Tools};
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
    Up {
        /// Minor version of Kubernetes.
        #[arg(long, value_enum, default_value_t)]
        kubernetes: Minor,
    },
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
/// File with the minor version.
const VERSION_FILE: &str = "kubernetes";
/// Link to the folder of containerd's programs, for whoever takes the cluster down.
const RUNTIME: &str = "runtime";
/// Patience with one component.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.action {
        Action::Up { kubernetes } => {
            let cluster = up(kubernetes)?;
            println!("{}\n# when you are done: cargo xtask cluster down", cluster.how_to_go_on());
            Ok(())
        }
        Action::Down => down(),
        Action::Status => {
            let Some(minor) = minor_of(&folder()) else {
                println!("no cluster is up");
                return Ok(());
            };
            let cluster = Cluster { tools: tools::ensure(minor)?, folder: folder() };
            cluster.kubectl(&["get", "nodes,pods", "--all-namespaces", "-o", "wide"]).map(|text| print!("{text}"))
        }
    }
}

/// Bring a cluster up, run something with its kubeconfig and image in the environment, and take it down.
pub fn with_cluster(minor: Minor, work: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
    let result = up(minor).and_then(|cluster| {
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

    /// Lines for a shell: credentials and kubectl.
    pub fn how_to_go_on(&self) -> String {
        format!(
            "export KUBECONFIG={}\nalias kubectl='{} kubectl'",
            self.kubeconfig().display(),
            self.tools.kubernetes.display()
        )
    }

    /// Run kubectl and return what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.tools.kubernetes);
        command.arg("kubectl").arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        process::output(&mut command)
    }

    /// Put an image where the kubelet finds it.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let _progress = Progress::new("importing an image");
        process::output(self.ctr().args(["images", "import"]).arg(archive)).map(drop)
    }

    /// containerd's client.
    fn ctr(&self) -> Command {
        let mut command = Command::new(self.tools.runtime.join("ctr"));
        command.arg("-a").arg(self.folder.join("containerd.sock")).args(["-n", "k8s.io"]);
        command
    }

    fn start(&self, name: &str, arguments: &[String]) -> Result<()> {
        let arguments: Vec<String> = std::iter::once(name.to_owned()).chain(arguments.iter().cloned()).collect();
        process::start(&self.folder, name, &self.tools.kubernetes, &arguments)
    }

    fn wait(&self, what: &str, process_name: &str, condition: impl Fn() -> bool) -> Result<()> {
        let _progress = Progress::new(&format!("waiting until {what}"));
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

/// The minor version of the cluster that was brought up.
fn minor_of(folder: &Path) -> Option<Minor> {
    Minor::from_str(fs::read_to_string(folder.join(VERSION_FILE)).ok()?.trim(), false).ok()
}

/// Whether a cluster was brought up and not taken down.
pub fn is_there() -> bool {
    folder().exists()
}

/// Bring the cluster up, or find it up.
pub fn up(minor: Minor) -> Result<Cluster> {
    let cluster = Cluster { tools: tools::ensure(minor)?, folder: folder() };
    if PROCESSES.iter().all(|name| process::is_running(&cluster.folder, name)) {
        let there = minor_of(&cluster.folder);
        if there != Some(minor) {
            bail!("a cluster of another version of Kubernetes is up: `cargo xtask cluster down` takes it down");
        }
        return Ok(cluster);
    }
    down()?;
    println!("bringing Kubernetes {} up", minor.version()?);
    fs::create_dir_all(cluster.folder.join("etcd"))?;
    fs::create_dir_all(cluster.folder.join("volumes"))?;
    let name = minor.to_possible_value().context("every version has a name")?;
    fs::write(cluster.folder.join(VERSION_FILE), name.get_name())?;
    symlink(&cluster.tools.runtime, cluster.folder.join(RUNTIME))?;
    configuration::write(&cluster.folder, &cluster.tools.runtime, PAUSE_IMAGE)?;
    traces::remember(&cluster.folder)?;
    // Bridged pod traffic must pass iptables for ClusterIPs to work; not every kernel has the module, or needs it.
    let _ = Command::new("modprobe").args(["-a", "br_netfilter", "overlay"]).output();
    let _ = fs::write(traces::IP_FORWARD, "1");

    cluster.start("etcd", &configuration::etcd(&cluster.folder))?;
    cluster.start("kube-apiserver", &configuration::apiserver(&cluster.folder))?;
    cluster
        .wait("the apiserver is ready", "kube-apiserver", || cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok())?;
    cluster.start("kube-controller-manager", &configuration::controller_manager(&cluster.folder))?;
    cluster.start("kube-scheduler", &configuration::scheduler(&cluster.folder))?;
    let containerd = ["--config".to_owned(), configuration::path(&cluster.folder, "containerd.toml")];
    // It finds its shim beside itself.
    process::start(&cluster.folder, "containerd", &cluster.tools.runtime.join("containerd"), &containerd)?;
    let answers = || cluster.ctr().arg("version").output().is_ok_and(|output| output.status.success());
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
    let _progress = Progress::new("taking the cluster down");
    for name in ["provisioner", "kubelet", "kube-proxy"] {
        process::stop(&folder, name);
    }
    stop_containers(&folder);
    for name in ["containerd", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"] {
        process::stop(&folder, name);
    }
    stop_shims(&folder);
    unmount_below(&folder);
    let _ = Command::new("ip").args(["link", "delete", configuration::BRIDGE]).output();
    traces::remove(&folder);
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Containers outlive the kubelet and containerd: their shims must go one by one.
fn stop_containers(folder: &Path) {
    let ctr = |arguments: &[&str]| {
        let mut command = Command::new(folder.join(RUNTIME).join("ctr"));
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

/// A pod's shim waits for a farewell of the kubelet, which is gone.
fn stop_shims(folder: &Path) {
    let address = folder.join("containerd.sock").display().to_string();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let command = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        let mut words = command.split('\0');
        let is_shim = words.next().is_some_and(|program| program.ends_with("/containerd-shim-runc-v2"));
        if is_shim && words.any(|word| word == address) {
            let id = process.file_name();
            let _ = Command::new("kill").arg("-KILL").arg(id).status();
        }
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
