//! Offsets by time, against a plain list of records.

use crate::model::timed_batch;
use crate::rig::{Fate, IndexDamage, Restart, Rig, Settings};
use proptest::prelude::*;
use std::rc::Rc;
use std::time::Duration;
use vnotch_engine::error::FetchError;
use vnotch_engine::types::{Durability, IoMode, ListedOffset, OffsetSpec};

/// What happens between questions.
#[derive(Debug, Clone)]
enum Event {
    /// Batches whose records have these timestamps.
    Append(Vec<Vec<i64>>),
    Steps(usize),
    Settle,
    Restart(Restart),
}

/// Times that mostly rise, with equal, late and missing ones among them.
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
        2 => Just(Event::Settle),
        1 => restart,
    ]
}

/// A log and every record it was given.
struct Timed {
    rig: Rig,
    /// Timestamps by offset.
    times: Vec<i64>,
}

impl Timed {
    fn happen(&mut self, event: &Event) {
        match event {
            Event::Append(batches) => {
                for jitters in batches {
                    let rising = i64::try_from(self.times.len()).unwrap() / 4;
                    let missing = |jitter: i64| if jitter < 0 { -1 } else { 1_000 + rising + jitter };
                    let times: Vec<i64> = jitters.iter().map(|jitter| missing(*jitter)).collect();
                    self.rig.append(timed_batch(&times, 90_000), None);
                    self.rig.settle();
                    self.times.extend(times);
                }
            }
            Event::Steps(count) => self.rig.steps(*count),
            Event::Settle => self.rig.settle(),
            Event::Restart(restart) => {
                self.rig.settle();
                if restart.fate == Fate::PowerLoss {
                    self.rig.close();
                }
                self.rig.restart(restart);
            }
        }
    }

    /// Asks for every time there is, and those beside it.
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

    /// In memory and in files, across segments, behind what retention deleted, after every restart, and with an index
    /// damaged or gone.
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
            timed.happen(event);
        }
        timed.rig.settle();
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
    rig.settle();
    assert_eq!(rig.log.log_start_offset(), 0);
    let mut search = Box::pin(Rc::clone(&rig.log).list_offset(OffsetSpec::Timestamp(2_000)));
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    // It is under way when all sealed segments go.
    assert!(search.as_mut().poll(context).is_pending());
    rig.advance(Duration::from_secs(60));
    rig.log.look_at_retention();
    rig.settle();
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

/// Polls a search once; it has to wait for a read then.
fn begin<F: Future>(search: F) -> std::pin::Pin<Box<F>> {
    let mut search = Box::pin(search);
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(search.as_mut().poll(context).is_pending());
    search
}

/// The record is in the active segment and not visible yet when a search begins. The segment is sealed before that search
/// ends.
#[test]
fn a_search_that_began_before_a_record_was_visible_hides_it_from_no_later_search() {
    let mut rig = Rig::new(Settings { cache_bytes: 0, ..Settings::default() }, 6);
    rig.append(timed_batch(&[1_000], 90_000), None);
    rig.settle();
    rig.append(timed_batch(&[5_000], 90_000), None);
    rig.log.shed_memory();
    assert_eq!((rig.log.high_watermark(), rig.log.log_end_offset()), (1, 2), "appended, and not visible");
    let search = begin(at_time(&rig, 5_000));
    for _ in 0..20 {
        rig.append(timed_batch(&[1_000], 90_000), None);
    }
    rig.settle();
    rig.disk.run_until(search).unwrap();
    let expected = ListedOffset { offset: 1, timestamp_ms: Some(5_000) };
    assert_eq!(rig.disk.run_until(at_time(&rig, 5_000)).unwrap(), Some(expected));
}

/// In a topic that shows what is appended, a full disk takes records back. A search that counts on them begins again.
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
            // Nothing is known of the times of sealed segments then.
            rig.restart(&Restart::simple(Fate::Kill, 7));
            rig.append(timed_batch(&[1_000], 90_000), None);
            rig.settle();
            let end = rig.log.log_end_offset();
            rig.disk.fill_up(0);
            for number in 0..refused {
                rig.append(timed_batch(&[50_000 + number], 90_000), None);
            }
            assert_eq!(rig.log.high_watermark(), end + refused);
            let search = begin(at_time(&rig, 50_000));
            rig.settle();
            assert_eq!(rig.log.log_end_offset(), end, "the log was cut off");
            let mut expected = None;
            if is_appended_again {
                rig.make_room();
                rig.append(timed_batch(&[1_000, 1_000, 60_000], 90_000), None);
                rig.settle();
                expected = Some(ListedOffset { offset: end + 2, timestamp_ms: Some(60_000) });
            }
            assert_eq!(rig.disk.run_until(search).unwrap(), expected);
        }
    }
}
