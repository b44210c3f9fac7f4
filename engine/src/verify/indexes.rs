//! Checks the two index files of a sealed segment against the segment's batches while these are read.

use super::report::{DefectKind, Findings, NoteKind};
use crate::buffer::CHUNK_BYTES_MAX;
use crate::error::{DiskError, DiskOp};
use crate::index::{
    IndexError, OFFSET_ENTRY_BYTES, OffsetEntry, OffsetIndex, TIME_ENTRY_BYTES, TimeEntry, TimeIndex,
};
use crate::record::{BATCH_HEADER_BYTES, BatchHeader};
use crate::segment;
use std::path::{Path, PathBuf};

/// The two indexes of a segment, and the progress of their check.
pub(super) struct IndexCheck {
    base_offset: i64,
    offsets: Entries<OffsetEntry>,
    times: Entries<TimeEntry>,
    interval: Interval,
    /// Largest timestamp of the batches that were read, ms since the Unix epoch; -1 before the first.
    largest_ms: i64,
    /// Whether every batch could be read. The timestamps of a damaged batch are unknown, so times are not checked after
    /// one.
    is_whole: bool,
}

/// The entries of one index file, and the progress of their check.
struct Entries<T> {
    path: PathBuf,
    entry_bytes: u64,
    /// The entries; `None` if the file is missing or does not decode, which has been reported.
    entries: Option<Vec<T>>,
    /// Index of the first entry that was not checked yet.
    next: usize,
    /// Wrong entries that follow each other, and that are not reported yet. They are one defect.
    wrong: Option<WrongEntries>,
}

/// Wrong entries that follow each other.
struct WrongEntries {
    /// Index of the first one.
    first: usize,
    /// Number of entries.
    count: usize,
    /// The defect of the first one, in words, up to the words about the others.
    message: String,
    /// The harm, in words.
    harm: &'static str,
}

/// The distances between index entries in a segment. Each batch that begins more than `index_interval_bytes` behind the
/// last batch with an entry gets an entry.
struct Interval {
    /// The topic's `index_interval_bytes`; `None` if the catalog cannot be read.
    configured_bytes: Option<u32>,
    /// Bytes of batches since the beginning of the last batch with an entry.
    since_entry_bytes: u64,
    /// The largest distance at which a batch has no entry.
    longest_without: u64,
    /// The smallest distance at which a batch has one.
    shortest_with: u64,
    /// Whether some batch has no entry although the configured interval requires one.
    is_sparse: bool,
}

impl IndexCheck {
    /// Reads both files. Reports those that are missing or do not decode.
    pub(super) fn open(
        dir: &Path,
        base_offset: i64,
        segment_bytes: u64,
        interval_bytes: Option<u32>,
        findings: &mut Findings<'_>,
    ) -> Result<Self, DiskError> {
        let most = segment_bytes / BATCH_HEADER_BYTES as u64 + 1;
        let path = segment::index_path(dir, base_offset);
        let bytes = read(&path, most * OFFSET_ENTRY_BYTES as u64, findings)?;
        let index = bytes.map(|bytes| OffsetIndex::decode(base_offset, &bytes));
        let entries = decoded_or_defect(index, &path, OFFSET_ENTRY_BYTES, findings)
            .map(|index| index.entries().to_vec());
        let offsets = Entries { path, entry_bytes: OFFSET_ENTRY_BYTES as u64, entries, next: 0, wrong: None };
        let time_path = segment::time_index_path(dir, base_offset);
        let time_bytes = read(&time_path, most * TIME_ENTRY_BYTES as u64, findings)?;
        let time_index = time_bytes.map(|bytes| TimeIndex::decode(base_offset, &bytes));
        let entries = decoded_or_defect(time_index, &time_path, TIME_ENTRY_BYTES, findings)
            .map(|index| index.entries().to_vec());
        let times =
            Entries { path: time_path, entry_bytes: TIME_ENTRY_BYTES as u64, entries, next: 0, wrong: None };
        let interval = Interval {
            configured_bytes: interval_bytes,
            since_entry_bytes: 0,
            longest_without: 0,
            shortest_with: u64::MAX,
            is_sparse: false,
        };
        Ok(Self { base_offset, offsets, times, interval, largest_ms: -1, is_whole: true })
    }

    /// Checks the entries up to the next batch of the segment, which begins at `position`.
    pub(super) fn check_batch(&mut self, header: &BatchHeader, position: u64, findings: &mut Findings<'_>) {
        let relative = u64::try_from(header.last_offset() - self.base_offset).unwrap_or(u64::MAX);
        let mut has_entry = false;
        while let Some(entry) = self.offsets.peek().filter(|entry| u64::from(entry.position) <= position) {
            has_entry = u64::from(entry.position) == position;
            if !has_entry || u64::from(entry.relative_offset) != relative {
                self.add_wrong_offset(&entry, 1, findings);
            }
            self.offsets.next += 1;
        }
        self.interval.add_batch(has_entry, header.total_bytes() as u64);
        let is_largest = header.max_timestamp_ms > self.largest_ms;
        self.largest_ms = self.largest_ms.max(header.max_timestamp_ms);
        while let Some(entry) =
            self.times.peek().filter(|entry| self.is_whole && u64::from(entry.relative_offset) <= relative)
        {
            let is_right = is_largest
                && u64::from(entry.relative_offset) == relative
                && entry.timestamp_ms == header.max_timestamp_ms;
            if !is_right {
                self.add_wrong_time(&entry, 1, findings);
            }
            self.times.next += 1;
        }
    }

    /// Skips the entries in damaged bytes `from..to`, as no batch is known there. Reports entries before `from` that
    /// were not checked: no batch begins where they point.
    pub(super) fn skip_damaged(&mut self, from: u64, to: u64, findings: &mut Findings<'_>) {
        self.is_whole = false;
        while let Some(entry) = self.offsets.peek().filter(|entry| u64::from(entry.position) < to) {
            if u64::from(entry.position) < from {
                self.add_wrong_offset(&entry, 1, findings);
            }
            self.offsets.next += 1;
        }
    }

    /// Checks the rest of the entries at the end of the segment, and the distances between them.
    pub(super) fn finish(mut self, findings: &mut Findings<'_>) {
        // Entries behind the end of a truncated segment are wrong.
        if let Some(entry) = self.offsets.peek() {
            self.add_wrong_offset(&entry, self.offsets.left(), findings);
        }
        self.offsets.report_wrong(findings);
        if let Some(entry) = self.times.peek().filter(|_| self.is_whole) {
            self.add_wrong_time(&entry, self.times.left(), findings);
        }
        self.times.report_wrong(findings);
        if !self.is_whole {
            return;
        }
        self.check_interval(findings);
        let Some(times) = &self.times.entries else { return };
        let last_ms = times.last().map_or(-1, |last| last.timestamp_ms);
        if last_ms < self.largest_ms {
            let end = times.len() as u64 * self.times.entry_bytes;
            let message = format!(
                "the last entry has the time {last_ms}, the segment's largest timestamp is {}: entries are missing, \
                 and retention by age would go by the wrong time; the index can be rebuilt from its segment",
                self.largest_ms
            );
            findings.defect(DefectKind::Index, &self.times.path, end, message);
        }
    }

    fn check_interval(&self, findings: &mut Findings<'_>) {
        let Some(entries) = &self.offsets.entries else { return };
        let Interval { longest_without, shortest_with, is_sparse, .. } = self.interval;
        let end = entries.len() as u64 * self.offsets.entry_bytes;
        let path = &self.offsets.path;
        if longest_without >= shortest_with || longest_without > CHUNK_BYTES_MAX as u64 {
            let message = format!(
                "a batch {longest_without} bytes behind the last entry has none, and one {shortest_with} bytes \
                 behind has: entries are missing, and reads begin too early; the index can be rebuilt from its segment"
            );
            findings.defect(DefectKind::Index, path, end, message);
        } else if is_sparse {
            let message = "fewer entries than the topic's index_interval_bytes makes, as after it was changed; reads \
                           begin a little earlier than they need to";
            findings.note(NoteKind::SparseIndex, path, end, message);
        }
    }

    /// Adds `count` entries that no batch has, from `entry` on.
    fn add_wrong_offset(&mut self, entry: &OffsetEntry, count: usize, findings: &mut Findings<'_>) {
        let offset = self.base_offset + i64::from(entry.relative_offset);
        let message = format!(
            "says that the batch that ends with offset {offset} begins at byte {} of the segment, and none does",
            entry.position
        );
        self.offsets.add_wrong(count, message, "reads would begin in the wrong place", findings);
    }

    /// Adds `count` entries with a wrong time, from `entry` on.
    fn add_wrong_time(&mut self, entry: &TimeEntry, count: usize, findings: &mut Findings<'_>) {
        let offset = self.base_offset + i64::from(entry.relative_offset);
        let message = format!(
            "says that the largest timestamp up to the batch that ends with offset {offset} is {}, first seen there, and \
             it is not",
            entry.timestamp_ms
        );
        self.times.add_wrong(count, message, "searches by time would begin in the wrong place", findings);
    }
}

impl<T: Copy> Entries<T> {
    fn peek(&self) -> Option<T> {
        self.entries.as_ref()?.get(self.next).copied()
    }

    /// Number of entries that were not checked yet.
    fn left(&self) -> usize {
        self.entries.as_ref().map_or(0, |entries| entries.len().saturating_sub(self.next))
    }

    /// Adds `count` wrong entries from the next one on. They join those before them.
    fn add_wrong(&mut self, count: usize, message: String, harm: &'static str, findings: &mut Findings<'_>) {
        if let Some(wrong) = self.wrong.as_mut().filter(|wrong| wrong.first + wrong.count == self.next) {
            wrong.count += count;
            return;
        }
        self.report_wrong(findings);
        self.wrong = Some(WrongEntries { first: self.next, count, message, harm });
    }

    /// Reports the wrong entries that were added last, as one defect.
    fn report_wrong(&mut self, findings: &mut Findings<'_>) {
        let Some(WrongEntries { first, count, message, harm }) = self.wrong.take() else { return };
        let message = format!(
            "entry {first} {message}{}: {harm}; the index can be rebuilt from its segment",
            and_alike(count - 1)
        );
        findings.defect(DefectKind::Index, &self.path, first as u64 * self.entry_bytes, message);
    }
}

impl Interval {
    /// Counts a batch of `batch_bytes`, which has an index entry or not.
    fn add_batch(&mut self, has_entry: bool, batch_bytes: u64) {
        let since = self.since_entry_bytes;
        if has_entry {
            self.shortest_with = self.shortest_with.min(since);
            self.since_entry_bytes = 0;
        } else {
            self.longest_without = self.longest_without.max(since);
            self.is_sparse |= self.configured_bytes.is_some_and(|interval| since > u64::from(interval));
        }
        self.since_entry_bytes += batch_bytes;
    }
}

/// Returns words about the entries after a wrong one that are wrong for the same reason; empty if there are none.
fn and_alike(alike: usize) -> String {
    match alike {
        0 => String::new(),
        1 => ", and the entry after it is wrong in the same way".to_owned(),
        more => format!(", and the {more} entries after it are wrong in the same way"),
    }
}

/// Returns the bytes of an index file. Returns `None`, after reporting a defect, if it is missing or too large.
fn read(path: &Path, bytes_max: u64, findings: &mut Findings<'_>) -> Result<Option<Vec<u8>>, DiskError> {
    let failed = |error| DiskError::new(DiskOp::Read, path, 0, error);
    let bytes = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = "a sealed segment has no such index; it can be rebuilt from its segment";
            findings.defect(DefectKind::IndexMissing, path, 0, message);
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    if bytes > bytes_max {
        let message =
            format!("{bytes} bytes are more entries than the segment can have batches; rebuild the index");
        findings.defect(DefectKind::Index, path, bytes_max, message);
        return Ok(None);
    }
    std::fs::read(path).map(Some).map_err(failed)
}

/// Returns the decoded index. Returns `None`, after reporting a defect, if it does not decode.
fn decoded_or_defect<T>(
    decoded: Option<Result<T, IndexError>>,
    path: &Path,
    entry_bytes: usize,
    findings: &mut Findings<'_>,
) -> Option<T> {
    let error = match decoded? {
        Ok(index) => return Some(index),
        Err(error) => error,
    };
    let position = match error {
        IndexError::PartialEntry { file_bytes, entry_bytes } => file_bytes - file_bytes % entry_bytes,
        IndexError::NotIncreasing { entry } | IndexError::OutOfRange { entry } => entry * entry_bytes,
    };
    findings.defect(DefectKind::Index, path, position as u64, error.to_string());
    None
}
