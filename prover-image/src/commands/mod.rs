//! One file per command: from its arguments to an answer.

mod artifacts;
mod infer;
mod model;
mod prove;
mod run;
mod selection;
mod setup;
mod steps;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command};
use crate::console::{self, Answer, Console, Level};
use crate::failure::{self, Failure};
use crate::home::Home;
use crate::job;

/// What every command gets.
pub struct Context {
    /// Where models and runs are kept.
    pub home: Home,
    /// stdout and stderr.
    pub console: Console,
}

/// Parse the command line, run the command, and report.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let global = &arguments.global;
    let level = match (global.quiet, global.verbose) {
        (true, _) => Level::Quiet,
        (_, true) => Level::Verbose,
        _ => Level::Normal,
    };
    let console = Console::new(global.json, level);
    match Home::locate(global.home.as_deref()) {
        Ok(home) => {
            let context = Context { home: home.hashing_again(global.verify), console };
            let told = dispatch(&context, arguments.command)
                .and_then(|answer| answer.map_or(Ok(()), |answer| context.console.answer(answer)));
            match told {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => report(&context.console, &failure),
            }
        }
        Err(failure) => report(&console, &failure),
    }
}

/// Commands whose output is not an answer, such as an archive or a script, return none.
fn dispatch(context: &Context, command: Command) -> Result<Option<Answer>, Failure> {
    match command {
        Command::Run(arguments) => run::run(context, &arguments).map(Some),
        Command::Setup(arguments) => setup::setup(context, &arguments).map(Some),
        Command::Model(command) => model::model(context, &command).map(Some),
        Command::Infer(arguments) => infer::infer(context, &arguments),
        Command::Validate(arguments) => steps::validate(context, &arguments).map(Some),
        Command::Capture(arguments) => steps::capture(context, &arguments).map(Some),
        Command::Prove(arguments) => prove::prove(context, &arguments).map(Some),
        Command::Verify(arguments) => steps::verify(&arguments).map(Some),
        Command::Audit(arguments) => steps::audit(context, &arguments).map(Some),
        Command::Submit(arguments) => steps::submit(&arguments).map(Some),
        Command::Artifacts(command) => artifacts::artifacts(&command).map(|()| None),
        Command::Job(arguments) => job::run(arguments.file.as_deref()).map(|()| None),
        Command::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(arguments.shell, &mut Arguments::command(), "obelysk", &mut script);
            console::print(&String::from_utf8_lossy(&script)).map(|()| None)
        }
    }
}

fn report(console: &Console, failure: &Failure) -> ExitCode {
    console.failure(failure);
    ExitCode::from(failure.code.number())
}

/// Help and version go to stdout with status 0. A mistake is a bad specification like any other.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let told = error.print().or_else(|error| console::unprintable(&error).map_err(|failure| failure.code));
        return told.map_or_else(|code| ExitCode::from(code.number()), |()| ExitCode::SUCCESS);
    }
    let json = std::env::args_os().any(|argument| argument == "--json");
    let failure = failure::of_arguments(error);
    if json {
        report(&Console::new(json, Level::Normal), &failure)
    } else {
        let _ = error.print();
        ExitCode::from(failure.code.number())
    }
}
