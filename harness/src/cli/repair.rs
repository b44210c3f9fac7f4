//! `vnotch repair`: cuts a damaged data directory where its records can no longer be read, if that was asked for.

mod text;

use super::{Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use anyhow::Context as _;
use serde::Serialize;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use vnotch_engine::repair::{self, CatalogRepair, DamageRecordsRepair, PartitionRepair, RepairError};

/// Arguments of `vnotch repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A partition that an open finds damaged takes no appends until it is repaired. Without --yes nothing is changed: what would \
be done is printed, with the file and byte of the damage, and the records and bytes that would be taken away.

A log is cut at the first place where its records cannot be read. New records continue at that offset, with a higher \
leader epoch. Where the first segments are missing, or their first batch cannot be read, the log begins with the next \
segment instead. A partition whose directory is gone is made again, empty. A catalog that is missing or damaged is made \
again from the directories of the partitions: its topics get the default configuration, and topics that were being deleted \
come back.

What is taken away is moved and never deleted: to removed-by-repair/<n>/<topic>-<partition>/ in the data directory. Whole \
segments keep their names. The rest of a segment that was cut at byte p is <base offset>.log.from-<p>. Segments are in \
Kafka's format, so that the batches behind the damage can still be read there. Delete the folder once it is not needed.

A repair that ends early, as by a power loss, loses nothing: run it again. Not repaired are damaged indexes, which the \
engine does without, and meta.properties, which has to be written by hand. `vnotch verify` finds those, too.

Examples:
  vnotch repair /mnt/nvme/log
  vnotch repair /mnt/nvme/log --yes && vnotch verify /mnt/nvme/log
  vnotch repair /mnt/nvme/log --format json | jq '.partitions[] | {topic, partition, removed}'

Exit codes: 0 nothing to repair, or repaired; 1 the disk failed, or the directory is in use; 2 not a data directory, one of \
a newer version, or one that cannot be repaired; 6 there is damage, and --yes was not given.")]
pub struct Args {
    /// The data directory, as `vnotch run --data-dir` or an engine makes it
    #[arg(value_name = "DATA_DIR", value_hint = clap::ValueHint::DirPath)]
    data_dir: PathBuf,
    /// Repair it, instead of saying what would be done
    #[arg(short, long)]
    yes: bool,
}

/// A repair, planned or done: the JSON document.
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
/// A [`UsageError`] for a directory that is not or cannot be repaired; otherwise the failure of the disk.
pub fn run(globals: Globals, args: &Args) -> anyhow::Result<ExitStatus> {
    super::require_dir(&args.data_dir)?;
    let dir = std::path::absolute(&args.data_dir).context("the working directory is gone")?;
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
        // The answer says whether the observer has ended the repair, which this one does not.
        let _ = repair::apply(plan, &mut |_| ControlFlow::Continue(()))
            .context("the repair has not come to its end, and no record is lost by that; run it again")?;
    }
    let output = match globals.format {
        Format::Text => text::render(&document, globals.quiet),
        Format::Json => serde_json::to_string_pretty(&document).context("cannot write JSON")? + "\n",
    };
    std::io::stdout().write_all(output.as_bytes())?;
    Ok(if is_sound || args.yes { ExitStatus::Ok } else { ExitStatus::Integrity })
}

fn explain(error: RepairError) -> anyhow::Error {
    match error {
        RepairError::InUse { .. } | RepairError::Disk(_) => error.into(),
        refused => UsageError::error(refused.to_string()),
    }
}
