//! Runs functions of the contracts on the vectors that Rust wrote, and prints what each costs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use cairo_lang_compiler::compile_prepared_db_program;
use cairo_lang_filesystem::ids::CrateInput;
use cairo_lang_runner::{Arg, RunResultStarknet, RunResultValue, SierraCasmRunner, StarknetState};
use serde::Deserialize;
use starknet_types_core::felt::Felt;

/// More gas than any run needs.
const GAS: usize = 1 << 50;

/// A run that is expected to end in a certain way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    /// Path of a function from a span of felts to an array of felts.
    function: String,
    /// Its argument.
    input: Vec<Felt>,
    /// What it returns.
    #[serde(default)]
    output: Vec<Felt>,
    /// Names of what it returns, where that is a cost, to be shown and not compared.
    #[serde(default)]
    shows: Vec<String>,
    /// The reason for which it panics instead.
    #[serde(default)]
    panics: Option<String>,
}

/// How a run ended.
#[derive(PartialEq, Eq)]
enum Ending {
    Returned(Vec<Felt>),
    Panicked(String),
}

pub fn run(contracts: &Path, corelib: &Path, folder: &Path, filter: &str) -> Result<()> {
    let (db, inputs) = crate::database(contracts, corelib)?;
    let configuration = crate::configuration(true, &inputs);
    let crates = CrateInput::into_crate_ids(&db, inputs);
    let program = compile_prepared_db_program(&db, crates, configuration)?;
    let runner = SierraCasmRunner::new(program, Some(Default::default()), Default::default(), None)?;
    let mut paths: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("no vectors in {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    let mut failures = 0;
    let mut count = 0;
    println!("{:>14} {:>10} {:>8}  vector", "gas", "VM steps", "felts");
    for path in paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_none_or(|own| own != "json") || !name.contains(filter) {
            continue;
        }
        let vector: Vector =
            serde_json::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        count += 1;
        let (ending, gas, steps) = one(&runner, &vector).with_context(|| name.clone())?;
        let expected = match &vector.panics {
            Some(reason) => Ending::Panicked(reason.clone()),
            None => Ending::Returned(vector.output.clone()),
        };
        println!("{gas:>14} {steps:>10} {:>8}  {name}", vector.input.len());
        if let (Ending::Returned(values), false) = (&ending, vector.shows.is_empty()) {
            for (name, value) in vector.shows.iter().zip(values) {
                println!("{:>14} {:>19}    of which {name}", value.to_string(), "");
            }
        } else if ending != expected {
            failures += 1;
            println!("  FAILED: {}\n  instead of {}", ending.shown(), expected.shown());
        }
    }
    if failures > 0 || count == 0 {
        bail!("{failures} of {count} vectors failed");
    }
    println!("{count} vectors hold");
    Ok(())
}

fn one(runner: &SierraCasmRunner, vector: &Vector) -> Result<(Ending, usize, usize)> {
    let function = runner.find_function(&format!("::{}", vector.function))?;
    let start = runner.get_initial_available_gas(function, Some(GAS))?;
    let input = Arg::Array(vector.input.iter().copied().map(Arg::Value).collect());
    let result: RunResultStarknet =
        runner.run_function_with_starknet_context(function, vec![input], Some(GAS), StarknetState::default())?;
    // Functions without loops count no gas.
    let left = result.gas_counter.as_ref().map_or(Ok(start), |left| left.to_string().parse())?;
    let used = start.saturating_sub(left);
    let steps = result.used_resources.basic_resources.n_steps;
    let ending = match &result.value {
        RunResultValue::Panic(data) => Ending::Panicked(reason(data)),
        RunResultValue::Success(cells) => {
            let [from, to] = cells.as_slice() else { bail!("{} does not return an array", vector.function) };
            let [from, to] = [from, to].map(|cell| cell.to_string().parse::<usize>());
            let cells = result.memory.get(from?..to?).context("an array lies in memory")?;
            let values = cells.iter().map(|cell| cell.ok_or_else(|| anyhow!("an array has no holes")));
            Ending::Returned(values.collect::<Result<_>>()?)
        }
    };
    Ok((ending, used, steps))
}

/// Short strings are at most 31 letters.
fn reason(data: &[Felt]) -> String {
    let shown = |felt: &Felt| {
        let bytes: Vec<u8> = felt.to_bytes_be().into_iter().skip_while(|&byte| byte == 0).collect();
        let printable = !bytes.is_empty() && bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
        if printable { String::from_utf8(bytes).unwrap_or_default() } else { format!("{felt:#x}") }
    };
    data.iter().map(shown).collect::<Vec<_>>().join(", ")
}

impl Ending {
    fn shown(&self) -> String {
        match self {
            Self::Panicked(reason) => format!("a panic: {reason}"),
            Self::Returned(values) => {
                let shown: Vec<String> = values.iter().take(12).map(|value| format!("{value:#x}")).collect();
                format!("{} felts: {}", values.len(), shown.join(" "))
            }
        }
    }
}
