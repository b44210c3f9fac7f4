//! Retention: the segments that it deletes and keeps, and ends of the process in the middle of a deletion.

use crate::KINDS;
use crate::descriptors::FEW;
use crate::model::batch;
use crate::restart::INJECTED;
use crate::rig::{Fate, Restart, Rig, Settings};
use std::time::Duration;
use vnotch_engine::clock::Clock as _;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::{Effect, Fault};
use vnotch_engine::error::{DiskOp, FetchError};
use vnotch_engine::segment;
use vnotch_engine::types::{Durability, Preallocate};

const SEGMENT: u64 = 1 << 20;

/// Largest size of all indexes and the checkpoint together, bytes.
const SMALL_FILES: u64 = 64 << 10;

fn by_size(durability: Durability, preallocate: Preallocate) -> Settings {
    Settings { durability, preallocate, retention_bytes: Some(2 * SEGMENT), ..Settings::default() }
}

fn fill(rig: &mut Rig, batches: u64) {
    for number in 0..batches {
        rig.append(batch(number, 7, 250_000), None);
    }
}

#[test]
fn the_oldest_segments_go_by_size_and_what_is_left_is_as_much_as_was_asked_for() {
    for preallocate in KINDS {
        let mut rig = Rig::new(by_size(Durability::Written, preallocate), 1);
        fill(&mut rig, 60);
        rig.run_to_idle();
        let start = rig.log.log_start_offset();
        assert!(start > 0 && start < rig.log.high_watermark());
        assert!(rig.file_bytes() <= 4 * SEGMENT + SMALL_FILES, "retention and two segments");
        rig.read_from(start);
        match rig.log.fetch(start - 1, 1000) {
            Err(FetchError::OffsetOutOfRange { log_start_offset, high_watermark, .. }) => {
                assert_eq!((log_start_offset, high_watermark), (start, rig.log.high_watermark()));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn within_bound(rig: &Rig) {
    let used_bytes = rig.disk.used_bytes();
    if used_bytes > 4 * SEGMENT + SMALL_FILES {
        let disk = rig.disk.kill(0);
        let files = disk.run_until(disk.list(&crate::rig::dir()));
        panic!("{:?}: {used_bytes} B in {files:?}", rig.settings.preallocate);
    }
}

/// The bound holds for fast appends and slow retention too.
#[test]
fn files_take_retention_and_two_segments_at_most_all_the_time() {
    for (seed, preallocate) in KINDS.into_iter().cycle().take(40).enumerate() {
        let durability = [Durability::Written, Durability::Synced][seed / 4 % 2];
        let settings = by_size(durability, preallocate);
        let mut rig = Rig::new(settings, seed as u64);
        // Some batches fill a segment to its last byte, others leave little or much free space.
        let bytes = [SEGMENT as usize / 4, 250_000, 90_000, 350_000, 600_000][seed / 8];
        for number in 0..120 {
            rig.append(batch(number, 7, bytes), None);
            for _ in 0..seed % 5 {
                rig.steps(1);
                within_bound(&rig);
            }
        }
        while rig.disk.outstanding() > 0 {
            rig.steps(1);
            within_bound(&rig);
        }
        rig.run_to_idle();
        assert!(rig.log.log_start_offset() > 0 && rig.model.batches().len() == 120);
        rig.read_from(rig.log.log_start_offset());
    }
}

#[test]
fn a_read_whose_segment_is_deleted_meanwhile_names_the_offset_that_was_asked_for() {
    let mut overtaken = 0;
    for seed in 0..200 {
        let large = Settings {
            retention_bytes: Some(20 * SEGMENT),
            cache_bytes: 0,
            files: FEW,
            ..by_size(Durability::Written, Preallocate::None)
        };
        let mut rig = Rig::new(large.clone(), seed);
        fill(&mut rig, 40);
        rig.run_to_idle();
        // The first segment is not open any more. So the read begins with an open, which the deletion may overtake.
        rig.fetch(3, 1000);
        rig.alter(Settings { retention_bytes: Some(2 * SEGMENT), ..large }, true);
        rig.log.look_at_retention();
        rig.run_to_idle();
        assert!(rig.log.log_start_offset() > 3);
        overtaken += rig.overtaken_reads;
    }
    assert!(overtaken > 0, "no deletion was faster than the open before it");
}

#[test]
fn appends_go_on_after_retention_or_segments_were_made_smaller() {
    for (seed, preallocate) in KINDS.into_iter().enumerate() {
        for (retention_bytes, segment_bytes) in
            [(2 * SEGMENT, SEGMENT), (2 * SEGMENT, 2 * SEGMENT), (6 * SEGMENT, SEGMENT)]
        {
            let before = Settings {
                segment_bytes: 2 * SEGMENT,
                retention_bytes: Some(6 * SEGMENT),
                ..by_size(Durability::Written, preallocate)
            };
            let mut rig = Rig::new(before.clone(), seed as u64);
            fill(&mut rig, 40);
            rig.steps(seed * 7);
            rig.alter(Settings { retention_bytes: Some(retention_bytes), segment_bytes, ..before }, true);
            for number in 0..60 {
                rig.append(batch(number, 7, 250_000), None);
                rig.steps(2);
            }
            rig.run_to_idle();
            assert_eq!(rig.model.batches().len(), 100, "{preallocate:?}");
            let bound_bytes = retention_bytes + 2 * segment_bytes + SMALL_FILES;
            assert!(rig.disk.used_bytes() <= bound_bytes, "{preallocate:?}");
            rig.read_from(rig.log.log_start_offset());
        }
    }
}

#[test]
fn records_go_by_age_also_those_from_before_the_log_was_opened() {
    // The model's records have the timestamp 1 s, at which the clock also begins.
    let settings = Settings { retention_ms: Some(60_000), ..Settings::default() };
    let mut rig = Rig::new(settings, 2);
    fill(&mut rig, 10);
    rig.run_to_idle();
    assert_eq!(rig.log.log_start_offset(), 0, "nothing is old yet");
    rig.close();
    rig.restart(&Restart::simple(Fate::Kill, 1));
    rig.advance(Duration::from_secs(70));
    rig.log.look_at_retention();
    rig.run_to_idle();
    assert_eq!(rig.log.log_start_offset(), rig.log.log_end_offset(), "all of it was sealed, and is old");
    fill(&mut rig, 3);
    rig.run_to_idle();
    rig.read_from(rig.log.log_start_offset());
    rig.restart(&Restart::simple(Fate::PowerLoss, 1));
}

#[test]
fn a_segment_rolls_by_age() {
    let mut rig = Rig::new(Settings { segment_ms: Some(10_000), ..Settings::default() }, 3);
    for _ in 0..4 {
        rig.append(batch(1, 1, 2_000), None);
        rig.run_to_idle();
        rig.advance(Duration::from_secs(11));
    }
    let names = rig.disk.run_until(rig.disk.list(&crate::rig::dir())).unwrap();
    assert_eq!(names.iter().filter(|entry| entry.name.ends_with(".log")).count(), 4);
    rig.read_from(0);
}

#[test]
fn an_end_at_every_step_of_a_deletion_loses_nothing_that_was_to_stay() {
    for durability in [Durability::Written, Durability::Synced] {
        let mut rig = Rig::new(by_size(durability, Preallocate::Fallocate), 4);
        fill(&mut rig, 16);
        rig.end_at_every_step();
        assert!(rig.log.log_start_offset() > 0, "something was deleted");
    }
}

/// The write of a seal's checkpoint fails, so the recovery offset is lower than the end of the sealed segments. Retention may
/// delete such a segment nevertheless.
#[test]
fn an_end_in_the_deletion_of_a_segment_that_no_checkpoint_has_as_sealed_is_no_damage() {
    for operations_before in 2..4 {
        let mut rig = Rig::new(by_size(Durability::Appended, Preallocate::Recycle), 1);
        rig.disk.inject(Fault { op: DiskOp::Open, operations_before, effect: Effect::Fails(INJECTED) });
        fill(&mut rig, 24);
        while rig.disk.outstanding() > 0 {
            rig.restarted(&Restart::simple(Fate::Kill, 1));
            rig.steps(2);
        }
    }
}

#[test]
fn a_deletion_that_a_kill_cut_short_may_be_cut_short_again_by_a_power_loss() {
    let mut rig = Rig::new(by_size(Durability::Written, Preallocate::Fallocate), 5);
    fill(&mut rig, 16);
    let mut seed = 0;
    while rig.disk.outstanding() > 0 {
        for steps in 2..8 {
            seed += 1;
            let interruptions = vec![(Fate::PowerLoss, steps)];
            let again = rig.restarted(&Restart { interruptions, ..Restart::simple(Fate::Kill, seed) });
            again.read_from(again.log.log_start_offset());
        }
        rig.steps(1);
    }
    rig.run_to_idle();
    assert!(rig.log.log_start_offset() > 0, "something was deleted");
}

/// Removes the file of the segment with this index, without the log. Returns the segment's base offset.
fn lose_segment(rig: &Rig, index: usize) -> i64 {
    let names = rig.disk.run_until(rig.disk.list(&crate::rig::dir())).unwrap();
    let bases: Vec<i64> = names.iter().filter_map(|entry| segment::base_offset_of(&entry.name)).collect();
    let path = segment::log_path(&crate::rig::dir(), bases[index]);
    rig.disk.run_until(rig.disk.remove_file(&path)).unwrap();
    bases[index]
}

/// An open does not notice that the file of a sealed segment is missing. Retention finds it, with the size known or unknown.
#[test]
fn retention_passes_over_a_segment_whose_file_is_missing() {
    for preallocate in KINDS {
        for is_opened_again in [false, true] {
            let mut rig = Rig::new(by_size(Durability::Written, preallocate), 6);
            fill(&mut rig, 9);
            rig.run_to_idle();
            assert_eq!(rig.log.log_start_offset(), 0);
            if is_opened_again {
                rig.close();
                rig.restart(&Restart::simple(Fate::Kill, 6));
            }
            let lost = lose_segment(&rig, 1);
            for number in 0..30 {
                rig.append(batch(number, 7, 250_000), None);
                rig.run_to_idle();
            }
            assert!(rig.log.failed().is_none(), "{preallocate:?}: {:?}", rig.log.failed());
            assert!(rig.log.log_start_offset() > lost);
            rig.read_from(rig.log.log_start_offset());
            rig.restart(&Restart::simple(Fate::PowerLoss, 6));
        }
    }
}

fn by_age() -> Settings {
    Settings { retention_ms: Some(60_000), preallocate: Preallocate::Fallocate, ..Settings::default() }
}

/// Returns a log that was just opened, so that neither sizes nor ages of its segments are known.
fn opened(settings: &Settings) -> Rig {
    let mut rig = Rig::new(settings.clone(), 7);
    fill(&mut rig, 10);
    rig.close();
    rig.restart(&Restart::simple(Fate::Kill, 7));
    rig
}

/// Lets all records become too old, and makes an operation fail when retention runs.
fn expire_with(rig: &mut Rig, op: DiskOp, operations_before: u64) {
    rig.disk.inject(Fault { op, operations_before, effect: Effect::Fails(INJECTED) });
    rig.advance(Duration::from_secs(70));
    rig.log.look_at_retention();
    rig.run_to_idle();
    rig.disk.clear_faults();
}

#[test]
fn a_segment_that_retention_cannot_read_is_read_again_later() {
    let mut met = 0;
    for settings in [by_age(), by_size(Durability::Written, Preallocate::Auto)] {
        for op in [DiskOp::Open, DiskOp::Read] {
            for operations_before in 0..6 {
                let mut rig = opened(&settings);
                expire_with(&mut rig, op, operations_before);
                assert!(rig.log.failed().is_none(), "{op} {operations_before}: {:?}", rig.log.failed());
                met += usize::from(rig.log.retry_due().is_some());
                rig.advance(Duration::from_secs(1));
                fill(&mut rig, 20);
                rig.run_to_idle();
                assert!(rig.log.log_start_offset() > 0 && rig.log.failed().is_none());
                assert_eq!((rig.log.high_watermark(), rig.refusals), (210, 0));
                rig.read_from(rig.log.log_start_offset());
                rig.restart(&Restart::simple(Fate::PowerLoss, 7));
            }
        }
    }
    assert!(met >= 6, "{met} reads of retention have failed");
}

#[test]
fn a_segment_that_cannot_be_read_for_long_is_read_ever_more_rarely() {
    let mut rig = opened(&by_age());
    expire_with(&mut rig, DiskOp::Read, 0);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let due = rig.log.retry_due().expect("it is tried again");
        let wait = due - rig.clock.now();
        assert!(
            wait <= Duration::from_secs(seconds)
                && wait + Duration::from_secs(1) > Duration::from_secs(seconds)
        );
        rig.disk.inject(Fault { op: DiskOp::Read, operations_before: 0, effect: Effect::Fails(INJECTED) });
        rig.advance(wait);
        rig.run_to_idle();
    }
    rig.disk.clear_faults();
    assert_eq!(rig.log.log_start_offset(), 0);
    rig.advance(Duration::from_secs(60));
    rig.run_to_idle();
    assert_eq!(rig.log.log_start_offset(), rig.log.log_end_offset());
}

#[test]
fn a_change_of_retention_that_fails_latches_the_log() {
    for op in [DiskOp::Remove, DiskOp::SyncDir, DiskOp::Write, DiskOp::Sync] {
        let mut rig = opened(&by_age());
        expire_with(&mut rig, op, 0);
        assert_eq!(rig.log.failed().map(|error| error.op), Some(op));
        rig.restart(&Restart::simple(Fate::PowerLoss, 7));
    }
}
