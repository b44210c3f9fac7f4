//! `vnotch prune`: removes old results, or what killed runs left, if `--yes` is given; otherwise lists them.

mod cluster;

use super::dir::ResultsDir;
use crate::cli::{self, Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::host::leftovers::{self, Leftover};
use crate::quantity;
use crate::result::comparison::baseline::BASELINES;
use crate::result::shelf::{self, Entry, REFERENCE, Shelf};
use crate::stderr;
use crate::workload::{Target, TimeSpan};
use anyhow::Context as _;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Arguments of `vnotch prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --yes nothing is removed: the results that would be removed are printed, with their sizes. With both --keep and \
--older-than, a result is removed only if both options select it. Results in `reference/`, results that a baseline names, \
unfinished sweeps and comparisons, and directories without a result are never removed.

With --leftovers, what killed runs left behind is removed instead: their data (vnotch-data-…) and the files of the ceiling \
in DIR, and unfinished files among the results. What a run still uses is left alone, and so is data that was kept \
(vnotch-kept-…, and directories that --data-dir named).

With --leftovers and --target kafka://host:port, the topics and consumer groups that killed runs left in a cluster are removed: \
only names that runs give (vnotch-<number>-<run id>, and vnotch-vnotch-<number>-bench<number>-group-<run id> for groups). A topic that was \
made or written within the last hour may belong to a run that is alive, and so may its groups. They are listed, and removed only \
if they are named.

Examples:
  vnotch prune --keep 10
  vnotch prune --older-than 30d --yes
  vnotch prune --leftovers --yes
  vnotch prune --leftovers --target kafka://broker-1:9092 --yes
  vnotch prune 20261124-035404-quickstart-1a2b3c4d --yes

Exit codes: 0 done, or nothing to remove; 1 a result cannot be removed; 2 wrong usage.")]
pub struct Args {
    /// Results to remove: directories, or the beginnings of their names. With --target: topics and groups
    #[arg(value_name = "RESULT", conflicts_with_all = ["keep", "older_than"], value_hint = clap::ValueHint::DirPath)]
    names: Vec<String>,
    /// Keep the newest N results
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Remove only results whose run started at least this long ago: 12h, 30d
    #[arg(long, value_name = "TIME")]
    older_than: Option<TimeSpan>,
    /// Remove what killed runs left in DIR [default: the working directory]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = ".",
        conflicts_with_all = ["keep", "older_than"], value_hint = clap::ValueHint::DirPath)]
    leftovers: Option<PathBuf>,
    /// Remove what killed runs left in this cluster: kafka://host:port[,host:port…]
    #[arg(long, value_name = "CLUSTER", requires = "leftovers")]
    target: Option<Target>,
    /// A client property for --target, as in `kafka.properties`; a secret as NAME=env:VARIABLE
    #[arg(long = "property", value_name = "NAME=VALUE", requires = "target")]
    properties: Vec<String>,
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
    if let Some(target) = &args.target {
        return cluster::prune(
            globals,
            target,
            &cluster::Request::of(&args.names, &args.properties, args.yes)?,
        );
    }
    if let Some(dir) = &args.leftovers {
        if let Some(name) = args.names.first() {
            return Err(UsageError::error(format!("--leftovers takes no names without --target: {name}")));
        }
        return prune_leftovers(globals, args, dir);
    }
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
            cli::print(&format!("{verb} {} ({})\n", dir.display(), quantity::bytes(*bytes)))?;
        }
    }
    let bytes: u64 = sized.iter().map(|(_, bytes)| bytes).sum();
    if is_text {
        if !globals.quiet {
            shelf.others.iter().for_each(|it| {
                stderr::line(format_args!("note: not removed: {}: {}", it.dir.display(), it.what))
            });
            stderr::line(format_args!("note: {}", conclusion("result", sized.len(), bytes, args.yes)));
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
    cli::print(&format!("{document:#}\n"))?;
    Ok(ExitStatus::Ok)
}

/// Removes, or only lists, what killed runs left in `dir` and among the results.
fn prune_leftovers(globals: Globals, args: &Args, dir: &Path) -> anyhow::Result<ExitStatus> {
    cli::require_dir(dir)?;
    let mut found = leftovers::find(dir);
    if args.results.dir().is_dir() {
        found.extend(shelf::leftovers(args.results.dir())?.into_iter().map(|dir| {
            let bytes = shelf::bytes_in(&dir).or_else(|_| anyhow::Ok(dir.metadata()?.len())).unwrap_or(0);
            Leftover { dir, bytes }
        }));
    }
    for Leftover { dir, bytes } in &found {
        if args.yes {
            let removed = if dir.is_dir() { fs::remove_dir_all(dir) } else { fs::remove_file(dir) };
            removed.with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        if globals.format == Format::Text {
            let verb = if args.yes { "removed" } else { "would remove" };
            cli::print(&format!("{verb} {} ({})\n", dir.display(), quantity::bytes(*bytes)))?;
        }
    }
    let bytes: u64 = found.iter().map(|it| it.bytes).sum();
    if globals.format == Format::Json {
        let list: Vec<_> = found.iter().map(|it| json!({ "directory": it.dir, "bytes": it.bytes })).collect();
        let document = json!({ "kind": "prune", "removed": args.yes, "leftovers": list, "bytes": bytes });
        cli::print(&format!("{document:#}\n"))?;
    } else if !globals.quiet {
        stderr::line(format_args!("note: {}", conclusion("leftover", found.len(), bytes, args.yes)));
    }
    Ok(ExitStatus::Ok)
}

/// Returns a note on what killed runs left in the directory where a run with this `--data-dir` keeps its data. `None` if they
/// left nothing.
pub(in crate::cli) fn leftovers_note(data_dir: Option<&Path>) -> Option<String> {
    let dir = match data_dir {
        None => PathBuf::from("."),
        Some(dir) => std::path::absolute(dir).ok()?.parent()?.to_owned(),
    };
    leftovers::note(&leftovers::find(&dir))
}

fn conclusion(noun: &str, count: usize, bytes: u64, is_removed: bool) -> String {
    let what = format!("{count} {noun}{}, {}", if count == 1 { "" } else { "s" }, quantity::bytes(bytes));
    match (count, is_removed) {
        (0, _) => "nothing to remove".to_owned(),
        (_, true) => format!("{what} removed"),
        (_, false) => format!("{what} would be removed; nothing was, because --yes was not given"),
    }
}

/// Returns the results that `--keep` and `--older-than` select for removal. Results in `reference/` are never among
/// them, and neither are those that a baseline names.
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
    let entries = shelf.entries().into_iter().filter(|it| !it.is_reference && it.baseline.is_none());
    Ok(entries
        .skip(args.keep.unwrap_or(0))
        .filter(|it| before.is_none_or(|before| began_before(it, before)))
        .map(|it| it.dir.to_owned())
        .collect())
}

/// Tells whether a result began at `time` or before. A result without a valid start time does not count as old.
fn began_before(it: &Entry<'_>, time: SystemTime) -> bool {
    let began = it.started_at.parse::<jiff::Timestamp>().ok();
    began.and_then(|began| SystemTime::try_from(began).ok()).is_some_and(|began| began <= time)
}

fn by_name(args: &Args, shelf: &Shelf) -> anyhow::Result<Vec<PathBuf>> {
    let mut going: Vec<PathBuf> = Vec::new();
    let entries = shelf.entries();
    for name in &args.names {
        if name == "latest" {
            return Err(UsageError::error(
                "`latest` cannot be removed by that name; write the result's own name (`vnotch list` shows it)",
            ));
        }
        let dir = args.results.find(name)?;
        let known = entries.iter().find(|it| is_same(it.dir, &dir));
        match known {
            Some(it) if it.is_reference => {
                return Err(UsageError::error(format!(
                    "{} is in `{REFERENCE}/`; results there are never removed",
                    dir.display()
                )));
            }
            Some(Entry { baseline: Some(baseline), .. }) => {
                return Err(UsageError::error(format!(
                    "{} is the baseline `{baseline}`; remove {} first, or save another result under that name",
                    dir.display(),
                    args.results.dir().join(BASELINES).join(format!("{baseline}.json")).display()
                )));
            }
            Some(it) if !going.iter().any(|dir| dir == it.dir) => going.push(it.dir.to_owned()),
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
