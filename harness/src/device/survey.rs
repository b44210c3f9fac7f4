//! The whole picture of a disk: slices over a grid of kinds, block sizes and depths, as plain figures.

use super::{Ceiling, CeilingSlice, CeilingSpec, DeviceError, Extent, Reap, Registration, Sync, Work};
use crate::workload::Io;
use serde::Serialize;
use std::time::Duration;

/// A column of the survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 5] = [
        Self::WriteFallocated,
        Self::WriteOverwriting,
        Self::Read,
        Self::SyncedFallocated,
        Self::SyncedOverwriting,
    ];

    /// For people.
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

/// What to survey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Block sizes, bytes.
    pub block_bytes: Vec<u32>,
    /// Depths.
    pub depths: Vec<u32>,
    /// Direct or buffered.
    pub io: Io,
    /// Length of each slice.
    pub slice: Duration,
}

/// One cell of the grid.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Its column.
    pub kind: Kind,
    /// Bytes of each operation.
    pub block_bytes: u32,
    /// Operations in flight.
    pub depth: u32,
    /// What it came to.
    pub figures: Figures,
}

/// The figures of one slice.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Bytes a second.
    pub bytes_per_s: f64,
    /// Bytes a second with the final sync; buffered writes only.
    pub bytes_per_s_with_sync: Option<f64>,
    /// Operations a second.
    pub ops_per_s: f64,
    /// Median time from submission to completion, ns; `None` below 20 operations.
    pub p50_ns: Option<u64>,
    /// 99th percentile of it, ns; `None` below 1,000 operations.
    pub p99_ns: Option<u64>,
    /// The longest, ns.
    pub max_ns: u64,
    /// CPU seconds of the process a second.
    pub cpu: f64,
    /// Whether the buffers were registered.
    pub registration: Registration,
}

/// One synced 4 KiB write at a time: the medians.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Dsync4kMedians {
    /// How completions were waited for.
    pub reap: Reap,
    /// Into fallocated space, ns; `None` below 20 operations.
    pub fallocated_p50_ns: Option<u64>,
    /// Over written extents, ns; `None` below 20 operations.
    pub overwriting_p50_ns: Option<u64>,
}

/// Everything a survey found.
#[derive(Debug, Clone, Serialize)]
pub struct Survey {
    /// The grid, by kind, then block size, then depth.
    pub cells: Vec<Cell>,
    /// Awaited (the bare loop) and busy.
    pub dsync_4k: Vec<Dsync4kMedians>,
}

impl Plan {
    /// The grid in the order it is measured.
    fn cells(&self) -> Vec<(Kind, CeilingSpec)> {
        let mut cells = Vec::new();
        for kind in Kind::ALL {
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

    /// How many steps [`survey`] reports: one a cell, and two for the synced 4 KiB write.
    pub fn steps(&self) -> usize {
        self.cells().len() + 2
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

/// Measures `plan`, and tells `progress` about each step once it is done.
///
/// # Errors
/// The first slice that fails ends it.
pub fn survey(
    ceiling: &mut Ceiling,
    plan: &Plan,
    mut progress: impl FnMut(&Step<'_>),
) -> Result<Survey, DeviceError> {
    let mut cells = Vec::new();
    for (kind, spec) in plan.cells() {
        let figures = Figures::from(&ceiling.measure(&spec)?);
        let cell = Cell { kind, block_bytes: spec.block_bytes, depth: spec.depth, figures };
        progress(&Step::Cell(&cell));
        cells.push(cell);
    }
    let mut dsync_4k = Vec::new();
    for reap in [Reap::Wait, Reap::Busy] {
        let measured = ceiling.dsync_4k(plan.io, reap, plan.slice)?;
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

/// A step of a survey that is done.
#[derive(Debug)]
pub enum Step<'a> {
    /// A cell of the grid.
    Cell(&'a Cell),
    /// The synced 4 KiB write.
    Dsync4k(&'a Dsync4kMedians),
}
