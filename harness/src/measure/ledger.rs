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
    /// Sequences that lie before the first record of an owner, that no earlier owner has read, and that have not arrived since.
    /// They are ranges in ascending order that do not touch.
    skipped: Vec<Range<u64>>,
    /// Whether an owner has begun beyond what was read, and no later record has arrived since.
    has_jumped: bool,
    redelivered: u64,
    double_owned: u64,
}

/// The place of a record among those of its producer that one owner of the partition has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first record that the owner has read.
    First,
    /// The owner has not read this record or a later one.
    Ahead,
    /// The owner has read this record or a later one.
    Again,
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

    /// Counts a record that an owner of the partition has read in a group. `has_two_owners` says whether another owner of the same
    /// generation has read it too.
    pub fn observe_of_owner(&mut self, sequence: u64, intended_ns: u64, step: Step, has_two_owners: bool) {
        if sequence >= self.expected {
            self.last_intended_ns = intended_ns;
            let hole = self.expected..sequence;
            self.expected = sequence + 1;
            if self.has_skipped {
                self.lost += hole.end - hole.start;
            } else if !hole.is_empty() {
                let holes = if step == Step::First { &mut self.skipped } else { &mut self.missing };
                holes.push(hole);
            }
            (self.has_skipped, self.has_jumped) = (false, false);
        } else if remove(&mut self.missing, sequence) || remove(&mut self.skipped, sequence) {
            self.reorders += u64::from(step == Step::Again);
        } else if step == Step::Again {
            self.duplicates += 1;
        } else if has_two_owners {
            self.double_owned += 1;
        } else {
            self.redelivered += 1;
        }
    }

    /// Notes that an owner has begun beyond what the group has read. The next records that are missing were skipped.
    pub fn jumped(&mut self) {
        self.has_jumped = true;
    }

    /// Notes that the group has begun where the trial's records begin, so that none was skipped.
    pub fn forget_jump(&mut self) {
        self.has_jumped = false;
    }

    #[cold]
    fn observe_late(&mut self, sequence: u64) {
        if remove(&mut self.missing, sequence) {
            self.reorders += 1;
        } else {
            self.duplicates += 1;
        }
    }

    /// Sequences before the first record of an owner that no owner has read, as ranges in ascending order that do not touch.
    pub fn skipped_ranges(&self) -> &[Range<u64>] {
        &self.skipped
    }

    /// Whether an owner has begun beyond what the group has read, and no later record has arrived since.
    pub const fn has_jumped(&self) -> bool {
        self.has_jumped
    }

    /// Records that an owner has read again, because it began at an older position.
    pub const fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// Records that two owners of one generation have read.
    pub const fn double_owned(&self) -> u64 {
        self.double_owned
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

/// Removes a number from ranges in ascending order. Returns whether one of them held it.
fn remove(ranges: &mut Vec<Range<u64>>, number: u64) -> bool {
    let at = ranges.partition_point(|range| range.end <= number);
    let Some(range) = ranges.get(at).filter(|range| range.contains(&number)).cloned() else { return false };
    let parts = [range.start..number, number + 1..range.end];
    ranges.splice(at..=at, parts.into_iter().filter(|part| !part.is_empty()));
    true
}

/// The records of one partition that one consumer saw, or that all members of one group saw.
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
    /// Records that others wrote. They are not checked.
    pub foreign: u64,
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
