//! How much memory this process may still take: what the system has free, and what its control group leaves it.

use std::fs;
use std::path::Path;

use crate::failure::{ExitCode, Failure};

/// Refuse what does not fit, before the system ends this process for it. `what` takes the bytes.
///
/// # Errors
/// [`ExitCode::Unsupported`] with what is needed and what is free.
pub fn require(what: &str, bytes: u64, hint: &str) -> Result<(), Failure> {
    match available() {
        Some(available) if bytes > available => {
            let (needed, available) = (bytes >> 20, available >> 20);
            let message = format!("{what} takes about {needed} MiB of memory; {available} MiB are free");
            Err(Failure::new(ExitCode::Unsupported, message, hint))
        }
        _ => Ok(()),
    }
}

/// Bytes, or `None` where neither is known.
#[must_use]
pub fn available() -> Option<u64> {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| free_of_system(&text));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = free_of_group(Path::new("/sys/fs/cgroup"), &own);
    system.into_iter().chain(group).min()
}

/// Of the text of `/proc/meminfo`.
fn free_of_system(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Limit less use of the control group of this process, and of those above it. `root` is where control groups are mounted,
/// `own` the text of `/proc/self/cgroup`.
fn free_of_group(root: &Path, own: &str) -> Option<u64> {
    let mut free: Option<u64> = None;
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, files) = match controllers {
            "" => (root.to_owned(), V2),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), V1),
            _ => continue,
        };
        // A container sees its own group as the root, whatever the path is called outside.
        let path = Path::new(path.trim_start_matches('/'));
        let groups = path.ancestors().map(|group| mount.join(group));
        free = free.into_iter().chain(groups.filter_map(|group| files.free(&group))).min();
    }
    free
}

/// The files of a control group that state its memory.
struct Files {
    limit: &'static str,
    usage: &'static str,
    cached: &'static str,
}

/// The groups of cgroup v2.
const V2: Files = Files { limit: "memory.max", usage: "memory.current", cached: "inactive_file" };
/// Those of v1. What it counts for the groups below as well is the total.
const V1: Files =
    Files { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cached: "total_inactive_file" };

impl Files {
    fn free(&self, group: &Path) -> Option<u64> {
        let number = |name: &str| -> Option<u64> { fs::read_to_string(group.join(name)).ok()?.trim().parse().ok() };
        let limit = number(self.limit)?;
        let used = number(self.usage).unwrap_or(0);
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        Some(limit.saturating_sub(used.saturating_sub(self.cached_in(&stat))))
    }

    /// Pages of files in the text of `memory.stat` that the kernel drops when memory is asked for.
    fn cached_in(&self, stat: &str) -> u64 {
        let number = |line: &str| line.strip_prefix(self.cached)?.strip_prefix(' ')?.trim().parse().ok();
        stat.lines().find_map(number).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_states_what_is_available_in_kibibytes() {
        assert_eq!(free_of_system("MemTotal: 4096 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(free_of_system("MemTotal: 4096 kB\n"), None);
        assert_eq!(V2.cached_in("anon 7\ninactive_file 4096\nactive_file 8192\n"), 4096);
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }

    /// A tree of control groups: path, limit, use and cache of each.
    fn tree(files: &Files, groups: &[(&str, &str, u64, u64)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, limit, used, cached) in groups {
            let group = root.path().join(path);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join(files.limit), format!("{limit}\n")).unwrap();
            fs::write(group.join(files.usage), format!("{used}\n")).unwrap();
            fs::write(group.join("memory.stat"), format!("x 1\n{} {cached}\n", files.cached)).unwrap();
        }
        root
    }

    #[test]
    fn the_narrowest_group_decides_under_both_versions() {
        let unlimited = i64::MAX as u64 - 4095;
        let v1 = tree(&V1, &[("memory", &unlimited.to_string(), 900, 0), ("memory/x", "600", 250, 50)]);
        let own = "12:cpu,cpuacct:/x\n5:memory:/x\n1:name=systemd:/x\n0::/x\n";
        assert_eq!(free_of_group(v1.path(), own), Some(400));
        // In a container the group is the root, and its path the one outside.
        let v1 = tree(&V1, &[("memory", "600", 500, 100)]);
        assert_eq!(free_of_group(v1.path(), "5:memory:/kubepods/pod1\n"), Some(200));
        let v2 = tree(&V2, &[("", "max", 900, 0), ("a", "700", 200, 0), ("a/b", "max", 100, 0)]);
        assert_eq!(free_of_group(v2.path(), "0::/a/b\n"), Some(500));
        assert_eq!(free_of_group(v2.path(), "0::/\n"), None);
    }
}
