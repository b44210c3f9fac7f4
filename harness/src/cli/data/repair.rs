//! `vnotch repair`: cuts a damaged data directory where its records can no longer be read, if `--yes` is given.

mod text;

use crate::cli::{self, Format, Globals};
use crate::escape::visible_lines;
use crate::exit::{ExitStatus, UsageError};
use anyhow::Context as _;
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use vnotch_engine::repair::{self, CatalogRepair, DamageRecordsRepair, PartitionRepair, RepairError};

/// Arguments of `vnotch repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A partition that the engine finds damaged when it opens takes no appends until it is repaired. Without --yes nothing is \
changed: the plan is printed, with the file and byte of the damage, and the records and bytes that would be moved away.

A log is cut at the first place where its records cannot be read. New records continue at that offset, with a higher \
leader epoch. Where the first segments are missing, or their first batch cannot be read, the log begins with the next \
segment instead. A partition whose directory is missing gets a new, empty one. A catalog that is missing or damaged is \
written again from the directories of the partitions: its topics get the default configuration, and topics whose deletion \
had begun exist again. A catalog that is an older copy keeps its topics and their configuration, and gets a higher incarnation.

Nothing is deleted: what is cut off is moved to removed-by-repair/<n>/<topic>-<partition>/ in the data directory. Whole \
segments keep their names. The rest of a segment that was cut at byte p is <base offset>.log.from-<p>. Segments are in \
Kafka's format, so that the batches after the damage can still be read there. Delete the folder when you no longer need it.

A repair that is interrupted, for example by a power loss, loses nothing: run it again. Damaged indexes are not repaired, \
because the engine works without them. meta.properties is not repaired either: write it by hand. `vnotch verify` reports both.

Examples:
  vnotch repair /mnt/nvme/log
  vnotch repair /mnt/nvme/log --yes && vnotch verify /mnt/nvme/log
  vnotch repair /mnt/nvme/log --format json | jq '.partitions[] | {topic, partition, removed}'

Exit codes: 0 nothing to repair, or repaired; 1 the disk failed, or the directory is in use; 2 not a data directory, one of \
a newer version, or one that cannot be repaired; 6 there is damage, and --yes was not given.")]
pub struct Args {
    /// Data directory, as `vnotch run --data-dir` or an engine makes it
    #[arg(value_name = "DATA_DIR", value_hint = clap::ValueHint::DirPath)]
    data_dir: PathBuf,
    /// Make the changes, instead of printing them
    #[arg(short, long)]
    yes: bool,
}

/// The JSON document that `--format json` prints: a repair, planned or done.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'static str,
    data_dir: &'a Path,
    /// Whether there was nothing to repair.
    is_sound: bool,
    /// Whether the changes have been made.
    repaired: bool,
    catalog: Option<CatalogRepair>,
    damage_records: Option<DamageRecordsRepair>,
    partitions: Vec<PartitionRepair>,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] if the directory is no data directory or cannot be repaired; otherwise the disk's failure.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    cli::require_dir(&args.data_dir)?;
    let dir = std::path::absolute(&args.data_dir).context("the working directory no longer exists")?;
    let plan = repair::plan(&dir).map_err(explain)?;
    let is_sound = plan.is_empty();
    let document = Document {
        kind: "repair",
        data_dir: &dir,
        is_sound,
        repaired: args.yes && !is_sound,
        catalog: plan.catalog.clone(),
        damage_records: plan.damage_records.clone(),
        partitions: plan.partitions.clone(),
    };
    if document.repaired {
        // `apply` returns whether the observer stopped the repair. This observer never does.
        let _ = repair::apply(plan, &mut |_| ControlFlow::Continue(()))
            .context("the repair did not finish; no record is lost, so run it again")?;
    }
    let output = match globals.format {
        Format::Text => visible_lines(&text::render(&document, globals.quiet)),
        Format::Json => serde_json::to_string_pretty(&document).context("cannot write JSON")? + "\n",
    };
    cli::print(&output)?;
    Ok(if is_sound || args.yes { ExitStatus::Ok } else { ExitStatus::Integrity })
}

fn explain(error: RepairError) -> anyhow::Error {
    match error {
        RepairError::InUse { .. } | RepairError::Disk(_) => error.into(),
        refused => UsageError::error(refused.to_string()),
    }
}
