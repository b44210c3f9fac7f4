//! A log that loses its last records, as a power loss does it: helpers of two test programs.

use std::fs;
use std::path::{Path, PathBuf};
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::record::{RecordRef, batches};
use vnotch_engine::types::Durability;

/// A topic whose acked records a power loss can take.
pub(crate) fn topic() -> TopicConfig {
    TopicConfig {
        durability: Durability::Written,
        segment_bytes: 1 << 20,
        max_message_bytes: 256 << 10,
        ..TopicConfig::default()
    }
}

/// Appends `count` records of 1,000 bytes to partition 0 of `t`. Each is a batch, and its bytes are `mark`.
pub(crate) fn append(engine: &Engine, count: usize, mark: u8) {
    let config = ProducerConfig { batch_records_max: 1, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    let value = [mark; 1000];
    for _ in 0..count {
        let record = RecordRef { timestamp_ms: 1, value: Some(&value), ..RecordRef::default() };
        while producer.try_send(Some(0), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
    }
    for ack in producer.wait_all() {
        ack.result.unwrap();
    }
}

/// Returns the last segment of partition 0, the positions at which its batches begin, and the end of the last one.
pub(crate) fn last_segment(dir: &Path) -> (PathBuf, Vec<u64>) {
    let names = fs::read_dir(dir.join("t-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> =
        names.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
    logs.sort();
    let (log, bytes) =
        logs.into_iter().rev().map(|log| (log.clone(), fs::read(log).unwrap())).next().unwrap();
    let mut ends = vec![0];
    for batch in batches(&bytes).map_while(Result::ok) {
        ends.push(ends.last().unwrap() + batch.bytes().len() as u64);
    }
    (log, ends)
}

/// Removes the last `count` batches of a log whose engine was dropped, as a power loss does. The recovery points are lost as
/// well.
pub(crate) fn lose(dir: &Path, count: usize) {
    let (log, ends) = last_segment(dir);
    let file = fs::File::options().write(true).open(log).unwrap();
    file.set_len(ends[ends.len() - 1 - count]).unwrap();
    for name in ["recovery-0.a", "recovery-0.b", "recovery-1.a", "recovery-1.b"] {
        let _ = fs::remove_file(dir.join(name));
    }
}
