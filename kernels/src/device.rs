//! An open device: its memory, and the launch of a kernel.

use std::path::Path;
use std::sync::Arc;

use cudarc::driver::sys::{CUdevice_attribute as Attribute, CUresult};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DeviceRepr, DriverError, LaunchArgs, LaunchConfig,
};
use cudarc::nvrtc::Ptx;
use obelysk_prover::DeviceError;

use crate::code::{BIND, Source, TREE};
use crate::driver::Gpu;

/// Threads of every block: `THREADS` in `native/grid.cuh`.
pub(crate) const THREADS: u32 = 256;

/// An open device.
pub struct Device {
    name: String,
    compute: (u32, u32),
    multiprocessors: u32,
    context: Arc<CudaContext>,
    /// All work is in one queue, so every launch sees what was queued before it.
    stream: Arc<CudaStream>,
}

/// Values in a device's memory, at least one.
pub struct Buffer<T> {
    slice: CudaSlice<T>,
    len: usize,
}

impl Device {
    /// Open a device.
    ///
    /// # Errors
    /// [`DeviceError::Lost`].
    #[allow(unsafe_code)]
    pub fn open(gpu: &Gpu) -> Result<Self, DeviceError> {
        let lost = |error| lost(&gpu.name, error);
        let context = CudaContext::new(gpu.ordinal).map_err(lost)?;
        let multiprocessors =
            context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).map_err(lost)?.unsigned_abs();
        let stream = context.default_stream();
        // SAFETY: events order what lies in several queues, and there is one.
        unsafe { context.disable_event_tracking() };
        Ok(Self { name: gpu.name.clone(), compute: gpu.compute, multiprocessors, context, stream })
    }

    /// Copy values to the device.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Panics
    /// Without values.
    pub fn upload<T: DeviceRepr>(&self, values: &[T]) -> Result<Buffer<T>, DeviceError> {
        let mut buffer = self.allocate(values.len())?;
        self.stream.memcpy_htod(values, &mut buffer.slice).map_err(|error| self.lost(error))?;
        Ok(buffer)
    }

    /// Copy values from the device, after all that is queued.
    ///
    /// # Errors
    /// [`DeviceError::Lost`], also for what a kernel before did wrong.
    pub fn download<T: DeviceRepr>(&self, buffer: &Buffer<T>) -> Result<Vec<T>, DeviceError> {
        let view = buffer.slice.slice(..buffer.len);
        let values = self.stream.clone_dtoh(&view).map_err(|error| self.lost(error))?;
        self.stream.synchronize().map_err(|error| self.lost(error))?;
        Ok(values)
    }

    /// Memory that nothing has been written to.
    #[allow(unsafe_code)]
    pub(crate) fn allocate<T: DeviceRepr>(&self, len: usize) -> Result<Buffer<T>, DeviceError> {
        assert!(len > 0, "a buffer holds something");
        // SAFETY: the values are plain words, and whoever allocates writes before it reads.
        let slice = unsafe { self.stream.alloc(len) }.map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let free = self.context.mem_get_info().map_or(0, |(free, _)| free as u64);
                DeviceError::OutOfMemory { device: self.name.clone(), needed: (len * size_of::<T>()) as u64, free }
            }
            _ => self.lost(error),
        })?;
        Ok(Buffer { slice, len })
    }

    fn lost(&self, error: DriverError) -> DeviceError {
        lost(&self.name, error)
    }

    fn load(&self, source: &Source, kept: &Path) -> Result<Loaded<'_>, DeviceError> {
        let refused = |reason| DeviceError::NoKernelImage { device: self.name.clone(), reason };
        let code = source.machine_code(self.compute, kept).map_err(refused)?;
        let module = self.context.load_module(Ptx::from_binary(code)).map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_INVALID_IMAGE | CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => {
                refused(format!("the driver refuses {}: {:?}", source.name, error.0))
            }
            _ => self.lost(error),
        })?;
        Ok(Loaded { device: self, module })
    }
}

impl<T> Buffer<T> {
    /// Number of values.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // It is never empty.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Forget all values but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        assert!(0 < len && len <= self.len, "a buffer holds something, and gains nothing");
        self.len = len;
    }
}

struct Loaded<'a> {
    device: &'a Device,
    module: Arc<cudarc::driver::CudaModule>,
}

impl Loaded<'_> {
    fn kernel(&self, name: &str) -> Result<Kernel, DeviceError> {
        let lost = |error| self.device.lost(error);
        let function = self.module.load_function(name).map_err(lost)?;
        let resident = function.occupancy_max_active_blocks_per_multiprocessor(THREADS, 0, None).map_err(lost)?;
        Ok(Kernel { function, blocks_max: u64::from(resident.max(1)) * u64::from(self.device.multiprocessors) })
    }
}

/// A kernel of a device.
pub(crate) struct Kernel {
    pub(crate) function: CudaFunction,
    /// As many blocks as run at once: more would wait for them, and loops make up for fewer.
    blocks_max: u64,
}

/// A device with its kernels. Each has one method here that says what it may be given, in the file of its source's name.
pub struct Kernels {
    pub(crate) device: Device,
    pub(crate) bind_variable: Kernel,
    pub(crate) hash_rows: Kernel,
    pub(crate) hash_levels: Kernel,
}

impl Kernels {
    /// Load the kernels, from the folder `kept` where they are there.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn load(device: Device, kept: &Path) -> Result<Self, DeviceError> {
        let (bind, tree) = (device.load(&BIND, kept)?, device.load(&TREE, kept)?);
        let bind_variable = bind.kernel("bind_variable")?;
        let (hash_rows, hash_levels) = (tree.kernel("hash_rows")?, tree.kernel("hash_levels")?);
        Ok(Self { device, bind_variable, hash_rows, hash_levels })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What a kernel of this device is given.
    pub(crate) fn given<'a, T>(&self, buffer: &'a Buffer<T>) -> &'a CudaSlice<T> {
        assert!(Arc::ptr_eq(buffer.slice.context(), &self.device.context), "a kernel reads its own device's memory");
        &buffer.slice
    }

    /// What a kernel of this device is given to write.
    pub(crate) fn given_mut<'a, T>(&self, buffer: &'a mut Buffer<T>) -> &'a mut CudaSlice<T> {
        assert!(Arc::ptr_eq(buffer.slice.context(), &self.device.context), "a kernel writes its own device's memory");
        &mut buffer.slice
    }

    /// Begin a launch.
    pub(crate) fn launch<'a>(&'a self, kernel: &'a Kernel) -> LaunchArgs<'a> {
        self.device.stream.launch_builder(&kernel.function)
    }

    /// Launch a kernel with its arguments on enough blocks for `blocks` of them to be useful.
    ///
    /// # Safety
    /// The arguments are those of the kernel, in number, order and type, and it stays inside of them.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn queue(
        &self,
        kernel: &Kernel,
        blocks: u64,
        arguments: &mut LaunchArgs,
    ) -> Result<(), DeviceError> {
        let blocks = blocks.min(kernel.blocks_max);
        let blocks = u32::try_from(blocks).expect("a device runs fewer blocks at once");
        let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the caller's.
        unsafe { arguments.launch(config) }.map(drop).map_err(|error| self.device.lost(error))
    }
}

fn lost(device: &str, error: DriverError) -> DeviceError {
    DeviceError::Lost { device: device.to_owned(), reason: format!("{:?}", error.0) }
}
