//! Counts over all histories of this process: faults that an operation ran into, and outcomes. A long run has to meet each of
//! them a number of times.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vnotch_engine::disk::sim::SimDisk;

/// Number of histories for which the least counts below are given.
const LONG: u64 = 50_000;

/// The counts are checked from this number of histories on. With fewer histories, chance decides about the rare ones.
const CHECKED_FROM: u64 = 2_500;

/// Least count of each fault in [`LONG`] histories.
const FAULTS_LEAST: u64 = 1_000;

/// Least count of each outcome in [`LONG`] histories.
const OUTCOMES_LEAST: u64 = 100;

/// Every kind of fault that the histories have to meet.
const FAULTS: [&str; 18] = [
    "fault: a byte is damaged",
    "fault: create directory fails",
    "fault: create fails",
    "fault: list fails",
    "fault: no space",
    "fault: open fails",
    "fault: read fails",
    "fault: remove fails",
    "fault: rename fails",
    "fault: reserve space for fails",
    "fault: sync directory fails",
    "fault: sync fails",
    "fault: sync fails and drops the device's writes",
    "fault: sync fails and drops the file's writes",
    "fault: truncate fails",
    "fault: write fails",
    "fault: write is lost",
    "fault: write is misdirected",
];

/// Every outcome of an open, a read or a change of the catalog that the histories have to meet.
const OUTCOMES: [&str; 22] = [
    "catalog: a creation failed",
    "catalog: a deletion failed",
    "catalog: an addition of partitions failed",
    "catalog: an open failed",
    "catalog: opened",
    "catalog: partitions added",
    "open: clean",
    "open: damage is taken for the end",
    "open: deletion finished",
    "open: empty segment removed",
    "open: later segments discarded",
    "open: prepared file removed",
    "open: refused as damaged, nothing changed",
    "open: reserved space cut",
    "open: spare adopted",
    "open: spare removed",
    "open: the disk failed",
    "open: torn tail cut",
    "open: unfinished spare removed",
    "read: refused as damaged",
    "read: the checksum does not hold",
    "read: the disk failed",
];

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

/// A name that was met too rarely.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rare {
    name: &'static str,
    count: u64,
    least: u64,
}

/// Returns the faults and outcomes that `histories` histories have met too rarely, by their `counts`. Returns none of them if
/// there were few histories.
pub(crate) fn rare(counts: &BTreeMap<String, u64>, histories: u64) -> Vec<Rare> {
    if histories < CHECKED_FROM {
        return Vec::new();
    }
    let faults = FAULTS.iter().map(|name| (*name, FAULTS_LEAST));
    let outcomes = OUTCOMES.iter().map(|name| (*name, OUTCOMES_LEAST));
    let all = faults.chain(outcomes).map(|(name, least)| {
        let count = counts.get(name).copied().unwrap_or(0);
        Rare { name, count, least: least * histories / LONG }
    });
    all.filter(|met| met.count < met.least).collect()
}

#[test]
fn a_fault_or_outcome_that_is_met_too_rarely_is_found() {
    let all = FAULTS.iter().chain(&OUTCOMES);
    let mut counts: BTreeMap<String, u64> =
        all.map(|name| ((*name).to_owned(), if name.starts_with("fault: ") { 1_000 } else { 100 })).collect();
    assert!(rare(&counts, LONG).is_empty());
    counts.insert("fault: write is lost".to_owned(), 999);
    counts.remove("open: torn tail cut");
    let expected = [("fault: write is lost", 999, 1_000), ("open: torn tail cut", 0, 100)];
    assert_eq!(rare(&counts, LONG), expected.map(|(name, count, least)| Rare { name, count, least }));
    let expected = [("open: torn tail cut", 0, 10)];
    assert_eq!(rare(&counts, LONG / 10), expected.map(|(name, count, least)| Rare { name, count, least }));
    let none = BTreeMap::new();
    assert_eq!(rare(&none, CHECKED_FROM).len(), FAULTS.len() + OUTCOMES.len());
    assert!(rare(&none, CHECKED_FROM - 1).is_empty());
}
