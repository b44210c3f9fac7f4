//! The description of a stuck shard names the part of its loop that it stands in.

use super::unanswered::{stick, wait_until_it_moves};
use super::{PATIENCE, impatient};
use crate::client::ProducerConfig;
use crate::config::TopicConfig;
use crate::engine::Engine;
use crate::record::RecordRef;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Waits until shard 0 is declared stuck. Returns its description then.
fn described(engine: &Engine) -> String {
    let (mailbox, begun) = (&engine.shards[0].mailbox, Instant::now());
    while !mailbox.is_stuck() {
        assert!(begun.elapsed() < PATIENCE, "the shard is not declared stuck");
        std::thread::sleep(Duration::from_millis(5));
    }
    mailbox.describe_stuck(engine.config.stuck_after)
}

#[test]
fn a_shard_that_a_callers_task_holds_up_is_described_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    let release = stick(&engine, 0);
    let text = described(&engine);
    assert!(text.contains("; its pump runs a caller's task after "), "{text}");
    drop(release);
    wait_until_it_moves(&engine, 0);
    engine.close().unwrap();
}

#[test]
fn a_shard_whose_own_work_does_not_end_is_described_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let _ = engine.shards[0].begin(move |_| async move {
        let _ = released.recv_timeout(PATIENCE);
    });
    let text = described(&engine);
    assert!(text.contains("; its pump is in a turn after "), "{text}");
    drop(release);
    wait_until_it_moves(&engine, 0);
    engine.close().unwrap();
}

#[test]
fn a_shard_that_is_not_woken_is_described_with_its_wait_and_with_the_messages_that_it_does_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(impatient(dir.path())).unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    assert!(engine.shards[0].call(|shard| async move { shard.lose_wakes() }).is_some());
    let mut producer = engine.producer("t", ProducerConfig { linger: None, ..Default::default() }).unwrap();
    let begun = Instant::now();
    // The pump may take some records before it waits for its next wake.
    while !engine.shards[0].mailbox.is_stuck() {
        assert!(begun.elapsed() < PATIENCE, "the shard is not declared stuck");
        let _ = producer.try_send(Some(0), &RecordRef { value: Some(b"x"), ..RecordRef::default() });
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = described(&engine);
    // The pump waits for the same eventfd while it is parked and in a reactor turn.
    let waits = ["; its pump is parked after ", "; its pump waits for the reactor after "];
    assert!(waits.iter().any(|wait| text.contains(wait)), "{text}");
    assert!(text.contains("; waiting: ") && !text.contains("; waiting: 0 appends"), "{text}");
    assert!(engine.close().is_err());
}
