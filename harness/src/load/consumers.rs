//! One logical consumer: reads its partitions, checks every record, and times those an open load meant to be sent.

use super::pool::StampPlace;
use super::shared::Shared;
use super::stamp::{Stamp, body_crc};
use super::turn::Turn;
use crate::measure::ledger::{ConsumedPartition, SequenceTrack};
use crate::measure::recorder::Counted;
use crate::num;
use crate::result::latency::Measure;
use crate::system::{FetchSink, FetchedInfo, InRecord, SystemConsumer};
use crate::workload::Verify;
use std::task::{Context, Poll, Waker};

/// Bytes a consumer takes before the others get their turn.
const TURN_BYTES_MAX: u64 = 1 << 20;

/// What a consumer is made of.
pub struct ConsumerPlan {
    /// Its topic's number.
    pub topic: u32,
    /// Its group's number within the topic.
    pub group: u32,
    /// The partitions it reads, in the order of its client's assignment.
    pub partitions: Vec<u32>,
    /// Numbers of its topic's producers: this one is the first.
    pub first_producer: u32,
    /// How many producers its topic has.
    pub producers: u32,
    /// How records are checked.
    pub verify: Verify,
    /// Where stamps are.
    pub place: StampPlace,
    /// Whether it starts late, with a backlog before it.
    pub has_backlog: bool,
    /// Whether records carry an intended time to be measured from.
    pub is_open_load: bool,
}

/// A consumer at work.
pub(crate) struct Consumer {
    client: Box<dyn SystemConsumer>,
    check: Check,
    partitions: Vec<ConsumedPartition>,
    is_behind: bool,
    done: bool,
}

/// What a record is held against.
struct Check {
    first_producer: u32,
    verify: Verify,
    place: StampPlace,
    is_open_load: bool,
}

/// What became of a consumer.
#[derive(Debug, Default)]
pub struct ConsumerOutcome {
    /// By partition it was assigned.
    pub partitions: Vec<ConsumedPartition>,
}

impl Consumer {
    pub(crate) fn new(plan: ConsumerPlan, client: Box<dyn SystemConsumer>) -> Self {
        let tracks = || (0..plan.producers).map(|_| SequenceTrack::default()).collect();
        let (topic, group) = (plan.topic, plan.group);
        let of = |partition: &u32| {
            let partition = *partition;
            ConsumedPartition { topic, group, partition, tracks: tracks(), ..ConsumedPartition::default() }
        };
        Self {
            partitions: plan.partitions.iter().map(of).collect(),
            client,
            check: Check {
                first_producer: plan.first_producer,
                verify: plan.verify,
                place: plan.place,
                is_open_load: plan.is_open_load,
            },
            is_behind: plan.has_backlog,
            done: false,
        }
    }

    /// Whether it has a backlog before it.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Sees whether it has come to the end of its backlog; whether it was the last one that had not.
    pub(crate) fn catch_up(&mut self, shared: &Shared) -> bool {
        self.is_behind = !self.is_at_end(shared);
        !self.is_behind && shared.caught_up()
    }

    fn is_at_end(&self, shared: &Shared) -> bool {
        self.partitions.iter().all(|p| p.position >= shared.end_offset(p.topic, p.partition))
    }

    /// Takes what has arrived, a turn's worth at most. Returns whether there may be more.
    pub(crate) fn poll(&mut self, turn: &mut Turn<'_>, waker: &Waker) -> anyhow::Result<bool> {
        let mut context = Context::from_waker(waker);
        let mut taken_bytes = 0;
        while taken_bytes < TURN_BYTES_MAX {
            let mut fetch = Fetch::new(&self.check, &mut self.partitions, turn);
            match self.client.poll_fetch(&mut context, &mut fetch) {
                Poll::Pending => return Ok(false),
                Poll::Ready(result) => result?,
            }
            taken_bytes += fetch.finish();
        }
        Ok(true)
    }

    /// Sees whether it has read everything there will ever be.
    pub(crate) fn settle(&mut self, shared: &Shared) {
        self.done = self.done || (shared.all_produced() && self.is_at_end(shared));
    }

    /// Whether it has.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn finish(self) -> ConsumerOutcome {
        ConsumerOutcome { partitions: self.partitions }
    }
}

/// One fetch on its way through the checks.
struct Fetch<'a, 'b> {
    check: &'a Check,
    partitions: &'a mut [ConsumedPartition],
    turn: &'a mut Turn<'b>,
    assignment: usize,
    now_ns: u64,
    encoded_bytes: u64,
    records: u64,
    bytes: u64,
    /// Records in a row that share an intended time.
    run: (u64, u64),
    slowest_ns: Option<u64>,
}

impl<'a, 'b> Fetch<'a, 'b> {
    fn new(check: &'a Check, partitions: &'a mut [ConsumedPartition], turn: &'a mut Turn<'b>) -> Self {
        Self {
            check,
            partitions,
            turn,
            assignment: 0,
            now_ns: 0,
            encoded_bytes: 0,
            records: 0,
            bytes: 0,
            run: (0, 0),
            slowest_ns: None,
        }
    }

    /// Counts the fetch; returns its encoded size.
    fn finish(mut self) -> u64 {
        self.close_run();
        if let Some(ns) = self.slowest_ns {
            self.turn.recorder.distinct(Measure::EndToEnd, ns);
        }
        let (records, bytes, encoded_bytes) = (self.records, self.bytes, self.encoded_bytes);
        self.turn.recorder.consumed(Counted { records, bytes, encoded_bytes });
        self.encoded_bytes.max(1)
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
        if info.skipped > 0 {
            let seen = &mut self.partitions[info.assignment];
            seen.skipped += info.skipped;
            seen.tracks.iter_mut().for_each(SequenceTrack::skipped);
        }
    }

    fn record(&mut self, record: &InRecord<'_>) {
        let seen = &mut self.partitions[self.assignment];
        self.records += 1;
        self.bytes += num::count(record.value.len() + record.key.map_or(0, <[u8]>::len));
        seen.position = record.offset + 1;
        seen.checked += 1;
        let Some(stamp) = self.check.stamp_of(record) else {
            seen.corruptions += 1;
            return;
        };
        let number = stamp.producer.wrapping_sub(self.check.first_producer);
        let Some(track) = seen.tracks.get_mut(num::index(number)) else {
            seen.corruptions += 1;
            return;
        };
        track.observe(stamp.sequence, stamp.intended_ns);
        if self.check.is_open_load {
            if self.run.0 != stamp.intended_ns {
                self.close_run();
                self.run.0 = stamp.intended_ns;
            }
            self.run.1 += 1;
        }
    }
}

impl Check {
    fn stamp_of(&self, record: &InRecord<'_>) -> Option<Stamp> {
        let bytes = match self.place {
            StampPlace::Value => record.value,
            StampPlace::Header => record.stamp_header?,
        };
        let crc = match self.verify {
            Verify::SequenceCrc => body_crc(self.place.body_of(record.value)),
            Verify::Sequence | Verify::None => 0,
        };
        Stamp::decode(bytes, crc)
    }
}
