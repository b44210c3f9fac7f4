//! The consumer: assigned partitions, one fetch of each always under way, records borrowed from the shard's memory.

use super::Route;
use super::port::{Port, Remote, Unreachable};
use crate::buffer::SharedBytes;
use crate::error::{Corruption, CorruptionKind, FetchError};
use crate::record::{BatchError, BatchHeader, Record, RecordBatch, batches};
use crate::shard::{FetchInbox, FetchReply, FetchRequest, Refusal};
use crate::types::{ConsumerPosition, TopicPartition};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How a consumer fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// Most bytes one fetch returns; at least one batch, whatever its size.
    pub fetch_bytes_max: usize,
    /// How long a shard keeps a fetch that finds nothing before it answers with nothing; [`Duration::MAX`] waits for ever.
    pub max_wait: Duration,
    /// Whether batches are checked as they arrive.
    pub crc: CrcCheck,
    /// What happens where the log does not hold the offset to be read next.
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

/// The place where a consumer continues if the log no longer holds its position; Kafka's `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// Nowhere: the fetch fails with [`FetchError::OffsetOutOfRange`].
    None,
    /// At the first record there is. [`Fetched::skipped`] says how many offsets were left out, where retention had deleted
    /// them. An offset beyond the log's end, which a power loss may leave, is set back: records are read again. A saved
    /// position with a leader epoch is not: [`FetchError::LogTruncated`] is always reported.
    Earliest,
}

/// Whether a consumer checks the CRC of each batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcCheck {
    /// It does.
    Verify,
    /// It trusts memory and disk.
    Skip,
}

/// Whole batches of one partition. They stay valid as long as this lives, whatever becomes of their segment.
#[derive(Debug)]
pub struct Fetched {
    /// Index into the consumer's assignment.
    pub assignment: usize,
    /// Offset of the first record of interest; the first batch may begin with earlier ones.
    pub from_offset: i64,
    /// Offset after the last record.
    pub next_offset: i64,
    /// The partition's high watermark when they were read.
    pub high_watermark: i64,
    /// Encoded bytes.
    pub bytes: usize,
    /// Offsets between the fetch before and [`Fetched::from_offset`] that retention has deleted unread.
    pub skipped: u64,
    /// Leader epoch of the last batch.
    pub leader_epoch: i32,
    pieces: Vec<SharedBytes>,
}

impl Fetched {
    /// The batches, verbatim.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch<'_>, BatchError>> {
        self.pieces.iter().flat_map(|piece| batches(piece))
    }

    /// The records from [`Fetched::from_offset`] on. A compressed batch gives one [`BatchError::Compressed`].
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

    /// The position after the last record, to be saved once all records are processed.
    pub const fn next_position(&self) -> ConsumerPosition {
        ConsumerPosition { offset: self.next_offset, leader_epoch: Some(self.leader_epoch) }
    }

    /// The memory they are in.
    pub fn pieces(&self) -> &[SharedBytes] {
        &self.pieces
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FetchState {
    /// To be asked for.
    Idle,
    /// Asked, under this ticket.
    Asked(u64),
    /// Failed; nothing is asked until a seek.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PositionCheck {
    /// The position was saved, and the log may have been cut since.
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
    /// Offsets left out since the last fetch that brought something.
    skipped: u64,
    state: FetchState,
}

/// See the module. Wants `&mut`, so one thread at a time.
#[derive(Debug)]
pub struct Consumer<P: Port = Remote> {
    config: ConsumerConfig,
    assigned: Vec<Assigned<P>>,
    tickets: u64,
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
            Assigned { name, route, position, check, skipped: 0, state: FetchState::Idle }
        });
        Self { config, assigned: assigned.collect(), tickets: 0, inbox }
    }

    /// The partition an index of the assignment stands for.
    pub fn name(&self, assignment: usize) -> Option<&TopicPartition> {
        self.assigned.get(assignment).map(|assigned| &assigned.name)
    }

    /// The offset at which the next fetch of a partition begins, with the leader epoch of the last batch that was returned.
    /// To continue there after a restart, save it and give it to [`Engine::consumer`](crate::engine::Engine::consumer) or to
    /// [`Consumer::seek`].
    ///
    /// Before the first batch the epoch is the log's current one when a fetch found no record, and `None` before that.
    pub fn position(&self, assignment: usize) -> Option<ConsumerPosition> {
        self.assigned.get(assignment).map(|assigned| assigned.position)
    }

    /// Goes on at an offset or at a saved position; a fetch under way is forgotten, here and by the next fetch at the shard.
    /// A failed partition begins anew.
    ///
    /// A position with a leader epoch is checked before the next fetch. If the log was cut below it since, the next poll of
    /// that partition fails with [`FetchError::LogTruncated`], whatever the configured [`OffsetReset`].
    ///
    /// # Panics
    /// If there is no such assignment.
    pub fn seek(&mut self, assignment: usize, to: impl Into<ConsumerPosition>) {
        let assigned = &mut self.assigned[assignment];
        assigned.position = to.into();
        assigned.check = PositionCheck::of(assigned.position);
        assigned.state = FetchState::Idle;
    }

    /// The next records of some partition; stays pending while there are none. After an error that partition is not
    /// fetched until [`Consumer::seek`].
    pub fn poll_fetch(&mut self, context: &mut Context<'_>) -> Poll<Result<Fetched, FetchError>> {
        self.ask_all();
        if let Some(fetched) = self.take() {
            return Poll::Ready(fetched);
        }
        self.inbox.waker.register(context.waker());
        self.ask_all();
        self.fail_unreachable();
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn ask_all(&mut self) {
        for index in 0..self.assigned.len() {
            if self.assigned[index].state == FetchState::Idle {
                self.ask(index);
            }
        }
    }

    fn ask(&mut self, index: usize) {
        // The index in the low half finds the partition, here and at the shard; the count in the high half tells asks apart.
        let ticket = self.tickets << 32 | index as u64;
        self.tickets = (self.tickets + 1) & u64::from(u32::MAX);
        let assigned = &mut self.assigned[index];
        let request = FetchRequest {
            slot: assigned.route.slot,
            offset: assigned.position.offset,
            bytes_max: self.config.fetch_bytes_max,
            max_wait: self.config.max_wait,
            saved_epoch: assigned.position.leader_epoch.filter(|_| assigned.check == PositionCheck::Due),
            inbox: Arc::downgrade(&self.inbox),
            ticket,
        };
        let error = match assigned.route.port.try_fetch(request, &self.inbox.waker) {
            Ok(()) => None,
            Err(Refusal::Full(_)) => return,
            Err(Refusal::Stuck(_)) => Some(FetchError::ShardStuck { shard: assigned.route.port.shard() }),
            Err(Refusal::Closed(_)) => Some(FetchError::Closed),
        };
        assigned.state = FetchState::Asked(ticket);
        if let Some(error) = error {
            self.inbox.replies.push((ticket, Err(error)));
        }
    }

    fn take(&mut self) -> Option<Result<Fetched, FetchError>> {
        loop {
            let (ticket, reply) = self.inbox.replies.pop()?;
            let index = crate::num::usize_of(ticket & u64::from(u32::MAX));
            if self.assigned[index].state != FetchState::Asked(ticket) {
                continue;
            }
            match reply.and_then(|reply| self.accept(index, reply)) {
                Ok(fetched) => {
                    // Asked for before anybody looks at this one, so that the shard is never waited for.
                    self.ask(index);
                    if let Some(fetched) = fetched {
                        return Some(Ok(fetched));
                    }
                }
                Err(error) => {
                    if self.resets(index, &error) {
                        self.ask(index);
                        continue;
                    }
                    self.assigned[index].state = FetchState::Failed;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Moves a partition whose position the log does not hold to the log's start, if it is configured so.
    fn resets(&mut self, index: usize, error: &FetchError) -> bool {
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
        if reply.batches.is_empty() {
            // The log reaches this offset in its current epoch: that tells as much as a batch before it would.
            assigned.position.leader_epoch.get_or_insert(reply.leader_epoch);
            return Ok(None);
        }
        let (mut expected, mut leader_epoch) = (None, reply.leader_epoch);
        for batch in reply.batches.iter().flat_map(|piece| batches(piece)) {
            let header = batch.and_then(|batch| {
                let check = if self.config.crc == CrcCheck::Verify { batch.verify_crc() } else { Ok(()) };
                check.map(|()| *batch.header())
            });
            let next = header.map_err(CorruptionKind::from).and_then(|header| {
                leader_epoch = header.partition_leader_epoch;
                follow(&header, expected)
            });
            expected = Some(next.map_err(|kind| FetchError::Corrupt(assigned.corruption(kind)))?);
        }
        let Some(next_offset) = expected else { return Ok(None) };
        let next = ConsumerPosition { offset: next_offset, leader_epoch: Some(leader_epoch) };
        let from_offset = std::mem::replace(&mut assigned.position, next).offset;
        Ok(Some(Fetched {
            assignment: index,
            from_offset,
            next_offset,
            high_watermark: reply.high_watermark,
            skipped: std::mem::take(&mut assigned.skipped),
            leader_epoch,
            bytes: reply.batches.iter().map(|piece| piece.len()).sum(),
            pieces: reply.batches,
        }))
    }

    fn fail_unreachable(&self) {
        if !self.inbox.replies.is_empty() {
            return;
        }
        for assigned in &self.assigned {
            let FetchState::Asked(ticket) = assigned.state else { continue };
            let port = &assigned.route.port;
            let error = match port.unreachable() {
                Some(Unreachable::Stuck) => FetchError::ShardStuck { shard: port.shard() },
                Some(Unreachable::Closed) => FetchError::Closed,
                None => continue,
            };
            self.inbox.replies.push((ticket, Err(error)));
        }
    }

    /// The next records, for async code.
    ///
    /// # Errors
    /// As [`Consumer::poll_fetch`].
    pub async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        std::future::poll_fn(|context| self.poll_fetch(context)).await
    }
}

impl Consumer {
    /// The next records, for a plain thread.
    ///
    /// # Errors
    /// As [`Consumer::poll_fetch`].
    pub fn wait_fetch(&mut self) -> Result<Fetched, FetchError> {
        pollster::block_on(self.fetch())
    }
}

impl<P> Assigned<P> {
    fn corruption(&self, kind: CorruptionKind) -> Corruption {
        Corruption { path: PathBuf::from(self.name.to_string()), position: 0, kind }
    }
}

/// The offset after a batch that has to follow one that ended at `expected`.
fn follow(header: &BatchHeader, expected: Option<i64>) -> Result<i64, CorruptionKind> {
    match expected {
        Some(expected) if header.base_offset != expected => {
            Err(CorruptionKind::OffsetGap { expected, found: header.base_offset })
        }
        _ => Ok(header.next_offset()),
    }
}
