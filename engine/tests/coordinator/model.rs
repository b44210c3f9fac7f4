//! The batches that a coordinator has appended, and the state that they give.

use std::collections::BTreeMap;
use vnotch_engine::group::{EncodedRecord, GroupConfig, GroupRecord, Groups};
use vnotch_engine::record::batches;
use vnotch_engine::types::Durability;

/// A batch in the log.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The coordinator's number for the batch.
    number: u32,
    base_offset: i64,
    next_offset: i64,
    records: Vec<EncodedRecord>,
    /// The batch repeats stored state, as a compaction does. It changes nothing.
    is_repetition: bool,
    /// The level at which the batch was acked.
    acked: Option<Durability>,
}

/// The batches of a log, from its first record on. Compactions take none away here.
pub(crate) struct Model {
    config: GroupConfig,
    batches: Vec<Batch>,
    /// Batches that the last cut has taken, and of which none was refused. Nobody knows whether they are in the log. If the process is
    /// killed before their segment's removal is durable, a power loss may bring them back, also after an open without them.
    cut: Vec<Batch>,
    /// Number of the batches from before the last open.
    before: usize,
    /// The groups that the acked batches give.
    pub acked: Groups,
    /// Their records by key, if they were asked for since the last change.
    stored: Option<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    /// The last offset or generation that was appended, by key.
    last: BTreeMap<Vec<u8>, i64>,
    /// Number of batches that repeated stored state.
    pub repetitions: u64,
}

/// The state after a crash.
pub(crate) struct Expected {
    /// The batches that are left.
    left: Vec<Batch>,
    /// A batch is gone that was acked, at a level that does not survive such a crash.
    pub is_acked_lost: bool,
    pub groups: Groups,
}

impl Model {
    pub(crate) fn new(config: GroupConfig) -> Self {
        let acked = Groups::new(config.clone());
        let (batches, cut, last) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { config, batches, cut, before: 0, acked, stored: None, last, repetitions: 0 }
    }

    pub(crate) fn next_offset(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.next_offset)
    }

    /// Takes note of a batch that the log has taken. Offsets of a partition, and generations of a group, never go back.
    pub(crate) fn appended(&mut self, bytes: &[u8], number: u32) {
        let base_offset = self.next_offset();
        self.cut.clear();
        let records = decode(bytes);
        let next_offset = base_offset + i64::try_from(records.len()).unwrap();
        for record in &records {
            note(&mut self.last, record);
        }
        let is_repetition = self.is_repetition(&records);
        self.repetitions += u64::from(is_repetition);
        let acked = None;
        self.batches.push(Batch { number, base_offset, next_offset, records, is_repetition, acked });
    }

    /// Whether the records say what is stored already, and nothing else is on its way.
    fn is_repetition(&mut self, records: &[EncodedRecord]) -> bool {
        let is_quiet = self.batches[self.before..].iter().all(|it| it.is_repetition || it.acked.is_some());
        let acked = &self.acked;
        let of_acked = || acked.snapshot().map(|record| (record.key, record.value)).collect();
        is_quiet && {
            let stored = self.stored.get_or_insert_with(of_acked);
            records.iter().all(|record| stored.get(&record.key) == Some(&record.value))
        }
    }

    /// Takes note of an ack. Returns the records that take effect now.
    pub(crate) fn acked(&mut self, number: u32, base_offset: i64, level: Durability) -> Vec<EncodedRecord> {
        let mut batches = self.batches[self.before..].iter_mut();
        let batch = batches.find(|batch| batch.number == number).expect("an acked batch was appended");
        assert_eq!(batch.base_offset, base_offset, "the ack of batch {number}");
        assert!(batch.acked.replace(level).is_none(), "batch {number} is acked twice");
        if batch.is_repetition {
            return Vec::new();
        }
        let records = batch.records.clone();
        self.stored = None;
        load(&mut self.acked, &records);
        records
    }

    /// The log was cut at `end`, because the disk is full.
    pub(crate) fn cut(&mut self, end: i64) {
        self.cut = self.batches.split_off(self.batches.partition_point(|batch| batch.next_offset <= end));
        assert_eq!(self.next_offset(), end, "whole batches are cut off");
        assert!(self.cut.iter().all(|batch| batch.acked.is_none()), "an acked batch is cut off");
        self.last = last_of(&self.batches);
    }

    /// A batch was refused. Those that were cut off with it can no longer come back.
    pub(crate) fn refused(&mut self, number: u32) {
        if self.cut.iter().any(|batch| batch.number == number) {
            self.cut.clear();
        }
    }

    /// Returns the state of a log that ends at `end` after a crash which all batches survive that were acked at
    /// `survives` or above, and so do the batches before them.
    pub(crate) fn expected(&self, end: i64, survives: Durability) -> Expected {
        let batches = || self.batches.iter().chain(&self.cut);
        let promised = batches().rfind(|batch| batch.acked >= Some(survives));
        let promised = promised.map_or(0, |batch| batch.next_offset);
        assert!(end >= promised, "the log ends at {end}, and all below {promised} was promised");
        let left: Vec<Batch> = batches().take_while(|batch| batch.next_offset <= end).cloned().collect();
        let left_end = left.last().map_or(0, |batch| batch.next_offset);
        assert_eq!(
            left_end, end,
            "the log ends with a whole batch of {:?}, cut: {:?}",
            self.batches, self.cut
        );
        let mut groups = Groups::new(self.config.clone());
        for batch in left.iter().filter(|batch| !batch.is_repetition) {
            load(&mut groups, &batch.records);
        }
        let is_acked_lost = batches().skip(left.len()).any(|batch| batch.acked.is_some());
        Expected { left, is_acked_lost, groups }
    }

    /// Takes over the state after a crash. Returns the records that are left.
    pub(crate) fn reopened(&mut self, expected: Expected) -> Vec<EncodedRecord> {
        self.batches = expected.left;
        let end = self.next_offset();
        self.cut.retain(|batch| batch.base_offset >= end);
        // The next coordinator has numbers of its own.
        self.cut.iter_mut().for_each(|batch| batch.number = u32::MAX);
        self.last = last_of(&self.batches);
        self.before = self.batches.len();
        (self.acked, self.stored) = (expected.groups, None);
        self.closed();
        let steps = self.batches.iter().filter(|batch| !batch.is_repetition);
        steps.flat_map(|batch| batch.records.clone()).collect()
    }

    /// Another coordinator numbers its batches anew.
    pub(crate) fn coordinator_replaced(&mut self) {
        self.before = self.batches.len();
    }

    /// The log was closed or opened, so all that it holds is durable.
    pub(crate) fn closed(&mut self) {
        self.batches.iter_mut().for_each(|batch| batch.acked = Some(Durability::Synced));
    }
}

/// Returns the last offset or generation of each key.
fn last_of(batches: &[Batch]) -> BTreeMap<Vec<u8>, i64> {
    let mut last = BTreeMap::new();
    batches.iter().flat_map(|batch| &batch.records).for_each(|record| note(&mut last, record));
    last
}

/// Applies records, as a replay does.
fn load(groups: &mut Groups, records: &[EncodedRecord]) {
    for record in records {
        groups.load(&record.key, record.value.as_deref()).expect("a coordinator writes valid records");
    }
}

/// Returns the records of a batch.
fn decode(bytes: &[u8]) -> Vec<EncodedRecord> {
    let mut records = Vec::new();
    for batch in batches(bytes) {
        for record in batch.unwrap().records() {
            let record = record.unwrap();
            let key = record.key.expect("each record has a key").to_vec();
            records.push(EncodedRecord { key, value: record.value.map(<[u8]>::to_vec) });
        }
    }
    records
}

/// Takes note of a record, and checks that its offset or generation does not go back.
fn note(last: &mut BTreeMap<Vec<u8>, i64>, record: &EncodedRecord) {
    let decoded = GroupRecord::decode(&record.key, record.value.as_deref()).unwrap().unwrap();
    let number = match &decoded {
        GroupRecord::Offset { value: Some(value), .. } => value.offset,
        // The clients commit growing offsets, also after a removal.
        GroupRecord::Offset { value: None, .. } => return,
        GroupRecord::Group { value: Some(value), .. } => i64::from(value.generation),
        // The group begins anew.
        GroupRecord::Group { value: None, .. } => {
            last.remove(&record.key);
            return;
        }
    };
    let earlier = last.insert(record.key.clone(), number);
    assert!(earlier.is_none_or(|earlier| earlier <= number), "{decoded:?} goes back from {earlier:?}");
}
