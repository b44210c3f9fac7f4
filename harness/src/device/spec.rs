//! The settings of one slice of the ceiling, and its figures. Plain values that go into results unchanged.

use super::DeviceError;
use crate::host::procfs::DiskCounters;
use crate::host::storage::device_bytes;
use crate::num;
use crate::workload::Io;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Alignment of direct I/O: buffers, positions and lengths are multiples of this many bytes.
pub const BLOCK_ALIGN_BYTES: u32 = 4096;
/// Largest number of operations in flight at once.
pub const DEPTH_MAX: u32 = 256;
/// Largest number of files that one slice uses.
pub const FILES_MAX: u32 = 1024;
/// Largest size of the buffers of one slice in bytes: `block_bytes` × `depth`.
pub const BUFFER_BYTES_MAX: u64 = 256 << 20;

/// The state of the extents that the writes cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Allocated by `fallocate` and never written, like a fresh preallocated segment.
    Fallocated,
    /// Written before, like a recycled segment.
    Overwrite,
    /// Beyond the end of the file, so that every write extends it.
    Extending,
}

/// The condition for a write to count as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// The write has completed.
    None,
    /// The write is on stable storage: it carries `RWF_DSYNC`.
    Dsync,
}

/// The kind of work that a slice does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Work {
    /// Sequential reads of written extents.
    Read,
    /// Sequential writes.
    Write {
        /// The state of the extents that the writes cover.
        extent: Extent,
        /// The condition for a write to count as done.
        sync: Sync,
    },
}

/// The way in which a slice waits for completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reap {
    /// The thread sleeps in `submit_and_wait(1)` until a completion arrives.
    Wait,
    /// The thread polls the completion queue without sleeping. It yields its core to other threads that are ready to
    /// run.
    Busy,
}

/// Settings of one slice: sequential operations of one size, `depth` of them in flight, on `files` files in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CeilingSpec {
    /// Reads or writes, and the kind of the writes.
    pub work: Work,
    /// Bytes of each operation, a multiple of [`BLOCK_ALIGN_BYTES`].
    pub block_bytes: u32,
    /// Number of operations in flight, 1 to [`DEPTH_MAX`].
    pub depth: u32,
    /// Number of files that the operations use in turn, 1 to [`FILES_MAX`].
    pub files: u32,
    /// Direct or buffered I/O. Before buffered reads, the files are dropped from the page cache.
    pub io: Io,
    /// The way in which the slice waits for completions.
    pub reap: Reap,
    /// The time in which new operations are started.
    pub slice: Duration,
}

impl CeilingSpec {
    /// Returns the settings of a cell of the grid in which the device's best is looked for: one file, direct I/O, and a
    /// thread that sleeps until completions arrive.
    pub const fn cell(work: Work, block_bytes: u32, depth: u32, slice: Duration) -> Self {
        Self { work, block_bytes, depth, files: 1, io: Io::Direct, reap: Reap::Wait, slice }
    }

    /// Returns the settings for 4 KiB `RWF_DSYNC` writes, one at a time.
    pub const fn dsync_4k(extent: Extent, io: Io, reap: Reap, slice: Duration) -> Self {
        let work = Work::Write { extent, sync: Sync::Dsync };
        Self { work, block_bytes: 4096, depth: 1, files: 1, io, reap, slice }
    }

    /// Returns the size of the buffers that a slice needs, in bytes.
    pub fn buffer_bytes(&self) -> u64 {
        u64::from(self.block_bytes) * u64::from(self.depth)
    }

    /// Returns an error for settings that cannot be measured.
    pub fn validate(&self) -> Result<(), DeviceError> {
        let refuse = |reason: String| Err(DeviceError::Spec { reason });
        if self.block_bytes == 0 || !self.block_bytes.is_multiple_of(BLOCK_ALIGN_BYTES) {
            return refuse(format!(
                "the block size {} B is not a positive multiple of {BLOCK_ALIGN_BYTES} B",
                self.block_bytes
            ));
        }
        if !(1..=DEPTH_MAX).contains(&self.depth) {
            return refuse(format!("the depth {} is not between 1 and {DEPTH_MAX}", self.depth));
        }
        if !(1..=FILES_MAX).contains(&self.files) {
            return refuse(format!("{} files are not between 1 and {FILES_MAX}", self.files));
        }
        if self.buffer_bytes() > BUFFER_BYTES_MAX {
            return refuse(format!(
                "{} B × depth {} exceed {BUFFER_BYTES_MAX} B of buffers",
                self.block_bytes, self.depth
            ));
        }
        if self.slice.is_zero() {
            return refuse("the slice is 0 s long".to_owned());
        }
        Ok(())
    }
}

/// Whether the ring knew the buffers before the operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Registered: the kernel mapped the buffers once.
    Registered,
    /// Not registered, because the memlock limit was too small: the kernel maps the buffers for each operation.
    Unregistered,
}

/// The figures of one slice.
#[derive(Debug, Clone)]
pub struct CeilingSlice {
    /// The settings that were measured.
    pub spec: CeilingSpec,
    /// Number of operations that completed.
    pub ops: u64,
    /// Number of bytes read or written.
    pub bytes: u64,
    /// Time in which operations were in flight. The preparation of files is not included.
    pub elapsed: Duration,
    /// For buffered writes only: `elapsed`, and the time of the syncs after each use of all blocks.
    pub synced_elapsed: Option<Duration>,
    /// CPU seconds of the whole process in that time. The kernel's I/O workers are included.
    pub cpu_s: f64,
    /// Time from submission to completion of each operation, in ns.
    pub latency_ns: Histogram<u64>,
    /// Whether the buffers were registered with the ring.
    pub registration: Registration,
    /// The disk's counters, for all processes, over `elapsed` and the syncs; `None` if it counts nothing.
    pub disk: Option<DiskCounters>,
}

/// The figures of a slice of writes like those of a trial.
#[derive(Debug, Clone, Copy)]
pub struct ReplaySlice {
    /// Direct or buffered I/O.
    pub io: Io,
    /// Number of writes that became as durable as the replay says.
    pub ops: u64,
    /// Bytes of those writes.
    pub bytes: u64,
    /// Time in which writes and flushes were in flight.
    pub elapsed: Duration,
    /// For buffered writes only: `elapsed`, and the time of the syncs after each use of all blocks.
    pub synced_elapsed: Option<Duration>,
    /// The disk's counters, for all processes, over that time; `None` if it counts nothing.
    pub disk: Option<DiskCounters>,
    /// Number of flushes: those that writes shared, and those that no write waited for.
    pub flushes: u64,
}

impl ReplaySlice {
    /// Returns the bytes a second that the device took. For buffered writes the time of the syncs is included. `None` if it
    /// is not known what the device took.
    pub fn device_bytes_per_s(&self) -> Option<f64> {
        let taken = device_bytes(self.bytes, self.disk.map(|disk| disk.written), self.io)?;
        Some(rate(taken, self.synced_elapsed.unwrap_or(self.elapsed)))
    }
}

fn rate(count: u64, elapsed: Duration) -> f64 {
    num::f64_of(count) / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

impl CeilingSlice {
    /// Returns the bytes a second that the device gave to reads, or took from writes. For buffered writes the time of the
    /// syncs is included. `None` if it is not known what the device moved.
    pub fn device_bytes_per_s(&self) -> Option<f64> {
        let counted = self.disk.map(|disk| match self.spec.work {
            Work::Read => disk.read,
            Work::Write { .. } => disk.written,
        });
        let moved = device_bytes(self.bytes, counted, self.spec.io)?;
        Some(rate(moved, self.synced_elapsed.unwrap_or(self.elapsed)))
    }

    /// Returns bytes a second.
    pub fn bytes_per_s(&self) -> f64 {
        rate(self.bytes, self.elapsed)
    }

    /// Returns operations a second.
    pub fn ops_per_s(&self) -> f64 {
        rate(self.ops, self.elapsed)
    }

    /// Returns the latency at `quantile` (0 to 1) in ns, or `None` if fewer than ten operations lie beyond it.
    pub fn latency_at(&self, quantile: f64) -> Option<u64> {
        let beyond = num::f64_of(self.latency_ns.len()) * (1.0 - quantile);
        // Allows for the float error: 1 - 0.99 is a little more than 0.01, and 1 - 0.999 a little less than 0.001.
        (beyond > 10.0 - 1e-6).then(|| self.latency_ns.value_at_quantile(quantile))
    }
}
