//! A survey of a disk: slices over a grid of kinds, block sizes and depths, as plain figures.

use super::{Ceiling, CeilingSlice, CeilingSpec, DeviceError, Extent, Reap, Registration, Sync, Work};
use crate::workload::Io;
use serde::Serialize;
use std::time::Duration;

/// The kind of work in a column of the survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// Writes into fallocated space.
    WriteFallocated,
    /// Writes over written extents.
    WriteOverwriting,
    /// Reads.
    Read,
    /// `RWF_DSYNC` writes into fallocated space.
    SyncedFallocated,
    /// `RWF_DSYNC` writes over written extents.
    SyncedOverwriting,
}

impl Kind {
    /// All kinds, in the order of the columns.
    pub const ALL: [Self; 5] = [
        Self::WriteFallocated,
        Self::WriteOverwriting,
        Self::Read,
        Self::SyncedFallocated,
        Self::SyncedOverwriting,
    ];

    /// Returns the column's title, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WriteFallocated => "write fallocated",
            Self::WriteOverwriting => "write overwriting",
            Self::Read => "read",
            Self::SyncedFallocated => "synced fallocated",
            Self::SyncedOverwriting => "synced overwriting",
        }
    }

    const fn work(self) -> Work {
        match self {
            Self::WriteFallocated => Work::Write { extent: Extent::Fallocated, sync: Sync::None },
            Self::WriteOverwriting => Work::Write { extent: Extent::Overwrite, sync: Sync::None },
            Self::Read => Work::Read,
            Self::SyncedFallocated => Work::Write { extent: Extent::Fallocated, sync: Sync::Dsync },
            Self::SyncedOverwriting => Work::Write { extent: Extent::Overwrite, sync: Sync::Dsync },
        }
    }
}

/// The ways to wait for completions with which the synced 4 KiB write is measured.
const DSYNC_4K_WAYS: [Reap; 2] = [Reap::Wait, Reap::Busy];

/// The block sizes and depths to survey, and the settings that all slices share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Kinds of work, in the order of the columns.
    pub kinds: Vec<Kind>,
    /// Whether the synced 4 KiB write is measured as well.
    pub has_dsync_4k: bool,
    /// Block sizes in bytes.
    pub block_bytes: Vec<u32>,
    /// Numbers of operations in flight.
    pub depths: Vec<u32>,
    /// Direct or buffered I/O.
    pub io: Io,
    /// Duration of each slice.
    pub slice: Duration,
}

/// One cell of the grid, with its figures.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// The cell's column.
    pub kind: Kind,
    /// Bytes of each operation.
    pub block_bytes: u32,
    /// Number of operations in flight.
    pub depth: u32,
    /// The measured figures.
    pub figures: Figures,
}

/// The figures of one slice.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Bytes read or written a second.
    pub bytes_per_s: f64,
    /// Bytes written a second, if the time of the syncs is included. For buffered writes only.
    pub bytes_per_s_with_sync: Option<f64>,
    /// Operations a second.
    pub ops_per_s: f64,
    /// Median time from submission to completion, in ns. `None` if there were fewer than 20 operations.
    pub p50_ns: Option<u64>,
    /// 99th percentile of that time, in ns. `None` if there were fewer than 1,000 operations.
    pub p99_ns: Option<u64>,
    /// Longest time from submission to completion, in ns.
    pub max_ns: u64,
    /// CPU seconds that the process used in each second.
    pub cpu: f64,
    /// Whether the buffers were registered with the ring.
    pub registration: Registration,
}

/// Median times of 4 KiB `RWF_DSYNC` writes, one at a time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Dsync4kMedians {
    /// The way in which the slices waited for completions.
    pub reap: Reap,
    /// Median of writes into fallocated space, in ns. `None` if there were fewer than 20 operations.
    pub fallocated_p50_ns: Option<u64>,
    /// Median of writes over written extents, in ns. `None` if there were fewer than 20 operations.
    pub overwriting_p50_ns: Option<u64>,
}

/// All results of a survey.
#[derive(Debug, Clone, Serialize)]
pub struct Survey {
    /// The cells of the grid, by kind, then by block size, then by depth.
    pub cells: Vec<Cell>,
    /// The synced 4 KiB writes: first with a thread that sleeps until a completion, then with one that polls.
    pub dsync_4k: Vec<Dsync4kMedians>,
}

impl Grid {
    /// Returns the cells of the grid in the order in which they are measured.
    fn cells(&self) -> Vec<(Kind, CeilingSpec)> {
        let mut cells = Vec::new();
        for &kind in &self.kinds {
            for &block_bytes in &self.block_bytes {
                for &depth in &self.depths {
                    let Self { io, slice, .. } = *self;
                    let work = kind.work();
                    let spec =
                        CeilingSpec { work, block_bytes, depth, files: 1, io, reap: Reap::Wait, slice };
                    cells.push((kind, spec));
                }
            }
        }
        cells
    }

    /// Checks that every cell can be measured.
    ///
    /// # Errors
    /// A block size, a depth, or both together are outside of what a slice takes.
    pub fn validate(&self) -> Result<(), DeviceError> {
        self.cells().iter().try_for_each(|(_, spec)| spec.validate())
    }

    /// Returns the number of steps that [`survey`] reports: one for each cell, and two for the synced 4 KiB write.
    pub fn steps(&self) -> usize {
        self.cells().len() + if self.has_dsync_4k { DSYNC_4K_WAYS.len() } else { 0 }
    }
}

impl From<&CeilingSlice> for Figures {
    fn from(slice: &CeilingSlice) -> Self {
        let with_sync = |elapsed: Duration| crate::num::f64_of(slice.bytes) / elapsed.as_secs_f64();
        Self {
            bytes_per_s: slice.bytes_per_s(),
            bytes_per_s_with_sync: slice.synced_elapsed.map(with_sync),
            ops_per_s: slice.ops_per_s(),
            p50_ns: slice.latency_at(0.5),
            p99_ns: slice.latency_at(0.99),
            max_ns: slice.latency_ns.max(),
            cpu: slice.cpu_s / slice.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            registration: slice.registration,
        }
    }
}

/// Measures `grid`, and calls `progress` after each step.
///
/// # Errors
/// The first error of a slice. It ends the survey.
pub fn survey(
    ceiling: &mut Ceiling,
    grid: &Grid,
    mut progress: impl FnMut(&Step<'_>),
) -> Result<Survey, DeviceError> {
    let mut cells = Vec::new();
    for (kind, spec) in grid.cells() {
        let figures = Figures::from(&ceiling.measure(&spec)?);
        let cell = Cell { kind, block_bytes: spec.block_bytes, depth: spec.depth, figures };
        progress(&Step::Cell(&cell));
        cells.push(cell);
    }
    let mut dsync_4k = Vec::new();
    let ways = if grid.has_dsync_4k { &DSYNC_4K_WAYS[..] } else { &[] };
    for &reap in ways {
        let measured = ceiling.dsync_4k(grid.io, reap, grid.slice)?;
        let medians = Dsync4kMedians {
            reap,
            fallocated_p50_ns: measured.fallocated.latency_at(0.5),
            overwriting_p50_ns: measured.overwriting.latency_at(0.5),
        };
        progress(&Step::Dsync4k(&medians));
        dsync_4k.push(medians);
    }
    Ok(Survey { cells, dsync_4k })
}

/// A step of a survey that has just been measured.
#[derive(Debug)]
pub enum Step<'a> {
    /// A cell of the grid.
    Cell(&'a Cell),
    /// The synced 4 KiB write with one way to wait for completions.
    Dsync4k(&'a Dsync4kMedians),
}
