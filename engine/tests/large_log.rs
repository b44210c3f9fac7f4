//! Measurements of a large log: memory by its number of segments, a read of all records, and the open after a kill. The tests
//! run only if the variable asks for them, and write as many bytes as it says:
//!
//! `VNOTCH_LARGE_GIB=20 cargo test --release -p vnotch-engine --test large_log -- --nocapture --test-threads 1`
//!
//! After `ulimit -n 256` they show that 256 open files are enough.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it reports, and a test may fail by panic")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Preallocate;

const GIB: u64 = 1 << 30;

/// Bytes of a record's value. 64 records and their headers fill less than 4 MiB.
const VALUE_BYTES: u64 = 60_000;

/// Environment variable with the directory in which a child process appends until it is killed.
const LOAD_DIR: &str = "VNOTCH_LARGE_LOAD";

/// Largest allowed growth of the resident memory between the first GiB and the last, MiB.
const GROWTH_MIB: u64 = 32;

/// Returns the size of the log, GiB, from the environment. `None` means that the measurement is not wanted.
fn asked_gib() -> Option<u64> {
    std::env::var("VNOTCH_LARGE_GIB").ok().map(|text| text.parse().unwrap())
}

fn data_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn open(path: &Path) -> Engine {
    Engine::open(EngineConfig::new(path)).unwrap()
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Returns the MiB that this process has read from its disks.
fn read_mib() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: ")).unwrap();
    line.parse::<u64>().unwrap() >> 20
}

/// Appends records until the partition holds at least `gib` GiB. The first record has the number `from`. Calls `at_gib` after
/// each GiB. Returns the number of the next record.
fn append(engine: &Engine, from: u64, gib: u64, mut at_gib: impl FnMut(u64)) -> u64 {
    let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    let mut value = vec![b'x'; usize::try_from(VALUE_BYTES).unwrap()];
    let mut number = from;
    let mut reported_gib = number * VALUE_BYTES / GIB;
    while number * VALUE_BYTES < gib * GIB {
        value[..8].copy_from_slice(&number.to_be_bytes());
        let record = RecordRef { timestamp_ms: 1, value: Some(&value), ..RecordRef::default() };
        while producer.try_send(Some(0), &record).is_err() {
            producer.wait_ack().unwrap().result.unwrap();
        }
        number += 1;
        if number * VALUE_BYTES / GIB > reported_gib {
            reported_gib = number * VALUE_BYTES / GIB;
            at_gib(reported_gib);
        }
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
    number
}

/// Reads the partition from its start and compares the number in each record with its offset.
fn read_all(engine: &Engine, count: u64) {
    let mut consumer = engine.consumer([("t", 0, 0)], ConsumerConfig::default()).unwrap();
    let mut next = 0;
    while next < count {
        for record in consumer.wait_fetch().unwrap().records() {
            let record = record.unwrap();
            let number = u64::from_be_bytes(record.value.unwrap()[..8].try_into().unwrap());
            assert_eq!((u64::try_from(record.offset).unwrap(), number), (next, next));
            next += 1;
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_number_of_segments() {
    let Some(gib) = asked_gib() else { return };
    let dir = data_dir();
    let engine = open(dir.path());
    let config =
        TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 512 << 10, ..TopicConfig::default() };
    engine.create_topic("t", 1, config).unwrap();
    let mut begun = Instant::now();
    let next = append(&engine, 0, 1, |_| ());
    let first_mib = resident_mib();
    let count = append(&engine, next, gib, |_| ());
    let last_mib = resident_mib();
    println!("{gib} GiB in 1 MiB segments written in {:.1} s", begun.elapsed().as_secs_f64());
    println!("resident: {first_mib} MiB after 1 GiB, {last_mib} MiB after {gib} GiB");
    begun = Instant::now();
    read_all(&engine, count);
    println!(
        "read from the start in {:.1} s; resident: {} MiB",
        begun.elapsed().as_secs_f64(),
        resident_mib()
    );
    engine.close().unwrap();
    begun = Instant::now();
    let engine = open(dir.path());
    println!("opened after a close in {:.2} s", begun.elapsed().as_secs_f64());
    engine.close().unwrap();
    assert!(last_mib <= first_mib + GROWTH_MIB, "resident memory grew");
}

/// Appends in a child process, and kills it once it has written `gib` GiB. The child appends until the kill.
fn kill_under_load(dir: &Path, gib: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_large_log_opens_soon_after_a_kill", "--exact", "--nocapture"])
        .env(LOAD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let last = format!("{gib} GiB");
    assert!(lines.into_iter().any(|line| line == last), "the child ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_large_log_opens_soon_after_a_kill() {
    let Some(gib) = asked_gib() else { return };
    if let Some(dir) = std::env::var_os(LOAD_DIR) {
        append(&open(Path::new(&dir)), 0, u64::MAX / GIB, |gib| println!("{gib} GiB"));
        return;
    }
    let dir = data_dir();
    let engine = open(dir.path());
    let config = TopicConfig {
        segment_bytes: GIB,
        retention_bytes: Some(gib * GIB),
        preallocate: Preallocate::Recycle,
        ..TopicConfig::default()
    };
    engine.create_topic("t", 1, config).unwrap();
    engine.close().unwrap();
    // More than retention keeps, so that the active segment is a recycled file when the kill comes.
    kill_under_load(dir.path(), gib + 4);
    rustix::fs::sync();
    let dropped = std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
    let (begun, read_before) = (Instant::now(), read_mib());
    let engine = open(dir.path());
    println!("{gib} GiB, killed under load, opened in {:.2} s", begun.elapsed().as_secs_f64());
    println!("read meanwhile: {} MiB", read_mib() - read_before);
    println!("page cache dropped before: {dropped}");
    let described = engine.describe_topic("t").unwrap();
    println!("the log holds offsets {:?}", described.partitions.first());
    engine.close().unwrap();
}
