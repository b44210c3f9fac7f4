//! `vnotch show`: prints a result again, as its run printed it.

use super::dir::ResultsDir;
use crate::cli::{self, Format, Globals};
use crate::exit::ExitStatus;
use crate::report::comparison;
use crate::report::text::first_screen;
use crate::result::comparison::store::Document;

/// Arguments of `vnotch show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vnotch show latest
  vnotch show 20261124-0354
  vnotch show results/20261124-035404-quickstart-1a2b3c4d --format json

Exit codes: 0 done, with any verdict; 1 the result cannot be read; 2 no result matches RESULT, or several do.")]
pub struct Args {
    /// A result directory, the beginning of its name (as `vnotch list` shows it), or `latest`
    #[arg(value_name = "RESULT", value_hint = clap::ValueHint::DirPath)]
    result: String,
    #[command(flatten)]
    results: ResultsDir,
}

/// Runs the verb.
///
/// # Errors
/// No result matches, several do, or the result cannot be read.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    let dir = args.results.find(&args.result)?;
    let result = match Document::load(&dir)? {
        Document::Run(result) => result,
        Document::Comparison(compared) => {
            match globals.format {
                Format::Text => cli::print(&comparison::text(&compared, Some(&dir)))?,
                Format::Json => cli::print(&comparison::json(&compared, Some(&dir))?)?,
            }
            return Ok(ExitStatus::Ok);
        }
    };
    match globals.format {
        Format::Text => {
            let typed = &result.provenance.workload_arguments;
            // Results of schema version 1 hold no arguments.
            let arguments = if typed.is_empty() { std::slice::from_ref(&result.name) } else { typed };
            cli::print(&first_screen(&result, &dir, arguments))?;
        }
        Format::Json => {
            let document = serde_json::json!({ "kind": "show", "directory": dir, "result": result });
            cli::print(&format!("{document:#}\n"))?;
        }
    }
    Ok(ExitStatus::Ok)
}
