//! The ceiling of the device beside each trial. Right before and right after a trial, a slice of raw io_uring does writes of the
//! same size, depth and kind as the trial before. The device's best is measured before and after the whole run.

use super::bench::Bench;
use super::context::RunContext;
use crate::device::{
    Ceiling, CeilingSpec, DEPTH_MAX, DeviceBest, DeviceError, Extent, FILES_MAX, Reap, Sync, Work,
};
use crate::measure::finished::TrialRun;
use crate::measure::writes::WriteFigures;
use crate::num;
use crate::result::staging::DeviceLooks;
use crate::result::{CeilingFigures, DsyncFigures, WriteShape};
use crate::stats;
use crate::workload::{Durability, Io, Preallocate, Workload};
use std::sync::Arc;
use std::time::Duration;

/// Length of each slice.
const SLICE: Duration = Duration::from_millis(500);

/// The writes and reads that the slices of the next trial do: those that the trial before did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    write: CeilingSpec,
    /// The reads; `None` if the trial before read nothing from the device.
    read: Option<CeilingSpec>,
}

impl Shape {
    /// The shape of the writes and reads of `run`, from the counters of its shards. `None` if the system has no counters, or if
    /// nothing was written.
    pub fn of(workload: &Workload, run: &TrialRun) -> Option<Self> {
        let writes = WriteFigures::of(&run.watched.shards);
        let block_bytes = CeilingSpec::block_of(writes.bytes_p50?);
        let depth = num::u64_of(writes.depth_mean?).clamp(1, u64::from(DEPTH_MAX));
        let depth = u32::try_from(depth).unwrap_or(DEPTH_MAX);
        let files = u32::try_from(workload.partitions()).unwrap_or(FILES_MAX).min(FILES_MAX);
        let extent = match workload.log.preallocate {
            Preallocate::None => Extent::Extending,
            Preallocate::Fallocate => Extent::Fallocated,
            // A segment for which no freed file was ready is made in a new file, so its writes do not overwrite.
            Preallocate::Auto | Preallocate::Recycle if writes.overwrites < 0.5 => Extent::Fallocated,
            Preallocate::Auto | Preallocate::Recycle => Extent::Overwrite,
        };
        let sync = match workload.durability {
            Durability::Appended | Durability::Written => Sync::None,
            Durability::Synced => Sync::Dsync,
        };
        let io = workload.deployment().io;
        let spec = |work, block_bytes, depth| CeilingSpec {
            work,
            block_bytes,
            depth,
            files,
            io,
            reap: Reap::Wait,
            slice: SLICE,
        };
        // A calibration has no backlog to read.
        let reads = workload.backlog.is_some() || run.watched.shards.iter().any(|shard| shard.read_bytes > 0);
        Some(Self {
            write: spec(Work::Write { extent, sync }, block_bytes, depth),
            read: reads.then(|| spec(Work::Read, 1 << 20, 8)),
        })
    }

    /// The shape of the writes, as it stands in results.
    pub fn write_shape(&self) -> Option<WriteShape> {
        let Work::Write { extent, sync } = self.write.work else { return None };
        let extent = match extent {
            Extent::Fallocated => "fallocated",
            Extent::Overwrite => "overwrite",
            Extent::Extending => "extending",
        };
        Some(WriteShape {
            block_bytes: u64::from(self.write.block_bytes),
            depth: self.write.depth,
            files: self.write.files,
            extent: extent.to_owned(),
            dsync: sync == Sync::Dsync,
        })
    }
}

/// The slices of one trial.
#[derive(Debug, Default)]
pub struct Bracket {
    shape: Option<Shape>,
    write: Vec<f64>,
    read: Vec<f64>,
}

impl Bracket {
    /// The slices of a trial that is expected to write and read as `shape` says. Without a shape nothing is measured.
    pub fn new(shape: Option<Shape>) -> Self {
        Self { shape, ..Self::default() }
    }

    /// Measures one side of the bracket.
    ///
    /// # Errors
    /// The ceiling cannot be measured, or the run was interrupted.
    pub fn measure(&mut self, bench: &Bench<'_>) -> Result<(), DeviceError> {
        let Some(shape) = self.shape else { return Ok(()) };
        let mut ceiling = open(bench.context)?;
        self.write.push(ceiling.measure(&shape.write)?.bytes_per_s());
        if let Some(read) = shape.read {
            self.read.push(ceiling.measure(&read)?.bytes_per_s());
        }
        Ok(())
    }

    /// The figures of the ceiling for the record of the trial. The device's best is entered at the end of the run.
    pub fn figures(&self) -> CeilingFigures {
        CeilingFigures {
            write_bytes_per_s: stats::median(&self.write),
            read_bytes_per_s: stats::median(&self.read),
            write_slices_bytes_per_s: self.write.clone(),
            write_shape: self.shape.and_then(|shape| shape.write_shape()),
            ..CeilingFigures::default()
        }
    }
}

/// Measures the device's best once more. With `with_dsync`, it also measures a synced write of 4 KiB, unless that was done.
///
/// # Errors
/// The ceiling cannot be measured, or the run was interrupted.
pub fn look(context: &RunContext<'_>, looks: &mut DeviceLooks, with_dsync: bool) -> Result<(), DeviceError> {
    let mut ceiling = open(context)?;
    let DeviceBest { write, read } = ceiling.device_best(SLICE)?;
    looks.write.push(write.bytes_per_s());
    looks.read.push(read.bytes_per_s());
    if with_dsync && looks.dsync_p50_ns.is_none() {
        let spec = CeilingSpec::dsync_4k(Extent::Fallocated, Io::Direct, Reap::Wait, SLICE);
        looks.dsync_p50_ns = ceiling.measure(&spec)?.latency_at(0.5);
    }
    Ok(())
}

/// Enters the device's best into a trial's figures.
pub fn enter(looks: &DeviceLooks, figures: &mut CeilingFigures) {
    figures.device_write_bytes_per_s = stats::median(&looks.write);
    figures.device_read_bytes_per_s = stats::median(&looks.read);
    figures.dsync_4k_ns = DsyncFigures { p50: looks.dsync_p50_ns };
}

fn open(context: &RunContext<'_>) -> Result<Ceiling, DeviceError> {
    let ceiling = Ceiling::open(context.data_dir.path(), Ceiling::BYTES_MAX_DEFAULT)?;
    Ok(ceiling.stopped_by(Arc::clone(context.stop)))
}
