//! Compiles the kernels by the compiler that is found, for `cargo xtask kernels`: into a folder, for architectures such as 90, and a last one
//! for the driver to translate from. Prints what the assembler says.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use obelysk_kernels::{Form, compile_all};

/// Major version of CUDA whose drivers load what is built in.
const CUDA: u32 = 12;

fn main() -> ExitCode {
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), String> {
    let mut arguments = env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("a folder is missing")?);
    let architectures: Vec<u32> =
        arguments.map(|own| own.parse().map_err(|_| format!("{own} is no architecture"))).collect::<Result<_, _>>()?;
    let (translated, own) = architectures.split_last().ok_or("architectures are missing")?;
    let forms = own.iter().map(|own| (own, Form::Machine, "cubin")).chain([(translated, Form::Virtual, "ptx")]);
    for (architecture, form, extension) in forms {
        for (name, compiled) in compile_all(CUDA, *architecture, form)? {
            let path = folder.join(format!("{name}.{architecture}.{extension}"));
            fs::write(&path, compiled.code).map_err(|error| format!("{}: {error}", path.display()))?;
            if form == Form::Machine {
                println!("source {name}.cu for sm_{architecture}\n{}", compiled.log);
            }
        }
    }
    Ok(())
}
