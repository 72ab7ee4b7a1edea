//! `setup`: what this machine is missing, and what to do about it.

use std::fs;
use std::thread;

use obelysk_kernels::{Driver, DriverError, Gpu, discover};
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::arguments::SetupArguments;
use crate::atomic;
use crate::console::Answer;
use crate::device;
use crate::failure::Failure;
use crate::home::Home;
use crate::memory;
use crate::paths::shown;

/// Enough for a small model; large models need more.
const MEMORY_MIB_MIN: u64 = 2 << 10;
const DISK_MIB_MIN: u64 = 1 << 10;

#[derive(Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
}

/// Look at the machine. What makes every run fail is a failure; what may make one fail is a warning.
pub fn setup(context: &Context, arguments: &SetupArguments) -> Result<Answer, Failure> {
    check_home(&context.home)?;
    let discovered = discover();
    if arguments.gpu {
        device::require(&discovered)?;
    }
    let mut findings = vec![cpu(), free_memory(), disk(&context.home)?];
    findings.extend(gpus(&discovered));
    let text: Vec<String> = findings.iter().map(describe).collect();
    Ok(Answer { json: json!({"home": shown(context.home.root()), "findings": findings}), text: text.join("\n") })
}

fn describe(finding: &Finding) -> String {
    let mark = if finding.state == State::Ok { "ok" } else { "warning" };
    let remedy = finding.remedy.as_ref().map(|remedy| format!("\n                 {remedy}")).unwrap_or_default();
    format!("{mark:<8} {:<7} {}{remedy}", finding.name, finding.detail)
}

/// Writing is tried, because permissions and read-only volumes show in no other way.
fn check_home(home: &Home) -> Result<(), Failure> {
    let probe = home.root().join(".probe");
    atomic::write(&probe, b"probe")?;
    fs::remove_file(&probe).map_err(|error| Failure::io("remove", &probe, &error))
}

fn cpu() -> Finding {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    Finding { name: "cpu", state: State::Ok, detail: format!("{cores} threads, x86-64-v3"), remedy: None }
}

fn free_memory() -> Finding {
    let available = memory::available().map(|bytes| bytes >> 20);
    let (state, detail) = match available {
        Some(mib) if mib < MEMORY_MIB_MIN => (State::Warning, format!("{mib} MiB available")),
        Some(mib) => (State::Ok, format!("{mib} MiB available")),
        None => (State::Warning, "unknown".into()),
    };
    let remedy = (state == State::Warning).then(|| format!("provide {MEMORY_MIB_MIN} MiB or use a smaller model"));
    Finding { name: "memory", state, detail, remedy }
}

fn disk(home: &Home) -> Result<Finding, Failure> {
    let available =
        atomic::available_bytes(home.root()).map_err(|error| Failure::io("look at", home.root(), &error))?;
    let mib = available >> 20;
    let state = if mib < DISK_MIB_MIN { State::Warning } else { State::Ok };
    let remedy = (state == State::Warning).then(|| "free space, or name another volume with --home".into());
    Ok(Finding { name: "disk", state, detail: format!("{mib} MiB free in {}", home.root().display()), remedy })
}

fn gpus(discovered: &Result<Driver, DriverError>) -> Vec<Finding> {
    let finding = |state, detail: String, remedy: Option<String>| Finding { name: "gpu", state, detail, remedy };
    match discovered {
        Err(DriverError::NoDriver | DriverError::NoDevice) => {
            vec![finding(State::Ok, "none: proofs are made on the CPU".into(), None)]
        }
        Err(error) => vec![finding(State::Warning, error.to_string(), Some(error.remedy().into()))],
        Ok(driver) => driver
            .gpus
            .iter()
            .map(|gpu| match gpu.free_bytes() {
                Ok(free) => finding(State::Ok, gpu_detail(driver, gpu, &format!("{} MiB free", free >> 20)), None),
                Err(error) => {
                    finding(State::Warning, gpu_detail(driver, gpu, &error.to_string()), Some(error.remedy().into()))
                }
            })
            .collect(),
    }
}

fn gpu_detail(driver: &Driver, gpu: &Gpu, memory: &str) -> String {
    let instance = if gpu.mig { ", an instance of a divided GPU" } else { "" };
    let ecc = if gpu.ecc { "on" } else { "off" };
    format!(
        "{}{instance}, {} MiB ({memory}), driver {}, CUDA {}, compute capability {}.{}, ECC {ecc}, {}, {}",
        gpu.name,
        gpu.memory_bytes >> 20,
        driver.module.as_deref().unwrap_or("unknown"),
        driver.cuda,
        gpu.compute.0,
        gpu.compute.1,
        gpu.pcie,
        gpu.uuid
    )
}
