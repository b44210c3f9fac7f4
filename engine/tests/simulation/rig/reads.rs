//! Fetches of a simulated log, with checks of every byte that the log serves.

use super::Rig;
use crate::model::Served;
use crate::restart::is_injected;
use crate::tally;
use std::rc::Rc;
use vnotch_engine::buffer::SharedBytes;
use vnotch_engine::error::FetchError;
use vnotch_engine::log::Fetched;

/// Largest number of fetched pieces that consumers hold.
const HELD_MAX: usize = 6;

impl Rig {
    /// Fetches from `offset`, which is at most the high watermark. A read of files runs while the log does other work.
    pub(crate) fn fetch(&mut self, offset: i64, bytes_max: usize) {
        match self.log.fetch(offset, bytes_max).unwrap() {
            Fetched::Nothing => assert_eq!(offset, self.log.high_watermark()),
            Fetched::Batches(pieces) => {
                assert!(!pieces.is_empty());
                self.served(offset, pieces);
            }
            Fetched::OnDisk => {
                let read = Rc::clone(&self.log).fetch_from_disk(offset, bytes_max);
                self.reads.push(Box::pin(async move { (offset, read.await) }));
                self.turn();
            }
        }
    }

    /// Whether a read of files is in flight.
    pub(crate) fn is_reading(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Panics at the error of a read that the injected faults do not explain.
    pub(super) fn check_read_error(&self, offset: i64, error: FetchError) {
        match error {
            FetchError::Disk(error) if is_injected(&error) => tally::count("read: the disk failed"),
            FetchError::Corrupt(_) if self.trust.is_broken() => tally::count("read: refused as damaged"),
            error => panic!("a read at {offset} fails: {error}"),
        }
    }

    /// Checks served bytes as a consumer does. Returns the offset after them, or `None` if a checksum shows damage.
    fn check_served(&self, offset: i64, pieces: &[SharedBytes]) -> Option<i64> {
        let visible = self.log.high_watermark();
        if !self.trust.is_broken() {
            return Some(self.model.check(offset, pieces, visible));
        }
        match self.model.check_damaged(offset, pieces, visible, self.trust.shown()) {
            Served::Whole(next_offset) => Some(next_offset),
            Served::BadChecksum => {
                tally::count("read: the checksum does not hold");
                None
            }
        }
    }

    pub(super) fn served(&mut self, offset: i64, pieces: Vec<SharedBytes>) {
        self.check_served(offset, &pieces);
        for piece in pieces {
            if matches!(piece, SharedBytes::Arena(_)) {
                assert!(self.arena.contains(&piece), "a consumer's slice does not lie in the arena");
            }
            if self.held.len() == HELD_MAX {
                self.held.pop_front();
            }
            let bytes = piece.to_vec();
            self.held.push_back((piece, bytes));
        }
        self.check_held();
    }

    /// Checks that the bytes which consumers hold have not changed.
    pub(crate) fn check_held(&self) {
        for (piece, bytes) in &self.held {
            assert!(piece[..] == bytes[..], "bytes changed in a consumer's hands");
        }
    }

    /// Drops all pieces that consumers hold.
    pub(crate) fn release(&mut self) {
        self.held.clear();
    }

    /// Reads and checks everything visible from `offset` on, up to the first damage if there is any.
    pub(crate) fn read_from(&self, mut offset: i64) {
        let visible = self.log.high_watermark();
        let mut empty_reads = 0;
        while offset < visible {
            let pieces = match self.log.fetch(offset, 700_000).unwrap() {
                Fetched::Nothing => panic!("there is more below the high watermark"),
                Fetched::Batches(pieces) => Ok(pieces),
                Fetched::OnDisk => self.disk.run_until(Rc::clone(&self.log).fetch_from_disk(offset, 700_000)),
            };
            let pieces = pieces.unwrap_or_else(|error| {
                self.check_read_error(offset, error);
                Vec::new()
            });
            empty_reads = if pieces.is_empty() { empty_reads + 1 } else { 0 };
            if empty_reads == 3 && self.trust.is_broken() {
                return;
            }
            assert!(empty_reads < 3, "a read at {offset} of {visible} finds nothing");
            let Some(next_offset) = self.check_served(offset, &pieces) else { return };
            offset = next_offset;
        }
    }
}
