//! Each fault of the simulated disk does what its description says, and nothing more.

use super::*;
use crate::buffer::{Arena, Slice};
use futures_util::FutureExt as _;
use std::collections::BTreeSet;

const EIO: io::ErrorKind = io::ErrorKind::Other;

fn path(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

fn create(disk: &SimDisk, name: &str, io: IoMode) -> SimFile {
    let file = disk.run_until(disk.open(&path(name), OpenMode::CreateNew, io)).unwrap();
    disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
    file
}

fn contents(disk: &SimDisk, name: &str) -> Vec<u8> {
    disk.run_until(disk.read_file(&path(name))).unwrap()
}

fn block(arena: &Arena, byte: u8) -> Slice {
    let mut chunk = arena.allocate(BLOCK_BYTES).unwrap();
    chunk.append(&[byte; BLOCK_BYTES]);
    chunk.slice(0..BLOCK_BYTES)
}

fn write(disk: &SimDisk, file: &SimFile, bytes: &[u8], position: u64) {
    disk.run_until(file.write(WriteData::Heap(bytes.into()), position, WriteSync::None)).unwrap();
}

fn overwrite(disk: &SimDisk, arena: &Arena, file: &SimFile, byte: u8) {
    disk.run_until(file.write(WriteData::Slice(block(arena, byte)), 0, WriteSync::None)).unwrap();
}

fn inject(disk: &SimDisk, op: DiskOp, operations_before: u64, effect: Effect) {
    disk.inject(Fault { op, operations_before, effect });
}

/// A direct file whose first block is durably written with ones.
fn written_file(disk: &SimDisk, arena: &Arena, name: &str) -> SimFile {
    let file = create(disk, name, IoMode::Direct);
    disk.run_until(file.write(WriteData::Slice(block(arena, 1)), 0, WriteSync::None)).unwrap();
    disk.run_until(file.sync()).unwrap();
    file
}

#[test]
fn each_kind_of_operation_can_fail_once_and_then_works() {
    let disk = SimDisk::new(0);
    let arena = Arena::new(2 << 20).unwrap();
    disk.run_until(disk.create_dir(Path::new("/d"))).unwrap();
    let file = create(&disk, "f", IoMode::Direct);
    let root = Path::new("/");
    type Attempt<'a> = Box<dyn Fn() -> Result<(), DiskError> + 'a>;
    let attempts: Vec<(DiskOp, Attempt<'_>)> = vec![
        (
            DiskOp::Open,
            Box::new(|| disk.run_until(disk.open(&path("f"), OpenMode::Read, IoMode::Direct)).map(drop)),
        ),
        (
            DiskOp::Create,
            Box::new(|| disk.run_until(disk.open(&path("g"), OpenMode::CreateNew, IoMode::Direct)).map(drop)),
        ),
        (DiskOp::Read, Box::new(|| disk.run_until(disk.read_file(&path("f"))).map(drop))),
        (
            DiskOp::Read,
            Box::new(|| disk.run_until(file.read(arena.allocate_read(4096).unwrap(), 0, 4096)).map(drop)),
        ),
        (
            DiskOp::Write,
            Box::new(|| disk.run_until(file.write(WriteData::Slice(block(&arena, 1)), 0, WriteSync::None))),
        ),
        (DiskOp::Sync, Box::new(|| disk.run_until(file.sync()))),
        (DiskOp::Sync, Box::new(|| disk.run_until(file.flush(file.failed_syncs())))),
        (DiskOp::Allocate, Box::new(|| disk.run_until(file.allocate(8192)))),
        (DiskOp::Truncate, Box::new(|| disk.run_until(file.truncate(4096)))),
        (DiskOp::SyncDir, Box::new(|| disk.run_until(disk.sync_dir(root)))),
        (DiskOp::List, Box::new(|| disk.run_until(disk.list(root)).map(drop))),
        (DiskOp::Rename, Box::new(|| disk.run_until(disk.rename(&path("g"), &path("h"))))),
        (DiskOp::Remove, Box::new(|| disk.run_until(disk.remove_file(&path("h"))))),
        (DiskOp::Remove, Box::new(|| disk.run_until(disk.remove_dir(&path("d"))))),
        (DiskOp::CreateDir, Box::new(|| disk.run_until(disk.create_dir(&path("d"))))),
    ];
    for (op, attempt) in attempts {
        inject(&disk, op, 0, Effect::Fails(EIO));
        let error = attempt().unwrap_err();
        assert_eq!((error.op, error.source.kind()), (op, EIO));
        attempt().unwrap_or_else(|error| panic!("{op} fails twice: {error}"));
    }
    assert_eq!(disk.fault_counts()["read fails"], 2);
    assert_eq!(disk.kill(0).fault_counts(), disk.fault_counts());
}

#[test]
fn a_fault_lets_operations_pass_before_it_and_ends_with_the_process() {
    let disk = SimDisk::new(0);
    create(&disk, "f", IoMode::Buffered);
    let list = |disk: &SimDisk| disk.run_until(disk.list(Path::new("/"))).map(drop);
    inject(&disk, DiskOp::List, 2, Effect::Fails(EIO));
    list(&disk).unwrap();
    contents(&disk, "f");
    list(&disk).unwrap();
    let after = disk.kill(0);
    for _ in 0..4 {
        list(&after).unwrap();
    }
    list(&disk).unwrap_err();
    list(&disk).unwrap();
}

#[test]
fn names_that_change_while_a_directory_is_synced_are_not_covered() {
    let is_lost = |seed: u64| {
        let disk = SimDisk::new(seed);
        create(&disk, "f", IoMode::Buffered);
        let sync = disk.sync_dir(Path::new("/"));
        let mut sync = pin!(sync);
        assert!(sync.as_mut().now_or_never().is_none());
        // The sync may complete before or after the rename: neither covers it.
        disk.run_until(disk.rename(&path("f"), &path("g"))).unwrap();
        disk.run_until(sync).unwrap();
        let after = disk.crash(seed);
        after.run_until(after.read_file(&path("g"))).is_err()
    };
    let lost: BTreeSet<bool> = (0..60).map(is_lost).collect();
    assert_eq!(lost, BTreeSet::from([false, true]));
}

#[test]
fn a_failed_sync_that_keeps_its_writes_can_be_repeated() {
    for seed in 0..30 {
        let disk = SimDisk::new(seed);
        let file = create(&disk, "f", IoMode::Buffered);
        write(&disk, &file, b"abc", 0);
        disk.fail_sync(EIO);
        disk.run_until(file.sync()).unwrap_err();
        disk.run_until(file.sync()).unwrap();
        assert_eq!(contents(&disk.crash(seed), "f"), b"abc");
    }
}

#[test]
fn after_a_failed_sync_that_drops_writes_a_retry_succeeds_with_nothing() {
    let disk = SimDisk::new(0);
    let file = create(&disk, "f", IoMode::Buffered);
    write(&disk, &file, b"old", 0);
    disk.run_until(file.sync()).unwrap();
    write(&disk, &file, b"new and longer", 0);
    inject(&disk, DiskOp::Sync, 0, Effect::FailsAndDropsFile(EIO));
    disk.run_until(file.sync()).unwrap_err();
    disk.run_until(file.sync()).unwrap();
    assert_eq!(contents(&disk, "f"), b"new and longer", "the page cache shows it");
    assert_eq!(contents(&disk.kill(0), "f"), b"new and longer", "the next process sees the same pages");
    let of_size_14 = [&b"old"[..], &[0; 11]].concat();
    assert_eq!(contents(&disk.crash(0), "f"), of_size_14);
    let direct = disk.run_until(disk.open(&path("f"), OpenMode::Read, IoMode::Direct)).unwrap();
    let arena = Arena::new(2 << 20).unwrap();
    let read = direct.read(arena.allocate_read(4096).unwrap(), 0, 4096);
    let (buffer, got) = disk.run_until(read).unwrap();
    assert_eq!(buffer.freeze(got).to_vec(), of_size_14, "direct reads go past the page cache");
    write(&disk, &file, b"N", 0);
    disk.evict();
    assert_eq!(contents(&disk, "f")[..3], *b"Nld", "what was written since is dirty, and stays");
    disk.run_until(file.sync()).unwrap();
    assert_eq!(contents(&disk.crash(1), "f")[..3], *b"Nld");
}

#[test]
fn a_failed_sync_drops_what_other_files_have_in_the_devices_cache_only_if_it_is_meant_to() {
    for (effect, expected) in
        [(Effect::FailsAndDropsFile(EIO), vec![2]), (Effect::FailsAndDropsDevice(EIO), vec![1, 2])]
    {
        let found: BTreeSet<u8> = (0..40)
            .map(|seed| {
                let (disk, arena) = (SimDisk::new(seed), Arena::new(2 << 20).unwrap());
                let [file, other] = ["f", "g"].map(|name| written_file(&disk, &arena, name));
                let buffered =
                    disk.run_until(disk.open(&path("g"), OpenMode::ReadWrite, IoMode::Buffered)).unwrap();
                if seed % 2 == 0 {
                    overwrite(&disk, &arena, &other, 2);
                } else {
                    write(&disk, &buffered, &[2], 0);
                }
                let failed_syncs = other.failed_syncs();
                inject(&disk, DiskOp::Sync, 0, effect);
                disk.run_until(file.flush(0)).unwrap_err();
                disk.run_until(other.flush(other.failed_syncs())).unwrap();
                disk.run_until(buffered.sync()).unwrap();
                assert!(
                    other.check_syncs(failed_syncs).is_err() && buffered.check_syncs(failed_syncs).is_err()
                );
                contents(&disk.crash(seed), "g")[0]
            })
            .collect();
        assert_eq!(found, expected.into_iter().collect());
    }
}

#[test]
fn every_kind_of_sync_that_fails_is_counted() {
    let (disk, arena) = (SimDisk::new(0), Arena::new(2 << 20).unwrap());
    let file = written_file(&disk, &arena, "f");
    let failures = disk.sync_failures(&path("f")).unwrap();
    let dsync = |file: &SimFile| {
        let data = WriteData::Heap(Rc::from([1]));
        let buffered = disk.run_until(disk.open(&file.path, OpenMode::ReadWrite, IoMode::Buffered)).unwrap();
        disk.run_until(buffered.write(data, 0, WriteSync::Dsync)).unwrap_err();
    };
    let fails: [(DiskOp, &dyn Fn()); 4] = [
        (DiskOp::Sync, &|| drop(disk.run_until(file.sync()).unwrap_err())),
        (DiskOp::Sync, &|| drop(disk.run_until(file.flush(0)).unwrap_err())),
        (DiskOp::SyncDir, &|| drop(disk.run_until(disk.sync_dir(Path::new("/"))).unwrap_err())),
        (DiskOp::Write, &|| dsync(&file)),
    ];
    for (number, (op, fail)) in (0..).zip(fails) {
        assert_eq!(failures.count(), number);
        inject(&disk, op, 0, Effect::Fails(EIO));
        fail();
    }
    assert_eq!(failures.count(), 4);
    disk.fill_up(0);
    dsync(&file);
    assert_eq!(failures.count(), 4, "a write that finds no space is not a failed sync");
}

#[test]
fn a_lost_write_is_acked_and_a_misdirected_one_lies_elsewhere() {
    let mut places = BTreeSet::new();
    for seed in 0..60 {
        let (disk, arena) = (SimDisk::new(seed), Arena::new(2 << 20).unwrap());
        let file = written_file(&disk, &arena, "f");
        written_file(&disk, &arena, "g");
        inject(&disk, DiskOp::Write, 0, Effect::IsLost);
        overwrite(&disk, &arena, &file, 2);
        assert_eq!([contents(&disk, "f")[0], contents(&disk, "g")[0]], [1, 1]);
        disk.run_until(file.allocate(4 * 4096)).unwrap();
        inject(&disk, DiskOp::Write, 0, Effect::IsMisdirected);
        overwrite(&disk, &arena, &file, 3);
        let found = ["f", "g"].map(|name| contents(&disk, name).iter().position(|byte| *byte == 3));
        assert_eq!(found.iter().flatten().count(), 1);
        places.insert(found);
    }
    assert!(places.contains(&[Some(2 * 4096), None]) && places.contains(&[None, Some(0)]), "{places:?}");
}

#[test]
fn a_flush_covers_its_own_device_alone_and_each_loses_its_power_alone() {
    let mut found = BTreeSet::new();
    for seed in 0..60 {
        let (disk, arena) = (SimDisk::new(seed), Arena::new(2 << 20).unwrap());
        disk.mount_second(Path::new("/second"));
        disk.run_until(disk.create_dir(Path::new("/second"))).unwrap();
        disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
        let file = written_file(&disk, &arena, "f");
        let other = written_file(&disk, &arena, "second/g");
        disk.run_until(disk.sync_dir(Path::new("/second"))).unwrap();
        assert_ne!(file.flush_domain(), other.flush_domain());
        overwrite(&disk, &arena, &file, 2);
        overwrite(&disk, &arena, &other, 2);
        disk.run_until(file.flush(0)).unwrap();
        assert_eq!(contents(&disk.crash(seed), "f")[0], 2);
        found.insert(contents(&disk.crash(seed), "second/g")[0]);
        assert_eq!(contents(&disk.crash_device(0, seed), "second/g")[0], 2);
        overwrite(&disk, &arena, &file, 3);
        assert_eq!(contents(&disk.crash_device(1, seed), "f")[0], 3);
    }
    assert_eq!(found, BTreeSet::from([1, 2]));
}

#[test]
#[should_panic(expected = "cannot misbehave")]
fn only_writes_can_be_lost() {
    inject(&SimDisk::new(0), DiskOp::Read, 0, Effect::IsLost);
}
