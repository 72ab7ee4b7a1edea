//! What a cluster is made of: Kubernetes, containerd, runc and helm from Go modules, built once per version; CNI plugins and
//! the like from Debian packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use sha2::{Digest, Sha256};

use crate::{process, progress, root};

/// Minor versions of Kubernetes that the cluster can be made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Minor {
    /// 1.35.
    #[value(name = "1.35")]
    V1_35,
    /// 1.36.
    #[default]
    #[value(name = "1.36")]
    V1_36,
    /// 1.37.
    #[value(name = "1.37")]
    V1_37,
}

impl Minor {
    /// The file that pins the version, in `tests/kubernetes`. The default's has the name that Go expects.
    fn module_file(self) -> &'static str {
        match self {
            Self::V1_35 => "1.35.mod",
            Self::V1_36 => "go.mod",
            Self::V1_37 => "1.37.mod",
        }
    }

    /// The version that is pinned, as `1.36.3`.
    pub fn version(self) -> Result<String> {
        let file = root().join("tests/kubernetes").join(self.module_file());
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let version = text.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"));
        version.map(str::to_owned).with_context(|| format!("{} names no k8s.io/kubernetes", file.display()))
    }
}

/// Built programs.
pub struct Tools {
    /// All programs of Kubernetes and etcd in one: the first argument says which.
    pub kubernetes: PathBuf,
    /// First process of every pod.
    pub pause: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// containerd, its shim, `ctr` and `runc`, by name.
    pub runtime: PathBuf,
}

/// Programs or files that must be there, and the Debian package of each.
const SYSTEM: [(&str, &str); 9] = [
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("mount", "mount"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    // runc is built with C, and with filters of system calls, which restricted pods ask for.
    ("cc", "gcc"),
    ("pkg-config", "pkg-config"),
    ("/usr/include/seccomp.h", "libseccomp-dev"),
];

/// Build and install what is missing.
pub fn ensure(minor: Minor) -> Result<Tools> {
    install_system()?;
    Ok(Tools { kubernetes: kubernetes(minor)?, pause: pause()?, helm: helm()?, runtime: runtime()? })
}

fn source() -> PathBuf {
    root().join("tests/kubernetes")
}

/// All programs of Kubernetes. They say their version: charts and clients read it.
fn kubernetes(minor: Minor) -> Result<PathBuf> {
    let version = minor.version()?;
    let file = minor.module_file();
    let numbers: Vec<&str> = version.split('.').collect();
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        let [major, minor, ..] = numbers[..] else { bail!("`{version}` is no version of Kubernetes") };
        for (name, value) in [("gitVersion", format!("v{version}").as_str()), ("gitMajor", major), ("gitMinor", minor)]
        {
            flags += &format!(" -X {package}.{name}={value}");
        }
    }
    let sums = file.replace(".mod", ".sum");
    let folder = folder(&format!("kubernetes-{version}"), &["main.go", file, &sums], &flags)?;
    build(
        &source(),
        &format!("-modfile={file}"),
        ".",
        &flags,
        &folder.join("kubernetes"),
        &format!("Kubernetes {version}"),
    )
}

fn pause() -> Result<PathBuf> {
    let folder = folder("pause", &["pause/main.go"], STRIP)?;
    build(&source(), "-modfile=go.mod", "./pause", STRIP, &folder.join("pause"), "pause")
}

/// helm alone: charts are rendered and checked without a cluster.
pub fn helm() -> Result<PathBuf> {
    let folder = folder("helm", &["helm/go.mod", "helm/go.sum"], STRIP)?;
    build(&source().join("helm"), "-modfile=go.mod", "helm.sh/helm/v4/cmd/helm", STRIP, &folder.join("helm"), "helm")
}

/// Folder of containerd and what it starts.
fn runtime() -> Result<PathBuf> {
    let folder = folder("runtime", &["runtime/go.mod", "runtime/go.sum"], STRIP)?;
    for (name, package) in [
        ("containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
        ("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
        ("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
        ("runc", "github.com/opencontainers/runc"),
    ] {
        build(&source().join("runtime"), "-modfile=go.mod", package, STRIP, &folder.join(name), name)?;
    }
    Ok(folder)
}

/// Without tables for debuggers: half the size.
const STRIP: &str = "-s -w";

/// The folder of a program, by all that it is built from.
fn folder(name: &str, files: &[&str], flags: &str) -> Result<PathBuf> {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(fs::read(source().join(file)).with_context(|| format!("tests/kubernetes/{file}"))?);
    }
    hasher.update(flags);
    hasher.update(process::output(Command::new("go").arg("version")).context("Go is missing")?);
    let folder = root().join(".cache/tools").join(format!("{name}-{}", hex::encode(&hasher.finalize()[..6])));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn build(module: &Path, module_file: &str, package: &str, flags: &str, target: &Path, what: &str) -> Result<PathBuf> {
    if target.is_file() {
        return Ok(target.to_owned());
    }
    println!("building {what} (once)");
    let unfinished = target.with_extension("unfinished");
    // runc enters namespaces before Go starts, in C; all others need none.
    let is_runc = target.ends_with("runc");
    let mut command = Command::new("go");
    command.current_dir(module).env("CGO_ENABLED", if is_runc { "1" } else { "0" });
    command.args(["build", "-v", "-trimpath", module_file, "-ldflags", flags]);
    if is_runc {
        command.args(["-tags", "seccomp"]);
    }
    command.arg("-o").arg(&unfinished).arg(package);
    progress::run(&format!("building {what}"), &mut command)
        .context("Go builds what a cluster needs from modules; that takes Go 1.26 or later and the module proxy")?;
    fs::rename(unfinished, target)?;
    Ok(target.to_owned())
}

fn is_there(program: &str) -> bool {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

fn install_system() -> Result<()> {
    // An absolute path stands for itself.
    let missing: Vec<&str> =
        SYSTEM.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
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
        progress::run(&format!("installing {list}"), &mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], missing.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_minor_is_pinned_to_a_release_of_its_own() {
        for minor in Minor::value_variants() {
            let name = minor.to_possible_value().unwrap().get_name().to_owned();
            assert!(minor.version().unwrap().starts_with(&format!("{name}.")), "{name}");
            assert!(source().join(minor.module_file().replace(".mod", ".sum")).is_file(), "{name}");
        }
    }
}
