//! Checks a proof folder on any machine: no weights, no GPU, no network, no environment.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use obelysk_cpu as _;
use obelysk_statement::SecurityReport;
use obelysk_verifier::folder::{Expectations, FolderError, ProofFolder};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  obelysk-verify proof --model-digest 3f…9c
  obelysk-verify proof --model-digest 3f…9c --prompt-tokens 1,88,86 --nonce 00…01 --json

Exit codes: 0 the proof is valid, 1 it is not, 2 that cannot be told: the folder could not be read, or is of another specification.";

/// Check the proof that a model answered a prompt with these tokens.
#[derive(Parser)]
#[command(name = "obelysk-verify", version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    /// Folder with model.json, statement.json and proof.bin
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The model that the proof must be about; without it the model is whatever the folder claims
    #[arg(long, value_name = "HEX")]
    model_digest: Option<String>,
    /// The prompt that the proof must be about, as token ids
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    prompt_tokens: Option<Vec<u32>>,
    /// The answer that the proof must be about, as token ids
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    output_tokens: Option<Vec<u32>>,
    /// The nonce that the proof must be bound to
    #[arg(long, value_name = "HEX")]
    nonce: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const INVALID: u8 = 1;
const UNDECIDED: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let checked = ProofFolder::read(&arguments.folder).and_then(|folder| {
        let report = folder.check(&expectations(&arguments))?;
        Ok((folder, report))
    });
    match checked {
        Ok((folder, report)) => {
            if arguments.model_digest.is_none() {
                complain(
                    "WARNING: no --model-digest was given. The model is whatever this folder claims; \
                     compare its digest with one that you computed or trust.",
                );
            }
            let told = print(&if arguments.json {
                to_json(&folder, &report, arguments.model_digest.is_some()).to_string()
            } else {
                to_text(&folder, &report)
            });
            match told {
                // The exit status says it all to a person; a program waits for the object.
                Err(error) if arguments.json => {
                    complain(&format!("VALID, but the answer cannot be written to stdout: {error}"));
                    ExitCode::from(UNDECIDED)
                }
                _ => ExitCode::SUCCESS,
            }
        }
        Err(error) => {
            let (status, code) = match &error {
                FolderError::Unreadable { .. } => ("unreadable", UNDECIDED),
                FolderError::OtherSpecification { .. } => ("unsupported", UNDECIDED),
                FolderError::Invalid(_) => ("invalid", INVALID),
            };
            if arguments.json {
                let object = json!({"status": status, "code": code, "message": error.to_string()});
                // The status is the same whether anybody reads why.
                let _ = print(&object.to_string());
            }
            complain(&format!("{}: {error}", status.to_uppercase()));
            ExitCode::from(code)
        }
    }
}

/// A reader that went away changes nothing about the outcome.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn expectations(arguments: &Arguments) -> Expectations {
    Expectations {
        model_digest: arguments.model_digest.as_deref().map(lower_case),
        prompt_tokens: arguments.prompt_tokens.clone(),
        output_tokens: arguments.output_tokens.clone(),
        nonce: arguments.nonce.as_deref().map(lower_case),
    }
}

fn lower_case(hex: &str) -> String {
    hex.trim().to_ascii_lowercase()
}

fn to_json(folder: &ProofFolder, report: &SecurityReport, model_expected: bool) -> Value {
    let claim = &folder.claim;
    let phases: Vec<Value> = report
        .phases
        .iter()
        .map(|phase| json!({"phase": phase.name, "bits": phase.bits, "grindingBits": phase.grinding}))
        .collect();
    json!({
        "status": "valid",
        "modelDigest": claim.model_digest,
        "modelDigestExpected": model_expected,
        "promptTokens": claim.prompt_tokens,
        "outputTokens": claim.output_tokens,
        "further": claim.further,
        "nonce": claim.nonce,
        "mode": claim.mode,
        "profile": claim.profile,
        "securityBits": report.bits(),
        "security": phases,
    })
}

fn to_text(folder: &ProofFolder, report: &SecurityReport) -> String {
    let claim = &folder.claim;
    let mut lines = vec!["VALID".to_string(), format!("model     {}", claim.model_digest)];
    for inference in claim.inferences() {
        lines.push(format!("prompt    {:?}", inference.prompt_tokens));
        lines.push(format!("output    {:?}", inference.output_tokens));
    }
    lines.push(format!("nonce     {}", claim.nonce));
    lines.push(format!("security  {:.1} bits, all phases composed:", report.bits()));
    lines.extend(report.phases.iter().map(|phase| {
        format!("          {:.1} bits  {} (of which grinding {})", phase.bits, phase.name, phase.grinding)
    }));
    lines.join("\n")
}
