//! What is in flight, how far the log has come at each level, and who waits for it. Pure state, no I/O.
//!
//! Writes complete in any order; a level advances over the contiguous completed prefix only, and acks leave in offset
//! order within a level.

use crate::types::Durability;
use std::collections::VecDeque;

/// Names a write or sync in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlightId(u64);

/// What a completed write has made of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlightSync {
    /// Written, not durable.
    Plain,
    /// Durable with its completion.
    Dsync,
}

#[derive(Debug)]
struct Flight {
    id: FlightId,
    /// Stream position after its last byte of batches.
    end: u64,
    sync: FlightSync,
    is_padded: bool,
    outcome: Outcome,
}

/// What has become of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Pending,
    Done,
    Failed,
}

/// A batch that waits for its level.
#[derive(Debug)]
struct Waiting<A> {
    end: u64,
    base_offset: i64,
    ack: A,
}

/// Positions here are *stream* positions: bytes over all segments, each segment beginning where the one before it ended,
/// rounded up to a block.
#[derive(Debug)]
pub(super) struct Progress<A> {
    next_id: u64,
    flights: VecDeque<Flight>,
    /// (stream position, offset) after each batch that is not written yet / not synced yet.
    unwritten: VecDeque<(u64, i64)>,
    unsynced: VecDeque<(u64, i64)>,
    written_to: u64,
    synced_to: u64,
    /// Stream position and offset after the last whole batch written / synced.
    written_end: (u64, i64),
    synced_end: (u64, i64),
    waiting_written: VecDeque<Waiting<A>>,
    waiting_synced: VecDeque<Waiting<A>>,
    /// Target of the sync in flight.
    sync_to: Option<(FlightId, u64)>,
    /// From here on every completed write was a durable one.
    dsync_from: u64,
    /// What is to be synced even if nobody waits for it.
    wanted_synced: u64,
    /// Stream position of the segment whose file is new: no sync has covered its making yet.
    new_file_from: Option<u64>,
    /// Syncs that had failed on the device before the oldest change that is not durable.
    failed_syncs: u64,
}

impl<A> Progress<A> {
    /// Of a log all of whose records before `next_offset` are synced.
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

    /// A batch that ends at stream position `end` and offset `next_offset` was appended; `waits` is told once it has
    /// reached its level.
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

    /// A write up to stream position `end` is being submitted. By now `failed_syncs` syncs have failed on the device.
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

    /// A segment begins at stream position `from`, in a file that was made, or got its name, after `failed_syncs` syncs had
    /// failed on the device.
    pub(super) fn file_begins(&mut self, from: u64, failed_syncs: u64) {
        self.begin_change(failed_syncs);
        self.new_file_from = Some(from);
    }

    fn begin_change(&mut self, failed_syncs: u64) {
        if self.is_durable() {
            self.failed_syncs = failed_syncs;
        }
    }

    /// Whether every change so far is durable.
    fn is_durable(&self) -> bool {
        self.flights.is_empty() && self.synced_to >= self.written_to && self.new_file_from.is_none()
    }

    /// Syncs that had failed on the device before the oldest change that is not durable; `None` if there is no such change. If
    /// another one has failed since, the change may be lost, whatever is synced.
    pub(super) fn failed_syncs_before(&self) -> Option<u64> {
        (!self.is_durable()).then_some(self.failed_syncs)
    }

    /// A sync has covered what was written before stream position `end`, and its file.
    fn file_synced(&mut self, end: u64) {
        self.new_file_from.take_if(|from| *from < end);
    }

    const fn take_id(&mut self) -> FlightId {
        self.next_id += 1;
        FlightId(self.next_id)
    }

    /// Writes in flight, or complete behind one that is.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether a padded tail is in flight: its block must not be written again before it has completed.
    pub(super) fn is_padded_in_flight(&self) -> bool {
        self.flights.back().is_some_and(|flight| flight.is_padded)
    }

    /// A write has completed.
    ///
    /// # Panics
    /// If it is not in flight.
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

    /// A write has failed: nothing is written from it on until [`Progress::cut`].
    ///
    /// # Panics
    /// If it is not in flight.
    pub(super) fn write_failed(&mut self, id: FlightId) {
        self.ended(id, Outcome::Failed);
    }

    fn ended(&mut self, id: FlightId, outcome: Outcome) {
        let flight = self.flights.iter_mut().find(|flight| flight.id == id);
        let flight = flight.expect("a completion belongs to a write in flight");
        assert_eq!(flight.outcome, Outcome::Pending, "a write completes once");
        flight.outcome = outcome;
    }

    /// Whether the disk is doing nothing for this log.
    pub(super) fn is_quiet(&self) -> bool {
        self.sync_to.is_none() && self.flights.iter().all(|flight| flight.outcome != Outcome::Pending)
    }

    /// Forgets everything beyond the last whole batch written; who waited for that, in offset order by level.
    ///
    /// # Panics
    /// If writes are in flight, or acks are due.
    pub(super) fn cut(&mut self) -> Vec<A> {
        assert!(self.is_quiet(), "what is being written cannot be cut off");
        let end = self.written_end.0;
        self.flights.clear();
        self.unwritten.clear();
        self.unsynced.truncate(self.unsynced.partition_point(|(batch_end, _)| *batch_end <= end));
        (self.written_to, self.synced_to) = (end, self.synced_to.min(end));
        (self.dsync_from, self.wanted_synced) = (self.dsync_from.min(end), self.wanted_synced.min(end));
        // A file that begins there is removed.
        self.new_file_from.take_if(|from| *from >= end);
        let beyond = |queue: &mut VecDeque<Waiting<A>>| {
            queue.split_off(queue.partition_point(|waiting| waiting.end <= end))
        };
        let (written, synced) = (beyond(&mut self.waiting_written), beyond(&mut self.waiting_synced));
        assert!(self.waiting_written.is_empty(), "what is written was acked");
        written.into_iter().chain(synced).map(|waiting| waiting.ack).collect()
    }

    /// A sync that should be submitted now: something waits to be synced that is written, and no sync is in flight.
    pub(super) fn begin_sync(&mut self) -> Option<FlightId> {
        if !self.is_sync_due() {
            return None;
        }
        let id = self.take_id();
        self.sync_to = Some((id, self.written_to));
        Some(id)
    }

    /// Whether [`Progress::begin_sync`] begins one.
    pub(super) fn is_sync_due(&self) -> bool {
        let waiting = self.waiting_synced.front().map(|waiting| waiting.end);
        let is_due = |end: u64| end <= self.written_to && end > self.synced_to;
        // What is wanted may still grow: a sync now, and another later, rather than none until it stands still.
        let has_unsynced = self.wanted_synced > self.synced_to && self.written_to > self.synced_to;
        self.sync_to.is_none() && (waiting.is_some_and(is_due) || has_unsynced)
    }

    /// Whether a sync is in flight.
    pub(super) const fn is_sync_under_way(&self) -> bool {
        self.sync_to.is_some()
    }

    /// A sync that was begun was not submitted; it is due again.
    ///
    /// # Panics
    /// If it is not in flight.
    pub(super) fn sync_not_done(&mut self, id: FlightId) {
        let (expected, _) = self.sync_to.take().expect("a completion belongs to a sync in flight");
        assert_eq!(id, expected, "one sync at a time");
    }

    /// Everything up to stream position `end` is to be synced, also if nobody waits for it.
    pub(super) fn want_synced(&mut self, end: u64) {
        self.wanted_synced = self.wanted_synced.max(end);
    }

    /// A sync has completed; it covers what was written when it was submitted.
    ///
    /// # Panics
    /// If it is not in flight.
    pub(super) fn sync_done(&mut self, id: FlightId) {
        let (expected, to) = self.sync_to.take().expect("a completion belongs to a sync in flight");
        assert_eq!(id, expected, "one sync at a time");
        self.synced_to = self.synced_to.max(to);
        self.file_synced(to);
        self.advance();
    }

    /// Everything written is known to be durable: a seal has synced it.
    pub(super) fn sealed(&mut self, end: u64) {
        if end <= self.written_to {
            self.synced_to = self.synced_to.max(end);
            self.file_synced(end);
            self.advance();
        }
    }

    fn advance(&mut self) {
        // A durable write makes only its own bytes durable, so it counts only where all before it are.
        if self.synced_to >= self.dsync_from {
            self.synced_to = self.synced_to.max(self.written_to);
        }
        take_reached(&mut self.unwritten, self.written_to, &mut self.written_end);
        take_reached(&mut self.unsynced, self.synced_to, &mut self.synced_end);
    }

    /// The next batch that has reached its level: its first offset and who waits for it.
    pub(super) fn pop_reached(&mut self) -> Option<(i64, A)> {
        let reached = |queue: &mut VecDeque<Waiting<A>>, to: u64| {
            queue.front().is_some_and(|front| front.end <= to).then(|| queue.pop_front()).flatten()
        };
        let waiting = reached(&mut self.waiting_written, self.written_to)
            .or_else(|| reached(&mut self.waiting_synced, self.synced_to))?;
        Some((waiting.base_offset, waiting.ack))
    }

    /// Everybody who still waits, in offset order by level: the log has failed.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = A> + use<'_, A> {
        self.waiting_written.drain(..).chain(self.waiting_synced.drain(..)).map(|waiting| waiting.ack)
    }

    pub(super) const fn written_offset(&self) -> i64 {
        self.written_end.1
    }

    /// Stream position and offset after the last whole batch written.
    pub(super) const fn written_end(&self) -> (u64, i64) {
        self.written_end
    }

    pub(super) const fn synced_offset(&self) -> i64 {
        self.synced_end.1
    }

    pub(super) const fn written_to(&self) -> u64 {
        self.written_to
    }
}

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
        /// In whatever order writes complete, acks leave in offset order, each exactly once, and never before every
        /// byte up to its end was written (and synced, where it asked for that).
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
                    prop_assert!(open.iter().all(|open| *open > ends[ack]), "acked beyond a hole");
                    acked[usize::from(sizes[ack].1)].push(ack);
                }
            }
            for level in &acked { prop_assert!(level.is_sorted()); }
            prop_assert_eq!(acked[0].len() + acked[1].len(), sizes.len());
            prop_assert_eq!(progress.written_offset(), i64::try_from(sizes.len()).unwrap());
        }
    }

    /// A log's progress after one plain write that was submitted when `failed_syncs` syncs had failed.
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
        assert_eq!(progress.failed_syncs_before(), Some(3), "the seal was of the file before");
        progress.appended(4196, (1, 2), None);
        let write = progress.submitted(4196, FlightSync::Dsync, false, 4);
        progress.write_done(write);
        assert_eq!(progress.failed_syncs_before(), None);
    }
}
