//! `vnotch completions` and `vnotch man`: generated from the same definitions as `--help`.

use super::Cli;
use crate::exit::ExitStatus;
use anyhow::Context as _;
use clap::CommandFactory as _;
use std::io::Write as _;
use std::path::PathBuf;

/// Arguments of `vnotch completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to print completions for
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Arguments of `vnotch man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write vnotch.1 and one page per verb into this directory, instead of printing vnotch.1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the completion script of one shell.
pub fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vnotch", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitStatus::Ok)
}

/// Prints the manual page, or writes all of them into a directory.
pub fn man(args: &ManArgs) -> anyhow::Result<ExitStatus> {
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        clap_mangen::generate_to(Cli::command(), dir)
            .with_context(|| format!("cannot write manual pages into {}", dir.display()))?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        std::io::stdout().write_all(&page)?;
    }
    Ok(ExitStatus::Ok)
}
