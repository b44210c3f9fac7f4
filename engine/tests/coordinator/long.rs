//! Many histories, with counts of what they have met.

use crate::play::play;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Histories of a normal test run.
const HISTORIES: u64 = 240;

/// Number of histories that a long run has. Each name below is seen a thousand times in them.
const LONG: u64 = 20_000;

/// Least count of each name in [`LONG`] histories.
const LEAST: u64 = 1_000;

/// The requests, errors, states and events that the histories have to meet. `POLICY_VIOLATION` has a test of its own (`full.rs`).
const MET: [&str; 52] = [
    "join",
    "sync",
    "heartbeat",
    "leave",
    "commit",
    "fetch",
    "offset_delete",
    "delete_groups",
    "describe",
    "list",
    "joined",
    "synced",
    "Empty",
    "PreparingRebalance",
    "CompletingRebalance",
    "Stable",
    "Dead",
    "UNKNOWN_SERVER_ERROR",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "MESSAGE_TOO_LARGE",
    "OFFSET_METADATA_TOO_LARGE",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "NOT_COORDINATOR",
    "ILLEGAL_GENERATION",
    "INCONSISTENT_GROUP_PROTOCOL",
    "INVALID_GROUP_ID",
    "UNKNOWN_MEMBER_ID",
    "INVALID_SESSION_TIMEOUT",
    "REBALANCE_IN_PROGRESS",
    "INVALID_REQUEST",
    "NON_EMPTY_GROUP",
    "GROUP_ID_NOT_FOUND",
    "MEMBER_ID_REQUIRED",
    "GROUP_MAX_SIZE_REACHED",
    "FENCED_INSTANCE_ID",
    "GROUP_SUBSCRIBED_TO_TOPIC",
    "append: no space",
    "append: too large",
    "append: the storage failed",
    "end: kill",
    "end: power loss",
    "end: close",
    "ends at an operation of the disk",
    "restart: acked records are lost",
    "restart after a failure",
    "open: the disk failed",
    "the time of day jumps",
    "the disk becomes full",
    "a topic is deleted",
    "compactions",
    "batches of a live state",
];

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

/// The state of a run, shared by its threads.
struct Run {
    next_seed: AtomicU64,
    end_seed: u64,
    has_failed: AtomicBool,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Run {
    fn work(&self) {
        while !self.has_failed.load(Ordering::Relaxed) {
            let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end_seed {
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| play(seed))) {
                Ok(counts) => self.add(counts),
                Err(_) => {
                    self.has_failed.store(true, Ordering::Relaxed);
                    eprintln!("seed {seed} fails; repeat it with: scripts/simulate --groups --replay {seed}");
                }
            }
        }
    }

    fn add(&self, counts: BTreeMap<String, u64>) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, count) in counts {
            *all.entry(name).or_default() += count;
        }
        *all.entry("histories".to_owned()).or_default() += 1;
    }
}

#[test]
fn coordinators_keep_their_promises() {
    if let Some(seed) = number("VNOTCH_SIMULATE_REPLAY") {
        play(seed);
        return;
    }
    let (histories, first) =
        (number("VNOTCH_GROUP_HISTORIES").unwrap_or(HISTORIES), number("VNOTCH_SIMULATE_SEED").unwrap_or(0));
    let run = Run {
        next_seed: AtomicU64::new(first),
        end_seed: first + histories,
        has_failed: AtomicBool::new(false),
        counts: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..number("VNOTCH_SIMULATE_JOBS").unwrap_or(1).max(1) {
            scope.spawn(|| run.work());
        }
    });
    let counts = run.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, count) in &counts {
        println!("{count:>12}  {name}");
    }
    assert!(!run.has_failed.into_inner(), "a history failed");
    let least = LEAST * histories / LONG;
    let seen = |name: &str| counts.get(name).copied().unwrap_or(0);
    let rare: Vec<_> = MET.iter().filter(|name| seen(name) < least).map(|name| (name, seen(name))).collect();
    assert!(rare.is_empty(), "met less than {least} times: {rare:?}");
}
