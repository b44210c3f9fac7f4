//! Verbs that are not built yet. They are refused by name, each with what serves until then.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Each verb, what it would do, and what to use instead.
const LATER: [(&str, &str, &str); 5] = [
    (
        "search",
        "finding the highest rate that meets an objective",
        "`vnotch run FILE --set 'sweep={load.rate: [10k/s, 20k/s, 40k/s]}'` tries several rates",
    ),
    (
        "merge",
        "merging the results of several machines",
        "`vnotch report A B --output DIR` draws several results on the same axes",
    ),
    (
        "export",
        "writing results in other formats",
        "a result's directory has them as JSON, CSV and HdrHistogram logs (docs/methodology.md)",
    ),
    (
        "import",
        "reading the workload files of other tools",
        "`vnotch workload NAME` prints one of vnotch's own",
    ),
    (
        "history",
        "following a figure over many results",
        "`vnotch list` lists them, and `vnotch compare --baseline NAME latest` compares the last one with an earlier one",
    ),
];

/// Returns the refusal of a command line whose verb is not built yet; `None` for other errors.
pub(super) fn refusal(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let (verb, what, instead) = LATER.into_iter().find(|(verb, ..)| verb == typed)?;
    Some(format!("`vnotch {verb}`, {what}, is not built yet; {instead}"))
}
