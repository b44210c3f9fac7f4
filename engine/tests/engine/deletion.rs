//! Topics that are deleted while records are appended to them.

use super::data_dir;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use vnotch_engine::client::{Ack, Producer, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::AppendError;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Durability;

/// Time limit, far longer than any step takes.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_topic_goes_while_it_is_written_and_every_batch_gets_its_answer() {
    let dir = data_dir();
    let config = EngineConfig { arena_bytes: 32 << 20, ..EngineConfig::new(dir.path()) };
    let engine = Arc::new(Engine::open(config).unwrap());
    for round in 0..20 {
        // In a `synced` topic each write is synced itself, in a `written` topic a sync follows it.
        let durability = if round % 2 == 0 { Durability::Synced } else { Durability::Written };
        engine.create_topic("t", 4, TopicConfig { durability, ..TopicConfig::default() }).unwrap();
        let producer = engine.producer("t", always_synced()).unwrap();
        let (report, answered) = mpsc::channel();
        // These two threads are not joined, as they may hang.
        let (first, has_acked) = mpsc::channel();
        std::thread::spawn(move || report.send(produce(producer, &first)));
        has_acked.recv_timeout(LONG).expect("a batch is acked");
        let (report, deleted) = mpsc::channel();
        let other = Arc::clone(&engine);
        std::thread::spawn(move || report.send(other.delete_topic("t")));
        deleted.recv_timeout(LONG).expect("the topic is deleted").unwrap();
        let [acked, refused] = answered.recv_timeout(LONG).expect("every batch gets its answer");
        assert!(acked > 0 && refused > 0, "{acked} acked, {refused} refused");
        assert!(!dir.path().join("t-0").exists());
    }
}

/// Returns a configuration in which each record is a batch, and is synced in a topic of any level.
fn always_synced() -> ProducerConfig {
    let durability = Some(Durability::Synced);
    ProducerConfig { batch_records_max: 1, durability, ..ProducerConfig::default() }
}

/// Sends batches until the topic is deleted, and checks that each got an answer. Returns the numbers of acked and of refused
/// batches.
fn produce(mut producer: Producer, first: &mpsc::Sender<()>) -> [usize; 2] {
    let value = vec![7; 10_000];
    let record = RecordRef { value: Some(&value), ..RecordRef::default() };
    let mut answers = [0; 2];
    let mut number = 0;
    let mut count = |ack: Ack| match ack.result {
        Ok(_) => answers[0] += 1,
        Err(AppendError::UnknownPartition) => answers[1] += 1,
        Err(error) => panic!("{error}"),
    };
    loop {
        while producer.in_flight() < 16 {
            producer.try_send(Some(number % 4), &record).unwrap();
            number += 1;
        }
        let ack = producer.wait_ack().unwrap();
        let is_gone = ack.result.is_err();
        count(ack);
        // The test waits only for the first message, so a later send may fail.
        let _ = first.send(());
        if is_gone {
            producer.wait_all().into_iter().for_each(&mut count);
            assert_eq!(answers[0] + answers[1], number as usize);
            return answers;
        }
    }
}
