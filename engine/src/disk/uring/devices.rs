//! The counts of failed syncs, one for each device. All shards and engines of the process share them, as they share the
//! device's cache.

use crate::disk::SyncFailures;
use rustix::fs::{Stat, fstat};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// The counts. The key is the device's `st_dev`.
static DEVICES: Mutex<BTreeMap<u64, SyncFailures>> = Mutex::new(BTreeMap::new());

/// Returns the count of failed syncs of a device.
pub(super) fn sync_failures_of_device(device: u64) -> SyncFailures {
    let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
    devices.entry(device).or_default().clone()
}

/// Returns the number of the device that an open file lies on; `None` if the kernel does not report it.
pub(super) fn device_of(file: impl AsFd) -> Option<u64> {
    fstat(file).ok().map(|stat: Stat| stat.st_dev)
}

/// Returns the count of failed syncs of the device that an open file lies on.
pub(super) fn sync_failures_of_file(file: impl AsFd) -> SyncFailures {
    // Files whose device the kernel does not report share one count, under a number that no device has.
    sync_failures_of_device(device_of(file).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_count_the_failed_syncs_of_a_device_together() {
        let (device, other) = (u64::MAX - 1, u64::MAX - 2);
        let before = sync_failures_of_device(device).count();
        std::thread::spawn(move || sync_failures_of_device(device).note()).join().unwrap();
        assert_eq!(sync_failures_of_device(device).count(), before + 1);
        assert_eq!(sync_failures_of_device(other).count(), 0);
        let path = std::path::Path::new("/f");
        assert!(sync_failures_of_device(device).check(before, path).is_err());
        sync_failures_of_device(device).check(before + 1, path).unwrap();
    }
}
