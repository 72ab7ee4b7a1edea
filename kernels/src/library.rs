//! CUDA's libraries, found where this machine has them. The bindings ask for `libcuda.so` and `libnvrtc.so` first, and the one is a
//! toolkit's stub where its folder is searched, the other not there in most installations. A library without code that has such a name and
//! needs the right one is loaded before they ask: the loader then takes this one, and finds every symbol in what it needs.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::Library;

/// The driver's library. Toolkits have none of this name.
const DRIVER: &str = "libcuda.so.1";
/// The compiler's, by the major version of CUDA that it is of.
const COMPILERS: [(u32, &str); 2] = [(13, "libnvrtc.so.13"), (12, "libnvrtc.so.12")];
/// The compiler's where only its developers' files are installed.
const COMPILER: &str = "libnvrtc.so";
/// What the compiler looks for by name when it is called.
const BUILTINS: &str = "libnvrtc-builtins.so";
/// Where CUDA says that it is installed, and where it is by default.
const TOOLKITS: [&str; 2] = ["CUDA_PATH", "CUDA_HOME"];
const TOOLKIT: &str = "/usr/local/cuda";

/// What stays loaded until the process ends: the library of another name, its file, and what it stands for.
struct Found {
    _files: (File, Library, Vec<Library>),
}

/// Let the bindings find the driver.
pub(crate) fn find_driver() {
    static FOUND: OnceLock<Option<Found>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let driver = open(Path::new(DRIVER))?;
        stand_in("libcuda.so", DRIVER, vec![driver])
    });
}

/// Let the bindings find a compiler for a driver of this major version of CUDA: one of it, else an older one, whose code it loads.
pub(crate) fn find_compiler(major: u32) {
    static FOUND: OnceLock<Option<Found>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let versioned = COMPILERS.iter().filter(|(own, _)| *own <= major).map(|(_, name)| *name);
        let names: Vec<&str> = versioned.chain([COMPILER]).collect();
        let folders = TOOLKITS.iter().filter_map(env::var_os).map(PathBuf::from).chain([PathBuf::from(TOOLKIT)]);
        let folders: Vec<PathBuf> = folders.flat_map(|own| [own.join("lib64"), own.join("lib")]).collect();
        // The loader's own folders first, then those of toolkits.
        let places = names.iter().map(PathBuf::from);
        let places = places.chain(folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name))));
        places.into_iter().find_map(|place| {
            let compiler = open(&place)?;
            let path = loaded(&place).unwrap_or(place);
            let mut libraries = vec![compiler];
            libraries.extend(builtins(&path));
            stand_in(COMPILER, path.to_str()?, libraries)
        })
    });
}

#[allow(unsafe_code)]
fn open(path: &Path) -> Option<Library> {
    // SAFETY: loading a library of CUDA runs its initialisers, which whoever installed it trusts.
    unsafe { Library::new(path) }.ok()
}

/// The builtins beside a compiler. They are found by their name once they are loaded.
fn builtins(compiler: &Path) -> Option<Library> {
    let names = fs::read_dir(compiler.parent()?).ok()?.flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(BUILTINS)).collect();
    names.sort();
    open(&compiler.with_file_name(names.pop()?))
}

/// The file that a library was loaded from; its name may be that of a link.
fn loaded(name: &Path) -> Option<PathBuf> {
    let stem = name.file_name()?.to_str()?.split(".so").next()?.to_owned() + ".so";
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let mut paths = maps.lines().filter_map(|line| line.find('/').map(|start| PathBuf::from(&line[start..])));
    paths.find(|path| path.file_name().is_some_and(|own| own.to_string_lossy().starts_with(&stem)))
}

/// Load a library `name` that only needs `needed`.
fn stand_in(name: &str, needed: &str, libraries: Vec<Library>) -> Option<Found> {
    let mut file = File::from(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).ok()?);
    file.write_all(&image(name, needed)?).ok()?;
    // The file stays open: a second library at the path of a closed one would be taken for it.
    let library = open(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())))?;
    Some(Found { _files: (file, library, libraries) })
}

/// A shared library of 64 bits without code (System V ABI, chapters 4 and 5): its name, and the one that it needs.
fn image(name: &str, needed: &str) -> Option<Vec<u8>> {
    const MACHINE: Option<u16> = if cfg!(target_arch = "x86_64") {
        Some(62)
    } else if cfg!(target_arch = "aarch64") {
        Some(183)
    } else {
        None
    };
    const HEADER: u64 = 64;
    const SEGMENT: u64 = 56;
    const SYMBOL: u64 = 24;
    const PAGE: u64 = 0x1_0000;
    const LOAD: u32 = 1;
    const DYNAMIC: u32 = 2;
    const STACK: u32 = 0x6474_e551;
    const READ_WRITE: u32 = 6;
    let strings = format!("\0{name}\0{needed}\0").into_bytes();
    let dynamic_start = HEADER + 3 * SEGMENT;
    let dynamic_bytes = 7 * 16;
    let symbols = dynamic_start + dynamic_bytes;
    let texts = symbols + SYMBOL;
    let end = texts + strings.len() as u64;
    let mut image = b"\x7fELF\x02\x01\x01".to_vec();
    image.resize(16, 0);
    for half in [3, MACHINE?] {
        image.extend(u16::to_le_bytes(half));
    }
    image.extend(1u32.to_le_bytes());
    for word in [0, HEADER, 0] {
        image.extend(u64::to_le_bytes(word));
    }
    image.extend(0u32.to_le_bytes());
    for half in [HEADER as u16, SEGMENT as u16, 3, 0, 0, 0] {
        image.extend(half.to_le_bytes());
    }
    for (kind, start, bytes, alignment) in
        [(LOAD, 0, end, PAGE), (DYNAMIC, dynamic_start, dynamic_bytes, 8), (STACK, 0, 0, 16)]
    {
        image.extend(u32::to_le_bytes(kind));
        image.extend(READ_WRITE.to_le_bytes());
        for word in [start, start, start, bytes, bytes, alignment] {
            image.extend(u64::to_le_bytes(word));
        }
    }
    // Needed, own name, strings, their bytes, symbols, bytes of one, end.
    let needed_text = 2 + name.len() as u64;
    for (tag, value) in
        [(1, needed_text), (14, 1), (5, texts), (10, strings.len() as u64), (6, symbols), (11, SYMBOL), (0, 0)]
    {
        image.extend(u64::to_le_bytes(tag));
        image.extend(u64::to_le_bytes(value));
    }
    image.resize(texts as usize, 0);
    image.extend(strings);
    Some(image)
}
