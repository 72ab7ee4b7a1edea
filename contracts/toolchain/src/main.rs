//! Writes the contract's field arithmetic, compiles the contracts, and runs their functions on vectors. `cargo xtask contracts` builds
//! and calls this.

mod class;
mod field;
mod interval;
mod vectors;
mod words;

use std::path::Path;

use anyhow::{Result, bail};
use cairo_lang_compiler::CompilerConfig;
use cairo_lang_compiler::db::RootDatabase;
use cairo_lang_compiler::diagnostics::DiagnosticsReporter;
use cairo_lang_compiler::project::setup_project;
use cairo_lang_filesystem::db::init_dev_corelib;
use cairo_lang_filesystem::ids::CrateInput;
use cairo_lang_lowering::optimizations::config::Optimizations;
use cairo_lang_lowering::utils::InliningStrategy;
use cairo_lang_starknet::starknet_plugin_suite;

const USAGE: &str =
    "obelysk-cairo sources FOLDER | test CONTRACTS CORELIB VECTORS [FILTER] | class CONTRACTS CORELIB OUT";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["sources", folder] => {
            std::fs::write(Path::new(folder).join("field.cairo"), field::source())?;
            Ok(std::fs::write(Path::new(folder).join("words.cairo"), words::source())?)
        }
        ["test", contracts, corelib, folder] => {
            vectors::run(Path::new(contracts), Path::new(corelib), Path::new(folder), "")
        }
        ["test", contracts, corelib, folder, filter] => {
            vectors::run(Path::new(contracts), Path::new(corelib), Path::new(folder), filter)
        }
        ["class", contracts, corelib, out] => class::write(Path::new(contracts), Path::new(corelib), Path::new(out)),
        _ => bail!("usage: {USAGE}"),
    }
}

/// The contracts in a database of the compiler, as the network's compiler has them, and what is to be compiled.
fn database(contracts: &Path, corelib: &Path) -> Result<(RootDatabase, Vec<CrateInput>)> {
    let mut db = RootDatabase::builder()
        .with_optimizations(Optimizations::enabled_with_default_movable_functions(InliningStrategy::Default))
        .with_default_plugin_suite(starknet_plugin_suite())
        .build()?;
    init_dev_corelib(&mut db, corelib.to_owned());
    let inputs = setup_project(&mut db, contracts)?;
    Ok((db, inputs))
}

/// Names are replaced by readable ones only where they are shown: a class keeps none.
fn configuration(readable: bool, crates: &[CrateInput]) -> CompilerConfig<'static> {
    CompilerConfig {
        // The core library is of the release before, and complains of what nobody uses.
        diagnostics_reporter: DiagnosticsReporter::stderr().with_crates(crates),
        replace_ids: readable,
        ..CompilerConfig::default()
    }
}
