//! The ledger of integrity: the records that producers say were acked, and the records that consumers saw.
//!
//! Records are numbered from 0 for each producer and partition. So a consumer knows which number must come next, without
//! communication.

use std::ops::Range;

/// The records of one producer in one partition, as one consumer group sees them.
#[derive(Debug, Clone, Default)]
pub struct SequenceTrack {
    expected: u64,
    /// Sequences that were skipped and have not arrived since, as ranges in ascending order that do not touch.
    missing: Vec<Range<u64>>,
    duplicates: u64,
    reorders: u64,
    last_intended_ns: u64,
    /// Whether retention has deleted records since the last record arrived.
    has_skipped: bool,
    lost: u64,
}

impl SequenceTrack {
    /// Counts a record that has arrived.
    pub fn observe(&mut self, sequence: u64, intended_ns: u64) {
        self.last_intended_ns = intended_ns;
        if sequence == self.expected {
            self.expected += 1;
        } else if sequence > self.expected && self.has_skipped {
            self.lost += sequence - self.expected;
            self.expected = sequence + 1;
        } else if sequence > self.expected {
            self.missing.push(self.expected..sequence);
            self.expected = sequence + 1;
        } else {
            self.observe_late(sequence);
        }
        self.has_skipped = false;
    }

    /// Notes that retention has deleted records which this group had not read yet. The next records that are missing are not
    /// the target's fault.
    pub fn skipped(&mut self) {
        self.has_skipped = true;
    }

    #[cold]
    fn observe_late(&mut self, sequence: u64) {
        let at = self.missing.partition_point(|range| range.end <= sequence);
        match self.missing.get(at).cloned() {
            Some(range) if range.contains(&sequence) => {
                self.reorders += 1;
                let parts = [range.start..sequence, sequence + 1..range.end];
                self.missing.splice(at..=at, parts.into_iter().filter(|part| !part.is_empty()));
            }
            _ => self.duplicates += 1,
        }
    }

    /// Sequences that were skipped and have not arrived since, as ranges in ascending order that do not touch.
    pub fn missing(&self) -> &[Range<u64>] {
        &self.missing
    }

    /// Records that arrived more than once.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Records that arrived after a later one.
    pub const fn reorders(&self) -> u64 {
        self.reorders
    }

    /// Records that were skipped right after retention had deleted some.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether retention has deleted records since the last one arrived.
    pub const fn has_skipped(&self) -> bool {
        self.has_skipped
    }

    /// The sequence that must come next. All below it have arrived or are missing.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// Intended time of the record that arrived last, ns on the trial's clock; 0 before the first.
    pub fn last_intended_ns(&self) -> u64 {
        self.last_intended_ns
    }
}

/// The records of one partition that one consumer saw.
#[derive(Debug, Clone, Default)]
pub struct ConsumedPartition {
    /// Topic number.
    pub topic: u32,
    /// Consumer group number within the topic.
    pub group: u32,
    /// Partition number.
    pub partition: u32,
    /// Offset after the last record that was seen.
    pub position: u64,
    /// Records that retention deleted before they were read, as the target reported.
    pub skipped: u64,
    /// Records that were checked.
    pub checked: u64,
    /// Records whose stamp differs from the one that was sent. Under `sequence+crc` the rest of the value counts too.
    pub corruptions: u64,
    /// The records of each producer of the topic, by producer number.
    pub tracks: Vec<SequenceTrack>,
}

/// The answers that one producer got for one partition.
#[derive(Debug, Clone, Default)]
pub struct ProducedPartition {
    /// Topic number.
    pub topic: u32,
    /// Partition number.
    pub partition: u32,
    /// Number of the producer within its topic.
    pub producer: u32,
    /// Records that were acked or failed. The first record without an answer has this number.
    pub answered: u64,
    /// Records that were handed over to the target.
    pub sent: u64,
    /// Ranges of records whose batch failed. These records may or may not be in the log.
    pub failed: Vec<Range<u64>>,
    /// Offset after the last acked record.
    pub end_offset: u64,
}
