//! How much memory this process may still take: what the system has free, and what its control group leaves it.

use std::fs;

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
    let group = free_of_group();
    system.into_iter().chain(group).min()
}

/// Of the text of `/proc/meminfo`.
fn free_of_system(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Limit less use of the control group (cgroup v2) that a container sees as the root of its own.
fn free_of_group() -> Option<u64> {
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let number = |name: &str| -> Option<u64> { read(name)?.trim().parse().ok() };
    let cached = read("memory.stat").and_then(|text| cached_of_group(&text)).unwrap_or(0);
    Some(number("memory.max")?.saturating_sub(number("memory.current")?.saturating_sub(cached)))
}

/// Pages of files in the text of `memory.stat` that the kernel drops when memory is asked for.
fn cached_of_group(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_states_what_is_available_in_kibibytes() {
        assert_eq!(free_of_system("MemTotal: 4096 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(free_of_system("MemTotal: 4096 kB\n"), None);
        assert_eq!(cached_of_group("anon 7\ninactive_file 4096\nactive_file 8192\n"), Some(4096));
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
