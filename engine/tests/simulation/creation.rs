//! The order of writes. The names of partitions come before the catalog that names them. An open's checkpoint comes before
//! the first segment of that open.

use crate::model::batch;
use crate::rig::{Fate, Restart, Rig, Settings, dir};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use vnotch_engine::catalog::{Catalog, Topic, partition_dir};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::segment;
use vnotch_engine::types::Durability;

const DATA: &str = "/data";

#[test]
fn a_topic_that_the_catalog_names_has_all_its_directories_wherever_the_power_was_lost() {
    let mut seen = 0;
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        disk.run_until(disk.create_dir(Path::new(DATA))).unwrap();
        disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
        let mut catalog = disk.run_until(Catalog::open(&disk, Path::new(DATA), 1)).unwrap();
        for partition in 0..3 {
            let dir = partition_dir(Path::new(DATA), "t", partition);
            disk.run_until(disk.create_dir(&dir)).unwrap();
        }
        let mut create = pin!(catalog.create(&disk, "t", Topic::new(3, TopicConfig::default())));
        while create.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            let after = Fate::PowerLoss.of(&disk, seed);
            let reopened = after.run_until(Catalog::open(&after, Path::new(DATA), 1)).unwrap();
            if reopened.topics().contains_key("t") {
                let names = after.run_until(after.list(Path::new(DATA))).unwrap();
                assert_eq!(names.iter().filter(|entry| entry.is_dir).count(), 3, "{names:?}");
                seen += 1;
            }
            assert!(disk.step(), "creating waits for nothing");
        }
    }
    assert!(seen > 0, "in some, the catalog is there before the creation ends");
}

/// Returns the epoch in the newest of the two slots of a checkpoint.
fn newest_epoch(checkpoint: &[u8]) -> Option<i32> {
    let slots = checkpoint.chunks(4096).filter(|slot| slot.starts_with(b"vncp"));
    let newest = slots.max_by_key(|slot| slot[8..16].to_vec())?;
    Some(i32::from_be_bytes(newest[48..52].try_into().unwrap()))
}

/// A batch may be as far behind a gap as the *new* bound on writes in flight allows. If the newest checkpoint was an older one,
/// with a smaller bound or of an older boot, recovery would use its bound.
#[test]
fn no_segment_of_an_open_is_there_before_the_checkpoint_of_that_open() {
    for durability in [Durability::Written, Durability::Synced] {
        let mut rig = Rig::new(Settings { durability, ..Settings::default() }, 1);
        for _ in 0..2 {
            rig.append(batch(1, 7, 2_000), None);
            rig.run_to_idle();
            rig.close();
            rig.restart(&Restart::simple(Fate::Kill, 1));
        }
        let first = format!("{:020}.log", rig.log.log_end_offset());
        rig.append(batch(1, 7, 2_000), None);
        let mut seen = 0;
        for seed in 0.. {
            for fate in [Fate::Kill, Fate::PowerLoss] {
                let after = fate.of(&rig.disk, seed);
                let names = after.run_until(after.list(&dir())).unwrap();
                if names.iter().any(|entry| entry.name == first) {
                    let bytes = after.run_until(after.read_file(&dir().join("checkpoint"))).unwrap();
                    assert_eq!(newest_epoch(&bytes), Some(rig.epoch), "{fate:?}");
                    seen += 1;
                }
            }
            if rig.disk.outstanding() == 0 {
                break;
            }
            rig.steps(1);
        }
        assert!(seen > 2, "its file is there");
    }
}

/// Otherwise a power loss could take the checkpoint and the first segment, and leave the second: the log would begin there.
#[test]
fn a_segment_has_a_checkpoint_though_a_process_was_killed_while_it_made_the_first_one() {
    let mut seen = 0;
    for (steps, seed) in (0..10).flat_map(|steps| (0..8).map(move |seed| (steps, seed))) {
        let mut rig = Rig::new(Settings::default(), seed);
        rig.append(batch(1, 1, 500), None);
        rig.steps(steps);
        rig.restart(&Restart::simple(Fate::Kill, seed));
        rig.append(batch(2, 1, 500), None);
        while rig.disk.outstanding() > 0 {
            let after = Fate::PowerLoss.of(&rig.disk, seed);
            let names = after.run_until(after.list(&dir())).unwrap();
            if names.iter().any(|entry| segment::base_offset_of(&entry.name).is_some()) {
                assert!(
                    names.iter().any(|entry| entry.name == "checkpoint"),
                    "{steps} steps, seed {seed}: {names:?}"
                );
                seen += 1;
            }
            rig.steps(1);
        }
    }
    assert!(seen > 20, "{seen} power losses have left a segment");
}

#[test]
fn a_log_that_nobody_appends_to_is_opened_and_closed_without_a_change_on_disk() {
    let mut rig = Rig::new(Settings::default(), 1);
    let files = |rig: &Rig| {
        let disk = rig.disk.kill(0);
        let names = disk.run_until(disk.list(&dir())).unwrap();
        let read = names.iter().map(|entry| {
            let bytes = disk.run_until(disk.read_file(&dir().join(&entry.name))).unwrap();
            (entry.name.clone(), bytes)
        });
        read.collect::<Vec<_>>()
    };
    for batches in [0, 1, 5] {
        for number in 0..batches {
            rig.append(batch(number, 7, 300_000), None);
        }
        rig.run_to_idle();
        rig.close();
        let before = files(&rig);
        assert_eq!(before.is_empty(), batches == 0);
        for seed in 0..3 {
            rig.restart(&Restart::simple(Fate::PowerLoss, seed));
            rig.close();
            assert!(files(&rig) == before, "opens and closes change nothing");
        }
        rig.restart(&Restart::simple(Fate::Kill, 1));
    }
}
