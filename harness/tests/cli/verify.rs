//! `vnotch verify`: the exit code says whether the directory is sound, and every defect has a file and a byte.

use crate::support::{disk, end, vnotch};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;

fn open(dir: &Path) -> Engine {
    Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(dir) }).unwrap()
}

/// Returns a closed data directory with a hundred records.
fn data() -> TempDir {
    let dir = disk();
    let _alone = crate::support::alone();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    append(&engine);
    engine.close().unwrap();
    dir
}

/// Appends a hundred records.
fn append(engine: &Engine) {
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    for _ in 0..100 {
        producer.try_send(None, &RecordRef { value: Some(&[7; 100]), ..RecordRef::default() }).unwrap();
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
}

fn log(dir: &Path) -> PathBuf {
    dir.join("t-0/00000000000000000000.log")
}

fn damage(dir: &Path) {
    let path = log(dir);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn verify(dir: &Path) -> Command {
    let mut command = vnotch();
    command.arg("verify").arg(dir);
    command
}

#[test]
fn a_sound_directory_is_exit_0_with_a_table() {
    let dir = data();
    let text = end(&mut verify(dir.path())).success();
    assert!(text.contains("t-0") && text.contains("0..100") && text.ends_with("No damage.\n"), "{text}");
    assert_eq!(end(verify(dir.path()).arg("-q")).success(), "");
}

/// Writes 700 bytes behind the last batch of a log that was not closed.
fn write_behind_the_end(dir: &Path) {
    let _alone = crate::support::alone();
    let engine = open(dir);
    let topic =
        TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 100 << 10, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    append(&engine);
    drop(engine);
    let bytes = std::fs::read(log(dir)).unwrap();
    let batches = vnotch_engine::record::batches(&bytes).map_while(Result::ok);
    let valid_bytes: u64 = batches.map(|batch| batch.bytes().len() as u64).sum();
    let file = std::fs::File::options().write(true).open(log(dir)).unwrap();
    file.write_all_at(&[b'v'; 700], valid_bytes).unwrap();
}

#[test]
fn bytes_that_may_be_damage_or_unfinished_writes_are_counted_in_both_formats() {
    let dir = disk();
    write_behind_the_end(dir.path());
    let text = end(&mut verify(dir.path())).success();
    assert!(
        text.contains("\n700 B after the last valid batches may be the unfinished last writes"),
        "{text}"
    );
    let json = end(verify(dir.path()).args(["--format", "json"])).success();
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["partitions"][0]["unjudged_bytes"], 700);
}

#[test]
fn a_defect_is_exit_6_with_file_and_byte_in_both_formats() {
    let dir = data();
    damage(dir.path());
    let ended = end(&mut verify(dir.path()));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""));
    assert!(ended.stdout.contains("t-0/00000000000000000000.log at byte 0\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("CRC mismatch"), "{}", ended.stdout);
    let ended = end(verify(dir.path()).args(["--format", "json"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""));
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&document["kind"], &document["is_sound"]), (&"verify".into(), &false.into()));
    let defect = &document["defects"][0];
    assert_eq!(defect["kind"], "batch");
    assert_eq!(defect["path"], std::path::absolute(log(dir.path())).unwrap().to_str().unwrap());
    assert_eq!(defect["position"], 0);
    assert_eq!(document["partitions"][0]["segments"], 1);
}

/// Returns a closed data directory with several segments, and their files, oldest first.
fn segmented() -> (TempDir, Vec<PathBuf>) {
    let dir = disk();
    let _alone = crate::support::alone();
    let engine = open(dir.path());
    let topic =
        TopicConfig { segment_bytes: 1 << 20, max_message_bytes: 100 << 10, ..TopicConfig::default() };
    engine.create_topic("t", 1, topic).unwrap();
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    for _ in 0..80 {
        producer.try_send(None, &RecordRef { value: Some(&[7; 50_000]), ..RecordRef::default() }).unwrap();
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
    drop(producer);
    engine.close().unwrap();
    let names = std::fs::read_dir(dir.path().join("t-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> =
        names.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    logs.sort();
    assert!(logs.len() >= 4);
    (dir, logs)
}

#[test]
fn every_kind_of_damage_is_exit_6_with_its_place_and_what_to_do() {
    type Damage = fn(&Path);
    let cases: [(&str, &str, Damage); 4] = [
        ("truncated", "log", |log| {
            std::fs::File::options().write(true).open(log).unwrap().set_len(300_000).unwrap();
        }),
        ("index_missing", "index", |log| std::fs::remove_file(log.with_extension("index")).unwrap()),
        ("foreign_file", "txt", |log| std::fs::write(log.with_extension("txt"), "notes").unwrap()),
        ("segment_missing", "log", |log| {
            for extension in ["log", "index", "timeindex"] {
                std::fs::remove_file(log.with_extension(extension)).unwrap();
            }
        }),
    ];
    for (kind, extension, damage) in cases {
        let (dir, logs) = segmented();
        damage(&logs[1]);
        let place = logs[1].with_extension(extension);
        let place = Path::new("t-0").join(place.file_name().unwrap());
        let ended = end(&mut verify(dir.path()));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""), "{kind}");
        assert!(ended.stdout.contains(place.to_str().unwrap()), "{kind}: {}", ended.stdout);
        let advice = match kind {
            "foreign_file" => "move them elsewhere",
            "index_missing" => "Missing indexes: nothing has to be done",
            _ => "can only be restored from a copy",
        };
        assert!(
            !ended.stdout.contains("No damage.") && ended.stdout.contains(advice),
            "{kind}: {}",
            ended.stdout
        );
        let ended = end(verify(dir.path()).args(["--format", "json"]));
        let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let defects = document["defects"].as_array().unwrap();
        let of_kind = defects.iter().find(|defect| defect["kind"] == kind);
        let path = of_kind.unwrap_or_else(|| panic!("{kind} among {defects:?}"))["path"].as_str().unwrap();
        assert!(Path::new(path).ends_with(&place), "{kind}: {path}");
    }
}

#[test]
fn what_is_no_data_directory_is_a_usage_error() {
    let dir = disk();
    let empty = end(&mut verify(dir.path())).refusal(2);
    assert!(empty.contains("is not a vnotch data directory"), "{empty}");
    let missing = end(&mut verify(&dir.path().join("missing"))).refusal(2);
    assert!(missing.contains("there is no directory"), "{missing}");
    assert!(crate::support::is_empty(dir.path()));
}

#[test]
fn a_directory_in_use_is_refused_with_exit_1() {
    let dir = data();
    let engine = open(dir.path());
    let refused = end(&mut verify(dir.path())).refusal(1);
    assert!(refused.contains("is in use by another process; stop it, then verify"), "{refused}");
    engine.close().unwrap();
    end(&mut verify(dir.path())).success();
}
