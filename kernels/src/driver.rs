//! Which GPUs there are, by the driver's library. Every call of the driver before a device is opened is made here, behind a check that the
//! library is there and a net for symbols that it lacks.

use std::ffi::CStr;
use std::fmt;
use std::fs;
use std::mem::MaybeUninit;
use std::panic;

use cudarc::driver::{CudaContext, result, sys};

use crate::library;

/// Oldest version of CUDA whose driver runs these kernels.
const CUDA_MIN: CudaVersion = CudaVersion { major: 12, minor: 0 };
/// Name that the driver of tests gives to its devices.
const FAKE_NAME: &str = "Obelysk fake device";
/// The kernel module's version alone.
const MODULE_VERSION: &str = "/sys/module/nvidia/version";
/// The same in prose, where `/sys` is hidden.
const MODULE_DESCRIPTION: &str = "/proc/driver/nvidia/version";

/// A version of CUDA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
}

impl CudaVersion {
    /// From the number that the driver answers with: 13000 is 13.0, 12080 is 12.8.
    fn of_number(number: i32) -> Self {
        let number = number.unsigned_abs();
        Self { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// Why no GPU can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// Neither the driver's library nor its kernel module.
    #[error("this machine has no NVIDIA driver")]
    NoDriver,
    /// The kernel module without the library that speaks to it.
    #[error("the kernel driver is loaded ({module}), its library libcuda.so.1 is not installed")]
    NoLibrary {
        /// Version of the module.
        module: String,
    },
    /// A driver, and nothing that it drives.
    #[error("the NVIDIA driver finds no device")]
    NoDevice,
    /// A driver from before the oldest version that kernels run on.
    #[error("the driver supports CUDA {found}, older than {CUDA_MIN}")]
    TooOld {
        /// What it supports.
        found: CudaVersion,
    },
    /// Library and kernel module of different versions.
    #[error("driver/library version mismatch")]
    Mismatch,
    /// A library that lacks what every driver of a supported version has.
    #[error("the driver's library is incomplete: {0}")]
    Incomplete(String),
    /// A toolkit's library to link with, which does nothing.
    #[error("the CUDA library that is found is a toolkit's stub, not the driver's")]
    Stub,
    /// The driver of tests, which computes on the processor.
    #[error("{0} is the driver that tests use, not a GPU")]
    Fake(String),
    /// Whatever else the driver answers.
    #[error("{call} failed: {reason}")]
    Failed {
        /// What it was asked.
        call: &'static str,
        /// What it said.
        reason: String,
    },
}

impl DriverError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoDriver => "install the NVIDIA driver, or prove on the CPU",
            Self::NoDevice => "give this machine or container a GPU, or prove on the CPU",
            Self::TooOld { .. } => "install driver 525 or newer: kernels need CUDA 12",
            Self::Mismatch => "reboot: the running kernel driver is older than the installed libraries",
            Self::Stub => {
                "take the folder `stubs` out of LD_LIBRARY_PATH, and install the NVIDIA driver, whose library is libcuda.so.1"
            }
            Self::Fake(_) => "take its folder out of LD_LIBRARY_PATH",
            Self::NoLibrary { .. } | Self::Incomplete(_) | Self::Failed { .. } => {
                "reinstall the NVIDIA driver, then run `obelysk setup`"
            }
        }
    }
}

/// A GPU, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number in this process.
    pub ordinal: usize,
    /// Product name.
    pub name: String,
    /// What tells it from every other, as the driver's tools write it.
    pub uuid: String,
    /// Its memory.
    pub memory_bytes: u64,
    /// Compute capability.
    pub compute: (u32, u32),
    /// Whether it is an instance of a GPU that is divided.
    pub mig: bool,
    /// Whether its memory corrects errors.
    pub ecc: bool,
    /// Its address on the bus.
    pub pcie: String,
    /// Newest CUDA that its driver supports.
    pub cuda: CudaVersion,
}

impl Driver {
    /// The GPUs with what is free of their memory, most of it first; last those that do not say, and why. Of one GPU all is taken to be
    /// free: there is nothing to choose.
    #[must_use]
    pub fn by_free_memory(&self) -> Vec<(&Gpu, Result<u64, DriverError>)> {
        if let [gpu] = &self.gpus[..] {
            return vec![(gpu, Ok(gpu.memory_bytes))];
        }
        let mut gpus: Vec<_> = self.gpus.iter().map(|gpu| (gpu, gpu.free_bytes())).collect();
        gpus.sort_by_key(|(_, free)| std::cmp::Reverse(free.clone().ok()));
        gpus
    }
}

impl Gpu {
    /// Memory that nobody uses now. Asking takes a context: a fifth of a second, and some of that memory.
    ///
    /// # Errors
    /// [`DriverError`].
    pub fn free_bytes(&self) -> Result<u64, DriverError> {
        caught(|| {
            let context = CudaContext::new(self.ordinal).map_err(failed("cuDevicePrimaryCtxRetain"))?;
            let (free, _) = context.mem_get_info().map_err(failed("cuMemGetInfo"))?;
            Ok(free as u64)
        })
    }
}

/// A driver that works, and what it drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Newest CUDA that it supports.
    pub cuda: CudaVersion,
    /// Version of its kernel module, where this process may read it.
    pub module: Option<String>,
    /// At least one GPU.
    pub gpus: Vec<Gpu>,
}

/// Ask the driver for its GPUs.
///
/// # Errors
/// [`DriverError`].
pub fn discover() -> Result<Driver, DriverError> {
    let driver = caught(ask)?;
    match driver.gpus.iter().find(|gpu| is_fake(gpu)) {
        Some(gpu) => Err(DriverError::Fake(gpu.name.clone())),
        None => Ok(driver),
    }
}

/// Ask the driver of tests for its devices. It takes nothing else, so that no test works on a real GPU unnoticed.
///
/// # Errors
/// [`DriverError`].
///
/// # Panics
/// Where a device is a GPU.
#[doc(hidden)]
pub fn discover_fake() -> Result<Driver, DriverError> {
    let driver = caught(ask)?;
    assert!(driver.gpus.iter().all(is_fake), "tests found a GPU in place of the driver that they bring");
    Ok(driver)
}

fn is_fake(gpu: &Gpu) -> bool {
    gpu.name.starts_with(FAKE_NAME)
}

/// The bindings panic at a symbol that the library lacks, and there is no other way to ask for it.
fn caught<T>(call: impl FnOnce() -> Result<T, DriverError> + panic::UnwindSafe) -> Result<T, DriverError> {
    panic::catch_unwind(call).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().cloned();
        let said = said.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
        Err(DriverError::Incomplete(said.unwrap_or_else(|| "a symbol is missing".into())))
    })
}

fn failed(call: &'static str) -> impl Fn(result::DriverError) -> DriverError {
    move |error| match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => DriverError::NoDevice,
        sys::CUresult::CUDA_ERROR_STUB_LIBRARY => DriverError::Stub,
        sys::CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => DriverError::Mismatch,
        code => DriverError::Failed { call, reason: format!("{code:?}") },
    }
}

#[allow(unsafe_code)]
fn ask() -> Result<Driver, DriverError> {
    let module = module_version();
    library::find_driver();
    // SAFETY: loading the driver's library runs its initialisers, which every program that uses a GPU trusts.
    if !unsafe { sys::is_culib_present() } {
        return Err(module.map_or(DriverError::NoDriver, |module| DriverError::NoLibrary { module }));
    }
    let cuda = version()?;
    if cuda < CUDA_MIN {
        return Err(DriverError::TooOld { found: cuda });
    }
    result::init().map_err(failed("cuInit"))?;
    let count = result::device::get_count().map_err(failed("cuDeviceGetCount"))?;
    if count < 1 {
        return Err(DriverError::NoDevice);
    }
    let gpus = (0..count).map(|ordinal| describe(ordinal, cuda)).collect::<Result<_, _>>()?;
    Ok(Driver { cuda, module, gpus })
}

/// Newest CUDA that the driver supports.
#[allow(unsafe_code)]
fn version() -> Result<CudaVersion, DriverError> {
    let mut number = 0;
    // SAFETY: the driver writes one integer, and answers this before it is initialised.
    unsafe { sys::cuDriverGetVersion(&raw mut number) }.result().map_err(failed("cuDriverGetVersion"))?;
    Ok(CudaVersion::of_number(number))
}

#[allow(unsafe_code)]
fn describe(ordinal: i32, cuda: CudaVersion) -> Result<Gpu, DriverError> {
    use sys::CUdevice_attribute as Attribute;

    let device = result::device::get(ordinal).map_err(failed("cuDeviceGet"))?;
    let attribute = |attribute| {
        // SAFETY: the driver has just returned `device`.
        let value = unsafe { result::device::get_attribute(device, attribute) };
        value.map(i32::unsigned_abs).map_err(failed("cuDeviceGetAttribute"))
    };
    let name = result::device::get_name(device).map_err(failed("cuDeviceGetName"))?;
    // SAFETY: as above.
    let memory = unsafe { result::device::total_mem(device) }.map_err(failed("cuDeviceTotalMem"))?;
    let mut identity = MaybeUninit::<sys::CUuuid>::uninit();
    // SAFETY: as above; the driver writes all sixteen bytes if it succeeds. The second version names an instance, not its whole GPU.
    let identity = unsafe {
        sys::cuDeviceGetUuid_v2(identity.as_mut_ptr(), device).result().map_err(failed("cuDeviceGetUuid"))?;
        identity.assume_init()
    };
    let mut address = [0u8; 32];
    // SAFETY: as above; the driver writes at most the length that it is told, a terminating zero included.
    unsafe { sys::cuDeviceGetPCIBusId(address.as_mut_ptr().cast(), address.len() as i32, device) }
        .result()
        .map_err(failed("cuDeviceGetPCIBusId"))?;
    let mig = name.contains(" MIG ");
    Ok(Gpu {
        ordinal: ordinal.unsigned_abs() as usize,
        uuid: uuid(mig, &identity.bytes.map(|byte| byte as u8)),
        memory_bytes: memory as u64,
        compute: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        mig,
        ecc: attribute(Attribute::CU_DEVICE_ATTRIBUTE_ECC_ENABLED)? != 0,
        pcie: CStr::from_bytes_until_nul(&address)
            .map(|address| address.to_string_lossy().into_owned())
            .unwrap_or_default(),
        cuda,
        name,
    })
}

/// Spelt as `nvidia-smi -L` and device plugins spell it.
fn uuid(mig: bool, bytes: &[u8; 16]) -> String {
    let digits =
        |range: std::ops::Range<usize>| bytes[range].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let groups = [digits(0..4), digits(4..6), digits(6..8), digits(8..10), digits(10..16)].join("-");
    format!("{}-{groups}", if mig { "MIG" } else { "GPU" })
}

fn module_version() -> Option<String> {
    let read = |path| fs::read_to_string(path).ok();
    let described = || read(MODULE_DESCRIPTION)?.lines().next().map(str::to_owned);
    let version = read(MODULE_VERSION).or_else(described)?;
    Some(version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_cuda_are_numbers_of_a_thousand_and_ten() {
        assert_eq!(CudaVersion::of_number(12_080), CudaVersion { major: 12, minor: 8 });
        assert!(CudaVersion::of_number(11_080) < CUDA_MIN && CUDA_MIN <= CudaVersion::of_number(13_000));
        assert_eq!(CudaVersion::of_number(13_000).to_string(), "13.0");
    }

    #[test]
    fn an_instance_is_told_from_a_gpu() {
        let bytes = std::array::from_fn(|index| index as u8);
        assert_eq!(uuid(false, &bytes), "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(uuid(true, &bytes), "MIG-00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
