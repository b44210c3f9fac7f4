//! Counting the syncs that fail on a device.
//!
//! A sync that fails may drop what any file of the device has in the device's cache. The next sync of such a file succeeds
//! all the same, and makes nothing durable. So whoever relies on a sync compares the count after it with the count before the
//! first change that the sync covers.

use crate::error::{DiskError, DiskOp};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of syncs that have failed on one device. Clones share it, on any thread.
#[derive(Debug, Clone, Default)]
pub struct SyncFailures(Arc<AtomicU64>);

impl SyncFailures {
    /// Syncs that have failed on the device since the disk was opened.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Counts one more.
    pub(super) fn note(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// Fails if the count is no longer `failed_syncs`: what was changed since then may be lost, whatever was synced after it.
    /// `path` is named in the error.
    ///
    /// # Errors
    /// A sync on the device has failed in between.
    pub fn check(&self, failed_syncs: u64, path: &Path) -> Result<(), DiskError> {
        if self.count() == failed_syncs {
            return Ok(());
        }
        let reason =
            "a sync of another file on the device has failed, which may have dropped what this one covers";
        Err(DiskError::new(DiskOp::Sync, path, 0, std::io::Error::other(reason)))
    }
}
