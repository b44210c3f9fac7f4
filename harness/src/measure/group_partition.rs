//! One partition as the members of one group read it: its owners, the records that each of them has read, and the times in which
//! it had no owner.

use super::ledger::{ConsumedPartition, SequenceTrack, Step};
use crate::num;
use crate::time::timeline::Timeline;
use std::ops::Range;

/// The most times without an owner that are kept of a partition.
const STOPS_MAX: usize = 1000;

/// A stretch of time, ns on the trial's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The start.
    pub start_ns: u64,
    /// The end.
    pub end_ns: u64,
}

/// A member in a generation of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberOf {
    /// Number of the member within its group.
    pub member: u32,
    /// The generation.
    pub generation: i32,
}

/// A partition as the members of one group read it.
#[derive(Debug, Default)]
pub struct GroupPartition {
    seen: ConsumedPartition,
    owners: Vec<Owner>,
    /// The time at which the last owner has lost the partition, ns; `None` while it has an owner, or has had none yet.
    unowned_since_ns: Option<u64>,
    /// The longest time of the window without an owner, ns.
    stop_max_ns: u64,
    /// Times without an owner.
    stops: Vec<Span>,
    /// Whether retention may delete records before an owner reads them.
    may_be_deleted: bool,
}

/// The record of a partition after a trial.
#[derive(Debug)]
pub(super) struct PartitionRecord {
    /// The records that were seen.
    pub(super) seen: ConsumedPartition,
    /// Times without an owner.
    pub(super) stops: Vec<Span>,
    /// The longest of these times within the window, ns.
    pub(super) stop_max_ns: u64,
}

/// A member that owns the partition.
#[derive(Debug)]
struct Owner {
    is: MemberOf,
    /// Whether the owner has read nothing yet.
    is_fresh: bool,
    /// The sequences from the first to the last record of each producer that the owner has read; `None` before the first.
    reads: Vec<Option<Range<u64>>>,
}

impl GroupPartition {
    /// Makes the state of a partition before the first record. `seen` has a track for each producer.
    pub fn new(seen: ConsumedPartition, may_be_deleted: bool) -> Self {
        Self { seen, may_be_deleted, ..Self::default() }
    }

    /// Notes that a member owns the partition at `now_ns`. `start` is the offset of the first record that it may read, if it is
    /// known. For a member that owns the partition already, only the generation changes.
    pub fn acquire(&mut self, is: MemberOf, start: Option<u64>, now_ns: u64, timeline: &Timeline) {
        self.end_stop(now_ns, timeline);
        if let Some(owner) = self.owners.iter_mut().find(|owner| owner.is.member == is.member) {
            owner.is = is;
            return;
        }
        self.owners.push(Owner { is, is_fresh: true, reads: vec![None; self.seen.tracks.len()] });
        if let Some(start) = start.filter(|start| *start > self.seen.position) {
            self.seen.position = start;
            self.seen.tracks.iter_mut().for_each(SequenceTrack::jumped);
        }
    }

    /// Notes that a member no longer owns the partition.
    pub fn release(&mut self, member: u32, now_ns: u64) {
        let owners = self.owners.len();
        self.owners.retain(|owner| owner.is.member != member);
        if owners > 0 && self.owners.is_empty() {
            self.unowned_since_ns = Some(now_ns);
        }
    }

    /// Adds the time without an owner that ends now, as far as it lies in the window.
    fn end_stop(&mut self, now_ns: u64, timeline: &Timeline) {
        let Some(since_ns) = self.unowned_since_ns.take() else { return };
        let start_ns = since_ns.max(timeline.window_start_ns());
        let stop_ns = now_ns.min(timeline.window_end_ns()).saturating_sub(start_ns);
        self.stop_max_ns = self.stop_max_ns.max(stop_ns);
        if self.stops.len() < STOPS_MAX {
            self.stops.push(Span { start_ns: since_ns, end_ns: now_ns });
        }
    }

    /// Returns the index of a member among the owners. A member that reads what it was not assigned becomes an owner.
    pub fn owner(&mut self, is: MemberOf) -> usize {
        let found = self.owners.iter().position(|owner| owner.is.member == is.member);
        let index = found.unwrap_or_else(|| {
            self.owners.push(Owner { is, is_fresh: true, reads: vec![None; self.seen.tracks.len()] });
            self.owners.len() - 1
        });
        self.owners[index].is = is;
        index
    }

    /// Notes that the owner with this index has read a record of the trial with this offset.
    pub fn read(&mut self, owner: usize, offset: u64) {
        self.advance(owner, offset);
        self.seen.checked += 1;
    }

    /// Notes that the owner with this index has read a record that others wrote, with this offset.
    pub fn pass(&mut self, owner: usize, offset: u64) {
        self.seen.foreign += u64::from(offset >= self.seen.position);
        self.advance(owner, offset);
    }

    fn advance(&mut self, owner: usize, offset: u64) {
        let is_fresh = std::mem::take(&mut self.owners[owner].is_fresh);
        if is_fresh && offset > self.seen.position {
            if self.may_be_deleted {
                self.note_deleted(self.seen.position, offset);
            } else {
                self.seen.tracks.iter_mut().for_each(SequenceTrack::jumped);
            }
        }
        self.seen.position = self.seen.position.max(offset + 1);
    }

    /// Notes that the trial's records begin at the position of the group.
    pub(super) fn forget_jumps(&mut self) {
        self.seen.tracks.iter_mut().for_each(SequenceTrack::forget_jump);
    }

    /// Notes that retention has deleted the offsets from `from` to `to` before they were read.
    pub fn note_deleted(&mut self, from: u64, to: u64) {
        let deleted = to.saturating_sub(from.max(self.seen.position));
        if deleted > 0 {
            self.seen.skipped += deleted;
            self.seen.tracks.iter_mut().for_each(SequenceTrack::skipped);
        }
    }

    /// Counts a record that the owner with this index has read. Returns false if the topic has no such producer.
    pub fn observe(&mut self, owner: usize, producer: u32, sequence: u64, intended_ns: u64) -> bool {
        let number = num::index(producer);
        let Some(track) = self.seen.tracks.get_mut(number) else { return false };
        let generation = self.owners[owner].is.generation;
        let has_read =
            |other: &Owner| other.reads[number].as_ref().is_some_and(|read| read.contains(&sequence));
        let has_two_owners = sequence < track.expected()
            && (self.owners.iter().enumerate())
                .any(|(index, other)| index != owner && other.is.generation == generation && has_read(other));
        let read = &mut self.owners[owner].reads[number];
        let step = match read {
            None => Step::First,
            Some(read) if sequence >= read.end => Step::Ahead,
            Some(_) => Step::Again,
        };
        match read {
            Some(read) => read.end = read.end.max(sequence + 1),
            None => *read = Some(sequence..sequence + 1),
        }
        track.observe_of_owner(sequence, intended_ns, step, has_two_owners);
        true
    }

    /// Counts a record whose stamp cannot be read.
    pub fn corrupt(&mut self) {
        self.seen.corruptions += 1;
    }

    /// The offset after the last record that was read, or from which an owner has begun.
    pub const fn position(&self) -> u64 {
        self.seen.position
    }

    /// Whether exactly one member owns the partition.
    pub fn has_one_owner(&self) -> bool {
        self.owners.len() == 1
    }

    /// Forgets times without an owner.
    pub(super) fn forget_stops(&mut self) {
        self.stop_max_ns = 0;
        self.stops.clear();
    }

    /// Ends the record at `ended_ns`.
    pub(super) fn finish(&mut self, ended_ns: u64, timeline: &Timeline) -> PartitionRecord {
        self.end_stop(ended_ns, timeline);
        let (seen, stops) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.stops));
        PartitionRecord { seen, stops, stop_max_ns: self.stop_max_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const FIRST: MemberOf = MemberOf { member: 0, generation: 1 };
    const OTHER: MemberOf = MemberOf { member: 1, generation: 1 };

    fn timeline() -> Timeline {
        let ns = Duration::from_nanos;
        Timeline::new(ns(100), ns(1000), ns(100), ns(10))
    }

    fn partition() -> GroupPartition {
        let seen = ConsumedPartition { tracks: vec![SequenceTrack::default()], ..Default::default() };
        let mut partition = GroupPartition::new(seen, false);
        partition.acquire(FIRST, None, 0, &timeline());
        partition
    }

    /// Lets a member read records whose sequences are their offsets.
    fn read(partition: &mut GroupPartition, by: MemberOf, sequences: impl IntoIterator<Item = u64>) {
        let owner = partition.owner(by);
        for sequence in sequences {
            partition.read(owner, sequence);
            assert!(partition.observe(owner, 0, sequence, 0));
        }
    }

    /// Returns (redelivered, double-owned, duplicates, reorders, records skipped, records missing).
    fn counts(partition: &GroupPartition) -> (u64, u64, u64, u64, u64, u64) {
        let track = &partition.seen.tracks[0];
        let sum = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end - range.start).sum();
        (
            track.redelivered(),
            track.double_owned(),
            track.duplicates(),
            track.reorders(),
            sum(track.skipped_ranges()),
            sum(track.missing()),
        )
    }

    #[test]
    fn a_new_owner_that_begins_at_an_older_position_is_redelivered_records() {
        let mut partition = partition();
        read(&mut partition, FIRST, 0..10);
        partition.release(0, 50);
        partition.acquire(MemberOf { generation: 2, ..OTHER }, Some(7), 60, &timeline());
        read(&mut partition, MemberOf { generation: 2, ..OTHER }, 7..12);
        assert_eq!(counts(&partition), (3, 0, 0, 0, 0, 0));
        assert_eq!(partition.position(), 12);
    }

    #[test]
    fn records_between_two_owners_that_none_has_read_are_skipped() {
        let mut partition = partition();
        read(&mut partition, FIRST, 0..10);
        partition.release(0, 50);
        partition.acquire(OTHER, Some(14), 60, &timeline());
        assert_eq!(partition.position(), 14, "the group has read on from there");
        assert!(partition.seen.tracks[0].has_jumped());
        read(&mut partition, OTHER, 14..20);
        assert_eq!(counts(&partition), (0, 0, 0, 0, 4, 0));
        partition.release(1, 70);
        partition.acquire(FIRST, Some(12), 80, &timeline());
        read(&mut partition, FIRST, 12..20);
        assert_eq!(counts(&partition), (6, 0, 0, 0, 2, 0), "two of them were read later");
    }

    #[test]
    fn two_owners_of_one_generation_that_read_the_same_are_double_owners() {
        let mut partition = partition();
        read(&mut partition, FIRST, 0..10);
        partition.acquire(OTHER, Some(5), 60, &timeline());
        read(&mut partition, OTHER, 5..12);
        read(&mut partition, FIRST, 10..12);
        assert_eq!(counts(&partition), (0, 7, 0, 0, 0, 0));
    }

    #[test]
    fn a_member_that_reads_on_in_an_older_generation_is_no_double_owner() {
        let mut partition = partition();
        read(&mut partition, FIRST, 0..10);
        let newer = MemberOf { generation: 2, ..OTHER };
        partition.acquire(newer, Some(5), 60, &timeline());
        read(&mut partition, newer, 5..12);
        assert_eq!(counts(&partition), (5, 0, 0, 0, 0, 0));
    }

    #[test]
    fn faults_within_one_owner_are_no_matter_of_the_group() {
        let mut partition = partition();
        read(&mut partition, FIRST, [0, 1, 1, 2, 4, 3, 6]);
        assert_eq!(counts(&partition), (0, 0, 1, 1, 0, 1), "one repeated, one late, one missing");
    }

    #[test]
    fn a_stop_is_the_longest_time_of_the_window_without_an_owner() {
        let timeline = timeline();
        let mut partition = partition();
        partition.release(0, 50);
        partition.acquire(OTHER, None, 150, &timeline);
        assert_eq!(partition.stop_max_ns, 50, "the window has opened at 100");
        partition.release(1, 1000);
        let record = partition.finish(2000, &timeline);
        assert_eq!(record.stop_max_ns, 100, "the window has closed at 1100");
        let spans = [(50, 150), (1000, 2000)].map(|(start_ns, end_ns)| Span { start_ns, end_ns });
        assert_eq!(record.stops, spans);
    }

    #[test]
    fn what_retention_may_have_deleted_was_not_skipped() {
        let mut partition = partition();
        partition.may_be_deleted = true;
        read(&mut partition, FIRST, 3..5);
        assert_eq!((counts(&partition), partition.seen.skipped), ((0, 0, 0, 0, 0, 0), 3));
        assert_eq!(partition.seen.tracks[0].lost(), 3);
        partition.note_deleted(4, 9);
        read(&mut partition, FIRST, 9..10);
        assert_eq!((counts(&partition).4, partition.seen.skipped), (0, 7), "4 was read before");
    }
}
