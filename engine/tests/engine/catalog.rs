//! The topics of a data directory whose files differ from those that an engine leaves.

use super::data_dir;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{OpenError, TopicError};
use vnotch_engine::record::RecordRef;

fn open(path: &Path) -> Result<Engine, OpenError> {
    Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(path) })
}

#[test]
fn partitions_without_a_catalog_are_refused_and_not_adopted() {
    let dir = data_dir();
    let engine = open(dir.path()).unwrap();
    engine.create_topic("t", 2, TopicConfig::default()).unwrap();
    engine.close().unwrap();
    let catalog = dir.path().join("catalog.json");
    let kept = std::fs::read(&catalog).unwrap();
    std::fs::remove_file(&catalog).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::CatalogMissing { .. }), "{error}");
    let told = format!("vnotch repair {}", dir.path().display());
    assert!(error.to_string().contains(&told), "{error}");
    assert!(!catalog.exists(), "no new one was made");
    std::fs::write(&catalog, kept).unwrap();
    assert_eq!(open(dir.path()).unwrap().list_topics(), ["t"]);
}

#[test]
fn a_first_open_that_ended_before_its_catalog_is_finished_by_the_next() {
    let dir = data_dir();
    open(dir.path()).unwrap().close().unwrap();
    std::fs::remove_file(dir.path().join("catalog.json")).unwrap();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    let engine = open(dir.path()).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    engine.close().unwrap();
}

#[test]
fn a_file_of_a_deleted_topic_that_cannot_be_removed_leaves_the_other_topics_alone() {
    let dir = data_dir();
    let engine = open(dir.path()).unwrap();
    for topic in ["t", "u"] {
        engine.create_topic(topic, 3, TopicConfig::default()).unwrap();
    }
    let obstacle = dir.path().join("u-1/directory");
    std::fs::create_dir(&obstacle).unwrap();
    assert!(matches!(engine.delete_topic("u"), Err(TopicError::Disk(_))), "the error is returned");
    assert_eq!(engine.list_topics(), ["t"], "and it is deleted all the same");
    engine.close().unwrap();
    for _ in 0..2 {
        let engine = open(dir.path()).unwrap();
        assert_eq!(engine.list_topics(), ["t"]);
        assert!(!dir.path().join("u-2").exists(), "the other partitions have no files any more");
        assert!(matches!(engine.create_topic("u", 1, TopicConfig::default()), Err(TopicError::Disk(_))));
        engine.close().unwrap();
    }
    let engine = open(dir.path()).unwrap();
    std::fs::remove_dir(&obstacle).unwrap();
    engine.create_topic("u", 1, TopicConfig::default()).unwrap();
    assert!(!dir.path().join("u-1").exists());
    engine.close().unwrap();
    assert_eq!(open(dir.path()).unwrap().list_topics(), ["t", "u"]);
}

#[test]
fn a_creation_of_a_billion_partitions_that_was_interrupted_is_undone_by_the_next_open() {
    let dir = data_dir();
    let engine = open(dir.path()).unwrap();
    engine.create_topic("u", 1, TopicConfig::default()).unwrap();
    engine.close().unwrap();
    for name in ["t-0", "t-999999999", "t-1000000000", "t-x"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    let path = dir.path().join("catalog.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let json = text.split_once('\n').unwrap().1.trim_end();
    let json = json.replace("\"deleting\": {}", "\"deleting\": {\"t\": 1000000000}");
    std::fs::write(&path, format!("{:08x}\n{json}\n", crc_fast::crc32_iscsi(json.as_bytes()))).unwrap();
    let engine = open(dir.path()).unwrap();
    assert_eq!(engine.list_topics(), ["u"]);
    let is_there = ["t-0", "t-999999999", "t-1000000000", "t-x"].map(|name| dir.path().join(name).exists());
    assert_eq!(is_there, [false, false, true, true], "what cannot be of the topic stays");
    engine.close().unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"deleting\": {}"));
}

#[test]
fn a_partition_that_cannot_be_put_in_order_leaves_the_others_alone() {
    // The open removes the names of files that were made ahead, in topics with and without recycling.
    for (name, retention_bytes) in [
        ("next.preparing", None),
        ("next.filling", None),
        ("next.spare", None),
        ("next.spare", Some(1 << 30)),
    ] {
        let dir = data_dir();
        let engine = open(dir.path()).unwrap();
        for topic in ["t", "u"] {
            engine.create_topic(topic, 1, TopicConfig { retention_bytes, ..TopicConfig::default() }).unwrap();
        }
        engine.close().unwrap();
        let obstacle = dir.path().join("t-0").join(name);
        std::fs::create_dir(&obstacle).unwrap();
        let engine = open(dir.path()).unwrap();
        let [damaged] = engine.damaged() else { panic!("{:?}", engine.damaged()) };
        assert_eq!(damaged.partition.to_string(), "t-0");
        let said = damaged.cause.to_string();
        assert!(said.contains(obstacle.to_str().unwrap()), "{said}");
        let mut producer = engine.producer("u", ProducerConfig::default()).unwrap();
        producer.try_send(Some(0), &RecordRef { value: Some(b"x"), ..RecordRef::default() }).unwrap();
        assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
        engine.close().unwrap();
        std::fs::remove_dir(&obstacle).unwrap();
        assert!(open(dir.path()).unwrap().damaged().is_empty());
    }
}

/// Returns names and contents of the files in a directory.
fn image(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn a_topic_is_not_created_over_files_of_no_topic() {
    let dir = data_dir();
    let engine = open(dir.path()).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    producer.try_send(Some(0), &RecordRef { value: Some(b"x"), ..RecordRef::default() }).unwrap();
    assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
    drop(producer);
    engine.close().unwrap();
    // A user restores a partition that belongs to an older catalog.
    let foreign = dir.path().join("x-1");
    std::fs::rename(dir.path().join("t-0"), &foreign).unwrap();
    std::fs::create_dir(dir.path().join("x-0")).unwrap();
    let before = image(&foreign);
    assert!(!before.is_empty());
    for _ in 0..2 {
        let engine = open(dir.path()).unwrap();
        let catalog = std::fs::read(dir.path().join("catalog.json")).unwrap();
        let error = engine.create_topic("x", 3, TopicConfig::default()).unwrap_err();
        assert!(matches!(&error, TopicError::ForeignFiles { path } if *path == foreign), "{error}");
        let said = error.to_string();
        assert!(said.contains("x-1") && said.contains("vnotch repair"), "{said}");
        assert!(std::fs::read(dir.path().join("catalog.json")).unwrap() == catalog, "nothing was announced");
        assert!(dir.path().join("x-0").exists() && !dir.path().join("x-2").exists());
        engine.close().unwrap();
        assert!(image(&foreign) == before);
    }
    // An empty directory does not matter, and neither does a directory with a number above the topic's partitions.
    let engine = open(dir.path()).unwrap();
    engine.create_topic("x", 1, TopicConfig::default()).unwrap();
    engine.delete_topic("x").unwrap();
    assert!(image(&foreign) == before && !dir.path().join("x-0").exists());
    std::fs::rename(&foreign, dir.path().join("moved away")).unwrap();
    engine.create_topic("x", 3, TopicConfig::default()).unwrap();
    assert_eq!(engine.describe_topic("x").unwrap().partitions[1].log_end_offset, 0);
    engine.close().unwrap();
}
