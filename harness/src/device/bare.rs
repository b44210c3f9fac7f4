//! The seam between the ceilings of a run and the device.

use super::{Ceiling, CeilingSpec, DeviceBest, DeviceError, Reap, Replay, device_best};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The bare device, as the ceilings of a run measure it. Tests have a device that only notes what it is asked for.
pub trait BareDevice {
    /// Measures writes like those of a trial, bytes/s; `None` if it is not known what the device took.
    ///
    /// # Errors
    /// The writes failed, or the run was interrupted.
    fn write_like(
        &mut self,
        replay: &Replay,
        reap: Reap,
        slice: Duration,
    ) -> Result<Option<f64>, DeviceError>;

    /// Measures reads, bytes/s; `None` if it is not known what the device gave.
    ///
    /// # Errors
    /// The reads failed, or the run was interrupted.
    fn read(&mut self, spec: &CeilingSpec) -> Result<Option<f64>, DeviceError>;

    /// Measures the median latency of synced writes, ns; `None` if there were too few.
    ///
    /// # Errors
    /// The writes failed, or the run was interrupted.
    fn synced_write_ns(&mut self, spec: &CeilingSpec) -> Result<Option<u64>, DeviceError>;

    /// Measures the best cells of the grid, each for `slice`.
    ///
    /// # Errors
    /// No cell fits the free space, the device failed, or the run was interrupted.
    fn best(&mut self, slice: Duration) -> Result<DeviceBest, DeviceError>;
}

impl BareDevice for Ceiling {
    fn write_like(
        &mut self,
        replay: &Replay,
        reap: Reap,
        slice: Duration,
    ) -> Result<Option<f64>, DeviceError> {
        Ok(self.replay(replay, reap, slice)?.device_bytes_per_s())
    }

    fn read(&mut self, spec: &CeilingSpec) -> Result<Option<f64>, DeviceError> {
        Ok(self.measure(spec)?.device_bytes_per_s())
    }

    fn synced_write_ns(&mut self, spec: &CeilingSpec) -> Result<Option<u64>, DeviceError> {
        Ok(self.measure(spec)?.latency_at(0.5))
    }

    fn best(&mut self, slice: Duration) -> Result<DeviceBest, DeviceError> {
        device_best(self, slice)
    }
}

/// Opens the bare device below `dir`. Once `stop` is set, measuring it ends early.
///
/// # Errors
/// Files of the ceiling cannot be made there.
pub fn bare_device(dir: &Path, stop: Arc<AtomicBool>) -> Result<Box<dyn BareDevice>, DeviceError> {
    Ok(Box::new(Ceiling::open(dir, Ceiling::BYTES_MAX_DEFAULT)?.stopped_by(stop)))
}
