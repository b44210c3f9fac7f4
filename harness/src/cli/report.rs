//! `vnotch report`.

use super::Globals;
use crate::exit::{ExitStatus, UsageError};

/// Arguments of `vnotch report`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(_globals: Globals, _args: Args) -> anyhow::Result<ExitStatus> {
    Err(UsageError::error("report is not supported yet"))
}
