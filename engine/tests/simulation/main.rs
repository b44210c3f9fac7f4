//! Random events on a log on the simulated disk. A plain model says what the log has promised, and the tests check it.
//!
//! `PROPTEST_CASES=10000 cargo test -p vnotch-engine --test simulation --release` searches for longer. A failing case is
//! reduced to the smallest one found, and printed. It is kept in `tests/proptest-regressions` and tried first next time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may fail by panic"
)]

mod aging;
mod alter;
mod catalog;
mod committer;
mod creation;
mod damage;
mod deletion;
mod descriptors;
mod dropped;
mod epochs;
mod faults;
mod fleet;
mod last_blocks;
mod limits;
mod long;
mod memory;
mod model;
mod offsets;
mod recycling;
mod restart;
mod retention;
mod rig;
mod scenarios;
mod space;
mod tally;
mod unwritten;

use faults::Misbehaviour;
use model::batch;
use proptest::prelude::*;
use rig::{Fate, IndexDamage, Restart, Rig, Settings};
use std::io::ErrorKind;
use std::time::Duration;
use vnotch_engine::log::FileLimits;
use vnotch_engine::types::{Durability, IoMode, Preallocate};

/// One thing that happens to a log.
#[derive(Debug, Clone)]
enum Event {
    Append {
        batches: usize,
        count: usize,
        bytes: usize,
        level: Option<Durability>,
    },
    Steps(usize),
    RunToIdle,
    /// Fetches from an offset between the log's start (`at` = 0) and the high watermark (`at` = 255).
    Fetch {
        at: u8,
        bytes_max: usize,
    },
    /// Deletes the records below an offset between the log's start (`at` = 0) and the high watermark (`at` = 255).
    Delete {
        at: u8,
    },
    Release,
    Shed,
    FailWrite {
        after: u64,
        kind: ErrorKind,
    },
    /// Makes the disk misbehave.
    Misbehave(Misbehaviour),
    FillUp {
        after: u64,
    },
    /// Limits the disk to the bytes that are in use and `bytes` more.
    Limit {
        bytes: u64,
    },
    MakeRoom,
    Advance(u64),
    Alter {
        durability: Durability,
        preallocate: Preallocate,
        segment_bytes: u64,
        index_interval_bytes: u32,
        /// The process ends after the change is in the catalog and before the log gets it.
        ends: Option<Restart>,
    },
    Close,
    Restart(Restart),
}

const KINDS: [Preallocate; 4] =
    [Preallocate::Auto, Preallocate::None, Preallocate::Fallocate, Preallocate::Recycle];

fn level() -> impl Strategy<Value = Durability> {
    prop::sample::select(vec![Durability::Appended, Durability::Written, Durability::Synced])
}

fn settings() -> impl Strategy<Value = Settings> {
    let topic = (
        level(),
        prop::sample::select(KINDS.to_vec()),
        prop::sample::select(vec![IoMode::Direct, IoMode::Buffered]),
        prop::sample::select(vec![1_u64 << 20, 1_500_000, 3 << 20]),
        prop::sample::select(vec![4096_u32, 100_000, 700_000]),
    );
    let limits = (
        prop::sample::select(vec![16_usize << 10, 64 << 10, 256 << 10]),
        1_usize..6,
        prop::sample::select(vec![0_usize, 300_000, 4 << 20]),
        prop::sample::select(vec![0_usize, 1 << 20, 16 << 20]),
        prop::sample::select(vec![descriptors::FEW, FileLimits::default()]),
    );
    (topic, limits).prop_map(|(topic, limits)| {
        let (durability, preallocate, io, segment_bytes, index_interval_bytes) = topic;
        let (write_bytes_max, write_depth, cache_bytes, fetch_pinned_bytes, files) = limits;
        Settings {
            durability,
            preallocate,
            io,
            segment_bytes,
            index_interval_bytes,
            write_bytes_max,
            write_depth,
            cache_bytes,
            fetch_pinned_bytes,
            files,
            ..Settings::default()
        }
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop::sample::select(vec![Fate::Kill, Fate::PowerLoss])
}

fn append() -> impl Strategy<Value = Event> {
    let bytes = prop_oneof![
        2 => 200_usize..5_000,
        3 => 5_000_usize..200_000,
        1 => 200_000_usize..600_000,
        // These end at a block. Most batches do not.
        2 => (1_usize..64).prop_map(|blocks| blocks * 4096),
    ];
    let level = prop_oneof![2 => Just(None), 3 => level().prop_map(Some)];
    (1_usize..6, 1_usize..8, bytes, level).prop_map(|(batches, count, bytes, level)| Event::Append {
        batches,
        count,
        bytes,
        level,
    })
}

fn restart() -> impl Strategy<Value = Restart> {
    let damage = prop_oneof![
        (0_usize..20).prop_map(|file| IndexDamage::Removed { file }),
        (0_usize..20, 0_u64..10_000).prop_map(|(file, position)| IndexDamage::Flipped { file, position }),
    ];
    let interruptions = prop::collection::vec((fate(), 0_usize..40), 0..3);
    let fault = prop::option::weighted(0.2, faults::failure());
    let parts = (fate(), any::<u64>(), prop::option::weighted(0.3, damage), interruptions, fault);
    parts.prop_map(|(fate, seed, damage, interruptions, fault)| Restart {
        fate,
        seed,
        damage,
        interruptions,
        fault,
    })
}

fn alter() -> impl Strategy<Value = Event> {
    let preallocate = prop::sample::select(KINDS.to_vec());
    let segment_bytes = prop::sample::select(vec![1_u64 << 20, 1_500_000, 3 << 20]);
    let index_interval_bytes = prop::sample::select(vec![4096_u32, 100_000, 700_000]);
    let ends = prop::option::weighted(0.2, restart());
    (level(), preallocate, segment_bytes, index_interval_bytes, ends).prop_map(
        |(durability, preallocate, segment_bytes, index_interval_bytes, ends)| Event::Alter {
            durability,
            preallocate,
            segment_bytes,
            index_interval_bytes,
            ends,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => append(),
        10 => (1_usize..30).prop_map(Event::Steps),
        2 => Just(Event::RunToIdle),
        8 => (any::<u8>(), 1_usize..2_000_000).prop_map(|(at, bytes_max)| Event::Fetch { at, bytes_max }),
        1 => any::<u8>().prop_map(|at| Event::Delete { at }),
        1 => Just(Event::Release),
        1 => Just(Event::Shed),
        1 => (0_u64..10, prop::sample::select(vec![ErrorKind::StorageFull, ErrorKind::Other]))
            .prop_map(|(after, kind)| Event::FailWrite { after, kind }),
        1 => faults::failure().prop_map(|fault| Event::Misbehave(Misbehaviour::Fault(fault))),
        1 => (0_u64..20).prop_map(|after| Event::FillUp { after }),
        1 => (0_u64..8 << 20).prop_map(|bytes| Event::Limit { bytes }),
        2 => Just(Event::MakeRoom),
        2 => (0_u64..300).prop_map(Event::Advance),
        2 => alter(),
        1 => Just(Event::Close),
        3 => restart().prop_map(Event::Restart),
    ]
}

fn apply(rig: &mut Rig, seed: u64, event: &Event) {
    match event {
        Event::Append { batches, count, bytes, level } => {
            for number in 0..*batches as u64 {
                rig.append(batch(seed + number, *count, *bytes), *level);
            }
        }
        Event::Steps(count) => rig.steps(*count),
        Event::RunToIdle => rig.run_to_idle(),
        Event::Fetch { at, bytes_max } => {
            let start = rig.log.log_start_offset();
            rig.fetch(start + (rig.log.high_watermark() - start) * i64::from(*at) / 255, *bytes_max);
        }
        Event::Delete { at } => {
            let start = rig.log.log_start_offset();
            rig.delete_records(start + (rig.log.high_watermark() - start) * i64::from(*at) / 255);
        }
        Event::Release => rig.release(),
        Event::Shed => rig.log.shed_memory(),
        Event::FailWrite { after, kind } => rig.disk.fail_write(*after, *kind),
        Event::Misbehave(misbehaviour) => rig.misbehave(misbehaviour),
        Event::FillUp { after } => rig.disk.fill_up(*after),
        Event::Limit { bytes } => rig.disk.limit(rig.disk.used_bytes() + bytes),
        Event::MakeRoom => rig.make_room(),
        Event::Advance(ms) => rig.advance(Duration::from_millis(*ms)),
        Event::Alter { durability, preallocate, segment_bytes, index_interval_bytes, ends } => {
            let settings = Settings {
                durability: *durability,
                preallocate: *preallocate,
                segment_bytes: *segment_bytes,
                index_interval_bytes: *index_interval_bytes,
                ..rig.settings.clone()
            };
            rig.alter(settings, ends.is_none());
            if let Some(restart) = ends {
                rig.restart(restart);
            }
        }
        Event::Close => {
            rig.close();
            rig.restart(&Restart::simple(Fate::PowerLoss, seed));
        }
        Event::Restart(restart) => rig.restart(restart),
    }
}

fn keeps_its_promises(settings: Settings, seed: u64, events: &[Event], last: &Restart) {
    let mut rig = Rig::new(settings, seed);
    for (number, event) in events.iter().enumerate() {
        apply(&mut rig, number as u64 * 100, event);
    }
    rig.run_to_idle();
    rig.make_room();
    rig.restart(last);
    if rig.trust.is_broken() {
        rig.begin_again(seed);
    }
    let end = rig.log.log_end_offset();
    for number in 0..4 {
        rig.append(batch(seed ^ number, 3, 150_000), None);
    }
    rig.run_to_idle();
    assert_eq!(rig.log.high_watermark(), end + 12);
    rig.read_from(rig.log.log_start_offset());
    rig.close();
    rig.restart(&Restart::simple(Fate::PowerLoss, seed));
    assert_eq!(rig.log.log_end_offset(), end + 12);
}

/// A configuration with `cases` cases, unless `PROPTEST_CASES` is set. The numbers keep the whole folder within a minute.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases, ..config } }
}

proptest! {
    #![proptest_config(config(384))]

    /// After a kill everything acked as written or synced is there. After a power loss everything acked as synced is there.
    /// There is never a gap, other bytes, or a record above the high watermark. A log that was opened again takes and serves
    /// more records.
    #[test]
    fn a_log_keeps_its_promises(
        settings in settings(), seed: u64, events in prop::collection::vec(event(), 1..50), last in restart(),
    ) {
        keeps_its_promises(settings, seed, &events, &last);
    }
}

proptest! {
    #![proptest_config(config(160))]

    /// As [`a_log_keeps_its_promises`], with retention that frees segments all the time, so that they are recycled.
    #[test]
    fn a_log_that_recycles_keeps_its_promises(
        settings in settings(), retention_bytes in 3_u64 << 20..6 << 20, seed: u64,
        events in prop::collection::vec(event(), 1..80), last in restart(),
    ) {
        let retention_bytes = Some(retention_bytes);
        let settings = Settings { retention_bytes, preallocate: Preallocate::Recycle, ..settings };
        keeps_its_promises(settings, seed, &events, &last);
    }
}
