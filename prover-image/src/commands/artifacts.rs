//! `artifacts tar`: a folder to stdout, for `kubectl exec`; `artifacts hold`: the pod to exec into.

use std::io::{IsTerminal, Write};
use std::path::Path;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::arguments::ArtifactsCommand;
use crate::artifacts::Artifacts;
use crate::failure::{ExitCode, Failure};

/// Write the archive, or wait for those who ask for it.
pub fn artifacts(command: &ArtifactsCommand) -> Result<(), Failure> {
    match command {
        ArtifactsCommand::Tar { folder } => tar(folder),
        ArtifactsCommand::Hold => hold(),
    }
}

/// The first process of a container ignores SIGTERM unless it handles it.
fn hold() -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| Failure::new(ExitCode::Io, format!("signals cannot be handled: {error}"), "try again"))?;
    signals.forever().next();
    Ok(())
}

fn tar(folder: &Path) -> Result<(), Failure> {
    let artifacts = Artifacts::open(folder)?;
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        let message = "an archive on a terminal is of no use";
        return Err(Failure::new(
            ExitCode::BadSpec,
            message,
            "redirect stdout: `obelysk artifacts tar DIR > proof.tar`",
        ));
    }
    artifacts.tar(&mut stdout)?;
    stdout.flush().map_err(|error| Failure::io("write", Path::new("stdout"), &error))
}
