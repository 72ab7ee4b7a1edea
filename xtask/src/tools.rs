//! What a cluster is made of: Kubernetes and helm from Go modules, built once per version; containerd and its kin from
//! Debian packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{process, root};

/// Built programs.
pub struct Tools {
    /// All programs of Kubernetes and etcd in one: the first argument says which.
    pub kubernetes: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// First process of every pod.
    pub pause: PathBuf,
}

/// Programs that must be there, and the Debian package of each.
const SYSTEM: [(&str, &str); 7] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("mount", "mount"),
];
/// The bridge plugin stands for its package.
const PLUGIN: (&str, &str) = ("/usr/lib/cni/bridge", "containernetworking-plugins");

/// Build and install what is missing.
pub fn ensure() -> Result<Tools> {
    install_system()?;
    let source = root().join("tests/kubernetes");
    let folder = root().join(".cache/tools").join(key(&source)?);
    fs::create_dir_all(&folder)?;
    let tools = Tools { kubernetes: folder.join("kubernetes"), helm: folder.join("helm"), pause: folder.join("pause") };
    build(&source, ".", &tools.kubernetes)?;
    build(&source, "./pause", &tools.pause)?;
    build(&source.join("helm"), "helm.sh/helm/v4/cmd/helm", &tools.helm)?;
    Ok(tools)
}

fn build(module: &Path, package: &str, target: &Path) -> Result<()> {
    if target.is_file() {
        return Ok(());
    }
    println!("building {} (once)", target.file_name().unwrap_or_default().display());
    let unfinished = target.with_extension("unfinished");
    process::run(
        Command::new("go")
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
            .arg(&unfinished)
            .arg(package),
    )
    .context("Go builds Kubernetes from its modules; it needs Go 1.26 or later and the module proxy")?;
    Ok(fs::rename(unfinished, target)?)
}

/// Versions of everything that the programs are built from.
fn key(source: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for file in ["main.go", "go.mod", "go.sum", "pause/main.go", "helm/go.mod", "helm/go.sum"] {
        hasher.update(fs::read(source.join(file)).with_context(|| format!("tests/kubernetes/{file}"))?);
    }
    hasher.update(process::output(Command::new("go").arg("version")).context("Go is missing")?);
    Ok(hex::encode(&hasher.finalize()[..6]))
}

fn is_there(program: &str) -> bool {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

fn install_system() -> Result<()> {
    let mut missing: Vec<&str> =
        SYSTEM.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if !Path::new(PLUGIN.0).exists() {
        missing.push(PLUGIN.1);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let is_root = process::output(Command::new("id").arg("-u"))?.trim() == "0";
    if !is_root || !is_there("apt-get") {
        bail!("these Debian packages (or their like) are missing, and installing them needs root and apt-get: {list}");
    }
    println!("installing {list}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(arguments);
        process::output(&mut command)
    };
    apt(&["update"])?;
    // The package's own containerd must not start: the cluster runs one of its own.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let foreign = policy.exists();
    if !foreign {
        fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        process::run(Command::new("chmod").arg("+x").arg(policy))?;
    }
    let installed = apt(&[&["install", "-y", "--no-install-recommends"], missing.as_slice()].concat());
    if !foreign {
        fs::remove_file(policy)?;
    }
    installed.map(drop)
}
