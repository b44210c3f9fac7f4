//! The model of a log: the batches that it has taken, and what it has promised about each.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use vnotch_engine::buffer::SharedBytes;
use vnotch_engine::record::{BatchBuilder, BatchHeader, RecordRef, stamp, verify_crc};
use vnotch_engine::types::Durability;

/// A batch that the log has taken.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) next_offset: i64,
    /// The bytes that a read must return, with offset and epoch stamped.
    bytes: Rc<[u8]>,
    is_acked: bool,
    /// The level of durability that the log has promised for it. The loss of the batch would break this promise.
    promised: Option<Durability>,
}

impl Batch {
    /// The bytes that a read must return, with offset and epoch stamped.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the log has promised that the batch survives what `level` survives.
    pub(crate) fn is_promised(&self, level: Durability) -> bool {
        self.promised >= Some(level)
    }

    /// Whether `served`, a whole batch whose checksum holds, is this one. Its leader epoch may be damaged.
    fn is_served_as(&self, served: &[u8]) -> bool {
        let parts = |bytes: &[u8]| {
            Some((bytes.get(..OFFSET_AND_LENGTH_BYTES)?.to_vec(), bytes.get(EPOCH_END..)?.to_vec()))
        };
        parts(served) == parts(&self.bytes)
    }
}

/// The result of a consumer's check of bytes that may be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// The bytes are those that were appended; holds the offset after them.
    Whole(i64),
    /// A batch's checksum does not hold: the consumer sees an error.
    BadChecksum,
}

/// The batches of which damaged files may still show the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Only those of the log.
    OfLog,
    /// Also those that a crash took and whose offsets other batches have now.
    AlsoTaken,
}

/// Bytes at the beginning of a batch that hold its base offset and its length.
const OFFSET_AND_LENGTH_BYTES: usize = 12;

/// Position in a batch at which its leader epoch ends. Neither the checksum nor a consumer checks the epoch.
const EPOCH_END: usize = 16;

/// All batches of a log, in order.
#[derive(Clone, Default)]
pub(crate) struct Model {
    batches: Vec<Batch>,
    /// The batch acked last, by level.
    last_acked: [Option<usize>; 3],
    /// Batches that were cut off because the disk is full, and whose producers have no answer yet. They may come back: the
    /// process may die before the files are cut.
    cut: Vec<Batch>,
    /// Batches that the log no longer had when it was opened again. Their bytes may lie in a file that becomes a segment
    /// once more.
    taken: Vec<Batch>,
    /// The log's start when a segment's file was last deleted, or when a request to delete records was last answered. The
    /// log never begins before it again.
    pub(crate) deleted_to: i64,
    /// The offsets up to which requests have deleted records, or may have. The log may begin at each of them, also inside
    /// of a batch.
    pub(crate) deletions: BTreeSet<i64>,
}

impl Model {
    pub(crate) fn next_offset(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.next_offset)
    }

    /// Whether a batch begins at `offset`, or the next batch will.
    pub(crate) fn begins_batch(&self, offset: i64) -> bool {
        offset == self.next_offset() || self.batches.iter().any(|batch| batch.base_offset == offset)
    }

    pub(crate) fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Returns the bytes of the batch that ends at `offset`, as a read returns them; `None` if there is none.
    pub(crate) fn batch_before(&self, offset: i64) -> Option<Rc<[u8]>> {
        let at = self.batches.binary_search_by_key(&offset, |batch| batch.next_offset).ok()?;
        Some(Rc::clone(&self.batches[at].bytes))
    }

    /// Whether `bytes` are whole batches as they were appended, the first of them at `base_offset`.
    pub(crate) fn are_batches_from(&self, base_offset: i64, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        for batch in self.batches.iter().skip_while(|batch| batch.base_offset < base_offset) {
            match rest.strip_prefix(&batch.bytes[..]) {
                Some(after) if batch.base_offset >= base_offset => rest = after,
                _ => break,
            }
        }
        !bytes.is_empty() && rest.is_empty()
    }

    /// Adds the batch `bytes`, which the log has taken. Returns the batch's number.
    pub(crate) fn appended(&mut self, mut bytes: Vec<u8>, epoch: i32) -> usize {
        assert!(!self.owes_refusals(), "the log takes appends before it has refused those that it cut off");
        self.cut.clear();
        let base_offset = self.next_offset();
        stamp(&mut bytes, base_offset, epoch);
        let next_offset = BatchHeader::parse(&bytes).unwrap().next_offset();
        self.batches.push(Batch {
            base_offset,
            next_offset,
            bytes: bytes.into(),
            is_acked: false,
            promised: None,
        });
        self.batches.len() - 1
    }

    /// Notes that the log has acked a batch. Checks that it does so once, with the batch's offset, and in order within a level.
    pub(crate) fn acked(&mut self, number: usize, base_offset: i64, level: Durability) {
        let last = self.last_acked[level as usize].replace(number);
        assert!(last < Some(number), "acks of {level:?} leave in order: {last:?} before {number}");
        let batch = &mut self.batches[number];
        assert!(!batch.is_acked, "batch {number} is acked once");
        assert_eq!(batch.base_offset, base_offset);
        batch.is_acked = true;
        batch.promised = batch.promised.max(Some(level));
    }

    /// Notes that all batches are durable.
    pub(crate) fn all_durable(&mut self) {
        for batch in &mut self.batches {
            batch.promised = Some(Durability::Synced);
        }
    }

    /// Notes that the disk is full and that the log was cut to end at `end`.
    pub(crate) fn cut(&mut self, end: i64) {
        let kept = self.batches.partition_point(|batch| batch.next_offset <= end);
        self.cut = self.batches.split_off(kept);
        assert_eq!(self.next_offset(), end, "a log is cut between batches");
        let lost = self.cut.iter().find(|batch| batch.promised >= Some(Durability::Written));
        assert!(lost.is_none(), "what was promised as {:?} is cut off", lost.and_then(|lost| lost.promised));
        for last in &mut self.last_acked {
            *last = last.filter(|last| *last < kept).or(kept.checked_sub(1).filter(|_| last.is_some()));
        }
    }

    /// Notes that a batch was refused because the disk is full. It and all others that were cut off can no longer come back.
    pub(crate) fn refused(&mut self, number: usize) {
        assert!(number >= self.batches.len(), "batch {number} is refused, and yet in the log");
        self.cut.clear();
    }

    /// Whether a producer still waits for the answer to a batch that was cut off.
    pub(crate) fn owes_refusals(&self) -> bool {
        self.cut.iter().any(|batch| !batch.is_acked)
    }

    /// Notes that consumers may have read every batch before `offset`: each now promises `level` at least.
    pub(crate) fn shown(&mut self, offset: i64, level: Durability) {
        for batch in self.batches.iter_mut().rev().skip_while(|batch| batch.next_offset > offset) {
            if batch.promised >= Some(level) {
                break;
            }
            batch.promised = Some(level);
        }
    }

    /// Checks a log that was opened again and ends at `end`: every batch promised as `level` or more had to survive. Drops the
    /// batches that are lost.
    pub(crate) fn reopened(&mut self, end: i64, level: Durability) {
        self.reopened_below(end, level, i64::MAX);
    }

    /// Like [`Model::reopened`], but only batches that end at `trusted_to` or before had to survive.
    pub(crate) fn reopened_below(&mut self, end: i64, level: Durability, trusted_to: i64) {
        self.batches.append(&mut self.cut);
        let kept = self.batches.partition_point(|batch| batch.next_offset <= end);
        let had_to_survive = |batch: &Batch| batch.is_promised(level) && batch.next_offset <= trusted_to;
        let promised = self.batches.iter().rposition(had_to_survive);
        assert!(
            promised < Some(kept),
            "{kept} batches are left, ending at {end}; batch {promised:?} had been promised as {level:?}"
        );
        self.taken.extend(self.batches.drain(kept..));
        if self.next_offset() < end && self.deletions.contains(&end) {
            // The crash took records that were deleted. Nothing stands for the last of them, and no reader gets it.
            let base_offset = self.next_offset();
            let bytes = Rc::from([]);
            let deleted = Batch { base_offset, next_offset: end, bytes, is_acked: true, promised: None };
            self.batches.push(deleted);
        }
        assert_eq!(self.next_offset(), end, "a log ends with a whole batch");
        self.last_acked = [None; 3];
        self.all_durable();
    }

    /// Checks that `pieces` are batches in order. The first one holds `offset`, and the last one ends at `visible` or before.
    /// Returns the offset after them.
    pub(crate) fn check(&self, offset: i64, pieces: &[SharedBytes], visible: i64) -> i64 {
        let mut number = self.batches.partition_point(|batch| batch.next_offset <= offset);
        let mut next_offset = offset;
        for piece in pieces {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let batch = self.batches.get(number).expect("no batch is served that was not appended");
                let expected = batch.base_offset;
                let matches = rest.starts_with(&batch.bytes);
                assert!(matches, "asked for {offset}, got other bytes than those of the batch at {expected}");
                rest = &rest[batch.bytes.len()..];
                next_offset = batch.next_offset;
                number += 1;
            }
        }
        assert!(next_offset <= visible, "{next_offset} was served, visible is {visible}");
        next_offset
    }
}

impl Model {
    /// Does the check of [`Model::check`] on bytes that may be damaged. A batch whose checksum holds must be the one that was
    /// appended at its offset. `shown` says whether it may also be one that was appended there before a crash took it.
    pub(crate) fn check_damaged(
        &self,
        offset: i64,
        pieces: &[impl Deref<Target = [u8]>],
        visible: i64,
        shown: Shown,
    ) -> Served {
        let mut next_offset = offset;
        for piece in pieces {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let Ok(header) = BatchHeader::parse(rest) else { return Served::BadChecksum };
                let total_bytes = header.total_bytes();
                if total_bytes > rest.len() || verify_crc(&rest[..total_bytes]).is_err() {
                    return Served::BadChecksum;
                }
                let number = self.batches.partition_point(|batch| batch.next_offset <= header.base_offset);
                let batch = self.batches.get(number).expect("no batch is served that was not appended");
                let served = &rest[..total_bytes];
                let taken = self.taken.iter().filter(|_| shown == Shown::AlsoTaken);
                let is_known = std::iter::once(batch).chain(taken).any(|batch| batch.is_served_as(served));
                assert!(is_known, "asked for {offset}, got other bytes than those of {}", batch.base_offset);
                assert!(next_offset >= header.base_offset, "{next_offset} is skipped");
                next_offset = header.next_offset();
                rest = &rest[total_bytes..];
            }
        }
        assert!(next_offset <= visible, "{next_offset} was served, visible is {visible}");
        Served::Whole(next_offset)
    }

    /// Returns the base offset and the position of the batch that covers `position` in the segment with base offset
    /// `segment_base`.
    pub(crate) fn batch_at(&self, segment_base: i64, position: u64) -> Option<(i64, u64)> {
        let mut at = 0;
        let first = self.batches.partition_point(|batch| batch.base_offset < segment_base);
        for batch in &self.batches[first..] {
            let end = at + batch.bytes.len() as u64;
            if position < end {
                return Some((batch.base_offset, at));
            }
            at = end;
        }
        None
    }
}

/// Returns a batch of `count` records and `total_bytes` bytes, or a little fewer. `seed` decides its contents.
pub(crate) fn batch(seed: u64, count: usize, total_bytes: usize) -> Vec<u8> {
    use rand::{Rng as _, SeedableRng as _};
    let mut contents = vec![0; total_bytes];
    rand::rngs::SmallRng::seed_from_u64(seed).fill_bytes(&mut contents);
    let mut builder = BatchBuilder::new();
    for _ in 1..count {
        let value = Some(&contents[..4]);
        builder.push(&RecordRef { timestamp_ms: 1_000, value, ..RecordRef::default() }).unwrap();
    }
    let mut value_bytes = total_bytes;
    loop {
        let value = Some(&contents[..value_bytes]);
        let record = RecordRef { timestamp_ms: 1_000, value, ..RecordRef::default() };
        let excess = builder.encoded_bytes_with(&record).saturating_sub(total_bytes);
        if excess == 0 {
            builder.push(&record).unwrap();
            return builder.finish().bytes;
        }
        value_bytes -= excess.min(value_bytes);
        assert!(value_bytes > 0, "{count} records do not fit {total_bytes} bytes");
    }
}

/// Returns a batch of records with these timestamps, of `total_bytes` bytes or a little fewer.
pub(crate) fn timed_batch(timestamps: &[i64], total_bytes: usize) -> Vec<u8> {
    let value = vec![b't'; (total_bytes - 100) / timestamps.len() - 20];
    let mut builder = BatchBuilder::new();
    for timestamp_ms in timestamps.iter().copied() {
        builder.push(&RecordRef { timestamp_ms, value: Some(&value), ..RecordRef::default() }).unwrap();
    }
    builder.finish().bytes
}

#[test]
fn only_a_disk_that_lost_a_write_may_show_a_batch_that_a_crash_took() {
    let mut model = Model::default();
    let appended = |model: &mut Model, seed, epoch| {
        let number = model.appended(batch(seed, 1, 500), epoch);
        [model.batches()[number].bytes().to_vec()]
    };
    appended(&mut model, 0, 1);
    model.all_durable();
    let mut elsewhere = model.clone();
    let foreign = appended(&mut elsewhere, 7, 1);
    let taken = appended(&mut model, 1, 1);
    let base = model.batches()[1].base_offset;
    model.reopened(base, Durability::Synced);
    let present = appended(&mut model, 2, 2);
    let end = model.next_offset();
    let check = |offset, pieces: &[Vec<u8>], shown| {
        std::panic::catch_unwind(AssertUnwindSafe(|| model.check_damaged(offset, pieces, end, shown))).ok()
    };
    for shown in [Shown::OfLog, Shown::AlsoTaken] {
        assert_eq!(check(base, &present, shown), Some(Served::Whole(end)));
        assert_eq!(check(base, &foreign, shown), None, "no log has taken it");
    }
    assert_eq!(check(base, &taken, Shown::AlsoTaken), Some(Served::Whole(end)));
    assert_eq!(check(base, &taken, Shown::OfLog), None, "no write was lost, so its bytes are gone");
}
