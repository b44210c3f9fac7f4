//! The device's own ceiling beside each trial: slices of raw io_uring that do what the trial before did, right before and
//! right after, and the device's best around the whole run.

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

/// What "like for like" means for the next trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    write: CeilingSpec,
    /// `None` where the trial before read nothing from the device.
    read: Option<CeilingSpec>,
}

impl Shape {
    /// What `run` wrote and read, as its shards tell it; `None` where they tell nothing, or nothing was written.
    pub fn of(workload: &Workload, run: &TrialRun) -> Option<Self> {
        let writes = WriteFigures::of(&run.watched.shards);
        let block_bytes = CeilingSpec::block_of(writes.bytes_p50?);
        let depth = num::u64_of(writes.depth_mean?).clamp(1, u64::from(DEPTH_MAX));
        let depth = u32::try_from(depth).unwrap_or(DEPTH_MAX);
        let files = u32::try_from(workload.partitions()).unwrap_or(FILES_MAX).min(FILES_MAX);
        let extent = match workload.log.preallocate {
            Preallocate::None => Extent::Extending,
            Preallocate::Fallocate => Extent::Fallocated,
            // Those of segments that had to do without a freed file do not overwrite.
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

    /// As results describe it.
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
    /// For a trial that is expected to do as `shape` says; nothing is measured without one.
    pub fn new(shape: Option<Shape>) -> Self {
        Self { shape, ..Self::default() }
    }

    /// Measures one side of the bracket.
    ///
    /// # Errors
    /// What keeps a ceiling from being measured, an interrupt included.
    pub fn measure(&mut self, bench: &Bench<'_>) -> Result<(), DeviceError> {
        let Some(shape) = self.shape else { return Ok(()) };
        let mut ceiling = open(bench.context)?;
        self.write.push(ceiling.measure(&shape.write)?.bytes_per_s());
        if let Some(read) = shape.read {
            self.read.push(ceiling.measure(&read)?.bytes_per_s());
        }
        Ok(())
    }

    /// What the trial's record says of its ceiling; the device's best is known only when the run is over.
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

/// Looks at the device's best once more; `with_dsync`, at a synced write too, unless that was done.
///
/// # Errors
/// What keeps a ceiling from being measured, an interrupt included.
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
