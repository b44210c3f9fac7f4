//! `vnotch run`.

use super::Globals;
use crate::exit::{ExitStatus, UsageError};

/// Arguments of `vnotch run`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(_globals: Globals, _args: Args) -> anyhow::Result<ExitStatus> {
    Err(UsageError::error("run is not supported yet"))
}
