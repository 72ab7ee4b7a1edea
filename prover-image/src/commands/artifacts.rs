//! `artifacts tar`: a folder to stdout, for `kubectl exec`.

use std::io::{IsTerminal, Write};

use crate::arguments::ArtifactsCommand;
use crate::artifacts::Artifacts;
use crate::failure::{ExitCode, Failure};

/// Write the archive.
pub fn artifacts(command: &ArtifactsCommand) -> Result<(), Failure> {
    let ArtifactsCommand::Tar { folder } = command;
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
    stdout.flush().map_err(|error| Failure::io("write", folder, &error))
}
