//! Which device works: what the machine has, what the user allows, and what this program can use.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::failure::{ExitCode, Failure};

/// Oldest driver major version that runs kernels built with CUDA 12.
pub const DRIVER_MAJOR_MIN: u32 = 525;
const DRIVER_VERSION_FILE: &str = "/proc/driver/nvidia/version";

/// A GPU that the driver reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// Product name.
    pub name: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Driver version.
    pub driver: String,
}

/// What looking for GPUs found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detected {
    /// Usable GPUs, at least one.
    Gpus(Vec<Gpu>),
    /// No driver and no device.
    Nothing,
    /// A driver that does not work, with what it says.
    Broken(String),
}

/// Which device the user allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Request {
    /// A GPU where there is one that can be used, else the CPU.
    #[default]
    Any,
    /// The CPU.
    Cpu,
    /// A GPU must be there; the CPU may step in for what the GPU cannot do.
    Gpu,
    /// A GPU, and the CPU may not step in.
    GpuOnly,
}

/// Ask the driver's own tool.
#[must_use]
pub fn detect() -> Detected {
    let query = Command::new("nvidia-smi")
        .args(["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"])
        .output();
    match query {
        Ok(output) if output.status.success() => {
            let gpus = parse_query(&String::from_utf8_lossy(&output.stdout));
            if gpus.is_empty() { Detected::Nothing } else { Detected::Gpus(gpus) }
        }
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Detected::Broken(String::from_utf8_lossy(&said).trim().replace('\n', " "))
        }
        Err(_) => match fs::read_to_string(Path::new(DRIVER_VERSION_FILE)) {
            Ok(version) => Detected::Broken(format!(
                "the kernel driver is loaded ({}), nvidia-smi is not installed",
                version.lines().next().unwrap_or_default()
            )),
            Err(_) => Detected::Nothing,
        },
    }
}

/// Decide on the device. Proving on a GPU is not part of this program yet, so the answer is the CPU or a failure.
///
/// # Errors
/// No device, a driver that is too old, or a fallback that the user refused.
pub fn choose(request: Request, detected: &Detected) -> Result<String, Failure> {
    let gpus = match (request, detected) {
        (Request::Cpu, _) => return Ok("CPU, as asked".into()),
        (Request::Any, Detected::Nothing) => return Ok("CPU: this machine has no NVIDIA GPU".into()),
        (Request::Any, Detected::Broken(reason)) => return Ok(format!("CPU: the GPU driver does not work: {reason}")),
        (Request::Gpu | Request::GpuOnly, Detected::Nothing) => {
            let hint = "leave out --gpu and --gpu-only to prove on the CPU";
            return Err(Failure::new(ExitCode::NoDevice, "this machine has no NVIDIA GPU", hint));
        }
        (Request::Gpu | Request::GpuOnly, Detected::Broken(reason)) => {
            let message = format!("the GPU driver does not work: {reason}");
            return Err(Failure::new(ExitCode::NoDevice, message, remedy(reason)));
        }
        (_, Detected::Gpus(gpus)) => gpus,
    };
    if let Some(gpu) = gpus.iter().find(|gpu| driver_major(&gpu.driver) < DRIVER_MAJOR_MIN)
        && request != Request::Any
    {
        let message = format!("{} has driver {}, older than {DRIVER_MAJOR_MIN}", gpu.name, gpu.driver);
        let hint = format!("install driver {DRIVER_MAJOR_MIN} or newer");
        return Err(Failure::new(ExitCode::DriverTooOld, message, hint));
    }
    if request == Request::GpuOnly {
        let message = format!("{} is there, but this version proves on the CPU alone", gpus[0].name);
        return Err(Failure::new(ExitCode::FallbackRefused, message, "leave out --gpu-only"));
    }
    Ok(format!("CPU: {} is there, but this version proves on the CPU alone", gpus[0].name))
}

/// What to do about a driver's complaint.
#[must_use]
pub fn remedy(complaint: &str) -> &'static str {
    if complaint.contains("version mismatch") {
        "reboot: the running kernel driver is older than the installed libraries"
    } else {
        "reinstall the NVIDIA driver, then run `obelysk setup`"
    }
}

/// The major version of a driver, 0 if it has none.
#[must_use]
pub fn driver_major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

fn parse_query(text: &str) -> Vec<Gpu> {
    let parse_line = |line: &str| {
        let mut fields = line.split(',').map(str::trim);
        let name = fields.next()?.to_string();
        let memory_mib = fields.next()?.parse().ok()?;
        Some(Gpu { name, memory_mib, driver: fields.next()?.to_string() })
    };
    text.lines().filter_map(parse_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h100(driver: &str) -> Detected {
        Detected::Gpus(vec![Gpu { name: "NVIDIA H100 80GB HBM3".into(), memory_mib: 81_559, driver: driver.into() }])
    }

    #[test]
    fn the_query_of_two_gpus_is_read() {
        let text = "NVIDIA H100 80GB HBM3, 81559, 570.86.15\nNVIDIA H200, 143771, 570.86.15\n";
        let gpus = parse_query(text);
        assert_eq!(gpus.len(), 2);
        assert_eq!(gpus[1], Gpu { name: "NVIDIA H200".into(), memory_mib: 143_771, driver: "570.86.15".into() });
    }

    #[test]
    fn a_gpu_that_is_asked_for_and_absent_is_no_device() {
        for request in [Request::Gpu, Request::GpuOnly] {
            assert_eq!(choose(request, &Detected::Nothing).unwrap_err().code, ExitCode::NoDevice);
        }
    }

    #[test]
    fn the_cpu_does_not_step_in_when_that_is_refused() {
        let failure = choose(Request::GpuOnly, &h100("570.86.15")).unwrap_err();
        assert_eq!(failure.code, ExitCode::FallbackRefused);
    }

    #[test]
    fn a_fallback_to_the_cpu_names_the_gpu_that_is_left_idle() {
        let choice = choose(Request::Gpu, &h100("570.86.15")).unwrap();
        assert!(choice.starts_with("CPU") && choice.contains("H100"), "{choice}");
    }

    #[test]
    fn an_old_driver_is_named_with_the_version_that_is_needed() {
        let failure = choose(Request::Gpu, &h100("470.1")).unwrap_err();
        assert_eq!(failure.code, ExitCode::DriverTooOld);
        assert!(failure.message.contains("470.1") && failure.hint.contains("525"));
    }

    #[test]
    fn a_library_mismatch_asks_for_a_reboot() {
        let detected = Detected::Broken("Failed to initialize NVML: Driver/library version mismatch".into());
        assert!(choose(Request::Gpu, &detected).unwrap_err().hint.contains("reboot"));
    }
}
