//! Recycled segments: files that still hold older bytes beyond the end of the log, and that are renamed.

use crate::model::batch;
use crate::rig::{Fate, Restart, Rig, Settings, dir};
use std::path::Path;
use std::rc::Rc;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::disk::{Disk as _, DiskFile as _, OpenMode, WriteData, WriteSync};
use vnotch_engine::events::EventKind;
use vnotch_engine::record::{self, stamp};
use vnotch_engine::segment;
use vnotch_engine::types::{Durability, IoMode, Preallocate};

const SEGMENT: u64 = 1 << 20;

/// Largest size of all indexes and the checkpoint together, bytes.
const SMALL_FILES: u64 = 64 << 10;

fn recycling(durability: Durability) -> Settings {
    Settings {
        durability,
        preallocate: Preallocate::Recycle,
        retention_bytes: Some(2 * SEGMENT),
        ..Settings::default()
    }
}

/// Appends one batch at a time, and waits until all work for it is done.
fn append_one_by_one(rig: &mut Rig, batches: std::ops::Range<u64>) {
    for number in batches {
        rig.append(batch(number, 7, 250_000), None);
        rig.run_to_idle();
        assert!(rig.file_bytes() <= 4 * SEGMENT + SMALL_FILES, "retention and two segments");
    }
}

fn count(rig: &Rig, kind: EventKind) -> usize {
    rig.events.iter().filter(|event| **event == kind).count()
}

#[test]
fn all_writes_overwrite_once_the_first_segment_is_full() {
    for durability in [Durability::Written, Durability::Synced] {
        let mut rig = Rig::new(recycling(durability), 1);
        append_one_by_one(&mut rig, 0..4);
        assert_eq!(rig.writes[1], 0, "nothing was there to be written over");
        let first = rig.writes[0];
        append_one_by_one(&mut rig, 4..100);
        assert_eq!(rig.writes[0] - first, rig.writes[1]);
        assert_eq!((count(&rig, EventKind::NoSpare), count(&rig, EventKind::Roll)), (1, 25));
        rig.read_from(rig.log.log_start_offset());
    }
}

#[test]
fn each_full_segment_is_synced_once_with_an_event_before_it_is_sealed() {
    let settings = Settings { preallocate: Preallocate::Fallocate, ..recycling(Durability::Written) };
    let mut rig = Rig::new(settings, 9);
    append_one_by_one(&mut rig, 0..40);
    let (syncs, seals) = (count(&rig, EventKind::Sync), count(&rig, EventKind::Seal));
    assert!(seals > 3 && syncs == seals, "{syncs} syncs, {seals} seals");
}

#[test]
fn where_only_freed_segments_are_recycled_nothing_is_written_twice() {
    for durability in [Durability::Written, Durability::Synced] {
        let mut rig = Rig::new(Settings { preallocate: Preallocate::Auto, ..recycling(durability) }, 9);
        for number in 0..8 {
            rig.append(batch(number, 7, 250_000), None);
            rig.run_to_idle();
            assert!(rig.file(segment::SPARE).or_else(|| rig.file(segment::FILLING)).is_none());
        }
        append_one_by_one(&mut rig, 8..20);
        let before = rig.writes;
        append_one_by_one(&mut rig, 20..60);
        let [all, overwriting] = [0, 1].map(|kind| rig.writes[kind] - before[kind]);
        assert_eq!(all, overwriting, "every write overwrites after the first deletion");
        assert!(rig.file(segment::PREPARING).is_none(), "no other file is made ahead");
        assert_eq!(count(&rig, EventKind::NoSpare), 0, "`auto` promises no spare");
        rig.read_from(rig.log.log_start_offset());
    }
}

#[test]
fn a_freed_segment_is_the_next_ones_file_and_a_new_one_is_zeros() {
    let mut rig = Rig::new(recycling(Durability::Written), 2);
    append_one_by_one(&mut rig, 0..4);
    let new = rig.file(segment::SPARE).unwrap();
    assert!(new.len() as u64 == SEGMENT && new.iter().all(|byte| *byte == 0));
    append_one_by_one(&mut rig, 4..20);
    let start = rig.log.log_start_offset();
    let spare = rig.file(segment::SPARE).unwrap();
    assert_eq!(spare.len() as u64, SEGMENT);
    // The spare holds the batches of the segment before the log's start, all of them whole, and then zeros.
    let held = rig.model.batches().iter().rev().find(|batch| batch.next_offset == start).unwrap();
    assert!(spare.windows(8).any(|bytes| bytes == held.base_offset.to_be_bytes()));
    let whole = record::batches(&spare).map_while(Result::ok).take_while(|batch| batch.verify_crc().is_ok());
    assert_eq!(whole.last().unwrap().header().next_offset(), start, "the last batch is whole");
    assert!(spare[SEGMENT as usize - 4096..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_roll_that_finds_no_spare_ready_does_not_wait_for_one() {
    let settings = Settings {
        segment_bytes: 6 << 20,
        retention_bytes: Some(18 << 20),
        ..recycling(Durability::Written)
    };
    let mut rig = Rig::new(settings, 3);
    // The filling writes one chunk at a time, and is slower than the appends.
    for number in 0..100 {
        rig.append(batch(number, 7, 500_000), None);
        rig.steps(6);
    }
    rig.run_to_idle();
    let (missing, rolls) = (count(&rig, EventKind::NoSpare), count(&rig, EventKind::Roll));
    assert!(missing > 1, "{missing} of {rolls}");
    assert!(rig.writes[1] > 0, "what was filled is used");
    rig.read_from(rig.log.log_start_offset());
}

/// Ends copies of `rig` in every way before each of its steps. Returns the number of steps.
fn end_at_every_step(rig: &mut Rig, seed: &mut u64) -> usize {
    let mut steps = 0;
    while rig.disk.outstanding() > 0 {
        for fate in [Fate::Kill, Fate::PowerLoss] {
            *seed += 1;
            let mut again = rig.restarted(&Restart::simple(fate, *seed));
            again.read_from(again.log.log_start_offset());
            if (*seed).is_multiple_of(16) {
                // Records that are appended after the open must survive too, over the same stale bytes.
                let end = again.log.log_end_offset();
                again.append(batch(*seed, 3, 100_000), Some(Durability::Synced));
                again.run_to_idle();
                again.restart(&Restart::simple(Fate::PowerLoss, *seed));
                assert_eq!(again.log.log_end_offset(), end + 3);
            }
        }
        rig.steps(1);
        steps += 1;
    }
    steps
}

#[test]
fn an_end_at_every_step_shows_nothing_stale_and_loses_nothing_acked() {
    let kinds = [Preallocate::Recycle, Preallocate::Auto];
    let levels = [Durability::Written, Durability::Synced];
    for (preallocate, durability) in kinds.into_iter().flat_map(|kind| levels.map(|level| (kind, level))) {
        let mut rig = Rig::new(Settings { preallocate, ..recycling(durability) }, 4);
        let (mut seed, mut steps) = (0, 0);
        append_one_by_one(&mut rig, 0..12);
        for number in 12..28 {
            let level = [None, Some(Durability::Synced)][number as usize % 2];
            rig.append(batch(number, 7, 230_000 + number as usize * 777), level);
            steps += end_at_every_step(&mut rig, &mut seed);
        }
        // With `recycle`, new files are filled too, so there are more overwrites.
        let least = if preallocate == Preallocate::Recycle { 50 } else { 40 };
        assert!(steps > 100 && rig.writes[1] > least, "{steps} steps, {:?} writes", rig.writes);
        rig.run_to_idle();
    }
}

#[test]
fn a_crash_while_appends_do_not_stop_shows_nothing_stale() {
    for seed in 0..2 {
        let mut rig = Rig::new(recycling(Durability::Synced), seed);
        append_one_by_one(&mut rig, 0..12);
        for number in 0..12 {
            rig.append(batch(number, 3, 20_000 + number as usize * 31_007), None);
        }
        end_at_every_step(&mut rig, &mut (seed * 10_000));
        rig.run_to_idle();
        rig.read_from(rig.log.log_start_offset());
    }
}

#[test]
fn a_segment_that_is_being_read_is_not_recycled() {
    for is_read in [false, true] {
        let settings = Settings { cache_bytes: 0, ..recycling(Durability::Written) };
        let mut rig = Rig::new(settings, 5);
        append_one_by_one(&mut rig, 0..10);
        rig.log.shed_memory();
        let start = rig.log.log_start_offset();
        let mut read = Box::pin(Rc::clone(&rig.log).fetch_from_disk(start, 400_000));
        if is_read {
            // The read has begun, and is not polled while retention deletes the segment.
            let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
            assert!(read.as_mut().poll(context).is_pending());
        }
        let mut number = 10;
        while rig.log.log_start_offset() == start {
            append_one_by_one(&mut rig, number..number + 1);
            number += 1;
        }
        // Either name is possible, because a new file is filled at the pace of the appends.
        let spare = rig.file(segment::SPARE).or_else(|| rig.file(segment::FILLING)).unwrap();
        assert_eq!(spare.iter().any(|byte| *byte != 0), !is_read, "recycled although it was being read");
        if is_read {
            append_one_by_one(&mut rig, number..number + 10);
            let pieces = rig.disk.run_until(read).unwrap();
            assert!(!pieces.is_empty());
            rig.model.check(start, &pieces, rig.log.high_watermark());
        }
    }
}

#[test]
fn a_spare_that_was_ready_is_kept_and_any_other_is_removed() {
    let mut rig = Rig::new(recycling(Durability::Written), 6);
    append_one_by_one(&mut rig, 0..10);
    rig.close();
    assert!(rig.file(segment::SPARE).is_some(), "a clean end leaves it");
    for fate in [Fate::Kill, Fate::PowerLoss] {
        let mut again = rig.restarted(&Restart::simple(fate, 1));
        let before = again.writes;
        again.append(batch(1, 1, 50_000), None);
        again.run_to_idle();
        assert!(again.writes[1] > before[1], "the first segment after the open overwrites it");
        assert_eq!(count(&again, EventKind::NoSpare), 0);
    }
    for settings in [
        Settings { preallocate: Preallocate::Fallocate, ..recycling(Durability::Written) },
        Settings {
            segment_bytes: SEGMENT + 4096,
            retention_bytes: Some(SEGMENT * 3),
            ..rig.settings.clone()
        },
    ] {
        rig.settings = settings;
        let again = rig.restarted(&Restart::simple(Fate::Kill, 2));
        assert!(again.file(segment::SPARE).is_none(), "it can no longer be used");
    }
    rig.settings = recycling(Durability::Written);
    write_file(&rig.disk, segment::FILLING, &vec![1; SEGMENT as usize]);
    let again = rig.restarted(&Restart::simple(Fate::Kill, 3));
    assert!(again.file(segment::FILLING).is_none(), "it is unknown how far it was filled");
}

fn write_file(disk: &SimDisk, name: &str, bytes: &[u8]) {
    let path = dir().join(name);
    disk.run_until(async {
        let file = disk.open(&path, OpenMode::Replace, IoMode::Buffered).await.unwrap();
        file.write(WriteData::Heap(bytes.into()), 0, WriteSync::None).await.unwrap();
        file.sync().await.unwrap();
        disk.sync_dir(Path::new("/t-0")).await.unwrap();
    });
}

/// After a power loss, a spare may be the file of a segment whose name was never synced. It then holds batches with exactly the
/// next offsets, of an older epoch.
#[test]
fn batches_of_an_older_epoch_are_stale_whatever_their_offsets() {
    for durability in [Durability::Written, Durability::Synced] {
        let settings =
            Settings { segment_bytes: 6 << 20, retention_bytes: Some(12 << 20), ..recycling(durability) };
        let mut rig = Rig::new(settings, 7);
        append_small_batches(&mut rig);
        rig.close();
        let next_offset = rig.log.log_end_offset();
        let mut stale = Vec::new();
        for number in 0..24 {
            let mut bytes = batch(100 + number, 1, 250_000);
            stamp(&mut bytes, next_offset + number as i64, 1);
            stale.extend_from_slice(&bytes);
        }
        stale.resize(6 << 20, 0);
        write_file(&rig.disk, segment::SPARE, &stale);
        let mut rig = rig.restarted(&Restart::simple(Fate::Kill, 1));
        // First no batch of the log need be written before the stale ones, then two batches are.
        for own in 0..2 {
            rig.append(batch(9, 1, 250_000), Some(Durability::Appended));
            if own == 1 {
                rig.run_to_idle();
            } else {
                while has_spare(&rig) {
                    rig.steps(1);
                }
            }
            for fate in [Fate::Kill, Fate::PowerLoss] {
                for seed in 0..10 {
                    let again = rig.restarted(&Restart::simple(fate, seed));
                    assert!(again.log.log_end_offset() <= next_offset + 1 + own, "stale batches are taken");
                    again.read_from(again.log.log_start_offset());
                }
            }
        }
    }
}

/// Whether there is a spare. Reads a copy of the disk, so that the log's own operations are left to [`Rig::steps`].
fn has_spare(rig: &Rig) -> bool {
    let disk = rig.disk.kill(0);
    disk.run_until(disk.read_file(&dir().join(segment::SPARE))).is_ok()
}

fn append_small_batches(rig: &mut Rig) {
    for number in 0..4 {
        rig.append(batch(number, 2, 10_000), None);
    }
    rig.run_to_idle();
}

#[test]
fn a_spare_that_cannot_be_written_costs_the_log_nothing_but_the_spare() {
    let mut was_hit = 0;
    for write in 0..12 {
        let mut rig = Rig::new(recycling(Durability::Written), 8);
        rig.append(batch(1, 1, 10_000), None);
        rig.disk.fail_write(write, std::io::ErrorKind::Other);
        rig.run_to_idle();
        if rig.log.failed().is_some() || rig.file(segment::SPARE).is_some() {
            continue;
        }
        was_hit += 1;
        assert!(rig.file(segment::FILLING).is_none(), "it is given back");
        for number in 0..20 {
            rig.append(batch(number, 7, 250_000), None);
            rig.run_to_idle();
        }
        assert!(rig.log.failed().is_none());
        assert!(rig.writes[1] > 0, "the next one was made");
        rig.restart(&Restart::simple(Fate::PowerLoss, write));
    }
    assert!(was_hit > 0);
}

#[test]
fn a_freed_segment_that_has_become_larger_than_the_topics_segments_is_no_spare() {
    let large =
        Settings { segment_bytes: 3 << 20, retention_bytes: Some(6 << 20), ..recycling(Durability::Written) };
    let small = Settings { segment_bytes: 1 << 20, ..large.clone() };
    for steps in 0..60 {
        let mut rig = Rig::new(large.clone(), steps);
        // The last batches make retention free a segment.
        for number in 0..39 {
            rig.append(batch(number, 1, 250_000), None);
            if number < 37 {
                rig.run_to_idle();
            }
        }
        // After these steps the freed segment has reached some stage between the log and its next name.
        rig.steps(steps as usize);
        rig.alter(small.clone(), true);
        rig.run_to_idle();
        for number in 40..50 {
            rig.append(batch(number, 1, 250_000), None);
        }
        rig.run_to_idle();
        rig.read_from(rig.log.log_start_offset());
    }
}
