//! `vnotch explain`: the meaning of a workload key, a figure, a status, a flag, an exit code, or a topic of the documents.

use super::{Cli, Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::explain::{self, Entry, WordKind, text};
use clap::CommandFactory as _;
use serde_json::json;
use std::collections::BTreeMap;

/// Arguments of `vnotch explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A word is a key of a workload file (log.segment_bytes), a word or figure of the first screen (of ceiling, response p99), a \
field of result.json (of_ceiling.write), a status or flag of a verdict (noisy disk), an option (strict), an exit code (5), or \
a topic (late generators). Case, spaces and underscores do not count. Of a section or group (load, produce) its parts are listed.

Examples:
  vnotch explain
  vnotch explain load.mode
  vnotch explain response p99
  vnotch explain strict
  vnotch explain 5 --format json

Exit codes: 0 done; 2 nothing has this name.")]
pub struct Args {
    /// The word to explain; without it, all words are listed
    #[arg(value_name = "WORD")]
    word: Vec<String>,
}

/// Returns an entry for each option of a verb. Verbs that describe an option in the same words share one.
fn options() -> Vec<Entry> {
    let mut command = Cli::command();
    // Gives each verb the options of all verbs.
    command.build();
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        for option in verb.get_arguments().filter(|option| !option.is_hide_set()) {
            let (Some(name), Some(help)) = (option.get_long(), option.get_help()) else { continue };
            found.entry((name.to_owned(), help.to_string())).or_default().push(verb.get_name().to_owned());
        }
    }
    let entry = |((name, text), verbs): ((String, String), Vec<String>)| Entry {
        kind: WordKind::Option,
        name: format!("--{name}"),
        aliases: Vec::new(),
        facts: [("of", verbs.join(", "))].into(),
        text,
        see: Vec::new(),
    };
    found.into_iter().map(entry).collect()
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] if nothing has this name.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    let entries = explain::entries(options());
    if args.word.is_empty() {
        super::print(&match globals.format {
            Format::Text => text::list(&entries),
            Format::Json => format!("{:#}\n", json!({ "kind": "explain", "entries": entries })),
        })?;
        return Ok(ExitStatus::Ok);
    }
    let word = args.word.join(" ");
    let found =
        explain::explain(&entries, &word).map_err(|unknown| UsageError::error(unknown.to_string()))?;
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
