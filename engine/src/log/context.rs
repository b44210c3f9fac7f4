//! The parts that the logs of a shard share: the disk, the open files, the clock, memory, and limits.

use super::files::{FileLimits, OpenFiles};
use crate::buffer::Arena;
use crate::clock::Clock;
use crate::disk::{Disk, PatientDisk};
use crate::types::IoMode;
use futures_util::lock::Mutex;
use std::cell::Cell;
use std::rc::Rc;

/// The parts that all logs of a shard share.
pub struct LogContext<D: Disk, C: Clock> {
    /// The disk that holds the files.
    pub disk: PatientDisk<D>,
    /// The files that are open now.
    pub(super) files: Rc<OpenFiles<D::File>>,
    /// The source of the time.
    pub clock: C,
    /// The memory for records.
    pub arena: Rc<Arena>,
    /// The limits of each log.
    pub limits: Rc<LogLimits>,
}

impl<D: Disk, C: Clock> LogContext<D, C> {
    /// A context for the logs on `disk`, with no file open.
    pub fn new(disk: D, clock: C, arena: Rc<Arena>, limits: LogLimits) -> Self {
        let FileLimits { open_files_max, brief_max } = limits.files;
        let files = Rc::new(OpenFiles::new(open_files_max));
        let disk = PatientDisk::new(disk, Rc::clone(&files) as _, brief_max);
        Self { disk, files, clock, arena, limits: Rc::new(limits) }
    }
}

impl<D: Disk, C: Clock> Clone for LogContext<D, C> {
    fn clone(&self) -> Self {
        Self {
            disk: self.disk.clone(),
            files: Rc::clone(&self.files),
            clock: self.clock.clone(),
            arena: Rc::clone(&self.arena),
            limits: Rc::clone(&self.limits),
        }
    }
}

/// Limits of every log of a shard. The shard keeps those current that depend on the number of logs that use memory.
#[derive(Debug)]
pub struct LogLimits {
    /// Whether files are used with direct or buffered I/O.
    pub io: IoMode,
    /// Size of the largest write, bytes.
    pub write_bytes_max: usize,
    /// Largest number of writes of one log in flight.
    pub write_depth: usize,
    /// Identifies this boot of the machine. After another boot, bytes that were not synced may be lost.
    pub boot_id: u64,
    /// Bytes that readers may pin at most, over all logs of the arena.
    pub fetch_pinned_bytes: usize,
    /// Bytes of written batches that a log keeps in memory for readers.
    pub cache_bytes: Cell<usize>,
    /// Size of the largest chunk that a log takes, bytes.
    pub chunk_bytes_max: Cell<usize>,
    /// Limits on descriptors.
    pub files: FileLimits,
    /// Held by the log that writes zeros into its spare. So only one chunk is written at a time, for any number of
    /// logs.
    pub filling: Mutex<()>,
}

/// Smallest bound on a log's chunks, however many logs use memory, bytes.
const CHUNK_SHARE_MIN: usize = 16 << 10;
/// Largest bound on a log's chunks, bytes.
const CHUNK_SHARE_MAX: usize = 1 << 20;

impl LogLimits {
    /// Returns the share that each of `logs` has of an arena: what it keeps in memory for readers, and the size of its largest
    /// chunk, both in bytes.
    pub fn shares(arena_bytes: usize, logs: usize) -> (usize, usize) {
        let chunk_bytes = (arena_bytes / 8 / logs).clamp(CHUNK_SHARE_MIN, CHUNK_SHARE_MAX);
        (arena_bytes / 2 / logs, chunk_bytes)
    }

    /// Bytes behind a gap that can have been written when the process died.
    pub(super) fn in_flight_bytes_max(&self) -> u64 {
        (self.write_bytes_max * (self.write_depth + 1) + crate::buffer::CHUNK_BYTES_MAX) as u64
    }
}
