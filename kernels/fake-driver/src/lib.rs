//! A machine with fake devices, for tests: the driver and the compiler in this folder, built with a C++ compiler and loaded where real ones
//! would be. A process has one driver, so tests take it in turn. No program of ours links this crate, and `obelysk` refuses its devices.

use std::env;
use std::ffi::CString;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock};

use libloading::Library;
use obelysk_kernels::{Device, Kernels, discover_fake};
use tempfile::TempDir;

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");
/// Undefined behaviour ends the process: what a kernel does by it on one compiler is not what it does on another.
const FLAGS: [&str; 9] = [
    "-std=c++17",
    "-O1",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-fsanitize=undefined",
    "-fsanitize-undefined-trap-on-error",
    "-shared",
    "-fPIC",
    "-fvisibility=hidden",
];

type Configure = unsafe extern "C" fn(i32, usize, i32, i32, i32);
type Peak = unsafe extern "C" fn(i32) -> u64;
type Lose = unsafe extern "C" fn(i32, i32);
type Occupy = unsafe extern "C" fn(i32, u64);
type Fail = unsafe extern "C" fn(*const i8, i32);
type Report = unsafe extern "C" fn(u64, u64);
type TwoTexts = unsafe extern "C" fn(*const i8, *const i8);
type ThreeTexts = unsafe extern "C" fn(*const i8, *const i8, *const i8);

struct Libraries {
    driver: Library,
    compiler: Library,
    management: Library,
    folder: TempDir,
}

/// What the machine has.
pub struct Hardware {
    /// Number of devices.
    pub devices: i32,
    /// Bytes of each device's memory.
    pub memory: usize,
    /// Multiprocessors of each device: blocks of a grid at most.
    pub multiprocessors: i32,
    /// What the driver answers first, 0 for success.
    pub init: i32,
    /// CUDA's version, a thousand for each major one.
    pub cuda: i32,
}

impl Default for Hardware {
    fn default() -> Self {
        Self { devices: 1, memory: 1 << 28, multiprocessors: 4, init: 0, cuda: 13_000 }
    }
}

/// The machine, for one test at a time.
pub struct Machine {
    libraries: &'static Libraries,
    _turn: MutexGuard<'static, ()>,
}

impl Machine {
    /// The machine with some hardware, once no other test has it.
    ///
    /// # Panics
    /// Without a C++ compiler.
    #[must_use]
    pub fn new(hardware: Hardware) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static LIBRARIES: OnceLock<Libraries> = OnceLock::new();
        // A test that failed leaves nothing behind that the next one does not set.
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let machine = Self { libraries: LIBRARIES.get_or_init(Libraries::build), _turn: turn };
        machine.plant("", "", "");
        machine.report(0, 0);
        let Hardware { devices, memory, multiprocessors, init, cuda } = hardware;
        #[allow(unsafe_code)]
        // SAFETY: `fake_configure` in `driver.cpp` has this type.
        unsafe {
            let configure = machine.libraries.driver.get::<Configure>(b"fake_configure").unwrap();
            configure(devices, memory, multiprocessors, init, cuda);
        }
        machine
    }

    /// Kernels on the first device, compiled anew.
    ///
    /// # Panics
    /// If they do not compile.
    #[must_use]
    pub fn kernels(&self) -> Kernels {
        let kept = tempfile::tempdir().unwrap();
        Kernels::load(self.device(), kept.path()).unwrap()
    }

    /// Kernels on every device, compiled anew.
    ///
    /// # Panics
    /// If they do not compile.
    #[must_use]
    pub fn all_kernels(&self) -> Vec<Kernels> {
        let kept = tempfile::tempdir().unwrap();
        let gpus = discover_fake().unwrap().gpus;
        gpus.iter().map(|gpu| Kernels::load(Device::open(gpu).unwrap(), kept.path()).unwrap()).collect()
    }

    /// The first device.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn device(&self) -> Device {
        Device::open(&discover_fake().unwrap().gpus[0]).unwrap()
    }

    /// Make every later call on a device answer with an error.
    ///
    /// # Panics
    /// Never: the driver has the function.
    #[allow(unsafe_code)]
    pub fn lose(&self, device: i32, answer: i32) {
        // SAFETY: `fake_lose` in `driver.cpp` has this type.
        unsafe { self.libraries.driver.get::<Lose>(b"fake_lose").unwrap()(device, answer) }
    }

    /// Make every later call of this name answer with an error. Without a name, none does.
    ///
    /// # Panics
    /// For a name that holds a zero byte.
    #[allow(unsafe_code)]
    pub fn fail(&self, call: &str, answer: i32) {
        let call = CString::new(call).unwrap();
        // SAFETY: `fake_fail` in `driver.cpp` has this type, and copies the text.
        unsafe { self.libraries.driver.get::<Fail>(b"fake_fail").unwrap()(call.as_ptr(), answer) }
    }

    /// Let another process have so many bytes of a device.
    ///
    /// # Panics
    /// Never: the driver has the function.
    #[allow(unsafe_code)]
    pub fn occupy(&self, device: i32, bytes: u64) {
        // SAFETY: `fake_occupy` in `driver.cpp` has this type.
        unsafe { self.libraries.driver.get::<Occupy>(b"fake_occupy").unwrap()(device, bytes) }
    }

    /// Let the management library report an error of a device to who asks next (none for 0), and what is free of its memory.
    ///
    /// # Panics
    /// Never: the library has the function.
    #[allow(unsafe_code)]
    pub fn report(&self, xid: u64, free: u64) {
        // SAFETY: `fake_report` in `management.cpp` has this type.
        unsafe { self.libraries.management.get::<Report>(b"fake_report").unwrap()(xid, free) }
    }

    /// Most memory of a device that was taken at once, in bytes.
    ///
    /// # Panics
    /// Never: the driver has the function.
    #[must_use]
    #[allow(unsafe_code)]
    pub fn peak(&self, device: i32) -> u64 {
        // SAFETY: `fake_peak` in `driver.cpp` has this type.
        unsafe { self.libraries.driver.get::<Peak>(b"fake_peak").unwrap()(device) }
    }

    /// Compile a source with one change. Without a name, none is changed.
    ///
    /// # Panics
    /// For texts that hold a zero byte.
    #[allow(unsafe_code)]
    pub fn plant(&self, source: &str, find: &str, with: &str) {
        let [source, find, with] = [source, find, with].map(|text| CString::new(text).unwrap());
        // SAFETY: `fake_plant` in `compiler.cpp` takes three texts and copies them.
        unsafe {
            let plant = self.libraries.compiler.get::<ThreeTexts>(b"fake_plant").unwrap();
            plant(source.as_ptr(), find.as_ptr(), with.as_ptr());
        }
    }
}

impl Libraries {
    /// The names are those that are looked for first, so a real driver's libraries do not come before these.
    #[allow(unsafe_code)]
    fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let load = |name: &str, source: &str| {
            let path = folder.path().join(name);
            compile(&path, &format!("{SOURCES}/{source}"), &format!("-Wl,-soname,{name}"));
            // SAFETY: it is the library that was just built from this repository. It stays loaded until the process ends.
            unsafe { Library::new(&path) }.unwrap()
        };
        let (driver, compiler) = (load("libcuda.so.1", "driver.cpp"), load("libnvrtc.so.13", "compiler.cpp"));
        let management = load("libnvidia-ml.so.1", "management.cpp");
        let libraries = Self { driver, compiler, management, folder };
        let command = format!("{} {} -include {SOURCES}/shim.h", compiler_program(), FLAGS.join(" "));
        let texts =
            [command.as_str(), libraries.folder.path().to_str().unwrap()].map(|text| CString::new(text).unwrap());
        // SAFETY: `fake_compile_with` in `compiler.cpp` takes two texts and copies them.
        unsafe {
            let compile_with = libraries.compiler.get::<TwoTexts>(b"fake_compile_with").unwrap();
            compile_with(texts[0].as_ptr(), texts[1].as_ptr());
        }
        libraries
    }
}

/// Build a source of this folder into a library, without a name of its own inside.
///
/// # Panics
/// Without a C++ compiler.
pub fn build(source: &str, library: &Path) {
    compile(library, &format!("{SOURCES}/{source}"), "-Wl,--build-id=none");
}

fn compiler_program() -> String {
    env::var("CXX").unwrap_or_else(|_| "c++".into())
}

fn compile(library: &Path, source: &str, name: &str) {
    let program = compiler_program();
    let output = Command::new(&program).args(FLAGS).arg(name).arg("-o").arg(library).arg(source).output();
    let output = output.unwrap_or_else(|error| {
        panic!("kernels are tested with a C++ compiler, and `{program}` does not start ({error}): install g++")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
