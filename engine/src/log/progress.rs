//! The progress of a log's writes: those in flight, the position reached at each durability level, and the acks that
//! wait. Pure state, no I/O.
//!
//! Writes complete in any order. A level advances over the contiguous prefix of completed writes only, and within a
//! level acks leave in offset order.

use crate::types::Durability;
use std::collections::VecDeque;

/// Identifies a write or sync in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlightId(u64);

/// The durability of a write that has completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlightSync {
    /// The bytes are written, and not durable.
    Plain,
    /// The bytes are durable.
    Dsync,
}

/// A write in flight, or one that has completed behind a write in flight.
#[derive(Debug)]
struct Flight {
    id: FlightId,
    /// Stream position after the last byte of batches in the write.
    end: u64,
    sync: FlightSync,
    /// Whether its last block is padded.
    is_padded: bool,
    outcome: Outcome,
}

/// The state of a write in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The write is in flight.
    Pending,
    /// The write has succeeded.
    Done,
    /// The write has failed.
    Failed,
}

/// A batch that has not reached its level.
#[derive(Debug)]
struct Waiting<A> {
    /// Stream position after the batch.
    end: u64,
    base_offset: i64,
    ack: A,
}

/// The progress of a log's writes; see the module. Positions are *stream* positions: bytes over all segments of this
/// open. A segment begins where the one before it ended, rounded up to a block.
#[derive(Debug)]
pub(super) struct Progress<A> {
    next_id: u64,
    /// Submitted writes, in the order of their positions.
    flights: VecDeque<Flight>,
    /// Stream position and offset after each batch that is not written yet, and after each one that is not synced yet.
    unwritten: VecDeque<(u64, i64)>,
    unsynced: VecDeque<(u64, i64)>,
    /// Stream position below which all bytes are written.
    written_to: u64,
    /// Stream position below which all bytes are durable.
    synced_to: u64,
    /// Stream position and offset after the last whole batch that is written, and after the last one that is synced.
    written_end: (u64, i64),
    synced_end: (u64, i64),
    /// Batches that wait until they are written, in offset order.
    waiting_written: VecDeque<Waiting<A>>,
    /// Batches that wait until they are synced, in offset order.
    waiting_synced: VecDeque<Waiting<A>>,
    /// The sync in flight, and the stream position up to which it makes bytes durable.
    sync_to: Option<(FlightId, u64)>,
    /// Stream position from which on every completed write was durable with its completion.
    dsync_from: u64,
    /// Stream position up to which bytes have to be synced, even if no ack waits for that.
    wanted_synced: u64,
    /// Stream position at which the segment with a new file begins. `None` once a sync has covered that file's creation
    /// or rename.
    new_file_from: Option<u64>,
    /// Number of syncs that had failed on the device before the oldest change that is not durable.
    failed_syncs: u64,
}

impl<A> Progress<A> {
    /// The progress of a log that has synced all records before `next_offset`.
    pub(super) const fn new(next_offset: i64) -> Self {
        Self {
            next_id: 0,
            flights: VecDeque::new(),
            unwritten: VecDeque::new(),
            unsynced: VecDeque::new(),
            written_to: 0,
            synced_to: 0,
            written_end: (0, next_offset),
            synced_end: (0, next_offset),
            waiting_written: VecDeque::new(),
            waiting_synced: VecDeque::new(),
            sync_to: None,
            dsync_from: 0,
            wanted_synced: 0,
            new_file_from: None,
            failed_syncs: 0,
        }
    }

    /// Notes that a batch was appended. It ends at stream position `end`. `offsets` are its first offset and the one
    /// after its last. `waits` is the level that its ack waits for, with the ack.
    pub(super) fn appended(&mut self, end: u64, offsets: (i64, i64), waits: Option<(Durability, A)>) {
        let (base_offset, next_offset) = offsets;
        self.unwritten.push_back((end, next_offset));
        self.unsynced.push_back((end, next_offset));
        match waits {
            Some((Durability::Synced, ack)) => {
                self.waiting_synced.push_back(Waiting { end, base_offset, ack })
            }
            Some((_, ack)) => self.waiting_written.push_back(Waiting { end, base_offset, ack }),
            None => {}
        }
    }

    /// Notes that a write up to stream position `end` is submitted. `failed_syncs` is the number of syncs that have
    /// failed on the device until now.
    pub(super) fn submitted(
        &mut self,
        end: u64,
        sync: FlightSync,
        is_padded: bool,
        failed_syncs: u64,
    ) -> FlightId {
        self.begin_change(failed_syncs);
        let id = self.take_id();
        self.flights.push_back(Flight { id, end, sync, is_padded, outcome: Outcome::Pending });
        id
    }

    /// Notes that a segment begins at stream position `from`. Its file was made or renamed after `failed_syncs` syncs
    /// had failed on the device.
    pub(super) fn file_begins(&mut self, from: u64, failed_syncs: u64) {
        self.begin_change(failed_syncs);
        self.new_file_from = Some(from);
    }

    fn begin_change(&mut self, failed_syncs: u64) {
        if self.is_durable() {
            self.failed_syncs = failed_syncs;
        }
    }

    /// Whether every change of the log is durable.
    fn is_durable(&self) -> bool {
        self.flights.is_empty() && self.synced_to >= self.written_to && self.new_file_from.is_none()
    }

    /// Number of syncs that had failed on the device before the oldest change that is not durable. `None` if every
    /// change is durable. If another sync has failed since, the change may be lost, and no later sync brings it back.
    pub(super) fn failed_syncs_before(&self) -> Option<u64> {
        (!self.is_durable()).then_some(self.failed_syncs)
    }

    /// Notes that a sync has made durable the bytes before stream position `end`, and the file that holds them.
    fn file_synced(&mut self, end: u64) {
        self.new_file_from.take_if(|from| *from < end);
    }

    const fn take_id(&mut self) -> FlightId {
        self.next_id += 1;
        FlightId(self.next_id)
    }

    /// Number of writes in flight. A completed write counts while one before it is in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether a padded tail is in flight. Its block must not be written again before that write has completed.
    pub(super) fn is_padded_in_flight(&self) -> bool {
        self.flights.back().is_some_and(|flight| flight.is_padded)
    }

    /// Notes that a write has completed.
    ///
    /// # Panics
    /// If the write is not in flight.
    pub(super) fn write_done(&mut self, id: FlightId) {
        self.ended(id, Outcome::Done);
        while let Some(front) = self.flights.front().filter(|front| front.outcome == Outcome::Done) {
            let Flight { end, sync, .. } = *front;
            match sync {
                FlightSync::Plain => self.dsync_from = end,
                FlightSync::Dsync => self.file_synced(end),
            }
            self.written_to = end;
            self.flights.pop_front();
        }
        self.advance();
    }

    /// Notes that a write has failed. From its first byte on nothing counts as written until [`Progress::cut`].
    ///
    /// # Panics
    /// If the write is not in flight.
    pub(super) fn write_failed(&mut self, id: FlightId) {
        self.ended(id, Outcome::Failed);
    }

    fn ended(&mut self, id: FlightId, outcome: Outcome) {
        let flight = self.flights.iter_mut().find(|flight| flight.id == id);
        let flight = flight.expect("a completion belongs to a write in flight");
        assert_eq!(flight.outcome, Outcome::Pending, "a write completes once");
        flight.outcome = outcome;
    }

    /// Whether the disk does no work for this log: no write or sync is pending.
    pub(super) fn is_quiet(&self) -> bool {
        self.sync_to.is_none() && self.flights.iter().all(|flight| flight.outcome != Outcome::Pending)
    }

    /// Drops everything beyond the last whole batch that was written. Returns the acks that waited for it, in offset
    /// order by level.
    ///
    /// # Panics
    /// If writes are in flight, or acks are due.
    pub(super) fn cut(&mut self) -> Vec<A> {
        assert!(self.is_quiet(), "writes in flight cannot be cut off");
        let end = self.written_end.0;
        self.flights.clear();
        self.unwritten.clear();
        self.unsynced.truncate(self.unsynced.partition_point(|(batch_end, _)| *batch_end <= end));
        (self.written_to, self.synced_to) = (end, self.synced_to.min(end));
        (self.dsync_from, self.wanted_synced) = (self.dsync_from.min(end), self.wanted_synced.min(end));
        // The file of a segment that begins there is removed.
        self.new_file_from.take_if(|from| *from >= end);
        let beyond = |queue: &mut VecDeque<Waiting<A>>| {
            queue.split_off(queue.partition_point(|waiting| waiting.end <= end))
        };
        let (written, synced) = (beyond(&mut self.waiting_written), beyond(&mut self.waiting_synced));
        assert!(self.waiting_written.is_empty(), "acks of written batches are taken before a cut");
        written.into_iter().chain(synced).map(|waiting| waiting.ack).collect()
    }

    /// Begins a sync if one is due: a written batch waits to be synced, and no sync is in flight.
    pub(super) fn begin_sync(&mut self) -> Option<FlightId> {
        if !self.is_sync_due() {
            return None;
        }
        let id = self.take_id();
        self.sync_to = Some((id, self.written_to));
        Some(id)
    }

    /// Whether [`Progress::begin_sync`] would begin a sync.
    pub(super) fn is_sync_due(&self) -> bool {
        let waiting = self.waiting_synced.front().map(|waiting| waiting.end);
        let is_due = |end: u64| end <= self.written_to && end > self.synced_to;
        // The wanted position may still move. So sync what is written now and the rest later, instead of waiting until
        // it stops.
        let has_unsynced = self.wanted_synced > self.synced_to && self.written_to > self.synced_to;
        self.sync_to.is_none() && (waiting.is_some_and(is_due) || has_unsynced)
    }

    /// Whether a sync is in flight.
    pub(super) const fn is_sync_under_way(&self) -> bool {
        self.sync_to.is_some()
    }

    /// Notes that a sync was begun but not submitted. It is due again.
    ///
    /// # Panics
    /// If the sync is not in flight.
    pub(super) fn sync_not_done(&mut self, id: FlightId) {
        let (expected, _) = self.sync_to.take().expect("a completion belongs to a sync in flight");
        assert_eq!(id, expected, "one sync at a time");
    }

    /// Asks for a sync of everything up to stream position `end`, even if no ack waits for it.
    pub(super) fn want_synced(&mut self, end: u64) {
        self.wanted_synced = self.wanted_synced.max(end);
    }

    /// Notes that a sync has completed. It covers the bytes that were written when it was submitted.
    ///
    /// # Panics
    /// If the sync is not in flight.
    pub(super) fn sync_done(&mut self, id: FlightId) {
        let (expected, to) = self.sync_to.take().expect("a completion belongs to a sync in flight");
        assert_eq!(id, expected, "one sync at a time");
        self.synced_to = self.synced_to.max(to);
        self.file_synced(to);
        self.advance();
    }

    /// Notes that a seal has synced everything up to stream position `end`.
    pub(super) fn sealed(&mut self, end: u64) {
        if end <= self.written_to {
            self.synced_to = self.synced_to.max(end);
            self.file_synced(end);
            self.advance();
        }
    }

    /// Moves the offsets that are written and synced to the positions reached.
    fn advance(&mut self) {
        // A write with its own sync makes only its own bytes durable. So it counts only if all bytes before it are
        // durable.
        if self.synced_to >= self.dsync_from {
            self.synced_to = self.synced_to.max(self.written_to);
        }
        take_reached(&mut self.unwritten, self.written_to, &mut self.written_end);
        take_reached(&mut self.unsynced, self.synced_to, &mut self.synced_end);
    }

    /// Takes the next ack whose batch has reached its level, with the batch's first offset.
    pub(super) fn pop_reached(&mut self) -> Option<(i64, A)> {
        let reached = |queue: &mut VecDeque<Waiting<A>>, to: u64| {
            queue.front().is_some_and(|front| front.end <= to).then(|| queue.pop_front()).flatten()
        };
        let waiting = reached(&mut self.waiting_written, self.written_to)
            .or_else(|| reached(&mut self.waiting_synced, self.synced_to))?;
        Some((waiting.base_offset, waiting.ack))
    }

    /// Takes the acks of all batches that still wait, in offset order by level, because the log has failed.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = A> + use<'_, A> {
        self.waiting_written.drain(..).chain(self.waiting_synced.drain(..)).map(|waiting| waiting.ack)
    }

    pub(super) const fn written_offset(&self) -> i64 {
        self.written_end.1
    }

    /// Stream position and offset after the last whole batch that was written.
    pub(super) const fn written_end(&self) -> (u64, i64) {
        self.written_end
    }

    pub(super) const fn synced_offset(&self) -> i64 {
        self.synced_end.1
    }

    pub(super) const fn written_to(&self) -> u64 {
        self.written_to
    }

    /// Stream position below which all bytes are durable.
    pub(super) const fn synced_to(&self) -> u64 {
        self.synced_to
    }
}

/// Takes the batches that end at or below stream position `to`. `reached` becomes the end of the last one.
fn take_reached(batches: &mut VecDeque<(u64, i64)>, to: u64, reached: &mut (u64, i64)) {
    while let Some(end) = batches.front().copied()
        && end.0 <= to
    {
        *reached = end;
        batches.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Writes may complete in any order. Acks leave in offset order within a level, each exactly once. None leaves
        /// before every byte up to the batch's end was written, and synced if it asked for that.
        #[test]
        fn acks_wait_for_the_contiguous_prefix(
            sizes in prop::collection::vec((1u64..9000, any::<bool>()), 1..40),
            order in prop::collection::vec(any::<prop::sample::Index>(), 40),
            dsync in any::<bool>(),
        ) {
            let mut progress = Progress::new(0);
            let mut ends = Vec::new();
            let mut end = 0;
            for (index, (bytes, synced)) in sizes.iter().enumerate() {
                end += bytes;
                let level = if *synced { Durability::Synced } else { Durability::Written };
                let offset = i64::try_from(index).unwrap();
                progress.appended(end, (offset, offset + 1), Some((level, index)));
                ends.push(end);
            }
            let sync = if dsync { FlightSync::Dsync } else { FlightSync::Plain };
            let mut flights: Vec<_> =
                ends.iter().map(|end| (progress.submitted(*end, sync, false, 0), *end)).collect();
            let mut open: Vec<u64> = ends.clone();
            let mut acked: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
            for pick in order.iter().cycle() {
                if flights.is_empty() { break }
                let (id, end) = flights.swap_remove(pick.index(flights.len()));
                open.retain(|other| *other != end);
                progress.write_done(id);
                if let Some(sync) = progress.begin_sync() { progress.sync_done(sync); }
                while let Some((offset, ack)) = progress.pop_reached() {
                    prop_assert_eq!(usize::try_from(offset).unwrap(), ack);
                    prop_assert!(open.iter().all(|open| *open > ends[ack]), "acked beyond a gap");
                    acked[usize::from(sizes[ack].1)].push(ack);
                }
            }
            for level in &acked { prop_assert!(level.is_sorted()); }
            prop_assert_eq!(acked[0].len() + acked[1].len(), sizes.len());
            prop_assert_eq!(progress.written_offset(), i64::try_from(sizes.len()).unwrap());
        }
    }

    /// The progress of a log after one plain write that was submitted when `failed_syncs` syncs had failed.
    fn written(failed_syncs: u64) -> Progress<()> {
        let mut progress = Progress::new(0);
        progress.appended(100, (0, 1), None);
        let write = progress.submitted(100, FlightSync::Plain, false, failed_syncs);
        progress.write_done(write);
        progress
    }

    #[test]
    fn what_is_not_durable_remembers_the_failed_syncs_before_its_oldest_write() {
        let mut progress = written(3);
        progress.want_synced(100);
        let sync = progress.begin_sync().unwrap();
        progress.appended(200, (1, 2), None);
        let write = progress.submitted(200, FlightSync::Dsync, false, 4);
        assert_eq!(progress.failed_syncs_before(), Some(3));
        progress.write_done(write);
        assert_eq!(progress.failed_syncs_before(), Some(3), "the first write is not durable yet");
        progress.sync_done(sync);
        assert_eq!(progress.failed_syncs_before(), None);
        progress.submitted(300, FlightSync::Dsync, false, 5);
        assert_eq!(progress.failed_syncs_before(), Some(5));
    }

    #[test]
    fn a_new_file_is_not_durable_before_a_sync_of_what_is_written_to_it() {
        let mut progress = written(3);
        progress.file_begins(4096, 4);
        progress.sealed(100);
        assert_eq!(progress.failed_syncs_before(), Some(3), "the seal covered the file before");
        progress.appended(4196, (1, 2), None);
        let write = progress.submitted(4196, FlightSync::Dsync, false, 4);
        progress.write_done(write);
        assert_eq!(progress.failed_syncs_before(), None);
    }
}
