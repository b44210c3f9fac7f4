//! The producer: records into batches, batches to shards, acks back.

use super::port::{Port, Remote, Unreachable};
use super::{Partitioner, Place, ProducerConfig};
use crate::clock::after;
use crate::error::AppendError;
use crate::record::{BatchBuilder, RecordRef, RecordTooLarge, murmur2};
use crate::shard::{AckInbox, AckMessage, Append, Refusal, Reply};
use slab::Slab;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why a record was not taken.
#[derive(Debug, Error)]
pub enum TrySendError {
    /// Too much in flight: try again after the next ack.
    #[error("too many bytes in flight; try again after the next ack")]
    Full,
    /// There is no such partition.
    #[error("partition {partition} does not exist, the topic has {partitions}")]
    UnknownPartition {
        /// What was asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// The partition lives on another shard than this producer, a colocated one.
    #[error("partition {partition} lives on shard {shard}; produce to it there, or with a remote producer")]
    NotOwner {
        /// What was asked for, or what the key hashes to.
        partition: u32,
        /// Where it lives.
        shard: u32,
    },
    /// It does not fit the batch format.
    #[error(transparent)]
    TooLarge(#[from] RecordTooLarge),
}

/// The fate of one batch. Within a partition acks come in the order of offsets.
#[derive(Debug)]
pub struct Ack {
    /// Where it went.
    pub partition: u32,
    /// Records in it.
    pub count: u32,
    /// Its encoded size.
    pub bytes: usize,
    /// Offset of its first record.
    pub result: Result<i64, AppendError>,
}

#[derive(Debug, Default)]
struct OpenBatch {
    builder: Option<BatchBuilder>,
    due: Option<Instant>,
    is_listed: bool,
}

#[derive(Debug)]
struct InFlight {
    ticket: u64,
    partition: u32,
    count: u32,
    bytes: usize,
}

/// What is to go to one shard.
#[derive(Debug)]
struct Outbox<P> {
    port: P,
    batches: VecDeque<Append>,
}

/// See the module. Of one topic; wants `&mut`, so one thread at a time.
#[derive(Debug)]
pub struct Producer<P: Port = Remote> {
    config: ProducerConfig,
    places: Vec<Place<P>>,
    /// Partitions it can reach.
    reachable: Vec<u32>,
    open: Vec<OpenBatch>,
    /// Partitions whose batch holds records.
    listed: Vec<u32>,
    /// Closed batches that found no room at their shard, in order: a queue for each shard.
    outboxes: Vec<Outbox<P>>,
    in_flight: Slab<InFlight>,
    in_flight_bytes: usize,
    /// Bytes in open batches.
    open_bytes: usize,
    tickets: u64,
    /// When the timer wakes this producer next, at most one time ahead. No open batch is due before.
    timer_at: Option<Instant>,
    /// Index into `reachable`.
    next_reachable: usize,
    inbox: Arc<AckInbox>,
}

impl<P: Port> Producer<P> {
    /// Of a topic whose partitions are in `places`; one of them at least is within reach.
    pub(crate) fn new(config: ProducerConfig, places: Vec<Place<P>>) -> Self {
        let mut ports: BTreeMap<u32, P> = BTreeMap::new();
        let mut reachable: Vec<u32> = Vec::new();
        for (partition, place) in (0..).zip(&places) {
            let Place::Here(route) = place else { continue };
            reachable.push(partition);
            ports.entry(route.port.shard()).or_insert_with(|| route.port.clone());
        }
        let inbox = Arc::new(AckInbox::new(ports.last_key_value().map_or(0, |(shard, _)| *shard)));
        ports.values().for_each(|port| port.register(&inbox.waker));
        let outboxes = ports.into_values().map(|port| Outbox { port, batches: VecDeque::new() }).collect();
        assert!(!reachable.is_empty(), "a producer reaches something");
        Self {
            outboxes,
            open: places.iter().map(|_| OpenBatch::default()).collect(),
            config,
            places,
            reachable,
            listed: Vec::new(),
            in_flight: Slab::new(),
            in_flight_bytes: 0,
            open_bytes: 0,
            tickets: 0,
            timer_at: None,
            next_reachable: 0,
            inbox,
        }
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> u32 {
        crate::num::u32_of(self.places.len())
    }

    /// Encoded bytes accepted and not acked.
    pub const fn unacked_bytes(&self) -> usize {
        self.in_flight_bytes + self.open_bytes
    }

    /// Takes a record, for `partition` or wherever the partitioner puts it; the answer is the partition. It travels once
    /// its batch is full, has lingered, or is flushed; or once open batches are what keeps other records from being taken.
    ///
    /// # Errors
    /// [`TrySendError`]; the record was not taken.
    pub fn try_send(&mut self, partition: Option<u32>, record: &RecordRef<'_>) -> Result<u32, TrySendError> {
        let partitions = self.partitions();
        let partition = match partition {
            Some(partition) if partition < partitions => partition,
            Some(partition) => return Err(TrySendError::UnknownPartition { partition, partitions }),
            None => self.choose(record),
        };
        if let Place::Elsewhere(shard) = self.places[partition as usize] {
            return Err(TrySendError::NotOwner { partition, shard });
        }
        let index = partition as usize;
        if self.open[index].builder.is_none() {
            self.open[index].builder = Some(BatchBuilder::with_capacity(self.config.batch_size));
        }
        let closes = self.open[index].builder.as_ref().is_some_and(|builder| {
            !builder.is_empty() && builder.would_exceed(record, self.config.batch_size)
        });
        if closes {
            self.close_batch(partition);
        }
        let open = &mut self.open[index];
        let builder = open.builder.as_mut().expect("made above");
        let before = if builder.is_empty() { 0 } else { builder.len_bytes() };
        let added = builder.encoded_bytes_with(record) - before;
        let unacked = self.in_flight_bytes + self.open_bytes;
        if unacked > 0 && unacked + added > self.config.in_flight_bytes_max {
            // Acks make room, unless it is open batches that take it.
            let is_held_up =
                self.in_flight.is_empty() || self.open_bytes >= self.config.in_flight_bytes_max / 2;
            if is_held_up {
                self.flush();
            }
            return Err(TrySendError::Full);
        }
        builder.push(record)?;
        self.open_bytes += added;
        let is_full =
            builder.count() >= self.config.batch_records_max || builder.len_bytes() >= self.config.batch_size;
        if before == 0 {
            self.begin(partition);
        }
        if is_full {
            self.close_batch(partition);
        }
        Ok(partition)
    }

    fn choose(&mut self, record: &RecordRef<'_>) -> u32 {
        let partitions = self.partitions();
        match (self.config.partitioner, record.key) {
            (Partitioner::KeyHash, Some(key)) => (murmur2(key) & i32::MAX).unsigned_abs() % partitions,
            (Partitioner::RoundRobin, _) => {
                let chosen = self.reachable[self.next_reachable];
                self.go_on();
                chosen
            }
            // Moved on when a batch closes.
            _ => self.reachable[self.next_reachable],
        }
    }

    fn go_on(&mut self) {
        self.next_reachable = (self.next_reachable + 1) % self.reachable.len();
    }

    /// The first record of a batch has come.
    fn begin(&mut self, partition: u32) {
        let open = &mut self.open[partition as usize];
        if !std::mem::replace(&mut open.is_listed, true) {
            self.listed.push(partition);
        }
        if let Some(linger) = self.config.linger.filter(|linger| !linger.is_zero()) {
            let due = after(Instant::now(), linger);
            open.due = Some(due);
            self.wake_at(due);
        }
    }

    /// Has the timer wake this producer at `due`, unless it does so before.
    fn wake_at(&mut self, due: Instant) {
        if self.timer_at.is_none() {
            self.timer_at = Some(due);
            self.outboxes[0].port.wake_at(due, &self.inbox.waker);
        }
    }

    /// Sends off a batch that has records.
    fn close_batch(&mut self, partition: u32) {
        let Place::Here(route) = &self.places[partition as usize] else { return };
        let (slot, shard) = (route.slot, route.port.shard());
        let open = &mut self.open[partition as usize];
        open.due = None;
        let Some(builder) = open.builder.as_mut().filter(|builder| !builder.is_empty()) else { return };
        self.open_bytes -= builder.len_bytes();
        let next = self.inbox.buffers.pop().unwrap_or_else(|| Vec::with_capacity(self.config.batch_size));
        let batch = builder.finish_with(next);
        let bytes = batch.bytes.len();
        self.in_flight_bytes += bytes;
        let entry = self.in_flight.vacant_entry();
        let ticket = self.tickets << 32 | entry.key() as u64;
        self.tickets = (self.tickets + 1) & u64::from(u32::MAX);
        entry.insert(InFlight { ticket, partition, count: batch.count, bytes });
        let append = Append {
            slot,
            batch: batch.bytes,
            level: self.config.durability,
            reply: Reply { inbox: Arc::clone(&self.inbox), ticket },
        };
        if self.config.partitioner != Partitioner::RoundRobin {
            self.go_on();
        }
        let outbox = self.outboxes.iter().position(|outbox| outbox.port.shard() == shard);
        let outbox = outbox.expect("each shard within reach has one");
        self.outboxes[outbox].batches.push_back(append);
        self.send_outbox(outbox);
    }

    /// Hands closed batches to their shard, as many as there is room for, in order.
    fn send_outbox(&mut self, index: usize) {
        let Outbox { port, batches } = &mut self.outboxes[index];
        while let Some(append) = batches.pop_front() {
            match port.try_append(append, &self.inbox.waker) {
                Ok(()) => {}
                Err(Refusal::Full(append)) => {
                    batches.push_front(append);
                    break;
                }
                Err(Refusal::Stuck(append)) => {
                    let error = AppendError::ShardStuck { shard: port.shard() };
                    self.inbox.acks.push((append.reply.ticket, Err(error)));
                }
                Err(Refusal::Closed(append)) => {
                    self.inbox.acks.push((append.reply.ticket, Err(AppendError::Closed)));
                }
            }
        }
    }

    fn send_outboxes(&mut self) {
        (0..self.outboxes.len()).for_each(|index| self.send_outbox(index));
    }

    /// Sends off every open batch.
    pub fn flush(&mut self) {
        for partition in std::mem::take(&mut self.listed) {
            self.open[partition as usize].is_listed = false;
            self.close_batch(partition);
        }
        self.send_outboxes();
    }

    fn flush_due(&mut self) {
        match self.config.linger {
            None => {}
            Some(Duration::ZERO) => self.flush(),
            Some(_) => {
                let now = Instant::now();
                if self.timer_at.is_some_and(|due| due <= now) {
                    self.flush_lingered(now);
                }
            }
        }
    }

    /// Sends off what has lingered, and sets the timer for what has not.
    fn flush_lingered(&mut self, now: Instant) {
        self.timer_at = None;
        let mut next_due: Option<Instant> = None;
        for partition in std::mem::take(&mut self.listed) {
            let open = &mut self.open[partition as usize];
            match open.due.filter(|due| *due > now) {
                Some(due) => {
                    self.listed.push(partition);
                    next_due = Some(next_due.map_or(due, |next_due| next_due.min(due)));
                }
                None => {
                    open.is_listed = false;
                    self.close_batch(partition);
                }
            }
        }
        if let Some(due) = next_due {
            self.wake_at(due);
        }
    }

    /// The next ack. With nothing in flight it stays pending.
    pub fn poll_ack(&mut self, context: &mut Context<'_>) -> Poll<Ack> {
        self.flush_due();
        if let Some(ack) = self.take_ack() {
            return Poll::Ready(ack);
        }
        self.inbox.waker.register(context.waker());
        // The timer may have passed before there was anybody to wake.
        self.flush_due();
        self.send_outboxes();
        self.fail_unreachable();
        self.take_ack().map_or(Poll::Pending, Poll::Ready)
    }

    fn take_ack(&mut self) -> Option<Ack> {
        loop {
            let (ticket, result): AckMessage = self.inbox.acks.pop()?;
            let key = crate::num::usize_of(ticket & u64::from(u32::MAX));
            // One that was given up since is not reported twice.
            if self.in_flight.get(key).is_none_or(|in_flight| in_flight.ticket != ticket) {
                continue;
            }
            let InFlight { partition, count, bytes, .. } = self.in_flight.remove(key);
            self.in_flight_bytes -= bytes;
            return Some(Ack { partition, count, bytes, result });
        }
    }

    /// Gives up what is in the hands of shards that do not move, or have ended.
    fn fail_unreachable(&self) {
        if !self.inbox.acks.is_empty()
            || self.outboxes.iter().all(|outbox| outbox.port.unreachable().is_none())
        {
            return;
        }
        let mut lost: Vec<(u64, AppendError)> = Vec::new();
        for (_, in_flight) in &self.in_flight {
            let Place::Here(route) = &self.places[in_flight.partition as usize] else { continue };
            match route.port.unreachable() {
                Some(Unreachable::Stuck) => {
                    lost.push((in_flight.ticket, AppendError::ShardStuck { shard: route.port.shard() }));
                }
                Some(Unreachable::Closed) => lost.push((in_flight.ticket, AppendError::Closed)),
                None => {}
            }
        }
        lost.sort_by_key(|(ticket, _)| *ticket);
        for (ticket, error) in lost {
            self.inbox.acks.push((ticket, Err(error)));
        }
    }

    /// Batches sent and not acked.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The next ack, for async code.
    pub async fn ack(&mut self) -> Ack {
        std::future::poll_fn(|context| self.poll_ack(context)).await
    }

    /// Sends everything taken so far and waits until all of it is acked, for async code; the acks, in the order they came.
    pub async fn all_acks(&mut self) -> Vec<Ack> {
        self.flush();
        let mut acks = Vec::new();
        while !self.in_flight.is_empty() {
            acks.push(self.ack().await);
        }
        acks
    }
}

impl Producer {
    /// The next ack, for a plain thread; `None` if nothing is in flight, nor will be after a linger.
    pub fn wait_ack(&mut self) -> Option<Ack> {
        self.flush_due();
        let lingers = self.config.linger.is_some() && self.open_bytes > 0;
        let expects_one = lingers || !self.in_flight.is_empty();
        expects_one.then(|| pollster::block_on(self.ack()))
    }

    /// Sends everything taken so far and waits until all of it is acked; the acks, in the order they came.
    pub fn wait_all(&mut self) -> Vec<Ack> {
        pollster::block_on(self.all_acks())
    }
}
