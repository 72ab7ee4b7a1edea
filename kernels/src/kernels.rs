//! The kernels of an open device, and the launch of one.

use std::path::Path;

use cudarc::driver::sys::{self, CUfunction_attribute};
use cudarc::driver::{CudaFunction, CudaSlice, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg};
use obelysk_prover::DeviceError;

use crate::code;
use crate::device::{Buffer, Device};
use crate::driver::CudaVersion;

/// Threads of every block: `THREADS` in `native/grid.cuh`.
pub(crate) const THREADS: u32 = 256;

/// Oldest driver that says how large a kernel's parameters are.
const NAMES_PARAMETERS: CudaVersion = CudaVersion { major: 12, minor: 4 };

/// A kernel of a device.
pub(crate) struct Kernel {
    function: CudaFunction,
    /// Bytes of its parameters, where the driver says.
    parameters: Option<Vec<usize>>,
    /// As many blocks as run at once: more would wait for them, and loops make up for fewer.
    blocks_max: u64,
}

macro_rules! kernels {
    ($($source:ident { $($kernel:ident),+ })+) => {
        /// A device with its kernels. Each has one method that says what it may be given, in the file of its source's name.
        pub struct Kernels {
            pub(crate) device: Device,
            $($(pub(crate) $kernel: Kernel,)+)+
        }

        impl Kernels {
            /// Load the kernels, from the folder `kept` where they are there.
            ///
            /// # Errors
            /// [`DeviceError`].
            pub fn load(device: Device, kept: &Path) -> Result<Self, DeviceError> {
                $(
                    let module = device.load(&code::$source, kept)?;
                    $(let $kernel = Kernel::of(&device, module.load_function(stringify!($kernel)))?;)+
                )+
                Ok(Self { device, $($($kernel,)+)+ })
            }
        }
    };
}

kernels! {
    BIND { bind_variable }
    EQ { outer_product, halve_table }
    FRACTIONS { add_fractions, layer_round, bind_children }
    LEAVES { fill_leaves, set_numerators, subtract_entries, subtract_integers }
    LINEAR { project_narrow, project_wide }
    OPENING { inner_product_round, add_scaled, coordinate_products, weigh_rows }
    PROGRAM { monomials_round }
    SUM { sum_long_columns, sum_short_columns }
    TRANSFORM { circle_constants, double_points, read_columns, repeat_columns, transform_layer, pick_rows }
    TREE { hash_columns, hash_levels, pick_nodes }
    WEIGHTED { weighted_sums }
}

impl Kernel {
    fn of(device: &Device, function: Result<CudaFunction, cudarc::driver::DriverError>) -> Result<Self, DeviceError> {
        let failed = |error| device.failed(error, 0);
        let function = function.map_err(failed)?;
        let resident = function.occupancy_max_active_blocks_per_multiprocessor(THREADS, 0, None).map_err(failed)?;
        let parameters = (device.cuda >= NAMES_PARAMETERS).then(|| parameters(&function));
        Ok(Self { function, parameters, blocks_max: u64::from(resident.max(1)) * u64::from(device.multiprocessors) })
    }

    /// Memory of their own that threads of so many blocks have: what a launch takes beside its arguments.
    fn local_bytes(&self, blocks: u32) -> u64 {
        let local = self.function.get_attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
        u64::from(local.map_or(0, i32::unsigned_abs)) * u64::from(blocks) * u64::from(THREADS)
    }

    /// Blocks that are launched for so many items, if a thread takes one.
    pub(crate) fn blocks(&self, items: usize) -> usize {
        let blocks = (items as u64).div_ceil(u64::from(THREADS)).clamp(1, self.blocks_max);
        usize::try_from(blocks).expect("a device runs fewer blocks at once")
    }
}

/// Bytes of each parameter.
#[allow(unsafe_code)]
fn parameters(function: &CudaFunction) -> Vec<usize> {
    let mut sizes = Vec::new();
    loop {
        let (mut offset, mut size) = (0, 0);
        // SAFETY: the driver has just returned the function, and writes two numbers for each of its parameters.
        let answer =
            unsafe { sys::cuFuncGetParamInfo(function.cu_function(), sizes.len(), &raw mut offset, &raw mut size) };
        match answer {
            sys::CUresult::CUDA_SUCCESS => sizes.push(size),
            _ => return sizes,
        }
    }
}

/// The arguments of a launch, with their sizes.
pub(crate) struct Arguments<'a> {
    launch: LaunchArgs<'a>,
    sizes: Vec<usize>,
}

/// Memory that a kernel reads.
pub(crate) struct Given<'a, T>(&'a CudaSlice<T>);

/// Memory that a kernel writes.
pub(crate) struct GivenMut<'a, T>(&'a mut CudaSlice<T>);

impl<'a> Arguments<'a> {
    /// A value, or memory of the device: the next argument.
    pub(crate) fn arg(&mut self, argument: impl Argument<'a>) -> &mut Self {
        self.sizes.push(argument.push(&mut self.launch));
        self
    }
}

/// What a kernel may be given.
pub(crate) trait Argument<'a> {
    /// Its bytes, once it is the launch's next argument.
    fn push(self, launch: &mut LaunchArgs<'a>) -> usize;
}

impl<'a, T: DeviceRepr> Argument<'a> for &'a T {
    fn push(self, launch: &mut LaunchArgs<'a>) -> usize {
        launch.arg(self);
        size_of::<T>()
    }
}

impl<'a, T> Argument<'a> for Given<'a, T> {
    fn push(self, launch: &mut LaunchArgs<'a>) -> usize {
        launch.arg(self.0);
        size_of::<u64>()
    }
}

impl<'a, T> Argument<'a> for GivenMut<'a, T> {
    fn push(self, launch: &mut LaunchArgs<'a>) -> usize {
        launch.arg(self.0);
        size_of::<u64>()
    }
}

impl Kernels {
    /// The device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What a kernel of this device is given.
    pub(crate) fn given<'a, T>(&self, buffer: &'a Buffer<T>) -> Given<'a, T> {
        Given(buffer.of(&self.device))
    }

    /// What a kernel of this device is given to write.
    pub(crate) fn given_mut<'a, T>(&self, buffer: &'a mut Buffer<T>) -> GivenMut<'a, T> {
        GivenMut(buffer.of_mut(&self.device))
    }

    /// Begin a launch.
    pub(crate) fn launch<'a>(&'a self, kernel: &'a Kernel) -> Arguments<'a> {
        Arguments { launch: self.device.stream.launch_builder(&kernel.function), sizes: Vec::new() }
    }

    /// Launch a kernel with its arguments on enough threads for so many items.
    ///
    /// # Panics
    /// If the arguments are not as many and as large as the kernel's parameters, where the driver says.
    ///
    /// # Safety
    /// The arguments are those of the kernel, in number, order and type, and it stays inside of them.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn queue(
        &self,
        kernel: &Kernel,
        items: usize,
        arguments: &mut Arguments,
    ) -> Result<(), DeviceError> {
        if let Some(parameters) = &kernel.parameters {
            assert_eq!(&arguments.sizes, parameters, "arguments are as large as the kernel's parameters");
        }
        let blocks = u32::try_from(kernel.blocks(items)).expect("a device runs fewer blocks at once");
        let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the caller's.
        unsafe { arguments.launch.launch(config) }
            .map(drop)
            .map_err(|error| self.device.failed(error, kernel.local_bytes(blocks)))
    }
}
