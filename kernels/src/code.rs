//! Machine code of the kernels: built in where nvcc has made it of these sources, else made by CUDA's compiler for run time, once for every
//! kind of GPU, and kept in files.

use std::ffi::{CStr, CString};
use std::fs;
use std::path::Path;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use cudarc::nvrtc::{result, sys};

use crate::driver::CudaVersion;
use crate::library;

/// Oldest compiler that is asked.
const COMPILER_MIN: (i32, i32) = (12, 0);

/// A file of kernels.
pub(crate) struct Source {
    pub(crate) name: &'static str,
    text: &'static str,
}

pub(crate) const BIND: Source = Source { name: "bind.cu", text: include_str!("../native/bind.cu") };
pub(crate) const EQ: Source = Source { name: "eq.cu", text: include_str!("../native/eq.cu") };
pub(crate) const FRACTIONS: Source = Source { name: "fractions.cu", text: include_str!("../native/fractions.cu") };
pub(crate) const LEAVES: Source = Source { name: "leaves.cu", text: include_str!("../native/leaves.cu") };
pub(crate) const LINEAR: Source = Source { name: "linear.cu", text: include_str!("../native/linear.cu") };
pub(crate) const OPENING: Source = Source { name: "opening.cu", text: include_str!("../native/opening.cu") };
pub(crate) const PROGRAM: Source = Source { name: "program.cu", text: include_str!("../native/program.cu") };
pub(crate) const SUM: Source = Source { name: "sum.cu", text: include_str!("../native/sum.cu") };
pub(crate) const TRANSFORM: Source = Source { name: "transform.cu", text: include_str!("../native/transform.cu") };
pub(crate) const TREE: Source = Source { name: "tree.cu", text: include_str!("../native/tree.cu") };
pub(crate) const WEIGHTED: Source = Source { name: "weighted.cu", text: include_str!("../native/weighted.cu") };

const SOURCES: [&Source; 11] =
    [&BIND, &EQ, &FRACTIONS, &LEAVES, &LINEAR, &OPENING, &PROGRAM, &SUM, &TRANSFORM, &TREE, &WEIGHTED];

const HEADERS: [(&str, &str); 6] = [
    ("blake2s.cuh", include_str!("../native/blake2s.cuh")),
    ("field.cuh", include_str!("../native/field.cuh")),
    ("fraction.cuh", include_str!("../native/fraction.cuh")),
    ("grid.cuh", include_str!("../native/grid.cuh")),
    ("sum.cuh", include_str!("../native/sum.cuh")),
    ("view.cuh", include_str!("../native/view.cuh")),
];

/// Machine code that is built in: the source's name, the architecture as ten times its major version and the minor one, whether it is for
/// GPUs of it or to be translated by the driver for newer ones (PTX), and the code.
const BUILT_IN: &[(&str, u32, Form, &[u8])] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// What code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// GPUs of its architecture, and those of the same major version that are newer.
    Machine,
    /// GPUs that are newer: the driver translates it (PTX).
    Virtual,
}

impl Source {
    /// What is built in for a compute capability, best first: machine code of the same major version and the nearest minor one that is not
    /// newer, then what a driver translates.
    pub(crate) fn built_in(&self, compute: (u32, u32)) -> impl Iterator<Item = &'static [u8]> {
        let of = |form: Form| BUILT_IN.iter().filter(move |own| own.0 == self.name && own.2 == form);
        let machine = nearest(of(Form::Machine).map(|&(_, architecture, _, code)| (architecture, code)), compute);
        let translated = of(Form::Virtual).filter(move |own| own.1 <= 10 * compute.0 + compute.1).map(|own| own.3);
        machine.into_iter().chain(translated)
    }

    /// Machine code for a compute capability, from `kept` or from the compiler; otherwise why there is none.
    pub(crate) fn machine_code(&self, compute: (u32, u32), cuda: CudaVersion, kept: &Path) -> Result<Vec<u8>, String> {
        let architecture = 10 * compute.0 + compute.1;
        let compiler = compiler(cuda)?;
        let text = self.whole();
        let mut hasher = blake3::Hasher::new();
        for part in [text.as_str(), &architecture.to_string(), &format!("{}.{}", compiler.0, compiler.1)] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let path = kept.join(format!("{}.cubin", hasher.finalize().to_hex()));
        if let Some(code) = fs::read(&path).ok().and_then(whole) {
            return Ok(code);
        }
        let Compiled { code, .. } = self.compile(&text, architecture, Form::Machine)?;
        keep(&path, &code);
        Ok(code)
    }

    /// The text with its headers in it, so that it compiles without a folder and one hash names all of it.
    fn whole(&self) -> String {
        let mut included = Vec::new();
        let mut text = String::new();
        append(self.text, &mut included, &mut text);
        text
    }

    #[allow(unsafe_code)]
    fn compile(&self, text: &str, architecture: u32, form: Form) -> Result<Compiled, String> {
        let text = CString::new(text).expect("sources hold no zero byte");
        let name = CString::new(self.name).expect("names hold no zero byte");
        let failed = |error: result::NvrtcError| format!("the compiler failed on {}: {:?}", self.name, error.0);
        let program = Program(result::create_program(&text, Some(&name)).map_err(failed)?);
        let target = match form {
            Form::Machine => "sm",
            Form::Virtual => "compute",
        };
        let mut options = vec![format!("--gpu-architecture={target}_{architecture}"), "--std=c++17".to_owned()];
        // The assembler's usage of registers, where there is an assembler.
        options.extend((form == Form::Machine).then(|| "--ptxas-options=-v".to_owned()));
        // SAFETY: the program was created and is not destroyed before `program` goes.
        unsafe { result::compile_program(program.0, &options) }
            .map_err(|error| format!("{}: {}", failed(error), program.log()))?;
        let mut bytes = 0;
        // SAFETY: as above; the compiler writes one length, then as many bytes as it has just said.
        let code = unsafe {
            match form {
                Form::Machine => sys::nvrtcGetCUBINSize(program.0, &raw mut bytes),
                Form::Virtual => sys::nvrtcGetPTXSize(program.0, &raw mut bytes),
            }
            .result()
            .map_err(failed)?;
            let mut code = vec![0u8; bytes];
            match form {
                Form::Machine => sys::nvrtcGetCUBIN(program.0, code.as_mut_ptr().cast()),
                Form::Virtual => sys::nvrtcGetPTX(program.0, code.as_mut_ptr().cast()),
            }
            .result()
            .map_err(failed)?;
            code
        };
        Ok(Compiled { code, log: program.log() })
    }
}

/// What the compiler makes of a source.
pub struct Compiled {
    /// The code; text of a zero at its end, if it is to be translated.
    pub code: Vec<u8>,
    /// What it said, the assembler included.
    pub log: String,
}

/// Compile all sources for one architecture and drivers of a major version of CUDA, for a build to take in: each by its name without
/// extension.
///
/// # Errors
/// Why the compiler is not there, or what it refused.
#[doc(hidden)]
pub fn compile_all(cuda: u32, architecture: u32, form: Form) -> Result<Vec<(&'static str, Compiled)>, String> {
    compiler(CudaVersion { major: cuda, minor: 0 })?;
    let compile = |source: &&'static Source| {
        let compiled = source.compile(&source.whole(), architecture, form)?;
        Ok((source.name.trim_end_matches(".cu"), compiled))
    };
    SOURCES.iter().map(compile).collect()
}

fn nearest<T>(known: impl Iterator<Item = (u32, T)>, (major, minor): (u32, u32)) -> Option<T> {
    let runs = known.filter(|(architecture, _)| architecture / 10 == major && architecture % 10 <= minor);
    runs.max_by_key(|(architecture, _)| *architecture).map(|(_, code)| code)
}

/// A program of the compiler, destroyed when it goes.
struct Program(sys::nvrtcProgram);

impl Program {
    #[allow(unsafe_code)]
    fn log(&self) -> String {
        // SAFETY: the program was created and is not destroyed.
        let log = unsafe { result::get_program_log(self.0) }.unwrap_or_default();
        let bytes: Vec<u8> = log.into_iter().map(|letter| letter as u8).collect();
        CStr::from_bytes_until_nul(&bytes).map(|log| log.to_string_lossy().trim().to_owned()).unwrap_or_default()
    }
}

impl Drop for Program {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the program was created, and nothing uses it after this. There is nothing to be done where this fails.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// The compiler's version.
#[allow(unsafe_code)]
fn compiler(cuda: CudaVersion) -> Result<(i32, i32), String> {
    library::find_compiler(cuda.major);
    let missing =
        || format!("no CUDA compiler for run time (libnvrtc) of version {}.{}", COMPILER_MIN.0, COMPILER_MIN.1);
    // SAFETY: loading the library runs its initialisers; whoever installed CUDA trusts them.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err(missing());
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the compiler writes two integers.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }.result().map_err(|error| format!("{error:?}"))?;
    if (major, minor) < COMPILER_MIN { Err(format!("{}, only {major}.{minor}", missing())) } else { Ok((major, minor)) }
}

/// The code of a kept file, which begins with its hash; none of one that is damaged.
fn whole(mut file: Vec<u8>) -> Option<Vec<u8>> {
    let code = (file.len() > blake3::OUT_LEN).then(|| file.split_off(blake3::OUT_LEN))?;
    (blake3::hash(&code).as_bytes() == &file[..]).then_some(code)
}

/// Whoever reads this file reads all of it. Where it cannot be written, the next process compiles again.
fn keep(path: &Path, code: &[u8]) {
    // In containers every process may have the same number.
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let unfinished = path.with_extension(format!("{}-{moment}.tmp", process::id()));
    let folder = path.parent().expect("it lies in a folder");
    let _ = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&unfinished, [blake3::hash(code).as_bytes(), code].concat()))
        .and_then(|()| fs::rename(&unfinished, path));
}

fn append(text: &str, included: &mut Vec<&'static str>, whole: &mut String) {
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"')) {
            let &(name, header) = HEADERS.iter().find(|(own, _)| *own == name).expect("every header is listed");
            if !included.contains(&name) {
                included.push(name);
                append(header, included, whole);
            }
        } else if line != "#pragma once" {
            whole.push_str(line);
            whole.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_on_gpus_of_its_major_version_that_are_not_older() {
        let nearest = |compute| super::nearest([80, 89, 90, 100, 103].into_iter().map(|own| (own, own)), compute);
        let found = [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0), (7, 5)].map(nearest);
        assert_eq!(found, [Some(80), Some(80), Some(89), Some(90), Some(100), Some(103), None, None]);
    }

    #[test]
    fn every_header_is_in_a_source_once() {
        for source in SOURCES {
            let whole = source.whole();
            assert_eq!(whole.matches("constexpr uint32_t THREADS").count(), 1, "{}", source.name);
            assert!(!whole.contains("#include \""), "{}", source.name);
        }
    }
}
