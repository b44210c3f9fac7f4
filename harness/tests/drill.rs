//! The kill -9 drill: all records that a killed run's ack log has are in the log afterwards, in order and once, byte for byte as
//! they were sent. Our own reader checks this, and the `kafka-protocol` crate checks the files. `verify` finds no damage in the
//! directory.
//!
//! `VNOTCH_DRILLS` is the number of kills at each level of durability (default 3). Segments are small, so that the log rolls
//! many times a second and some kills fall into a roll. `VNOTCH_DRILL_KILLS` is the number of kills of a log that recycles its
//! segments (default 6).
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

#[path = "support/mod.rs"]
mod support;

use kafka_protocol::records::RecordBatchDecoder;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{alone, disk, vnotch};
use vnotch::host::machine_id::machine_number;
use vnotch::load::pool::Pool;
use vnotch::load::stamp::{Stamp, sender};
use vnotch::system::CAPABILITIES;
use vnotch::workload::{Many, parse_study};
use vnotch_engine::client::{ConsumerConfig, OffsetReset};
use vnotch_engine::config::EngineConfig;
use vnotch_engine::engine::Engine;

const PARTITIONS: u64 = 2;

/// The workload of every run. Its only producer sends a record to each of the [`PARTITIONS`] in turn.
const WORKLOAD: &str = "\
partitions_per_topic: 2
producers_per_topic: 1
key_distribution: round_robin
message_size: 1KiB
batch: {max_bytes: 16KiB}
load: {mode: max, in_flight_bytes: 256KiB}
engine: {arena_bytes: 32MiB, fetch_pinned_bytes: 8MiB}
log: {segment_bytes: 1MiB, max_message_bytes: 64KiB}
consume: {assignment: fixed}
phases: {warmup: 0s, measure: 3s, drain: 5s}
trials: 1
ceiling: off
warm_memory: off
";

/// End of the acked offsets, exclusive, by topic and partition.
type Acked = BTreeMap<(String, u32), u64>;

#[test]
fn what_was_acked_outlives_kill_9() {
    let drills = std::env::var("VNOTCH_DRILLS").map_or(3, |count| count.parse().unwrap());
    let (mut acked_records, mut rolls) = (0, 0);
    for durability in ["written", "synced"] {
        for drill in 0..drills {
            let dir = disk();
            let acked = killed_run(dir.path(), &[&format!("durability={durability}")], drill, |_| true);
            let data = dir.path().join("data");
            let unfinished = data_files(&data, ".preparing");
            acked_records += acked.values().sum::<u64>();
            let report = vnotch_engine::verify::verify(&data, &mut |_| {}).unwrap();
            assert!(report.is_sound(), "what a kill leaves is no damage: {:#?}", report.defects);
            assert_eq!(check_with_own_reader(&data, &acked), 0, "nothing is deleted without retention");
            rolls += check_with_kafka_decoder(&data, &acked);
            println!("{durability} {drill}: {acked:?}, {unfinished} segments were being prepared");
        }
    }
    println!("{acked_records} acked records, all there; {rolls} segments");
    assert!(acked_records > 0 && rolls > 2 * drills, "the drill kills runs that do something");
}

#[test]
fn what_was_acked_and_not_deleted_outlives_kill_9_where_segments_are_recycled() {
    let kills = std::env::var("VNOTCH_DRILL_KILLS").map_or(6, |count| count.parse().unwrap());
    let (mut deleted, mut kept) = (0, 0);
    for kill in 0..kills {
        let dir = disk();
        let durability = ["durability=written", "durability=synced"][kill as usize % 2];
        let settings = [durability, "log.preallocate=recycle", "log.retention_bytes=3MiB"];
        let acked = killed_run(dir.path(), &settings, kill, have_recycled);
        let data = dir.path().join("data");
        let (ready, filling) = (data_files(&data, ".spare"), data_files(&data, ".filling"));
        let report = vnotch_engine::verify::verify(&data, &mut |_| {}).unwrap();
        assert!(report.is_sound(), "what a kill leaves is no damage: {:#?}", report.defects);
        let start = check_with_own_reader(&data, &acked);
        let segments = check_with_kafka_decoder(&data, &acked);
        println!(
            "{durability} {kill}: {acked:?}, {start} deleted; {segments} segments, {ready} spares ready, {filling} being filled"
        );
        (deleted, kept) = (deleted + start, kept + segments);
    }
    println!("{deleted} records deleted, all others that were acked are there, in {kept} segments");
    assert!(deleted > 4_000 * kills && kept > 0, "the drill kills runs that recycle");
}

/// The values that the producer of [`WORKLOAD`] sends.
struct Sent {
    /// The producer takes the values of its records from here, one after the other.
    pool: Pool,
    producer: u32,
}

impl Sent {
    fn new() -> Self {
        let study = parse_study(WORKLOAD, "drill.yaml", &[], Many::Refused, CAPABILITIES).unwrap();
        assert_eq!(u64::from(study.workload.partitions_per_topic), PARTITIONS);
        Self { pool: Pool::of(&study.workload).unwrap(), producer: sender(machine_number(), 0) }
    }

    /// Checks that `value` is record number `sequence` of a partition, byte for byte. Nobody knows the time in the stamp
    /// beforehand, so that is taken from the value itself. The check in the stamp covers it.
    #[track_caller]
    fn check(&mut self, partition: u32, sequence: u64, value: &[u8]) {
        let found = Stamp::decode(value, 0).unwrap();
        let number = sequence * PARTITIONS + u64::from(partition);
        let stamp = Stamp { sequence, producer: self.producer, ..found };
        let sent = self.pool.stamped(number as usize % self.pool.len(), stamp);
        assert!(
            value == sent.value,
            "record {sequence} of partition {partition} is not as it was sent: {value:?}"
        );
    }
}

/// Whether every partition has begun a segment in the file of an earlier segment.
fn have_recycled(data: &Path) -> bool {
    let dirs = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut dirs = dirs.peekable();
    // The first segments of a partition are new files of zeros.
    dirs.peek().is_some()
        && dirs.all(|dir| {
            let bases = fs::read_dir(dir).unwrap().filter_map(|entry| {
                entry.unwrap().file_name().to_str()?.strip_suffix(".log")?.parse::<u64>().ok()
            });
            bases.min().is_some_and(|base| base > 4_000)
        })
}

/// Kills a run some time after its first acks and after `is_ready`, and reads its ack log.
fn killed_run(dir: &Path, settings: &[&str], drill: u64, is_ready: fn(&Path) -> bool) -> Acked {
    let _alone = alone();
    let (file, acks) = (dir.join("drill.yaml"), dir.join("acks"));
    fs::write(&file, WORKLOAD).unwrap();
    let mut command = vnotch();
    command.arg("run").arg(&file).arg("--data-dir").arg(dir.join("data")).arg("--ack-log").arg(&acks);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.args(["-q", "-o"]).arg(dir.join("results"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let begun = Instant::now();
    while fs::metadata(&acks).map_or(0, |metadata| metadata.len()) == 0 || !is_ready(&dir.join("data")) {
        assert!(
            child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(30),
            "it acks something"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    // The delays are spread over a few rolls, and have no fixed relation to them.
    std::thread::sleep(Duration::from_micros(20_000 + drill * 37_137 % 400_000));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut acked = Acked::new();
    let text = fs::read_to_string(&acks).unwrap();
    // The batch of a line that the kill cut short was acked, but the line cannot be read.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [topic, partition, first, last] = fields[..] else { panic!("{line}") };
        let end = acked.entry((topic.to_owned(), partition.parse().unwrap())).or_default();
        assert_eq!(first.parse::<u64>().unwrap(), *end, "acks come in the order of offsets");
        *end = last.parse::<u64>().unwrap() + 1;
    }
    acked
}

/// Reopens the directory, consumes everything, and checks it. With one producer and no retries, a record's sequence is its
/// offset. Returns the number of deleted records.
fn check_with_own_reader(data: &Path, acked: &Acked) -> u64 {
    let (mut deleted, mut sent) = (0, Sent::new());
    let engine = Engine::open(EngineConfig { arena_bytes: 32 << 20, ..EngineConfig::new(data) }).unwrap();
    for ((topic, partition), acked_end) in acked {
        let described = engine.describe_topic(topic).unwrap().partitions[*partition as usize];
        let end = described.high_watermark as u64;
        assert!(end >= *acked_end, "{topic}-{partition}: {acked_end} were acked, {end} are there");
        let assignment = [(topic.as_str(), *partition, described.log_start_offset)];
        // Retention that was due at the kill continues after the open.
        let config = ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
        let mut consumer = engine.consumer(assignment, config).unwrap();
        let mut next = described.log_start_offset as u64;
        deleted += next;
        while next < end {
            let fetched = consumer.wait_fetch().unwrap();
            deleted += fetched.skipped;
            next += fetched.skipped;
            for record in fetched.records() {
                let record = record.unwrap();
                assert_eq!(record.offset as u64, next);
                sent.check(*partition, next, record.value.unwrap());
                next += 1;
            }
        }
    }
    engine.close().unwrap();
    deleted
}

/// Reads the segment files with the decoder of the `kafka-protocol` crate, and checks them. Returns their number.
fn check_with_kafka_decoder(data: &Path, acked: &Acked) -> u64 {
    let (mut segments, mut sent) = (0, Sent::new());
    for ((topic, partition), acked_end) in acked {
        let dir = data.join(format!("{topic}-{partition}"));
        let mut logs: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.sort();
        let named = |log: &Path| log.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
        let mut next = logs.first().map_or(0, |log| named(log));
        for log in &logs {
            segments += 1;
            let named = named(log);
            assert_eq!(named, next, "a segment begins where the one before ends");
            let bytes = fs::read(log).unwrap();
            let mut at = 0;
            // The last segment may end with reserved space that was never written.
            while at + 12 <= bytes.len() && bytes[at + 8..at + 12] != [0; 4] {
                let length = i32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
                let end = at + 12 + length as usize;
                let mut batch = bytes::Bytes::copy_from_slice(&bytes[at..end]);
                let set = RecordBatchDecoder::decode(&mut batch).unwrap();
                for record in set.records {
                    assert_eq!(record.offset as u64, next);
                    sent.check(*partition, next, &record.value.unwrap());
                    next += 1;
                }
                at = end;
            }
        }
        assert!(next >= *acked_end, "{topic}-{partition}: {acked_end} were acked, {next} are in the files");
    }
    segments
}

fn data_files(data: &Path, suffix: &str) -> usize {
    let dirs = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = dirs.flat_map(|dir| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()));
    files.filter(|name| name.to_string_lossy().ends_with(suffix)).count()
}
