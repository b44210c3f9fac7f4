//! Counts the syncs that fail on a device.
//!
//! A sync that fails may drop data of any file of the device from the device's cache. The next sync of such a file
//! succeeds all the same, and does not make that data durable. So code that relies on a sync compares two counts: the
//! one after the sync, and the one before the first change that the sync covers.

use crate::error::{DiskError, DiskOp};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of syncs that have failed on one device. Clones share it, on any thread.
#[derive(Debug, Clone, Default)]
pub struct SyncFailures(Arc<AtomicU64>);

impl SyncFailures {
    /// Returns the number of failed syncs. Counting began at some time before: only the difference between two calls
    /// has a meaning.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Counts one more failed sync.
    pub(super) fn note(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// Fails if the count is no longer `failed_syncs`. Changes from in between may be lost, even if a later sync of
    /// them has succeeded. The error names `path`.
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
