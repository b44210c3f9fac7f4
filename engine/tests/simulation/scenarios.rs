//! Single cases, some with an end of the process at every step.

use crate::model::batch;
use crate::rig::{Fate, IndexDamage, Restart, Rig, Settings, dir, flip};
use std::future::Future;
use std::task::{Context, Poll, Waker};
use vnotch_engine::buffer::SharedBytes;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::segment;
use vnotch_engine::types::{Durability, Preallocate};

#[test]
fn a_segment_that_ends_with_a_block_is_complete_before_the_next_one_is_written() {
    for write_depth in [2, 8] {
        let mut rig = Rig::new(Settings { write_depth, ..Settings::default() }, 1);
        for number in 0..40 {
            let batch = batch(number, 1, 65_536);
            assert_eq!(batch.len(), 65_536);
            rig.append(batch, None);
        }
        rig.end_at_every_step();
        rig.read_from(0);
    }
}

#[test]
fn rolls_of_every_kind_of_topic_survive_an_end_at_every_step() {
    for durability in [Durability::Appended, Durability::Written, Durability::Synced] {
        for preallocate in [Preallocate::None, Preallocate::Fallocate] {
            let mut rig = Rig::new(Settings { durability, preallocate, ..Settings::default() }, 2);
            for number in 0..9 {
                let level = [None, Some(Durability::Synced), Some(Durability::Written)][number % 3];
                rig.append(batch(number as u64, 5, 300_000), level);
            }
            rig.end_at_every_step();
            rig.read_from(0);
        }
    }
}

#[test]
fn a_synced_ack_in_a_written_topic_waits_for_its_segments_name() {
    for seed in 0..20 {
        let mut rig = Rig::new(Settings::default(), seed);
        rig.append(batch(1, 1, 1_000), Some(Durability::Synced));
        rig.run_to_idle();
        rig.restart(&Restart::simple(Fate::PowerLoss, seed));
        assert_eq!(rig.log.log_end_offset(), 1);
    }
}

/// Returns a log of one sealed segment whose index has few entries, with nothing in memory.
fn sparsely_indexed() -> Rig {
    let settings = Settings { segment_bytes: 4 << 20, index_interval_bytes: 600_000, ..Settings::default() };
    let mut rig = Rig::new(settings, 3);
    for number in 0..60 {
        rig.append(batch(number, 10, 60_000), None);
    }
    rig.run_to_idle();
    rig.close();
    rig.restart(&Restart::simple(Fate::Kill, 3));
    rig
}

#[test]
fn an_offset_is_found_where_the_index_leads_to_an_extent_that_ends_before_it() {
    let rig = sparsely_indexed();
    // An entry holds the last offset of a batch. For the other offsets of that batch, the index gives the entry before it. And
    // extents end at entries.
    for offset in (0..rig.log.high_watermark()).rev() {
        let read = std::rc::Rc::clone(&rig.log).fetch_from_disk(offset, 1);
        let pieces = rig.disk.run_until(read).unwrap();
        assert_eq!(pieces.len(), 1, "offset {offset} is not found");
        rig.model.check(offset, &pieces, rig.log.high_watermark());
    }
}

#[test]
fn indexes_that_are_missing_or_damaged_are_rebuilt() {
    let mut rig = sparsely_indexed();
    rig.close();
    let index = segment::index_path(&dir(), 0);
    let bytes = rig.disk.run_until(rig.disk.read_file(&index)).unwrap().len();
    assert!(bytes > 16);
    for file in 0..2 {
        let damage = Some(IndexDamage::Removed { file });
        let restart = Restart { damage, ..Restart::simple(Fate::PowerLoss, 4) };
        rig.restarted(&restart).read_from(0);
    }
    for position in 0..bytes as u64 {
        let restarted = rig.restarted(&Restart::simple(Fate::Kill, position));
        flip(&restarted.disk, &index, position);
        for offset in [0, 100, 101, 105, 109, 110, 119, 200, 345, 599] {
            let read = std::rc::Rc::clone(&restarted.log).fetch_from_disk(offset, 200_000);
            let pieces = restarted.disk.run_until(read).unwrap();
            assert!(!pieces.is_empty(), "byte {position} flipped, offset {offset} is not found");
            restarted.model.check(offset, &pieces, 600);
        }
        restarted.read_from(0);
    }
}

#[test]
fn what_consumers_hold_stays_as_it_is_while_the_log_rolls_and_forgets() {
    let settings = Settings { cache_bytes: 0, ..Settings::default() };
    let mut rig = Rig::new(settings, 5);
    rig.append(batch(0, 3, 100_000), Some(Durability::Appended));
    rig.append(batch(1, 3, 100_000), None);
    rig.run_to_idle();
    rig.fetch(0, 1_000_000);
    for number in 2..150 {
        rig.append(batch(number, 3, 250_000), None);
        rig.steps(5);
        rig.check_held();
    }
    rig.log.shed_memory();
    rig.run_to_idle();
    rig.check_held();
    rig.restart(&Restart::simple(Fate::Kill, 5));
    rig.check_held();
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed: u64| {
        let mut rig = Rig::new(Settings::default(), seed);
        let mut trace = Vec::new();
        for number in 0..30 {
            rig.append(batch(number, 2, 90_000), None);
            rig.steps(2);
            trace.push((rig.disk.outstanding(), rig.log.high_watermark()));
        }
        trace
    };
    assert_eq!(run(6), run(6));
    assert!((7..20).any(|seed| run(seed) != run(6)));
}

#[test]
fn a_log_whose_write_failed_refuses_more_until_it_is_opened_again() {
    let mut rig = Rig::new(Settings::default(), 7);
    rig.append(batch(0, 1, 50_000), None);
    rig.run_to_idle();
    rig.disk.fail_write(0, std::io::ErrorKind::Other);
    rig.append(batch(1, 1, 50_000), None);
    rig.run_to_idle();
    assert_eq!(rig.log.failed().unwrap().source.kind(), std::io::ErrorKind::Other);
    rig.append(batch(2, 1, 50_000), None);
    assert_eq!(rig.log.log_end_offset(), 2);
    rig.restart(&Restart::simple(Fate::Kill, 7));
    rig.append(batch(3, 1, 50_000), None);
    rig.run_to_idle();
    rig.read_from(0);
}

#[test]
fn an_index_is_rebuilt_also_while_the_arena_is_used_up() {
    let mut rig = sparsely_indexed();
    let damage = Some(IndexDamage::Removed { file: 0 });
    rig.close();
    let rig = rig.restarted(&Restart { damage, ..Restart::simple(Fate::Kill, 8) });
    let taken: Vec<_> = std::iter::from_fn(|| rig.arena.allocate(1 << 14)).collect();
    let read = std::rc::Rc::clone(&rig.log).fetch_from_disk(0, 1);
    let pieces = rig.disk.run_until(read).unwrap();
    assert!(!pieces.is_empty(), "a block is reserved for reads");
    assert!(pieces.iter().all(|piece| matches!(piece, SharedBytes::Heap(_))), "a reader keeps it");
    drop(taken);
    rig.read_from(0);
}

#[test]
fn the_largest_batch_that_a_topic_may_take_is_appended_and_read() {
    let settings = Settings { segment_bytes: 4 << 20, cache_bytes: 0, ..Settings::default() };
    let max_message_bytes = (2 << 20) - 4096 - settings.index_interval_bytes as usize;
    let mut rig = Rig::new(Settings { max_message_bytes, ..settings }, 9);
    for number in 0..4 {
        rig.append(batch(number, 1, 1_000), None);
        rig.append(batch(number, 2, max_message_bytes), None);
    }
    rig.run_to_idle();
    rig.close();
    rig.restart(&Restart::simple(Fate::PowerLoss, 9));
    assert_eq!(rig.log.log_end_offset(), 12);
}

/// A reader of a sealed segment reads ahead into the next one. While the records in memory still begin in the first segment,
/// the second is not written. So the reader must not keep what it finds there on the disk.
#[test]
fn nobody_reads_ahead_into_what_is_not_written() {
    for seed in 0..20 {
        let settings =
            Settings { durability: Durability::Appended, cache_bytes: 500_000, ..Settings::default() };
        let mut rig = Rig::new(settings, seed);
        let append = |rig: &mut Rig, numbers: std::ops::Range<u64>| {
            numbers.for_each(|number| rig.append(batch(number, 1, 120_000), None));
        };
        append(&mut rig, 0..9);
        rig.run_to_idle();
        append(&mut rig, 9..12);
        rig.fetch(0, 1);
        rig.run_to_idle();
        // The records in memory now begin later. The records that are no longer in memory are read from the disk.
        append(&mut rig, 12..15);
        rig.run_to_idle();
        append(&mut rig, 15..16);
        rig.fetch(8, 4 << 20);
        rig.run_to_idle();
    }
}

/// Returns a log of sealed segments of five extents each, with nothing in memory.
fn cold_segments(cache_bytes: usize) -> Rig {
    let settings = Settings { segment_bytes: 4 << 20, cache_bytes, ..Settings::default() };
    let mut rig = Rig::new(settings, 6);
    for number in 0..150 {
        rig.append(batch(number, 10, 100_000), None);
    }
    rig.run_to_idle();
    rig.log.shed_memory();
    rig
}

#[test]
fn a_sequential_reader_waits_for_its_first_read_only_if_the_disk_keeps_up() {
    for (cache_bytes, depth) in [(0, 3), (64 << 20, 8)] {
        let mut rig = cold_segments(cache_bytes);
        let visible = rig.log.high_watermark();
        let mut offset = 0;
        // Stop before the last segment, because it has less to read ahead.
        while offset < visible - 820 {
            let mut read = Box::pin(std::rc::Rc::clone(&rig.log).fetch_from_disk(offset, 1 << 20));
            let context = &mut Context::from_waker(Waker::noop());
            let polled = Future::poll(read.as_mut(), context);
            let in_flight = rig.disk.outstanding();
            let pieces = match polled {
                Poll::Pending => {
                    assert_eq!((offset, in_flight), (0, depth), "a reader waits");
                    rig.disk.run_until(read).unwrap()
                }
                Poll::Ready(pieces) => {
                    assert!(
                        in_flight <= 2,
                        "at {offset}, {in_flight} reads are in flight: more than were taken"
                    );
                    pieces.unwrap()
                }
            };
            offset = rig.model.check(offset, &pieces, visible);
            rig.run_to_idle();
        }
        rig.read_from(0);
    }
}
