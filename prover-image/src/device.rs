//! Which device works: what the machine has, what the user allows, and what this program can use.

use obelysk_kernels::{Driver, DriverError};

use crate::failure::{ExitCode, Failure};

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

/// Decide on the device; `discover` is asked for GPUs unless the user wants none. Proving on a GPU is not part of this program yet, so the
/// answer is the CPU or a failure.
///
/// # Errors
/// No device, a driver that is too old, or a fallback that the user refused.
pub fn choose(request: Request, discover: impl FnOnce() -> Result<Driver, DriverError>) -> Result<String, Failure> {
    if request == Request::Cpu {
        return Ok("CPU, as asked".into());
    }
    match discover() {
        Ok(driver) if request == Request::GpuOnly => {
            let message = format!("{} is there, but this version proves on the CPU alone", driver.gpus[0].name);
            Err(Failure::new(ExitCode::FallbackRefused, message, "leave out --gpu-only"))
        }
        Ok(driver) => Ok(format!("CPU: {} is there, but this version proves on the CPU alone", driver.gpus[0].name)),
        Err(error) if request == Request::Any => Ok(format!("CPU: {}", complaint(&error))),
        Err(error) => Err(no_device(&error)),
    }
}

/// What is wrong, in the words of this program.
fn complaint(error: &DriverError) -> String {
    match error {
        DriverError::NoDriver | DriverError::NoDevice => "this machine has no NVIDIA GPU".into(),
        _ => format!("the GPU driver does not work: {error}"),
    }
}

fn no_device(error: &DriverError) -> Failure {
    let (code, hint) = match error {
        DriverError::NoDriver | DriverError::NoDevice => {
            (ExitCode::NoDevice, "leave out --gpu and --gpu-only to prove on the CPU")
        }
        DriverError::TooOld { .. } => (ExitCode::DriverTooOld, error.remedy()),
        _ => (ExitCode::NoDevice, error.remedy()),
    };
    Failure::new(code, complaint(error), hint)
}

#[cfg(test)]
mod tests {
    use obelysk_kernels::{CudaVersion, Gpu};

    use super::*;

    fn h100() -> Result<Driver, DriverError> {
        let gpu = Gpu {
            ordinal: 0,
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid: "GPU-00000000-0000-0000-0000-000000000000".into(),
            memory_bytes: 81_559 << 20,
            compute: (9, 0),
            mig: false,
            ecc: true,
            pcie: "0000:1b:00.0".into(),
        };
        Ok(Driver { cuda: CudaVersion { major: 13, minor: 0 }, module: Some("580.159.04".into()), gpus: vec![gpu] })
    }

    #[test]
    fn a_gpu_that_is_asked_for_and_absent_is_no_device() {
        for request in [Request::Gpu, Request::GpuOnly] {
            for absent in [DriverError::NoDriver, DriverError::NoDevice] {
                let failure = choose(request, || Err(absent)).unwrap_err();
                assert_eq!(failure.code, ExitCode::NoDevice);
                assert!(failure.message.contains("no NVIDIA GPU"), "{failure:?}");
            }
        }
    }

    #[test]
    fn who_asks_for_the_cpu_does_not_touch_a_driver() {
        assert_eq!(choose(Request::Cpu, || panic!("the driver was asked")), Ok("CPU, as asked".into()));
    }

    #[test]
    fn the_cpu_does_not_step_in_when_that_is_refused() {
        let failure = choose(Request::GpuOnly, h100).unwrap_err();
        assert_eq!(failure.code, ExitCode::FallbackRefused);
    }

    #[test]
    fn a_fallback_to_the_cpu_names_the_gpu_that_is_left_idle() {
        let choice = choose(Request::Gpu, h100).unwrap();
        assert!(choice.starts_with("CPU") && choice.contains("H100"), "{choice}");
    }

    #[test]
    fn an_old_driver_is_named_with_the_version_that_is_needed() {
        let old = || Err(DriverError::TooOld { found: CudaVersion { major: 11, minor: 8 } });
        let failure = choose(Request::Gpu, old).unwrap_err();
        assert_eq!(failure.code, ExitCode::DriverTooOld);
        assert!(failure.message.contains("11.8") && failure.hint.contains("525"), "{failure:?}");
        assert!(choose(Request::Any, old).unwrap().contains("11.8"));
    }

    #[test]
    fn a_library_mismatch_asks_for_a_reboot() {
        assert!(choose(Request::Gpu, || Err(DriverError::Mismatch)).unwrap_err().hint.contains("reboot"));
    }
}
