//! `vnotch repair`: it prints its plan, changes files only with `--yes`, and its exit code tells the two apart.

use crate::support::{disk, end, vnotch};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::RecordRef;

const LOG: &str = "00000000000000000000.log";

fn open(dir: &Path) -> Engine {
    Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(dir) }).unwrap()
}

fn produce(engine: &Engine) {
    let config = ProducerConfig { linger: None, batch_records_max: 10, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    for _ in 0..100 {
        producer.try_send(Some(0), &RecordRef { value: Some(&[7; 100]), ..RecordRef::default() }).unwrap();
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
}

/// Returns a closed data directory with a hundred records in ten batches.
fn data() -> TempDir {
    let dir = disk();
    let _alone = crate::support::alone();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    produce(&engine);
    engine.close().unwrap();
    dir
}

/// Flips a bit of the fourth batch. Returns the byte at which the batch begins.
fn damage(dir: &Path) -> usize {
    let path = dir.join("t-0").join(LOG);
    let mut bytes = std::fs::read(&path).unwrap();
    let batches = vnotch_engine::record::batches(&bytes).take(3);
    let start = batches.map(|batch| batch.unwrap().bytes().len()).sum();
    bytes[start + 70] ^= 1;
    std::fs::write(path, bytes).unwrap();
    start
}

fn image(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in dir.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            all.extend(image(&path));
        } else {
            all.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    all
}

fn repair(dir: &Path) -> Command {
    let mut command = vnotch();
    command.arg("repair").arg(dir);
    command
}

#[test]
fn a_sound_directory_is_exit_0_and_left_alone() {
    let dir = data();
    let before = image(dir.path());
    assert_eq!(end(&mut repair(dir.path())).success(), "Nothing to repair.\n");
    assert_eq!(end(repair(dir.path()).args(["--yes", "-q"])).success(), "");
    let text = end(repair(dir.path()).args(["--yes", "--format", "json"])).success();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["is_sound"], &document["repaired"]), (&true.into(), &false.into()));
    assert!(image(dir.path()) == before);
}

#[test]
fn damage_is_exit_6_and_shown_and_with_yes_it_is_repaired() {
    let dir = data();
    let start = damage(dir.path());
    let before = image(dir.path());
    let ended = end(&mut repair(dir.path()));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""));
    assert!(ended.stdout.contains(&format!("would cut the log at offset 30, byte {start} of t-0/{LOG}")));
    assert!(ended.stdout.contains("to removed-by-repair/1/t-0, with 60 records"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("Add --yes to carry out this plan.\n"), "{}", ended.stdout);
    let ended = end(repair(dir.path()).args(["--format", "json"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""));
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&document["kind"], &document["repaired"]), (&"repair".into(), &false.into()));
    let partition = &document["partitions"][0];
    assert_eq!(partition["damage"], serde_json::json!({ "segment": 0, "position": start, "offset": 30 }));
    assert_eq!((&partition["topic"], &partition["removed"]["records"]), (&"t".into(), &60.into()));
    assert_eq!(partition["changes"][0]["cut"]["offset"], 30);
    assert!(image(dir.path()) == before, "nothing was changed");

    let text = end(repair(dir.path()).arg("--yes")).success();
    assert!(text.contains(&format!("\n  cut the log at offset 30, byte {start} of t-0/{LOG}")), "{text}");
    let path = dir.path().join("t-0").join(LOG);
    let tail = std::fs::read(dir.path().join(format!("removed-by-repair/1/t-0/{LOG}.from-{start}"))).unwrap();
    assert!(before[&path] == [std::fs::read(path).unwrap(), tail].concat(), "no byte is lost");
    assert_eq!(end(repair(dir.path()).arg("--yes")).success(), "Nothing to repair.\n");
    {
        let _alone = crate::support::alone();
        let engine = open(dir.path());
        assert!(engine.damaged().is_empty());
        produce(&engine);
        assert_eq!(engine.describe_topic("t").unwrap().partitions[0].log_end_offset, 130);
        engine.close().unwrap();
    }
    let mut verify = vnotch();
    let text = end(verify.arg("verify").arg(dir.path())).success();
    assert!(text.contains("moved away by `vnotch repair`") && text.contains("0..130"), "{text}");
}

#[test]
fn a_lost_catalog_is_made_again_in_json_too() {
    let dir = data();
    std::fs::remove_file(dir.path().join("catalog.json")).unwrap();
    let ended = end(&mut repair(dir.path()));
    assert_eq!(ended.code, Some(6));
    assert!(ended.stdout.contains("catalog.json: it is missing"), "{}", ended.stdout);
    assert!(ended.stdout.contains("t (1 partition)"), "{}", ended.stdout);
    let text = end(repair(dir.path()).args(["--yes", "--format", "json"])).success();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["repaired"], &document["catalog"]["topics"]["t"]), (&true.into(), &1.into()));
    let mut verify = vnotch();
    end(verify.arg("verify").arg(dir.path())).success();
}

#[test]
fn what_cannot_be_repaired_is_a_usage_error_that_says_what_to_do() {
    let dir = disk();
    let empty = end(&mut repair(dir.path())).refusal(2);
    assert!(empty.contains("is not a vnotch data directory"), "{empty}");
    assert!(crate::support::is_empty(dir.path()));
    let missing = end(&mut repair(&dir.path().join("missing"))).refusal(2);
    assert!(missing.contains("there is no directory"), "{missing}");
    let dir = data();
    std::fs::remove_file(dir.path().join("meta.properties")).unwrap();
    let meta = end(&mut repair(dir.path())).refusal(2);
    assert!(meta.contains("`version=2`"), "{meta}");
}

#[test]
fn a_directory_in_use_is_refused_with_exit_1() {
    let dir = data();
    let engine = open(dir.path());
    let refused = end(repair(dir.path()).arg("--yes")).refusal(1);
    assert!(refused.contains("is in use by another process; stop it, then repair"), "{refused}");
    engine.close().unwrap();
}
