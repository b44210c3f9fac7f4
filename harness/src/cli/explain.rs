//! `vnotch explain`: the meaning of a workload key, a figure, a status, a flag, an exit code, or a topic of the documents.

use super::{Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::explain::{self, text};
use serde_json::json;

/// Arguments of `vnotch explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A word is a key of a workload file (log.segment_bytes), a word or figure of the first screen (of ceiling, response p99), a \
field of result.json (of_ceiling.write), a status or flag of a verdict (noisy disk), an exit code (5), or a topic (late \
generators). Case, spaces and underscores do not count. Of a section or group (load, produce) its parts are listed.

Examples:
  vnotch explain
  vnotch explain load.mode
  vnotch explain response p99
  vnotch explain 5 --format json

Exit codes: 0 done; 2 nothing has this name.")]
pub struct Args {
    /// The word to explain; without it, all words are listed
    #[arg(value_name = "WORD")]
    word: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] if nothing has this name.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    if args.word.is_empty() {
        let entries = explain::entries();
        super::print(&match globals.format {
            Format::Text => text::list(&entries),
            Format::Json => format!("{:#}\n", json!({ "kind": "explain", "entries": entries })),
        })?;
        return Ok(ExitStatus::Ok);
    }
    let word = args.word.join(" ");
    let found = explain::explain(&word).map_err(|unknown| UsageError::error(unknown.to_string()))?;
    super::print(&match globals.format {
        Format::Text => text::explanation(&found),
        Format::Json => {
            let (entries, members, see) = (&found.entries, &found.members, &found.see);
            let document = json!({
                "kind": "explain", "word": word, "entries": entries, "members": members, "see": see
            });
            format!("{document:#}\n")
        }
    })?;
    Ok(ExitStatus::Ok)
}
