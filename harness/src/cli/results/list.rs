//! `vnotch list`: lists the results in a directory, one line each.

use super::dir::ResultsDir;
use crate::cli::{self, Format, Globals};
use crate::exit::ExitStatus;
use crate::report::listing;
use crate::result::shelf::Shelf;
use crate::stderr;
use serde_json::json;

/// Arguments of `vnotch list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The newest result comes first. The throughput is that of the pass under `max` or `closed`; if there is none, that of the \
open load. p99 is the response time under the open load. For a sweep, both are those of the best combination. In brackets is \
the 95 % interval of the median, where there are 6 trials or more. Of a verdict with several flags, only their number is \
given: `vnotch show` names them. Results in `reference/` are listed too. Comparisons have a table of their own below. Directories without a complete result are named below the table.

Examples:
  vnotch list
  vnotch list -o /data/results
  vnotch list --format json | jq -r '.results[0].directory'

Exit codes: 0 done; 2 the directory does not exist.")]
pub struct Args {
    #[command(flatten)]
    results: ResultsDir,
}

/// Runs the verb.
///
/// # Errors
/// The directory does not exist or cannot be read.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    let shelf = args.results.look()?;
    match globals.format {
        Format::Json => cli::print(&format!("{:#}\n", document(&shelf)))?,
        Format::Text => {
            if shelf.results.is_empty() && shelf.comparisons.is_empty() && !globals.quiet {
                stderr::line(format_args!(
                    "note: no results in {}: `vnotch run quickstart` makes one",
                    args.results.dir().display()
                ));
            }
            cli::print(&listing::table(&shelf.results))?;
            cli::print(&listing::comparisons(&shelf.comparisons))?;
            if !globals.quiet {
                shelf.others.iter().for_each(|other| {
                    stderr::line(format_args!("note: {}: {}", other.dir.display(), other.what))
                });
            }
        }
    }
    Ok(ExitStatus::Ok)
}

fn document(shelf: &Shelf) -> serde_json::Value {
    let results = shelf.results.iter().map(|it| {
        let result = &it.result;
        let headline = listing::Headline::of(result);
        json!({
            "directory": it.dir,
            "name": result.name,
            "kind": result.kind,
            "started_at": result.provenance.started_at,
            "verdict": result.verdict,
            "points": result.points.len(),
            "produce_bytes_per_s": headline.bytes_per_s.map(|it| it.median),
            "produce_bytes_per_s_interval": headline.bytes_per_s.and_then(|it| it.interval),
            "response_p99_ns": headline.p99_ns.map(|it| it.median),
            "response_p99_ns_interval": headline.p99_ns.and_then(|it| it.interval),
            "response_p99_bound": headline.p99_ns.and_then(|it| it.bound),
            "reference": it.is_reference,
        })
    });
    let comparisons = shelf.comparisons.iter().map(|it| {
        json!({
            "directory": it.dir,
            "name": it.comparison.name,
            "kind": it.comparison.kind,
            "started_at": it.comparison.provenance.started_at,
            "verdict": it.comparison.verdict,
            "effect": it.comparison.effect,
            "reference": it.is_reference,
        })
    });
    let baselines = shelf.baselines.iter().map(|(name, dir)| json!({ "name": name, "directory": dir }));
    let others = shelf.others.iter().map(|other| json!({ "directory": other.dir, "what": other.what }));
    json!({
        "kind": "list",
        "results": results.collect::<Vec<_>>(),
        "comparisons": comparisons.collect::<Vec<_>>(),
        "baselines": baselines.collect::<Vec<_>>(),
        "others": others.collect::<Vec<_>>(),
    })
}
