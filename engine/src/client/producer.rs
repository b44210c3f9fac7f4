//! The producer: it collects records in batches, sends the batches to shards, and receives acks.

use super::port::{Destination, Port, Remote, Route, Unreachable};
use super::{Partitioner, ProducerConfig};
use crate::clock::after;
use crate::error::{AppendError, TopicError};
use crate::record::{BatchBuilder, RecordRef, RecordTooLarge, murmur2};
use crate::shard::{AckInbox, AckMessage, Append, Refusal, Reply, Ticket};
use slab::Slab;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The reason why a record was not taken.
#[derive(Debug, Error)]
pub enum TrySendError {
    /// Too many bytes are in flight. Try again after the next ack.
    #[error("too many bytes in flight; try again after the next ack")]
    Full,
    /// The topic has no partition of this number.
    #[error("partition {partition} does not exist, the topic has {partitions}")]
    UnknownPartition {
        /// The requested partition.
        partition: u32,
        /// Number of partitions of the topic.
        partitions: u32,
    },
    /// The producer is a colocated one, and the partition belongs to another shard.
    #[error("partition {partition} belongs to shard {shard}; produce to it there, or with a remote producer")]
    NotOwner {
        /// The requested partition, or the one that the key hashes to.
        partition: u32,
        /// The shard that owns it.
        shard: u32,
    },
    /// The record does not fit the batch format.
    #[error(transparent)]
    TooLarge(#[from] RecordTooLarge),
}

/// The result of one batch. Within a partition acks come in the order of offsets.
#[derive(Debug)]
pub struct Ack {
    /// The partition of the batch.
    pub partition: u32,
    /// Number of records.
    pub count: u32,
    /// Encoded size, bytes.
    pub bytes: usize,
    /// The time at which the shard had the result. The ack may be taken much later.
    pub at: Instant,
    /// Offset of the first record, or the reason why the batch was not acked.
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
    ticket: Ticket,
    partition: u32,
    count: u32,
    bytes: usize,
}

/// Closed batches that wait until their shard has room, in order.
#[derive(Debug)]
struct Outbox<P> {
    port: P,
    batches: VecDeque<Append>,
}

/// A producer of one topic. Its methods take `&mut self`, so one thread uses it at a time.
#[derive(Debug)]
pub struct Producer<P: Port = Remote> {
    config: ProducerConfig,
    /// Name of the topic.
    topic: Arc<str>,
    /// The source of the topic's partitions, for [`Producer::refresh`].
    directory: P::Directory,
    destinations: Vec<Destination<P>>,
    /// Numbers of the partitions that this producer can reach.
    reachable: Vec<u32>,
    open: Vec<OpenBatch>,
    /// Partitions whose open batch holds records.
    listed: Vec<u32>,
    /// One queue for each reachable shard.
    outboxes: Vec<Outbox<P>>,
    in_flight: Slab<InFlight>,
    in_flight_bytes: usize,
    /// Bytes of open batches.
    open_bytes: usize,
    /// Number of batches that were closed; the count in the next one's ticket.
    closed_count: u32,
    /// The time at which the timer wakes this producer next. No open batch is due before. A producer has one timer at
    /// most.
    timer_at: Option<Instant>,
    /// Index into `reachable` of the partition that the partitioner chooses next.
    next_reachable: usize,
    inbox: Arc<AckInbox>,
}

impl<P: Port> Producer<P> {
    /// Makes a producer of a topic. At least one of its partitions has to be reachable. `None` if there is no such topic.
    pub(crate) fn new(config: ProducerConfig, topic: &str, directory: P::Directory) -> Option<Self> {
        let destinations = P::destinations(&directory, topic)?;
        let mut producer = Self {
            config,
            topic: topic.into(),
            inbox: Arc::new(AckInbox::new(P::last_shard(&directory))),
            directory,
            destinations: Vec::with_capacity(destinations.len()),
            reachable: Vec::new(),
            open: Vec::with_capacity(destinations.len()),
            listed: Vec::new(),
            outboxes: Vec::new(),
            in_flight: Slab::new(),
            in_flight_bytes: 0,
            open_bytes: 0,
            closed_count: 0,
            timer_at: None,
            next_reachable: 0,
        };
        producer.add_partitions(destinations);
        assert!(!producer.reachable.is_empty(), "a producer reaches something");
        Some(producer)
    }

    /// Adds the next partitions of the topic.
    fn add_partitions(&mut self, destinations: impl IntoIterator<Item = Destination<P>>) {
        let mut shards: BTreeSet<u32> = self.outboxes.iter().map(|outbox| outbox.port.shard()).collect();
        for destination in destinations {
            let partition = self.partitions();
            if let Destination::Reachable(Route { port, .. }) = &destination {
                self.reachable.push(partition);
                if shards.insert(port.shard()) {
                    port.register(&self.inbox.waker);
                    self.outboxes.push(Outbox { port: port.clone(), batches: VecDeque::new() });
                }
            }
            self.open.push(OpenBatch::default());
            self.destinations.push(destination);
        }
    }

    /// Looks up the topic's partitions again, and takes over those that were added since. Returns the number of
    /// partitions.
    ///
    /// Records that were taken before stay in their partitions. Keys hash over all partitions from now on, so records of
    /// a key may go to another partition than before.
    ///
    /// # Errors
    /// [`TopicError::Unknown`]: the topic was deleted. A new topic of the same name does not count.
    pub fn refresh(&mut self) -> Result<u32, TopicError> {
        let found = P::destinations(&self.directory, &self.topic);
        let found = found.filter(|found| self.is_continued_by(found));
        let found = found.ok_or_else(|| TopicError::Unknown(self.topic.as_ref().to_owned()))?;
        let known = self.destinations.len();
        self.add_partitions(found.into_iter().skip(known));
        Ok(self.partitions())
    }

    /// Whether `found` begins with this producer's partitions. A shard uses no slot for two partitions.
    fn is_continued_by(&self, found: &[Destination<P>]) -> bool {
        let is_same = |(known, found): (&Destination<P>, &Destination<P>)| match (known, found) {
            (Destination::Reachable(known), Destination::Reachable(found)) => {
                (known.port.shard(), known.slot) == (found.port.shard(), found.slot)
            }
            (Destination::OtherShard(known), Destination::OtherShard(found)) => known == found,
            _ => false,
        };
        found.len() >= self.destinations.len() && self.destinations.iter().zip(found).all(is_same)
    }

    /// Returns the number of partitions of the topic that this producer knows.
    pub fn partitions(&self) -> u32 {
        crate::num::u32_of(self.destinations.len())
    }

    /// Returns the encoded bytes of records that were taken and not acked.
    pub const fn unacked_bytes(&self) -> usize {
        self.in_flight_bytes + self.open_bytes
    }

    /// Takes a record for `partition`, or for the one that the partitioner chooses. Returns the partition.
    ///
    /// The record's batch is sent once it is full, has lingered, or is flushed. Open batches are also sent if they use
    /// the bytes that further records would need.
    ///
    /// # Errors
    /// [`TrySendError`]; the record was not taken.
    pub fn try_send(&mut self, partition: Option<u32>, record: &RecordRef<'_>) -> Result<u32, TrySendError> {
        let partitions = self.partitions();
        let is_in_turn = partition.is_none() && self.config.partitioner == Partitioner::RoundRobin;
        let partition = match partition {
            Some(partition) if partition < partitions => partition,
            Some(partition) => return Err(TrySendError::UnknownPartition { partition, partitions }),
            None => self.choose(record),
        };
        if let Destination::OtherShard(shard) = self.destinations[partition as usize] {
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
        let builder = open.builder.as_mut().expect("the builder was created above");
        let before = if builder.is_empty() { 0 } else { builder.len_bytes() };
        let added = builder.encoded_bytes_with(record) - before;
        let unacked = self.in_flight_bytes + self.open_bytes;
        if unacked > 0 && unacked + added > self.config.in_flight_bytes_max {
            // Acks make room, unless open batches use most of the bytes.
            let is_held_up_by_open_batches =
                self.in_flight.is_empty() || self.open_bytes >= self.config.in_flight_bytes_max / 2;
            if is_held_up_by_open_batches {
                self.flush();
            }
            return Err(TrySendError::Full);
        }
        builder.push(record)?;
        self.open_bytes += added;
        let is_full =
            builder.count() >= self.config.batch_records_max || builder.len_bytes() >= self.config.batch_size;
        // A record that was refused keeps its turn.
        if is_in_turn {
            self.choose_next();
        }
        if before == 0 {
            self.begin_batch(partition);
        }
        if is_full {
            self.close_batch(partition);
        }
        Ok(partition)
    }

    /// Returns the partition that the partitioner chooses for a record.
    fn choose(&self, record: &RecordRef<'_>) -> u32 {
        let partitions = self.partitions();
        match (self.config.partitioner, record.key) {
            (Partitioner::KeyHash, Some(key)) => (murmur2(key) & i32::MAX).unsigned_abs() % partitions,
            // Round robin chooses the next partition once a record is taken, the sticky partitioner once a batch closes.
            _ => self.reachable[self.next_reachable],
        }
    }

    fn choose_next(&mut self) {
        self.next_reachable = (self.next_reachable + 1) % self.reachable.len();
    }

    /// Lists the partition for the first record of its batch, and sets the time until which the batch lingers.
    fn begin_batch(&mut self, partition: u32) {
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

    /// Sets the timer that wakes this producer at `due`, unless an earlier one is set.
    fn wake_at(&mut self, due: Instant) {
        if self.timer_at.is_none() {
            self.timer_at = Some(due);
            self.outboxes[0].port.wake_at(due, &self.inbox.waker);
        }
    }

    /// Closes and sends the open batch of a partition, if it has records.
    fn close_batch(&mut self, partition: u32) {
        let Destination::Reachable(route) = &self.destinations[partition as usize] else { return };
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
        let ticket = Ticket::new(self.closed_count, entry.key());
        self.closed_count = self.closed_count.wrapping_add(1);
        entry.insert(InFlight { ticket, partition, count: batch.count, bytes });
        let append = Append {
            slot,
            batch: batch.bytes,
            level: self.config.durability,
            reply: Reply { inbox: Arc::clone(&self.inbox), ticket },
        };
        if self.config.partitioner != Partitioner::RoundRobin {
            self.choose_next();
        }
        let position = self.outboxes.iter().position(|outbox| outbox.port.shard() == shard);
        let outbox = position.expect("each reachable shard has an outbox");
        self.outboxes[outbox].batches.push_back(append);
        self.send_outbox(outbox);
    }

    /// Sends closed batches to their shard, in order, while it has room.
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
                    self.inbox.acks.push(AckMessage::new(append.reply.ticket, Err(error)));
                }
                Err(Refusal::Closed(append)) => {
                    self.inbox.acks.push(AckMessage::new(append.reply.ticket, Err(AppendError::Closed)));
                }
            }
        }
    }

    fn send_outboxes(&mut self) {
        (0..self.outboxes.len()).for_each(|index| self.send_outbox(index));
    }

    /// Sends every open batch.
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

    /// Sends the batches that have lingered, and sets the timer for the next of the others.
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

    /// Returns the next ack. Stays pending while nothing is in flight.
    pub fn poll_ack(&mut self, context: &mut Context<'_>) -> Poll<Ack> {
        self.flush_due();
        if let Some(ack) = self.take_ack() {
            return Poll::Ready(ack);
        }
        self.inbox.waker.register(context.waker());
        // The timer may have fired before a waker was registered.
        self.flush_due();
        self.send_outboxes();
        self.fail_unreachable();
        self.take_ack().map_or(Poll::Pending, Poll::Ready)
    }

    fn take_ack(&mut self) -> Option<Ack> {
        loop {
            let AckMessage { ticket, at, result } = self.inbox.acks.pop()?;
            let key = ticket.index();
            // An ack of a batch that was reported as failed meanwhile is dropped.
            if self.in_flight.get(key).is_none_or(|in_flight| in_flight.ticket != ticket) {
                continue;
            }
            let InFlight { partition, count, bytes, .. } = self.in_flight.remove(key);
            self.in_flight_bytes -= bytes;
            return Some(Ack { partition, count, bytes, at, result });
        }
    }

    /// Fails the batches that are in flight at stuck or closed shards.
    fn fail_unreachable(&self) {
        if !self.inbox.acks.is_empty()
            || self.outboxes.iter().all(|outbox| outbox.port.unreachable().is_none())
        {
            return;
        }
        let mut lost: Vec<(Ticket, AppendError)> = Vec::new();
        for (_, in_flight) in &self.in_flight {
            let Destination::Reachable(route) = &self.destinations[in_flight.partition as usize] else {
                continue;
            };
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
            self.inbox.acks.push(AckMessage::new(ticket, Err(error)));
        }
    }

    /// Returns the number of batches that were sent and not acked.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the next ack, for async code.
    pub async fn ack(&mut self) -> Ack {
        std::future::poll_fn(|context| self.poll_ack(context)).await
    }

    /// Sends all open batches and waits until everything is acked, for async code. Returns the acks in the order they
    /// came.
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
    /// Returns the next ack, for a plain thread. `None` if nothing is in flight and no batch lingers.
    pub fn wait_ack(&mut self) -> Option<Ack> {
        self.flush_due();
        let lingers = self.config.linger.is_some() && self.open_bytes > 0;
        let expects_one = lingers || !self.in_flight.is_empty();
        expects_one.then(|| pollster::block_on(self.ack()))
    }

    /// Sends all open batches and waits until everything is acked. Returns the acks in the order they came.
    pub fn wait_all(&mut self) -> Vec<Ack> {
        pollster::block_on(self.all_acks())
    }
}
