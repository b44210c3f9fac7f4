//! Consumer groups in a data directory: what `groups` lists, and what verification says about their records.

use crate::rig::{batch_starts, check, flip, new_dir, open, topic};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::group::{
    Assignment, CommittedOffset, GroupRecord, GroupValue, MemberValue, OFFSETS_TOPIC, OffsetKey,
};
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::TopicPartition;
use vnotch_engine::verify::{
    DefectKind, GroupReport, GroupsReport, NoteKind, PartitionMark, VerifyError, groups,
};

/// Name under which the internal topic is written, because no caller may create it.
const STAND_IN: &str = "offsets";

/// Key and value of a record.
type Bytes = (Option<Vec<u8>>, Option<Vec<u8>>);

fn bytes(record: &GroupRecord) -> Bytes {
    let encoded = record.encode();
    (Some(encoded.key), encoded.value)
}

fn commit(group: &str, topic: &str, partition: i32, offset: i64) -> Bytes {
    let key = OffsetKey { group: group.into(), topic: topic.into(), partition };
    let value = CommittedOffset {
        offset,
        leader_epoch: if offset == 0 { -1 } else { 1 },
        metadata: "m".into(),
        committed_ms: 1_700_000_000_000,
        expires_ms: None,
    };
    bytes(&GroupRecord::Offset { key, value: Some(value) })
}

fn member(id: &str, assignment: Vec<u8>) -> MemberValue {
    MemberValue {
        id: id.into(),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        subscription: Vec::new().into(),
        assignment: assignment.into(),
    }
}

fn generation(group: &str, members: Vec<MemberValue>) -> Bytes {
    let value = GroupValue {
        protocol_type: "consumer".into(),
        generation: 4,
        protocol: Some("range".into()),
        leader: members.first().map(|member| member.id.clone()),
        since_ms: Some(1),
        members,
    };
    bytes(&GroupRecord::Group { group: group.into(), value: Some(value) })
}

fn assignment(partitions: &[u32]) -> Vec<u8> {
    let partition = |number: &u32| TopicPartition { topic: "t".into(), partition: *number };
    Assignment { partitions: partitions.iter().map(partition).collect(), user_data: None }.encode(3)
}

/// Appends each of `records` as a batch.
fn append(engine: &Engine, topic: &str, partition: u32, records: &[Bytes]) {
    let config = ProducerConfig { linger: None, batch_records_max: 1, ..ProducerConfig::default() };
    let mut producer = engine.producer(topic, config).unwrap();
    for (key, value) in records {
        let record = RecordRef { key: key.as_deref(), value: value.as_deref(), ..RecordRef::default() };
        producer.try_send(Some(partition), &record).unwrap();
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
}

/// Returns a directory with 10 records in `t-0` and none in `t-1`, and with `records` in partition 1 of the internal topic.
fn data(records: &[Bytes]) -> TempDir {
    let dir = unclosed(records);
    open(dir.path()).close().unwrap();
    name_internal_topic(dir.path());
    dir
}

/// Returns the same directory as an engine leaves it that is dropped. The internal topic has its stand-in's name.
fn unclosed(records: &[Bytes]) -> TempDir {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 2, topic()).unwrap();
    engine.create_topic(STAND_IN, 2, topic()).unwrap();
    append(&engine, "t", 0, &vec![(None, Some(b"value".to_vec())); 10]);
    append(&engine, STAND_IN, 1, records);
    drop(engine);
    dir
}

/// Gives the stand-in the name of the internal topic, in the catalog and in the names of directories.
fn name_internal_topic(dir: &Path) {
    for partition in 0..2 {
        let path = |topic| dir.join(format!("{topic}-{partition}"));
        fs::rename(path(STAND_IN), path(OFFSETS_TOPIC)).unwrap();
    }
    let catalog = dir.join("catalog.json");
    let text = fs::read_to_string(&catalog).unwrap();
    let (_, json) = text.split_once('\n').unwrap();
    let json =
        json.strip_suffix('\n').unwrap().replace(&format!("\"{STAND_IN}\""), &format!("\"{OFFSETS_TOPIC}\""));
    fs::write(catalog, format!("{:08x}\n{json}\n", crc_fast::crc32_iscsi(json.as_bytes()))).unwrap();
}

fn log(dir: &Path) -> PathBuf {
    dir.join(format!("{OFFSETS_TOPIC}-1/00000000000000000000.log"))
}

fn listed(dir: &Path) -> GroupsReport {
    groups(dir).unwrap()
}

#[track_caller]
fn only(report: &GroupsReport) -> &GroupReport {
    assert_eq!(report.defects, []);
    assert_eq!(report.groups.len(), 1);
    &report.groups[0]
}

#[test]
fn a_group_has_its_members_owners_commits_and_lag() {
    let members = vec![member("a", assignment(&[0])), member("b", assignment(&[1])), member("c", vec![0])];
    let dir = data(&[commit("g", "t", 0, 3), generation("g", members), commit("g", "t", 0, 7)]);
    assert_eq!(check(dir.path()).defects, []);
    let report = listed(dir.path());
    let group = only(&report);
    assert_eq!((group.group.as_str(), group.state, group.stored_in, group.generation), ("g", "Stable", 1, 4));
    assert_eq!((group.protocol.as_deref(), group.leader.as_deref()), (Some("range"), Some("a")));
    let members: Vec<_> = group.members.iter().map(|it| (it.id.as_str(), it.assigned)).collect();
    assert_eq!(members, [("a", Some(1)), ("b", Some(1)), ("c", None)]);
    let [first, second] = &group.partitions[..] else { panic!("{:?}", group.partitions) };
    assert_eq!((first.topic.as_str(), first.partition, first.lag, first.mark), ("t", 0, Some(3), None));
    assert_eq!((first.log_start_offset, first.log_end_offset), (Some(0), Some(10)));
    assert_eq!(first.owners[0].member_id, "a");
    assert_eq!(first.owners[0].client_id, "client");
    let committed = first.committed.as_ref().unwrap();
    assert_eq!((committed.offset, committed.leader_epoch, committed.metadata.as_str()), (7, Some(1), "m"));
    assert_eq!(committed.committed_ms, 1_700_000_000_000);
    // Nothing was read from the second partition yet.
    assert_eq!((second.partition, &second.committed, second.lag), (1, &None, None));
    assert_eq!((second.log_end_offset, second.owners[0].member_id.as_str()), (Some(0), "b"));
}

#[test]
fn a_group_that_only_commits_is_empty_and_a_tombstone_removes_a_commit() {
    let key = OffsetKey { group: "g".into(), topic: "t".into(), partition: 1 };
    let removed = bytes(&GroupRecord::Offset { key, value: None });
    let dir = data(&[commit("g", "t", 0, 0), commit("g", "t", 1, 0), removed]);
    let report = listed(dir.path());
    let group = only(&report);
    assert_eq!((group.state, group.members.len(), group.partitions.len()), ("Empty", 0, 1));
    let partition = &group.partitions[0];
    assert_eq!((partition.partition, partition.lag), (0, Some(10)));
    assert_eq!(partition.committed.as_ref().unwrap().leader_epoch, None);
}

#[test]
fn a_directory_without_the_internal_topic_has_no_groups() {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, topic()).unwrap();
    engine.close().unwrap();
    let report = listed(dir.path());
    assert_eq!((report.groups.len(), report.defects.len()), (0, 0));
}

#[test]
fn a_directory_that_is_open_is_refused() {
    let dir = new_dir();
    let engine = open(dir.path());
    let error = groups(dir.path()).unwrap_err();
    assert!(matches!(error, VerifyError::InUse { .. }), "{error}");
    engine.close().unwrap();
}

#[test]
fn commits_that_fit_no_log_are_marked_and_noted_and_are_no_defects() {
    let records = [
        commit("g", "gone", 0, 5),
        commit("g", "gone", 2, 5),
        commit("g", "t", 0, 11),
        commit("g", "t", 1, 0),
        commit("g", "t", 9, 5),
        commit("g", "t", -1, 5),
    ];
    let dir = data(&records);
    let report = listed(dir.path());
    let marks: Vec<_> =
        only(&report).partitions.iter().map(|it| (it.topic.as_str(), it.partition, it.mark)).collect();
    let expected = [
        ("gone", 0, Some(PartitionMark::NoTopic)),
        ("gone", 2, Some(PartitionMark::NoTopic)),
        ("t", -1, Some(PartitionMark::NoPartition)),
        ("t", 0, Some(PartitionMark::BeyondEnd)),
        ("t", 1, None),
        ("t", 9, Some(PartitionMark::NoPartition)),
    ];
    assert_eq!(marks, expected);
    assert!(report.groups[0].partitions.iter().all(|it| it.lag.is_none() || it.partition == 1));
    let verified = check(dir.path());
    assert_eq!(verified.defects, []);
    let notes: Vec<_> = verified.notes.iter().map(|note| (note.kind, note.message.as_str())).collect();
    let beyond = "group g has committed offset 11 of t-0, whose log ends at 10; on resume its consumer does what \
                  auto_offset_reset says";
    let no_topic = "group g has committed offsets of topic gone, which does not exist: partitions 0, 2";
    let no_partition = "group g has committed offsets of partitions that topic t does not have: -1, 9";
    let expected = [
        (NoteKind::CommitBeyondEnd, beyond),
        (NoteKind::CommitOfMissing, no_topic),
        (NoteKind::CommitOfMissing, no_partition),
    ];
    assert_eq!(notes, expected);
}

#[test]
fn commits_of_deleted_records_are_marked() {
    let dir = unclosed(&[commit("g", "t", 0, 4)]);
    let engine = open(dir.path());
    assert_eq!(engine.delete_records([("t", 0, 6)])[0].as_ref().unwrap(), &6);
    engine.close().unwrap();
    name_internal_topic(dir.path());
    let report = listed(dir.path());
    let partition = &only(&report).partitions[0];
    assert_eq!((partition.mark, partition.log_start_offset), (Some(PartitionMark::BelowStart), Some(6)));
    assert_eq!(partition.lag, Some(6));
    assert_eq!(check(dir.path()).notes, []);
}

#[test]
fn logs_that_were_not_closed_are_read_to_their_end() {
    let dir = unclosed(&[commit("g", "t", 0, 4)]);
    name_internal_topic(dir.path());
    let report = listed(dir.path());
    let partition = &only(&report).partitions[0];
    assert_eq!((partition.log_end_offset, partition.lag), (Some(10), Some(6)));
}

#[test]
fn a_record_that_does_not_decode_is_a_defect_and_the_others_are_listed() {
    let (key, value) = commit("g", "t", 0, 1);
    let cut = (key, value.map(|value| value[..4].to_vec()));
    let no_key = (None, Some(b"x".to_vec()));
    let newer = (Some(vec![0, 3, 7]), Some(vec![0]));
    let dir = data(&[commit("g", "t", 0, 2), cut, newer, no_key, commit("k", "t", 0, 3)]);
    let starts = batch_starts(&log(dir.path()));
    let report = listed(dir.path());
    let defects: Vec<_> = report.defects.iter().map(|it| (it.kind, it.path.clone(), it.position)).collect();
    let expected = [1, 3].map(|batch: usize| (DefectKind::GroupRecord, log(dir.path()), starts[batch]));
    assert_eq!(defects, expected);
    assert!(report.defects[0].message.contains("the record of offset 1 "), "{:?}", report.defects[0]);
    assert!(report.defects[0].message.contains("cut short"), "{:?}", report.defects[0]);
    assert!(report.defects[1].message.contains("it has no key"), "{:?}", report.defects[1]);
    let names: Vec<_> = report.groups.iter().map(|group| group.group.as_str()).collect();
    assert_eq!(names, ["g", "k"]);
    assert_eq!(report.groups[0].partitions[0].committed.as_ref().unwrap().offset, 2);
    assert_eq!(check(dir.path()).defects, report.defects);
}

#[test]
fn a_damaged_batch_is_a_defect_and_the_batches_around_it_are_listed() {
    let dir = data(&[commit("g", "t", 0, 2), commit("k", "t", 0, 3), commit("i", "t", 0, 4)]);
    let starts = batch_starts(&log(dir.path()));
    flip(&log(dir.path()), (starts[1] + 65) * 8);
    let report = listed(dir.path());
    let [defect] = &report.defects[..] else { panic!("{:?}", report.defects) };
    assert_eq!(
        (defect.kind, &defect.path, defect.position),
        (DefectKind::Batch, &log(dir.path()), starts[1])
    );
    let names: Vec<_> = report.groups.iter().map(|group| group.group.as_str()).collect();
    assert_eq!(names, ["g", "i"]);
}

#[test]
fn a_group_in_another_partition_than_its_hash_names_is_a_defect() {
    // With two partitions "g" belongs to partition 1, and "h" to partition 0: their hashes are 103 and 104.
    let dir = data(&[commit("g", "t", 0, 2), commit("h", "t", 0, 3), generation("j", Vec::new())]);
    let report = check(dir.path());
    let expected = ["h", "j"].map(|group| {
        format!(
            "group {group} lies in partition 1 of {OFFSETS_TOPIC}, and belongs to partition 0: no coordinator serves what \
             is stored here"
        )
    });
    assert_eq!(report.defects.iter().map(|defect| defect.message.as_str()).collect::<Vec<_>>(), expected);
    assert!(report.defects.iter().all(|defect| defect.kind == DefectKind::GroupMisplaced));
    assert_eq!(report.defects[0].path, dir.path().join(format!("{OFFSETS_TOPIC}-1")));
    assert_eq!(listed(dir.path()).defects, report.defects);
    // A group that was removed lies nowhere.
    let removed = bytes(&GroupRecord::Group { group: "h".into(), value: None });
    let dir = data(&[generation("h", Vec::new()), removed]);
    assert_eq!(check(dir.path()).defects, []);
}

#[test]
fn damage_of_other_topics_is_not_reported_with_the_groups() {
    let dir = data(&[commit("g", "t", 0, 2)]);
    let path = dir.path().join("t-0/00000000000000000000.log");
    flip(&path, 65 * 8);
    assert_eq!(only(&listed(dir.path())).partitions[0].lag, Some(8));
    assert_eq!(check(dir.path()).defects.len(), 1);
}

#[test]
fn without_a_catalog_groups_are_read_by_the_names_of_directories() {
    let dir = data(&[commit("g", "t", 0, 2), commit("g", "gone", 0, 2)]);
    fs::remove_file(dir.path().join("catalog.json")).unwrap();
    let report = listed(dir.path());
    assert_eq!(report.defects.iter().map(|defect| defect.kind).collect::<Vec<_>>(), [DefectKind::Catalog]);
    let marks: Vec<_> = report.groups[0].partitions.iter().map(|it| it.mark).collect();
    assert_eq!(marks, [Some(PartitionMark::NoTopic), None]);
}
