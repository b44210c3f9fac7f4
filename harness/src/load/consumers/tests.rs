//! Members of groups with the fake system and a clock that the tests move: what they read, commit and lose.

use super::Check;
use crate::load::pool::StampPlace;
use crate::load::stamp::{Stamp, body_crc};
use crate::load::tests::bed::{MS, Ran, S, acks_after, open, run, run_with_pause};
use crate::measure::group::GroupRecord;
use crate::measure::ledger::{ConsumedPartition, SequenceTrack};
use crate::system::InRecord;
use crate::system::fake::{Behaviour, GroupFaults};
use crate::workload::{
    Assignment, Churn, Commit, CommitMode, Consume, KeyDistribution, TimeSpan, Verify, Workload,
};
use std::ops::Range;
use std::time::Duration;

/// A workload in which two members read four partitions. Each partition gets a record a millisecond.
fn members(consume: Consume) -> Workload {
    let mut workload = open(4000);
    workload.partitions_per_topic = 4;
    workload.consumers_per_subscription = 2;
    workload.key_distribution = KeyDistribution::RoundRobin;
    workload.consume = Consume { assignment: Some(Assignment::Group), ..consume };
    workload
}

fn commit(mode: CommitMode, every_ms: u64) -> Option<Commit> {
    Some(Commit { mode, every: TimeSpan(Duration::from_millis(every_ms)) })
}

/// Members that leave and join every two seconds of the window, which has ten.
fn churned() -> Workload {
    members(Consume { churn: Some(Churn { every: TimeSpan::seconds(2) }), ..Consume::default() })
}

fn with(group: GroupFaults) -> Behaviour {
    Behaviour { group, ..acks_after(MS) }
}

/// The record of the only group.
fn group(ran: &Ran) -> &GroupRecord {
    let [group] = &ran.groups[..] else { panic!("one group") };
    group
}

#[test]
fn members_share_the_partitions_and_read_every_record_once() {
    let ran = run(&members(Consume::default()), acks_after(MS));
    assert_eq!(ran.window().consumed_records, 40_000);
    let latency = ran.all().latency;
    assert_eq!(latency.of(crate::result::latency::Measure::EndToEnd).len(), 40_000);
    let integrity = ran.integrity();
    assert_eq!((integrity.checked, integrity.redelivered, integrity.is_violated()), (44_000, 0, false));
    let group = group(&ran);
    assert_eq!((group.id.as_str(), group.members), ("vnotch-vnotch-0-bench1-group", 2));
    assert_eq!((group.rebalances.len(), group.lag_end, group.stop_max_ns), (0, 0, 0));
}

#[test]
fn members_on_several_threads_and_in_several_groups_are_told_apart() {
    let mut workload = churned();
    (workload.topics, workload.subscriptions_per_topic) = (2, 2);
    let ran = run_with_pause(&workload, acks_after(MS), 2, (u64::MAX, 0));
    let integrity = ran.integrity();
    assert!(integrity.checked.abs_diff(88_000) <= 20, "every group reads everything: {integrity:?}");
    assert!(!integrity.is_violated() && integrity.undrained == 0, "{integrity:?}");
    assert_eq!(ran.groups.len(), 4);
    assert!(ran.groups.iter().all(|group| group.rebalances.len() == 4));
}

#[test]
fn members_leave_and_join_on_schedule_and_nothing_is_lost() {
    let ran = run(&churned(), acks_after(MS));
    let integrity = ran.integrity();
    assert!(!integrity.is_violated(), "{integrity:?}");
    assert_eq!(
        (integrity.redelivered, integrity.undrained),
        (0, 0),
        "all was committed before partitions went"
    );
    let group = group(&ran);
    assert_eq!(group.lag_end, 0);
    // The window opens at 1 s: a member leaves at 3 s and joins at 5 s, then the other one.
    let starts: Vec<u64> = group.rebalances.iter().map(|rebalance| rebalance.span.start_ns / S).collect();
    assert_eq!(starts, [3, 5, 7, 9]);
    assert!(group.rebalances_in_window(&ran.timeline).count() == 4);
}

#[test]
fn forgotten_commits_are_redelivered_and_no_fault() {
    let ran = run(&churned(), with(GroupFaults { forgets_commits: true, ..GroupFaults::default() }));
    let integrity = ran.integrity();
    assert!(integrity.redelivered > 10_000, "{integrity:?}");
    assert_eq!((integrity.is_violated(), integrity.skipped, integrity.duplicates), (false, 0, 0));
}

#[test]
fn without_commits_a_new_owner_begins_at_the_logs_start() {
    let mut workload = churned();
    workload.consume.commit = commit(CommitMode::None, 1000);
    let ran = run(&workload, acks_after(MS));
    let integrity = ran.integrity();
    assert!(integrity.redelivered > 10_000 && !integrity.is_violated(), "{integrity:?}");
    assert!(group(&ran).commits.is_empty());
}

#[test]
fn records_that_a_member_commits_without_reading_them_are_skipped() {
    let ran = run(&churned(), with(GroupFaults { skips_on_revoke: true, ..GroupFaults::default() }));
    let integrity = ran.integrity();
    assert!(integrity.skipped > 0 && integrity.is_violated(), "{integrity:?}");
    assert_eq!((integrity.gaps, integrity.redelivered, integrity.undrained), (0, 0, 0), "{integrity:?}");
}

#[test]
fn a_partition_with_two_owners_is_double_owned() {
    // A group with this fault does not settle, so it begins with the first rebalance of the window. Two members join in two
    // generations.
    let ran = run(&churned(), with(GroupFaults { shares_from: Some(3), ..GroupFaults::default() }));
    let integrity = ran.integrity();
    assert!(integrity.double_owned > 1000 && integrity.is_violated(), "{integrity:?}");
    assert_eq!((integrity.gaps, integrity.skipped), (0, 0), "{integrity:?}");
}

#[test]
fn commits_of_the_window_are_counted_and_timed() {
    for (mode, every_ms) in [(CommitMode::Auto, 500), (CommitMode::Sync, 500)] {
        let workload = members(Consume { commit: commit(mode, every_ms), ..Consume::default() });
        let ran = run(&workload, acks_after(MS));
        let group = group(&ran);
        // Two members in ten seconds.
        assert!(group.commit_ns.len().abs_diff(40) <= 2, "{mode:?}: {}", group.commit_ns.len());
        assert_eq!((group.commits_failed, group.commit_ns.max() / 1000), (0, 10));
        assert!(!ran.integrity().is_violated());
        let refused = run(&workload, with(GroupFaults { refuses_commits: true, ..GroupFaults::default() }));
        let group = self::group(&refused);
        assert_eq!(group.commit_ns.len(), 0);
        assert!(group.commits_failed.abs_diff(40) <= 2, "{mode:?}: {}", group.commits_failed);
    }
}

#[test]
fn commits_that_are_waited_for_cover_what_was_read_before_partitions_go() {
    let mut workload = churned();
    workload.consume.commit = commit(CommitMode::Sync, 3_600_000);
    let ran = run(&workload, acks_after(MS));
    let integrity = ran.integrity();
    assert_eq!(
        (integrity.redelivered, integrity.is_violated(), integrity.undrained),
        (0, false, 0),
        "{integrity:?}"
    );
}

#[test]
fn records_of_others_are_counted_and_a_changed_record_of_the_trial_is_missing() {
    const SALT: u32 = 0x5eed;
    let body = [7; 8];
    let value = |sequence, salt: u32| {
        let stamp = Stamp { sequence, intended_ns: 0, producer: 0 }.encode(body_crc(&body) ^ salt);
        [&stamp[..], &body[..]].concat()
    };
    let mut changed = value(2, SALT);
    changed[30] ^= 1;
    // A second trial of the same workload has the same producers and sequences, and another salt.
    let of_another_trial = value(1, SALT + 1);
    let values =
        [value(0, SALT), b"an order".to_vec(), of_another_trial, value(1, SALT), changed, value(3, SALT)];
    let found = |salt| {
        let check = Check {
            first_sender: 0,
            verify: Verify::SequenceCrc,
            place: StampPlace::Value,
            is_open_load: false,
            salt,
        };
        let mut seen = ConsumedPartition { tracks: vec![SequenceTrack::default()], ..Default::default() };
        for (offset, value) in (100..).zip(&values) {
            check.observe(&InRecord { offset, key: None, value, stamp_header: None }, &mut seen);
        }
        seen
    };
    let seen = found(Some(SALT));
    assert_eq!((seen.foreign, seen.checked, seen.corruptions, seen.position), (3, 3, 0, 106));
    assert_eq!(seen.tracks[0].missing(), vec![Range { start: 2, end: 3 }], "the changed record is missing");
    assert_eq!(seen.tracks[0].duplicates(), 0);
    let alone = found(None);
    assert_eq!(
        (alone.foreign, alone.checked, alone.corruptions),
        (0, 6, 6),
        "nobody else writes to its topics"
    );
}
