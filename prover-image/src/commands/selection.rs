//! From arguments to what the pipeline takes, and the refusal of what it cannot do yet.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use obelysk_hub::{Endpoint, Location};
use obelysk_model::regular;

use crate::arguments::{DeviceArguments, InputArguments, ModelArguments, ModelName, ProofArguments, ProofMode};
use crate::device::{Gpus, Request, Wanted};
use crate::failure::{ExitCode, Failure};
use crate::pipeline::inputs::{HubModel, Input, ModelSelection, ModelSource, RunInputs};
use crate::pipeline::record::RunRecord;

/// Longest prompt file: longer than any model reads.
const PROMPT_BYTES_MAX: u64 = 4 << 20;

/// The model that the arguments name.
pub fn model(arguments: &ModelArguments) -> Result<ModelSelection, Failure> {
    let endpoint = || arguments.endpoint.clone().unwrap_or_else(|| Endpoint::DEFAULT.into());
    let ModelName { preset, model_dir, hf_model, s3_model } = &arguments.name;
    let source = match (preset, model_dir, hf_model, s3_model) {
        (Some(name), ..) => ModelSource::Preset { name: name.clone(), endpoint: endpoint() },
        (_, Some(folder), ..) => absolute(folder).map(ModelSource::Directory)?,
        (_, _, Some(reference), _) => ModelSource::Hub(HubModel { reference: reference.clone(), endpoint: endpoint() }),
        (.., Some(location)) => {
            let (endpoint, region) = (arguments.s3_endpoint.clone(), arguments.s3_region.clone());
            ModelSource::Bucket(Location { endpoint, region, ..location.parse()? })
        }
        _ => unreachable!("clap requires exactly one model"),
    };
    Ok(ModelSelection { source, layers: arguments.layers })
}

/// The model of a run, or the folder where its files lie now.
pub fn model_of_run(record: &RunRecord, moved_to: Option<&Path>) -> Result<ModelSelection, Failure> {
    let recorded = record.inputs.model.clone();
    Ok(match (moved_to, &recorded.source) {
        (Some(folder), _) => ModelSelection { source: ModelSource::Directory(absolute(folder)?), ..recorded },
        (None, ModelSource::Directory(folder)) if !folder.is_dir() => {
            let message = format!("the model of this run is not in {} any more", folder.display());
            return Err(Failure::new(ExitCode::BadSpec, message, "say where it lies now: --model-dir DIR"));
        }
        (None, _) => recorded,
    })
}

/// The folder of results that the arguments name, if any.
pub fn out(folder: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    folder.map(absolute).transpose()
}

/// What a run records and reports outlives the current folder.
fn absolute(folder: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(folder).map_err(|error| Failure::io("find", folder, &error))
}

/// The prompts that the arguments name.
pub fn prompts(arguments: &InputArguments) -> Result<Vec<Input>, Failure> {
    if arguments.max_new_tokens == 0 {
        let hint = "ask for at least one token";
        return Err(Failure::new(ExitCode::BadSpec, "--max-new-tokens is 0: there would be nothing to prove", hint));
    }
    let chat = arguments.chat;
    let prompt = |text| Input::Prompt { text, chat };
    let mut inputs: Vec<Input> = arguments.prompt.iter().cloned().map(prompt).collect();
    for file in &arguments.prompt_file {
        inputs.push(prompt(read_prompt(file)?));
    }
    inputs.extend(arguments.tokens.iter().map(|ids| Input::Tokens(ids.0.clone())));
    inputs.iter().try_for_each(Input::check)?;
    Ok(inputs)
}

/// The inputs of a run that records each prompt `count` times.
pub fn run_inputs(model: &ModelArguments, input: &InputArguments, count: u32) -> Result<RunInputs, Failure> {
    let prompts = prompts(input)?;
    if prompts.is_empty() {
        return Err(no_prompt());
    }
    let inputs = RunInputs { model: self::model(model)?, prompts, max_new_tokens: input.max_new_tokens, count };
    inputs.check()?;
    Ok(inputs)
}

/// The failure of a command without an input.
pub fn no_prompt() -> Failure {
    Failure::new(ExitCode::BadSpec, "there is no prompt", "pass --prompt TEXT, --prompt-file FILE or --tokens IDS")
}

/// The device that the arguments allow.
pub fn device(arguments: &DeviceArguments) -> Wanted {
    let request = match (arguments.gpu_only, arguments.gpu || arguments.multi_gpu, arguments.no_gpu) {
        (true, ..) => Request::GpuOnly,
        (_, true, _) => Request::Gpu,
        (.., true) => Request::Cpu,
        _ => Request::Any,
    };
    Wanted { request, gpus: if arguments.multi_gpu { Gpus::All } else { Gpus::One } }
}

/// Refuse kinds of proof that do not exist yet.
pub fn require_supported_proof(arguments: &ProofArguments) -> Result<(), Failure> {
    match arguments.mode {
        ProofMode::Gkr => {}
        ProofMode::Direct => return Err(unsupported("mode `direct` is not supported yet", "use --mode gkr")),
        ProofMode::Recursive => return Err(unsupported("mode `recursive` is not supported yet", "use --mode gkr")),
    }
    let flags = [
        ("--starknet-ready", arguments.starknet_ready),
        ("--gkr-v2", arguments.gkr_v2),
        ("--gkr-v3", arguments.gkr_v3),
    ];
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(unsupported(
            format!("{flag}: proofs for the contract are not supported yet"),
            "leave it out and use --dry-run",
        )),
        None => Ok(()),
    }
}

fn unsupported(message: impl Into<String>, hint: &str) -> Failure {
    Failure::new(ExitCode::Unsupported, message, hint)
}

fn read_prompt(file: &Path) -> Result<String, Failure> {
    let bad = |reason: String| {
        let message = format!("cannot take the prompt from {}: {reason}", file.display());
        Failure::new(ExitCode::BadSpec, message, "name a text file in UTF-8 of at most 4 MiB")
    };
    // What the shell has opened has a writer, unlike a named pipe.
    let is_opened = ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|place| file.starts_with(place));
    let opened = if is_opened { fs::File::open(file) } else { regular::open(file) };
    let mut text = String::new();
    let read = opened.and_then(|file| file.take(PROMPT_BYTES_MAX + 1).read_to_string(&mut text));
    read.map_err(|error| bad(error.to_string()))?;
    if text.len() as u64 > PROMPT_BYTES_MAX {
        return Err(bad("it is too long".into()));
    }
    Ok(without_marks(&text).to_owned())
}

/// Editors end a file with a line break, and some begin it with a byte order mark; nobody means to ask about either.
fn without_marks(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_the_same_whatever_ends_its_last_line() {
        for text in ["a\r\nb", "a\r\nb\n", "a\r\nb\r\n", "\u{feff}a\r\nb\r\n"] {
            assert_eq!(without_marks(text), "a\r\nb", "{text:?}");
        }
        assert_eq!(without_marks("a\n\n"), "a\n");
        assert_eq!(without_marks("a\r"), "a\r");
    }
}
