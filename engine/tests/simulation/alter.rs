//! A topic's configuration is altered while its log is open. The change is in the catalog completely or not at all, and the
//! log applies it.

use crate::model::batch;
use crate::rig::{Fate, Restart, Rig, Settings, dir};
use std::io::ErrorKind;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use vnotch_engine::catalog::{Catalog, Topic};
use vnotch_engine::config::{TopicChanges, TopicConfig};
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::{Effect, Fault, SimDisk};
use vnotch_engine::error::{DiskOp, TopicError};
use vnotch_engine::types::Durability;

const DATA: &str = "/data";

/// Returns a catalog with one topic.
fn catalog(disk: &SimDisk, config: &TopicConfig) -> Catalog {
    disk.run_until(disk.create_dir(Path::new(DATA))).unwrap();
    disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
    let mut catalog = disk.run_until(Catalog::open(disk, Path::new(DATA), 1)).unwrap();
    disk.run_until(catalog.create(disk, "t", Topic::new(2, config.clone()))).unwrap();
    catalog
}

/// Returns the catalog that the next open finds.
fn reopen(disk: &SimDisk) -> Catalog {
    disk.run_until(Catalog::open(disk, Path::new(DATA), 1)).unwrap()
}

#[test]
fn an_end_at_every_step_leaves_the_old_configuration_or_the_new_one() {
    let old = TopicConfig::default();
    let changes = TopicChanges {
        durability: Some(Durability::Synced),
        retention_bytes: Some(Some(1 << 30)),
        segment_ms: Some(Some(5)),
        ..TopicChanges::default()
    };
    let new = changes.applied_to(&old);
    let (mut seen_old, mut seen_new) = (0, 0);
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let mut catalog = catalog(&disk, &old);
        let incarnation = catalog.epoch();
        let mut alter = pin!(catalog.alter(&disk, "t", &changes));
        loop {
            let polled = alter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            for fate in [Fate::Kill, Fate::PowerLoss] {
                let after = fate.of(&disk, seed);
                let reopened = after.run_until(Catalog::open(&after, Path::new(DATA), 1)).unwrap();
                let topic = &reopened.topics()["t"];
                let is_new = topic.config == new && topic.synced_after == incarnation;
                let is_old = topic.config == old && topic.synced_after == 0;
                assert!(is_new || is_old && polled.is_pending(), "{topic:?}");
                seen_new += u32::from(is_new && polled.is_pending());
                seen_old += u32::from(is_old);
            }
            if let std::task::Poll::Ready(altered) = polled {
                assert_eq!(altered.unwrap().config, new);
                break;
            }
            assert!(disk.step(), "altering waits for nothing");
        }
    }
    assert!(
        seen_old > 0 && seen_new > 0,
        "ends before and after the change took hold: {seen_old}, {seen_new}"
    );
}

/// The new catalog file is already renamed when the sync fails. A name that was not synced may survive a power loss or not.
#[test]
fn an_alteration_whose_directory_sync_fails_is_not_in_force_and_may_be_found_by_the_next_open() {
    let old = TopicConfig::default();
    let changes = TopicChanges { durability: Some(Durability::Synced), ..TopicChanges::default() };
    let new = changes.applied_to(&old);
    let (mut seen_old, mut seen_new) = (0, 0);
    for (seed, kind) in
        (0..60).zip([ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::QuotaExceeded].iter().cycle())
    {
        let disk = SimDisk::new(seed);
        let mut catalog = catalog(&disk, &old);
        disk.inject(Fault { op: DiskOp::SyncDir, operations_before: 0, effect: Effect::Fails(*kind) });
        let failed = disk.run_until(catalog.alter(&disk, "t", &changes)).unwrap_err();
        assert!(matches!(failed, TopicError::Unconfirmed(_)), "{failed}");
        assert_eq!(catalog.topics()["t"].config, old);
        let reopened = |fate: Fate| {
            let after = fate.of(&disk, seed);
            reopen(&after).topics()["t"].clone()
        };
        for topic in [Fate::Kill, Fate::PowerLoss].map(reopened) {
            let is_new = topic.config == new && topic.synced_after == catalog.epoch();
            assert!(is_new || topic.config == old && topic.synced_after == 0, "{topic:?}");
            seen_new += u32::from(is_new);
            seen_old += u32::from(!is_new);
        }
        // The next change to the catalog writes the configuration in use.
        disk.run_until(catalog.announce(&disk, "u", &Topic::new(1, old.clone()))).unwrap();
        assert!([Fate::Kill, Fate::PowerLoss].map(reopened).iter().all(|topic| topic.config == old));
    }
    assert!(seen_old > 0 && seen_new > 60, "{seen_old} found it as it was, {seen_new} changed");
}

#[test]
fn what_could_not_be_created_cannot_be_altered_to_either() {
    let disk = SimDisk::new(1);
    let old = TopicConfig::default();
    let mut catalog = catalog(&disk, &old);
    let none = TopicChanges::default();
    for changes in [
        TopicChanges { retention_bytes: Some(Some(1 << 20)), ..none.clone() },
        TopicChanges { segment_bytes: Some(1000), ..none.clone() },
        TopicChanges { max_message_bytes: Some(1 << 30), ..none.clone() },
        TopicChanges { retention_ms: Some(Some(0)), ..none.clone() },
    ] {
        let refused = disk.run_until(catalog.alter(&disk, "t", &changes)).unwrap_err();
        let TopicError::Config(message) = refused else { panic!("{refused}") };
        assert_eq!(Err(message), changes.applied_to(&old).validate());
    }
    assert_eq!(catalog.topics()["t"].config, old);
    assert!(matches!(disk.run_until(catalog.alter(&disk, "x", &none)), Err(TopicError::Unknown(_))));
    // A failed write changes nothing.
    let changes = TopicChanges { segment_ms: Some(Some(7)), ..none };
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other] {
        disk.fail_write(0, kind);
        let failed = disk.run_until(catalog.alter(&disk, "t", &changes)).unwrap_err();
        assert!(matches!(failed, TopicError::NoSpace(_) | TopicError::Disk(_)), "{failed}");
    }
    assert_eq!(catalog.topics()["t"].config, old);
}

#[test]
fn batches_larger_than_the_topic_takes_now_outlive_a_kill_and_an_index_that_is_made_anew() {
    let settings = Settings { segment_bytes: 4 << 20, max_message_bytes: 2_000_000, ..Settings::default() };
    let mut rig = Rig::new(settings.clone(), 3);
    for number in 0..6 {
        rig.append(batch(number, 2, 1_900_000), None);
    }
    rig.run_to_idle();
    let small =
        Settings { max_message_bytes: 10_000, index_interval_bytes: 1_900_000, cache_bytes: 0, ..settings };
    rig.alter(small, true);
    for number in 0..300 {
        rig.append(batch(number, 2, 9_000), None);
    }
    rig.run_to_idle();
    rig.restart(&Restart::simple(Fate::Kill, 3));
    assert_eq!(rig.log.log_end_offset(), 612);
    for name in rig.disk.run_until(rig.disk.list(&dir())).unwrap() {
        if name.name.ends_with("index") {
            rig.disk.run_until(rig.disk.remove_file(&dir().join(name.name))).unwrap();
        }
    }
    rig.restart(&Restart::simple(Fate::Kill, 4));
    rig.read_from(0);
}

#[test]
fn larger_batches_behind_an_index_with_few_entries_are_read_from_files() {
    let settings = Settings {
        segment_bytes: 16 << 20,
        max_message_bytes: 10_000,
        index_interval_bytes: 1_900_000,
        cache_bytes: 0,
        ..Settings::default()
    };
    let mut rig = Rig::new(settings.clone(), 4);
    for number in 0..150 {
        rig.append(batch(number, 2, 9_000), None);
    }
    rig.run_to_idle();
    rig.alter(Settings { max_message_bytes: 2_000_000, index_interval_bytes: 4096, ..settings }, true);
    for number in 0..4 {
        rig.append(batch(number, 2, 1_900_000), None);
    }
    rig.run_to_idle();
    rig.read_from(0);
    rig.close();
    rig.restart(&Restart::simple(Fate::PowerLoss, 4));
    assert_eq!(rig.log.log_end_offset(), 308);
}

#[test]
fn a_topic_that_becomes_a_synced_one_makes_durable_what_it_has_and_opens_after_every_end() {
    for lives in [Durability::Appended, Durability::Written] {
        let mut rig = Rig::new(Settings { durability: lives, ..Settings::default() }, 8);
        for number in 0..12 {
            rig.append(batch(number, 3, 150_000), None);
        }
        rig.steps(9);
        rig.alter(Settings { durability: Durability::Synced, ..rig.settings.clone() }, true);
        for number in 0..12 {
            let level = [None, Some(Durability::Written)][number % 2];
            rig.append(batch(number as u64, 3, 150_000), level);
        }
        rig.end_at_every_step();
        // Every append was answered, and everything is synced.
        assert_eq!(rig.log.high_watermark(), 72);
        rig.model.all_durable();
        rig.restart(&Restart::simple(Fate::PowerLoss, 99));
        assert_eq!(rig.log.log_end_offset(), 72);
    }
}

/// A roll that was delayed by a full disk makes the segment without an append. In a topic that is not synced, it does not sync
/// the segment's name.
#[test]
fn a_topic_that_becomes_a_synced_one_over_an_empty_segment_makes_its_name_durable_too() {
    let mut empty = 0;
    for seed in 0..40 {
        let mut rig = Rig::new(Settings::default(), seed);
        rig.disk.fail_write(seed % 4, ErrorKind::StorageFull);
        rig.append(batch(0, 1, 10_000), None);
        rig.run_to_idle();
        rig.make_room();
        empty += u32::from(rig.log.log_end_offset() == 0 && bases(&rig) == [0]);
        rig.alter(Settings { durability: Durability::Synced, ..rig.settings.clone() }, true);
        rig.append(batch(1, 1, 10_000), None);
        rig.run_to_idle();
        let end = rig.log.log_end_offset();
        rig.restart(&Restart::simple(Fate::PowerLoss, seed));
        assert_eq!(rig.log.log_end_offset(), end, "a synced ack is durable");
    }
    assert!(empty > 4, "{empty} segments were empty");
}

#[test]
fn what_a_topic_wrote_before_it_became_a_synced_one_may_be_lost_to_a_power_cut_and_it_still_opens() {
    let mut lost = 0;
    for write_depth in [1, 4] {
        let mut rig = Rig::new(Settings { write_depth, ..Settings::default() }, 9);
        for number in 0..24 {
            rig.append(batch(number, 3, 150_000), Some(Durability::Written));
        }
        // The catalog has the change. The log does not have it yet.
        rig.alter(Settings { durability: Durability::Synced, ..rig.settings.clone() }, false);
        let mut seed = 0;
        while rig.disk.outstanding() > 0 {
            let end = rig.log.high_watermark();
            for _ in 0..4 {
                seed += 1;
                let again = rig.restarted(&Restart::simple(Fate::PowerLoss, seed));
                again.read_from(0);
                lost += u32::from(again.log.log_end_offset() < end);
            }
            rig.steps(1);
        }
    }
    assert!(lost > 0, "power cuts take what was only written");
}

#[test]
fn new_limits_of_retention_count_at_once_and_segments_change_size_with_the_next() {
    let settings = Settings { segment_bytes: 2 << 20, ..Settings::default() };
    let mut rig = Rig::new(settings.clone(), 6);
    for number in 0..60 {
        rig.append(batch(number, 1, 200_000), None);
    }
    rig.run_to_idle();
    assert_eq!(rig.log.log_start_offset(), 0);
    let retention_bytes = Some(2 << 20);
    rig.alter(Settings { segment_bytes: 1 << 20, retention_bytes, ..settings }, true);
    rig.run_to_idle();
    let start = rig.log.log_start_offset();
    assert!(start >= 30, "nothing was appended, and still the oldest are gone: {start}");
    let before = bases(&rig);
    for number in 0..20 {
        rig.append(batch(number, 1, 200_000), None);
        rig.run_to_idle();
    }
    let after = bases(&rig);
    let first_new = after.iter().position(|base| !before.contains(base)).unwrap();
    // Five batches of 200 kB fit 1 MiB, ten fit 2 MiB.
    assert!(after[first_new..].windows(2).all(|pair| pair[1] - pair[0] == 5), "{before:?} {after:?}");
}

/// Returns the base offsets of the log's segments.
fn bases(rig: &Rig) -> Vec<i64> {
    let names = rig.disk.run_until(rig.disk.list(&dir())).unwrap();
    names.iter().filter_map(|entry| vnotch_engine::segment::base_offset_of(&entry.name)).collect()
}
