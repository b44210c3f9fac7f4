//! Records that are deleted on request, through the engine's public handles.

use super::{consume, data_dir, produce, two_shards};
use std::path::Path;
use std::time::{Duration, Instant};
use vnotch_engine::client::{ConsumerConfig, OffsetReset};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{DeleteRecordsError, FetchError};
use vnotch_engine::types::{Durability, OffsetSpec};
use vnotch_engine::verify::{Report, verify};

fn starts(engine: &Engine) -> Vec<i64> {
    let described = engine.describe_topic("t").unwrap();
    described.partitions.iter().map(|partition| partition.log_start_offset).collect()
}

fn checked(dir: &Path) -> Report {
    let report = verify(dir, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.defects);
    report
}

/// Returns the number of files with segments of a partition.
fn segments(dir: &Path, partition: &str) -> usize {
    let names = std::fs::read_dir(dir.join(partition)).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().ends_with(".log")).count()
}

#[test]
fn each_partition_has_its_own_answer_and_the_starts_are_there_after_an_end_without_a_close() {
    for durability in [Durability::Written, Durability::Synced] {
        let dir = data_dir();
        let engine = Engine::open(two_shards(dir.path())).unwrap();
        engine.create_topic("t", 4, TopicConfig { durability, ..TopicConfig::default() }).unwrap();
        for partition in 0..3 {
            produce(&engine, "t", partition, 0..100, 1_000);
        }
        let asked = [("t", 0, 10), ("t", 1, -1), ("t", 2, 101), ("t", 3, -1), ("t", 4, 0), ("u", 0, 0)];
        let answers = engine.delete_records(asked);
        assert!(matches!(answers[0], Ok(10)) && matches!(answers[1], Ok(100)), "{answers:?}");
        let is_beyond = matches!(
            answers[2],
            Err(DeleteRecordsError::OffsetOutOfRange {
                offset: 101,
                log_start_offset: 0,
                high_watermark: 100
            })
        );
        assert!(is_beyond, "{answers:?}");
        assert!(matches!(answers[3], Ok(0)), "{answers:?}");
        assert!(matches!(answers[4], Err(DeleteRecordsError::UnknownPartition)), "{answers:?}");
        assert!(matches!(answers[5], Err(DeleteRecordsError::UnknownPartition)), "{answers:?}");
        assert!(matches!(engine.delete_records([("t", 0, 4)])[0], Ok(10)), "nothing comes back");
        assert_eq!(starts(&engine), [10, 100, 0, 0]);
        produce(&engine, "t", 0, 100..105, 1_000);
        drop(engine);
        let report = checked(dir.path());
        let ends: Vec<(i64, i64)> = report
            .partitions
            .iter()
            .map(|partition| (partition.log_start_offset, partition.log_end_offset))
            .collect();
        assert_eq!(ends, [(10, 105), (100, 100), (0, 100), (0, 0)]);
        let engine = Engine::open(two_shards(dir.path())).unwrap();
        assert_eq!(starts(&engine), [10, 100, 0, 0]);
        consume(&engine, "t", 0, 10..105);
        engine.close().unwrap();
        checked(dir.path());
        Engine::open(two_shards(dir.path())).unwrap().close().unwrap();
        assert_eq!(segments(dir.path(), "t-1"), 0, "an open removes what is below the start");
        checked(dir.path());
    }
}

#[test]
fn a_consumer_below_the_start_is_reset_or_refused_and_one_above_goes_on() {
    let dir = data_dir();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine, "t", 0, 0..50, 100);
    let consumer = |from: i64, offset_reset| {
        let config = ConsumerConfig { offset_reset, fetch_bytes_max: 1, ..ConsumerConfig::default() };
        engine.consumer([("t", 0, from)], config).unwrap()
    };
    let mut above = consumer(40, OffsetReset::None);
    assert!(matches!(engine.delete_records([("t", 0, 33)])[..], [Ok(33)]));
    match consumer(32, OffsetReset::None).wait_fetch() {
        Err(FetchError::OffsetOutOfRange { offset: 32, log_start_offset: 33, high_watermark: 50 }) => {}
        other => panic!("{other:?}"),
    }
    let fetched = consumer(3, OffsetReset::Earliest).wait_fetch().unwrap();
    assert_eq!((fetched.from_offset, fetched.skipped), (33, 30));
    assert_eq!(fetched.records().next().unwrap().unwrap().offset, 33);
    let mut next = 40;
    while next < 50 {
        for record in above.wait_fetch().unwrap().records() {
            assert_eq!(record.unwrap().offset, next);
            next += 1;
        }
    }
    let listed = engine.list_offsets([("t", 0, OffsetSpec::Earliest), ("t", 0, OffsetSpec::Timestamp(0))]);
    assert!(listed.unwrap().into_iter().all(|found| found.unwrap().offset == 33));
    engine.close().unwrap();
}

#[test]
fn the_files_of_whole_segments_below_the_start_are_removed_without_retention_limits() {
    let dir = data_dir();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    let topic = TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 64 << 10, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    produce(&engine, "t", 0, 0..600, 10_000);
    let before = segments(dir.path(), "t-0");
    assert!(before >= 5, "{before} segments");
    assert!(matches!(engine.delete_records([("t", 0, 590)])[..], [Ok(590)]));
    let begun = Instant::now();
    while segments(dir.path(), "t-0") > 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is removed");
        std::thread::sleep(Duration::from_millis(5));
    }
    consume(&engine, "t", 0, 590..600);
    engine.close().unwrap();
    checked(dir.path());
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    consume(&engine, "t", 0, 590..600);
    produce(&engine, "t", 0, 600..700, 10_000);
    consume(&engine, "t", 0, 590..700);
    engine.close().unwrap();
    checked(dir.path());
}
