//! An open device and its memory.

use std::path::Path;
use std::sync::Arc;

use cudarc::driver::sys::{CUdevice_attribute as Attribute, CUresult};
use cudarc::driver::{
    CudaContext, CudaModule, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError, ValidAsZeroBits,
};
use cudarc::nvrtc::Ptx;
use obelysk_prover::DeviceError;
use obelysk_statement::Challenge;

use crate::code::Source;
use crate::driver::Gpu;
use crate::extension::Extension;

/// An open device.
pub struct Device {
    name: String,
    compute: (u32, u32),
    pub(crate) multiprocessors: u32,
    context: Arc<CudaContext>,
    /// All work is in one queue, so every launch sees what was queued before it.
    pub(crate) stream: Arc<CudaStream>,
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

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Memory that nothing takes.
    pub(crate) fn free_bytes(&self) -> Result<u64, DeviceError> {
        self.context.mem_get_info().map(|(free, _)| free as u64).map_err(|error| self.lost(error))
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
        // The values may be gone when this returns.
        self.stream.synchronize().map_err(|error| self.lost(error))?;
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

    /// Copy one value from the device.
    pub(crate) fn download_one<T: DeviceRepr>(&self, buffer: &Buffer<T>, place: usize) -> Result<T, DeviceError> {
        let view = buffer.slice.slice(place..=place);
        let values = self.stream.clone_dtoh(&view).map_err(|error| self.lost(error))?;
        self.stream.synchronize().map_err(|error| self.lost(error))?;
        Ok(values.into_iter().next().expect("one value"))
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

    /// Memory full of zeros.
    pub(crate) fn zeros<T: DeviceRepr + ValidAsZeroBits>(&self, len: usize) -> Result<Buffer<T>, DeviceError> {
        let mut buffer = self.allocate(len)?;
        self.stream.memset_zeros(&mut buffer.slice).map_err(|error| self.lost(error))?;
        Ok(buffer)
    }

    /// The same values once more.
    pub(crate) fn copy<T: DeviceRepr>(&self, buffer: &Buffer<T>) -> Result<Buffer<T>, DeviceError> {
        let mut copy = self.allocate(buffer.len)?;
        let view = buffer.slice.slice(..buffer.len);
        self.stream.memcpy_dtod(&view, &mut copy.slice).map_err(|error| self.lost(error))?;
        Ok(copy)
    }

    /// Copy elements from the device, of which every word has to be one of the field.
    ///
    /// # Errors
    /// [`DeviceError::Lost`].
    pub fn challenges(&self, buffer: &Buffer<Extension>) -> Result<Vec<Challenge>, DeviceError> {
        let elements = self.download(buffer)?.into_iter().map(Extension::element);
        elements.collect::<Option<_>>().ok_or_else(|| self.wrong("words that are not of the field"))
    }

    /// What it answered cannot be right.
    pub(crate) fn wrong(&self, answer: &str) -> DeviceError {
        DeviceError::Lost { device: self.name.clone(), reason: format!("it answered with {answer}") }
    }

    pub(crate) fn lost(&self, error: DriverError) -> DeviceError {
        lost(&self.name, error)
    }

    pub(crate) fn load(&self, source: &Source, kept: &Path) -> Result<Arc<CudaModule>, DeviceError> {
        let load = |code: Vec<u8>| self.context.load_module(Ptx::from_binary(code));
        let refused = |reason| DeviceError::NoKernelImage { device: self.name.clone(), reason };
        // What is built in may be too new for the driver: then the compiler is asked.
        let mut before = String::new();
        if let Some(code) = source.built_in(self.compute) {
            match load(code.to_vec()) {
                Ok(module) => return Ok(module),
                Err(error) if !refuses_code(error) => return Err(self.lost(error)),
                Err(error) => {
                    before =
                        format!("the driver refuses what is built in ({:?}): it needs driver 580 or newer; ", error.0);
                }
            }
        }
        let code = source.machine_code(self.compute, kept).map_err(|reason| refused(format!("{before}{reason}")))?;
        load(code).map_err(|error| match refuses_code(error) {
            true => refused(format!("{before}the driver refuses {}: {:?}", source.name, error.0)),
            false => self.lost(error),
        })
    }
}

/// Whether an error of a driver is about machine code that it does not know.
fn refuses_code(DriverError(error): DriverError) -> bool {
    use CUresult as Answer;
    matches!(
        error,
        Answer::CUDA_ERROR_INVALID_IMAGE
            | Answer::CUDA_ERROR_NO_BINARY_FOR_GPU
            | Answer::CUDA_ERROR_INVALID_PTX
            | Answer::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            | Answer::CUDA_ERROR_INVALID_SOURCE
            | Answer::CUDA_ERROR_JIT_COMPILER_NOT_FOUND
    )
}

impl<T> Buffer<T> {
    /// Number of values.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // It is never empty.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where the values lie, for a kernel that is queued while this buffer lives.
    pub(crate) fn address(&self) -> u64 {
        // The queue is the one that allocated, so nothing has to be waited for.
        self.slice.device_ptr(self.slice.stream()).0
    }

    /// What kernels of this device are given.
    pub(crate) fn of(&self, device: &Device) -> &CudaSlice<T> {
        assert!(Arc::ptr_eq(self.slice.context(), &device.context), "a kernel reads its own device's memory");
        &self.slice
    }

    /// What kernels of this device are given to write.
    pub(crate) fn of_mut(&mut self, device: &Device) -> &mut CudaSlice<T> {
        assert!(Arc::ptr_eq(self.slice.context(), &device.context), "a kernel writes its own device's memory");
        &mut self.slice
    }

    /// Forget all values but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        assert!(0 < len && len <= self.len, "a buffer holds something, and gains nothing");
        self.len = len;
    }
}

fn lost(device: &str, error: DriverError) -> DeviceError {
    DeviceError::Lost { device: device.to_owned(), reason: format!("{:?}", error.0) }
}
