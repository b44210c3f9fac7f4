//! Reads a whole data directory and reports what is damaged. Changes nothing and needs no ring: it reads plain files
//! through the page cache. Its memory is a few MiB however large the files are, plus one index, which is read whole.
//!
//! Faults that recovery repairs at the next open are notes: a torn tail, reserved space, an interrupted deletion.
//! Faults that recovery cannot repair, or would not notice, are defects. docs/format.md says what has to hold.

mod direct;
mod file;
mod found;
mod groups;
mod holes;
mod indexes;
mod names;
mod partition;
mod recorded;
mod report;
mod segment;
mod unsealed;
mod window;

pub use file::{BatchAt, BatchesEnd, SegmentFile};
pub use groups::{
    CommitReport, GroupMemberReport, GroupPartitionReport, GroupReport, GroupsReport, PartitionMark,
    PartitionOwner, groups,
};
pub(crate) use partition::Walked;
pub(crate) use recorded::Recorded;
pub use report::{
    DamagedFrom, Defect, DefectKind, Note, NoteKind, PartitionReport, Progress, Report, VerifyError,
};
pub(crate) use window::Window;

use crate::catalog::{self, CATALOG_FILE, LockKind, META_FILE, Meta, REMOVED_DIR, Snapshot, Topic};
use crate::disk::read_whole_file;
use crate::error::{DiskError, OpenError};
use crate::group::OFFSETS_TOPIC;
use found::Found;
use names::Entry;
use report::Findings;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A partition of the data directory, with its topic's entry in the catalog.
struct PartitionEntry<'a> {
    topic: &'a str,
    partition: u32,
    /// The topic as the catalog has it; `None` if the catalog cannot be read or has no such topic.
    stored: Option<&'a Topic>,
}

/// Verifies `data_dir`. No engine may have the directory open, and none can open it meanwhile. `progress` is called
/// about once a batch.
///
/// # Errors
/// [`VerifyError`]: it is no data directory, is in use, has a newer format, or reading failed.
pub fn verify(data_dir: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<Report, VerifyError> {
    let (entries, _lock) = begin(data_dir)?;
    let findings = &mut Findings::new(progress);
    let meta = read_meta(data_dir, findings)?;
    let snapshot = read_catalog(data_dir, findings)?;
    let found = Found::of(data_dir, snapshot.as_ref(), &entries, findings)?;
    let walked = found.walk_all(findings)?;
    check_groups(&found, &walked, findings)?;
    Ok(Report {
        data_dir: data_dir.to_path_buf(),
        id: meta.map(|meta| meta.id),
        partitions: walked.into_iter().map(|walked| walked.report).collect(),
        defects: std::mem::take(&mut findings.defects),
        notes: std::mem::take(&mut findings.notes),
    })
}

/// Lists a data directory, and locks it against engines. A copy of a directory may have no lock file.
fn begin(data_dir: &Path) -> Result<(Vec<Entry>, Option<File>), VerifyError> {
    let entries = names::list(data_dir)?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name && entry.is_file);
    if !has(META_FILE) && !has(CATALOG_FILE) {
        return Err(VerifyError::NotADataDirectory { path: data_dir.to_path_buf() });
    }
    let lock = match catalog::lock(data_dir, LockKind::Shared) {
        Ok(lock) => Some(lock),
        Err(OpenError::InUse { path }) => return Err(VerifyError::InUse { path }),
        Err(OpenError::Disk(error)) if !error.is_not_found() => return Err(error.into()),
        Err(_) => None,
    };
    // Listed again: an engine may have been closing before.
    Ok((names::list(data_dir)?, lock))
}

/// Decodes the records of the internal topic, and compares committed offsets with the logs that they point into.
fn check_groups(found: &Found<'_>, walked: &[Walked], findings: &mut Findings<'_>) -> Result<(), DiskError> {
    let read = || found.partitions.iter().zip(walked);
    let logs = groups::Logs::of(found, read());
    for (partition, walked) in read() {
        if partition.entry.topic == OFFSETS_TOPIC && found.is_served(partition) {
            let stored = groups::replay(walked, (found, partition), findings)?;
            groups::check_commits(&stored, &logs, findings);
        }
    }
    Ok(())
}

fn read_meta(data_dir: &Path, findings: &mut Findings<'_>) -> Result<Option<Meta>, VerifyError> {
    let path = data_dir.join(META_FILE);
    let Some(bytes) = read(&path)? else {
        let message =
            "it is missing: the directory cannot be opened without it, and its number of shards is not known";
        findings.defect(DefectKind::Meta, &path, 0, message);
        return Ok(None);
    };
    match Meta::decode(data_dir, &bytes) {
        Ok(meta) if meta.id.len() == 32 && meta.id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(Some(meta))
        }
        Ok(meta) => {
            let message = format!("the id {:?} is not 32 hexadecimal digits", meta.id);
            findings.defect(DefectKind::Meta, &path, 0, message);
            Ok(Some(meta))
        }
        Err(OpenError::NewerFormat { path, found, supported }) => {
            Err(VerifyError::NewerFormat { path, found, supported })
        }
        Err(error) => {
            findings.defect(DefectKind::Meta, &path, 0, describe(error));
            Ok(None)
        }
    }
}

/// Reads the catalog. Returns `None`, after reporting a defect, if it cannot be read. The first open of a directory
/// writes `meta.properties` before the catalog.
fn read_catalog(data_dir: &Path, findings: &mut Findings<'_>) -> Result<Option<Snapshot>, VerifyError> {
    let path = data_dir.join(CATALOG_FILE);
    let Some(bytes) = read(&path)? else {
        if has_directories(data_dir)? {
            let message = "it is missing, so the engine refuses to open this directory; this report takes the partitions \
                           from the names of directories. Restore catalog.json from a copy if there is one; `vnotch repair` \
                           writes a new one, in which every topic has the default settings";
            findings.defect(DefectKind::Catalog, &path, 0, message);
            return Ok(None);
        }
        let message = "no catalog and no partition: the first open was interrupted; the next one finishes it";
        findings.note(NoteKind::Leftover, data_dir, 0, message);
        return Ok(Some(Snapshot::default()));
    };
    let decoded = catalog::decode(&path, &bytes);
    match decoded.and_then(|snapshot| catalog::check_snapshot(&path, &snapshot).map(|()| snapshot)) {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(error) => {
            let message = format!(
                "{}: the directory cannot be opened; partitions are taken from the names of directories",
                describe(error)
            );
            findings.defect(DefectKind::Catalog, &path, 0, message);
            Ok(None)
        }
    }
}

fn has_directories(data_dir: &Path) -> Result<bool, DiskError> {
    let is_ours = |entry: &Entry| entry.is_dir && entry.name != "lost+found" && entry.name != REMOVED_DIR;
    Ok(names::list(data_dir)?.iter().any(is_ours))
}

/// The partitions of a data directory after they were read.
pub(crate) struct Partitions {
    pub(crate) partitions: Vec<Walked>,
    /// Partitions that are in the catalog but have no directory: the path that it would have, the topic, and the
    /// number.
    pub(crate) missing: Vec<(PathBuf, String, u32)>,
    /// The record of partitions that an open has found damaged.
    pub(crate) recorded: Recorded,
    /// The leader epoch that shows that the catalog is an older copy; `None` if nothing shows that.
    pub(crate) newer_epoch: Option<i32>,
}

/// Reads every partition of a data directory that the caller has locked. `snapshot` is the catalog, if it can be read.
///
/// # Errors
/// Reading failed.
pub(crate) fn walk(data_dir: &Path, snapshot: Option<&Snapshot>) -> Result<Partitions, VerifyError> {
    let mut ignored = |_: &Progress| {};
    let findings = &mut Findings::new(&mut ignored);
    let entries = names::list(data_dir)?;
    let found = Found::of(data_dir, snapshot, &entries, findings)?;
    let partitions = found.walk_all(findings)?;
    Ok(Partitions {
        partitions,
        missing: found.missing,
        recorded: found.recorded,
        newer_epoch: found.newer_epoch,
    })
}

/// Returns the contents of a small file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match read_whole_file(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Describes an error without its file, as a defect names the file itself.
fn describe(error: OpenError) -> String {
    match error {
        OpenError::Corrupt(corruption) => corruption.kind.to_string(),
        OpenError::Catalog { reason, .. } => reason,
        other => other.to_string(),
    }
}
