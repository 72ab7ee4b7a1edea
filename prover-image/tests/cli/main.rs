//! The command line as a user meets it: the built binaries, real folders, exit codes and messages.

/// What goes wrong, one bad input per test.
mod bad_input;
mod bucket;
/// The commands of the operating manual, run as they stand there.
mod documentation;
/// Downloads that cannot end well, and those that must.
mod downloads;
/// GPUs, and drivers that do not work.
mod gpus;
/// Help, completions and mistakes on the command line.
mod help;
/// Models of a hub.
mod hub;
mod infer;
/// The entry point inside pods.
mod job;
/// A model made for a test.
mod model;
/// Model folders as they come.
mod model_files;
/// Odd paths, places and machines.
mod places;
/// Starting the binaries.
mod program;
mod quality;
/// Whole runs, resumption, and single steps.
mod run;
/// What is not supported yet says so.
mod unsupported;
/// A stranger's check of a folder.
mod verify;
