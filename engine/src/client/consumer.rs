//! The consumer: it has one fetch in flight for each assigned partition. The records that it returns are borrowed from
//! the shard's memory.

use super::Route;
use super::port::{Port, Remote, Unreachable};
use crate::buffer::SharedBytes;
use crate::error::{Corruption, CorruptionKind, FetchError};
use crate::record::{BatchError, BatchHeader, Record, RecordBatch, batches};
use crate::shard::{FetchInbox, FetchReply, FetchRequest, Refusal, Ticket, Wanted};
use crate::types::{ConsumerPosition, TopicPartition};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The settings of a consumer's fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// Most bytes that one fetch returns. It returns at least one batch, however large.
    pub fetch_bytes_max: usize,
    /// How long a shard keeps a fetch that finds no records before it answers without any. With [`Duration::MAX`] it
    /// waits for ever.
    pub max_wait: Duration,
    /// Whether the CRC of each batch is checked when it arrives.
    pub crc: CrcCheck,
    /// The reaction to a log that does not hold the offset that is read next.
    pub offset_reset: OffsetReset,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            fetch_bytes_max: 1 << 20,
            max_wait: Duration::from_millis(500),
            crc: CrcCheck::Verify,
            offset_reset: OffsetReset::None,
        }
    }
}

/// The position at which a consumer continues if the log no longer holds its own; Kafka's `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// No position: the fetch fails with [`FetchError::OffsetOutOfRange`].
    None,
    /// The first record of the log. [`Fetched::skipped`] returns how many offsets were left out, because retention had
    /// deleted them.
    ///
    /// An offset beyond the log's end, which a power loss may leave, is reset too: records are read again. A saved
    /// position with a leader epoch is not reset: [`FetchError::LogTruncated`] is always reported.
    Earliest,
}

/// Whether a consumer checks the CRC of each batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcCheck {
    /// The consumer checks it.
    Verify,
    /// The consumer trusts memory and disk.
    Skip,
}

/// Whole batches of one partition. They stay valid while this value exists, even if retention deletes their segment.
#[derive(Debug)]
pub struct Fetched {
    /// Index into the consumer's assignment.
    pub assignment: usize,
    /// The offset from which records were requested. The first batch may begin with earlier ones.
    pub from_offset: i64,
    /// Offset after the last record.
    pub next_offset: i64,
    /// The partition's high watermark when the batches were read.
    pub high_watermark: i64,
    /// Encoded size, bytes.
    pub bytes: usize,
    /// Number of offsets between the previous fetch and [`Fetched::from_offset`] that retention deleted before they
    /// were read.
    pub skipped: u64,
    /// Leader epoch of the last batch.
    pub leader_epoch: i32,
    pieces: Vec<SharedBytes>,
}

impl Fetched {
    /// Returns the stored batches, unchanged.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch<'_>, BatchError>> {
        self.pieces.iter().flat_map(|piece| batches(piece))
    }

    /// Returns the records from [`Fetched::from_offset`] on. A compressed batch gives one [`BatchError::Compressed`].
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, BatchError>> {
        let from_offset = self.from_offset;
        self.batches()
            .flat_map(|batch| {
                let (records, error) = match batch {
                    Ok(batch) => (Some(batch.records()), None),
                    Err(error) => (None, Some(Err(error))),
                };
                records.into_iter().flatten().chain(error)
            })
            .filter(move |record| record.as_ref().map_or(true, |record| record.offset >= from_offset))
    }

    /// Returns the position after the last record. Save it once all records are processed.
    pub const fn next_position(&self) -> ConsumerPosition {
        ConsumerPosition { offset: self.next_offset, leader_epoch: Some(self.leader_epoch) }
    }

    /// Returns the memory that holds the batches.
    pub fn pieces(&self) -> &[SharedBytes] {
        &self.pieces
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FetchState {
    /// No fetch is in flight, and the next one has to be sent.
    Idle,
    /// The fetch with this ticket is in flight.
    InFlight(Ticket),
    /// A fetch failed. None is sent until a seek.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PositionCheck {
    /// The position was saved, and the log may have been cut since. The next fetch checks it.
    Due,
    /// The log has checked the position, or the position has no epoch to be checked by.
    Done,
}

impl PositionCheck {
    fn of(position: ConsumerPosition) -> Self {
        if position.leader_epoch.is_some() { Self::Due } else { Self::Done }
    }
}

#[derive(Debug)]
struct Assigned<P> {
    name: TopicPartition,
    route: Route<P>,
    position: ConsumerPosition,
    /// Whether the log has to check the position before the next fetch.
    check: PositionCheck,
    /// The damage that was found at the position. The log is asked for its file before the fetch fails.
    damage: Option<CorruptionKind>,
    /// Number of offsets that were left out since the last fetch that returned records.
    skipped: u64,
    /// The high watermark in the last answer; `None` before the first one.
    high_watermark: Option<i64>,
    state: FetchState,
}

/// A consumer of assigned partitions. Its methods take `&mut self`, so one thread uses it at a time.
#[derive(Debug)]
pub struct Consumer<P: Port = Remote> {
    config: ConsumerConfig,
    assigned: Vec<Assigned<P>>,
    /// Number of fetches that were sent; the count in the next one's ticket.
    fetch_count: u32,
    inbox: Arc<FetchInbox>,
}

impl<P: Port> Consumer<P> {
    pub(crate) fn new(
        config: ConsumerConfig,
        assignment: Vec<(TopicPartition, Route<P>, ConsumerPosition)>,
    ) -> Self {
        let inbox = Arc::new(FetchInbox::default());
        let mut shards = BTreeSet::new();
        let assigned = assignment.into_iter().map(|(name, route, position)| {
            if shards.insert(route.port.shard()) {
                route.port.register(&inbox.waker);
            }
            let check = PositionCheck::of(position);
            let high_watermark = None;
            let (damage, skipped, state) = (None, 0, FetchState::Idle);
            Assigned { name, route, position, check, damage, skipped, high_watermark, state }
        });
        Self { config, assigned: assigned.collect(), fetch_count: 0, inbox }
    }

    /// Returns the partition at an index of the assignment.
    pub fn name(&self, assignment: usize) -> Option<&TopicPartition> {
        self.assigned.get(assignment).map(|assigned| &assigned.name)
    }

    /// Returns the offset at which the next fetch of a partition begins, with the leader epoch of the last batch that
    /// was returned. To continue there after a restart, save it and give it to
    /// [`Engine::consumer`](crate::engine::Engine::consumer) or to [`Consumer::seek`].
    ///
    /// Before the first batch the epoch is the log's current one when a fetch found no record, and `None` before that.
    pub fn position(&self, assignment: usize) -> Option<ConsumerPosition> {
        self.assigned.get(assignment).map(|assigned| assigned.position)
    }

    /// Returns the high watermark of a partition in the last answer, also in one without records. `None` before the first answer.
    pub fn high_watermark(&self, assignment: usize) -> Option<i64> {
        self.assigned.get(assignment).and_then(|assigned| assigned.high_watermark)
    }

    /// Continues at an offset or at a saved position. The consumer drops the answer of a fetch in flight, and the shard
    /// drops that fetch when the next one arrives. A partition whose fetch failed is fetched again.
    ///
    /// A position with a leader epoch is checked before the next fetch. If the log was cut below it since, the next
    /// poll of that partition fails with [`FetchError::LogTruncated`]. The configured [`OffsetReset`] does not change
    /// that.
    ///
    /// # Panics
    /// If there is no such assignment.
    pub fn seek(&mut self, assignment: usize, to: impl Into<ConsumerPosition>) {
        let assigned = &mut self.assigned[assignment];
        assigned.position = to.into();
        assigned.check = PositionCheck::of(assigned.position);
        assigned.damage = None;
        assigned.state = FetchState::Idle;
    }

    /// Returns the next records of some partition. Stays pending while there are none. After an error that partition is
    /// not fetched until [`Consumer::seek`].
    pub fn poll_fetch(&mut self, context: &mut Context<'_>) -> Poll<Result<Fetched, FetchError>> {
        self.send_fetches();
        if let Some(fetched) = self.take() {
            return Poll::Ready(fetched);
        }
        self.inbox.waker.register(context.waker());
        self.send_fetches();
        self.fail_unreachable();
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn send_fetches(&mut self) {
        for index in 0..self.assigned.len() {
            if self.assigned[index].state == FetchState::Idle {
                self.send_fetch(index);
            }
        }
    }

    fn send_fetch(&mut self, index: usize) {
        // The index finds the partition, here and at the shard. The count distinguishes its fetches.
        let ticket = Ticket::new(self.fetch_count, index);
        self.fetch_count = self.fetch_count.wrapping_add(1);
        let assigned = &mut self.assigned[index];
        let request = FetchRequest {
            slot: assigned.route.slot,
            offset: assigned.position.offset,
            bytes_max: self.config.fetch_bytes_max,
            max_wait: self.config.max_wait,
            wanted: assigned.wanted(),
            inbox: Arc::downgrade(&self.inbox),
            ticket,
        };
        let error = match assigned.route.port.try_fetch(request, &self.inbox.waker) {
            Ok(()) => None,
            Err(Refusal::Full(_)) => return,
            Err(Refusal::Stuck(_)) => Some(FetchError::ShardStuck { shard: assigned.route.port.shard() }),
            Err(Refusal::Closed(_)) => Some(FetchError::Closed),
        };
        assigned.state = FetchState::InFlight(ticket);
        if let Some(error) = error {
            self.inbox.replies.push((ticket, Err(error)));
        }
    }

    fn take(&mut self) -> Option<Result<Fetched, FetchError>> {
        loop {
            let (ticket, reply) = self.inbox.replies.pop()?;
            let index = ticket.index();
            if self.assigned[index].state != FetchState::InFlight(ticket) {
                continue;
            }
            match reply.and_then(|reply| self.accept(index, reply)) {
                Ok(fetched) => {
                    // Sent before the caller sees these records, so that it does not wait for the shard at the next
                    // poll.
                    self.send_fetch(index);
                    if let Some(fetched) = fetched {
                        return Some(Ok(fetched));
                    }
                }
                Err(error) => {
                    if let FetchError::OffsetOutOfRange { high_watermark, .. } = error {
                        self.assigned[index].high_watermark = Some(high_watermark);
                    }
                    if self.reset(index, &error) {
                        self.send_fetch(index);
                        continue;
                    }
                    self.assigned[index].state = FetchState::Failed;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Moves a partition to the log's start, if the log does not hold its position and the configuration says so.
    /// Returns whether it did.
    fn reset(&mut self, index: usize, error: &FetchError) -> bool {
        let FetchError::OffsetOutOfRange { log_start_offset, .. } = *error else { return false };
        let assigned = &mut self.assigned[index];
        if self.config.offset_reset == OffsetReset::None {
            return false;
        }
        let skipped = u64::try_from(log_start_offset.saturating_sub(assigned.position.offset)).unwrap_or(0);
        assigned.skipped = assigned.skipped.saturating_add(skipped);
        assigned.position = log_start_offset.into();
        assigned.state = FetchState::Idle;
        true
    }

    fn accept(&mut self, index: usize, reply: FetchReply) -> Result<Option<Fetched>, FetchError> {
        let assigned = &mut self.assigned[index];
        assigned.state = FetchState::Idle;
        assigned.check = PositionCheck::Done;
        assigned.high_watermark = Some(reply.high_watermark);
        if let Some(kind) = assigned.damage.take() {
            // The log's own bytes are good. Those that arrived were not.
            let path = PathBuf::from(assigned.name.to_string());
            return Err(FetchError::Corrupt(Corruption { path, position: 0, kind }));
        }
        if reply.batches.is_empty() {
            // The log reaches this offset in its current epoch. So the check of a saved position may use this epoch, as
            // if the batch before had it.
            assigned.position.leader_epoch.get_or_insert(reply.leader_epoch);
            return Ok(None);
        }
        let mut pieces = reply.batches;
        let (read, damage) = read_batches(&mut pieces, self.config.crc);
        let Some(last) = read else {
            assigned.damage = damage;
            return Ok(None);
        };
        // If there is damage behind these batches, the next fetch begins with it.
        let (next_offset, leader_epoch) = (last.next_offset(), last.partition_leader_epoch);
        let next = ConsumerPosition { offset: next_offset, leader_epoch: Some(leader_epoch) };
        let from_offset = std::mem::replace(&mut assigned.position, next).offset;
        Ok(Some(Fetched {
            assignment: index,
            from_offset,
            next_offset,
            high_watermark: reply.high_watermark,
            skipped: std::mem::take(&mut assigned.skipped),
            leader_epoch,
            bytes: pieces.iter().map(|piece| piece.len()).sum(),
            pieces,
        }))
    }

    fn fail_unreachable(&self) {
        if !self.inbox.replies.is_empty() {
            return;
        }
        for assigned in &self.assigned {
            let FetchState::InFlight(ticket) = assigned.state else { continue };
            let port = &assigned.route.port;
            let error = match port.unreachable() {
                Some(Unreachable::Stuck) => FetchError::ShardStuck { shard: port.shard() },
                Some(Unreachable::Closed) => FetchError::Closed,
                None => continue,
            };
            self.inbox.replies.push((ticket, Err(error)));
        }
    }

    /// Returns the next records, for async code.
    ///
    /// # Errors
    /// As [`Consumer::poll_fetch`].
    pub async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        std::future::poll_fn(|context| self.poll_fetch(context)).await
    }
}

impl Consumer {
    /// Returns the next records, for a plain thread.
    ///
    /// # Errors
    /// As [`Consumer::poll_fetch`].
    pub fn wait_fetch(&mut self) -> Result<Fetched, FetchError> {
        pollster::block_on(self.fetch())
    }
}

impl<P> Assigned<P> {
    fn wanted(&self) -> Wanted {
        match (&self.damage, self.check, self.position.leader_epoch) {
            (Some(_), ..) => Wanted::Damage,
            (None, PositionCheck::Due, Some(leader_epoch)) => Wanted::SavedPosition { leader_epoch },
            _ => Wanted::Records,
        }
    }
}

/// Checks the batches of a reply. From the first bad one on, everything is cut off. Returns the header of the last good batch, and
/// what is wrong with the bad one.
fn read_batches(
    pieces: &mut Vec<SharedBytes>,
    crc: CrcCheck,
) -> (Option<BatchHeader>, Option<CorruptionKind>) {
    let mut last: Option<BatchHeader> = None;
    let mut fault = None;
    'pieces: for (number, piece) in pieces.iter().enumerate() {
        let mut at = 0;
        for batch in batches(piece) {
            let header =
                batch.map_err(CorruptionKind::from).and_then(|batch| check(&batch, last.as_ref(), crc));
            match header {
                Ok(header) => {
                    at += header.total_bytes();
                    last = Some(header);
                }
                Err(kind) => {
                    fault = Some((number, at, kind));
                    break 'pieces;
                }
            }
        }
    }
    let Some((number, at, kind)) = fault else { return (last, None) };
    let good: Vec<u8> = pieces[number][..at].to_vec();
    pieces.truncate(number);
    if !good.is_empty() {
        pieces.push(SharedBytes::Heap(good.into()));
    }
    (last, Some(kind))
}

/// Checks a batch, which has to begin where the batch `before` it ends. Returns its header.
fn check(
    batch: &RecordBatch<'_>,
    before: Option<&BatchHeader>,
    crc: CrcCheck,
) -> Result<BatchHeader, CorruptionKind> {
    if crc == CrcCheck::Verify {
        batch.verify_crc()?;
    }
    let header = *batch.header();
    match before.map(BatchHeader::next_offset) {
        Some(expected) if header.base_offset != expected => {
            Err(CorruptionKind::OffsetGap { expected, found: header.base_offset })
        }
        _ => Ok(header),
    }
}
