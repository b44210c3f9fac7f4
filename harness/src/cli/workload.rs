//! `vnotch workload`: prints a built-in workload file, as a start for a file of one's own.

use crate::exit::ExitStatus;
use crate::workload::built_in_text;

/// Arguments of `vnotch workload`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vnotch workload quickstart > my.yaml
  vnotch run my.yaml

Exit codes: 0 printed; 2 there is no such workload.")]
pub struct Args {
    /// Name of a built-in workload, such as quickstart or studies/partitions
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs the verb.
///
/// # Errors
/// A [`crate::exit::UsageError`] if there is no built-in workload of that name.
pub fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    super::print(built_in_text(&args.name)?)?;
    Ok(ExitStatus::Ok)
}
