//! Which device works: what the machine has, what the user allows, and what this program can use.

use std::fmt::{self, Display, Formatter};

use std::sync::{Mutex, MutexGuard, PoisonError};

use obelysk_kernels::{Cuda, Driver, DriverError, Gpu, Kernels, ResidentWeights};
use obelysk_prover::DeviceError;
use obelysk_witness::Weights;

use crate::failure::{ExitCode, Failure};
use crate::home::Home;

/// Where machine code of kernels is kept, in the home.
const KERNELS_FOLDER: &str = "kernels";

/// Which device the user allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Request {
    /// A GPU where there is one that can be used, else the CPU.
    #[default]
    Any,
    /// The CPU.
    Cpu,
    /// A GPU, and the CPU for what it cannot do, which is said aloud.
    Gpu,
    /// A GPU, and the CPU may not step in.
    GpuOnly,
}

/// The device of a run.
pub struct Device {
    gpu: Option<OpenGpu>,
    said: DeviceName,
}

/// What proves, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName {
    /// `CPU`, or the product name that a GPU's driver gives.
    pub name: String,
    /// The GPU's identity, or why none proves.
    pub note: String,
}

/// A GPU with its kernels.
pub struct OpenGpu {
    /// The prover's device.
    pub cuda: Cuda,
    /// Its name and identity.
    pub name: DeviceName,
    /// Whether the CPU may do what the GPU cannot.
    pub cpu_may_step_in: bool,
    /// Weights that lie in its memory, with the digest of their model.
    kept: Mutex<Option<(String, ResidentWeights)>>,
}

impl OpenGpu {
    /// A GPU that holds nothing yet.
    #[must_use]
    pub fn new(cuda: Cuda, name: DeviceName, cpu_may_step_in: bool) -> Self {
        Self { cuda, name, cpu_may_step_in, kept: Mutex::default() }
    }

    /// Keep a model's weights for whoever needs them next.
    pub fn keep(&self, digest: &str, weights: ResidentWeights) {
        *self.kept() = Some((digest.to_owned(), weights));
    }

    /// Bytes of a model's weights that are kept. Those of another model make room.
    pub fn kept_bytes(&self, digest: &str) -> u64 {
        let mut kept = self.kept();
        kept.take_if(|(own, _)| own != digest);
        kept.as_ref().map_or(0, |(_, weights)| weights.bytes())
    }

    /// A model's weights in its memory: those that are kept, or its own taken there.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn weights(&self, digest: &str, weights: &Weights) -> Result<ResidentWeights, DeviceError> {
        match self.kept().take() {
            Some((own, kept)) if own == digest => Ok(kept),
            _ => self.cuda.weights(weights),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<(String, ResidentWeights)>> {
        // Weights are put there whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    /// The CPU, and why.
    pub fn cpu(why: impl Display) -> Self {
        Self { gpu: None, said: DeviceName::cpu(why) }
    }

    /// A GPU.
    #[must_use]
    pub fn gpu(gpu: OpenGpu) -> Self {
        Self { said: gpu.name.clone(), gpu: Some(gpu) }
    }

    /// The GPU, if it is one.
    #[must_use]
    pub fn as_gpu(&self) -> Option<&OpenGpu> {
        self.gpu.as_ref()
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &DeviceName {
        &self.said
    }
}

impl DeviceName {
    /// The CPU, and why.
    pub fn cpu(why: impl Display) -> Self {
        Self { name: "CPU".into(), note: why.to_string() }
    }
}

impl Display for DeviceName {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.note)
    }
}

/// Decide on the device and open it; `discover` is asked for GPUs unless the user wants none. Machine code of kernels is kept in the home.
///
/// # Errors
/// No device, a driver that is too old, or a fallback that the user refused.
pub fn choose(
    request: Request,
    home: &Home,
    discover: impl FnOnce() -> Result<Driver, DriverError>,
) -> Result<Device, Failure> {
    let kept = home.root().join(KERNELS_FOLDER);
    choose_and_open(request, discover, |gpu| Ok(Cuda::new(Kernels::load(obelysk_kernels::Device::open(gpu)?, &kept)?)))
}

fn choose_and_open(
    request: Request,
    discover: impl FnOnce() -> Result<Driver, DriverError>,
    open: impl FnOnce(&Gpu) -> Result<Cuda, DeviceError>,
) -> Result<Device, Failure> {
    if request == Request::Cpu {
        return Ok(Device::cpu("as asked"));
    }
    match discover() {
        Ok(driver) => {
            let gpu = &driver.gpus[0];
            let name = DeviceName { name: gpu.name.clone(), note: gpu.uuid.clone() };
            match open(gpu) {
                Ok(cuda) => Ok(Device::gpu(OpenGpu::new(cuda, name, request != Request::GpuOnly))),
                Err(error) if request == Request::GpuOnly => Err(gave_up(&error)),
                Err(error) => Ok(Device::cpu(format!("{} is there, but cannot be used: {error}", gpu.name))),
            }
        }
        Err(error) => match request {
            Request::GpuOnly => Err(no_device(&error)),
            Request::Gpu => {
                Ok(Device::cpu(format!("{}; --gpu falls back, which --gpu-only refuses", complaint(&error))))
            }
            Request::Any | Request::Cpu => Ok(Device::cpu(complaint(&error))),
        },
    }
}

/// Refuse a machine without a GPU that can be used.
///
/// # Errors
/// Why there is none.
pub fn require(discovered: &Result<Driver, DriverError>) -> Result<(), Failure> {
    discovered.as_ref().map(drop).map_err(no_device)
}

/// The failure of a GPU for which the CPU may not step in.
#[must_use]
pub fn gave_up(error: &DeviceError) -> Failure {
    let (code, hint) = match error {
        DeviceError::NoKernelImage { .. } => (
            ExitCode::FallbackRefused,
            "build with `cargo xtask kernels` for this GPU or install CUDA's compiler for run time (libnvrtc), or leave out --gpu-only",
        ),
        DeviceError::OutOfMemory { .. } => (
            ExitCode::GpuOutOfMemory,
            "use a GPU with more memory, a shorter prompt or fewer layers (--layers), or leave out --gpu-only",
        ),
        DeviceError::Lost { .. } => {
            (ExitCode::GpuLost, "look for the GPU's errors in the kernel's log (dmesg), and try again")
        }
        DeviceError::Unsupported(_) => (ExitCode::FallbackRefused, "leave out --gpu-only"),
    };
    Failure::new(code, error.to_string(), hint)
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
            (ExitCode::NoDevice, "leave out --gpu-only to prove on the CPU")
        }
        DriverError::TooOld { .. } => (ExitCode::DriverTooOld, error.remedy()),
        _ => (ExitCode::NoDevice, error.remedy()),
    };
    Failure::new(code, complaint(error), hint)
}

#[cfg(test)]
mod tests {
    use obelysk_kernels::CudaVersion;

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

    fn no_kernels(gpu: &Gpu) -> Result<Cuda, DeviceError> {
        Err(DeviceError::NoKernelImage { device: gpu.name.clone(), reason: "no compiler".into() })
    }

    fn decided(request: Request, discovered: Result<Driver, DriverError>) -> Result<String, Failure> {
        choose_and_open(request, || discovered, no_kernels).map(|device| device.name().to_string())
    }

    #[test]
    fn a_gpu_that_is_asked_for_and_absent_is_no_device_or_a_fallback_that_is_said() {
        for absent in [DriverError::NoDriver, DriverError::NoDevice] {
            let failure = decided(Request::GpuOnly, Err(absent.clone())).unwrap_err();
            assert_eq!(failure.code, ExitCode::NoDevice);
            assert!(failure.message.contains("no NVIDIA GPU"), "{failure:?}");
            let said = decided(Request::Gpu, Err(absent)).unwrap();
            assert!(said.starts_with("CPU") && said.contains("no NVIDIA GPU") && said.contains("falls back"), "{said}");
        }
    }

    #[test]
    fn who_asks_for_the_cpu_does_not_touch_a_driver() {
        let device = choose_and_open(Request::Cpu, || panic!("the driver was asked"), no_kernels).unwrap();
        assert_eq!(device.name().to_string(), "CPU: as asked");
    }

    #[test]
    fn the_cpu_does_not_step_in_when_that_is_refused() {
        let failure = decided(Request::GpuOnly, h100()).unwrap_err();
        assert_eq!(failure.code, ExitCode::FallbackRefused);
        assert!(failure.message.contains("H100") && failure.message.contains("no compiler"), "{failure:?}");
    }

    #[test]
    fn a_fallback_to_the_cpu_names_the_gpu_that_is_left_idle_and_why() {
        for request in [Request::Any, Request::Gpu] {
            let said = decided(request, h100()).unwrap();
            assert!(said.starts_with("CPU") && said.contains("H100") && said.contains("no compiler"), "{said}");
        }
    }

    #[test]
    fn each_way_in_which_a_gpu_gives_up_has_its_code() {
        let device = || "H100".to_owned();
        for (error, code) in [
            (DeviceError::OutOfMemory { device: device(), needed: 2, free: 1 }, ExitCode::GpuOutOfMemory),
            (DeviceError::Lost { device: device(), reason: "Xid 79".into() }, ExitCode::GpuLost),
            (DeviceError::Unsupported("degree 9".into()), ExitCode::FallbackRefused),
        ] {
            let failure = gave_up(&error);
            assert_eq!((failure.code, failure.message), (code, error.to_string()));
        }
    }

    #[test]
    fn an_old_driver_is_named_with_the_version_that_is_needed() {
        let old = || Err(DriverError::TooOld { found: CudaVersion { major: 11, minor: 8 } });
        let failure = decided(Request::GpuOnly, old()).unwrap_err();
        assert_eq!(failure.code, ExitCode::DriverTooOld);
        assert!(failure.message.contains("11.8") && failure.hint.contains("525"), "{failure:?}");
        assert!(decided(Request::Any, old()).unwrap().contains("11.8"));
    }

    #[test]
    fn a_library_mismatch_asks_for_a_reboot() {
        assert!(decided(Request::GpuOnly, Err(DriverError::Mismatch)).unwrap_err().hint.contains("reboot"));
    }
}
