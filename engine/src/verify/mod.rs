//! Reads a whole data directory and reports what is damaged. Changes nothing and needs no ring: it reads plain files
//! through the page cache. Its memory is a few MiB however large the files are, plus one index, which is read whole.
//!
//! Faults that recovery repairs at the next open are notes: a torn tail, reserved space, an interrupted deletion.
//! Faults that recovery cannot repair, or would not notice, are defects. docs/format.md says what has to hold.

mod holes;
mod indexes;
mod names;
mod partition;
mod recorded;
mod report;
mod segment;
mod unsealed;
mod window;

pub(crate) use partition::Walked;
pub(crate) use recorded::Recorded;
pub use report::{
    DamagedFrom, Defect, DefectKind, Note, NoteKind, PartitionReport, Progress, Report, VerifyError,
};
pub(crate) use window::Window;

use crate::catalog::{
    self, CATALOG_FILE, DAMAGED_FILE, LOCK_FILE, LockKind, META_FILE, Meta, Points, REMOVED_DIR,
    RecoveryPoints, Snapshot, TEMPORARY_SUFFIX, Topic, partition_dir, partition_of,
};
use crate::clock::boot_id;
use crate::error::{DiskError, DiskOp, OpenError};
use names::{Entry, PartitionFiles};
use partition::PartitionContext;
use report::Findings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest leader epoch that is accepted if the catalog cannot be read. No directory is opened that often.
const EPOCH_UNKNOWN_MAX: i32 = 1 << 30;

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
    let entries = names::list(data_dir)?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name && entry.is_file);
    if !has(META_FILE) && !has(CATALOG_FILE) {
        return Err(VerifyError::NotADataDirectory { path: data_dir.to_path_buf() });
    }
    let _lock = match catalog::lock(data_dir, LockKind::Shared) {
        Ok(lock) => Some(lock),
        Err(OpenError::InUse { path }) => return Err(VerifyError::InUse { path }),
        // A copy of a directory may have no lock file.
        Err(OpenError::Disk(error)) if error.is_not_found() => None,
        Err(OpenError::Disk(error)) => return Err(error.into()),
        Err(_) => None,
    };
    let findings = &mut Findings::new(progress);
    let meta = read_meta(data_dir, findings)?;
    let snapshot = read_catalog(data_dir, findings)?;
    let walked = walk_partitions(data_dir, snapshot.as_ref(), findings)?.partitions;
    Ok(Report {
        data_dir: data_dir.to_path_buf(),
        id: meta.map(|meta| meta.id),
        partitions: walked.into_iter().map(|walked| walked.report).collect(),
        defects: std::mem::take(&mut findings.defects),
        notes: std::mem::take(&mut findings.notes),
    })
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

/// Reads the recovery points of all shards. A torn file has none.
fn read_points(data_dir: &Path, entries: &[Entry]) -> Result<RecoveryPoints, DiskError> {
    let mut all = RecoveryPoints::default();
    let names = entries.iter().filter_map(|entry| entry.name.to_str());
    for name in names.filter(|name| catalog::is_points_file(name)) {
        let bytes = read(&data_dir.join(name))?.unwrap_or_default();
        Points::decode(&bytes).iter().for_each(|points| all.add(points));
    }
    Ok(all)
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
}

/// Reads every partition of a data directory that the caller has locked. `snapshot` is the catalog, if it can be read.
///
/// # Errors
/// Reading failed.
pub(crate) fn walk(data_dir: &Path, snapshot: Option<&Snapshot>) -> Result<Partitions, VerifyError> {
    walk_partitions(data_dir, snapshot, &mut Findings::new(&mut |_| {}))
}

/// Reads every partition of the catalog. If the catalog cannot be read, reads every directory that looks like a
/// partition.
fn walk_partitions(
    data_dir: &Path,
    snapshot: Option<&Snapshot>,
    findings: &mut Findings<'_>,
) -> Result<Partitions, VerifyError> {
    let entries = names::list(data_dir)?;
    let mut entries_by_dir: BTreeMap<PathBuf, PartitionEntry<'_>> = BTreeMap::new();
    for (topic, stored) in snapshot.iter().flat_map(|snapshot| &snapshot.topics) {
        for partition in 0..stored.partitions {
            let partition_entry = PartitionEntry { topic, partition, stored: Some(stored) };
            entries_by_dir.insert(partition_dir(data_dir, topic, partition), partition_entry);
        }
    }
    let mut found = Vec::new();
    for entry in &entries {
        let path = data_dir.join(&entry.name);
        let partition_entry = if entry.is_dir { entries_by_dir.remove(&path) } else { None };
        if let Some(partition_entry) = partition_entry.or_else(|| classify(entry, &path, snapshot, findings))
        {
            found.push((PartitionFiles::of(&path, findings)?, path, partition_entry));
        }
    }
    for (path, partition_entry) in &entries_by_dir {
        let message = format!(
            "the catalog names partition {} of topic {}: its directory and all its records are gone",
            partition_entry.partition, partition_entry.topic
        );
        findings.defect(DefectKind::PartitionMissing, path, 0, message);
    }
    let without_directory = entries_by_dir
        .into_iter()
        .map(|(dir, partition_entry)| (dir, partition_entry.topic.to_owned(), partition_entry.partition));
    let missing = without_directory.collect();
    findings.total_bytes = found.iter().map(|(files, ..)| files.total_bytes()).sum();
    found.sort_by(|(.., a), (.., b)| (a.topic, a.partition).cmp(&(b.topic, b.partition)));
    let epoch_max = snapshot.map_or(EPOCH_UNKNOWN_MAX, |snapshot| snapshot.incarnation);
    let boot_id = boot_id();
    let points = read_points(data_dir, &entries)?;
    let recorded = Recorded::of(data_dir, findings)?;
    let mut partitions = Vec::new();
    for (files, dir, partition_entry) in &found {
        let PartitionEntry { topic, partition, stored } = *partition_entry;
        let config = stored.map(|stored| &stored.config);
        let synced_after = stored.map_or(0, |stored| stored.synced_after);
        let recovery_point =
            stored.map_or(i64::MIN, |stored| points.durable_to(stored.id, partition, boot_id));
        let durable_to = recovery_point.max(recorded.durable_to(partition_entry));
        let was_damaged = recorded.was_damaged(partition_entry);
        let context = PartitionContext {
            topic,
            partition,
            dir,
            config,
            synced_after,
            epoch_max,
            durable_to,
            was_damaged,
            boot_id,
        };
        let walked = partition::walk(&context, files, findings)?;
        recorded.note_whole(data_dir, partition_entry, &walked, findings);
        partitions.push(walked);
    }
    Ok(Partitions { partitions, missing, recorded })
}

/// Classifies an entry of the data directory that is no partition of the catalog, and reports what is wrong with it.
/// Returns it as a partition if it looks like one, and the catalog cannot be read or does not have it.
fn classify<'a>(
    entry: &'a Entry,
    path: &Path,
    snapshot: Option<&Snapshot>,
    findings: &mut Findings<'_>,
) -> Option<PartitionEntry<'a>> {
    let name = entry.name.to_str().unwrap_or_default();
    let is_temporary = |file: &str| name.strip_suffix(TEMPORARY_SUFFIX) == Some(file);
    let is_named =
        [META_FILE, CATALOG_FILE, DAMAGED_FILE, LOCK_FILE].contains(&name) || catalog::is_points_file(name);
    let is_known = entry.is_file && is_named;
    if is_known || (entry.is_dir && name == "lost+found") {
        return None;
    }
    if entry.is_file && [META_FILE, CATALOG_FILE, DAMAGED_FILE].into_iter().any(is_temporary) {
        let message = "a file that was being replaced when the process ended; the next open writes it anew or removes it";
        findings.note(NoteKind::Leftover, path, 0, message);
        return None;
    }
    if entry.is_dir && name == REMOVED_DIR {
        let message = "moved away by `vnotch repair`; delete it once it is not needed";
        findings.note(NoteKind::Leftover, path, 0, message);
        return None;
    }
    let Some((topic, partition)) =
        partition_of(name).filter(|_| entry.is_dir && looks_like_a_partition(path))
    else {
        names::report_foreign(path, findings);
        return None;
    };
    let Some(snapshot) = snapshot else { return Some(PartitionEntry { topic, partition, stored: None }) };
    if snapshot.deleting.get(topic).is_some_and(|partitions| partition < *partitions) {
        let message = "its topic was being created or deleted; the next open removes it";
        findings.note(NoteKind::Leftover, path, 0, message);
        return None;
    }
    let message = "it looks like a partition, and the catalog names none such: no open reads it";
    findings.defect(DefectKind::PartitionUnknown, path, 0, message);
    Some(PartitionEntry { topic, partition, stored: None })
}

fn looks_like_a_partition(path: &Path) -> bool {
    let is_ours = |entry: &Entry| {
        let name = entry.name.to_str().unwrap_or_default();
        name == "checkpoint" || crate::segment::base_offset_of(name).is_some()
    };
    names::list(path).is_ok_and(|entries| entries.is_empty() || entries.iter().any(is_ours))
}

/// Returns the contents of a small file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DiskError::new(DiskOp::Read, path, 0, error)),
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
