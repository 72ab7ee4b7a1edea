//! Compiles the contract class, and holds it to the limits of the network.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cairo_lang_filesystem::ids::CrateInput;
use cairo_lang_starknet::compile::compile_contract_in_prepared_db;
use cairo_lang_starknet_classes::allowed_libfuncs::ListSelector;
use cairo_lang_starknet_classes::casm_contract_class::CasmContractClass;

/// Most felts of a compiled class.
const CASM_FELTS_MAX: usize = 81_920;
/// Most bytes of a class in JSON.
const CLASS_BYTES_MAX: usize = 4_089_446;

pub fn write(contracts: &Path, corelib: &Path, out: &Path) -> Result<()> {
    let (db, inputs) = crate::database(contracts, corelib)?;
    let configuration = crate::configuration(false, &inputs);
    let crates = CrateInput::into_crate_ids(&db, inputs);
    let class = compile_contract_in_prepared_db(&db, None, crates, configuration)?;
    let json = serde_json::to_string(&class)?;
    let sierra = class.sierra_program.len();
    let program = class.extract_sierra_program(false)?;
    program
        .validate_version_compatible(ListSelector::ListName("audited".into()))
        .context("the networks take audited functions only")?;
    let casm = CasmContractClass::from_contract_class(class, program, false, usize::MAX)?;
    let felts = casm.bytecode.len();
    println!(
        "Sierra felts {sierra}, JSON bytes {} of {CLASS_BYTES_MAX}, CASM felts {felts} of {CASM_FELTS_MAX}",
        json.len()
    );
    if felts > CASM_FELTS_MAX || json.len() > CLASS_BYTES_MAX {
        bail!("the class is too large for the network");
    }
    fs::create_dir_all(out)?;
    fs::write(out.join("verifier.json"), json)?;
    println!("CASM hash {:#x}", casm.compiled_class_hash());
    Ok(())
}
