//! A real file system that becomes full. It is a small one that each test mounts in its own namespace.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use vnotch_engine::client::{ConsumerConfig, ProducerConfig};
use vnotch_engine::config::{EngineConfig, TopicChanges, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::{AppendError, TopicError};
use vnotch_engine::record::{BatchBuilder, RecordRef};
use vnotch_engine::types::{Durability, IoMode, Preallocate};

/// Environment variable with the path of the small file system. It is set in the process that uses it.
const MOUNTED: &str = "VNOTCH_FULL_DISK";

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the test of this name again, alone, with a tmpfs of 32 MiB. Only that process sees the tmpfs, and it is removed when the
/// process ends. Returns the path of the tmpfs in that second run, else `None`.
fn on_small_disk(test: &str) -> Option<PathBuf> {
    if let Some(mounted) = std::env::var_os(MOUNTED) {
        return Some(mounted.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = ["-rm", "mount", "-t", "tmpfs", "-o", "size=32m", "none"];
    let is_possible = Command::new("unshare").args(mount).arg(dir.path()).output();
    if !is_possible.is_ok_and(|output| output.status.success()) {
        // Written directly to standard error, because the test harness would hide it. A test that did not run must not look
        // like a test that passed.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED {test}: `unshare -rm mount -t tmpfs` is not possible here");
        return None;
    }
    let script = r#"mount -t tmpfs -o size=32m none "$1" && shift && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(dir.path()).arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(MOUNTED, dir.path()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("1 passed"), "{test} is not the test's name: {stdout}");
    None
}

fn open(dir: &Path, io: IoMode) -> Engine {
    let data_dir = dir.join("data");
    Engine::open(EngineConfig { arena_bytes: 16 << 20, io, ..EngineConfig::new(&data_dir) }).unwrap()
}

/// Fills the rest of the file system, as another process might. Returns the file that takes the space.
fn take_the_rest(dir: &Path) -> PathBuf {
    let path = dir.join("others");
    let mut file = File::create(&path).unwrap();
    let block = vec![1; 4096];
    while file.write_all(&block).is_ok() {}
    path
}

/// Sends records, numbered from `next` on, and adds those that were acked to `acked`. Ends once a record is refused, or with
/// `refused` false once one is acked.
fn send_until(engine: &Engine, next: &mut u64, acked: &mut Vec<(i64, u64)>, refused: bool) {
    let config = ProducerConfig { linger: None, batch_records_max: 1, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    let begun = Instant::now();
    loop {
        assert!(
            begun.elapsed() < PATIENCE,
            "still none that is {}",
            if refused { "refused" } else { "acked" }
        );
        // Each record has another size, by which its ack is recognised.
        let mut sent = BTreeMap::new();
        for extra in 0..16 {
            let mut value = vec![7; 20_000 + extra];
            value[..8].copy_from_slice(&next.to_be_bytes());
            let record = RecordRef { value: Some(&value), ..RecordRef::default() };
            let mut builder = BatchBuilder::new();
            builder.push(&record).unwrap();
            sent.insert(builder.finish().bytes.len(), *next);
            producer.try_send(Some(0), &record).unwrap();
            *next += 1;
        }
        let mut has_ended = false;
        let mut answered = None;
        for ack in producer.wait_all() {
            let number = sent.remove(&ack.bytes).expect("each is answered once");
            assert!(answered.replace(number) < Some(number), "answers come in order");
            match ack.result {
                Ok(offset) => {
                    acked.push((offset, number));
                    has_ended |= !refused;
                }
                Err(error) => {
                    assert!(matches!(error, AppendError::NoSpace(_)), "{error}");
                    assert!(error.to_string().contains("retention_bytes"), "it says what to do: {error}");
                    has_ended |= refused;
                }
            }
        }
        assert!(sent.is_empty(), "not answered: {sent:?}");
        if has_ended {
            return;
        }
    }
}

/// Reads the whole log, and checks that it holds exactly the acked records that retention has not deleted, each at its offset.
fn read_all(engine: &Engine, acked: &[(i64, u64)]) {
    let from = engine.describe_topic("t").unwrap().partitions[0].log_start_offset;
    let mut consumer = engine.consumer([("t", 0, from)], ConsumerConfig::default()).unwrap();
    let mut expected = acked[usize::try_from(from).unwrap()..].iter();
    while expected.len() > 0 {
        for record in consumer.wait_fetch().unwrap().records() {
            let record = record.unwrap();
            let number = u64::from_be_bytes(*record.value.unwrap().first_chunk().unwrap());
            assert_eq!(Some(&(record.offset, number)), expected.next());
        }
    }
    let described = engine.describe_topic("t").unwrap().partitions[0];
    assert_eq!(described.high_watermark, i64::try_from(acked.len()).unwrap());
    assert_eq!(described.log_end_offset, described.high_watermark);
}

fn topic(durability: Durability, preallocate: Preallocate) -> TopicConfig {
    TopicConfig { durability, preallocate, segment_bytes: 4 << 20, ..TopicConfig::default() }
}

#[test]
fn appends_are_refused_while_the_disk_is_full_and_resume_by_themselves() {
    let test = "appends_are_refused_while_the_disk_is_full_and_resume_by_themselves";
    let Some(dir) = on_small_disk(test) else { return };
    for io in [IoMode::Direct, IoMode::Buffered] {
        for durability in [Durability::Written, Durability::Synced] {
            for preallocate in [Preallocate::None, Preallocate::Fallocate] {
                let engine = open(&dir, io);
                engine.create_topic("t", 1, topic(durability, preallocate)).unwrap();
                let (mut next, mut acked) = (0, Vec::new());
                send_until(&engine, &mut next, &mut acked, false);
                let others = take_the_rest(&dir);
                send_until(&engine, &mut next, &mut acked, true);
                read_all(&engine, &acked);
                std::fs::remove_file(others).unwrap();
                send_until(&engine, &mut next, &mut acked, false);
                let sent: BTreeSet<u64> = acked.iter().map(|(_, number)| *number).collect();
                assert_eq!(sent.len(), acked.len());
                read_all(&engine, &acked);
                engine.close().unwrap();
                let engine = open(&dir, io);
                read_all(&engine, &acked);
                engine.close().unwrap();
                std::fs::remove_dir_all(dir.join("data")).unwrap();
            }
        }
    }
}

#[test]
fn retention_makes_room_on_a_disk_that_is_full() {
    let test = "retention_makes_room_on_a_disk_that_is_full";
    let Some(dir) = on_small_disk(test) else { return };
    for preallocate in [Preallocate::Fallocate, Preallocate::Auto, Preallocate::Recycle] {
        let engine = open(&dir, IoMode::Direct);
        engine.create_topic("t", 1, topic(Durability::Written, preallocate)).unwrap();
        let acked = send_until_retention_makes_room(&engine);
        // Retention must not delete while the log is read.
        retain(&engine, None);
        let described = engine.describe_topic("t").unwrap().partitions[0];
        // Retention by age may have deleted the last segment too, though nobody appends.
        assert!(0 < described.log_start_offset && described.log_start_offset <= described.log_end_offset);
        assert_eq!(described.log_end_offset, i64::try_from(acked.len()).unwrap());
        read_all(&engine, &acked);
        engine.close().unwrap();
        let engine = open(&dir, IoMode::Direct);
        read_all(&engine, &acked);
        engine.close().unwrap();
        std::fs::remove_dir_all(dir.join("data")).unwrap();
    }
}

fn retain(engine: &Engine, retention_ms: Option<u64>) {
    let changes = TopicChanges { retention_ms: Some(retention_ms), ..TopicChanges::default() };
    engine.alter_topic("t", changes).unwrap();
}

/// Sends records until the disk is full, lets retention delete the old ones, and continues until a record is acked again.
/// Returns the acked records.
fn send_until_retention_makes_room(engine: &Engine) -> Vec<(i64, u64)> {
    let (mut number, mut acked) = (0_u64, Vec::new());
    // Retention deletes records by their timestamp, so each gets the current time.
    let config = ProducerConfig { linger: None, batch_records_max: 1, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    let begun = Instant::now();
    let (mut refusals, mut resumed) = (0_u32, false);
    while !resumed {
        assert!(begun.elapsed() < PATIENCE, "{refusals} refused, and retention made no room");
        let mut value = vec![7; 200_000];
        value[..8].copy_from_slice(&number.to_be_bytes());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let timestamp_ms = i64::try_from(now.as_millis()).unwrap();
        let record = RecordRef { timestamp_ms, value: Some(&value), ..RecordRef::default() };
        producer.try_send(Some(0), &record).unwrap();
        match producer.wait_all().pop().unwrap().result {
            Ok(offset) => {
                assert_eq!(offset, i64::try_from(acked.len()).unwrap());
                acked.push((offset, number));
                resumed = refusals > 0;
            }
            Err(error) => {
                assert!(matches!(error, AppendError::NoSpace(_)), "{error}");
                refusals += 1;
                retain(engine, Some(1));
            }
        }
        number += 1;
    }
    acked
}

#[test]
fn a_topic_that_finds_no_space_is_not_there_at_all() {
    let test = "a_topic_that_finds_no_space_is_not_there_at_all";
    let Some(dir) = on_small_disk(test) else { return };
    let engine = open(&dir, IoMode::Direct);
    let names = || {
        let entries = std::fs::read_dir(dir.join("data")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<BTreeSet<_>>()
    };
    let config = topic(Durability::Written, Preallocate::Fallocate);
    let before = names();
    let others = take_the_rest(&dir);
    // Begin with no room at all, and add a block at a time until there is enough.
    let mut refusals = 0;
    loop {
        let file = File::options().write(true).open(&others).unwrap();
        let bytes = file.metadata().unwrap().len() / 4096 * 4096;
        file.set_len(bytes - if refusals == 0 { 0 } else { 4096 }).unwrap();
        let Err(refused) = engine.create_topic("t", 8, config.clone()) else { break };
        assert!(matches!(refused, TopicError::NoSpace(_)), "{refused}");
        assert!(engine.list_topics().is_empty());
        assert!(names().iter().all(|name| !name.starts_with("t-")), "{:?}", names());
        refusals += 1;
    }
    assert!(refusals > 0, "without any room there is no topic");
    std::fs::remove_file(others).unwrap();
    let (mut next, mut acked) = (0, Vec::new());
    send_until(&engine, &mut next, &mut acked, false);
    read_all(&engine, &acked);
    engine.close().unwrap();
    let engine = open(&dir, IoMode::Direct);
    assert_eq!(engine.list_topics(), ["t"]);
    engine.delete_topic("t").unwrap();
    assert_eq!(names().difference(&before).filter(|name| name.starts_with("t-")).count(), 0);
    engine.close().unwrap();
}
