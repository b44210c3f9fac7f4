//! Damage in the unsealed part of a log. It is found before anything is changed, and never taken for the end of the log. Also
//! bytes that look like damage and are none.

use crate::model::batch;
use crate::rig::{Fate, Rig, Settings, context, dir};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use vnotch_engine::buffer::{Arena, BLOCK_BYTES};
use vnotch_engine::clock::ManualClock;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::disk::{Disk as _, DiskFile as _, OpenMode, WriteData, WriteSync};
use vnotch_engine::error::{AppendError, DamageError, FetchError};
use vnotch_engine::events::EventKind;
use vnotch_engine::log::{Epochs, Fetched, Log, Origin, Refused};
use vnotch_engine::record::{self, BatchBuilder, RecordRef};
use vnotch_engine::segment;
use vnotch_engine::types::{Durability, IoMode};

type TestLog = Log<SimDisk, ManualClock, ()>;

/// Returns names and contents of the log's files.
fn image(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.run_until(disk.list(&dir())).unwrap();
    let read = |name: &str| disk.run_until(disk.read_file(&dir().join(name))).unwrap();
    names.into_iter().map(|entry| (entry.name.clone(), read(&entry.name))).collect()
}

/// Returns the segments that hold batches of their own and are not sealed: the base offset and the bytes of these batches.
fn unsealed(disk: &SimDisk) -> Vec<(i64, u64)> {
    let files = image(disk);
    let logs = files.iter().filter_map(|(name, bytes)| Some((segment::base_offset_of(name)?, bytes)));
    let logs = logs.filter(|(base, _)| !segment::has_indexes(*base, files.keys().map(String::as_str)));
    let whole = logs.map(|(base, bytes)| {
        let mut next = base;
        let batches = record::batches(bytes).map_while(Result::ok).take_while(|batch| {
            let follows = batch.header().base_offset == next && batch.verify_crc().is_ok();
            next = batch.header().next_offset();
            follows
        });
        (base, batches.map(|batch| batch.bytes().len() as u64).sum::<u64>())
    });
    whole.filter(|(_, bytes)| *bytes > 0).collect()
}

fn open(disk: &SimDisk, settings: &Settings, epoch: i32) -> Rc<TestLog> {
    let origin = Origin::Existing { durable_to: i64::MIN, was_damaged: false };
    open_in_boot(disk, settings, epoch, origin, 1)
}

fn open_in_boot(
    disk: &SimDisk,
    settings: &Settings,
    epoch: i32,
    origin: Origin,
    boot_id: u64,
) -> Rc<TestLog> {
    let clock = ManualClock::new(1_000);
    let epochs = Epochs { current: epoch, synced_after: 0 };
    let topic = TopicConfig {
        durability: settings.durability,
        segment_bytes: settings.segment_bytes,
        ..TopicConfig::default()
    };
    let context = context(settings, disk, &clock, boot_id);
    disk.run_until(TestLog::open(context, dir(), topic, epochs, origin)).unwrap()
}

/// Returns the damage that a log reports: the first damaged offset, the file, and the byte.
fn damage_of(log: &TestLog) -> Option<(i64, PathBuf, u64)> {
    let damage = log.damage()?;
    match damage.cause {
        DamageError::Corrupt(corruption) => Some((damage.from, corruption.path, corruption.position)),
        DamageError::Unreadable(error) => panic!("{error}"),
    }
}

/// Reads all that the log serves from its start. Returns the offset at which the read ends, and the error there, if any.
fn read(disk: &SimDisk, log: &Rc<TestLog>) -> (i64, Option<FetchError>) {
    let mut at = log.log_start_offset();
    loop {
        let pieces = match log.fetch(at, 1 << 20) {
            Ok(Fetched::Batches(pieces)) => pieces,
            Ok(Fetched::Nothing) => return (at, None),
            Ok(Fetched::OnDisk) => match disk.run_until(Rc::clone(log).fetch_from_disk(at, 1 << 20)) {
                Ok(pieces) => pieces,
                Err(error) => return (at, Some(error)),
            },
            Err(error) => return (at, Some(error)),
        };
        for batch in pieces.iter().flat_map(|piece| record::batches(piece)) {
            let batch = batch.unwrap();
            assert!(batch.header().base_offset <= at && batch.verify_crc().is_ok());
            at = batch.header().next_offset();
        }
    }
}

/// Returns a disk after a kill that has left two unsealed segments with batches.
fn killed_while_a_segment_closes(settings: &Settings) -> SimDisk {
    for seed in 0..200 {
        let mut rig = Rig::new(settings.clone(), seed);
        (0..12).for_each(|number| rig.append(batch(number, 1, 150_000), None));
        for _ in 0..200 {
            rig.steps(1);
            let is_between = rig.events.iter().filter(|event| **event == EventKind::Roll).count() == 2
                && !rig.events.contains(&EventKind::Seal);
            if !is_between {
                continue;
            }
            let disk = Fate::Kill.of(&rig.disk, seed);
            if unsealed(&disk).len() >= 2 {
                return disk;
            }
        }
    }
    panic!("no kill comes between a roll and a seal");
}

#[test]
fn a_flipped_bit_in_the_first_of_two_unsealed_segments_is_reported_and_nothing_is_changed() {
    for durability in [Durability::Synced, Durability::Written] {
        let settings = Settings { durability, ..Settings::default() };
        let disk = killed_while_a_segment_closes(&settings);
        let [(first, bytes), ..] = unsealed(&disk)[..] else { panic!("two") };
        for position in [100, bytes / 2, bytes - 1] {
            let disk = disk.kill(0);
            let path = segment::log_path(&dir(), first);
            disk.damage(&path, position).unwrap();
            let before = image(&disk);
            let log = open(&disk, &settings, 2);
            let (from, file, at) =
                damage_of(&log).expect("the second segment shows that the first was complete");
            assert!(file == path && at <= position && from >= first);
            let (end, error) = read(&disk, &log);
            assert_eq!(end, from, "what lies below the damage is served");
            assert!(matches!(error, Some(FetchError::Corrupt(found)) if found.position == at));
            let refused = log.append(&batch(1, 1, 100), None, ());
            assert!(matches!(refused, Err(Refused::Failed((), AppendError::Corrupt(_)))));
            disk.run_until(Rc::clone(&log).close()).unwrap();
            assert!(image(&disk) == before, "every byte and name is as it was");
        }
        let log = open(&disk.kill(0), &settings, 2);
        assert!(log.damage().is_none(), "without the flip it is whole");
    }
}

/// Damage that was found before a reboot is still damage after it. No good segment behind it is removed.
#[test]
fn a_reboot_does_not_explain_damage_that_was_found_before_it() {
    for durability in [Durability::Written, Durability::Appended] {
        let settings = Settings { durability, ..Settings::default() };
        let disk = killed_while_a_segment_closes(&settings);
        let [(first, bytes), ..] = unsealed(&disk)[..] else { panic!("two") };
        disk.damage(&segment::log_path(&dir(), first), bytes / 2).unwrap();
        let before = image(&disk);
        let found = damage_of(&open(&disk, &settings, 2)).expect("the second segment shows it");
        let origin = |was_damaged| Origin::Existing { durable_to: i64::MIN, was_damaged };
        for epoch in 3..5 {
            let log = open_in_boot(&disk, &settings, epoch, origin(true), 2);
            assert_eq!(damage_of(&log).as_ref(), Some(&found));
            assert_eq!(log.recovery_point(), None, "it vouches for nothing new");
            assert_eq!(read(&disk, &log).0, found.0);
            disk.run_until(Rc::clone(&log).close()).unwrap();
            assert!(image(&disk) == before, "every byte and name is as it was");
        }
        let log = open_in_boot(&disk, &settings, 5, origin(false), 2);
        assert!(log.damage().is_none(), "where no damage was found before, a power loss explains it");
        assert_eq!(log.log_end_offset(), found.0);
    }
}

/// Returns a batch with the offset and the epoch that the log would stamp into it.
fn stamped(value: &[u8], base_offset: i64, epoch: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::with_capacity(value.len() + 100);
    builder.push(&RecordRef { timestamp_ms: 1, value: Some(value), ..RecordRef::default() }).unwrap();
    let mut bytes = builder.finish().bytes;
    record::stamp(&mut bytes, base_offset, epoch);
    bytes
}

/// Returns batches of one record each from `base_offset` on, with at least `len` bytes in all, and the position of each.
fn batches(
    len: usize,
    base_offset: i64,
    epoch: i32,
    value: &dyn Fn(i64) -> Vec<u8>,
) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut starts) = (Vec::new(), Vec::new());
    while bytes.len() < len {
        let offset = base_offset + i64::try_from(starts.len()).unwrap();
        starts.push(bytes.len());
        bytes.extend(stamped(&value(offset), offset, epoch));
    }
    (bytes, starts)
}

/// Returns a disk with a log that was opened in epoch 2 and has one unsealed segment with these bytes.
fn with_segment(settings: &Settings, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(1);
    let clock = ManualClock::new(1_000);
    let opened = TestLog::open(
        context(settings, &disk, &clock, 1),
        dir(),
        TopicConfig { durability: settings.durability, ..TopicConfig::default() },
        Epochs { current: 2, synced_after: 0 },
        Origin::Created,
    );
    let log = disk.run_until(opened).unwrap();
    // The roll to its first segment records the epoch.
    assert!(matches!(log.append(&batch(1, 1, 100), None, ()), Err(Refused::NotNow(()))));
    disk.run_until(log.roll());
    let arena = Arena::new(2 << 20).unwrap();
    let write = async {
        let path = segment::log_path(&dir(), 0);
        let file = disk.open(&path, OpenMode::Replace, IoMode::Direct).await?;
        for (number, piece) in (0..).zip(bytes.chunks(1 << 20)) {
            let mut chunk = arena.allocate(1 << 20).unwrap();
            chunk.append(piece);
            let len = piece.len().next_multiple_of(BLOCK_BYTES);
            chunk.append(&vec![0; len - piece.len()]);
            file.write(WriteData::Slice(chunk.slice(0..len)), number << 20, WriteSync::None).await?;
        }
        file.sync().await?;
        disk.sync_dir(&dir()).await
    };
    disk.run_until(write).unwrap();
    disk
}

const SEGMENT_BYTES: usize = 12 << 20;

fn large_segments() -> Settings {
    Settings { write_bytes_max: 16 << 10, write_depth: 2, segment_bytes: 16 << 20, ..Settings::default() }
}

/// Returns a value full of batches that the log itself could have stamped, with the next offsets and the current epoch.
fn embedding(next_offset: i64) -> Vec<u8> {
    let mut value = b"a copy of another log: ".to_vec();
    for offset in next_offset..next_offset + 100 {
        value.extend(stamped(&[b'e'; 8_000], offset, 2));
    }
    value
}

/// Returns the bytes of a recycled file and the positions of its new batches. New batches of epoch 2 lie over old batches of
/// epoch 1 with values from `old_value`.
fn recycled(new_bytes: usize, old_value: &dyn Fn(i64) -> Vec<u8>) -> (Vec<u8>, Vec<usize>) {
    let (old, _) = batches(SEGMENT_BYTES, 0, 1, old_value);
    let (new, starts) =
        batches(new_bytes, 0, 2, &|offset| vec![b'n'; 2_000 + 37 * usize::try_from(offset % 50).unwrap()]);
    let mut bytes = old;
    bytes[..new.len()].copy_from_slice(&new);
    (bytes, starts)
}

#[test]
fn batches_inside_the_values_of_an_earlier_life_are_not_batches_of_the_log() {
    for new_bytes in [1 << 20, 3 << 20, 3_333_333, 7 << 20] {
        let next = |bytes: &[usize]| i64::try_from(bytes.len()).unwrap();
        let (_, starts) = recycled(new_bytes, &|_| vec![b'o'; 1_000]);
        let end = next(&starts);
        let (bytes, _) = recycled(new_bytes, &|_| embedding(end));
        let log = open(&with_segment(&large_segments(), &bytes), &large_segments(), 3);
        assert!(log.damage().is_none(), "{:?}", log.damage());
        assert_eq!(log.log_end_offset(), end);
    }
}

proptest! {
    #![proptest_config(crate::config(32))]

    /// A bit flips further from the end than bytes that can have been in flight. It is found, and the right batch is named.
    #[test]
    fn a_flipped_bit_before_the_last_batches_is_damage(place in 0.0..1.0_f64, bit in 0_u8..8, is_recycled: bool) {
        let settings = large_segments();
        let reach = 3 * (16 << 10) + (2 << 20) + (2 << 20);
        let new_bytes = 10 << 20;
        let (mut bytes, starts) = if is_recycled {
            recycled(new_bytes, &|_| embedding(2_000))
        } else {
            batches(new_bytes, 0, 2, &|offset| vec![b'n'; 2_000 + 37 * usize::try_from(offset % 50).unwrap()])
        };
        let position = ((new_bytes - reach - 8_192) as f64 * place) as usize;
        let number = starts.partition_point(|start| *start <= position) - 1;
        // Every bit of a batch matters: the checksum covers it, or the open checks its field.
        bytes[position] ^= 1 << bit;
        let log = open(&with_segment(&settings, &bytes), &settings, 3);
        let (from, _, at) = damage_of(&log).expect("it is found");
        prop_assert_eq!((from, at), (i64::try_from(number).unwrap(), starts[number] as u64));
    }
}
