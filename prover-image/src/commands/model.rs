//! `model list`, `pull`, `prepare`, `digest`, `show`.

use obelysk_model::presets::{Origin, PRESETS};
use obelysk_model::quality::{Gate, Measured};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Context, selection};
use crate::arguments::{ModelArguments, ModelCommand};
use crate::atomic;
use crate::console::Answer;
use crate::failure::Failure;
use crate::paths::shown;
use crate::pipeline::model_files::{self, ModelFiles};
use crate::pipeline::quality::{self, Demand};
use crate::pipeline::record::Stopwatch;
use crate::pipeline::{Step, prepare};

/// Dispatch.
pub fn model(context: &Context, command: &ModelCommand) -> Result<Answer, Failure> {
    match command {
        ModelCommand::List => Ok(list()),
        ModelCommand::Pull(arguments) => pull(context, arguments),
        ModelCommand::Prepare { model, accept_quality } => prepare(context, model, *accept_quality),
        ModelCommand::Digest(arguments) => digest(context, arguments),
        ModelCommand::Show { model, quality } => show(context, model, *quality),
    }
}

fn list() -> Answer {
    let presets: Vec<Value> = PRESETS
        .iter()
        .map(|preset| {
            json!({
                "name": preset.name,
                "repository": preset.repository(),
                "architecture": preset.architecture,
                "millionParameters": preset.million_parameters,
            })
        })
        .collect();
    let lines: Vec<String> = PRESETS
        .iter()
        .map(|preset| {
            let state = match preset.origin {
                Origin::Bundled => "  (a test model that comes with this program)",
                Origin::Hub(_) => "",
            };
            let repository = preset.repository();
            let millions = preset.million_parameters;
            format!("{:<12} {millions:>6} M  {:<20} {repository}{state}", preset.name, preset.architecture)
        })
        .collect();
    Answer { json: json!({"presets": presets}), text: lines.join("\n") }
}

fn pull(context: &Context, arguments: &ModelArguments) -> Result<Answer, Failure> {
    let source = selection::model(arguments)?;
    let files = model_files::pull(&context.home, &source, &context.console)?;
    let bytes = files.manifest.bytes();
    let count = files.manifest.files.len();
    let text = format!("{}: {count} files, {bytes} bytes, in {}", files.name, files.folder.display());
    let revision = &files.manifest.revision;
    let json = json!({"model": files.name, "folder": shown(&files.folder), "revision": revision, "files": count, "bytes": bytes});
    Ok(Answer { json, text })
}

fn resolve(context: &Context, arguments: &ModelArguments) -> Result<ModelFiles, Failure> {
    model_files::resolve(&context.home, &selection::model(arguments)?, &context.console)
}

fn prepare(context: &Context, arguments: &ModelArguments, accept_quality: bool) -> Result<Answer, Failure> {
    let files = resolve(context, arguments)?;
    let mut watch = Stopwatch::new(&context.console);
    let prepared = watch.step(Step::Validate, || {
        files.validate_once()?;
        prepare::load_or_prepare(&files, &context.console)
    })?;
    let demand = Demand::of_option(accept_quality);
    let quality = watch.step(Step::Inference, || quality::require(&files, &prepared, &demand, &context.console))?;
    let mut text = format!("{} {}", prepared.digest, prepared.folder.display());
    if let Some(note) = &quality.note {
        text.push_str(&format!("\nquality: {note}"));
    }
    let json = json!({
        "model": files.name,
        "modelDigest": prepared.digest,
        "weightRoot": prepared.weight_root,
        "folder": shown(&prepared.folder),
        "quality": quality,
    });
    Ok(Answer { json, text })
}

fn digest(context: &Context, arguments: &ModelArguments) -> Result<Answer, Failure> {
    let mut files = resolve(context, arguments)?;
    // What is computed afresh need not be kept: a HOME that cannot be written is no obstacle.
    let scratch = if atomic::is_writable(&files.derived) { None } else { Some(scratch()?) };
    if let Some(scratch) = &scratch {
        files.derived = scratch.path().to_path_buf();
    }
    let prepared = Stopwatch::new(&context.console).step(Step::Validate, || {
        files.validate_once()?;
        prepare::prepare_afresh(&files, &context.console)
    })?;
    let json = json!({"model": files.name, "modelDigest": prepared.digest, "weightRoot": prepared.weight_root});
    Ok(Answer { json, text: prepared.digest })
}

/// A folder that goes when the command ends.
fn scratch() -> Result<TempDir, Failure> {
    TempDir::with_prefix("obelysk-").map_err(|error| Failure::io("create a folder in", &std::env::temp_dir(), &error))
}

fn show(context: &Context, arguments: &ModelArguments, with_quality: bool) -> Result<Answer, Failure> {
    let files = resolve(context, arguments)?;
    let config = files.config()?;
    let validation = files.validate()?;
    let mut json = json!({
        "model": files.name,
        "folder": shown(&files.folder),
        "revision": files.manifest.revision,
        "bytes": files.manifest.bytes(),
        "checkpoint": validation,
        "shape": {
            "layers": config.layers,
            "hidden": config.hidden_size,
            "intermediate": config.intermediate_size,
            "heads": config.heads,
            "kvHeads": config.kv_heads,
            "headDim": config.head_dim,
            "vocabulary": config.vocab_size,
            "positions": config.max_positions,
        },
    });
    if let Some(digest) = prepare::kept_digest(&files)? {
        json["modelDigest"] = digest.into();
    }
    let mut text = describe(&json);
    if with_quality {
        let prepared = prepare::load_or_prepare(&files, &context.console)?;
        let report = quality::report(&files, &prepared, &context.console)?;
        let misses = Gate::default().misses(&report.measured);
        text.push_str(&table(&report.measured, &misses));
        json["quality"] = json!(report.measured);
        json["quality"]["misses"] = json!(misses);
        json["quality"]["deviations"] = json!(report.deviations);
    }
    Ok(Answer { json, text })
}

/// Both sets of texts side by side, and what misses the gate.
fn table(measured: &Measured, misses: &[String]) -> String {
    let [(chat, of_chat), (text, of_text)] = measured.sets().map(|(name, quality)| (name, json!(quality)));
    let mut lines = vec![String::new(), format!("{:<16} {chat:>12} {text:>12}", "quality")];
    for (name, value) in of_chat.as_object().into_iter().flatten() {
        let number = |value: &Value| match value.as_f64() {
            Some(real) if value.is_f64() => format!("{real:.5}"),
            _ => value.to_string(),
        };
        lines.push(format!("  {name:<16} {:>10} {:>12}", number(value), number(&of_text[name])));
    }
    match misses {
        [] => lines.push("  passes the gate".into()),
        _ => lines.extend(misses.iter().map(|miss| format!("  misses the gate: {miss}"))),
    }
    lines.join("\n")
}

/// One line per fact; groups of facts are indented.
fn describe(facts: &Value) -> String {
    let line = |name: &str, value: &Value| format!("{name:<14} {}", value.to_string().trim_matches('"'));
    let mut lines = Vec::new();
    for (name, value) in facts.as_object().into_iter().flatten() {
        match value.as_object() {
            None => lines.push(line(name, value)),
            Some(group) => {
                lines.push(name.clone());
                lines.extend(group.iter().map(|(name, value)| format!("  {}", line(name, value))));
            }
        }
    }
    lines.join("\n")
}
