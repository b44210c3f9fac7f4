//! Few descriptors: logs that use more files than may be open, and a process that has no descriptor left.

use crate::committer::Fleet;
use crate::model::batch;
use crate::rig::{Fate, Restart, Rig, Settings};
use std::rc::Rc;
use vnotch_engine::error::FetchError;
use vnotch_engine::log::FileLimits;
use vnotch_engine::types::{Commit, Durability, Preallocate};

/// The lowest limits with which one log works. Several logs can share them.
pub(crate) const FEW: FileLimits = FileLimits { open_files_max: 4, brief_max: 2 };

const LEVELS: [Durability; 3] = [Durability::Appended, Durability::Written, Durability::Synced];

/// Returns settings of every level and preallocation, with few files.
fn every_kind() -> impl Iterator<Item = Settings> {
    let kinds = [Preallocate::None, Preallocate::Fallocate, Preallocate::Recycle];
    LEVELS.into_iter().flat_map(move |durability| {
        kinds.map(|preallocate| Settings { durability, preallocate, files: FEW, ..Settings::default() })
    })
}

#[test]
fn a_log_of_more_segments_than_files_may_be_open_is_written_and_read() {
    for settings in every_kind() {
        let mut rig = Rig::new(Settings { cache_bytes: 0, ..settings }, 1);
        for number in 0..100 {
            rig.append(batch(number, 3, 100_000), None);
            rig.steps(3);
            rig.fetch((rig.log.high_watermark() - 1).max(0) / 2, 400_000);
        }
        rig.run_to_idle();
        rig.log.shed_memory();
        rig.read_from(0);
        rig.restart(&Restart::simple(Fate::Kill, 1));
        assert_eq!((rig.log.high_watermark(), rig.refusals), (300, 0));
    }
}

#[test]
fn a_retained_log_recycles_its_segments_with_few_files() {
    for settings in every_kind() {
        let settings = Settings { retention_bytes: Some(3 << 20), cache_bytes: 0, ..settings };
        let mut rig = Rig::new(settings, 2);
        for number in 0..120 {
            rig.append(batch(number, 3, 100_000), None);
            rig.steps(4);
        }
        rig.run_to_idle();
        assert!(rig.log.log_start_offset() > 0 && rig.log.failed().is_none());
        rig.read_from(rig.log.log_start_offset());
        rig.restart(&Restart::simple(Fate::PowerLoss, 2));
    }
}

/// Each new segment of a busy log needs the descriptor of a file that has just been written. A read gets a descriptor too.
#[test]
fn a_read_gets_a_file_beside_a_log_that_uses_all_of_them() {
    for seed in 0..60 {
        let settings = Settings {
            durability: Durability::Appended,
            preallocate: Preallocate::Recycle,
            files: FEW,
            cache_bytes: 0,
            write_bytes_max: 16 << 10,
            write_depth: 1,
            ..Settings::default()
        };
        let mut rig = Rig::new(settings, seed);
        fill(&mut rig, 12);
        rig.run_to_idle();
        fill(&mut rig, 14);
        rig.steps(60 + seed as usize);
        rig.fetch(0, 1);
        // A segment takes 64 writes. Without a queue for free descriptors, the read would take up to four times as long.
        for _ in 0..500 / 50 {
            fill(&mut rig, 1);
            rig.steps(50);
        }
        assert!(!rig.is_reading(), "the read of seed {seed} waits");
        rig.run_to_idle();
    }
}

fn fill(rig: &mut Rig, batches: u64) {
    for number in 0..batches {
        rig.append(batch(number, 1, 290_000), None);
    }
}

#[test]
fn many_idle_logs_share_a_few_files() {
    for durability in LEVELS {
        let settings = Settings { durability, files: FEW, cache_bytes: 0, ..Settings::default() };
        let mut fleet = Fleet::new(settings, 40, Commit::Auto);
        for number in 0..4 {
            fleet.round(100 * number);
            fleet.run_to_idle();
            fleet.check_all();
        }
    }
}

#[test]
fn what_finds_no_descriptor_waits_for_one() {
    for durability in LEVELS {
        let mut rig = Rig::new(Settings { durability, ..Settings::default() }, 3);
        rig.disk.limit_descriptors(0);
        rig.append(batch(1, 3, 1_000), Some(Durability::Synced));
        rig.steps(50);
        assert_eq!((rig.log.log_end_offset(), rig.refusals), (0, 0), "no segment can be made");
        rig.disk.limit_descriptors(usize::MAX);
        rig.run_to_idle();
        assert_eq!((rig.log.high_watermark(), rig.refusals), (3, 0));
    }
}

#[test]
fn appends_that_wait_too_long_for_a_descriptor_are_refused_until_there_is_one() {
    for settings in every_kind() {
        let mut rig = Rig::new(Settings { files: FileLimits::default(), ..settings }, 4);
        rig.append(batch(1, 3, 1_000), Some(Durability::Synced));
        rig.run_to_idle();
        rig.disk.limit_descriptors(0);
        for number in 0..20 {
            rig.append(batch(number, 3, 200_000), Some(Durability::Written));
        }
        rig.run_to_idle();
        assert!(rig.refusals > 0 && rig.log.failed().is_none(), "{:?}", rig.log.failed());
        let error = rig.log.no_space().unwrap();
        assert!(error.is_too_many_open() && error.to_string().contains("`ulimit -n`"), "{error}");
        rig.disk.limit_descriptors(usize::MAX);
        rig.make_room();
        assert!(rig.log.no_space().is_none() && rig.log.failed().is_none());
        let end = rig.log.log_end_offset();
        rig.append(batch(2, 3, 1_000), Some(Durability::Synced));
        rig.run_to_idle();
        assert_eq!(rig.log.high_watermark(), end + 3);
        rig.read_from(0);
        rig.restart(&Restart::simple(Fate::PowerLoss, 4));
    }
}

#[test]
fn a_closed_log_writes_what_waited_for_a_descriptor() {
    let others = Settings { files: FEW, ..Settings::default() };
    let mut fleet = Fleet::new(others, 6, Commit::Auto);
    fleet.round(1);
    fleet.run_to_idle();
    // The first log's file was closed to make room for the files of the others.
    fleet.disk.limit_descriptors(0);
    fleet.append(0, batch(2, 3, 1_000));
    fleet.run_to_idle();
    let log = Rc::clone(&fleet.logs[0]);
    assert!(log.failed().is_none() && log.high_watermark() == 3, "the second batch cannot be written");
    fleet.disk.limit_descriptors(usize::MAX);
    fleet.disk.run_until(Rc::clone(&log).close()).unwrap();
    assert_eq!(log.high_watermark(), 6);
}

#[test]
fn a_sync_that_cannot_open_the_directory_is_tried_again() {
    let mut rig = Rig::new(Settings::default(), 5);
    rig.append(batch(1, 3, 1_000), None);
    rig.run_to_idle();
    rig.disk.limit_descriptors(0);
    rig.append(batch(2, 3, 1_000), Some(Durability::Synced));
    rig.steps(1_000);
    assert!(rig.log.failed().is_none(), "{:?}", rig.log.failed());
    rig.disk.limit_descriptors(usize::MAX);
    rig.run_to_idle();
    rig.restart(&Restart::simple(Fate::PowerLoss, 5));
    assert_eq!(rig.log.log_end_offset(), 6);
}

#[test]
fn a_read_that_finds_no_descriptor_fails_with_the_limits_name_and_works_later() {
    let mut rig = Rig::new(Settings { cache_bytes: 0, ..Settings::default() }, 6);
    for number in 0..20 {
        rig.append(batch(number, 3, 100_000), None);
    }
    rig.run_to_idle();
    rig.close();
    // Nothing has been read from the log yet, so that it has no file open.
    let rig = rig.restarted(&Restart::simple(Fate::Kill, 6));
    rig.disk.limit_descriptors(0);
    let read = rig.disk.run_until(Rc::clone(&rig.log).fetch_from_disk(0, 1));
    let Err(FetchError::Disk(error)) = read else { panic!("read without a descriptor: {read:?}") };
    assert!(error.is_too_many_open() && error.to_string().contains("`ulimit -n`"), "{error}");
    rig.disk.limit_descriptors(usize::MAX);
    rig.read_from(0);
}
