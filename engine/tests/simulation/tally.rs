//! Counts over all histories of this process: faults that met an operation, and outcomes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vnotch_engine::disk::sim::SimDisk;

static COUNTS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn counts() -> MutexGuard<'static, BTreeMap<String, u64>> {
    // A history that panicked while it counted leaves whole numbers behind.
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one more of `name`.
pub(crate) fn count(name: &str) {
    add(name, 1);
}

fn add(name: &str, count: u64) {
    let mut counts = counts();
    match counts.get_mut(name) {
        Some(sum) => *sum += count,
        None => {
            counts.insert(name.to_owned(), count);
        }
    }
}

/// Adds the faults that a disk and those before it have met. Call it once for each line of disks.
pub(crate) fn add_faults(disk: &SimDisk) {
    for (name, count) in disk.fault_counts() {
        add(&format!("fault: {name}"), count);
    }
}

/// The counts, by name.
pub(crate) fn all() -> BTreeMap<String, u64> {
    counts().clone()
}
