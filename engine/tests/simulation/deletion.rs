//! Records that are deleted on request: the start of the log is durable once the request is answered, and no record above
//! it is lost, at any step at which the process or the machine stops.

use crate::KINDS;
use crate::model::{batch, timed_batch};
use crate::rig::{Fate, Restart, Rig, Settings, dir};
use std::rc::Rc;
use std::time::Duration;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::{Effect, Fault};
use vnotch_engine::error::{DeleteRecordsError, DiskOp, FetchError};
use vnotch_engine::log::NotDeleted;
use vnotch_engine::segment;
use vnotch_engine::types::{Durability, OffsetSpec, Preallocate};

const LEVELS: [Durability; 3] = [Durability::Appended, Durability::Written, Durability::Synced];

/// Records of each batch that [`fill`] appends.
const COUNT: i64 = 7;

fn fill(rig: &mut Rig, batches: u64) {
    for number in 0..batches {
        rig.append(batch(number, COUNT as usize, 250_000), None);
    }
}

fn with(durability: Durability, preallocate: Preallocate) -> Settings {
    Settings { durability, preallocate, ..Settings::default() }
}

/// Returns the base offsets of the segments' files.
fn segments(rig: &Rig) -> Vec<i64> {
    let names = rig.disk.run_until(rig.disk.list(&dir())).unwrap();
    names.iter().filter_map(|entry| segment::base_offset_of(&entry.name)).collect()
}

/// Asks the log directly, and waits for the answer.
fn ask(rig: &Rig, offset: i64) -> Result<i64, DeleteRecordsError> {
    match rig.disk.run_until(Rc::clone(&rig.log).delete_records(offset)) {
        Ok(start) => Ok(start),
        Err(NotDeleted::Failed(error)) => Err(error),
        Err(NotDeleted::NotYet) => panic!("all records are written"),
    }
}

fn simple(fate: Fate, seed: u64) -> Restart {
    Restart::simple(fate, seed)
}

#[test]
fn an_end_at_every_step_leaves_the_old_start_or_the_new_one_and_all_records_behind_it() {
    for durability in LEVELS {
        for preallocate in KINDS {
            for (offset, is_idle) in [(COUNT * 5, true), (COUNT * 5 + 3, false), (COUNT * 12, true)] {
                let mut rig = Rig::new(with(durability, preallocate), 4);
                fill(&mut rig, 12);
                if is_idle {
                    rig.run_to_idle();
                }
                while rig.log.high_watermark() < offset {
                    rig.steps(1);
                }
                rig.delete_records(offset);
                rig.end_at_every_step();
                assert_eq!(rig.log.log_start_offset(), offset);
                rig.read_from(offset);
                for fate in [Fate::Kill, Fate::PowerLoss] {
                    let again = rig.restarted(&simple(fate, 1));
                    assert!(again.log.log_start_offset() >= offset, "what was answered stays");
                }
            }
        }
    }
}

#[test]
fn whole_segments_below_the_start_go_and_the_others_stay() {
    for preallocate in KINDS {
        let mut rig = Rig::new(with(Durability::Written, preallocate), 1);
        fill(&mut rig, 16);
        rig.run_to_idle();
        let before = segments(&rig);
        assert!(before.len() >= 4, "{before:?}");
        let inside = before[2] + 1;
        rig.delete_records(inside);
        rig.run_to_idle();
        assert_eq!(segments(&rig), before[2..], "{preallocate:?}");
        let is_recycled = [segment::FILLING, segment::SPARE].iter().any(|name| rig.file(name).is_some());
        assert_eq!(is_recycled, preallocate == Preallocate::Recycle);
        rig.read_from(inside);
        // The active segment goes once it is sealed.
        rig.delete_records(rig.log.high_watermark());
        rig.run_to_idle();
        assert_eq!(segments(&rig), before[before.len() - 1..]);
        fill(&mut rig, 5);
        rig.run_to_idle();
        assert!(!segments(&rig).contains(before.last().unwrap()), "{:?}", segments(&rig));
        rig.read_from(rig.log.log_start_offset());
        rig.close();
        rig.restart(&simple(Fate::PowerLoss, 1));
        fill(&mut rig, 5);
        rig.run_to_idle();
        rig.read_from(rig.log.log_start_offset());
    }
}

#[test]
fn a_closed_log_whose_records_are_all_deleted_opens_empty_at_its_end() {
    for durability in LEVELS {
        let mut rig = Rig::new(with(durability, Preallocate::Auto), 1);
        fill(&mut rig, 9);
        rig.run_to_idle();
        assert_eq!(ask(&rig, -1).unwrap(), 9 * COUNT);
        rig.model.deletions.insert(9 * COUNT);
        rig.close();
        rig.restart(&simple(Fate::PowerLoss, 1));
        assert_eq!((rig.log.log_start_offset(), rig.log.log_end_offset()), (9 * COUNT, 9 * COUNT));
        assert_eq!(segments(&rig), [0_i64; 0]);
        fill(&mut rig, 3);
        rig.run_to_idle();
        rig.read_from(9 * COUNT);
        rig.restart(&simple(Fate::Kill, 1));
        assert_eq!(rig.log.log_end_offset(), 12 * COUNT);
    }
}

/// The records were written and never synced, so the power loss takes some of them. The start was synced.
#[test]
fn a_log_that_ends_below_its_start_after_a_power_loss_continues_at_its_start() {
    let mut seen = 0;
    for seed in 0..200 {
        let durability = LEVELS[seed as usize % 2];
        let mut rig = Rig::new(with(durability, KINDS[seed as usize / 2 % 4]), seed);
        fill(&mut rig, 1 + seed % 9);
        rig.run_to_idle();
        // Every third start lies inside of a batch.
        let offset = rig.log.high_watermark() - i64::from(seed % 3 == 0);
        rig.delete_records(offset);
        while rig.is_deleting() {
            rig.steps(1);
        }
        let interruptions = vec![(Fate::PowerLoss, seed as usize % 12), (Fate::Kill, seed as usize % 7)];
        rig.restart(&Restart { interruptions, ..simple(Fate::PowerLoss, seed) });
        let (start, end) = (rig.log.log_start_offset(), rig.log.log_end_offset());
        assert!(start >= offset && end >= start, "{start}..{end}, deleted to {offset}");
        seen += usize::from(segments(&rig).is_empty() && seed % 3 == 0);
        for _ in 0..2 {
            let end = rig.log.log_end_offset();
            fill(&mut rig, 3);
            rig.run_to_idle();
            assert_eq!(rig.log.log_end_offset(), end + 3 * COUNT);
            rig.read_from(rig.log.log_start_offset());
            rig.close();
            rig.restart(&simple(Fate::PowerLoss, seed));
            assert_eq!(rig.log.log_end_offset(), end + 3 * COUNT);
        }
    }
    assert!(seen > 5, "{seen} logs have lost the batch in which they begin");
}

#[test]
fn what_cannot_be_deleted_is_refused_and_what_is_deleted_is_answered_with_the_start() {
    let mut rig = Rig::new(with(Durability::Written, Preallocate::Auto), 1);
    assert_eq!((ask(&rig, -1).unwrap(), ask(&rig, 0).unwrap()), (0, 0), "an empty log is not touched");
    assert!(rig.file("checkpoint").is_none());
    fill(&mut rig, 9);
    rig.run_to_idle();
    let end = 9 * COUNT;
    for offset in [end + 1, i64::MAX, -2, i64::MIN] {
        let refused = ask(&rig, offset).unwrap_err();
        let DeleteRecordsError::OffsetOutOfRange { offset: named, log_start_offset: 0, high_watermark } =
            refused
        else {
            panic!("{refused}")
        };
        assert_eq!((named, high_watermark), (offset, end));
    }
    assert_eq!(rig.log.log_start_offset(), 0);
    assert_eq!(ask(&rig, 30).unwrap(), 30);
    let checkpoint = rig.file("checkpoint");
    for offset in [0, 1, 29, 30] {
        assert_eq!(ask(&rig, offset).unwrap(), 30);
    }
    assert_eq!(rig.file("checkpoint"), checkpoint, "nothing is written for what is deleted already");
    assert_eq!(ask(&rig, -1).unwrap(), end);
}

#[test]
fn fetches_and_searches_begin_at_the_start() {
    for (cache_bytes, is_closed) in [(4 << 20, false), (0, false), (0, true)] {
        let mut rig = Rig::new(Settings { cache_bytes, ..Settings::default() }, 1);
        for number in 0..20 {
            let times: Vec<i64> = (0..COUNT).map(|record| 1_000 + number * 100 + record).collect();
            rig.append(timed_batch(&times, 200_000), None);
        }
        rig.run_to_idle();
        if is_closed {
            rig.close();
            rig.restart(&simple(Fate::Kill, 1));
        }
        let start = 9 * COUNT + 4;
        rig.delete_records(start);
        rig.run_to_idle();
        for offset in [0, start - 1] {
            match rig.log.fetch(offset, 1_000) {
                Err(FetchError::OffsetOutOfRange { log_start_offset, .. }) => {
                    assert_eq!(log_start_offset, start)
                }
                other => panic!("{other:?}"),
            }
        }
        rig.read_from(start);
        let listed = |spec| {
            let listed = rig.disk.run_until(Rc::clone(&rig.log).list_offset(spec)).unwrap().unwrap();
            listed.offset
        };
        assert_eq!(listed(OffsetSpec::Earliest), start);
        assert_eq!(listed(OffsetSpec::Timestamp(0)), start);
        assert_eq!(listed(OffsetSpec::Timestamp(1_000 + 900 + 2)), start);
        assert_eq!(listed(OffsetSpec::Timestamp(1_000 + 900 + 5)), start + 1);
        assert_eq!(listed(OffsetSpec::Timestamp(1_000 + 1_000)), 10 * COUNT);
    }
}

/// Consumers of an `appended` topic see records that are not written. A start among them could lie beyond the end of the
/// log after a kill.
#[test]
fn records_are_deleted_once_they_are_written() {
    let mut rig = Rig::new(with(Durability::Appended, Preallocate::Auto), 1);
    fill(&mut rig, 1);
    rig.run_to_idle();
    fill(&mut rig, 2);
    let end = rig.log.high_watermark();
    assert_eq!(end, 3 * COUNT);
    rig.delete_records(end);
    let mut seed = 0;
    while rig.is_deleting() {
        assert!(rig.log.log_start_offset() < end);
        seed += 1;
        let again = rig.restarted(&simple(Fate::Kill, seed));
        assert!(again.log.log_start_offset() <= again.log.log_end_offset());
        rig.steps(1);
    }
    assert_eq!(rig.log.log_start_offset(), end);
    rig.run_to_idle();
}

#[test]
fn a_full_disk_never_cuts_a_log_below_its_start() {
    for seed in 0..60 {
        let durability = LEVELS[seed as usize % 3];
        let mut rig = Rig::new(with(durability, KINDS[seed as usize / 3 % 4]), seed);
        fill(&mut rig, 4);
        rig.run_to_idle();
        fill(&mut rig, 4);
        rig.disk.fill_up(seed % 5);
        rig.delete_records(rig.log.high_watermark());
        for _ in 0..30 {
            rig.steps(1);
            assert!(rig.log.log_start_offset() <= rig.log.high_watermark());
        }
        rig.run_to_idle();
        rig.make_room();
        assert!(rig.log.log_start_offset() <= rig.log.log_end_offset());
        fill(&mut rig, 2);
        rig.run_to_idle();
        rig.read_from(rig.log.log_start_offset());
        rig.restart(&simple(Fate::Kill, seed));
    }
}

/// After a kill, the checkpoint that an open reads may be in the page cache alone. An answer that relies on it has to be
/// durable nevertheless.
#[test]
fn a_start_that_an_open_has_found_is_durable_once_a_request_is_answered_with_it() {
    let mut seen = 0;
    for seed in 0..30 {
        let mut rig = Rig::new(with(Durability::Synced, Preallocate::Auto), seed);
        fill(&mut rig, 9);
        rig.run_to_idle();
        rig.close();
        rig.restart(&simple(Fate::Kill, seed));
        // No segment lies below the start, so that the open has nothing to put in order.
        let offset = COUNT + 2;
        rig.delete_records(offset);
        while rig.is_deleting() {
            let again = rig.restarted(&simple(Fate::Kill, seed));
            if again.log.log_start_offset() == offset {
                seen += 1;
                assert_eq!(ask(&again, offset).unwrap(), offset);
                let after = again.restarted(&simple(Fate::PowerLoss, seed));
                assert_eq!(after.log.log_start_offset(), offset);
            }
            rig.steps(1);
        }
        rig.run_to_idle();
    }
    assert!(seen > 0, "no kill came between the write and the answer");
}

#[test]
fn a_deletion_whose_checkpoint_fails_is_an_error_and_leaves_the_old_start_or_the_new_one() {
    for op in [DiskOp::Write, DiskOp::Sync] {
        for fate in [Fate::Kill, Fate::PowerLoss] {
            let mut rig = Rig::new(with(Durability::Written, Preallocate::Auto), 1);
            fill(&mut rig, 9);
            rig.run_to_idle();
            rig.disk.inject(Fault {
                op,
                operations_before: 0,
                effect: Effect::Fails(crate::restart::INJECTED),
            });
            let failed = ask(&rig, 20).unwrap_err();
            assert!(matches!(failed, DeleteRecordsError::StorageFailed(_)), "{failed}");
            assert_eq!((rig.log.log_start_offset(), rig.log.failed().is_some()), (0, true));
            let again = ask(&rig, 20).unwrap_err();
            assert!(matches!(again, DeleteRecordsError::StorageFailed(_)), "{again}");
            rig.disk.clear_faults();
            rig.model.deletions.insert(20);
            rig.restart(&simple(fate, 1));
            assert!([0, 20].contains(&rig.log.log_start_offset()));
        }
    }
}

#[test]
fn retention_and_requests_raise_the_start_together() {
    for seed in 0..40 {
        let settings = Settings {
            retention_bytes: Some(2 << 20),
            ..with(LEVELS[seed as usize % 3], KINDS[seed as usize / 3 % 4])
        };
        let mut rig = Rig::new(settings, seed);
        for number in 0..60 {
            rig.append(batch(number, COUNT as usize, 250_000), None);
            rig.steps(seed as usize % 4);
            if number % 7 == seed % 7 {
                let (start, visible) = (rig.log.log_start_offset(), rig.log.high_watermark());
                rig.delete_records(start + (visible - start) / 2);
            }
            if number % 20 == 19 {
                let fate = [Fate::Kill, Fate::PowerLoss][seed as usize % 2];
                rig.restart(&simple(fate, seed + number));
            }
        }
        rig.run_to_idle();
        rig.advance(Duration::from_secs(1));
        assert!(rig.log.failed().is_none());
        rig.read_from(rig.log.log_start_offset());
    }
}
