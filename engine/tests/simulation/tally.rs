//! Counts over all histories of this process: faults that an operation ran into, and outcomes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vnotch_engine::disk::sim::SimDisk;

static COUNTS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn counts() -> MutexGuard<'static, BTreeMap<String, u64>> {
    // If a history panicked while it counted, the numbers are still valid.
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds 1 to the count of `name`.
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

/// Adds the faults of a disk and of the disks that it was made from. Called once for the last disk of such a series.
pub(crate) fn add_faults(disk: &SimDisk) {
    for (name, count) in disk.fault_counts() {
        add(&format!("fault: {name}"), count);
    }
}

/// The counts, by name.
pub(crate) fn all() -> BTreeMap<String, u64> {
    counts().clone()
}
