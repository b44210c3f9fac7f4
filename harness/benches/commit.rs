//! The cost of a synced round: one batch of 4 KiB on each of 64 partitions at a time, beside the same blocks written raw.
//!
//! Prints medians, and the engine's as multiples of the raw ones. Rounds of all ways alternate, so that drift hits each
//! alike. `ROUNDS` (default 1000, of each way) and `PARTITIONS` (default 64) may be set; the data is made below the build
//! directory, some 600 MiB.
#![allow(clippy::unwrap_used, reason = "a bench may fail by panic")]
#![allow(clippy::print_stdout, reason = "it prints its figures")]

use std::path::Path;
use std::time::{Duration, Instant};
use vnotch::device::{Commit as Raw, Commits};
use vnotch_engine::client::{Port, Producer, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::{Commit, Durability, Preallocate};

/// A record of this value makes a batch of 4096 bytes.
const VALUE_BYTES: usize = 4026;
const SEGMENT_BYTES: u64 = 2 << 20;
/// Rounds in a row of one way.
const BLOCK_ROUNDS: usize = 20;
/// Rounds before those, which do not count: caches and a producer's buffers are filled in them.
const WARM_ROUNDS: usize = 3;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn open(dir: &Path, commit: Commit, partitions: u32) -> Engine {
    let engine = Engine::open(EngineConfig { commit, ..EngineConfig::new(dir) }).unwrap();
    let topic = TopicConfig {
        durability: Durability::Synced,
        segment_bytes: SEGMENT_BYTES,
        retention_bytes: Some(2 * SEGMENT_BYTES),
        preallocate: Preallocate::Recycle,
        ..TopicConfig::default()
    };
    engine.create_topic("t", partitions, topic).unwrap();
    engine
}

/// A batch is full with a record, and travels at once.
fn config() -> ProducerConfig {
    ProducerConfig { batch_size: 4096, linger: None, ..ProducerConfig::default() }
}

fn send<P: Port>(producer: &mut Producer<P>, value_bytes: usize) {
    let value = vec![7; value_bytes];
    let record = RecordRef { value: Some(&value), ..RecordRef::default() };
    for partition in 0..producer.partitions() {
        producer.try_send(Some(partition), &record).unwrap();
    }
    producer.flush();
}

/// Appends until retention frees segments, and every write of a round overwrites.
fn warm(engine: &Engine, partitions: u32) {
    let mut producer = engine.producer("t", config()).unwrap();
    let large = 60 << 10;
    for _ in 0..4 * SEGMENT_BYTES / large {
        send(&mut producer, large.try_into().unwrap());
        assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
    }
    for _ in 0..2000 {
        let before = engine.stats()[0].writes.overwrites;
        send(&mut producer, VALUE_BYTES);
        assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok() && ack.bytes == 4096));
        if engine.stats()[0].writes.overwrites - before == u64::from(partitions) {
            return;
        }
    }
    panic!("segments are not recycled");
}

/// A block's rounds that count.
fn counted(rounds: impl Iterator<Item = Duration>) -> Vec<Duration> {
    rounds.skip(WARM_ROUNDS).collect()
}

fn remote(engine: &Engine) -> Vec<Duration> {
    let mut producer = engine.producer("t", config()).unwrap();
    let round = |_| {
        let begun = Instant::now();
        send(&mut producer, VALUE_BYTES);
        assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
        begun.elapsed()
    };
    counted((0..WARM_ROUNDS + BLOCK_ROUNDS).map(round))
}

fn colocated(engine: &Engine) -> Vec<Duration> {
    let task = engine.run_on(0, move |local| async move {
        let mut producer = local.producer("t", config()).unwrap();
        let mut took = Vec::new();
        for _ in 0..WARM_ROUNDS + BLOCK_ROUNDS {
            let begun = Instant::now();
            send(&mut producer, VALUE_BYTES);
            assert!(producer.all_acks().await.iter().all(|ack| ack.result.is_ok()));
            took.push(begun.elapsed());
        }
        took
    });
    counted(task.unwrap().wait().unwrap().into_iter())
}

fn main() {
    let rounds = setting("ROUNDS", 1000);
    let partitions = u32::try_from(setting("PARTITIONS", 64)).unwrap();
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut raw = Commits::new(dir.path(), partitions, SEGMENT_BYTES).unwrap();
    let [auto, each] = [Commit::Auto, Commit::Each].map(|commit| {
        let engine = open(&dir.path().join(format!("{commit:?}")), commit, partitions);
        warm(&engine, partitions);
        engine
    });
    let writes = |engine: &Engine| engine.stats()[0].writes.clone();
    let before = [&auto, &each].map(writes);
    let mut took: [Vec<Duration>; 6] = Default::default();
    for _ in 0..rounds.div_ceil(BLOCK_ROUNDS) {
        let raw_rounds = |raw: &mut Commits, way| {
            counted((0..WARM_ROUNDS + BLOCK_ROUNDS).map(|_| raw.round(way).unwrap()))
        };
        let block: [Vec<Duration>; 6] = [
            raw_rounds(&mut raw, Raw::Shared),
            colocated(&auto),
            remote(&auto),
            raw_rounds(&mut raw, Raw::Each),
            colocated(&each),
            remote(&each),
        ];
        took.iter_mut().zip(block).for_each(|(all, some)| all.extend(some));
    }
    let medians = took.map(|mut took| {
        took.sort_unstable();
        took[took.len() / 2]
    });
    let names = [
        "raw: plain overwrites, then one fdatasync",
        "engine, auto, colocated",
        "engine, auto, remote",
        "raw: RWF_DSYNC each",
        "engine, each, colocated",
        "engine, each, remote",
    ];
    println!(
        "one synced batch of 4 KiB on each of {partitions} partitions at a time, p50 of {rounds} rounds"
    );
    for (name, median) in names.iter().zip(medians) {
        let times = median.as_secs_f64() / medians[0].as_secs_f64();
        println!("{name:<44} {:>7.1} us {times:>6.2} x", median.as_secs_f64() * 1e6);
    }
    let after = [&auto, &each].map(writes);
    let [auto, each] = [0, 1].map(|at| {
        let (before, after) = (&before[at], &after[at]);
        (after.syncs - before.syncs) as f64 / (after.count - before.count) as f64
    });
    println!("flushes a write: auto {auto:.3}, each {each:.3}");
}
