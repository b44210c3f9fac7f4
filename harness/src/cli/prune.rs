//! `vnotch prune`: removes old results if `--yes` is given; otherwise lists them.

use super::results_dir::ResultsDir;
use super::{Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::quantity;
use crate::result::shelf::{self, REFERENCE, Shelf, Shelved};
use crate::workload::TimeSpan;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Arguments of `vnotch prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --yes nothing is removed: the results that would be removed are printed, with their sizes. With both --keep and \
--older-than, a result is removed only if both options select it. Results in `reference/`, unfinished sweeps, and \
directories without a result are never removed.

Examples:
  vnotch prune --keep 10
  vnotch prune --older-than 30d --yes
  vnotch prune 20261124-035404-quickstart-1a2b3c4d --yes

Exit codes: 0 done, or nothing to remove; 1 a result cannot be removed; 2 wrong usage.")]
pub struct Args {
    /// Results to remove: directories, or the beginnings of their names
    #[arg(value_name = "RESULT", conflicts_with_all = ["keep", "older_than"], value_hint = clap::ValueHint::DirPath)]
    names: Vec<String>,
    /// Keep the newest N results
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Remove only results whose run started at least this long ago: 12h, 30d
    #[arg(long, value_name = "TIME")]
    older_than: Option<TimeSpan>,
    /// Remove the results, instead of printing which would be removed
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    results: ResultsDir,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] before anything is removed; otherwise the first failed removal. Results before it are already
/// removed.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    let shelf = args.results.look()?;
    let going = if args.names.is_empty() { by_age(args, &shelf)? } else { by_name(args, &shelf)? };
    let sized: Vec<(&Path, u64)> =
        going.iter().map(|dir| Ok((dir.as_path(), shelf::bytes_in(dir)?))).collect::<anyhow::Result<_>>()?;
    let is_text = globals.format == Format::Text;
    for (dir, bytes) in &sized {
        if args.yes {
            shelf::remove(dir)?;
        }
        if is_text {
            let verb = if args.yes { "removed" } else { "would remove" };
            writeln!(std::io::stdout(), "{verb} {} ({})", dir.display(), quantity::bytes(*bytes))?;
        }
    }
    let bytes: u64 = sized.iter().map(|(_, bytes)| bytes).sum();
    if is_text {
        if !globals.quiet {
            shelf
                .others
                .iter()
                .for_each(|it| eprintln!("note: not removed: {}: {}", it.dir.display(), it.what));
            eprintln!("note: {}", conclusion(sized.len(), bytes, args.yes));
        }
        return Ok(ExitStatus::Ok);
    }
    let results: Vec<_> =
        sized.iter().map(|(dir, bytes)| json!({ "directory": dir, "bytes": bytes })).collect();
    let left: Vec<_> =
        shelf.others.iter().map(|it| json!({ "directory": it.dir, "what": it.what })).collect();
    let document = json!({
        "kind": "prune", "removed": args.yes, "results": results, "bytes": bytes, "left_alone": left
    });
    writeln!(std::io::stdout(), "{document:#}")?;
    Ok(ExitStatus::Ok)
}

fn conclusion(count: usize, bytes: u64, is_removed: bool) -> String {
    let what = format!("{count} result{}, {}", if count == 1 { "" } else { "s" }, quantity::bytes(bytes));
    match (count, is_removed) {
        (0, _) => "nothing to remove".to_owned(),
        (_, true) => format!("{what} removed"),
        (_, false) => format!("{what}; nothing was removed: add --yes to remove them"),
    }
}

/// Returns the results that `--keep` and `--older-than` select for removal. Results in `reference/` are never among
/// them.
fn by_age(args: &Args, shelf: &Shelf) -> anyhow::Result<Vec<PathBuf>> {
    if args.keep.is_none() && args.older_than.is_none() {
        return Err(UsageError::error(
            "say which results to remove: `--keep 10`, `--older-than 30d`, or their names (`vnotch list` shows them)",
        ));
    }
    let before = match args.older_than {
        None => None,
        Some(age) => Some(
            SystemTime::now()
                .checked_sub(age.0)
                .ok_or_else(|| UsageError::error("--older-than: this time is too long"))?,
        ),
    };
    // The newest result comes first.
    let results = shelf.results.iter().filter(|it| !it.is_reference).skip(args.keep.unwrap_or(0));
    Ok(results
        .filter(|it| before.is_none_or(|before| began_before(it, before)))
        .map(|it| it.dir.clone())
        .collect())
}

/// Tells whether a result began at `time` or before. A result without a valid start time does not count as old.
fn began_before(it: &Shelved, time: SystemTime) -> bool {
    let began = it.result.provenance.started_at.parse::<jiff::Timestamp>().ok();
    began.and_then(|began| SystemTime::try_from(began).ok()).is_some_and(|began| began <= time)
}

fn by_name(args: &Args, shelf: &Shelf) -> anyhow::Result<Vec<PathBuf>> {
    let mut going = Vec::new();
    for name in &args.names {
        if name == "latest" {
            return Err(UsageError::error(
                "`latest` cannot be removed by that name; write the result's own name (`vnotch list` shows it)",
            ));
        }
        let dir = args.results.find(name)?;
        let known = shelf.results.iter().find(|it| is_same(&it.dir, &dir));
        match known {
            Some(it) if it.is_reference => {
                return Err(UsageError::error(format!(
                    "{} is in `{REFERENCE}/`; results there are never removed",
                    dir.display()
                )));
            }
            Some(it) if !going.contains(&it.dir) => going.push(it.dir.clone()),
            Some(_) => {}
            None => return Err(not_here(args, shelf, &dir)),
        }
    }
    Ok(going)
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn not_here(args: &Args, shelf: &Shelf, dir: &Path) -> anyhow::Error {
    let results = args.results.dir().display();
    UsageError::error(match shelf.others.iter().find(|other| is_same(&other.dir, dir)) {
        Some(other) => format!("{} is not removed: {}", dir.display(), other.what),
        None => format!(
            "{} is not a result in {results}; use `-o DIR` for another directory of results",
            dir.display()
        ),
    })
}
