//! Topics deleted in the midst of work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

use std::sync::{Arc, mpsc};
use std::time::Duration;
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::AppendError;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Durability;

/// Far longer than it takes.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_topic_goes_while_it_is_written_and_every_batch_gets_its_answer() {
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = EngineConfig { arena_bytes: 32 << 20, ..EngineConfig::new(dir.path()) };
    let engine = Arc::new(Engine::open(config).unwrap());
    for round in 0..10 {
        let topic = TopicConfig { durability: Durability::Synced, ..TopicConfig::default() };
        engine.create_topic("t", 4, topic).unwrap();
        let config = ProducerConfig { batch_records_max: 1, ..ProducerConfig::default() };
        let mut producer = engine.producer("t", config).unwrap();
        let value = vec![7; 10_000];
        let record = RecordRef { value: Some(&value), ..RecordRef::default() };
        // Segments are there, and writes are under way.
        for partition in 0..4 {
            producer.try_send(Some(partition), &record).unwrap();
        }
        assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
        for number in 0..200 {
            producer.try_send(Some(number % 4), &record).unwrap();
        }
        let (report, deleted) = mpsc::channel();
        let other = Arc::clone(&engine);
        // Not joined if it hangs.
        std::thread::spawn(move || drop(report.send(other.delete_topic("t"))));
        deleted.recv_timeout(LONG).expect("the topic is deleted").unwrap();
        let acks = producer.wait_all();
        assert_eq!(acks.len(), 200, "in round {round}");
        for ack in acks {
            assert!(matches!(ack.result, Ok(_) | Err(AppendError::UnknownPartition)), "{:?}", ack.result);
        }
        assert!(!dir.path().join("t-0").exists());
    }
}
