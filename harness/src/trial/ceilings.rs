//! The ceiling of the device beside each trial. Right before and right after a trial, slices of raw io_uring do the writes
//! that the setting's trials do. The device's best is measured before and after the whole run.

mod parts;
mod shape;

pub use shape::{Shape, replay_of};

use super::bench::Bench;
use super::context::RunContext;
use crate::device::{BareDevice, BestCell, CeilingSpec, DeviceBest, DeviceError, Extent, Reap, Replay};
use crate::num;
use crate::result::staging::DeviceBestSamples;
use crate::result::{CeilingFigures, DsyncFigures, GridCell};
use crate::stats;
use crate::workload::{Durability, Io, Workload};
use std::sync::Arc;
use std::time::Duration;

/// Length of each slice.
pub const SLICE: Duration = Duration::from_millis(500);
/// Length of a slice for one cell of the grid, and for the synced writes of 4 KiB.
const SHORT_SLICE: Duration = Duration::from_millis(250);

/// One side of a bracket: the speeds of the device right before or right after a trial, bytes/s.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// The writes and reads that were measured.
    shape: Shape,
    write: Option<f64>,
    read: Option<f64>,
    dsync_4k_ns: Option<u64>,
}

/// The slices of one trial.
#[derive(Debug, Default)]
pub struct Bracket {
    before: Option<Side>,
    after: Option<Side>,
}

impl Bracket {
    /// Measures the side before the trial, with the writes of the setting's trial before. Without a shape nothing is measured.
    ///
    /// # Errors
    /// The ceiling cannot be measured, or the run was interrupted.
    pub fn measure_before(&mut self, bench: &Bench<'_>, shape: Option<&Shape>) -> Result<(), DeviceError> {
        self.before = shape.map(|shape| Side::measure(bench, shape)).transpose()?;
        Ok(())
    }

    /// Measures the side after the trial, with the trial's own writes. Without a shape nothing is measured.
    ///
    /// # Errors
    /// The ceiling cannot be measured, or the run was interrupted.
    pub fn measure_after(&mut self, bench: &Bench<'_>, shape: Option<&Shape>) -> Result<(), DeviceError> {
        self.after = shape.map(|shape| Side::measure(bench, shape)).transpose()?;
        Ok(())
    }

    /// The figures of the ceiling for the record of the trial. The device's best is entered at the end of the run.
    ///
    /// The side before counts only if the trial then did such writes.
    pub fn figures(&self) -> CeilingFigures {
        let Some(after) = &self.after else { return CeilingFigures::default() };
        let before = self.before.as_ref().filter(|before| before.shape.is_like(&after.shape));
        let sides = || before.into_iter().chain([after]);
        let write: Vec<f64> = sides().filter_map(|side| side.write).collect();
        let reads_before = before.filter(|before| before.shape.reads_like(&after.shape));
        let read: Vec<f64> = reads_before.into_iter().chain([after]).filter_map(|side| side.read).collect();
        let dsync: Vec<f64> = sides().filter_map(|side| side.dsync_4k_ns).map(num::f64_of).collect();
        CeilingFigures {
            write_bytes_per_s: stats::median(&write),
            read_bytes_per_s: stats::median(&read),
            write_slices_bytes_per_s: write,
            read_slices_bytes_per_s: read,
            is_after_only: before.is_none(),
            dsync_4k_ns: DsyncFigures { p50: stats::median(&dsync).map(num::u64_of) },
            write_shape: Some(after.shape.write_shape()),
            read_shape: after.shape.read,
            ..CeilingFigures::default()
        }
    }
}

impl Side {
    fn measure(bench: &Bench<'_>, shape: &Shape) -> Result<Self, DeviceError> {
        let mut device = open(bench.context)?;
        let write = write_like(device.as_mut(), &shape.write, SLICE)?;
        let read = match shape.read_spec(SLICE) {
            Some(spec) => better(|reap| device.read(&CeilingSpec { reap, ..spec }))?,
            None => None,
        };
        let dsync_4k_ns = if is_synced(bench.workload) {
            let spec = CeilingSpec::dsync_4k(Extent::Fallocated, Io::Direct, Reap::Wait, SHORT_SLICE);
            device.synced_write_ns(&spec)?
        } else {
            None
        };
        Ok(Self { shape: shape.clone(), write, read, dsync_4k_ns })
    }
}

/// Measures writes like those of a trial, bytes/s; `None` if it is not known what the device took. Each kind of extent is measured
/// alone for its part of the slice's time.
///
/// # Errors
/// The writes failed, or the run was interrupted.
pub fn write_like(
    device: &mut dyn BareDevice,
    mix: &Replay,
    slice: Duration,
) -> Result<Option<f64>, DeviceError> {
    let parts = parts::by_extent(mix);
    let slice = slice / u32::try_from(parts.len()).unwrap_or(1).max(1);
    let mut speeds = Vec::new();
    for part in &parts {
        let Some(per_s) = better(|reap| device.write_like(part, reap, slice))? else { return Ok(None) };
        speeds.push((parts::bytes_of(part), per_s));
    }
    Ok((!speeds.is_empty()).then(|| parts::joined(&speeds)))
}

fn is_synced(workload: &Workload) -> bool {
    workload.durability == Durability::Synced
}

/// The better of a thread that waits for completions and one that polls for them.
fn better(
    mut measure: impl FnMut(Reap) -> Result<Option<f64>, DeviceError>,
) -> Result<Option<f64>, DeviceError> {
    let (waiting, polling) = (measure(Reap::Wait)?, measure(Reap::Busy)?);
    Ok(waiting.into_iter().chain(polling).reduce(f64::max))
}

/// Measures the device's best once more.
///
/// # Errors
/// The ceiling cannot be measured, or the run was interrupted.
pub fn sample_device_best(
    context: &RunContext<'_>,
    samples: &mut DeviceBestSamples,
) -> Result<(), DeviceError> {
    let DeviceBest { write, read } = open(context)?.best(SHORT_SLICE)?;
    let cell = |BestCell { block_bytes, depth, .. }: BestCell| GridCell { block_bytes, depth };
    samples.write.push(write.bytes_per_s);
    samples.read.push(read.bytes_per_s);
    samples.write_cells.push(cell(write));
    samples.read_cells.push(cell(read));
    Ok(())
}

/// Enters the device's best into a trial's figures.
pub fn enter_device_best(samples: &DeviceBestSamples, figures: &mut CeilingFigures) {
    figures.device_write_bytes_per_s = stats::median(&samples.write);
    figures.device_read_bytes_per_s = stats::median(&samples.read);
    figures.device_write_cell = best_cell(&samples.write, &samples.write_cells);
    figures.device_read_cell = best_cell(&samples.read, &samples.read_cells);
}

/// The cell of the highest speed.
fn best_cell(speeds: &[f64], cells: &[GridCell]) -> Option<GridCell> {
    speeds.iter().zip(cells).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, cell)| *cell)
}

fn open(context: &RunContext<'_>) -> Result<Box<dyn BareDevice>, DeviceError> {
    (context.device)(context.data_dir.path(), Arc::clone(context.stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(sizes: &[(u32, u64)], write: f64) -> Side {
        Side { shape: Shape::of_sizes(sizes), write: Some(write), read: None, dsync_4k_ns: Some(7) }
    }

    #[test]
    fn a_side_that_wrote_something_else_does_not_count() {
        let alike = Bracket { before: Some(side(&[(4096, 9)], 1.0)), after: Some(side(&[(4096, 5)], 3.0)) };
        let figures = alike.figures();
        assert_eq!((figures.write_bytes_per_s, figures.is_after_only), (Some(2.0), false));
        assert_eq!(figures.write_slices_bytes_per_s, [1.0, 3.0]);
        let unlike = Bracket { before: Some(side(&[(8192, 9)], 1.0)), ..alike };
        let figures = unlike.figures();
        assert_eq!((figures.write_bytes_per_s, figures.is_after_only), (Some(3.0), true));
        assert_eq!(figures.write_slices_bytes_per_s, [3.0]);
        let first = Bracket { before: None, ..unlike };
        assert!(first.figures().is_after_only);
        let none = Bracket { before: Some(side(&[(4096, 9)], 1.0)), after: None };
        assert_eq!(none.figures(), CeilingFigures::default());
    }

    #[test]
    fn a_side_that_read_something_else_counts_for_its_writes_only() {
        let reading = |depth, per_s| {
            let mut side = side(&[(4096, 9)], 1.0);
            side.shape.read = Some(GridCell { block_bytes: 65_536, depth });
            side.read = Some(per_s);
            Some(side)
        };
        let figures = Bracket { before: reading(8, 1.0), after: reading(2, 3.0) }.figures();
        assert_eq!((figures.is_after_only, figures.write_slices_bytes_per_s.len()), (false, 2));
        assert_eq!((figures.read_bytes_per_s, figures.read_slices_bytes_per_s), (Some(3.0), vec![3.0]));
        assert_eq!(figures.read_shape, Some(GridCell { block_bytes: 65_536, depth: 2 }));
        let figures = Bracket { before: reading(2, 1.0), after: reading(2, 3.0) }.figures();
        assert_eq!(figures.read_slices_bytes_per_s, [1.0, 3.0]);
    }

    #[test]
    fn the_better_way_to_wait_counts() {
        let of = |reap| Ok(if reap == Reap::Busy { Some(2.0) } else { Some(1.0) });
        assert_eq!(better(of).unwrap(), Some(2.0));
        assert_eq!(better(|_| Ok(None)).unwrap(), None);
    }
}
