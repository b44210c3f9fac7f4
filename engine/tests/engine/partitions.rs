//! Partitions that are added to a topic in use.

use super::{consume, data_dir, open, produce, two_shards, value};
use std::collections::BTreeSet;
use std::path::Path;
use vnotch_engine::client::{ConsumerConfig, Partitioner, ProducerConfig, TrySendError};
use vnotch_engine::config::{PARTITIONS_MAX, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{FetchError, TopicError};
use vnotch_engine::record::RecordRef;
use vnotch_engine::verify::verify;

fn shards(engine: &Engine, topic: &str) -> Vec<u32> {
    let described = engine.describe_topic(topic).unwrap();
    described.partitions.iter().map(|partition| partition.shard).collect()
}

fn is_sound(dir: &Path) -> bool {
    verify(dir, &mut |_| {}).unwrap().is_sound()
}

#[test]
fn added_partitions_lie_where_a_creation_puts_them_and_the_others_stay() {
    let (grown_dir, created_dir) = (data_dir(), data_dir());
    let grown = Engine::open(two_shards(grown_dir.path())).unwrap();
    let created = Engine::open(two_shards(created_dir.path())).unwrap();
    for topic in ["t", "orders", "a"] {
        created.create_topic(topic, 7, TopicConfig::default()).unwrap();
        grown.create_topic(topic, 2, TopicConfig::default()).unwrap();
        produce(&grown, topic, 0, 0..20, 100);
        let before = shards(&grown, topic);
        grown.create_partitions(topic, 3).unwrap();
        grown.create_partitions(topic, 7).unwrap();
        assert_eq!(shards(&grown, topic), shards(&created, topic), "{topic}");
        assert_eq!(shards(&grown, topic)[..2], before);
        produce(&grown, topic, 6, 0..20, 100);
    }
    // Not closed: what was answered is durable.
    drop(grown);
    let grown = Engine::open(two_shards(grown_dir.path())).unwrap();
    for topic in ["t", "orders", "a"] {
        assert_eq!(shards(&grown, topic), shards(&created, topic), "{topic}");
        consume(&grown, topic, 0, 0..20);
        consume(&grown, topic, 6, 0..20);
        assert_eq!(grown.describe_topic(topic).unwrap().partitions[4].log_end_offset, 0);
    }
    grown.close().unwrap();
    assert!(is_sound(grown_dir.path()));
    assert!(grown_dir.path().join("t-6").exists() && !grown_dir.path().join("t-7").exists());
}

#[test]
fn handles_go_on_and_a_refreshed_producer_uses_the_new_partitions() {
    let dir = data_dir();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let config = ProducerConfig {
        partitioner: Partitioner::RoundRobin,
        linger: None,
        batch_records_max: 1,
        ..ProducerConfig::default()
    };
    let mut producer = engine.producer("t", config).unwrap();
    let mut consumer = engine.consumer([("t", 0, 0)], ConsumerConfig::default()).unwrap();
    let send = |producer: &mut vnotch_engine::client::Producer, count: u64| {
        let mut partitions = BTreeSet::new();
        for number in 0..count {
            let value = value(number, 50);
            let record = RecordRef { value: Some(&value), ..RecordRef::default() };
            partitions.insert(producer.try_send(None, &record).unwrap());
        }
        assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
        partitions.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(send(&mut producer, 3), [0]);
    engine.create_partitions("t", 4).unwrap();
    assert_eq!(send(&mut producer, 3), [0]);
    let unknown = producer.try_send(Some(3), &RecordRef::default());
    assert!(matches!(unknown, Err(TrySendError::UnknownPartition { partitions: 1, .. })), "{unknown:?}");
    assert_eq!(producer.refresh().unwrap(), 4);
    assert_eq!(send(&mut producer, 8), [0, 1, 2, 3]);
    let mut seen = 0;
    while seen < 8 {
        seen += consumer.wait_fetch().unwrap().records().count();
    }
    let assignment = (0..4).map(|partition| ("t", partition, 0));
    let mut all = engine.consumer(assignment, ConsumerConfig::default()).unwrap();
    let mut seen = [0; 4];
    while seen != [8, 2, 2, 2] {
        let fetched = all.wait_fetch().unwrap();
        seen[fetched.assignment] += fetched.records().count();
    }
    // Colocated handles find them too.
    let counts = [0, 1].map(|shard| {
        let running = engine.run_on(shard, |local| async move {
            let mut producer = local.producer("t", ProducerConfig::default()).unwrap();
            (local.partitions("t").unwrap().len(), producer.refresh().unwrap())
        });
        running.unwrap().wait().unwrap()
    });
    assert_eq!(counts, [(2, 4), (2, 4)]);
    engine.delete_topic("t").unwrap();
    assert!(matches!(producer.refresh(), Err(TopicError::Unknown(_))));
    engine.close().unwrap();
    assert!(!dir.path().join("t-3").exists());
}

#[test]
fn what_cannot_be_added_is_refused_and_changes_nothing() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 3, TopicConfig::default()).unwrap();
    let catalog = || std::fs::read(dir.path().join("catalog.json")).unwrap();
    let before = catalog();
    for total in [0, 1, 3] {
        let refused = engine.create_partitions("t", total).unwrap_err();
        let is_named = matches!(
            &refused,
            TopicError::NotMorePartitions { topic, present: 3, asked } if topic == "t" && *asked == total
        );
        assert!(is_named, "{refused}");
    }
    for total in [PARTITIONS_MAX + 1, u32::MAX] {
        assert!(matches!(engine.create_partitions("t", total), Err(TopicError::Config(_))));
    }
    assert!(matches!(engine.create_partitions("u", 5), Err(TopicError::Unknown(_))));
    // Files of an unknown origin are not taken for records of a new partition.
    let foreign = dir.path().join("t-4");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("00000000000000000000.log"), "x").unwrap();
    let refused = engine.create_partitions("t", 6).unwrap_err();
    assert!(matches!(&refused, TopicError::ForeignFiles { path } if *path == foreign), "{refused}");
    assert!(catalog() == before && !dir.path().join("t-3").exists());
    engine.create_partitions("t", 4).unwrap();
    let unknown = engine.consumer([("t", 4, 0)], ConsumerConfig::default());
    assert!(matches!(unknown, Err(TopicError::Unknown(_))));
    let unknown = engine.list_offsets([("t", 4, vnotch_engine::types::OffsetSpec::Latest)]);
    assert!(matches!(unknown, Err(FetchError::UnknownPartition)));
    engine.close().unwrap();
}

/// A directory that cannot be made stops the addition half-way.
#[test]
fn a_failed_addition_leaves_no_directory_behind_and_can_be_repeated() {
    let dir = data_dir();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let obstacle = dir.path().join("t-3");
    std::fs::write(&obstacle, "not a directory").unwrap();
    let failed = engine.create_partitions("t", 4).unwrap_err();
    assert!(matches!(failed, TopicError::Disk(_)), "{failed}");
    assert!(!dir.path().join("t-1").exists() && !dir.path().join("t-2").exists() && obstacle.exists());
    assert_eq!(shards(&engine, "t").len(), 1);
    produce(&engine, "t", 0, 0..5, 100);
    std::fs::remove_file(&obstacle).unwrap();
    engine.create_partitions("t", 4).unwrap();
    produce(&engine, "t", 3, 0..5, 100);
    engine.close().unwrap();
    let engine = Engine::open(two_shards(dir.path())).unwrap();
    assert_eq!(shards(&engine, "t").len(), 4);
    engine.close().unwrap();
    assert!(is_sound(dir.path()));
}

/// The process ends after the mark and the first new directory.
#[test]
fn an_interrupted_addition_is_undone_by_the_next_open_and_is_a_note_before_it() {
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    produce(&engine, "t", 1, 0..5, 100);
    engine.close().unwrap();
    let path = dir.path().join("catalog.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let json = text.split_once('\n').unwrap().1.trim_end();
    let json = json.replace("\"deleting\": {}", "\"deleting\": {}, \"growing\": {\"t\": 4}");
    std::fs::write(&path, format!("{:08x}\n{json}\n", crc_fast::crc32_iscsi(json.as_bytes()))).unwrap();
    for number in [2, 4] {
        std::fs::create_dir(dir.path().join(format!("t-{number}"))).unwrap();
    }
    let report = verify(dir.path(), &mut |_| {}).unwrap();
    let [defect] = &report.defects[..] else { panic!("{:?}", report.defects) };
    assert!(defect.path.ends_with("t-4"), "{defect:?}");
    assert!(report.notes.iter().any(|note| note.path.ends_with("t-2")), "{:?}", report.notes);
    let engine = open(dir.path());
    assert_eq!(shards(&engine, "t").len(), 2);
    consume(&engine, "t", 1, 0..5);
    engine.close().unwrap();
    assert!(!dir.path().join("t-2").exists() && dir.path().join("t-4").exists());
    assert!(!std::fs::read_to_string(&path).unwrap().contains("growing"));
}
