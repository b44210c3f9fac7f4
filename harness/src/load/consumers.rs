//! One logical consumer: it reads its partitions and checks every record. Under open load it also measures end-to-end
//! latency, from the time at which a record was intended to be sent.

pub(crate) mod join;
pub(crate) mod member;
pub(crate) mod reader;
#[cfg(test)]
mod tests;

use super::pool::StampPlace;
use super::shared::Shared;
use super::stamp::{Stamp, body_crc};
use super::turn::ThreadTurn;
use crate::measure::group::Group;
use crate::measure::group_partition::{GroupPartition, MemberOf};
use crate::measure::ledger::{ConsumedPartition, SequenceTrack};
use crate::measure::recorder::Counted;
use crate::num;
use crate::result::latency::Measure;
use crate::system::{FetchSink, FetchedInfo, InRecord, SystemConsumer};
use crate::workload::Verify;
use std::sync::MutexGuard;
use std::task::{Context, Poll, Waker};

/// Bytes that a consumer reads before the other clients get their turn.
const TURN_BYTES_MAX: u64 = 1 << 20;

/// The settings of a consumer.
pub struct ConsumerPlan {
    /// Number of the consumer's topic.
    pub topic: u32,
    /// Number of the consumer's group within the topic.
    pub group: u32,
    /// The partitions that the consumer reads, in the order of its client's assignment.
    pub partitions: Vec<u32>,
    /// Number of producers that the topic has.
    pub producers: u32,
    /// The settings that records are checked against.
    pub(crate) check: Check,
    /// Whether the consumer starts late, with a backlog to read.
    pub has_backlog: bool,
}

/// A running consumer.
pub(crate) struct Consumer {
    client: Box<dyn SystemConsumer>,
    check: Check,
    partitions: Vec<ConsumedPartition>,
    /// Whether the consumer has not reached the end of its backlog yet.
    is_behind: bool,
    /// Whether the consumer has read every record that will ever be acked.
    is_done: bool,
}

/// The settings that records are checked against.
pub(crate) struct Check {
    /// The number that the first producer of the topic has in stamps.
    pub(crate) first_sender: u32,
    /// The check that is made on records.
    pub(crate) verify: Verify,
    /// The place of the stamp in records.
    pub(crate) place: StampPlace,
    /// Whether records carry an intended time, from which latency is measured.
    pub(crate) is_open_load: bool,
    /// The salt of the trial's stamps. A record without a stamp of the trial was then written by others; without a salt it is
    /// corrupt.
    pub(crate) salt: Option<u32>,
}

/// The result of a consumer.
#[derive(Debug, Default)]
pub struct ConsumerOutcome {
    /// The state of each assigned partition, in the order of the assignment.
    pub partitions: Vec<ConsumedPartition>,
}

impl Consumer {
    pub(crate) fn new(plan: ConsumerPlan, client: Box<dyn SystemConsumer>) -> Self {
        let tracks = || (0..plan.producers).map(|_| SequenceTrack::default()).collect();
        let (topic, group) = (plan.topic, plan.group);
        let partition_of = |partition: &u32| {
            let partition = *partition;
            ConsumedPartition { topic, group, partition, tracks: tracks(), ..ConsumedPartition::default() }
        };
        Self {
            partitions: plan.partitions.iter().map(partition_of).collect(),
            client,
            check: plan.check,
            is_behind: plan.has_backlog,
            is_done: false,
        }
    }

    /// Returns whether the consumer has not reached the end of its backlog yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Checks whether the consumer has reached the end of its backlog. Returns whether it has, as the last of all
    /// consumers.
    pub(crate) fn check_caught_up(&mut self, shared: &Shared) -> bool {
        self.is_behind = !self.is_at_end(shared);
        !self.is_behind && shared.consumer_caught_up()
    }

    fn is_at_end(&self, shared: &Shared) -> bool {
        self.partitions.iter().all(|p| p.position >= shared.end_offset(p.topic, p.partition))
    }

    /// Reads the fetches that have arrived, up to [`TURN_BYTES_MAX`]. Returns whether there may be more.
    pub(crate) fn poll(&mut self, turn: &mut ThreadTurn<'_>, waker: &Waker) -> anyhow::Result<bool> {
        let mut context = Context::from_waker(waker);
        let mut read_bytes = 0;
        while read_bytes < TURN_BYTES_MAX {
            let mut fetch = Fetch::new(&self.check, Entries::Own(&mut self.partitions), turn);
            match self.client.poll_fetch(&mut context, &mut fetch) {
                Poll::Pending => return Ok(false),
                Poll::Ready(result) => result?,
            }
            read_bytes += fetch.finish();
        }
        Ok(true)
    }

    /// Checks whether the consumer has read every record that will ever be acked.
    pub(crate) fn check_done(&mut self, shared: &Shared) {
        self.is_done = self.is_done || (shared.all_produced() && self.is_at_end(shared));
    }

    /// Returns whether the consumer has read every record that will ever be acked.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(crate) fn finish(self) -> ConsumerOutcome {
        ConsumerOutcome { partitions: self.partitions }
    }
}

/// The place where the records of a fetch are entered.
enum Entries<'a> {
    /// The partitions of a consumer, in the order of its assignment.
    Own(&'a mut [ConsumedPartition]),
    /// The partitions of a group, by number.
    OfGroup(GroupEntries<'a>),
}

/// The place where the records of a member's fetch are entered.
struct GroupEntries<'a> {
    group: &'a Group,
    is: MemberOf,
    /// The partition of the fetch, with the index of the member among its owners.
    open: Option<(MutexGuard<'a, GroupPartition>, usize)>,
}

/// A fetch whose records are being checked.
struct Fetch<'a, 'b> {
    check: &'a Check,
    entries: Entries<'a>,
    turn: &'a mut ThreadTurn<'b>,
    assignment: usize,
    now_ns: u64,
    encoded_bytes: u64,
    records: u64,
    bytes: u64,
    /// Bytes of records that others wrote.
    foreign_bytes: u64,
    /// Intended time and number of the records in a row that share this intended time.
    run: (u64, u64),
    /// The longest end-to-end latency in this fetch, in ns; `None` if no record of the window is in it.
    slowest_ns: Option<u64>,
}

impl<'a, 'b> Fetch<'a, 'b> {
    /// Makes a fetch of a member of a group.
    fn of_group(check: &'a Check, (group, is): (&'a Group, MemberOf), turn: &'a mut ThreadTurn<'b>) -> Self {
        Self::new(check, Entries::OfGroup(GroupEntries { group, is, open: None }), turn)
    }

    fn new(check: &'a Check, entries: Entries<'a>, turn: &'a mut ThreadTurn<'b>) -> Self {
        Self {
            check,
            entries,
            turn,
            assignment: 0,
            now_ns: 0,
            encoded_bytes: 0,
            records: 0,
            bytes: 0,
            foreign_bytes: 0,
            run: (0, 0),
            slowest_ns: None,
        }
    }

    /// Counts the fetch. Returns its encoded size, or that of its keys and values if it is not known; at least 1.
    fn finish(mut self) -> u64 {
        self.close_run();
        if let Entries::OfGroup(GroupEntries { group, open: Some((partition, _)), .. }) = &self.entries {
            group.read_to(self.assignment, partition.position());
        }
        if let Some(ns) = self.slowest_ns {
            self.turn.recorder.distinct(Measure::EndToEnd, ns);
        }
        let (records, bytes, encoded_bytes) = (self.records, self.bytes, self.encoded_bytes);
        self.turn.recorder.consumed(Counted { records, bytes, encoded_bytes });
        // Some systems do not report the encoded size.
        self.encoded_bytes.max(bytes + self.foreign_bytes).max(1)
    }

    fn close_run(&mut self) {
        let (intended_ns, records) = std::mem::take(&mut self.run);
        if records > 0 && self.turn.timeline.in_window(intended_ns) {
            let ns = self.now_ns.saturating_sub(intended_ns);
            self.turn.recorder.latency(Measure::EndToEnd, ns, records);
            self.slowest_ns = self.slowest_ns.max(Some(ns));
        }
    }
}

impl FetchSink for Fetch<'_, '_> {
    fn begin(&mut self, info: &FetchedInfo) {
        self.now_ns = self.turn.now();
        self.assignment = info.assignment;
        self.encoded_bytes = info.bytes;
        match &mut self.entries {
            Entries::Own(partitions) => note_skipped(info, &mut partitions[info.assignment]),
            Entries::OfGroup(GroupEntries { group, is, open }) => {
                let mut partition = group.partition(info.assignment);
                let owner = partition.owner(*is);
                *open = Some((partition, owner));
            }
        }
    }

    fn record(&mut self, record: &InRecord<'_>) {
        let bytes = num::count(record.value.len() + record.key.map_or(0, <[u8]>::len));
        let stamp = match &mut self.entries {
            Entries::Own(partitions) => self.check.observe(record, &mut partitions[self.assignment]),
            Entries::OfGroup(GroupEntries { open: Some((partition, owner)), .. }) => {
                self.check.observe_of_group(record, partition, *owner)
            }
            // A record comes after the begin of its fetch.
            Entries::OfGroup(_) => None,
        };
        if stamp.is_none() && self.check.salt.is_some() {
            self.foreign_bytes += bytes;
            return;
        }
        self.records += 1;
        self.bytes += bytes;
        let Some(stamp) = stamp else { return };
        if self.check.is_open_load {
            if self.run.0 != stamp.intended_ns {
                self.close_run();
                self.run.0 = stamp.intended_ns;
            }
            self.run.1 += 1;
        }
    }
}

/// Notes records that retention deleted before this fetch.
pub(crate) fn note_skipped(info: &FetchedInfo, seen: &mut ConsumedPartition) {
    if info.skipped > 0 {
        seen.skipped += info.skipped;
        seen.tracks.iter_mut().for_each(SequenceTrack::skipped);
    }
}

impl Check {
    /// Checks a record and enters it into its partition. Returns its stamp; `None` if the record is corrupt or was written by
    /// others. A record of the trial that was changed counts as one of others where they may write, and is missing.
    pub(crate) fn observe(&self, record: &InRecord<'_>, seen: &mut ConsumedPartition) -> Option<Stamp> {
        seen.position = record.offset + 1;
        let stamp = self.stamp_of(record);
        if stamp.is_none() && self.salt.is_some() {
            seen.foreign += 1;
            return None;
        }
        seen.checked += 1;
        let track = stamp.and_then(|stamp| {
            let number = stamp.producer.wrapping_sub(self.first_sender);
            seen.tracks.get_mut(num::index(number))
        });
        match (stamp, track) {
            (Some(stamp), Some(track)) => {
                track.observe(stamp.sequence, stamp.intended_ns);
                Some(stamp)
            }
            _ => {
                seen.corruptions += 1;
                None
            }
        }
    }

    /// Checks a record that a member of a group has read, and enters it into the partition. `owner` is the index of the member among
    /// the partition's owners. Returns its stamp; `None` if the record is corrupt or was written by others.
    fn observe_of_group(
        &self,
        record: &InRecord<'_>,
        partition: &mut GroupPartition,
        owner: usize,
    ) -> Option<Stamp> {
        let stamp = self.stamp_of(record);
        if stamp.is_none() && self.salt.is_some() {
            partition.pass(owner, record.offset);
            return None;
        }
        partition.read(owner, record.offset);
        let stamp = stamp.filter(|stamp| {
            let number = stamp.producer.wrapping_sub(self.first_sender);
            partition.observe(owner, number, stamp.sequence, stamp.intended_ns)
        });
        if stamp.is_none() {
            partition.corrupt();
        }
        stamp
    }

    fn stamp_of(&self, record: &InRecord<'_>) -> Option<Stamp> {
        let bytes = match self.place {
            StampPlace::Value => record.value,
            StampPlace::Header => record.stamp_header?,
        };
        let crc = match self.verify {
            Verify::SequenceCrc => body_crc(self.place.body_of(record.value)),
            Verify::Sequence | Verify::None => 0,
        };
        Stamp::decode(bytes, crc ^ self.salt.unwrap_or(0))
    }
}
