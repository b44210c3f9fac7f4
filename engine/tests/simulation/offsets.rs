//! Searches for offsets by time, compared with a plain list of records.

use crate::model::timed_batch;
use crate::rig::{Fate, IndexDamage, Restart, Rig, Settings};
use proptest::prelude::*;
use std::rc::Rc;
use std::time::Duration;
use vnotch_engine::error::FetchError;
use vnotch_engine::types::{Durability, IoMode, ListedOffset, OffsetSpec};

/// One event between checks.
#[derive(Debug, Clone)]
enum Event {
    /// Appends batches whose records have these timestamps.
    Append(Vec<Vec<i64>>),
    Steps(usize),
    RunToIdle,
    Restart(Restart),
}

/// Timestamps for batches. They mostly rise; some are equal, late or missing.
fn batches() -> impl Strategy<Value = Vec<Vec<i64>>> {
    prop::collection::vec(prop::collection::vec(-3_i64..30, 1..6), 1..8)
}

fn event() -> impl Strategy<Value = Event> {
    let damage = prop_oneof![
        (0_usize..20).prop_map(|file| IndexDamage::Removed { file }),
        (0_usize..20, 0_u64..10_000).prop_map(|(file, position)| IndexDamage::Flipped { file, position }),
    ];
    let restart =
        (any::<bool>(), any::<u64>(), prop::option::of(damage)).prop_map(|(closes, seed, damage)| {
            let fate = if closes { Fate::PowerLoss } else { Fate::Kill };
            Event::Restart(Restart { damage, ..Restart::simple(fate, seed) })
        });
    prop_oneof![
        6 => batches().prop_map(Event::Append),
        2 => (1_usize..40).prop_map(Event::Steps),
        2 => Just(Event::RunToIdle),
        1 => restart,
    ]
}

/// A log, and the timestamps of every record that it was given.
struct Timed {
    rig: Rig,
    /// Timestamps by offset.
    times: Vec<i64>,
}

impl Timed {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Append(batches) => {
                for jitters in batches {
                    let rising = i64::try_from(self.times.len()).unwrap() / 4;
                    let missing = |jitter: i64| if jitter < 0 { -1 } else { 1_000 + rising + jitter };
                    let times: Vec<i64> = jitters.iter().map(|jitter| missing(*jitter)).collect();
                    self.rig.append(timed_batch(&times, 90_000), None);
                    self.rig.run_to_idle();
                    self.times.extend(times);
                }
            }
            Event::Steps(count) => self.rig.steps(*count),
            Event::RunToIdle => self.rig.run_to_idle(),
            Event::Restart(restart) => {
                self.rig.run_to_idle();
                if restart.fate == Fate::PowerLoss {
                    self.rig.close();
                }
                self.rig.restart(restart);
            }
        }
    }

    /// Searches for the time of each record, and for the times just before and after it.
    fn check(&self) {
        let start = usize::try_from(self.rig.log.log_start_offset()).unwrap();
        let visible = usize::try_from(self.rig.log.high_watermark()).unwrap();
        let mut asked: Vec<i64> = self.times.iter().flat_map(|time| [time - 1, *time, time + 1]).collect();
        asked.extend([i64::MIN, 0, i64::MAX]);
        asked.sort_unstable();
        asked.dedup();
        for timestamp_ms in asked {
            let is_it = |offset: &usize| self.times[*offset] >= timestamp_ms.max(0);
            let expected = (start..visible).find(is_it).map(|offset| ListedOffset {
                offset: i64::try_from(offset).unwrap(),
                timestamp_ms: Some(self.times[offset]),
            });
            let found = self
                .rig
                .disk
                .run_until(Rc::clone(&self.rig.log).list_offset(OffsetSpec::Timestamp(timestamp_ms)));
            assert_eq!(found.unwrap(), expected, "the first at or after {timestamp_ms}");
        }
    }
}

proptest! {
    #![proptest_config(crate::config(128))]

    /// The searches are in memory and in files, across segments, and behind records that retention deleted. They also come after
    /// restarts, and while an index is damaged or missing.
    #[test]
    fn the_first_record_at_or_after_a_time_is_found(
        durability in prop::sample::select(vec![Durability::Written, Durability::Synced]),
        io in prop::sample::select(vec![IoMode::Direct, IoMode::Buffered]),
        cache_bytes in prop::sample::select(vec![0_usize, 4 << 20]),
        retention_bytes in prop::option::of(Just(2_u64 << 20)),
        index_interval_bytes in prop::sample::select(vec![4096_u32, 200_000]),
        seed: u64,
        events in prop::collection::vec(event(), 1..14),
    ) {
        let settings = Settings {
            durability, io, cache_bytes, retention_bytes, index_interval_bytes, ..Settings::default()
        };
        let mut timed = Timed { rig: Rig::new(settings, seed), times: Vec::new() };
        for event in &events {
            timed.apply(event);
        }
        timed.rig.run_to_idle();
        timed.check();
        timed.rig.close();
        timed.rig.restart(&Restart::simple(Fate::PowerLoss, seed));
        timed.check();
    }
}

#[test]
fn retention_in_the_middle_of_a_search_changes_the_answer_and_nothing_else() {
    let settings = Settings {
        retention_ms: Some(10_000),
        cache_bytes: 0,
        segment_bytes: 1 << 20,
        ..Settings::default()
    };
    let mut rig = Rig::new(settings, 5);
    for _ in 0..40 {
        rig.append(timed_batch(&[1_000, 2_000], 90_000), None);
    }
    // The segment with the latest record stays.
    rig.append(timed_batch(&[70_000], 90_000), None);
    rig.run_to_idle();
    assert_eq!(rig.log.log_start_offset(), 0);
    let mut search = Box::pin(Rc::clone(&rig.log).list_offset(OffsetSpec::Timestamp(2_000)));
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    // The search is in progress when all sealed segments are deleted.
    assert!(search.as_mut().poll(context).is_pending());
    rig.advance(Duration::from_secs(60));
    rig.log.look_at_retention();
    rig.run_to_idle();
    let start = rig.log.log_start_offset();
    assert!(start > 0);
    let found = rig.disk.run_until(search).unwrap().unwrap();
    assert!(
        found.timestamp_ms == Some(2_000) && (found.offset == 1 || found.offset == start + 1),
        "{found:?}"
    );
}

fn at_time(
    rig: &Rig,
    timestamp_ms: i64,
) -> impl Future<Output = Result<Option<ListedOffset>, FetchError>> + use<> {
    Rc::clone(&rig.log).list_offset(OffsetSpec::Timestamp(timestamp_ms))
}

/// Polls a search once, and checks that it then waits for a read.
fn begin<F: Future>(search: F) -> std::pin::Pin<Box<F>> {
    let mut search = Box::pin(search);
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(search.as_mut().poll(context).is_pending());
    search
}

/// A search begins while the record is in the active segment and not yet visible. The segment is sealed before the search ends.
#[test]
fn a_search_that_began_before_a_record_was_visible_hides_it_from_no_later_search() {
    let mut rig = Rig::new(Settings { cache_bytes: 0, ..Settings::default() }, 6);
    rig.append(timed_batch(&[1_000], 90_000), None);
    rig.run_to_idle();
    rig.append(timed_batch(&[5_000], 90_000), None);
    rig.log.shed_memory();
    assert_eq!((rig.log.high_watermark(), rig.log.log_end_offset()), (1, 2), "appended, and not visible");
    let search = begin(at_time(&rig, 5_000));
    for _ in 0..20 {
        rig.append(timed_batch(&[1_000], 90_000), None);
    }
    rig.run_to_idle();
    rig.disk.run_until(search).unwrap();
    let expected = ListedOffset { offset: 1, timestamp_ms: Some(5_000) };
    assert_eq!(rig.disk.run_until(at_time(&rig, 5_000)).unwrap(), Some(expected));
}

/// In an `appended` topic, a full disk removes records that were visible. A search that relies on them begins again.
#[test]
fn a_search_that_meets_a_cut_of_the_log_answers_by_what_is_left() {
    for refused in [1, 2] {
        for is_appended_again in [false, true] {
            let mut rig = Rig::new(
                Settings { durability: Durability::Appended, cache_bytes: 0, ..Settings::default() },
                7,
            );
            for _ in 0..12 {
                rig.append(timed_batch(&[1_000], 90_000), None);
            }
            rig.close();
            // After this open, nothing is known about the times of sealed segments.
            rig.restart(&Restart::simple(Fate::Kill, 7));
            rig.append(timed_batch(&[1_000], 90_000), None);
            rig.run_to_idle();
            let end = rig.log.log_end_offset();
            rig.disk.fill_up(0);
            for number in 0..refused {
                rig.append(timed_batch(&[50_000 + number], 90_000), None);
            }
            assert_eq!(rig.log.high_watermark(), end + refused);
            let search = begin(at_time(&rig, 50_000));
            rig.run_to_idle();
            assert_eq!(rig.log.log_end_offset(), end, "the log was cut off");
            let mut expected = None;
            if is_appended_again {
                rig.make_room();
                rig.append(timed_batch(&[1_000, 1_000, 60_000], 90_000), None);
                rig.run_to_idle();
                expected = Some(ListedOffset { offset: end + 2, timestamp_ms: Some(60_000) });
            }
            assert_eq!(rig.disk.run_until(search).unwrap(), expected);
        }
    }
}
