//! Random histories of consumer groups against the rules that always hold.
//!
//! `GROUP_HISTORIES=20000 cargo test -p vnotch-engine --test groups --release` searches for longer. A failure names the seed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

mod assign;
mod bad_input;
mod expiry;
mod history;
mod member_bytes;
mod protocols;
mod rig;
mod static_members;
mod stored;
mod traps;

use history::generate::{history, settings};
use history::run::{Run, load};
use history::{Kind, Settings};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use vnotch_engine::group::{EncodedRecord, Groups};

/// Histories of each kind in a normal run.
const HISTORIES: u64 = 400;
/// Operations of a history.
const STEPS: usize = 160;

fn histories() -> u64 {
    std::env::var("GROUP_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(HISTORIES)
}

fn stored(groups: &Groups) -> Vec<EncodedRecord> {
    groups.snapshot().collect()
}

fn ids(groups: &Groups) -> Vec<String> {
    groups.ids().map(str::to_owned).collect()
}

/// Checks that the log holds the stored state of a coordinator, and that a snapshot does.
fn check_replay(run: &Run) {
    let live = stored(&run.groups);
    let of_log = load(&run.settings, &run.log);
    assert_eq!(stored(&of_log), live, "the log gives the stored state");
    let of_snapshot = load(&run.settings, &live);
    assert_eq!(stored(&of_snapshot), live, "a snapshot gives the stored state");
    assert_eq!(ids(&of_snapshot), ids(&of_log), "a snapshot gives all groups of the log");
}

/// Runs the histories of all seeds, and returns how often each request, error and state was seen.
fn run_all(kind: Kind) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for seed in 0..histories() {
        let settings = settings(seed, kind, STEPS);
        let outcome = catch_unwind(AssertUnwindSafe(|| run_one(settings)));
        let seen = outcome.unwrap_or_else(|_| panic!("the {kind:?} history of seed {seed} fails"));
        for (name, count) in seen {
            *counts.entry(name).or_default() += count;
        }
    }
    counts
}

fn run_one(settings: Settings) -> BTreeMap<String, u64> {
    let mut run = history(settings, |run, step| {
        if run.log.len() % 16 == 0 || !step.records.is_empty() && run.log.len() % 5 == 0 {
            check_replay(run);
        }
    });
    check_replay(&run);
    run.end();
    run.checks.counts
}

/// Names that each run of histories has to see, with the least count for 1,000 histories.
const SEEN: [(&str, u64); 34] = [
    ("join", 20_000),
    ("sync", 10_000),
    ("heartbeat", 7_000),
    ("leave", 3_000),
    ("commit", 7_000),
    ("fetch", 1_500),
    ("offset_delete", 2_000),
    ("delete_groups", 1_000),
    ("describe", 2_000),
    ("list", 1_000),
    ("joined", 10_000),
    ("synced", 4_000),
    ("Empty", 30_000),
    ("PreparingRebalance", 30_000),
    ("CompletingRebalance", 15_000),
    ("Stable", 15_000),
    ("Dead", 700),
    ("UNKNOWN_SERVER_ERROR", 50),
    ("OFFSET_METADATA_TOO_LARGE", 200),
    ("COORDINATOR_NOT_AVAILABLE", 50),
    ("NOT_COORDINATOR", 1_000),
    ("ILLEGAL_GENERATION", 2_000),
    ("INCONSISTENT_GROUP_PROTOCOL", 400),
    ("UNKNOWN_MEMBER_ID", 15_000),
    ("INVALID_SESSION_TIMEOUT", 400),
    ("REBALANCE_IN_PROGRESS", 2_000),
    ("NON_EMPTY_GROUP", 800),
    ("GROUP_ID_NOT_FOUND", 1_000),
    ("MEMBER_ID_REQUIRED", 5_000),
    ("GROUP_MAX_SIZE_REACHED", 250),
    ("FENCED_INSTANCE_ID", 2_000),
    ("GROUP_SUBSCRIBED_TO_TOPIC", 1_000),
    ("MESSAGE_TOO_LARGE", 5),
    ("INVALID_REQUEST", 5),
];

fn check_counts(counts: &BTreeMap<String, u64>) {
    let rare: Vec<String> = SEEN
        .iter()
        .map(|(name, least)| (name, least * histories() / 1_000, counts.get(*name).copied().unwrap_or(0)))
        .filter(|(_, least, seen)| seen < least)
        .map(|(name, least, seen)| format!("{name}: {seen} instead of {least}"))
        .collect();
    assert!(rare.is_empty(), "seen too rarely: {rare:?}\nof {counts:?}");
}

#[test]
fn histories_that_kafka_can_be_driven_through_keep_the_rules() {
    check_counts(&run_all(Kind::Comparable));
}

#[test]
fn histories_with_open_appends_and_clocks_that_jump_keep_the_rules() {
    check_counts(&run_all(Kind::Hostile));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..20 {
        let lines = || {
            let mut lines = Vec::new();
            history(settings(seed, Kind::Comparable, STEPS), |_, step| {
                lines.push(history::json::step(lines.len(), step))
            });
            lines
        };
        assert_eq!(lines(), lines());
    }
}
