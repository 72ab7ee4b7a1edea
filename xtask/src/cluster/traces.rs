//! What a cluster leaves in the kernel beside its processes: rules of iptables, and forwarding between interfaces. `up` notes
//! what was there before; `down` takes away what came since.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process;

/// Whether the machine forwards between its interfaces.
pub const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// Beginnings of the names of chains that kube-proxy, the kubelet and CNI plugins make.
const PREFIXES: [&str; 2] = ["KUBE-", "CNI-"];
/// Families of addresses, by what their programs are called.
const FAMILIES: [&str; 2] = ["iptables", "ip6tables"];

/// Note what is there before the cluster is.
pub fn remember(folder: &Path) -> Result<()> {
    fs::write(folder.join("ip_forward.before"), fs::read_to_string(IP_FORWARD).unwrap_or_default())?;
    for family in FAMILIES {
        fs::write(folder.join(format!("{family}.before")), rules(family))?;
    }
    Ok(())
}

/// Take away what came since [`remember`].
pub fn remove(folder: &Path) {
    let before = |name: &str| fs::read_to_string(folder.join(format!("{name}.before")));
    if before("ip_forward").is_ok_and(|value| value.trim() == "0") {
        let _ = fs::write(IP_FORWARD, "0");
    }
    for family in FAMILIES {
        let Ok(before) = before(family) else { continue };
        if let Err(error) = restore(family, &removal(&before, &rules(family))) {
            eprintln!("rules of {family} stay: {error:#}");
        }
    }
}

/// All rules, as `iptables-save` prints them; none where the kernel has no such family.
fn rules(family: &str) -> String {
    process::output(&mut Command::new(format!("{family}-save"))).unwrap_or_default()
}

fn restore(family: &str, changes: &str) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(format!("{family}-restore"));
    let mut child = command.arg("--noflush").stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("a piped input")?.write_all(changes.as_bytes())?;
    anyhow::ensure!(child.wait()?.success(), "{family}-restore failed");
    Ok(())
}

/// What `iptables-restore --noflush` has to do: delete the rules that lead to a new chain, then the chains themselves.
fn removal(before: &str, now: &str) -> String {
    let mut text = String::new();
    for (table, lines) in tables(now) {
        let old = tables(before).into_iter().find(|(name, _)| *name == table).map(|(_, lines)| chains(&lines));
        let new: BTreeSet<&str> = chains(&lines).difference(&old.unwrap_or_default()).copied().collect();
        if new.is_empty() {
            continue;
        }
        text += &format!("*{table}\n");
        for line in &lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let target = words.iter().position(|word| *word == "-j").and_then(|place| words.get(place + 1));
            if words.first() == Some(&"-A") && !new.contains(words[1]) && target.is_some_and(|name| new.contains(name))
            {
                text += &format!("{}\n", line.replacen("-A", "-D", 1));
            }
        }
        // A chain that another one leads to can only go when that one is empty.
        for action in ["-F", "-X"] {
            for chain in &new {
                text += &format!("{action} {chain}\n");
            }
        }
        text += "COMMIT\n";
    }
    text
}

fn tables(rules: &str) -> Vec<(&str, Vec<&str>)> {
    let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in rules.lines() {
        if let Some(name) = line.strip_prefix('*') {
            tables.push((name, Vec::new()));
        } else if let Some((_, lines)) = tables.last_mut() {
            lines.push(line);
        }
    }
    tables
}

/// Chains of a cluster that a table has.
fn chains<'a>(lines: &[&'a str]) -> BTreeSet<&'a str> {
    let declared = lines.iter().filter_map(|line| line.strip_prefix(':')?.split_whitespace().next());
    declared.filter(|chain| PREFIXES.iter().any(|prefix| chain.starts_with(prefix))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_is_removed_and_what_was_there_stays() {
        let before = "*nat\n:PREROUTING ACCEPT [0:0]\n:CNI-old - [0:0]\n-A PREROUTING -j CNI-old\nCOMMIT\n";
        let now = "*nat\n:PREROUTING ACCEPT [0:0]\n:CNI-old - [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-MARK - [0:0]\n\
                   -A PREROUTING -j CNI-old\n-A PREROUTING -m comment --comment \"kubernetes portals\" -j KUBE-SERVICES\n\
                   -A KUBE-SERVICES -j KUBE-MARK\nCOMMIT\n";
        assert_eq!(
            removal(before, now),
            "*nat\n-D PREROUTING -m comment --comment \"kubernetes portals\" -j KUBE-SERVICES\n\
             -F KUBE-MARK\n-F KUBE-SERVICES\n-X KUBE-MARK\n-X KUBE-SERVICES\nCOMMIT\n"
        );
        assert_eq!(removal(now, now), "");
    }
}
