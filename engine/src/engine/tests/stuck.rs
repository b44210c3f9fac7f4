//! The description of a stuck shard names the part of its loop that it stands in.

use super::unanswered::stick;
use super::{PATIENCE, impatient};
use crate::config::EngineConfig;
use crate::engine::Engine;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Opens an engine whose shard is declared stuck after a second. A busy machine keeps a thread waiting for less.
fn open(dir: &std::path::Path) -> Engine {
    Engine::open(EngineConfig { stuck_after: Duration::from_secs(1), ..impatient(dir) }).unwrap()
}

/// Waits until shard 0 is declared stuck, and its description is `wanted`.
fn described(engine: &Engine, wanted: impl Fn(&str) -> bool) {
    let (mailbox, begun) = (&engine.shards[0].mailbox, Instant::now());
    loop {
        let text = mailbox.describe_stuck(engine.config.stuck_after);
        if wanted(&text) && mailbox.is_stuck() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE / 3, "not stuck, or not as wanted: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_shard_that_a_callers_task_holds_up_is_described_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let _release = stick(&engine, 0);
    described(&engine, |text| text.contains("; its pump runs a caller's task after "));
}

#[test]
fn a_shard_whose_own_work_does_not_end_is_described_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let (_release, released) = mpsc::channel::<()>();
    let _ = engine.shards[0].begin(move |_| async move {
        let _ = released.recv_timeout(PATIENCE);
    });
    described(&engine, |text| text.contains("; its pump is in a turn after "));
}

#[test]
fn a_shard_that_is_not_woken_is_described_with_its_wait_and_with_the_calls_that_it_does_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    assert!(engine.shards[0].call(|shard| async move { shard.lose_wakes() }).is_some());
    // The pump waits for the same eventfd while it is parked and in a reactor turn.
    let waits = ["; its pump is parked after ", "; its pump waits for the reactor after "];
    described(&engine, |text| {
        // The pump may still take some calls before it waits for its next wake.
        engine.shards[0].mailbox.put_without_wake(Box::new(|_| Box::pin(std::future::ready(()))));
        waits.iter().any(|wait| text.contains(wait)) && !text.contains(" and 0 calls; ")
    });
}
