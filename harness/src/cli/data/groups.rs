//! `vnotch groups`: lists the consumer groups of a data directory, with their committed offsets.

mod text;

use crate::cli::{self, Format, Globals};
use crate::escape::visible_lines;
use crate::exit::{ExitStatus, UsageError};
use anyhow::Context as _;
use comfy_table::Table;
use serde::Serialize;
use std::path::PathBuf;
use vnotch_engine::verify::{GroupsReport, VerifyError};

/// Arguments of `vnotch groups`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lists what kafka-consumer-groups lists: each group with its state and, for each partition, the committed offset, the end of the \
log, the lag, and the member that reads it. All of it comes from the log of __consumer_offsets and from the logs that the groups \
read. The state is the one in which the next open finds the group.

Nothing is changed. While it reads, no engine can open the directory. A directory that an engine has open is refused. Of the logs \
that groups read, only the ends are read.

Partitions that do not exist, commits beyond the end of the log, and commits of records that are deleted are shown and marked. A \
stored record that cannot be read is a defect. It is passed over, and the rest is listed.

Examples:
  vnotch groups /mnt/nvme/log
  vnotch groups /mnt/nvme/log --group vnotch-orders-bench0-group
  vnotch groups /mnt/nvme/log --format json | jq '.groups[] | {group, lag: ([.partitions[].lag] | add)}'

Exit codes: 0 listed; 1 the disk failed, or the directory is in use; 2 not a data directory, one of a newer version, or no group \
of this name; 6 defects.")]
pub struct Args {
    /// Data directory, as `vnotch run --data-dir` or an engine makes it
    #[arg(value_name = "DATA_DIR", value_hint = clap::ValueHint::DirPath)]
    data_dir: PathBuf,
    /// List only this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

/// The JSON document that `--format json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'static str,
    is_sound: bool,
    #[serde(flatten)]
    report: &'a GroupsReport,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] if the path is no data directory or has no group of the name; otherwise the reason why it cannot be
/// read.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    cli::require_dir(&args.data_dir)?;
    let dir = std::path::absolute(&args.data_dir).context("the working directory no longer exists")?;
    let mut report = match vnotch_engine::verify::groups(&dir) {
        Ok(report) => report,
        Err(error @ (VerifyError::NotADataDirectory { .. } | VerifyError::NewerFormat { .. })) => {
            return Err(UsageError::error(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let is_sound = report.defects.is_empty();
    if let Some(name) = &args.group {
        report.groups.retain(|group| group.group == *name);
        if report.groups.is_empty() && is_sound {
            let dir = args.data_dir.display();
            return Err(UsageError::error(format!(
                "{dir} has no group `{name}`; `vnotch groups {dir}` lists all groups"
            )));
        }
    }
    let output = match globals.format {
        Format::Text => visible_lines(&text::render(&report, globals.quiet, Table::new().width())),
        Format::Json => {
            let document = Document { kind: "groups", is_sound, report: &report };
            serde_json::to_string_pretty(&document).context("cannot write JSON")? + "\n"
        }
    };
    cli::print(&output)?;
    Ok(if is_sound { ExitStatus::Ok } else { ExitStatus::Integrity })
}
