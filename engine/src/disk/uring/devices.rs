//! The failed syncs of each device, for all shards and engines of the process: a device has one cache for them all.

use crate::disk::SyncFailures;
use rustix::fs::{Stat, fstat};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// By `st_dev`.
static DEVICES: Mutex<BTreeMap<u64, SyncFailures>> = Mutex::new(BTreeMap::new());

/// The failed syncs of a device.
pub(super) fn sync_failures_of(device: u64) -> SyncFailures {
    let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
    devices.entry(device).or_default().clone()
}

/// The device that an open file lies on.
pub(super) fn device_of(file: impl AsFd) -> Option<u64> {
    fstat(file).ok().map(|stat: Stat| stat.st_dev)
}

/// The failed syncs of the device that an open file lies on.
pub(super) fn sync_failures_beside(file: impl AsFd) -> SyncFailures {
    // Files whose device the kernel does not tell are taken for files of one device, which is none of those with a number.
    sync_failures_of(device_of(file).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_count_the_failed_syncs_of_a_device_together() {
        let (device, other) = (u64::MAX - 1, u64::MAX - 2);
        let before = sync_failures_of(device).count();
        std::thread::spawn(move || sync_failures_of(device).note()).join().unwrap();
        assert_eq!(sync_failures_of(device).count(), before + 1);
        assert_eq!(sync_failures_of(other).count(), 0);
        let path = std::path::Path::new("/f");
        assert!(sync_failures_of(device).check(before, path).is_err());
        sync_failures_of(device).check(before + 1, path).unwrap();
    }
}
