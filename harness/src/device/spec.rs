//! What one slice of the ceiling does, and what came of it. Plain values: they go into results as they are.

use super::DeviceError;
use crate::workload::Io;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Buffers, positions and lengths of direct I/O are multiples of this many bytes.
pub const BLOCK_ALIGN_BYTES: u32 = 4096;
/// The most operations in flight at once.
pub const DEPTH_MAX: u32 = 256;
/// The most files one slice spreads over.
pub const FILES_MAX: u32 = 1024;
/// The most memory the buffers of one slice take: `block_bytes` × `depth`.
pub const BUFFER_BYTES_MAX: u64 = 256 << 20;

/// The state of the extents that writes meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Allocated by `fallocate`, never written: what a fresh preallocated segment is.
    Fallocated,
    /// Written before: what a recycled segment is.
    Overwrite,
    /// Beyond the end of the file: every write extends it.
    Extending,
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// Once it has completed.
    None,
    /// Once it is on stable storage: each write carries `RWF_DSYNC`.
    Dsync,
}

/// What a slice does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Work {
    /// Sequential reads of written extents.
    Read,
    /// Sequential writes.
    Write {
        /// What the writes meet.
        extent: Extent,
        /// When they count.
        sync: Sync,
    },
}

/// How completions are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reap {
    /// `submit_and_wait(1)`: the bare loop, the thread sleeps until a completion arrives.
    Wait,
    /// The completion queue is polled without sleeping, yielding the core to whoever else is ready to run.
    Busy,
}

/// One slice: sequential operations of one size, `depth` of them in flight, round robin over `files` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CeilingSpec {
    /// Read or write, and how.
    pub work: Work,
    /// Bytes of each operation, a multiple of [`BLOCK_ALIGN_BYTES`]; see [`CeilingSpec::block_of`].
    pub block_bytes: u32,
    /// Operations in flight, 1 to [`DEPTH_MAX`].
    pub depth: u32,
    /// Files the operations go to in turn, 1 to [`FILES_MAX`].
    pub files: u32,
    /// Direct or buffered. Buffered reads begin with the files dropped from the page cache.
    pub io: Io,
    /// How completions are waited for.
    pub reap: Reap,
    /// How long operations are started for.
    pub slice: Duration,
}

impl CeilingSpec {
    /// The device's best (METHOD's `device_write`, `device_read`): 1 MiB, depth 8, one file, direct, completions awaited.
    pub const fn best(work: Work, slice: Duration) -> Self {
        Self { work, block_bytes: 1 << 20, depth: 8, files: 1, io: Io::Direct, reap: Reap::Wait, slice }
    }

    /// One 4 KiB `RWF_DSYNC` write at a time.
    pub const fn dsync_4k(extent: Extent, io: Io, reap: Reap, slice: Duration) -> Self {
        let work = Work::Write { extent, sync: Sync::Dsync };
        Self { work, block_bytes: 4096, depth: 1, files: 1, io, reap, slice }
    }

    /// The block size that stands for writes of `write_bytes` (a measured median, say): rounded up to a whole
    /// [`BLOCK_ALIGN_BYTES`], at least one, at most 8 MiB.
    pub fn block_of(write_bytes: u64) -> u32 {
        let blocks = write_bytes.div_ceil(u64::from(BLOCK_ALIGN_BYTES)).clamp(1, 2048);
        u32::try_from(blocks).map_or(1 << 23, |blocks| blocks * BLOCK_ALIGN_BYTES)
    }

    /// Bytes of buffers a slice needs.
    pub fn buffer_bytes(&self) -> u64 {
        u64::from(self.block_bytes) * u64::from(self.depth)
    }

    /// Refuses what cannot be measured.
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

/// Whether the buffers were known to the ring beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Registered: the kernel maps them once.
    Registered,
    /// Not registered, for want of memlock room: the kernel maps them for each operation.
    Unregistered,
}

/// What one slice came to.
#[derive(Debug, Clone)]
pub struct CeilingSlice {
    /// What was asked for.
    pub spec: CeilingSpec,
    /// Operations completed.
    pub ops: u64,
    /// Bytes read or written.
    pub bytes: u64,
    /// Time in which operations were in flight; preparing files is not in it.
    pub elapsed: Duration,
    /// Buffered writes only: `elapsed` and the final sync of what was written (each time the files were used up).
    pub synced_elapsed: Option<Duration>,
    /// CPU seconds of the whole process meanwhile, the kernel's io workers included.
    pub cpu_s: f64,
    /// Submission to completion of each operation, ns.
    pub latency_ns: Histogram<u64>,
    /// Whether the buffers were registered with the ring.
    pub registration: Registration,
}

impl CeilingSlice {
    /// Bytes a second.
    pub fn bytes_per_s(&self) -> f64 {
        crate::num::f64_of(self.bytes) / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Operations a second.
    pub fn ops_per_s(&self) -> f64 {
        crate::num::f64_of(self.ops) / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The latency at `quantile` (0 to 1), ns; `None` unless at least ten operations lie beyond it.
    pub fn latency_at(&self, quantile: f64) -> Option<u64> {
        let beyond = crate::num::f64_of(self.latency_ns.len()) * (1.0 - quantile);
        // A hair of slack: 1 - 0.99 is a little more than 0.01, 1 - 0.999 a little less than 0.001.
        (beyond > 10.0 - 1e-6).then(|| self.latency_ns.value_at_quantile(quantile))
    }
}
