//! What the logs of a shard share: the disk, the open files, the clock, memory, and bounds.

use super::files::{FileLimits, OpenFiles};
use crate::buffer::Arena;
use crate::clock::Clock;
use crate::disk::{Disk, PatientDisk};
use crate::types::IoMode;
use futures_util::lock::Mutex;
use std::cell::Cell;
use std::rc::Rc;

/// What all logs of a shard share.
pub struct LogContext<D: Disk, C: Clock> {
    /// Where files are.
    pub disk: PatientDisk<D>,
    /// Which of them are open.
    pub(super) files: Rc<OpenFiles<D::File>>,
    /// Where time comes from.
    pub clock: C,
    /// Memory for records.
    pub arena: Rc<Arena>,
    /// Bounds.
    pub limits: Rc<LogLimits>,
}

impl<D: Disk, C: Clock> LogContext<D, C> {
    /// What the logs on `disk` share, with no file open.
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

/// Bounds of every log of a shard; those that depend on the number of partitions are kept current by the shard.
#[derive(Debug)]
pub struct LogLimits {
    /// Direct or buffered files.
    pub io: IoMode,
    /// Largest write, bytes.
    pub write_bytes_max: usize,
    /// Most writes of one log in flight.
    pub write_depth: usize,
    /// Identifies this boot of the machine; another one may have lost what was not synced.
    pub boot_id: u64,
    /// Most bytes readers may pin, over all logs of the arena.
    pub fetch_pinned_bytes: usize,
    /// Bytes of written batches a log keeps in memory for readers.
    pub cache_bytes: Cell<usize>,
    /// Largest chunk a log takes.
    pub chunk_bytes_max: Cell<usize>,
    /// Bounds on descriptors.
    pub files: FileLimits,
    /// Held by the log that writes zeros into its spare: one chunk at a time, whatever the number of logs.
    pub filling: Mutex<()>,
}

impl LogLimits {
    /// Bytes beyond a hole that can have been written when the process died.
    pub(super) fn in_flight_bytes_max(&self) -> u64 {
        (self.write_bytes_max * (self.write_depth + 1) + crate::buffer::CHUNK_BYTES_MAX) as u64
    }
}
