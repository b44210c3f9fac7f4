//! An engine in a process with a low limit of open files. Each test runs again in its own process, which sets the limit.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::OpenError;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Durability;

/// Environment variable that is set in the process with the limit.
const LIMITED: &str = "VNOTCH_FEW_DESCRIPTORS";

/// Hard limit of open files in that process.
const LIMIT: u64 = 128;

/// Time after which a test is aborted.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs the test of this name again, alone, in its own process. Returns true in that second run, in which the limit is set.
fn is_limited(test: &str) -> bool {
    if std::env::var_os(LIMITED).is_some() {
        // The soft limit is lower. The engine raises it.
        setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT / 2), maximum: Some(LIMIT) }).unwrap();
        std::thread::spawn(|| {
            std::thread::sleep(PATIENCE);
            std::process::abort();
        });
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(LIMITED, "1").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("1 passed"), "{test} is not the test's name: {stdout}");
    false
}

fn data_dir() -> tempfile::TempDir {
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn config(path: &Path) -> EngineConfig {
    EngineConfig { arena_bytes: 32 << 20, ..EngineConfig::new(path) }
}

fn open(path: &Path) -> Engine {
    Engine::open(config(path)).unwrap()
}

fn small_segments() -> TopicConfig {
    TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 512 << 10, ..TopicConfig::default() }
}

fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64
}

/// Appends `count` records of `bytes` bytes to each of the first `partitions` partitions, and waits for their acks.
fn produce(engine: &Engine, partitions: u32, count: usize, bytes: usize) {
    let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    let value = vec![b'x'; bytes];
    let record = RecordRef { timestamp_ms: 1, value: Some(&value), ..RecordRef::default() };
    for _ in 0..count {
        for partition in 0..partitions {
            while producer.try_send(Some(partition), &record).is_err() {
                producer.wait_ack().unwrap().result.unwrap();
            }
        }
    }
    for ack in producer.wait_all() {
        ack.result.unwrap();
    }
}

/// Reads `count` records of each partition.
fn consume(engine: &Engine, partitions: u32, count: i64) {
    let assignment = (0..partitions).map(|partition| ("t", partition, 0));
    let mut consumer = engine.consumer(assignment, ConsumerConfig::default()).unwrap();
    let mut next = vec![0; partitions as usize];
    while next.iter().any(|next| *next < count) {
        let fetched = consumer.wait_fetch().unwrap();
        let next = &mut next[fetched.assignment];
        for record in fetched.records() {
            assert_eq!(record.unwrap().offset, *next);
            *next += 1;
        }
    }
}

#[test]
fn more_segments_than_files_may_be_open_are_written_and_read() {
    if !is_limited("more_segments_than_files_may_be_open_are_written_and_read") {
        return;
    }
    let (dir, count) = (data_dir(), 3_400);
    let engine = open(dir.path());
    engine.create_topic("t", 1, small_segments()).unwrap();
    produce(&engine, 1, count, 60_000);
    assert!(open_descriptors() < LIMIT - 16, "{} are open", open_descriptors());
    consume(&engine, 1, 3_400);
    assert!(open_descriptors() < LIMIT - 16, "{} are open", open_descriptors());
    engine.close().unwrap();
    let engine = open(dir.path());
    consume(&engine, 1, 3_400);
    engine.close().unwrap();
}

#[test]
fn more_partitions_than_files_may_be_open_are_written_and_read() {
    if !is_limited("more_partitions_than_files_may_be_open_are_written_and_read") {
        return;
    }
    let dir = data_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 300, small_segments()).unwrap();
    for _ in 0..3 {
        produce(&engine, 300, 1, 1_000);
    }
    engine.drop_caches().unwrap();
    consume(&engine, 300, 3);
    engine.close().unwrap();
    let engine = open(dir.path());
    consume(&engine, 300, 3);
    produce(&engine, 300, 1, 1_000);
    consume(&engine, 300, 4);
    engine.close().unwrap();
}

#[test]
fn partitions_that_hold_unwritten_records_are_closed_with_few_files() {
    if !is_limited("partitions_that_hold_unwritten_records_are_closed_with_few_files") {
        return;
    }
    let dir = data_dir();
    let open = || Engine::open(EngineConfig { arena_bytes: 16 << 20, ..config(dir.path()) }).unwrap();
    let engine = open();
    let durability = Durability::Appended;
    engine.create_topic("t", 300, TopicConfig { durability, ..small_segments() }).unwrap();
    produce(&engine, 300, 3, 10_000);
    engine.close().unwrap();
    let engine = open();
    consume(&engine, 300, 3);
    engine.close().unwrap();
}

#[test]
fn an_engine_that_cannot_work_with_the_limit_is_refused_with_the_number_it_needs() {
    if !is_limited("an_engine_that_cannot_work_with_the_limit_is_refused_with_the_number_it_needs") {
        return;
    }
    let dir = data_dir();
    let refused = Engine::open(EngineConfig { shards: 8, ..config(dir.path()) }).err().unwrap();
    let OpenError::TooFewDescriptors { found: LIMIT, needed } = refused else { panic!("{refused}") };
    assert!(refused.to_string().contains(&format!("`ulimit -n {needed}`")), "{refused}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn descriptors_that_others_take_are_waited_for() {
    if !is_limited("descriptors_that_others_take_are_waited_for") {
        return;
    }
    let dir = data_dir();
    let engine = open(dir.path());
    assert_eq!(getrlimit(Resource::Nofile).current, Some(LIMIT), "the soft limit was raised");
    engine.create_topic("t", 1, small_segments()).unwrap();
    produce(&engine, 1, 1, 1_000);
    let mut others: Vec<File> = Vec::new();
    // Files of the open and of the first roll are closed a little later, and the files of the recovery points are opened. So
    // take descriptors again and again.
    for _ in 0..20 {
        others.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!others.is_empty());
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| produce(&engine, 1, 200, 60_000));
        // Within this time a roll finds no descriptor: the first roll comes after 1 MiB.
        std::thread::sleep(Duration::from_millis(500));
        assert!(!producing.is_finished(), "a segment was made without a descriptor");
        drop(others);
        producing.join().unwrap();
    });
    consume(&engine, 1, 201);
    engine.close().unwrap();
}
