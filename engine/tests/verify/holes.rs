//! Damage to a closed directory. An open serves the records that are left, and reports where the damage begins.

use crate::rig::{batch_starts, check, closed, copy, files, flip, open};
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{AppendError, Corruption, DamageError, FetchError};
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::OffsetSpec;
use vnotch_engine::verify::DefectKind;

/// Time limit, longer than any call here takes.
const LONG: Duration = Duration::from_secs(30);

/// Runs `work` on its own thread, and returns its result.
///
/// # Panics
/// `work` does not return in time.
#[track_caller]
pub(crate) fn in_time<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (report, result) = mpsc::channel();
    std::thread::spawn(move || report.send(work()));
    result.recv_timeout(LONG).expect("it returns")
}

/// Reads partition 0 from `offset` on. Returns the offset at which the records end, and the error there if it is below `end`.
pub(crate) fn read(engine: &Engine, offset: i64, end: i64) -> (i64, Option<FetchError>) {
    let mut consumer = engine.consumer([("t", 0, offset)], ConsumerConfig::default()).unwrap();
    let mut at = offset;
    while at < end {
        match consumer.wait_fetch() {
            Ok(fetched) => at = fetched.next_offset,
            Err(error) => return (at, Some(error)),
        }
    }
    (at, None)
}

pub(crate) fn corruption(error: Option<FetchError>) -> Corruption {
    match error {
        Some(FetchError::Corrupt(corruption)) => corruption,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn append(engine: &Engine, partition: u32) -> Result<i64, AppendError> {
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    let record = RecordRef { timestamp_ms: 9_000, value: Some(b"new"), ..RecordRef::default() };
    producer.try_send(Some(partition), &record).unwrap();
    producer.wait_ack().unwrap().result
}

/// Returns names and contents of the files of partition 0.
fn image(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(dir.join("t-0")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect();
    all.sort();
    all
}

pub(crate) fn base_offset(log: &Path) -> i64 {
    log.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// Returns a copy of `whole` and the path of its second segment, in which `make` has made a hole.
fn with_hole(whole: &TempDir, make: impl FnOnce(&Path, &[u64])) -> (TempDir, std::path::PathBuf) {
    let dir = copy(whole.path());
    let log = files(dir.path(), ".log").swap_remove(1);
    make(&log, &batch_starts(&log));
    (dir, log)
}

#[test]
fn a_sealed_segment_that_is_cut_or_empty_ends_in_an_error_after_the_records_before_it() {
    let whole = closed();
    let cut = |bytes: u64| {
        move |log: &Path, _: &[u64]| {
            fs::File::options().write(true).open(log).unwrap().set_len(bytes).unwrap();
        }
    };
    let starts = batch_starts(&files(whole.path(), ".log")[1]);
    for bytes in [starts[10], starts[10] + 40, starts[10] + 500, 0] {
        let (dir, log) = with_hole(&whole, cut(bytes));
        let kept = i64::try_from(starts.iter().filter(|start| **start <= bytes).count() - 1).unwrap() * 7;
        let (hole, position) = (base_offset(&log) + kept, starts[usize::try_from(kept / 7).unwrap()]);
        in_time(move || {
            let engine = open(dir.path());
            assert!(engine.damaged().is_empty(), "a sealed segment is looked at when it is read");
            let (at, error) = read(&engine, 0, 3_500);
            assert_eq!(at, hole, "the records before it were delivered");
            let found = corruption(error);
            assert_eq!((&found.path, found.position), (&log, position));
            // Reads that begin at the hole, or inside it, fail too.
            assert!(read(&engine, hole, 3_500).1.is_some() && read(&engine, hole + 3, 3_500).1.is_some());
            // A search by time fails too. Record n has the timestamp 1,000 + n.
            let asked = [("t", 0, OffsetSpec::Timestamp(1_000 + hole))];
            assert!(matches!(engine.list_offsets(asked), Err(FetchError::Corrupt(_))));
            let next = base_offset(&files(dir.path(), ".log")[2]);
            assert_eq!(read(&engine, next, 2_500).0, 2_500, "the records behind the hole can be read");
            assert_eq!(append(&engine, 1).unwrap(), 100, "other partitions take appends");
            assert_eq!(append(&engine, 0).unwrap(), 3_500, "the end of the log is whole");
            engine.close().unwrap();
        });
    }
}

#[test]
fn a_segment_that_is_gone_ends_in_an_error_of_the_one_before_it() {
    let whole = closed();
    let (dir, log) = with_hole(&whole, |log, _| {
        for suffix in ["log", "index", "timeindex"] {
            fs::remove_file(log.with_extension(suffix)).unwrap();
        }
    });
    let first = files(dir.path(), ".log").swap_remove(0);
    in_time(move || {
        let engine = open(dir.path());
        let (at, error) = read(&engine, 0, 3_500);
        assert_eq!(at, base_offset(&log));
        let found = corruption(error);
        assert_eq!((&found.path, found.position), (&first, fs::metadata(&first).unwrap().len()));
        engine.close().unwrap();
    });
}

#[test]
fn a_time_index_that_lacks_entries_hides_no_record() {
    let whole = closed();
    let dir = copy(whole.path());
    for (number, index) in files(dir.path(), ".timeindex").into_iter().enumerate() {
        let entries = fs::metadata(&index).unwrap().len() / 12;
        let kept = [0, 1, entries / 2, entries.saturating_sub(1)][number % 4];
        fs::File::options().write(true).open(index).unwrap().set_len(kept * 12).unwrap();
    }
    let engine = open(dir.path());
    // The first open wrote timestamps 1,000 to 3,499, the second 1,000 to 1,999.
    for (offset, timestamp_ms) in (0..2_500).step_by(13).map(|offset| (offset, 1_000 + offset)) {
        let asked = [("t", 0, OffsetSpec::Timestamp(timestamp_ms))];
        let found = engine.list_offsets(asked).unwrap()[0].unwrap();
        assert_eq!((found.offset, found.timestamp_ms), (offset, Some(timestamp_ms)));
    }
    assert_eq!(engine.list_offsets([("t", 0, OffsetSpec::Timestamp(3_500))]).unwrap(), [None]);
    engine.close().unwrap();
}

#[test]
fn a_lost_checkpoint_costs_a_scan_and_no_record() {
    let dir = closed();
    let logs = files(dir.path(), ".log");
    // Remove the first segment, as retention does.
    for suffix in ["log", "index", "timeindex"] {
        fs::remove_file(logs[0].with_extension(suffix)).unwrap();
    }
    fs::remove_file(dir.path().join("t-0/checkpoint")).unwrap();
    let start = base_offset(&logs[1]);
    let report = check(dir.path());
    assert_eq!((report.partitions[0].log_start_offset, report.partitions[0].log_end_offset), (start, 3_500));
    let engine = open(dir.path());
    assert!(engine.damaged().is_empty());
    let partition = engine.describe_topic("t").unwrap().partitions[0];
    assert_eq!((partition.log_start_offset, partition.log_end_offset), (start, 3_500));
    assert_eq!(read(&engine, start, 3_500).0, 3_500);
    assert_eq!(append(&engine, 0).unwrap(), 3_500);
    engine.close().unwrap();
    assert!(check(dir.path()).is_sound());
}

#[test]
fn a_lost_checkpoint_and_a_damaged_segment_are_damage_to_an_open_and_to_verify() {
    let dir = closed();
    let log = files(dir.path(), ".log").swap_remove(1);
    let starts = batch_starts(&log);
    flip(&log, (starts[5] + 100) * 8);
    fs::remove_file(dir.path().join("t-0/checkpoint")).unwrap();
    assert!(check(dir.path()).defects.iter().any(|it| it.path == log && it.position == starts[5]));
    let before = image(dir.path());
    let engine = open(dir.path());
    let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
    let DamageError::Corrupt(found) = &damaged.cause else { panic!("{:?}", damaged.cause) };
    assert_eq!((&found.path, found.position), (&log, starts[5]));
    assert_eq!(damaged.from_offset, base_offset(&log) + 35);
    let (at, error) = read(&engine, 0, 3_500);
    assert_eq!((at, corruption(error).position), (damaged.from_offset, starts[5]));
    assert!(matches!(append(&engine, 0), Err(AppendError::Corrupt(_))));
    assert!(matches!(read(&engine, 3_400, 3_500).1, Some(FetchError::Corrupt(_))));
    assert_eq!(append(&engine, 1).unwrap(), 100);
    engine.close().unwrap();
    assert!(image(dir.path()) == before, "nothing of the damaged partition has changed");
}

#[test]
fn a_partition_whose_directory_is_gone_or_no_directory_leaves_the_others_alone() {
    let whole = closed();
    for is_file in [false, true] {
        let dir = copy(whole.path());
        fs::remove_dir_all(dir.path().join("t-0")).unwrap();
        if is_file {
            fs::write(dir.path().join("t-0"), b"a file").unwrap();
        }
        assert!(check(dir.path()).defects.iter().any(|it| it.kind == DefectKind::PartitionMissing));
        let engine = open(dir.path());
        assert!(matches!(engine.damaged(), [damaged] if damaged.partition.partition == 0));
        assert!(append(&engine, 0).is_err() && read(&engine, 0, 1).1.is_some());
        assert_eq!(append(&engine, 1).unwrap(), 100);
        engine.close().unwrap();
        assert_eq!(dir.path().join("t-0").exists(), is_file, "nothing was created with its name");
    }
}

#[test]
fn the_first_segment_is_missed_before_anything_is_removed() {
    let dir = closed();
    let first = files(dir.path(), ".log").swap_remove(0);
    fs::remove_file(&first).unwrap();
    let before = image(dir.path());
    let engine = open(dir.path());
    assert!(matches!(engine.damaged(), [damaged] if damaged.from_offset == 0));
    assert_eq!(corruption(read(&engine, 0, 1).1).path, first);
    engine.close().unwrap();
    assert!(image(dir.path()) == before);
}

#[test]
fn zeros_in_place_of_a_segment_are_an_error_where_they_begin() {
    let whole = closed();
    let (dir, log) = with_hole(&whole, |log, _| {
        let bytes = fs::metadata(log).unwrap().len();
        fs::write(log, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    });
    in_time(move || {
        let engine = open(dir.path());
        let (at, error) = read(&engine, 0, 3_500);
        let found = corruption(error);
        assert_eq!((at, found.path, found.position), (base_offset(&log), log, 0));
        engine.close().unwrap();
    });
}

#[test]
fn the_batches_before_a_damaged_one_of_the_same_fetch_are_delivered() {
    let dir = closed();
    let log = files(dir.path(), ".log").swap_remove(1);
    // Each batch has seven records.
    flip(&log, (batch_starts(&log)[9] + 66) * 8);
    let (first, damaged) = (base_offset(&log), base_offset(&log) + 9 * 7);
    in_time(move || {
        let engine = open(dir.path());
        let (at, error) = read(&engine, first, 3_500);
        assert_eq!(at, damaged);
        corruption(error);
        engine.close().unwrap();
    });
}
