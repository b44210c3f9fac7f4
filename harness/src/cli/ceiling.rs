//! `vnotch ceiling`.

use super::Globals;
use crate::exit::{ExitStatus, UsageError};

/// Arguments of `vnotch ceiling`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(_globals: Globals, _args: Args) -> anyhow::Result<ExitStatus> {
    Err(UsageError::error("ceiling is not supported yet"))
}
