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

/// How many GPUs share the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gpus {
    /// The one with the most free memory.
    #[default]
    One,
    /// As many, those with the most free memory.
    Several(usize),
    /// All that can be seen, and can be used.
    All,
}

/// The device that a user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Which kind.
    pub request: Request,
    /// How many, if it is a GPU.
    pub gpus: Gpus,
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
    Wanted { request, gpus }: Wanted,
    home: &Home,
    discover: impl FnOnce() -> Result<Driver, DriverError>,
) -> Result<Device, Failure> {
    let kept = home.root().join(KERNELS_FOLDER);
    if request == Request::Cpu {
        return Ok(Device::cpu("as asked"));
    }
    let opened = discover().map_err(Unusable::Driver).and_then(|driver| {
        open(driver.by_free_memory(), gpus, |gpu| {
            let kernels = Kernels::load(obelysk_kernels::Device::open(gpu)?, &kept)?;
            kernels.self_test()?;
            Ok(kernels)
        })
    });
    match opened {
        Ok((kernels, name)) => {
            Ok(Device::gpu(OpenGpu::new(Cuda::of_several(kernels), name, request != Request::GpuOnly)))
        }
        Err(unusable) => unusable.without(request),
    }
}

/// A GPU that is seen, and what is free of its memory.
type Candidate<'a> = (&'a Gpu, Result<u64, DriverError>);

/// Open as many of the candidates as are wanted, the first ones that can be, and say which they are and why.
fn open<T>(
    candidates: Vec<Candidate>,
    wanted: Gpus,
    open: impl Fn(&Gpu) -> Result<T, DeviceError>,
) -> Result<(Vec<T>, DeviceName), Unusable> {
    let seen = candidates.len();
    let count = match wanted {
        Gpus::One => 1,
        Gpus::Several(count) => count,
        Gpus::All => seen,
    };
    if seen < count {
        return Err(Unusable::TooFew { wanted: count, seen });
    }
    let (mut opened, mut left_out) = (Vec::new(), Vec::new());
    for (gpu, free) in candidates {
        if opened.len() == count {
            break;
        }
        match open(gpu) {
            Ok(device) => opened.push((gpu, free, device)),
            Err(error) => left_out.push((gpu.name.clone(), error)),
        }
    }
    let enough = if wanted == Gpus::All { 1 } else { count };
    if opened.len() < enough {
        let (name, error) = left_out.swap_remove(0);
        return Err(Unusable::Device { name, error });
    }
    let mut notes: Vec<String> = opened.iter().map(|(gpu, ..)| gpu.uuid.clone()).collect();
    if seen > opened.len() {
        let free: Vec<String> =
            opened.iter().filter_map(|(_, free, _)| Some(format!("{} MiB", free.as_ref().ok()? >> 20))).collect();
        notes.push(format!("the most free memory of {seen} GPUs ({})", free.join(", ")));
    }
    notes.extend(left_out.into_iter().map(|(name, error)| format!("without {name}: {error}")));
    let mut names: Vec<&str> = opened.iter().map(|(gpu, ..)| gpu.name.as_str()).collect();
    names.dedup();
    let name = match (opened.len(), &names[..]) {
        (2.., [name]) => format!("{} x {name}", opened.len()),
        _ => names.join(", "),
    };
    Ok((opened.into_iter().map(|(.., device)| device).collect(), DeviceName { name, note: notes.join("; ") }))
}

/// Why no GPU works.
enum Unusable {
    /// The driver knows none.
    Driver(DriverError),
    /// Fewer than a job asks for.
    TooFew { wanted: usize, seen: usize },
    /// It gave up when it was opened.
    Device { name: String, error: DeviceError },
}

impl Unusable {
    /// The CPU instead, unless that is refused.
    fn without(self, request: Request) -> Result<Device, Failure> {
        match (self, request) {
            (Self::Driver(error), Request::GpuOnly) => Err(no_device(&error)),
            (Self::Driver(error), Request::Gpu) => {
                Ok(Device::cpu(format!("{}; --gpu falls back, which --gpu-only refuses", complaint(&error))))
            }
            (Self::Driver(error), Request::Any | Request::Cpu) => Ok(Device::cpu(complaint(&error))),
            (Self::TooFew { wanted, seen }, Request::GpuOnly) => {
                let message = format!("{wanted} GPUs are asked for, and {seen} can be seen");
                Err(Failure::new(ExitCode::NoDevice, message, "ask for fewer, or give this machine or container more"))
            }
            (Self::TooFew { wanted, seen }, _) => {
                Ok(Device::cpu(format!("{wanted} GPUs are asked for, and {seen} can be seen")))
            }
            (Self::Device { error, .. }, Request::GpuOnly) => Err(gave_up(&error)),
            (Self::Device { name, error }, _) => {
                Ok(Device::cpu(format!("{name} is there, but cannot be used: {error}")))
            }
        }
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
        DeviceError::Lost { .. } => (
            ExitCode::GpuLost,
            "look for the GPU's errors in its machine's kernel log (dmesg | grep Xid), and try again",
        ),
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

    fn h100() -> Gpu {
        Gpu {
            ordinal: 0,
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid: "GPU-00000000-0000-0000-0000-000000000000".into(),
            memory_bytes: 81_559 << 20,
            compute: (9, 0),
            mig: false,
            ecc: true,
            pcie: "0000:1b:00.0".into(),
            cuda: CudaVersion { major: 13, minor: 0 },
        }
    }

    fn no_kernels(gpu: &Gpu) -> Result<(), DeviceError> {
        Err(DeviceError::NoKernelImage { device: gpu.name.clone(), reason: "no compiler".into() })
    }

    fn decided(request: Request, unusable: Unusable) -> Result<String, Failure> {
        unusable.without(request).map(|device| device.name().to_string())
    }

    fn without_kernels() -> Unusable {
        open(vec![(&h100(), Ok(1))], Gpus::One, no_kernels).unwrap_err()
    }

    #[test]
    fn a_gpu_that_is_asked_for_and_absent_is_no_device_or_a_fallback_that_is_said() {
        for absent in [DriverError::NoDriver, DriverError::NoDevice] {
            let failure = decided(Request::GpuOnly, Unusable::Driver(absent.clone())).unwrap_err();
            assert_eq!(failure.code, ExitCode::NoDevice);
            assert!(failure.message.contains("no NVIDIA GPU"), "{failure:?}");
            let said = decided(Request::Gpu, Unusable::Driver(absent)).unwrap();
            assert!(said.starts_with("CPU") && said.contains("no NVIDIA GPU") && said.contains("falls back"), "{said}");
        }
    }

    #[test]
    fn who_asks_for_the_cpu_does_not_touch_a_driver() {
        let wanted = Wanted { request: Request::Cpu, gpus: Gpus::One };
        let device =
            choose(wanted, &Home::at(std::path::Path::new("/nowhere")), || panic!("the driver was asked")).unwrap();
        assert_eq!(device.name().to_string(), "CPU: as asked");
    }

    #[test]
    fn the_cpu_does_not_step_in_when_that_is_refused() {
        let failure = decided(Request::GpuOnly, without_kernels()).unwrap_err();
        assert_eq!(failure.code, ExitCode::FallbackRefused);
        assert!(failure.message.contains("H100") && failure.message.contains("no compiler"), "{failure:?}");
    }

    #[test]
    fn a_fallback_to_the_cpu_names_the_gpu_that_is_left_idle_and_why() {
        for request in [Request::Any, Request::Gpu] {
            let said = decided(request, without_kernels()).unwrap();
            assert!(said.starts_with("CPU") && said.contains("H100") && said.contains("no compiler"), "{said}");
        }
    }

    #[test]
    fn the_gpus_that_work_are_named_and_why_it_is_these() {
        let [first, second] = [1, 2].map(|ordinal| Gpu { ordinal, uuid: format!("GPU-{ordinal}"), ..h100() });
        let candidates = || vec![(&second, Ok(70_000 << 20)), (&first, Ok(9 << 20))];
        let ordinal = |gpu: &Gpu| Ok(gpu.ordinal);
        let (opened, name) = open(candidates(), Gpus::One, ordinal).ok().unwrap();
        assert_eq!((opened, name.name.as_str()), (vec![2], "NVIDIA H100 80GB HBM3"));
        assert_eq!(name.note, "GPU-2; the most free memory of 2 GPUs (70000 MiB)");
        for wanted in [Gpus::All, Gpus::Several(2)] {
            let (opened, name) = open(candidates(), wanted, ordinal).ok().unwrap();
            assert_eq!((opened, name.name.as_str()), (vec![2, 1], "2 x NVIDIA H100 80GB HBM3"));
            assert_eq!(name.note, "GPU-2; GPU-1");
        }
    }

    #[test]
    fn a_gpu_that_does_not_open_makes_way_for_another_aloud_and_is_never_replaced_by_fewer_than_asked_for() {
        let [first, second] = [1, 2].map(|ordinal| Gpu { ordinal, name: format!("GPU {ordinal}"), ..h100() });
        let candidates = || vec![(&first, Ok(1 << 30)), (&second, Ok(1 << 20))];
        let only_second = |gpu: &Gpu| if gpu.ordinal == 2 { Ok(2) } else { no_kernels(gpu).map(|()| 1) };
        for wanted in [Gpus::One, Gpus::All] {
            let (opened, name) = open(candidates(), wanted, only_second).ok().unwrap();
            assert!(opened == [2] && name.note.contains("without GPU 1: there are no kernels"), "{name:?}");
        }
        assert!(matches!(open(candidates(), Gpus::Several(2), only_second), Err(Unusable::Device { .. })));
        let too_few = || open(candidates(), Gpus::Several(3), only_second).err().unwrap();
        let failure = decided(Request::GpuOnly, too_few()).unwrap_err();
        assert!(failure.code == ExitCode::NoDevice && failure.message.contains("3 GPUs"), "{failure:?}");
        assert!(decided(Request::Gpu, too_few()).unwrap().contains("2 can be seen"));
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
        let old = || Unusable::Driver(DriverError::TooOld { found: CudaVersion { major: 11, minor: 8 } });
        let failure = decided(Request::GpuOnly, old()).unwrap_err();
        assert_eq!(failure.code, ExitCode::DriverTooOld);
        assert!(failure.message.contains("11.8") && failure.hint.contains("525"), "{failure:?}");
        assert!(decided(Request::Any, old()).unwrap().contains("11.8"));
    }

    #[test]
    fn a_library_mismatch_asks_for_a_reboot() {
        assert!(
            decided(Request::GpuOnly, Unusable::Driver(DriverError::Mismatch)).unwrap_err().hint.contains("reboot")
        );
    }
}
