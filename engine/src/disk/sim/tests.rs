//! Tests of the promises of the simulated disk, and of the calls that it refuses.

use super::*;
use crate::buffer::{Arena, Slice};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use std::collections::BTreeSet;

const PATH: &str = "/f";

fn arena() -> Arena {
    Arena::new(2 << 20).unwrap()
}

fn block(arena: &Arena, byte: u8) -> Slice {
    let mut chunk = arena.allocate(BLOCK_BYTES).unwrap();
    chunk.append(&[byte; BLOCK_BYTES]);
    chunk.slice(0..BLOCK_BYTES)
}

fn create(disk: &SimDisk, io: IoMode) -> SimFile {
    let file = disk.run_until(disk.open(Path::new(PATH), OpenMode::CreateNew, io)).unwrap();
    disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
    file
}

fn contents(disk: &SimDisk) -> Option<Vec<u8>> {
    disk.run_until(disk.read_file(Path::new(PATH))).ok()
}

fn heap(bytes: &[u8]) -> WriteData {
    WriteData::Heap(bytes.into())
}

#[test]
fn operations_complete_in_an_order_that_the_seed_decides() {
    let order = |seed: u64| {
        let disk = SimDisk::new(seed);
        let file = create(&disk, IoMode::Buffered);
        let done = RefCell::new(Vec::new());
        let (file, done_in_turn) = (&file, &done);
        let writes = (0..8u8).map(|index| async move {
            file.write(heap(&[index]), u64::from(index), WriteSync::None).await.unwrap();
            done_in_turn.borrow_mut().push(index);
        });
        disk.run_until(join_all(writes));
        done.into_inner()
    };
    let orders: BTreeSet<Vec<u8>> = (0..20).map(order).collect();
    assert!(orders.len() > 10, "{orders:?}");
    assert_eq!(order(3), order(3));
}

#[test]
fn a_dropped_future_does_not_stop_its_write() {
    let disk = SimDisk::new(0);
    let file = create(&disk, IoMode::Buffered);
    assert!(file.write(heap(b"abc"), 0, WriteSync::None).now_or_never().is_none());
    assert_eq!((disk.outstanding(), contents(&disk.kill(0)).is_some()), (1, true));
    while disk.step() {}
    assert_eq!(contents(&disk).unwrap(), b"abc");
}

#[test]
fn what_was_synced_is_there_after_a_crash_and_what_was_not_may_be() {
    let mut found = BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let file = create(&disk, IoMode::Buffered);
        disk.run_until(file.write(heap(b"old"), 0, WriteSync::None)).unwrap();
        disk.run_until(file.sync()).unwrap();
        disk.run_until(file.write(heap(&[1; 1024]), 4096, WriteSync::None)).unwrap();
        let after = contents(&disk.crash(seed)).unwrap();
        assert_eq!(&after[..3], b"old");
        let sectors = [4096, 4608].map(|at| after.get(at).copied());
        found.insert((after.len(), sectors));
        assert_eq!(contents(&disk.kill(seed)).unwrap()[4096..], [1; 1024]);
    }
    let (one, zero) = (Some(1), Some(0));
    let lost = [(3, [None, None]), (5120, [zero, zero])];
    let torn = [(4608, [one, None]), (5120, [one, zero]), (5120, [zero, one])];
    let kept = [(5120, [one, one])];
    assert_eq!(found, lost.into_iter().chain(torn).chain(kept).collect());
}

#[test]
fn a_durable_write_lasts_over_an_older_one_that_was_not() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = create(&disk, IoMode::Buffered);
        disk.run_until(file.write(heap(&[1; 512]), 0, WriteSync::None)).unwrap();
        disk.run_until(file.write(heap(&[2; 512]), 0, WriteSync::Dsync)).unwrap();
        assert_eq!(contents(&disk.crash(seed)).unwrap(), [2; 512]);
    }
}

#[test]
fn a_sync_covers_only_what_completed_before_it_was_submitted() {
    let lost = (0..50).any(|seed| {
        let disk = SimDisk::new(seed);
        let file = create(&disk, IoMode::Buffered);
        let sync = file.sync();
        let mut sync = pin!(sync);
        assert!(sync.as_mut().now_or_never().is_none());
        disk.run_until(file.write(heap(b"late"), 0, WriteSync::None)).unwrap();
        disk.run_until(sync).unwrap();
        contents(&disk.crash(seed)).unwrap().is_empty()
    });
    assert!(lost);
}

/// Returns two direct files with durable names. The first block of the first file is durably written.
fn two_files(disk: &SimDisk, arena: &Arena) -> [SimFile; 2] {
    let file = create(disk, IoMode::Direct);
    let other = disk.run_until(disk.open(Path::new("/other"), OpenMode::CreateNew, IoMode::Direct)).unwrap();
    disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
    disk.run_until(file.allocate(2 * 4096)).unwrap();
    disk.run_until(file.write(WriteData::Slice(block(arena, 1)), 0, WriteSync::None)).unwrap();
    disk.run_until(file.sync()).unwrap();
    assert_eq!(file.flush_domain(), other.flush_domain());
    [file, other]
}

/// Returns the values that the byte at `position` of the first file can have after a crash, found with many seeds.
fn after_crashes(position: usize, work: impl Fn(&SimDisk, &Arena, &[SimFile; 2])) -> BTreeSet<Option<u8>> {
    let found = (0..100).map(|seed| {
        let (disk, arena) = (SimDisk::new(seed), arena());
        let files = two_files(&disk, &arena);
        work(&disk, &arena, &files);
        contents(&disk.crash(seed)).unwrap().get(position).copied()
    });
    found.collect()
}

fn overwrite(disk: &SimDisk, arena: &Arena, file: &SimFile, position: u64) {
    disk.run_until(file.write(WriteData::Slice(block(arena, 2)), position, WriteSync::None)).unwrap();
}

#[test]
fn a_sync_of_another_file_covers_what_overwrote_durable_extents() {
    let found = after_crashes(0, |disk, arena, [file, other]| {
        overwrite(disk, arena, file, 0);
        disk.run_until(other.sync()).unwrap();
    });
    assert_eq!(found, BTreeSet::from([Some(2)]));
}

#[test]
fn a_sync_of_another_file_covers_nothing_else() {
    let either = BTreeSet::from([Some(1), Some(2)]);
    let late = after_crashes(0, |disk, arena, [file, other]| {
        let sync = other.sync();
        let mut sync = pin!(sync);
        assert!(sync.as_mut().now_or_never().is_none());
        overwrite(disk, arena, file, 0);
        disk.run_until(sync).unwrap();
    });
    assert_eq!(late, either, "it had not completed when the sync was submitted");
    let reserved = after_crashes(4096, |disk, arena, [file, other]| {
        overwrite(disk, arena, file, 4096);
        disk.run_until(other.sync()).unwrap();
    });
    assert!(reserved.contains(&Some(0)), "its extent was reserved and never written");
    let unsynced = after_crashes(4096, |disk, arena, [file, other]| {
        overwrite(disk, arena, file, 4096);
        overwrite(disk, arena, file, 4096);
        disk.run_until(other.sync()).unwrap();
    });
    assert!(unsynced.contains(&Some(0)), "its extent was written, but not durably");
    let grown = after_crashes(8192, |disk, arena, [file, other]| {
        overwrite(disk, arena, file, 8192);
        disk.run_until(other.sync()).unwrap();
    });
    assert!(grown.contains(&None), "it made the file longer");
    let cached = after_crashes(0, |disk, _, [_, other]| {
        let buffered = disk.run_until(disk.open(Path::new(PATH), OpenMode::ReadWrite, IoMode::Buffered));
        disk.run_until(buffered.unwrap().write(heap(&[2; 4096]), 0, WriteSync::None)).unwrap();
        disk.run_until(other.sync()).unwrap();
    });
    assert_eq!(cached, either, "it was in the page cache");
}

#[test]
fn names_are_lost_until_their_directory_is_synced_and_a_rename_happens_whole() {
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let file = create(&disk, IoMode::Buffered);
        disk.run_until(file.write(heap(b"x"), 0, WriteSync::Dsync)).unwrap();
        disk.run_until(disk.rename(Path::new(PATH), Path::new("/g"))).unwrap();
        let names = |disk: &SimDisk| {
            let entries = disk.run_until(disk.list(Path::new("/"))).unwrap();
            entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        found.insert(names(&disk.crash(seed)));
        assert_eq!(names(&disk.kill(seed)), ["g"]);
        disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
        let after = disk.crash(seed);
        assert_eq!(names(&after), ["g"]);
        assert_eq!(after.run_until(after.read_file(Path::new("/g"))).unwrap(), b"x");
    }
    assert_eq!(found, BTreeSet::from([vec!["f".into()], vec!["g".into()]]));
}

#[test]
fn allocated_space_reads_as_zeros_and_a_cut_file_is_short() {
    let disk = SimDisk::new(0);
    let arena = arena();
    let file = create(&disk, IoMode::Direct);
    disk.run_until(file.allocate(8192)).unwrap();
    disk.run_until(file.write(WriteData::Slice(block(&arena, 7)), 0, WriteSync::None)).unwrap();
    assert_eq!(disk.run_until(file.size()).unwrap(), 8192);
    let read = |len_bytes| {
        let buffer = arena.allocate_read(1 << 14).unwrap();
        let (buffer, got) = disk.run_until(file.read(buffer, 0, len_bytes)).unwrap();
        buffer.freeze(got).to_vec()
    };
    assert_eq!(read(16_384), [[7; 4096], [0; 4096]].concat());
    disk.run_until(file.truncate(100)).unwrap();
    assert_eq!(read(4096), [7; 100]);
    disk.run_until(file.allocate(200)).unwrap();
    assert_eq!(read(4096), [[7; 100], [0; 100]].concat());
}

#[test]
fn a_write_can_be_made_to_fail() {
    let disk = SimDisk::new(0);
    let file = create(&disk, IoMode::Buffered);
    disk.fail_write(1, io::ErrorKind::StorageFull);
    disk.run_until(file.write(heap(b"a"), 0, WriteSync::None)).unwrap();
    assert!(disk.run_until(file.write(heap(b"b"), 1, WriteSync::None)).unwrap_err().is_no_space());
    disk.run_until(file.write(heap(b"c"), 1, WriteSync::None)).unwrap();
    assert_eq!(contents(&disk).unwrap(), b"ac");
}

#[test]
fn a_full_disk_refuses_what_takes_space_and_nothing_else() {
    let disk = SimDisk::new(0);
    let file = create(&disk, IoMode::Buffered);
    let write = |position| disk.run_until(file.write(heap(b"a"), position, WriteSync::None));
    disk.limit(8192);
    write(4095).unwrap();
    write(4096).unwrap();
    assert!(write(8192).unwrap_err().is_no_space());
    assert!(disk.run_until(file.allocate(8193)).unwrap_err().is_no_space());
    write(0).unwrap();
    disk.make_room();
    disk.fill_up(1);
    write(0).unwrap();
    assert!(write(0).unwrap_err().is_no_space(), "also what overwrites");
    let other = Path::new("/other");
    let opened = disk.run_until(disk.open(other, OpenMode::CreateNew, IoMode::Buffered));
    assert!(opened.map(drop).unwrap_err().is_no_space());
    disk.run_until(file.sync()).unwrap();
    disk.run_until(disk.remove_file(Path::new(PATH))).unwrap();
    disk.make_room();
    disk.limit(4096);
    let file = create(&disk, IoMode::Buffered);
    disk.run_until(file.allocate(4096)).unwrap();
}

#[test]
fn a_name_that_is_missing_or_exists_already_is_an_error() {
    let disk = SimDisk::new(0);
    let file = Path::new(PATH);
    let open = |mode| disk.run_until(disk.open(file, mode, IoMode::Buffered)).map(drop);
    assert!(open(OpenMode::Read).unwrap_err().is_not_found());
    open(OpenMode::CreateNew).unwrap();
    assert_eq!(open(OpenMode::CreateNew).unwrap_err().source.kind(), io::ErrorKind::AlreadyExists);
    disk.run_until(disk.create_dir(Path::new("/d"))).unwrap();
    disk.run_until(disk.create_dir(Path::new("/d"))).unwrap();
    disk.run_until(disk.open(Path::new("/d/x"), OpenMode::Replace, IoMode::Direct)).unwrap();
    let removed = disk.run_until(disk.remove_dir(Path::new("/d"))).unwrap_err();
    assert_eq!(removed.source.kind(), io::ErrorKind::DirectoryNotEmpty);
    let across = disk.run_until(disk.rename(Path::new("/d/x"), Path::new("/x"))).unwrap_err();
    assert_eq!(across.source.kind(), io::ErrorKind::Unsupported);
    disk.run_until(disk.remove_file(Path::new("/d/x"))).unwrap();
    disk.run_until(disk.remove_dir(Path::new("/d"))).unwrap();
    assert!(disk.run_until(disk.list(Path::new("/d"))).unwrap_err().is_not_found());
}

#[test]
#[should_panic(expected = "is not aligned to 4 KiB")]
fn a_direct_write_at_an_odd_position_is_refused() {
    let (disk, arena) = (SimDisk::new(0), arena());
    let file = create(&disk, IoMode::Direct);
    let _ = disk.run_until(file.write(WriteData::Slice(block(&arena, 1)), 512, WriteSync::None));
}

#[test]
#[should_panic(expected = "is not aligned to 4 KiB")]
fn a_direct_write_from_an_odd_address_is_refused() {
    let (disk, arena) = (SimDisk::new(0), arena());
    let file = create(&disk, IoMode::Direct);
    let mut chunk = arena.allocate(3 * BLOCK_BYTES).unwrap();
    chunk.append(&[0; 2 * BLOCK_BYTES]);
    let slice = chunk.slice(512..512 + BLOCK_BYTES);
    let _ = disk.run_until(file.write(WriteData::Slice(slice), 0, WriteSync::None));
}

#[test]
#[should_panic(expected = "is not aligned to 4 KiB")]
fn a_direct_read_of_an_odd_length_is_refused() {
    let (disk, arena) = (SimDisk::new(0), arena());
    let file = create(&disk, IoMode::Direct);
    let _ = disk.run_until(file.read(arena.allocate_read(BLOCK_BYTES).unwrap(), 0, 100));
}

#[test]
#[should_panic(expected = "of the same file are in flight")]
fn two_writes_of_one_block_at_once_are_refused() {
    let (disk, arena) = (SimDisk::new(0), arena());
    let file = create(&disk, IoMode::Direct);
    let write = || file.write(WriteData::Slice(block(&arena, 1)), 0, WriteSync::None).now_or_never();
    assert!(write().is_none());
    write();
}
