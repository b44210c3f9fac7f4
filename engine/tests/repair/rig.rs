//! Helpers that damage and repair a data directory, and check the result.

use crate::data::{check, files, new_dir, open, produce};
use std::collections::BTreeMap;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;
use vnotch_engine::repair::{self, Plan};

/// Returns a directory whose engine was dropped, so that the last segment of partition 0 is not sealed.
pub(crate) fn dropped(config: TopicConfig, count: i64) -> TempDir {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, config).unwrap();
    produce(&engine, 0, count, 1_000);
    drop(engine);
    dir
}

/// Makes all segments of partition 0 unsealed: no indexes, and a recovery offset of 0.
pub(crate) fn unseal(dir: &Path) {
    for index in [".index", ".timeindex"].iter().flat_map(|suffix| files(dir, suffix)) {
        fs::remove_file(index).unwrap();
    }
    change_checkpoint(dir, |slot| slot[16..24].fill(0));
}

/// Changes partition 0 as if the machine had been rebooted since the last write. Its checkpoint names another boot, and there
/// are no recovery points.
pub(crate) fn reboot(dir: &Path) {
    change_checkpoint(dir, |slot| slot[40..48].fill(7));
    remove_points(dir);
}

/// Removes the recovery points, if there are some.
pub(crate) fn remove_points(dir: &Path) {
    for turn in ["a", "b"] {
        let _ = fs::remove_file(dir.join(format!("recovery-0.{turn}")));
    }
}

fn change_checkpoint(dir: &Path, change: impl Fn(&mut [u8])) {
    let path = dir.join("t-0/checkpoint");
    let mut bytes = fs::read(&path).unwrap();
    // A slot that was never written is zero.
    bytes.chunks_mut(4096).filter(|slot| slot[0] != 0).for_each(|slot| {
        change(slot);
        let crc = crc_fast::crc32_iscsi(&slot[..52]);
        slot[52..56].copy_from_slice(&crc.to_be_bytes());
    });
    fs::write(path, bytes).unwrap();
}

pub(crate) fn plan(dir: &Path) -> Plan {
    repair::plan(dir).unwrap()
}

/// Plans and applies a whole repair.
pub(crate) fn apply(dir: &Path) {
    let plan = plan(dir);
    assert!(!plan.is_empty(), "there is something to repair");
    assert!(repair::apply(plan, &mut |_| ControlFlow::Continue(())).unwrap().is_continue());
}

/// Returns the position of a batch in a segment that may have zeros behind its last batch.
pub(crate) fn start_of_batch(log: &Path, number: usize) -> u64 {
    start_of_batch_in(&fs::read(log).unwrap(), number)
}

pub(crate) fn start_of_batch_in(bytes: &[u8], number: usize) -> u64 {
    let batches = vnotch_engine::record::batches(bytes).take(number);
    batches.map(|batch| batch.unwrap().bytes().len() as u64).sum()
}

/// Returns names and contents of all files.
pub(crate) fn image(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            all.extend(image(&path));
        } else {
            // A link to nothing has no content.
            all.insert(path.clone(), fs::read(path).unwrap_or_default());
        }
    }
    all
}

/// Returns the segments of partition 0 by their names.
pub(crate) fn segments(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let logs = files(dir, ".log").into_iter().filter(|path| path.is_file());
    logs.map(|path| (name(&path), fs::read(path).unwrap())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

pub(crate) fn base_offset(log: &Path) -> i64 {
    log.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// Checks that every byte of `before`, the segments of partition 0, is still in its file or was moved away by a repair.
#[track_caller]
pub(crate) fn assert_no_byte_is_lost(dir: &Path, before: &BTreeMap<String, Vec<u8>>) {
    let now = if dir.join("t-0").is_dir() { segments(dir) } else { BTreeMap::new() };
    let removed_dir = dir.join("removed-by-repair");
    let removed = if removed_dir.exists() { image(&removed_dir) } else { BTreeMap::new() };
    for (log, bytes) in before {
        let in_place = now.get(log);
        let is_whole = |found: &Vec<u8>| found == bytes;
        // The rest is space that was reserved behind the last batch.
        let is_trimmed = |found: &Vec<u8>| {
            bytes.strip_prefix(&**found).is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
        };
        let moved = removed.iter().filter(|(path, _)| name(path) == *log).any(|(_, found)| is_whole(found));
        let mut tails = removed.iter().filter_map(|(path, tail)| {
            let position: usize = name(path).strip_prefix(&format!("{log}.from-"))?.parse().ok()?;
            Some((position, tail))
        });
        let has_tail = tails.any(|(position, tail)| {
            let has_head = in_place.is_some_and(|head| head.get(..position) == bytes.get(..position));
            has_head && bytes[position..] == **tail
        });
        assert!(in_place.is_some_and(is_trimmed) || moved || has_tail, "{log} is not found again");
    }
}

/// Reads partition `partition` from `offsets.start` up to `offsets.end`.
#[track_caller]
pub(crate) fn read(engine: &Engine, partition: u32, offsets: Range<i64>) {
    let mut consumer = engine.consumer([("t", partition, offsets.start)], ConsumerConfig::default()).unwrap();
    let mut at = offsets.start;
    while at < offsets.end {
        at = consumer.wait_fetch().unwrap().next_offset;
    }
    assert_eq!(at, offsets.end);
}

pub(crate) fn append(engine: &Engine, partition: u32) -> i64 {
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    let record = RecordRef { timestamp_ms: 9_000, value: Some(b"new"), ..RecordRef::default() };
    producer.try_send(Some(partition), &record).unwrap();
    producer.wait_ack().unwrap().result.unwrap()
}

/// Checks a repaired directory whose partition 0 should hold `offsets`. It opens, and its records are those of `before`. It takes
/// appends with a new epoch, and `verify` finds no defect afterwards.
#[track_caller]
pub(crate) fn assert_repaired(dir: &Path, before: &BTreeMap<String, Vec<u8>>, offsets: Range<i64>) {
    assert!(plan(dir).is_empty(), "a second repair finds nothing");
    let engine = open(dir);
    assert!(engine.damaged().is_empty(), "{:?}", engine.damaged());
    let partition = engine.describe_topic("t").unwrap().partitions[0];
    assert_eq!((partition.log_start_offset, partition.log_end_offset), (offsets.start, offsets.end));
    read(&engine, 0, offsets.clone());
    assert_eq!(append(&engine, 0), offsets.end, "records continue at the cut");
    read(&engine, 0, offsets.start..offsets.end + 1);
    engine.close().unwrap();
    let report = check(dir);
    assert!(report.is_sound(), "{:#?}", report.defects);
    assert_eq!(report.partitions[0].damage, None);
    let mut after = segments(dir);
    let (_, last) = after.pop_last().unwrap();
    for (log, bytes) in &after {
        assert!(before[log].starts_with(bytes), "{log} has its old bytes");
    }
    let batches = |bytes: &[u8]| {
        let batches = vnotch_engine::record::batches(bytes);
        batches.map(|batch| batch.unwrap().header().partition_leader_epoch).collect::<Vec<_>>()
    };
    let epochs: Vec<i32> = after.values().flat_map(|bytes| batches(bytes)).collect();
    let [epoch] = batches(&last)[..] else { panic!("one batch was appended") };
    assert!(epochs.iter().all(|before| *before < epoch), "{epoch} is above the epochs of all batches");
}
