//! The entries of a directory, classified by their names.

use super::report::{DefectKind, Findings};
use crate::error::{DiskError, DiskOp};
use crate::segment;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// An entry of a directory.
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) is_dir: bool,
    pub(super) is_file: bool,
    pub(super) bytes: u64,
}

/// Returns the entries of `dir`, by name.
pub(super) fn list(dir: &Path) -> Result<Vec<Entry>, DiskError> {
    let failed = |error| DiskError::new(DiskOp::List, dir, 0, error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Links are followed, as an open follows them. A link to nothing counts as neither file nor directory.
        let metadata = std::fs::metadata(entry.path()).or_else(|_| entry.metadata()).map_err(failed)?;
        let (is_dir, is_file) = (metadata.is_dir(), metadata.is_file());
        entries.push(Entry { name: entry.file_name(), is_dir, is_file, bytes: metadata.len() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Reports a file that does not belong here.
pub(super) fn report_foreign(path: &Path, findings: &mut Findings<'_>) {
    let message = "this file does not belong to vnotch: another program made it, or it was renamed. It is not read. If \
                   it lies in a partition's directory, deleting the topic deletes it too";
    findings.defect(DefectKind::ForeignFile, path, 0, message);
}

/// The files of a partition.
#[derive(Debug, Default)]
pub(super) struct PartitionFiles {
    segments: BTreeMap<i64, SegmentFiles>,
    /// Files that were prepared for future segments.
    pub(super) waiting: Vec<String>,
    /// Base offsets of entries that have the name of a segment and are no files: directories, or links to nothing.
    pub(super) no_files: Vec<i64>,
}

#[derive(Debug, Default)]
struct SegmentFiles {
    log_bytes: Option<u64>,
    has_index: bool,
    has_time_index: bool,
}

impl PartitionFiles {
    /// Reads the names in `dir`. Reports foreign ones.
    pub(super) fn of(dir: &Path, findings: &mut Findings<'_>) -> Result<Self, DiskError> {
        let mut files = Self::default();
        for entry in list(dir)? {
            let known =
                entry.is_file && entry.name.to_str().is_some_and(|name| files.take(name, entry.bytes));
            if !known {
                let name = entry.name.to_str().filter(|_| !entry.is_file);
                files.no_files.extend(name.and_then(segment::base_offset_of));
                report_foreign(&dir.join(&entry.name), findings);
            }
        }
        Ok(files)
    }

    /// Stores a file of a known name. Returns whether the name is known.
    fn take(&mut self, name: &str, bytes: u64) -> bool {
        if let Some(base_offset) = segment::base_offset_of(name) {
            self.segments.entry(base_offset).or_default().log_bytes = Some(bytes);
        } else if let Some(base_offset) = base_offset(name, ".index") {
            self.segments.entry(base_offset).or_default().has_index = true;
        } else if let Some(base_offset) = base_offset(name, ".timeindex") {
            self.segments.entry(base_offset).or_default().has_time_index = true;
        } else if [segment::PREPARING, segment::FILLING].contains(&name) {
            self.waiting.push(name.to_owned());
        } else {
            return ["checkpoint", segment::SPARE].contains(&name);
        }
        true
    }

    /// Returns the base offsets of all segments, in order.
    pub(super) fn segments(&self) -> impl Iterator<Item = i64> {
        let with_log = self.segments.iter().filter(|(_, files)| files.log_bytes.is_some());
        with_log.map(|(base_offset, _)| *base_offset)
    }

    pub(super) fn first_segment(&self) -> Option<i64> {
        self.segments().next()
    }

    /// Returns the first segment without both indexes, which was not sealed.
    pub(super) fn first_without_index(&self) -> Option<i64> {
        self.segments().find(|base_offset| {
            self.segments.get(base_offset).is_some_and(|files| !files.has_index || !files.has_time_index)
        })
    }

    /// Whether a segment has both indexes.
    pub(super) fn is_indexed(&self, base_offset: i64) -> bool {
        let files = self.segments.get(&base_offset);
        files.is_some_and(|files| files.has_index && files.has_time_index)
    }

    pub(super) fn log_bytes(&self, base_offset: i64) -> u64 {
        self.segments.get(&base_offset).and_then(|files| files.log_bytes).unwrap_or(0)
    }

    /// Returns the bytes of all segments.
    pub(super) fn total_bytes(&self) -> u64 {
        self.segments.values().filter_map(|files| files.log_bytes).sum()
    }

    /// Returns the indexes that have no segment.
    pub(super) fn orphans(&self, dir: &Path) -> Vec<PathBuf> {
        let without_log = self.segments.iter().filter(|(_, files)| files.log_bytes.is_none());
        let paths = without_log.flat_map(|(base_offset, files)| {
            let index = files.has_index.then(|| segment::index_path(dir, *base_offset));
            index.into_iter().chain(files.has_time_index.then(|| segment::time_index_path(dir, *base_offset)))
        });
        paths.collect()
    }
}

fn base_offset(name: &str, suffix: &str) -> Option<i64> {
    segment::base_offset_of(&format!("{}.log", name.strip_suffix(suffix)?))
}
