//! Limits of a topic's configuration, of offsets at a log's end, and of the partitions in a data directory.

use crate::model::{batch, timed_batch};
use crate::rig::{Fate, Rig, Settings, Ticket};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use vnotch_engine::catalog::{Catalog, Topic, partition_dir};
use vnotch_engine::config::{DIRECTORY_PARTITIONS_MAX, PARTITIONS_MAX, TopicConfig};
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::error::{AppendError, FetchError, TopicError};
use vnotch_engine::log::{Fetched, Refused};
use vnotch_engine::types::Durability;

const DATA: &str = "/data";

#[test]
fn a_fetch_between_the_high_watermark_and_the_logs_end_waits_and_one_beyond_fails() {
    let mut rig = Rig::new(Settings::default(), 1);
    rig.append(batch(1, 1, 1000), None);
    rig.run_to_idle();
    rig.append(batch(2, 3, 1000), Some(Durability::Appended));
    assert_eq!([rig.log.high_watermark(), rig.log.log_end_offset()], [1, 4], "appended and not written");
    for offset in 1..=4 {
        assert!(matches!(rig.log.fetch(offset, 1000), Ok(Fetched::Nothing)), "offset {offset}");
    }
    for offset in [-1, 5, i64::MAX] {
        let fetched = rig.log.fetch(offset, 1000);
        assert!(matches!(fetched, Err(FetchError::OffsetOutOfRange { .. })), "offset {offset}: {fetched:?}");
    }
    rig.run_to_idle();
    rig.read_from(1);
}

#[test]
fn a_retention_of_any_size_is_as_good_as_none_and_files_are_made_ahead() {
    for retention_bytes in [None, Some(u64::MAX)] {
        let settings = Settings { retention_bytes, retention_ms: Some(u64::MAX), ..Settings::default() };
        let mut rig = Rig::new(settings, 1);
        for number in 0..30 {
            rig.append(batch(number, 7, 250_000), None);
            rig.run_to_idle();
        }
        assert_eq!(rig.log.log_start_offset(), 0);
        // Three of the four batches that fit a segment are in the active one.
        rig.append(batch(30, 7, 250_000), None);
        rig.run_to_idle();
        assert!(rig.file("next.preparing").is_some(), "the next segment's file is there before its roll");
    }
}

#[test]
fn a_batch_from_further_in_the_future_than_the_topic_takes_is_refused() {
    let mut rig =
        Rig::new(Settings { message_timestamp_after_max_ms: Some(5_000), ..Settings::default() }, 1);
    rig.append(timed_batch(&[1], 1000), None);
    rig.run_to_idle();
    let now_ms = rig.wall_ms();
    let ticket = || Ticket { number: 0, level: Durability::Written };
    for (times, ahead_ms) in
        [(vec![1, now_ms + 5_001, 2], 5_001), (vec![i64::MAX], i64::MAX.abs_diff(now_ms))]
    {
        match rig.log.append(&timed_batch(&times, 1000), None, ticket()) {
            Err(Refused::Failed(_, AppendError::InvalidTimestamp { ahead_ms: found, limit_ms, .. })) => {
                assert_eq!((found, limit_ms), (ahead_ms, 5_000));
            }
            other => panic!("{times:?}: {other:?}"),
        }
    }
    assert_eq!(rig.log.log_end_offset(), 1, "nothing of what is refused is in the log");
    rig.append(timed_batch(&[now_ms + 5_000, -1, i64::MIN], 1000), None);
    rig.alter(Settings { message_timestamp_after_max_ms: None, ..Settings::default() }, true);
    rig.append(timed_batch(&[i64::MAX], 1000), None);
    rig.run_to_idle();
    assert_eq!(rig.log.high_watermark(), 5);
}

/// Creates the data directory of a simulated disk.
fn data_dir(disk: &SimDisk) -> &'static Path {
    let data = Path::new(DATA);
    disk.run_until(disk.create_dir(data)).unwrap();
    disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
    data
}

#[test]
fn a_directory_holds_a_bounded_number_of_partitions() {
    let disk = SimDisk::new(1);
    let data = data_dir(&disk);
    let mut catalog = disk.run_until(Catalog::open(&disk, data, 1)).unwrap();
    let mut create = |name: &str, partitions: u32| {
        let topic = Topic::new(partitions, TopicConfig::default());
        disk.run_until(catalog.announce(&disk, name, &topic))?;
        disk.run_until(catalog.create(&disk, name, topic))
    };
    for number in 0..DIRECTORY_PARTITIONS_MAX / PARTITIONS_MAX {
        create(&format!("t{number}"), PARTITIONS_MAX).unwrap();
    }
    let Err(TopicError::Config(message)) = create("more", 1) else { panic!("one more is accepted") };
    assert!(message.contains("partitions") && message.contains("262144"), "{message}");
    let again = disk.run_until(Catalog::open(&disk, data, 1)).unwrap();
    assert_eq!(again.topics().len(), 4, "what was accepted is opened");
}

/// Creates a topic of two partitions, each with a file, and deletes the topic again.
async fn create_and_delete(disk: &SimDisk, data: &Path, has_created: &std::cell::Cell<bool>) {
    let mut catalog = Catalog::open(disk, data, 1).await.unwrap();
    let topic = Topic::new(2, TopicConfig::default());
    catalog.announce(disk, "t", &topic).await.unwrap();
    for partition in 0..2 {
        let dir = partition_dir(data, "t", partition);
        disk.create_dir(&dir).await.unwrap();
        let mode = vnotch_engine::disk::OpenMode::CreateNew;
        disk.open(&dir.join("checkpoint"), mode, vnotch_engine::types::IoMode::Buffered).await.unwrap();
        disk.sync_dir(&dir).await.unwrap();
        disk.sync_dir(data).await.unwrap();
    }
    catalog.create(disk, "t", topic).await.unwrap();
    has_created.set(true);
    catalog.delete(disk, "t").await.unwrap();
    catalog.remove_files(disk, "t").await.unwrap();
}

#[test]
fn an_end_at_every_step_of_a_creation_and_a_deletion_leaves_a_whole_topic_or_nothing() {
    let (mut seen_whole, mut seen_nothing) = (0, 0);
    for seed in 0..10 {
        let disk = SimDisk::new(seed);
        let data = data_dir(&disk);
        let has_created = std::cell::Cell::new(false);
        let mut work = pin!(create_and_delete(&disk, data, &has_created));
        loop {
            let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            for fate in [Fate::Kill, Fate::PowerLoss] {
                let after = fate.of(&disk, seed);
                let reopened = after.run_until(Catalog::open(&after, data, 1)).unwrap();
                let left = after.run_until(after.list(data)).unwrap();
                let dirs: Vec<_> =
                    left.iter().filter(|entry| entry.is_dir).map(|entry| &entry.name).collect();
                if reopened.topics().contains_key("t") {
                    assert_eq!(dirs, ["t-0", "t-1"]);
                    seen_whole += 1;
                } else {
                    assert!(dirs.is_empty(), "{dirs:?} are left without a topic");
                    seen_nothing += usize::from(has_created.get());
                }
            }
            if polled.is_ready() {
                break;
            }
            assert!(disk.step(), "the catalog waits for nothing");
        }
    }
    assert!(seen_whole > 0 && seen_nothing > 0, "{seen_whole}, {seen_nothing}");
}
