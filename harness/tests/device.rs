//! The ceiling on a real disk. Every kind of slice does the operations that it promises, and leaves no file behind.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;
use vnotch::device::{
    Ceiling, CeilingSpec, DeviceError, Extent, Reap, Registration, Replay, ReplaySync, Sync, Work,
    device_best,
};
use vnotch::workload::Io;

const SLICE: Duration = Duration::from_millis(50);
const BYTES_MAX: u64 = 64 << 20;

/// Returns a directory on the file system that holds the build. The tests assume that it supports O_DIRECT.
fn disk() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn spec(work: Work) -> CeilingSpec {
    CeilingSpec {
        work,
        block_bytes: 64 << 10,
        depth: 4,
        files: 3,
        io: Io::Direct,
        reap: Reap::Wait,
        slice: SLICE,
    }
}

fn is_empty(dir: &TempDir) -> bool {
    fs::read_dir(dir.path()).unwrap().next().is_none()
}

fn disk_bytes(dir: &TempDir) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let scratch = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    fs::read_dir(scratch).unwrap().map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
}

#[test]
fn every_kind_of_slice_counts_what_it_did_and_removes_its_files() {
    let dir = disk();
    let mut ceiling = Ceiling::open(dir.path(), BYTES_MAX).unwrap();
    let mut works = vec![Work::Read];
    for extent in [Extent::Fallocated, Extent::Overwrite, Extent::Extending] {
        works.extend([Sync::None, Sync::Dsync].map(|sync| Work::Write { extent, sync }));
    }
    for work in works {
        for io in [Io::Direct, Io::Buffered] {
            let slice = ceiling.measure(&CeilingSpec { io, ..spec(work) }).unwrap();
            assert!(slice.ops > 0, "{work:?} {io:?}");
            assert_eq!(slice.bytes, slice.ops * (64 << 10), "{work:?} {io:?}");
            assert_eq!(slice.latency_ns.len(), slice.ops, "{work:?} {io:?}");
            assert!(slice.elapsed >= SLICE, "{work:?} {io:?} ended after {:?}", slice.elapsed);
            let buffered_write = io == Io::Buffered && work != Work::Read;
            assert_eq!(slice.synced_elapsed.is_some(), buffered_write, "{work:?} {io:?}");
            assert!(disk_bytes(&dir) <= BYTES_MAX, "disk use is bounded");
        }
    }
    drop(ceiling);
    assert!(is_empty(&dir), "nothing is left behind");
}

#[test]
fn a_replay_does_the_writes_of_a_trial_and_leaves_nothing() {
    let dir = disk();
    let mut ceiling = Ceiling::open(dir.path(), BYTES_MAX).unwrap();
    let groups = ReplaySync::Groups { share: 0.5, writes_mean: 4.0 };
    let background = ReplaySync::Background { every_bytes: 256 << 10 };
    for sync in [ReplaySync::None, background, ReplaySync::Each, groups] {
        for (overwrites, fresh) in
            [(1.0, Extent::Fallocated), (0.5, Extent::Fallocated), (0.0, Extent::Extending)]
        {
            for (io, reap) in [(Io::Direct, Reap::Wait), (Io::Direct, Reap::Busy), (Io::Buffered, Reap::Wait)]
            {
                let sizes = vec![(4096, 9), (65_536, 3)];
                let replay = Replay { sizes, depth: 5.5, files: 3, overwrites, fresh, sync, io };
                let slice = ceiling.replay(&replay, reap, SLICE).unwrap();
                let what = format!("{replay:?}: {slice:?}");
                assert!(slice.ops > 0 && slice.elapsed >= SLICE, "{what}");
                assert!((slice.ops * 4096..=slice.ops * 65_536).contains(&slice.bytes), "{what}");
                assert_eq!(slice.flushes > 0, sync == groups || sync == background, "{what}");
                // A background flush may follow every quarter of a MiB, and one ends the slice.
                assert!(slice.flushes <= slice.ops.max(2), "{what}");
                if sync == background {
                    assert!(slice.flushes <= 1 + slice.bytes / (256 << 10), "{what}");
                }
                assert_eq!(slice.synced_elapsed.is_some(), io == Io::Buffered, "{what}");
                let is_known = io == Io::Direct || slice.disk.is_some();
                assert_eq!(slice.device_bytes_per_s().is_some(), is_known, "{what}");
                assert!(disk_bytes(&dir) <= BYTES_MAX, "disk use is bounded");
            }
        }
    }
    drop(ceiling);
    assert!(is_empty(&dir), "nothing is left behind");
}

#[test]
fn groups_hold_as_many_writes_as_those_of_the_trial() {
    let dir = disk();
    let mut ceiling = Ceiling::open(dir.path(), BYTES_MAX).unwrap();
    let replay = Replay {
        sizes: vec![(4096, 1)],
        // Fewer than a group has. The depth must let a group become complete.
        depth: 2.0,
        files: 4,
        overwrites: 1.0,
        fresh: Extent::Fallocated,
        sync: ReplaySync::Groups { share: 1.0, writes_mean: 4.0 },
        io: Io::Direct,
    };
    let slice = ceiling.replay(&replay, Reap::Wait, SLICE).unwrap();
    assert_eq!(slice.bytes, slice.ops * 4096);
    assert!(slice.flushes * 4 >= slice.ops && (slice.flushes - 1) * 4 <= slice.ops, "{slice:?}");
}

#[test]
fn the_device_s_best_is_that_of_the_cells_that_fit() {
    let dir = disk();
    let mut ceiling = Ceiling::open(dir.path(), BYTES_MAX).unwrap();
    let best = device_best(&mut ceiling, SLICE).unwrap();
    for cell in [best.write, best.read] {
        assert!(cell.bytes_per_s > 0.0 && cell.block_bytes >= 128 << 10 && cell.depth >= 4, "{cell:?}");
        assert!(
            (cell.block_bytes, cell.depth) != (1 << 20, 32),
            "twice 32 MiB do not fit into half of 64 MiB"
        );
    }
    let mut tiny = Ceiling::open(dir.path(), 1 << 20).unwrap();
    assert!(matches!(device_best(&mut tiny, SLICE), Err(DeviceError::NoSpace { .. })));
}

#[test]
fn busy_reaping_and_registered_buffers_work_one_at_a_time() {
    let dir = disk();
    let mut ceiling = Ceiling::open(dir.path(), BYTES_MAX).unwrap();
    for reap in [Reap::Wait, Reap::Busy] {
        let synced = ceiling.dsync_4k(Io::Direct, reap, SLICE).unwrap();
        for slice in [synced.fallocated, synced.overwriting] {
            assert_eq!(slice.bytes, slice.ops * 4096);
            assert!(slice.latency_ns.min() > 1_000, "no device answers within a microsecond");
            let elapsed_ns = u64::try_from(slice.elapsed.as_nanos()).unwrap();
            assert!(slice.latency_ns.max() <= elapsed_ns, "one at a time, none takes longer than all");
            assert_eq!(slice.registration, Registration::Registered, "4 KiB fit any memlock limit");
        }
    }
}

#[test]
fn a_percentile_needs_ten_operations_beyond_it() {
    let dir = disk();
    let mut slice = Ceiling::open(dir.path(), BYTES_MAX).unwrap().measure(&spec(Work::Read)).unwrap();
    slice.latency_ns.reset();
    slice.latency_ns.record_n(1000, 999).unwrap();
    assert_eq!(slice.latency_at(0.99), None);
    slice.latency_ns.record(1000).unwrap();
    assert!(slice.latency_at(0.99).is_some());
    assert_eq!(slice.latency_at(0.999), None);
}

#[test]
fn a_raised_flag_interrupts_and_still_cleans_up() {
    let dir = disk();
    let mut ceiling =
        Ceiling::open(dir.path(), BYTES_MAX).unwrap().stopped_by(Arc::new(AtomicBool::new(true)));
    for work in [Work::Read, Work::Write { extent: Extent::Fallocated, sync: Sync::None }] {
        assert!(matches!(ceiling.measure(&spec(work)), Err(DeviceError::Interrupted)));
    }
    drop(ceiling);
    assert!(is_empty(&dir));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = disk();
    let mut ceiling = Ceiling::open(dir.path(), BYTES_MAX).unwrap();
    let good = spec(Work::Read);
    let bad = [
        CeilingSpec { block_bytes: 0, ..good },
        CeilingSpec { block_bytes: 4097, ..good },
        CeilingSpec { depth: 0, ..good },
        CeilingSpec { depth: 257, ..good },
        CeilingSpec { files: 0, ..good },
        CeilingSpec { slice: Duration::ZERO, ..good },
        CeilingSpec { block_bytes: 8 << 20, depth: 64, ..good },
    ];
    for spec in bad {
        assert!(matches!(ceiling.measure(&spec), Err(DeviceError::Spec { .. })), "{spec:?}");
    }
    let large = CeilingSpec { block_bytes: 8 << 20, depth: 8, ..good };
    assert!(matches!(ceiling.measure(&large), Err(DeviceError::NoSpace { .. })), "64 MiB cannot hold it");
}
