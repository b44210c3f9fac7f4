//! Measurements of many partitions: the time to create, open and recover them, and what they cost while nobody uses them. The
//! test needs a quiet machine and a release build. It runs only if the variable asks for it:
//!
//! `VNOTCH_PARTITIONS=2000 cargo test --release -p vnotch-engine --test partitions_cost -- --nocapture`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it reports, and a test may fail by panic")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;

const TEST: &str = "the_costs_of_partitions_are_measured";

/// Environment variable with the directory in which a child process fills partitions until it is killed.
const LOAD_DIR: &str = "VNOTCH_PARTITIONS_LOAD";

fn open(path: &Path) -> Engine {
    let config = EngineConfig { shards: 2, cores: vec![0, 1], ..EngineConfig::new(path) };
    Engine::open(config).unwrap()
}

/// Sends a record to each partition, `rounds` times.
fn load(engine: &Engine, partitions: u32, rounds: usize) {
    let mut producer =
        engine.producer("t", ProducerConfig { linger: None, ..ProducerConfig::default() }).unwrap();
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let timestamp_ms = i64::try_from(since_epoch.as_millis()).unwrap();
    for _ in 0..rounds {
        for partition in 0..partitions {
            // With the current time as timestamp, retention finds nothing to delete.
            let record = RecordRef { timestamp_ms, value: Some(&[b'x'; 500]), ..RecordRef::default() };
            while producer.try_send(Some(partition), &record).is_err() {
                producer.wait_ack().unwrap().result.unwrap();
            }
        }
        assert!(producer.wait_all().iter().all(|ack| ack.result.is_ok()));
        println!("one record to each partition");
    }
}

/// Returns the CPU time that this process has used.
fn cpu() -> Duration {
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = usage.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Prints the CPU time that the engine uses while nobody uses it. The first 2 s are measured separately, because earlier steps
/// may have left work, such as files to close.
fn rest() {
    let percent = |time: Duration| {
        let (begun, before) = (Instant::now(), cpu());
        std::thread::sleep(time);
        (cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0
    };
    println!("the first 2 s: {:.2} % of a core", percent(Duration::from_secs(2)));
    println!("idle: {:.2} % of a core, {} MiB resident", percent(Duration::from_secs(10)), resident_mib());
}

/// Runs the load in a child process, and kills it once each partition has records.
fn kill_under_load(dir: &Path) {
    use std::io::{BufRead as _, BufReader};
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([TEST, "--exact", "--nocapture"])
        .env(LOAD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).filter(|line| line.contains("one record")).nth(2).is_some());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_costs_of_partitions_are_measured() {
    let Some(partitions) = std::env::var("VNOTCH_PARTITIONS").ok().and_then(|text| text.parse().ok()) else {
        return;
    };
    if let Some(dir) = std::env::var_os(LOAD_DIR) {
        load(&open(Path::new(&dir)), partitions, usize::MAX);
        return;
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut timed = Instant::now();
    let mut step = |name: &str| {
        println!("{name}: {:.2} s", std::mem::replace(&mut timed, Instant::now()).elapsed().as_secs_f64());
        timed = Instant::now();
    };
    let engine = open(dir.path());
    step("open of an empty directory");
    let config = TopicConfig {
        segment_bytes: 1 << 20,
        max_message_bytes: 64 << 10,
        retention_ms: Some(3_600_000),
        ..TopicConfig::default()
    };
    engine.create_topic("t", partitions, config).unwrap();
    step("create");
    load(&engine, partitions, 1);
    step("one record each");
    rest();
    step("idle");
    engine.close().unwrap();
    step("close");
    let engine = open(dir.path());
    step("open after a close");
    rest();
    step("idle");
    engine.close().unwrap();
    step("close of what was not appended to");
    kill_under_load(dir.path());
    step("load and kill");
    let engine = open(dir.path());
    step("open after a kill");
    let described = engine.describe_topic("t").unwrap();
    assert!(described.partitions.iter().all(|partition| partition.log_end_offset > 1));
    engine.close().unwrap();
}
