//! Retention by age while nobody appends: the active segment is sealed and deleted too.

use crate::model::batch;
use crate::rig::{Fate, Restart, Rig, Settings};
use std::time::Duration;
use vnotch_engine::record::{BatchBuilder, RecordRef};
use vnotch_engine::types::Durability;

/// Settings that retain records for 60 s. The model's records have the timestamp 1 s, at which the clock also begins.
fn retained_for_a_minute(durability: Durability) -> Settings {
    Settings { durability, retention_ms: Some(60_000), ..Settings::default() }
}

/// Lets time pass second by second. As on a shard, the log checks ages only at the times that it asked for.
fn pass(rig: &mut Rig, seconds: u64) {
    for _ in 0..seconds {
        rig.advance(Duration::from_secs(1));
        rig.run_to_idle();
    }
}

fn is_empty(rig: &Rig) -> bool {
    rig.log.log_start_offset() == rig.log.log_end_offset()
}

#[test]
fn the_last_segment_goes_by_age_without_an_append() {
    for durability in [Durability::Written, Durability::Synced, Durability::Appended] {
        let mut rig = Rig::new(retained_for_a_minute(durability), 1);
        for number in 0..3 {
            rig.append(batch(number, 7, 2_000), None);
        }
        rig.run_to_idle();
        let end = rig.log.log_end_offset();
        pass(&mut rig, 55);
        assert_eq!(rig.log.log_start_offset(), 0, "nothing is old yet");
        pass(&mut rig, 10);
        assert!(is_empty(&rig) && rig.log.log_end_offset() == end, "{durability:?}");
        assert_eq!(rig.log.look_due(), None, "an empty log needs no look");
        rig.append(batch(4, 7, 2_000), None);
        rig.run_to_idle();
        rig.read_from(end);
        rig.restart(&Restart::simple(Fate::PowerLoss, 1));
        assert_eq!(rig.log.log_start_offset(), end);
    }
}

#[test]
fn all_segments_go_by_age_and_offsets_go_on_after_the_end() {
    let mut rig = Rig::new(retained_for_a_minute(Durability::Synced), 2);
    for number in 0..12 {
        rig.append(batch(number, 7, 250_000), None);
    }
    rig.run_to_idle();
    pass(&mut rig, 62);
    assert!(is_empty(&rig));
    let end = rig.log.log_end_offset();
    for fate in [Fate::Kill, Fate::PowerLoss] {
        rig.restart(&Restart::simple(fate, 3));
        assert_eq!((rig.log.log_start_offset(), rig.log.log_end_offset()), (end, end));
    }
}

#[test]
fn an_end_at_every_step_of_such_a_deletion_loses_nothing_that_was_to_stay() {
    let mut rig = Rig::new(retained_for_a_minute(Durability::Written), 3);
    for number in 0..6 {
        rig.append(batch(number, 7, 250_000), None);
    }
    rig.run_to_idle();
    rig.advance(Duration::from_secs(61));
    rig.append(batch(9, 7, 1_000), None);
    rig.end_at_every_step();
    pass(&mut rig, 3);
    assert!(is_empty(&rig), "the last append has the timestamp 1 s too");
}

#[test]
fn records_without_a_timestamp_go_a_while_after_the_last_append_or_the_open() {
    let mut rig = Rig::new(retained_for_a_minute(Durability::Written), 4);
    let record = RecordRef { timestamp_ms: -1, value: Some(&[1; 500]), ..RecordRef::default() };
    let untimed = || {
        let mut builder = BatchBuilder::new();
        assert!(builder.push(&record).is_ok());
        builder.finish().bytes
    };
    rig.append(untimed(), None);
    rig.run_to_idle();
    pass(&mut rig, 40);
    rig.append(untimed(), None);
    pass(&mut rig, 50);
    assert_eq!(rig.log.log_start_offset(), 0, "the last append was 50 s ago");
    pass(&mut rig, 15);
    assert!(is_empty(&rig));
    rig.append(untimed(), None);
    rig.run_to_idle();
    rig.close();
    rig.restart(&Restart::simple(Fate::Kill, 1));
    pass(&mut rig, 55);
    assert!(!is_empty(&rig), "the open was 55 s ago");
    pass(&mut rig, 10);
    assert!(is_empty(&rig));
}

/// An index file is read once after an open, and not at every check of ages.
#[test]
fn a_segment_that_is_not_old_yet_is_read_once() {
    let mut rig = Rig::new(retained_for_a_minute(Durability::Written), 5);
    for number in 0..6 {
        rig.append(batch(number, 7, 250_000), None);
    }
    rig.run_to_idle();
    rig.close();
    rig.restart(&Restart::simple(Fate::Kill, 1));
    rig.run_to_idle();
    let due = rig.log.look_due().expect("the first segment is deleted by age");
    rig.log.look_at_age();
    assert!(!rig.log.wants().retain, "nothing is due");
    rig.advance(Duration::from_secs(30));
    rig.log.look_at_age();
    assert!(!rig.log.wants().retain, "still nothing");
    assert_eq!(rig.log.look_due(), Some(due), "and no other look is planned");
    pass(&mut rig, 35);
    assert!(is_empty(&rig));
}
