//! `vnotch verify`: sound or not is an exit code, and every defect has a place.

use crate::support::{disk, end, vnotch};
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

/// A closed data directory with a hundred records.
fn data() -> TempDir {
    let dir = disk();
    let _alone = crate::support::alone();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    let mut producer = engine.producer("t", ProducerConfig::default()).unwrap();
    for _ in 0..100 {
        producer.try_send(None, &RecordRef { value: Some(&[7; 100]), ..RecordRef::default() }).unwrap();
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
    drop(producer);
    engine.close().unwrap();
    dir
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
    assert!(text.contains("t-0") && text.contains("0..100") && text.ends_with("Sound.\n"), "{text}");
    assert_eq!(end(verify(dir.path()).arg("-q")).success(), "");
}

#[test]
fn a_defect_is_exit_6_with_file_and_byte_in_both_formats() {
    let dir = data();
    damage(dir.path());
    let ended = end(&mut verify(dir.path()));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""));
    assert!(ended.stdout.contains("t-0/00000000000000000000.log:0\n"), "{}", ended.stdout);
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

#[test]
fn what_is_no_data_directory_is_a_usage_error() {
    let dir = disk();
    let empty = end(&mut verify(dir.path())).refusal(2);
    assert!(empty.contains("is not a vnotch data directory"), "{empty}");
    let missing = end(&mut verify(&dir.path().join("missing"))).refusal(2);
    assert!(missing.contains("does not exist"), "{missing}");
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
