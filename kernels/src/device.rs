//! An open device and its memory.

use std::path::Path;
use std::sync::Arc;

use cudarc::driver::result::{device, mem_pool};
use cudarc::driver::sys::{
    CUdevice_attribute as Attribute, CUmemPool_attribute as PoolAttribute, CUmemoryPool, CUresult,
};
use cudarc::driver::{
    CudaContext, CudaModule, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError, ValidAsZeroBits,
};
use cudarc::nvrtc::Ptx;
use obelysk_prover::DeviceError;
use obelysk_statement::Challenge;

use crate::code::Source;
use crate::driver::{CudaVersion, Gpu};
use crate::extension::Extension;
use crate::management::{self, Watch};

/// About what a context takes before anything is in it: what is said to be needed where there is no room for one.
const CONTEXT: u64 = 512 << 20;

/// An open device.
pub struct Device {
    name: String,
    compute: (u32, u32),
    pub(crate) multiprocessors: u32,
    context: Arc<CudaContext>,
    /// All work is in one queue, so every launch sees what was queued before it.
    pub(crate) stream: Arc<CudaStream>,
    pub(crate) cuda: CudaVersion,
    watch: Watch,
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
    /// [`DeviceError::Lost`], or [`DeviceError::OutOfMemory`] where not even a context has room.
    #[allow(unsafe_code)]
    pub fn open(gpu: &Gpu) -> Result<Self, DeviceError> {
        let watch = Watch::new(&gpu.pcie);
        let failed = |error: DriverError| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let free = management::free_bytes(&gpu.pcie).unwrap_or(0);
                DeviceError::OutOfMemory { device: gpu.name.clone(), needed: CONTEXT, free }
            }
            _ => lost(&gpu.name, &watch, error),
        };
        let context = CudaContext::new(gpu.ordinal).map_err(failed)?;
        let multiprocessors =
            context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).map_err(failed)?.unsigned_abs();
        let stream = context.default_stream();
        // SAFETY: events order what lies in several queues, and there is one.
        unsafe { context.disable_event_tracking() };
        if let Some(pool) = pool(&context).map_err(failed)? {
            let mut all = u64::MAX;
            // SAFETY: the pool is the driver's own, and this attribute is a number of 64 bits.
            unsafe {
                mem_pool::set_attribute(pool, PoolAttribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, (&raw mut all).cast())
            }
            .map_err(failed)?;
        }
        let (name, compute, cuda) = (gpu.name.clone(), gpu.compute, gpu.cuda);
        Ok(Self { name, compute, multiprocessors, context, stream, cuda, watch })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Memory that nothing takes, in bytes, what the pool keeps for later included.
    ///
    /// # Errors
    /// [`DeviceError::Lost`].
    #[allow(unsafe_code)]
    pub fn free_bytes(&self) -> Result<u64, DeviceError> {
        let failed = |error| self.failed(error, 0);
        let (free, _) = self.context.mem_get_info().map_err(failed)?;
        let Some(pool) = pool(&self.context).map_err(failed)? else { return Ok(free as u64) };
        let read = |attribute| {
            let mut bytes = 0u64;
            // SAFETY: the pool is the driver's own, and these attributes are numbers of 64 bits.
            unsafe { mem_pool::get_attribute(pool, attribute, (&raw mut bytes).cast()) }.map(|()| bytes).map_err(failed)
        };
        let reserved = read(PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        let used = read(PoolAttribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
        Ok(free as u64 + reserved.saturating_sub(used))
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
        let failed = |error| self.failed(error, size_of_val(values) as u64);
        self.stream.memcpy_htod(values, &mut buffer.slice).map_err(failed)?;
        // The values may be gone when this returns.
        self.stream.synchronize().map_err(failed)?;
        Ok(buffer)
    }

    /// Copy values from the device, after all that is queued.
    ///
    /// # Errors
    /// [`DeviceError::Lost`], also for what a kernel before did wrong.
    pub fn download<T: DeviceRepr>(&self, buffer: &Buffer<T>) -> Result<Vec<T>, DeviceError> {
        let view = buffer.slice.slice(..buffer.len);
        let failed = |error| self.failed(error, (buffer.len * size_of::<T>()) as u64);
        let values = self.stream.clone_dtoh(&view).map_err(failed)?;
        self.stream.synchronize().map_err(failed)?;
        Ok(values)
    }

    /// Copy one value from the device.
    pub(crate) fn download_one<T: DeviceRepr>(&self, buffer: &Buffer<T>, place: usize) -> Result<T, DeviceError> {
        let view = buffer.slice.slice(place..=place);
        let failed = |error| self.failed(error, size_of::<T>() as u64);
        let values = self.stream.clone_dtoh(&view).map_err(failed)?;
        self.stream.synchronize().map_err(failed)?;
        Ok(values.into_iter().next().expect("one value"))
    }

    /// Memory that nothing has been written to.
    #[allow(unsafe_code)]
    pub(crate) fn allocate<T: DeviceRepr>(&self, len: usize) -> Result<Buffer<T>, DeviceError> {
        assert!(len > 0, "a buffer holds something");
        // SAFETY: the values are plain words, and whoever allocates writes before it reads.
        let slice =
            unsafe { self.stream.alloc(len) }.map_err(|error| self.failed(error, (len * size_of::<T>()) as u64))?;
        Ok(Buffer { slice, len })
    }

    /// Memory full of zeros.
    pub(crate) fn zeros<T: DeviceRepr + ValidAsZeroBits>(&self, len: usize) -> Result<Buffer<T>, DeviceError> {
        let mut buffer = self.allocate(len)?;
        self.stream.memset_zeros(&mut buffer.slice).map_err(|error| self.failed(error, 0))?;
        Ok(buffer)
    }

    /// The same values once more.
    pub(crate) fn copy<T: DeviceRepr>(&self, buffer: &Buffer<T>) -> Result<Buffer<T>, DeviceError> {
        let mut copy = self.allocate(buffer.len)?;
        let view = buffer.slice.slice(..buffer.len);
        self.stream.memcpy_dtod(&view, &mut copy.slice).map_err(|error| self.failed(error, 0))?;
        Ok(copy)
    }

    /// The same values on this device, from another one.
    pub(crate) fn bring<T: DeviceRepr>(&self, buffer: &Buffer<T>) -> Result<Buffer<T>, DeviceError> {
        let own = self.copy(buffer)?;
        // The other device's queue does not know that they are read.
        self.stream.synchronize().map_err(|error| self.failed(error, 0))?;
        Ok(own)
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

    /// What an error of a call means that had to have so many bytes: too little memory, or a lost device.
    pub(crate) fn failed(&self, error: DriverError, needed: u64) -> DeviceError {
        match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let free = self.context.mem_get_info().map_or(0, |(free, _)| free as u64);
                DeviceError::OutOfMemory { device: self.name.clone(), needed, free }
            }
            _ => lost(&self.name, &self.watch, error),
        }
    }

    pub(crate) fn load(&self, source: &Source, kept: &Path) -> Result<Arc<CudaModule>, DeviceError> {
        let load = |code: Vec<u8>| self.context.load_module(Ptx::from_binary(code));
        let refused = |reason| DeviceError::NoKernelImage { device: self.name.clone(), reason };
        // What is built in may be too new for the driver: then the compiler is asked.
        let mut before = String::new();
        for code in source.built_in(self.compute) {
            match load(code.to_vec()) {
                Ok(module) => return Ok(module),
                Err(error) if !refuses_code(error) => return Err(self.failed(error, code.len() as u64)),
                Err(error) => before = format!("the driver refuses what is built in ({:?}); ", error.0),
            }
        }
        let code = source
            .machine_code(self.compute, self.cuda, kept)
            .map_err(|reason| refused(format!("{before}{reason}")))?;
        let bytes = code.len() as u64;
        load(code).map_err(|error| match refuses_code(error) {
            true => refused(format!("{before}the driver refuses {}: {:?}", source.name, error.0)),
            false => self.failed(error, bytes),
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

/// The pool that the device's memory is taken from; none where its driver has no pools.
#[allow(unsafe_code)]
fn pool(context: &CudaContext) -> Result<Option<CUmemoryPool>, DriverError> {
    let supported = context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)?;
    // SAFETY: the context's device is the driver's.
    (supported > 0).then(|| unsafe { device::get_default_mem_pool(context.cu_device()) }).transpose()
}

/// With the number that its kernel driver reported (an Xid), where it is known.
fn lost(device: &str, watch: &Watch, error: DriverError) -> DeviceError {
    let xid = watch.xid().map(|xid| format!(", Xid {xid}")).unwrap_or_default();
    DeviceError::Lost { device: device.to_owned(), reason: format!("{:?}{xid}", error.0) }
}
