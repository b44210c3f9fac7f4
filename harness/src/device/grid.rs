//! The device's best rates: the best cells of a small grid of block sizes and depths.
//!
//! No single cell is the best of every device: one wants large blocks, another a deep queue.

use super::{Ceiling, CeilingSpec, DeviceError, Extent, Sync, Work};
use std::time::Duration;

/// The cells of the grid: block bytes and depth.
const CELLS: [(u32, u32); 6] =
    [(128 << 10, 8), (128 << 10, 32), (512 << 10, 4), (512 << 10, 16), (1 << 20, 8), (1 << 20, 32)];

/// The best cell of the grid for one kind of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestCell {
    /// Bytes of each operation.
    pub block_bytes: u32,
    /// Number of operations in flight.
    pub depth: u32,
    /// Bytes a second that the device took or gave.
    pub bytes_per_s: f64,
}

/// The device's best rates, over written extents, with direct I/O.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceBest {
    /// Overwriting without a sync.
    pub write: BestCell,
    /// Reading.
    pub read: BestCell,
}

/// Measures each cell of the grid for `slice`, and returns the best.
///
/// # Errors
/// A slice failed, or no cell fits the free space.
pub fn device_best(ceiling: &mut Ceiling, slice: Duration) -> Result<DeviceBest, DeviceError> {
    let write = Work::Write { extent: Extent::Overwrite, sync: Sync::None };
    Ok(DeviceBest { write: best_cell(ceiling, write, slice)?, read: best_cell(ceiling, Work::Read, slice)? })
}

/// Returns the best cell. A cell that needs more space than there is does not take part.
fn best_cell(ceiling: &mut Ceiling, work: Work, slice: Duration) -> Result<BestCell, DeviceError> {
    let (mut best, mut refusal) = (None::<BestCell>, None);
    for (block_bytes, depth) in CELLS {
        let bytes_per_s = match ceiling.measure(&CeilingSpec::cell(work, block_bytes, depth, slice)) {
            Ok(measured) => measured.bytes_per_s(),
            Err(error @ DeviceError::NoSpace { .. }) => {
                refusal = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if best.is_none_or(|best| bytes_per_s > best.bytes_per_s) {
            best = Some(BestCell { block_bytes, depth, bytes_per_s });
        }
    }
    match (best, refusal) {
        (Some(best), _) => Ok(best),
        (None, Some(refusal)) => Err(refusal),
        (None, None) => Err(DeviceError::Spec { reason: "the grid has no cells".to_owned() }),
    }
}
