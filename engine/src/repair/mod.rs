//! Repair of a data directory that an open finds damaged, in two parts: a plan, which changes nothing, and [`apply`].
//!
//! A damaged partition is cut where its records can no longer be read. Files and parts of files that the cut removes
//! are moved, and never deleted:
//!
//! ```text
//! <data_dir>/removed-by-repair/<n>/catalog.json                              a damaged catalog
//!                                  damaged.json, recovery-<shard>.a, .b      files that showed the damage
//!                                  <topic>-<partition>/<base>.log, .index …  whole segments
//!                                  <topic>-<partition>/<base>.log.from-<p>   the rest of a segment that was cut at byte p
//! ```
//!
//! A plan is a list of steps. Each is durable before the next begins, and bytes are copied before they are cut off. A
//! partition's last step, except for moving indexes, writes its checkpoint. Before that, the same damage is found
//! again. So a repair that ends at any step can be repeated, with a new `<n>`.
//!
//! The order is: partitions that are cut; recovery points and `damaged.json`, which show their damage; directories that
//! are made; the catalog.

mod apply;
mod catalog;
mod partition;

pub use apply::{Step, apply};

use crate::catalog::{
    CATALOG_FILE, DAMAGED_FILE, LockKind, META_FILE, Meta, REMOVED_DIR, Snapshot, is_points_file, lock,
};
use crate::disk::read_whole_file;
use crate::error::{DiskError, DiskOp, OpenError};
use crate::verify::{self, DamagedFrom, Recorded, VerifyError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The steps that repair a data directory. No engine can open the directory while this value exists.
#[derive(Debug)]
pub struct Plan {
    /// The repair of the catalog, if it has to be made again.
    pub catalog: Option<CatalogRepair>,
    /// The repair of the record of damaged partitions, if it cannot be read and is therefore moved away.
    pub damage_records: Option<DamageRecordsRepair>,
    /// The repairs of partitions, by topic and number.
    pub partitions: Vec<PartitionRepair>,
    /// The directory to which files are moved. It is made if there are any.
    pub removed_dir: PathBuf,
    steps: Vec<Step>,
    _lock: File,
}

impl Plan {
    /// Whether there is nothing to repair.
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps, in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// A catalog that is made again from the directories of the partitions. Its topics get the default configuration, unless the catalog on
/// disk is only older than a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogRepair {
    /// File of the segment that is cut.
    pub path: PathBuf,
    /// The reason why the catalog on disk cannot be read; `None` if there is none.
    pub damage: Option<String>,
    /// Number of partitions of each topic.
    pub topics: BTreeMap<String, u32>,
    /// The incarnation in the new catalog: the largest leader epoch that was found.
    pub incarnation: i32,
    /// The catalog on disk, if it is whole and older than a partition. Its topics keep their configuration; the new catalog has a
    /// higher incarnation, and no deletion that had begun.
    #[serde(rename = "is_older_copy", serialize_with = "is_some")]
    pub older: Option<OlderCatalog>,
}

/// A whole catalog that is older than a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderCatalog(Snapshot);

fn is_some<S: serde::Serializer>(older: &Option<OlderCatalog>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(older.is_some())
}

/// A record of damaged partitions that cannot be read and is moved away. Every partition is then judged as if the
/// record named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamageRecordsRepair {
    /// Path of the record.
    pub path: PathBuf,
    /// The reason why it cannot be read.
    pub damage: String,
}

/// The repair of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionRepair {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: u32,
    /// The file or directory that is damaged or missing.
    pub path: PathBuf,
    /// The first place at which records cannot be read; `None` if the whole directory is missing.
    pub damage: Option<DamagedFrom>,
    /// The changes, in their order.
    pub changes: Vec<Change>,
    /// The files that are moved away; `None` if there are none.
    pub removed: Option<Removed>,
}

/// A change of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// An empty directory is made.
    DirectoryMade,
    /// The log begins at a later offset, because its first segments are missing or cannot be read.
    StartRaised {
        /// The first offset of the log before the repair.
        from: i64,
        /// The first offset of the log after the repair.
        to: i64,
    },
    /// The log ends at an earlier offset. New records continue there.
    Cut {
        /// File of the segment that is cut.
        path: PathBuf,
        /// Byte of the file at which it is cut.
        position: u64,
        /// The first offset that the log no longer holds.
        offset: i64,
    },
    /// A new checkpoint replaces one that an open refuses.
    CheckpointWritten,
    /// A directory, or a link to nothing, that has the name of a segment is moved away.
    NoFileMoved {
        /// The path before the move.
        path: PathBuf,
    },
}

/// Files and parts of files that are moved away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The directory to which they are moved.
    pub to: PathBuf,
    /// Number of whole segments.
    pub segments: usize,
    /// Bytes of segments and parts of segments.
    pub bytes: u64,
    /// Number of records that can still be read there.
    pub records: u64,
    /// The offset of the first such record, and the offset after the last one.
    pub offsets: Option<(i64, i64)>,
}

/// The reason why a directory was not repaired.
#[derive(Debug, Error)]
pub enum RepairError {
    /// The directory holds no vnotch data.
    #[error("{} is not a vnotch data directory: it has neither meta.properties nor catalog.json", path.display())]
    NotADataDirectory {
        /// The path.
        path: PathBuf,
    },
    /// A newer version wrote the directory.
    #[error("{} has format version {found}, this version reads up to {supported}; use a newer vnotch", path.display())]
    NewerFormat {
        /// The path.
        path: PathBuf,
        /// The directory's format version.
        found: u32,
        /// The newest format version that this version reads.
        supported: u32,
    },
    /// A process has the directory open.
    #[error("{} is in use by another process; stop it, then repair", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// `meta.properties` is missing or damaged, and no other file has its contents.
    #[error(
        "{}: {reason}; write it by hand, as three lines: `version=2`, `id=` and 32 hexadecimal digits of your choice, \
         `shards=` and the number of shards of the engine; then repair again; nothing was changed",
        path.display()
    )]
    Meta {
        /// Path of the file.
        path: PathBuf,
        /// The fault of the file.
        reason: String,
    },
    /// The catalog is whole, but holds settings that this version does not accept.
    #[error("{}: {reason}; nothing was changed", path.display())]
    Catalog {
        /// Path of the catalog.
        path: PathBuf,
        /// The part that is not accepted, and what to do.
        reason: String,
    },
    /// A damaged partition is on another file system than the data directory, so its files cannot be moved there.
    #[error(
        "{} is on another file system than its data directory, and damaged: move it into the data directory, then repair \
         again; nothing was changed",
        path.display()
    )]
    OtherFileSystem {
        /// Path of the partition.
        path: PathBuf,
    },
    /// A disk operation failed. The files that were moved away still exist, and the repair can be repeated.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl From<VerifyError> for RepairError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::NotADataDirectory { path } => Self::NotADataDirectory { path },
            VerifyError::NewerFormat { path, found, supported } => {
                Self::NewerFormat { path, found, supported }
            }
            VerifyError::InUse { path } => Self::InUse { path },
            VerifyError::Disk(error) => Self::Disk(error),
        }
    }
}

/// Reads `data_dir`, which no engine may have open, and returns the steps that repair it. Changes nothing.
///
/// # Errors
/// [`RepairError`]: the directory is no vnotch directory, is in use, has a newer format, or cannot be repaired; or
/// reading failed.
pub fn plan(data_dir: &Path) -> Result<Plan, RepairError> {
    let meta = read(&data_dir.join(META_FILE))?;
    let catalog_path = data_dir.join(CATALOG_FILE);
    if meta.is_none() && read(&catalog_path)?.is_none() {
        return Err(RepairError::NotADataDirectory { path: data_dir.to_path_buf() });
    }
    let lock = lock(data_dir, LockKind::Exclusive).map_err(|error| match error {
        OpenError::InUse { path } => RepairError::InUse { path },
        OpenError::Disk(error) => RepairError::Disk(error),
        other => RepairError::Catalog { path: data_dir.to_path_buf(), reason: other.to_string() },
    })?;
    check_meta(data_dir, meta.as_deref())?;
    let stored = catalog::read(&catalog_path)?;
    let found = verify::walk(data_dir, stored.snapshot())?;
    let removed_dir = free_removed_dir(data_dir)?;
    let mut planned = Steps { data_dir, removed_dir: &removed_dir, steps: Vec::new() };
    let mut partitions = Vec::new();
    for walked in &found.partitions {
        if stored.snapshot().is_none() || walked.is_named {
            partitions.extend(partition::plan(walked, &mut planned)?);
        }
    }
    let rebuilt = stored.rebuild(&catalog_path, &found.partitions, found.newer_epoch);
    let mut missing = found.missing;
    missing.extend(catalog::missing(data_dir, rebuilt.as_ref(), &found.partitions));
    let damage_records = match found.recorded {
        Recorded::Unreadable { reason } => {
            Some(DamageRecordsRepair { path: data_dir.join(DAMAGED_FILE), damage: reason })
        }
        Recorded::Known(_) => None,
    };
    let has_steps = !planned.steps.is_empty() || !missing.is_empty();
    if has_steps || rebuilt.is_some() || damage_records.is_some() {
        remove_evidence(data_dir, &mut planned)?;
    }
    for (dir, topic, number) in missing {
        partitions.push(partition::make(&dir, topic, number, &mut planned));
    }
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    if let Some(repair) = &rebuilt {
        catalog::write(repair, &mut planned);
    }
    let steps = planned.steps;
    Ok(Plan { catalog: rebuilt, damage_records, partitions, removed_dir, steps, _lock: lock })
}

/// Moves away the recovery points and the record of damaged partitions: they say that records were durable which the
/// repair removes.
///
/// The partitions that are cut come before, as these files may be all that shows their damage. Partitions and a catalog
/// that are made new come after: these files would say that records of theirs were durable, although they never had
/// any.
fn remove_evidence(data_dir: &Path, steps: &mut Steps<'_>) -> Result<(), DiskError> {
    let failed = |error| DiskError::new(DiskOp::List, data_dir, 0, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(data_dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    let is_evidence = |name: &str| name == DAMAGED_FILE || is_points_file(name);
    names.retain(|name| name.to_str().is_some_and(is_evidence));
    names.sort();
    let removed_dir = steps.removed_dir;
    if !names.is_empty() {
        steps.make_removed_dir(removed_dir);
    }
    names.iter().for_each(|name| steps.move_into(data_dir.join(name), removed_dir));
    Ok(())
}

fn check_meta(data_dir: &Path, bytes: Option<&[u8]>) -> Result<(), RepairError> {
    let path = data_dir.join(META_FILE);
    let Some(bytes) = bytes else { return Err(RepairError::Meta { path, reason: "it is missing".into() }) };
    match Meta::decode(data_dir, bytes) {
        Ok(_) => Ok(()),
        Err(OpenError::NewerFormat { path, found, supported }) => {
            Err(RepairError::NewerFormat { path, found, supported })
        }
        Err(OpenError::Corrupt(corruption)) => {
            Err(RepairError::Meta { path, reason: corruption.kind.to_string() })
        }
        Err(error) => Err(RepairError::Meta { path, reason: error.to_string() }),
    }
}

/// Returns the first numbered directory for moved files that does not exist yet.
fn free_removed_dir(data_dir: &Path) -> Result<PathBuf, DiskError> {
    let parent = data_dir.join(REMOVED_DIR);
    for number in 1u64.. {
        let dir = parent.join(number.to_string());
        match std::fs::symlink_metadata(&dir) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(dir),
            Err(error) => return Err(DiskError::new(DiskOp::Open, &dir, 0, error)),
        }
    }
    Ok(parent)
}

/// Returns the contents of a small file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match read_whole_file(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The steps of a plan while it is being made.
struct Steps<'a> {
    data_dir: &'a Path,
    removed_dir: &'a Path,
    steps: Vec<Step>,
}

impl Steps<'_> {
    fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Adds a step that moves `from` into `to`, a directory below `removed_dir`.
    fn move_into(&mut self, from: PathBuf, to: &Path) {
        let Some(name) = from.file_name() else { return };
        let to = to.join(name);
        self.push(Step::Move { from, to });
    }

    /// Adds steps that make `dir`, and the directories between it and the data directory, unless the plan has them.
    fn make_removed_dir(&mut self, dir: &Path) {
        let below = dir.ancestors().take_while(|dir| *dir != self.data_dir);
        let mut wanted: Vec<PathBuf> = below.map(Path::to_path_buf).collect();
        wanted.reverse();
        for path in wanted {
            let step = Step::MakeDirectory { path };
            if !self.steps.contains(&step) {
                self.push(step);
            }
        }
    }
}
