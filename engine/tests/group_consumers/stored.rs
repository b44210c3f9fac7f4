//! What is stored of groups: replay, compaction, damage.

use super::{config, data_dir, open, partition};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vnotch_engine::client::{Commit, GroupAdmin, GroupsError};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::shard::partition_of_group;
use vnotch_engine::types::{Durability, TopicPartition};

fn commit(offset: i64, metadata: &str) -> Commit {
    let metadata = Some(metadata.to_owned());
    Commit { partition: partition(0), position: offset.into(), metadata }
}

fn committed(admin: &GroupAdmin, group: &str) -> Option<i64> {
    admin.offsets(group).unwrap().first().map(|commit| commit.position.offset)
}

/// Returns the segments of the group's partition of the internal topic, with their sizes.
fn segments(dir: &Path, group: &str) -> Vec<(PathBuf, u64)> {
    let partition = partition_of_group(group, 16);
    let dir = dir.join(format!("__consumer_offsets-{partition}"));
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.map(|path| (path.clone(), path.metadata().unwrap().len())).collect()
}

#[test]
fn commits_survive_an_end_without_a_close_at_each_level() {
    for durability in [Durability::Written, Durability::Synced] {
        let dir = data_dir();
        let mut config = config(dir.path(), 2);
        config.groups.offsets_topic_durability = durability;
        // At the level `synced` segments are filled ahead.
        config.groups.offsets_topic_segment_bytes = 2 << 20;
        for round in 0..3_i64 {
            let engine = Engine::open(config.clone()).unwrap();
            if round == 0 {
                engine.create_topic("t", 1, TopicConfig::default()).unwrap();
            }
            let admin = engine.group_admin().unwrap();
            for number in 0..40 {
                let group = format!("group-{number}");
                assert_eq!(committed(&admin, &group), (round > 0).then_some(round - 1));
                admin.commit(&group, &[commit(round, "")]).unwrap();
            }
            assert_eq!(admin.list().unwrap().groups.len(), 40);
            drop(engine);
        }
    }
}

/// Longest time to open an engine after a million commits, until it answers with them. A build without optimizations decodes
/// several times slower, and many tests run beside this one.
const REOPEN_MAX: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(5) } else { Duration::from_secs(1) };

/// Commits `count` times, in batches of one request for 50 partitions, with a segment size at which the log rolls often.
fn commit_often(count: usize, segment_bytes: u64, segments_max: usize) {
    let dir = data_dir();
    let mut config = config(dir.path(), 1);
    config.groups.offsets_topic_segment_bytes = segment_bytes;
    let engine = Engine::open(config.clone()).unwrap();
    engine.create_topic("t", 50, TopicConfig::default()).unwrap();
    let admin = engine.group_admin().unwrap();
    admin.commit("other", &[commit(7, "stays")]).unwrap();
    let padding = "x".repeat(60);
    for round in 0..count / 50 {
        let commits: Vec<Commit> = (0..50)
            .map(|number| Commit {
                partition: partition(number),
                ..commit(i64::try_from(round).unwrap(), &padding)
            })
            .collect();
        admin.commit("g", &commits).unwrap();
    }
    let found = segments(dir.path(), "g");
    assert!(found.len() < segments_max, "{found:?}");
    drop(engine);
    let begun = Instant::now();
    let engine = Engine::open(config).unwrap();
    let admin = engine.group_admin().unwrap();
    let last = i64::try_from(count / 50 - 1).unwrap();
    let offsets = admin.offsets("g").unwrap();
    let elapsed = begun.elapsed();
    assert!(offsets.len() == 50 && offsets.iter().all(|commit| commit.position.offset == last));
    eprintln!("{count} commits: {} segments, reopened in {elapsed:?}", found.len());
    assert!(elapsed < REOPEN_MAX, "{elapsed:?} to reopen after {count} commits");
    assert_eq!(admin.offsets("other").unwrap(), [commit(7, "stays")]);
    let partition = partition_of_group("g", 16) as usize;
    let described = engine.describe_topic("__consumer_offsets").unwrap();
    assert!(described.partitions[partition].log_start_offset > 0, "old records were deleted");
}

#[test]
fn many_commits_stay_within_four_segments() {
    commit_often(100_000, 2 << 20, 4);
}

#[test]
fn a_million_commits_stay_within_four_segments_and_reopen_soon() {
    // Takes some time, so it runs only on request.
    if std::env::var_os("VNOTCH_LONG").is_some() {
        commit_often(1_000_000, 16 << 20, 4);
    }
}

#[test]
fn the_small_segments_of_many_opens_go_once_an_open_lives_long_enough() {
    let dir = data_dir();
    super::with_topic(dir.path(), 1).close().unwrap();
    for round in 0..12 {
        let engine = open(dir.path());
        engine.group_admin().unwrap().commit("g", &[commit(round, "")]).unwrap();
        engine.close().unwrap();
    }
    let engine = open(dir.path());
    let admin = engine.group_admin().unwrap();
    assert_eq!(committed(&admin, "g"), Some(11));
    admin.commit("g", &[commit(12, "")]).unwrap();
    let begun = Instant::now();
    while segments(dir.path(), "g").len() > 1 {
        assert!(begun.elapsed() < super::PATIENCE, "{:?}", segments(dir.path(), "g"));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(committed(&admin, "g"), Some(12));
}

#[test]
fn an_engine_that_closes_soon_after_each_open_leaves_few_segments() {
    let dir = data_dir();
    super::with_topic(dir.path(), 1).close().unwrap();
    for round in 0..8 {
        let engine = open(dir.path());
        engine.group_admin().unwrap().commit("g", &[commit(round, "")]).unwrap();
        engine.close().unwrap();
        // The close has ended the compaction that the first commit had begun. The segment of this open is left.
        let left = segments(dir.path(), "g");
        assert!(left.len() <= 2, "after {round} closes: {left:?}");
    }
    let engine = open(dir.path());
    assert_eq!(committed(&engine.group_admin().unwrap(), "g"), Some(7));
}

#[test]
fn damaged_records_keep_one_partitions_groups_from_being_served_and_nothing_else() {
    let dir = data_dir();
    let engine = super::with_topic(dir.path(), 1);
    let admin = engine.group_admin().unwrap();
    admin.commit("a", &[commit(1, "")]).unwrap();
    admin.commit("b", &[commit(2, "")]).unwrap();
    engine.close().unwrap();
    damage_first_record_of_a(dir.path());
    let engine = open(dir.path());
    let admin = engine.group_admin().unwrap();
    let begun = Instant::now();
    let error = loop {
        match admin.offsets("a") {
            Err(GroupsError::Refused(error)) => assert!(begun.elapsed() < super::PATIENCE, "{error}"),
            outcome => break outcome.unwrap_err(),
        }
    };
    assert!(matches!(&error, GroupsError::Damaged(damage) if damage.offset == 0), "{error}");
    assert!(matches!(admin.commit("a", &[commit(5, "")]), Err(GroupsError::Damaged(_))));
    assert_eq!(committed(&admin, "b"), Some(2));
    let list = admin.list().unwrap();
    assert_eq!(list.groups.iter().map(|group| group.group.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(matches!(&list.errors[..], [(_, GroupsError::Damaged(_))]), "{:?}", list.errors);
    super::produce(&engine, 0, 5);
}

/// Makes the first record of group a unreadable: the batch stays valid, and the version of the record's key does not.
fn damage_first_record_of_a(dir: &Path) {
    let (path, _) = segments(dir, "a").pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == [0, 1, 0, 1, b'a']).unwrap();
    bytes[at] = 0x80;
    let crc = crc_of(&bytes);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
}

/// Returns the topics of which group a has a committed offset, once its records are read.
fn topics_of_a(admin: &GroupAdmin) -> Vec<String> {
    let begun = Instant::now();
    loop {
        match admin.offsets("a") {
            Err(GroupsError::Refused(error)) => assert!(begun.elapsed() < super::PATIENCE, "{error}"),
            offsets => {
                let topics = offsets.unwrap().into_iter().map(|commit| commit.partition.topic.to_string());
                return topics.collect();
            }
        }
    }
}

#[test]
fn offsets_that_a_copy_brings_back_are_not_those_of_a_topic_that_was_created_since() {
    let dir = data_dir();
    let engine = super::with_topic(dir.path(), 1);
    engine.create_topic("u", 1, TopicConfig::default()).unwrap();
    let of_u = TopicPartition { topic: "u".into(), partition: 0 };
    let commits = [commit(50, ""), Commit { partition: of_u, ..commit(60, "") }];
    engine.group_admin().unwrap().commit("a", &commits).unwrap();
    engine.close().unwrap();
    let (segment, _) = segments(dir.path(), "a").pop().unwrap();
    let whole = std::fs::read(&segment).unwrap();
    damage_first_record_of_a(dir.path());
    // While the records cannot be read, the offsets of the topic cannot be removed.
    let engine = open(dir.path());
    engine.delete_topic("t").unwrap();
    engine.create_topic("t", 1, TopicConfig::default()).unwrap();
    engine.close().unwrap();
    std::fs::write(&segment, whole).unwrap();
    let report = vnotch_engine::verify::groups(dir.path()).unwrap();
    let stored: Vec<_> =
        report.groups[0].partitions.iter().map(|partition| partition.topic.as_str()).collect();
    assert_eq!(stored, ["u"]);
    for commits_of_t in [false, true] {
        let engine = open(dir.path());
        let admin = engine.group_admin().unwrap();
        assert_eq!(topics_of_a(&admin), ["u"]);
        if commits_of_t {
            // What is committed for the new topic is kept.
            admin.commit("a", &[commit(1, "")]).unwrap();
        }
        engine.close().unwrap();
    }
    let engine = open(dir.path());
    assert_eq!(topics_of_a(&engine.group_admin().unwrap()), ["t", "u"]);
}

/// Returns the CRC32C of the first batch of a segment.
fn crc_of(bytes: &[u8]) -> u32 {
    let length = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    bytes[21..12 + length].iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 }
            },
        )
    }) ^ !0
}
