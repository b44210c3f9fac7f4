//! Data directories that earlier versions wrote. They are golden files, which are never changed.
//!
//! `golden/version-1` has two topics. Topic `closed` has 100 records in a sealed segment and 20 in an unsealed one. Topic `killed`
//! is synced, and has 50 records in an unsealed segment. Record n of a topic has the value "record n" and the timestamp
//! 1,000 + n.

use super::data_dir;
use std::fs;
use std::path::Path;
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::config::EngineConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::EpochEnd;
use vnotch_engine::verify::verify;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn open(path: &Path) -> Engine {
    Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(path) }).unwrap()
}

fn read(engine: &Engine, topic: &str, count: i64) {
    let mut consumer = engine.consumer([(topic, 0, 0)], ConsumerConfig::default()).unwrap();
    let mut next = 0;
    while next < count {
        for record in consumer.wait_fetch().unwrap().records().map(Result::unwrap) {
            assert_eq!((record.offset, record.timestamp_ms), (next, 1_000 + next));
            assert_eq!(record.value.unwrap(), format!("record {next}").as_bytes());
            next += 1;
        }
    }
    assert_eq!(next, count);
    let epoch = consumer.position(0).unwrap().leader_epoch.unwrap();
    let ends = engine.offsets_for_epochs([(topic, 0, epoch)]).unwrap();
    assert_eq!(ends, [Some(EpochEnd { leader_epoch: epoch, end_offset: count })]);
}

#[test]
fn a_directory_of_version_1_opens_and_is_of_the_present_version_from_then_on() {
    let dir = data_dir();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version-1"), dir.path());
    let meta = dir.path().join("meta.properties");
    assert!(fs::read_to_string(&meta).unwrap().contains("version=1\n"));
    let report = verify(dir.path(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{:#?}", report.defects);
    for count in [50, 51] {
        let engine = open(dir.path());
        assert!(engine.damaged().is_empty());
        assert!(fs::read_to_string(&meta).unwrap().contains("version=2\n"));
        read(&engine, "closed", 120);
        read(&engine, "killed", count);
        let mut producer = engine.producer("killed", ProducerConfig::default()).unwrap();
        let value = format!("record {count}");
        let (timestamp_ms, value) = (1_000 + count, Some(value.as_bytes()));
        producer.try_send(Some(0), &RecordRef { timestamp_ms, value, ..RecordRef::default() }).unwrap();
        assert_eq!(producer.wait_ack().unwrap().result.unwrap(), count);
        engine.close().unwrap();
        let report = verify(dir.path(), &mut |_| {}).unwrap();
        assert!(report.is_sound() && report.notes.is_empty(), "{report:#?}");
    }
}
