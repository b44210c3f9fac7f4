//! The hidden verb with which `compare` starts its trials: a command that ends when its parent process does.

use crate::campaign::compare::child::become_child;
use crate::exit::ExitStatus;
use std::ffi::OsString;

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the parent process
    parent: u32,
    /// The program to execute, and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Replaces this process by the command.
///
/// # Errors
/// The parent has ended already, or the command cannot be executed.
pub fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    become_child(args.parent, &args.command).map(|never| match never {})
}
