//! The ledger of integrity: the records that producers say were acked, and the records that consumers saw.
//!
//! Records are numbered from 0 per producer and partition, so a consumer knows the number that must come next without
//! asking anyone.

use std::ops::Range;

/// One producer's records in one partition, as one consumer group sees them.
#[derive(Debug, Clone, Default)]
pub struct SequenceTrack {
    expected: u64,
    /// Sequences skipped so far, ascending and apart; shrinks when one turns up late.
    missing: Vec<Range<u64>>,
    duplicates: u64,
    reorders: u64,
    last_intended_ns: u64,
    /// Whether retention has deleted records since the last one came.
    has_skipped: bool,
    lost: u64,
}

impl SequenceTrack {
    /// A record has come.
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

    /// Retention has deleted records that this group had not come to: what is missing next is not the target's fault.
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

    /// Sequences that were skipped and have not arrived since, ascending and apart.
    pub fn missing(&self) -> &[Range<u64>] {
        &self.missing
    }

    /// Records that arrived again.
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

    /// Sequences below this one have come or are missing.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// When the record that came last was meant to be sent; 0 before the first.
    pub fn last_intended_ns(&self) -> u64 {
        self.last_intended_ns
    }
}

/// What one consumer saw of one partition.
#[derive(Debug, Clone, Default)]
pub struct ConsumedPartition {
    /// Topic number.
    pub topic: u32,
    /// Consumer group number within the topic.
    pub group: u32,
    /// Partition number.
    pub partition: u32,
    /// The offset after the last record seen.
    pub position: u64,
    /// Records that the target said retention had deleted before they were read.
    pub skipped: u64,
    /// Records looked at.
    pub checked: u64,
    /// Records whose stamp (under `sequence+crc`: or body) is not what was sent.
    pub corruptions: u64,
    /// By producer of the topic.
    pub tracks: Vec<SequenceTrack>,
}

/// What one producer was told about one partition.
#[derive(Debug, Clone, Default)]
pub struct ProducedPartition {
    /// Topic number.
    pub topic: u32,
    /// Partition number.
    pub partition: u32,
    /// Number of the producer within its topic.
    pub producer: u32,
    /// Records acked or failed; the first unanswered one has this number.
    pub answered: u64,
    /// Records handed over.
    pub sent: u64,
    /// Batches that failed: their records may or may not be in the log.
    pub failed: Vec<Range<u64>>,
    /// The offset after the last acked record.
    pub end_offset: u64,
}
