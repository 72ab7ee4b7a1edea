//! What a machine knows of a GPU beside its driver: NVIDIA's management library (NVML), where it is installed, and the kernel's log, where
//! this process may read it.

use std::ffi::{CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;
use std::sync::OnceLock;

use libloading::Library;

const LIBRARY: &str = "libnvidia-ml.so.1";
const LOG: &str = "/dev/kmsg";
/// The kernel's `O_NONBLOCK`: reading ends where the log does.
const NONBLOCK: i32 = 0o4000;
/// A record of the log at most (`PRINTKRB_RECORD_MAX` and its fields).
const RECORD: usize = 8192;
/// `nvmlEventTypeXidCriticalError`.
const XID: c_ulonglong = 8;
/// How long an error's event may be behind the error, in milliseconds.
const WAIT: c_uint = 100;

type Handle = *mut c_void;
type Init = unsafe extern "C" fn() -> c_int;
type ByAddress = unsafe extern "C" fn(*const c_char, *mut Handle) -> c_int;
type MemoryInfo = unsafe extern "C" fn(Handle, *mut Memory) -> c_int;
type SetCreate = unsafe extern "C" fn(*mut Handle) -> c_int;
type Register = unsafe extern "C" fn(Handle, c_ulonglong, Handle) -> c_int;
type SetWait = unsafe extern "C" fn(Handle, *mut Event, c_uint) -> c_int;
type SetFree = unsafe extern "C" fn(Handle) -> c_int;

/// `nvmlMemory_t`.
#[derive(Default)]
#[repr(C)]
struct Memory {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// `nvmlEventData_t`.
#[repr(C)]
struct Event {
    device: Handle,
    kind: c_ulonglong,
    data: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// A GPU of which the last error is asked once it is lost.
pub(crate) struct Watch {
    pcie: String,
    /// A set of NVML's events.
    events: Option<Events>,
    /// The kernel's log, from when the watch began.
    log: Option<File>,
}

struct Events(Handle);

// SAFETY: NVML may be called from any thread.
#[allow(unsafe_code)]
unsafe impl Send for Events {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Events {}

impl Watch {
    /// Begin to watch the GPU at an address on the bus.
    pub(crate) fn new(pcie: &str) -> Self {
        let log = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(LOG);
        let log = log.and_then(|mut log| log.seek(SeekFrom::End(0)).map(|_| log)).ok();
        Self { pcie: pcie.to_owned(), events: Events::new(pcie), log }
    }

    /// The number of the error that the GPU's kernel driver reported last since then (an Xid), if anybody says.
    pub(crate) fn xid(&self) -> Option<u64> {
        self.events.as_ref().and_then(Events::last).or_else(|| last_in(self.log.as_ref()?, &self.pcie))
    }
}

impl Events {
    #[allow(unsafe_code)]
    fn new(pcie: &str) -> Option<Self> {
        let (library, device) = (library()?, device(pcie)?);
        let mut set = ptr::null_mut();
        // SAFETY: the functions have these types in NVML's header; the device is NVML's, and the set is what it has made.
        unsafe {
            let create = library.get::<SetCreate>(b"nvmlEventSetCreate").ok()?;
            let register = library.get::<Register>(b"nvmlDeviceRegisterEvents").ok()?;
            (create(&raw mut set) == 0).then_some(())?;
            let events = Self(set);
            (register(device, XID, set) == 0).then_some(events)
        }
    }

    #[allow(unsafe_code)]
    fn last(&self) -> Option<u64> {
        let library = library()?;
        let mut last = None;
        loop {
            let mut event = Event { device: ptr::null_mut(), kind: 0, data: 0, gpu_instance: 0, compute_instance: 0 };
            // SAFETY: the function has this type in NVML's header; the set lives as long as this.
            let answer = unsafe {
                let wait = library.get::<SetWait>(b"nvmlEventSetWait_v2").ok()?;
                wait(self.0, &raw mut event, if last.is_none() { WAIT } else { 0 })
            };
            if answer != 0 {
                return last;
            }
            last = (event.kind == XID).then_some(event.data).or(last);
        }
    }
}

impl Drop for Events {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the set is NVML's, and nothing uses it after this.
        if let Some(free) = library().and_then(|library| unsafe { library.get::<SetFree>(b"nvmlEventSetFree") }.ok()) {
            // SAFETY: as above.
            unsafe { free(self.0) };
        }
    }
}

/// What is free of the memory of the GPU at an address on the bus, where NVML says.
#[allow(unsafe_code)]
pub(crate) fn free_bytes(pcie: &str) -> Option<u64> {
    let (library, device) = (library()?, device(pcie)?);
    let mut memory = Memory::default();
    // SAFETY: the function has this type in NVML's header, and fills the structure if it succeeds.
    let answer = unsafe { library.get::<MemoryInfo>(b"nvmlDeviceGetMemoryInfo").ok()?(device, &raw mut memory) };
    (answer == 0).then_some(memory.free)
}

#[allow(unsafe_code)]
fn device(pcie: &str) -> Option<Handle> {
    let (library, address) = (library()?, CString::new(pcie).ok()?);
    let mut device = ptr::null_mut();
    // SAFETY: the function has this type in NVML's header, and the text ends in a zero.
    let answer = unsafe {
        library.get::<ByAddress>(b"nvmlDeviceGetHandleByPciBusId_v2").ok()?(address.as_ptr(), &raw mut device)
    };
    (answer == 0).then_some(device)
}

/// The library, initialised; it stays until the process ends.
#[allow(unsafe_code)]
fn library() -> Option<&'static Library> {
    static LOADED: OnceLock<Option<Library>> = OnceLock::new();
    let load = || {
        // SAFETY: loading the driver's library runs its initialisers, which every program that uses a GPU trusts.
        let library = unsafe { Library::new(LIBRARY) }.ok()?;
        // SAFETY: the function has this type in NVML's header.
        let answer = unsafe { library.get::<Init>(b"nvmlInit_v2").ok()?() };
        (answer == 0).then_some(library)
    };
    LOADED.get_or_init(load).as_ref()
}

/// The last error of a GPU in what is left of the log.
fn last_in(mut log: &File, pcie: &str) -> Option<u64> {
    let (mut record, mut last) = (vec![0; RECORD], None);
    while let Ok(bytes @ 1..) = log.read(&mut record) {
        last = xid_of(&String::from_utf8_lossy(&record[..bytes]), pcie).or(last);
    }
    last
}

/// A record says `NVRM: Xid (PCI:0000:1b:00): 79, pid=..`, the function of the address left out.
fn xid_of(record: &str, pcie: &str) -> Option<u64> {
    let (_, rest) = record.split_once("NVRM: Xid (PCI:")?;
    let (address, rest) = rest.split_once("): ")?;
    let own = pcie.rsplit_once('.').map_or(pcie, |(own, _)| own);
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    address.eq_ignore_ascii_case(own).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_from_the_record_of_its_gpu_alone() {
        let record = "4,1234,98765432,-;NVRM: Xid (PCI:0000:1b:00): 79, pid='<unknown>', GPU has fallen off the bus.";
        assert_eq!(xid_of(record, "0000:1B:00.0"), Some(79));
        assert_eq!(xid_of(record, "0000:1c:00.0"), None);
        assert_eq!(xid_of("6,1,2,-;NVRM: loading NVIDIA UNIX x86_64 Kernel Module", "0000:1b:00.0"), None);
    }
}
