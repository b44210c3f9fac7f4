//! Requests to groups do not wait behind appends.

use super::unanswered::stick;
use crate::client::ProducerConfig;
use crate::config::{EngineConfig, TopicConfig};
use crate::engine::Engine;
use crate::group::{Heartbeat, RequestBody};
use crate::record::RecordRef;
use crate::types::{Durability, IoMode};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Queues as many appends as a standing shard takes, and then a heartbeat. Returns the number of records, and how many were acked
/// when the heartbeat was answered.
fn race(engine: &Engine) -> (usize, usize) {
    let release = stick(engine, 0);
    let config = ProducerConfig { linger: None, batch_size: 1 << 10, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    let record = RecordRef { value: Some(&[b'x'; 900]), ..RecordRef::default() };
    let mut sent = 0;
    while producer.try_send(Some(0), &record).is_ok() {
        sent += 1;
    }
    let (group, member_id) = ("g".to_owned(), "m".to_owned());
    let heartbeat = RequestBody::Heartbeat(Heartbeat { group, generation: 1, member_id, instance_id: None });
    let admin = engine.group_admin().unwrap();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| admin.call("g", &heartbeat).unwrap());
        // The request is in the mailbox before the shard goes on. If it comes later on a slow machine, this race is lost.
        std::thread::sleep(Duration::from_millis(30));
        drop(release);
        asked.join().unwrap();
    });
    let mut acked = 0;
    while let Poll::Ready(ack) = producer.poll_ack(&mut Context::from_waker(Waker::noop())) {
        ack.result.unwrap();
        acked += ack.count as usize;
    }
    producer.flush();
    assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
    (sent, acked)
}

#[test]
fn a_heartbeat_is_answered_before_the_appends_that_were_queued_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        EngineConfig { io: IoMode::Buffered, arena_bytes: 32 << 20, ..EngineConfig::new(dir.path()) };
    let engine = Engine::open(config).unwrap();
    let topic = TopicConfig { durability: Durability::Appended, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    engine.group_admin().unwrap();
    let mut races = Vec::new();
    let overtakes = (0..20).any(|_| {
        let (sent, acked) = race(&engine);
        races.push((sent, acked));
        acked < sent / 2
    });
    assert!(overtakes, "records queued, and acked when the heartbeat was answered: {races:?}");
}
