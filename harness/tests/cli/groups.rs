//! `vnotch groups`: the groups of a data directory as text and as JSON, and the internal topic under `dump` and `verify`.

use crate::support::{disk, end, vnotch};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::group::{
    Assignment, CommittedOffset, GroupRecord, GroupValue, MemberValue, OFFSETS_TOPIC, OffsetKey,
};
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::TopicPartition;

/// Name under which the internal topic is written, because no caller may create it.
const STAND_IN: &str = "offsets";

/// Key and value of a record.
type Bytes = (Option<Vec<u8>>, Option<Vec<u8>>);

fn open(dir: &Path) -> Engine {
    Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(dir) }).unwrap()
}

/// Appends each record as a batch.
fn append(engine: &Engine, topic: &str, records: &[Bytes]) {
    let config = ProducerConfig { linger: None, batch_records_max: 1, ..ProducerConfig::default() };
    let mut producer = engine.producer(topic, config).unwrap();
    for (key, value) in records {
        let record = RecordRef { key: key.as_deref(), value: value.as_deref(), ..RecordRef::default() };
        producer.try_send(None, &record).unwrap();
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
}

fn commit(group: &str, partition: i32, offset: i64) -> GroupRecord {
    let key = OffsetKey { group: group.into(), topic: "orders".into(), partition };
    let metadata = "by\u{1b}hand".to_owned();
    let value = CommittedOffset {
        offset,
        leader_epoch: 1,
        metadata,
        committed_ms: 1_700_000_000_000,
        expires_ms: None,
    };
    GroupRecord::Offset { key, value: Some(value) }
}

/// Returns a generation of the group `billing`, whose only member reads `orders-0`.
fn generation() -> GroupRecord {
    let partitions = vec![TopicPartition { topic: "orders".into(), partition: 0 }];
    let member = MemberValue {
        id: "bench0-1".into(),
        instance_id: None,
        client_id: "bench0".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        subscription: Vec::new().into(),
        assignment: Assignment { partitions, user_data: None }.encode(3).into(),
    };
    let value = GroupValue {
        protocol_type: "consumer".into(),
        generation: 4,
        protocol: Some("range".into()),
        leader: Some("bench0-1".into()),
        since_ms: Some(1),
        members: vec![member],
    };
    GroupRecord::Group { group: "billing".into(), value: Some(value) }
}

/// Returns a closed data directory with ten records in `orders-0`, and with `records` in the internal topic. If
/// `is_damaged`, a record follows that does not decode.
fn data(records: &[GroupRecord], is_damaged: bool) -> TempDir {
    let dir = disk();
    let _alone = crate::support::alone();
    let engine = open(dir.path());
    engine.create_topic("orders", 1, TopicConfig::default()).unwrap();
    append(&engine, "orders", &vec![(None, Some(b"weir".to_vec())); 10]);
    engine.create_topic(STAND_IN, 1, TopicConfig::default()).unwrap();
    let encoded = records.iter().map(GroupRecord::encode);
    let mut bytes: Vec<_> = encoded.map(|record| (Some(record.key), record.value)).collect();
    if is_damaged {
        bytes.push((Some(vec![0, 2, 0, 9, b'x']), None));
    }
    append(&engine, STAND_IN, &bytes);
    engine.close().unwrap();
    std::fs::rename(dir.path().join(format!("{STAND_IN}-0")), dir.path().join(format!("{OFFSETS_TOPIC}-0")))
        .unwrap();
    let catalog = dir.path().join("catalog.json");
    let text = std::fs::read_to_string(&catalog).unwrap();
    let (_, json) = text.split_once('\n').unwrap();
    let json = json.strip_suffix('\n').unwrap();
    let json = json.replace(&format!("\"{STAND_IN}\""), &format!("\"{OFFSETS_TOPIC}\""));
    std::fs::write(catalog, format!("{:08x}\n{json}\n", crc_fast::crc32_iscsi(json.as_bytes()))).unwrap();
    dir
}

fn log(dir: &Path) -> PathBuf {
    dir.join(format!("{OFFSETS_TOPIC}-0/00000000000000000000.log"))
}

fn run(verb: &str, path: &Path) -> Command {
    let mut command = vnotch();
    command.arg(verb).arg(path);
    command
}

#[test]
fn groups_are_listed_with_owner_commit_end_and_lag() {
    let dir = data(&[commit("billing", 0, 7), generation(), commit("audit", 0, 2)], false);
    let text = end(&mut run("groups", dir.path())).success();
    assert!(text.contains("billing  Stable, 1 member, generation 4, protocol range\n"), "{text}");
    assert!(text.contains("audit  Empty, no members\n"), "{text}");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("orders-0"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let time = ["2023-11-14", "22:13:20"];
    let audit = [&["orders-0", "2", "10", "8", "1"][..], &time, &["-", "-", "-", "by\\u{1b}hand"]].concat();
    let billing = [&["orders-0", "7", "10", "3", "1"][..], &time];
    let billing = [&billing.concat()[..], &["bench0", "/127.0.0.1", "bench0-1", "by\\u{1b}hand"]].concat();
    assert_eq!(rows, [audit, billing]);
    assert!(text.ends_with("\n2 groups, 2 committed offsets.\n"), "{text}");
    let text = end(run("groups", dir.path()).args(["-q", "--group", "audit"])).success();
    assert!(text.starts_with("audit  Empty") && !text.contains("billing"), "{text}");
}

#[test]
fn json_has_every_group_or_the_one_that_is_named() {
    let dir = data(&[commit("billing", 0, 7), generation(), commit("audit", 0, 99)], false);
    let text = end(run("groups", dir.path()).args(["--format", "json"])).success();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["kind"], &document["is_sound"]), (&"groups".into(), &true.into()));
    let [audit, billing] = &document["groups"].as_array().unwrap()[..] else { panic!("{text}") };
    assert_eq!((&billing["group"], &billing["state"]), (&"billing".into(), &"Stable".into()));
    assert_eq!(billing["members"][0]["client_host"], "/127.0.0.1");
    let partition = &billing["partitions"][0];
    assert_eq!((&partition["lag"], &partition["log_end_offset"]), (&3.into(), &10.into()));
    assert_eq!(partition["owners"][0]["member_id"], "bench0-1");
    assert_eq!((&partition["committed"]["offset"], &partition["mark"]), (&7.into(), &Value::Null));
    assert_eq!(partition["committed"]["metadata"], "by\u{1b}hand");
    assert_eq!(
        (&audit["partitions"][0]["mark"], &audit["partitions"][0]["lag"]),
        (&"beyond_end".into(), &Value::Null)
    );
    let text = end(run("groups", dir.path()).args(["--format", "json", "--group", "billing"])).success();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["groups"].as_array().unwrap().len(), 1);
}

#[test]
fn a_directory_without_groups_says_so_and_a_name_that_is_none_is_exit_2() {
    let dir = data(&[], false);
    let text = end(&mut run("groups", dir.path())).success();
    assert!(
        text.ends_with("\nNo consumer groups: the directory holds no record of one that can be read.\n"),
        "{text}"
    );
    let ended = end(run("groups", dir.path()).args(["--group", "billing"]));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("has no group `billing`"), "{}", ended.stderr);
    let ended = end(&mut run("groups", &dir.path().join("orders-0")));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("is not a vnotch data directory"), "{}", ended.stderr);
}

#[test]
fn an_open_directory_is_refused_as_verify_refuses_it() {
    let dir = disk();
    let engine = open(dir.path());
    let groups = end(&mut run("groups", dir.path()));
    let verify = end(&mut run("verify", dir.path()));
    engine.close().unwrap();
    assert_eq!((groups.code, groups.stdout.as_str()), (Some(1), ""));
    assert!(groups.stderr.contains("is in use by another process"), "{}", groups.stderr);
    assert_eq!(groups.stderr, verify.stderr);
}

#[test]
fn a_damaged_record_is_exit_6_with_file_and_byte_under_groups_verify_and_dump() {
    let dir = data(&[commit("billing", 0, 7)], true);
    let place = format!("defect  {OFFSETS_TOPIC}-0/00000000000000000000.log at byte ");
    for verb in ["groups", "verify"] {
        let ended = end(&mut run(verb, dir.path()));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""), "{verb}");
        assert!(ended.stdout.contains(&place), "{}", ended.stdout);
        assert!(
            ended.stdout.contains("the record of offset 1 is no record of a consumer group"),
            "{}",
            ended.stdout
        );
    }
    let text = end(&mut run("groups", dir.path())).stdout;
    assert!(text.contains("billing  Empty") && text.contains("1 group, 1 committed offset."), "{text}");
    let ended = end(run("dump", &log(dir.path())).arg("--records"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""));
    assert!(ended.stdout.contains("finding at byte "), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("the record of offset 1 is no record of a consumer group"),
        "{}",
        ended.stdout
    );
}

#[test]
fn commits_that_fit_no_log_are_notes_of_verify() {
    let dir = data(&[commit("billing", 0, 99), commit("billing", 5, 1)], false);
    let text = end(&mut run("verify", dir.path())).success();
    assert!(
        text.contains("group billing has committed offset 99 of orders-0, whose log ends at 10"),
        "{text}"
    );
    assert!(text.contains("partitions that topic orders does not have: 5"), "{text}");
    let last =
        "No damage.\n2 notes on committed offsets that fit no log: that is no damage, and stays as it is.\n";
    assert!(text.ends_with(last), "{text}");
}

#[test]
fn dump_shows_the_records_of_groups_decoded() {
    let dir = data(&[commit("billing", 0, 7), generation()], false);
    let text = end(run("dump", &log(dir.path())).args(["--records", "--bytes", "0"])).success();
    let decoded: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(" decoded: ")).map(|(_, decoded)| decoded).collect();
    let expected = [
        "offset_commit group=billing topic=orders partition=0 → offset=7 leaderEpoch=1 metadata=by\\u{1b}hand \
         commitTimestamp=1700000000000",
        "group_metadata group=billing → protocolType=consumer generation=4 protocol=range leader=bench0-1 \
         members=[bench0-1(clientId=bench0 clientHost=/127.0.0.1 assigned=orders-0)]",
    ];
    assert_eq!(decoded, expected);
    let text = end(run("dump", &log(dir.path())).args(["--records", "--format", "json"])).success();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let decoded: Vec<Value> = lines.map(|line| line["decoded"].clone()).filter(|it| !it.is_null()).collect();
    assert_eq!((&decoded[0]["type"], &decoded[0]["value"]["offset"]), (&"offset_commit".into(), &7.into()));
    assert_eq!(decoded[1]["value"]["members"][0]["assigned"][0], "orders-0");
}
