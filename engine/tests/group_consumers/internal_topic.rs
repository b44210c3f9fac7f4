//! The topic that holds the records of groups belongs to the engine.

use super::{data_dir, member, open, settings, settle, with_topic};
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::config::{TopicChanges, TopicConfig};
use vnotch_engine::error::{DeleteRecordsError, LocalError, TopicError};
use vnotch_engine::types::Durability;

const OFFSETS: &str = "__consumer_offsets";

#[test]
fn it_exists_from_the_first_use_of_a_group_on_and_is_hidden() {
    let dir = data_dir();
    let engine = with_topic(dir.path(), 1);
    assert_eq!(engine.list_all_topics(), ["t"], "no group, no topic");
    let mut members = vec![member(&engine, settings("g"))];
    settle(&mut members, vec![1]);
    assert_eq!(engine.list_topics(), ["t"]);
    assert_eq!(engine.list_all_topics(), [OFFSETS, "t"]);
    let described = engine.describe_topic(OFFSETS).unwrap();
    assert_eq!((described.partitions.len(), described.config.durability), (16, Durability::Written));
    assert!(engine.consumer([(OFFSETS, 0, 0)], ConsumerConfig::default()).is_ok(), "it can be read");
    drop(members);
    engine.close().unwrap();
    let mut config = super::config(dir.path(), 2);
    config.groups.offsets_topic_partitions = 4;
    config.groups.offsets_topic_durability = Durability::Synced;
    let engine = vnotch_engine::engine::Engine::open(config).unwrap();
    let described = engine.describe_topic(OFFSETS).unwrap();
    assert_eq!((described.partitions.len(), described.config.durability), (16, Durability::Written));
}

#[test]
fn callers_cannot_change_it() {
    let dir = data_dir();
    let engine = open(dir.path());
    let is_internal = |outcome: Result<(), TopicError>| matches!(outcome, Err(TopicError::Internal(name)) if name == OFFSETS);
    for has_groups in [false, true] {
        if has_groups {
            engine.group_admin().unwrap();
        }
        assert!(is_internal(engine.create_topic(OFFSETS, 1, TopicConfig::default())));
        assert!(is_internal(engine.delete_topic(OFFSETS)));
        assert!(is_internal(engine.create_partitions(OFFSETS, 20)));
        assert!(is_internal(engine.alter_topic(OFFSETS, TopicChanges::default()).map(drop)));
        assert!(is_internal(engine.producer(OFFSETS, ProducerConfig::default()).map(drop)));
        let deleted = engine.delete_records([(OFFSETS, 0, -1)]);
        assert!(matches!(deleted[0], Err(DeleteRecordsError::Internal)));
        let local = engine
            .run_on(0, |local| async move { local.producer(OFFSETS, ProducerConfig::default()).map(drop) });
        assert!(matches!(local.unwrap().wait().unwrap(), Err(LocalError::Internal(_))));
    }
}
