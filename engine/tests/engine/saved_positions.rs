//! Saved positions of consumers after the log was cut, on real files and through the public handles.

use super::data_dir;
use super::lost_end::{append, last_segment, lose, topic};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use vnotch_engine::client::{Consumer, ConsumerConfig, OffsetReset};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::FetchError;
use vnotch_engine::repair;
use vnotch_engine::types::{ConsumerPosition, EpochEnd};

fn open(path: &Path) -> Engine {
    Engine::open(EngineConfig { arena_bytes: 32 << 20, ..EngineConfig::new(path) }).unwrap()
}

/// Returns an engine with topic `t`. A power loss can take its acked records.
fn created(path: &Path) -> Engine {
    let engine = open(path);
    engine.create_topic("t", 1, topic()).unwrap();
    engine
}

fn consumer(engine: &Engine, from: impl Into<ConsumerPosition>) -> Consumer {
    engine.consumer([("t", 0, from)], ConsumerConfig::default()).unwrap()
}

/// Returns the position of a consumer that has read up to `end`.
fn read_to(engine: &Engine, end: i64) -> ConsumerPosition {
    let config = ConsumerConfig { fetch_bytes_max: 1, ..ConsumerConfig::default() };
    let mut consumer = engine.consumer([("t", 0, 0)], config).unwrap();
    loop {
        let fetched = consumer.wait_fetch().unwrap();
        if fetched.next_offset == end {
            assert_eq!(consumer.position(0), Some(fetched.next_position()));
            return fetched.next_position();
        }
    }
}

/// Returns the offset and the first byte of the first record from `position` on.
fn first_from(engine: &Engine, position: impl Into<ConsumerPosition>) -> (i64, u8) {
    let fetched = consumer(engine, position).wait_fetch().unwrap();
    let record = fetched.records().next().unwrap().unwrap();
    (record.offset, record.value.unwrap()[0])
}

#[track_caller]
fn assert_truncated(outcome: Result<impl Sized, FetchError>, saved: ConsumerPosition, expected_cut: i64) {
    let error = outcome.map(drop).unwrap_err();
    let FetchError::LogTruncated { position, epoch, cut_to } = error else { panic!("{error}") };
    assert_eq!((position, Some(epoch), cut_to), (saved.offset, saved.leader_epoch, expected_cut));
}

#[test]
fn a_position_above_the_cut_is_reported_once_and_the_consumer_reads_on_where_it_seeks() {
    let dir = data_dir();
    let engine = created(dir.path());
    append(&engine, 100, b'a');
    let (kept, at_cut, lost) = (read_to(&engine, 40), read_to(&engine, 70), read_to(&engine, 100));
    assert_eq!(lost, ConsumerPosition { offset: 100, leader_epoch: Some(1) });
    drop(engine);
    lose(dir.path(), 30);
    let engine = open(dir.path());
    assert_truncated(consumer(&engine, lost).wait_fetch(), lost, 70);
    // New records get the offsets of the lost ones, and more.
    append(&engine, 100, b'b');
    let mut consumer = consumer(&engine, lost);
    assert_truncated(consumer.wait_fetch(), lost, 70);
    assert!(consumer.poll_fetch(&mut Context::from_waker(Waker::noop())).is_pending(), "reported once");
    assert_eq!(consumer.position(0), Some(lost));
    consumer.seek(0, 70);
    let fetched = consumer.wait_fetch().unwrap();
    let record = fetched.records().next().unwrap().unwrap();
    assert_eq!((record.offset, record.value.unwrap()[0]), (70, b'b'));
    consumer.seek(0, lost);
    assert_truncated(consumer.wait_fetch(), lost, 70);
    consumer.seek(0, kept);
    assert_eq!(consumer.wait_fetch().unwrap().from_offset, 40);
    assert_eq!(first_from(&engine, kept), (40, b'a'));
    assert_eq!(first_from(&engine, at_cut), (70, b'b'));
    assert_eq!(first_from(&engine, 100), (100, b'b'), "an offset alone cannot be checked");
    let ends = engine.offsets_for_epochs([("t", 0, 0), ("t", 0, 1), ("t", 0, 2), ("t", 0, 3)]).unwrap();
    let end = |leader_epoch, end_offset| Some(EpochEnd { leader_epoch, end_offset });
    assert_eq!(ends, [end(0, 0), end(1, 70), end(2, 170), None]);
    // The position is still reported when all segments are sealed.
    engine.close().unwrap();
    let engine = open(dir.path());
    assert_truncated(self::consumer(&engine, lost).wait_fetch(), lost, 70);
    assert_eq!(first_from(&engine, kept), (40, b'a'));
    let after = read_to(&engine, 170);
    assert_eq!(after, ConsumerPosition { offset: 170, leader_epoch: Some(2) });
    append(&engine, 1, b'c');
    assert_eq!(first_from(&engine, after), (170, b'c'));
}

#[test]
fn a_reset_to_the_earliest_does_not_hide_a_cut_and_other_partitions_are_read_on() {
    let dir = data_dir();
    let engine = created(dir.path());
    engine.create_topic("u", 1, TopicConfig::default()).unwrap();
    append(&engine, 20, b'a');
    let lost = read_to(&engine, 20);
    drop(engine);
    lose(dir.path(), 15);
    let engine = open(dir.path());
    append(&engine, 50, b'b');
    let config = ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = engine.consumer([("t", 0, lost), ("t", 0, 5.into())], config).unwrap();
    let (mut errors, mut fetches) = (0, 0);
    while fetches == 0 || errors == 0 {
        match consumer.wait_fetch() {
            Err(error) => {
                assert_truncated(Err::<(), _>(error), lost, 5);
                errors += 1;
            }
            Ok(fetched) => {
                assert_eq!((fetched.assignment, fetched.from_offset, fetched.skipped), (1, 5, 0));
                fetches += 1;
            }
        }
    }
    assert_eq!((errors, fetches), (1, 1));
}

#[test]
fn a_consumer_that_waited_at_the_end_hears_of_a_cut_though_it_had_read_nothing() {
    let dir = data_dir();
    let engine = created(dir.path());
    append(&engine, 30, b'a');
    let config = ConsumerConfig { max_wait: Duration::from_millis(1), ..ConsumerConfig::default() };
    let mut waiting = engine.consumer([("t", 0, 30)], config).unwrap();
    assert_eq!(waiting.position(0), Some(30.into()));
    let begun = Instant::now();
    while waiting.position(0).unwrap().leader_epoch.is_none() {
        assert!(waiting.poll_fetch(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(begun.elapsed() < Duration::from_secs(10), "no answer comes");
        std::thread::yield_now();
    }
    let saved = waiting.position(0).unwrap();
    assert_eq!(saved, ConsumerPosition { offset: 30, leader_epoch: Some(1) });
    drop((waiting, engine));
    lose(dir.path(), 10);
    let engine = open(dir.path());
    append(&engine, 30, b'b');
    assert_truncated(consumer(&engine, saved).wait_fetch(), saved, 20);
}

#[test]
fn a_colocated_consumer_checks_its_saved_position_too() {
    let dir = data_dir();
    let engine = created(dir.path());
    append(&engine, 30, b'a');
    let (kept, lost) = (read_to(&engine, 10), read_to(&engine, 30));
    drop(engine);
    lose(dir.path(), 10);
    let engine = open(dir.path());
    append(&engine, 30, b'b');
    let task = move |local: vnotch_engine::client::LocalShard| async move {
        let mut consumer = local.consumer([("t", 0, lost)], ConsumerConfig::default()).unwrap();
        let outcome = consumer.fetch().await.map(drop);
        consumer.seek(0, kept);
        (outcome, consumer.fetch().await.unwrap().from_offset)
    };
    let (outcome, from_offset) = engine.run_on(0, task).unwrap().wait().unwrap();
    assert_truncated(outcome, lost, 20);
    assert_eq!(from_offset, 10);
}

#[test]
fn a_repair_that_cuts_the_log_is_reported() {
    let dir = data_dir();
    let engine = created(dir.path());
    append(&engine, 50, b'a');
    let (kept, lost) = (read_to(&engine, 20), read_to(&engine, 50));
    engine.close().unwrap();
    let (log, ends) = last_segment(dir.path());
    let mut bytes = fs::read(&log).unwrap();
    bytes[usize::try_from(ends[40]).unwrap() + 100] ^= 1;
    fs::write(&log, bytes).unwrap();
    let plan = repair::plan(dir.path()).unwrap();
    assert!(repair::apply(plan, &mut |_| ControlFlow::Continue(())).unwrap().is_continue());
    let engine = open(dir.path());
    append(&engine, 50, b'b');
    assert_truncated(consumer(&engine, lost).wait_fetch(), lost, 40);
    assert_eq!(first_from(&engine, kept), (20, b'a'));
}

#[test]
fn a_damaged_partition_says_so_where_a_saved_position_lies_behind_the_damage() {
    let dir = data_dir();
    let engine = created(dir.path());
    append(&engine, 50, b'a');
    let (below, above) = (read_to(&engine, 20), read_to(&engine, 50));
    let begun = Instant::now();
    let is_noted =
        |turn: &str| fs::metadata(dir.path().join(format!("recovery-0.{turn}"))).is_ok_and(|it| it.len() > 0);
    while !(is_noted("a") && is_noted("b")) {
        assert!(begun.elapsed() < Duration::from_secs(20), "recovery points are written every 250 ms");
        append(&engine, 1, b'a');
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(engine);
    let (log, ends) = last_segment(dir.path());
    let mut bytes = fs::read(&log).unwrap();
    bytes[usize::try_from(ends[30]).unwrap() + 100] ^= 1;
    fs::write(&log, bytes).unwrap();
    let engine = open(dir.path());
    assert_eq!(engine.damaged().len(), 1);
    assert_eq!(first_from(&engine, below), (20, b'a'));
    let error = consumer(&engine, above).wait_fetch().map(drop).unwrap_err();
    assert!(matches!(error, FetchError::Corrupt(_)), "{error}");
    let error = engine.offsets_for_epochs([("t", 0, 1)]).unwrap_err();
    assert!(matches!(error, FetchError::Corrupt(_)), "the end of the epoch is unknown: {error}");
}

#[test]
fn positions_in_epochs_that_retention_has_deleted_are_out_of_range() {
    let dir = data_dir();
    let engine = open(dir.path());
    let config = TopicConfig {
        segment_bytes: 1 << 20,
        max_message_bytes: 256 << 10,
        retention_bytes: Some(1 << 20),
        ..TopicConfig::default()
    };
    engine.create_topic("t", 1, config).unwrap();
    append(&engine, 100, b'a');
    let old = read_to(&engine, 50);
    engine.close().unwrap();
    let engine = open(dir.path());
    append(&engine, 6_000, b'b');
    engine.close().unwrap();
    let engine = open(dir.path());
    let start = engine.describe_topic("t").unwrap().partitions[0].log_start_offset;
    assert!(start > 100, "the first epoch is deleted");
    let ends = engine.offsets_for_epochs([("t", 0, 1), ("t", 0, 2)]).unwrap();
    let end = |leader_epoch, end_offset| Some(EpochEnd { leader_epoch, end_offset });
    assert_eq!(ends, [end(1, start), end(2, 6_100)]);
    let error = consumer(&engine, old).wait_fetch().map(drop).unwrap_err();
    assert!(matches!(error, FetchError::OffsetOutOfRange { offset: 50, .. }), "{error}");
    let config = ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
    let fetched = engine.consumer([("t", 0, old)], config).unwrap().wait_fetch().unwrap();
    assert_eq!((fetched.from_offset, fetched.skipped), (start, (start - 50).unsigned_abs()));
}

#[test]
fn an_epoch_that_the_log_has_not_reached_is_refused() {
    let dir = data_dir();
    let engine = created(dir.path());
    append(&engine, 10, b'a');
    let ahead = ConsumerPosition { offset: 5, leader_epoch: Some(7) };
    let error = consumer(&engine, ahead).wait_fetch().map(drop).unwrap_err();
    assert!(matches!(error, FetchError::UnknownLeaderEpoch { epoch: 7, newest: 1 }), "{error}");
    assert_eq!(engine.offsets_for_epochs([("t", 0, 7), ("t", 0, -1)]).unwrap(), [None, None]);
    let unknown = engine.offsets_for_epochs([("t", 1, 0)]).unwrap_err();
    assert!(matches!(unknown, FetchError::UnknownPartition));
}
