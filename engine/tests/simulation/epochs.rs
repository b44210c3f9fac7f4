//! Saved positions and ends of epochs, compared with the model. The log knows by the epoch what a crash has cut off.

use crate::model::batch;
use crate::rig::{Fate, Restart, Rig, Settings};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use vnotch_engine::error::FetchError;
use vnotch_engine::record::BatchHeader;
use vnotch_engine::types::{Durability, EpochEnd, Preallocate};

/// Largest number of positions that are kept and checked.
const SAVED_MAX: usize = 60;

/// One thing that happens between checks.
#[derive(Debug, Clone)]
enum Event {
    Append { batches: usize, bytes: usize },
    Steps(usize),
    RunToIdle,
    Close,
    Restart(Restart),
}

fn event() -> impl Strategy<Value = Event> {
    let fate = || prop::sample::select(vec![Fate::Kill, Fate::PowerLoss]);
    let interruptions = prop::collection::vec((fate(), 0_usize..30), 0..3);
    let restart = (fate(), any::<u64>(), interruptions)
        .prop_map(|(fate, seed, interruptions)| Restart { interruptions, ..Restart::simple(fate, seed) });
    prop_oneof![
        5 => (1_usize..6, 200_usize..200_000).prop_map(|(batches, bytes)| Event::Append { batches, bytes }),
        4 => (1_usize..40).prop_map(Event::Steps),
        1 => Just(Event::RunToIdle),
        1 => Just(Event::Close),
        3 => restart.prop_map(Event::Restart),
    ]
}

/// A position that a consumer has saved.
struct Saved {
    offset: i64,
    epoch: i32,
    /// The bytes of the batch that the consumer has read last.
    last: Option<Rc<[u8]>>,
}

/// The number of positions that were checked, by outcome.
#[derive(Debug, Default)]
struct Outcomes {
    kept: usize,
    cut: usize,
    deleted: usize,
}

/// A log and the positions that its consumers have saved.
struct Watched {
    rig: Rig,
    /// The end of the log when it was opened. The current epoch begins here.
    epoch_start: i64,
    saved: VecDeque<Saved>,
    number: u64,
    outcomes: Outcomes,
}

fn epoch_of(batch: &[u8]) -> i32 {
    BatchHeader::parse(batch).unwrap().partition_leader_epoch
}

impl Watched {
    fn new(settings: Settings, seed: u64) -> Self {
        let (saved, outcomes) = (VecDeque::new(), Outcomes::default());
        Self { rig: Rig::new(settings, seed), epoch_start: 0, saved, number: 0, outcomes }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Append { batches, bytes } => {
                for _ in 0..*batches {
                    self.number += 1;
                    // Batches have one to three records, so that cuts are at all distances from positions.
                    self.rig.append(batch(self.number, 1 + self.number as usize % 3, *bytes), None);
                }
            }
            Event::Steps(count) => self.rig.steps(*count),
            Event::RunToIdle => self.rig.run_to_idle(),
            Event::Close => {
                self.rig.close();
                self.save();
                self.restart(&Restart::simple(Fate::PowerLoss, self.number));
            }
            Event::Restart(restart) => self.restart(restart),
        }
        self.save();
    }

    fn restart(&mut self, restart: &Restart) {
        self.rig.restart(restart);
        self.epoch_start = self.rig.log.log_end_offset();
    }

    /// Saves positions of two consumers that have read everything visible. The first has the epoch of its last batch. The second
    /// has found nothing more to read, so it has the log's current epoch.
    fn save(&mut self) {
        let offset = self.rig.log.high_watermark();
        let last = self.rig.model.batch_before(offset);
        let by_batch = last.as_ref().map(|last| epoch_of(last));
        for epoch in by_batch.into_iter().chain([self.rig.epoch]) {
            if self.saved.len() == SAVED_MAX {
                self.saved.pop_front();
            }
            self.saved.push_back(Saved { offset, epoch, last: last.clone() });
        }
    }

    /// Returns the end of `epoch` in a log that holds the model's batches from its start on.
    fn expected_end(&self, epoch: i32) -> EpochEnd {
        let (model, start) = (&self.rig.model, self.rig.log.log_start_offset());
        if epoch == self.rig.epoch {
            return EpochEnd { leader_epoch: epoch, end_offset: model.next_offset() };
        }
        let held = model.batches().iter().filter(|batch| batch.next_offset > start);
        let of_earlier_opens = held.filter(|batch| batch.base_offset < self.epoch_start);
        let batches: Vec<(i32, i64)> =
            of_earlier_opens.map(|batch| (epoch_of(batch.bytes()), batch.base_offset)).collect();
        let (older, newer) = batches.split_at(batches.partition_point(|(found, _)| *found <= epoch));
        EpochEnd {
            leader_epoch: older.last().map_or(epoch, |(found, _)| *found),
            end_offset: newer.first().map_or(self.epoch_start, |(_, base_offset)| *base_offset),
        }
    }

    fn check(&mut self) {
        let (log, disk) = (&self.rig.log, &self.rig.disk);
        let start = log.log_start_offset();
        for epoch in 0..=self.rig.epoch {
            let end = disk.run_until(log.offset_for_epoch(epoch)).unwrap();
            assert_eq!(end, Some(self.expected_end(epoch)), "the end of epoch {epoch}");
        }
        for epoch in [-1, self.rig.epoch + 1, i32::MIN, i32::MAX] {
            assert_eq!(disk.run_until(log.offset_for_epoch(epoch)).unwrap(), None);
        }
        for Saved { offset, epoch, last } in &self.saved {
            let checked = disk.run_until(log.check_position(*offset, *epoch));
            let is_there = self.rig.model.batch_before(*offset) == *last;
            match checked {
                // The log has no trace of deleted batches.
                Ok(()) if *offset <= start && *offset > 0 => self.outcomes.deleted += 1,
                Ok(()) => {
                    assert!(
                        is_there,
                        "offset {offset} of epoch {epoch} was cut off, and the check does not report it"
                    );
                    self.outcomes.kept += 1;
                }
                Err(FetchError::LogTruncated { position, epoch: found, cut_to }) => {
                    assert!(!is_there, "offset {offset} of epoch {epoch} was not cut off");
                    assert_eq!((position, found), (*offset, *epoch));
                    assert_eq!(cut_to, self.expected_end(*epoch).end_offset);
                    self.outcomes.cut += 1;
                }
                Err(error) => panic!("offset {offset} of epoch {epoch}: {error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::config(128))]

    /// The histories have every level, kills and power losses at any moment, opens that are interrupted, and retention.
    #[test]
    fn a_saved_position_is_reported_if_and_only_if_the_log_was_cut_below_it(
        durability in crate::level(),
        preallocate in prop::sample::select(crate::KINDS.to_vec()),
        retention_bytes in prop::option::of(Just(2_u64 << 20)),
        cache_bytes in prop::sample::select(vec![0_usize, 4 << 20]),
        seed: u64,
        events in prop::collection::vec(event(), 1..40),
    ) {
        let settings = Settings { durability, preallocate, retention_bytes, cache_bytes, ..Settings::default() };
        let mut watched = Watched::new(settings, seed);
        for event in &events {
            watched.apply(event);
            // Some of these checks happen while writes are in flight and segments are not sealed.
            if matches!(event, Event::Restart(_) | Event::RunToIdle) {
                watched.check();
            }
        }
        watched.rig.run_to_idle();
        watched.check();
    }
}

#[test]
fn positions_are_cut_off_kept_and_deleted_in_histories_with_crashes() {
    let mut outcomes = Outcomes::default();
    for (seed, durability) in
        [Durability::Appended, Durability::Written].into_iter().cycle().take(8).enumerate()
    {
        let retention_bytes = (seed >= 4).then_some(2 << 20);
        let settings =
            Settings { durability, retention_bytes, preallocate: Preallocate::Auto, ..Settings::default() };
        let mut watched = Watched::new(settings, seed as u64);
        for round in 0..12 {
            watched.apply(&Event::Append { batches: 6, bytes: 150_000 });
            watched.apply(&if round % 3 == 0 { Event::Close } else { Event::Steps(3 * round) });
            watched.apply(&Event::Restart(Restart::simple(Fate::PowerLoss, (seed + round) as u64)));
            watched.check();
        }
        outcomes.kept += watched.outcomes.kept;
        outcomes.cut += watched.outcomes.cut;
        outcomes.deleted += watched.outcomes.deleted;
    }
    let Outcomes { kept, cut, deleted } = outcomes;
    assert!(kept > 100 && cut > 100 && deleted > 20, "{outcomes:?}");
}

#[test]
fn the_epochs_of_deleted_segments_end_where_the_log_begins() {
    let settings = Settings { retention_bytes: Some(2 << 20), ..Settings::default() };
    let mut watched = Watched::new(settings, 3);
    watched.apply(&Event::Append { batches: 3, bytes: 200_000 });
    watched.apply(&Event::Close);
    let old = watched.rig.log.log_end_offset();
    assert_eq!(watched.rig.epoch, 2);
    watched.apply(&Event::Append { batches: 30, bytes: 200_000 });
    watched.apply(&Event::RunToIdle);
    let start = watched.rig.log.log_start_offset();
    assert!(start > old, "the segments of the first epoch are deleted");
    let (log, disk) = (&watched.rig.log, &watched.rig.disk);
    let end = disk.run_until(log.offset_for_epoch(1)).unwrap().unwrap();
    assert_eq!(end, EpochEnd { leader_epoch: 1, end_offset: old }, "this open knows where it began");
    disk.run_until(log.check_position(old, 1)).unwrap();
    assert!(matches!(log.fetch(old, 1), Err(FetchError::OffsetOutOfRange { .. })), "the fetch says it");
    watched.apply(&Event::Close);
    watched.check();
    let (log, disk) = (&watched.rig.log, &watched.rig.disk);
    let start = log.log_start_offset();
    let end = disk.run_until(log.offset_for_epoch(1)).unwrap().unwrap();
    assert_eq!(end, EpochEnd { leader_epoch: 1, end_offset: start }, "it ended before the log begins");
    disk.run_until(log.check_position(start, 1)).unwrap();
    let beyond = disk.run_until(log.check_position(start + 1, 1)).unwrap_err();
    assert!(
        matches!(beyond, FetchError::LogTruncated { .. }),
        "no record of the first epoch was there: {beyond}"
    );
}

#[test]
fn retention_in_the_middle_of_a_look_up_changes_nothing_that_matters() {
    // The seed decides whether the file is opened before it is removed, or is already gone.
    for seed in 0..100 {
        let settings = Settings { retention_ms: Some(10_000), cache_bytes: 0, ..Settings::default() };
        let mut watched = Watched::new(settings, seed);
        watched.apply(&Event::Append { batches: 3, bytes: 90_000 });
        watched.apply(&Event::Close);
        watched.apply(&Event::Append { batches: 1, bytes: 1_000 });
        watched.apply(&Event::RunToIdle);
        let rig = &mut watched.rig;
        let log = Rc::clone(&rig.log);
        rig.advance(Duration::from_secs(60));
        rig.log.look_at_retention();
        let mut checked = Box::pin(log.check_position(3, 1));
        rig.steps(seed as usize % 20);
        let context = &mut Context::from_waker(Waker::noop());
        let early = checked.as_mut().poll(context);
        rig.run_to_idle();
        assert!(rig.log.log_start_offset() > 3, "the segment of the look-up is deleted");
        let outcome = match early {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => rig.disk.run_until(checked),
        };
        outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
