//! Tests with made-up machines: each fault is found, named, and comes with a remedy.

use super::checks::*;
use super::*;
use crate::result::environment::{
    Cgroup, Cpu, Environment, IoUring, Load, Memlock, Memory, Storage, Throttling,
};
use std::path::PathBuf;

const NEEDS: Needs = Needs { arena_bytes: 256 << 20, shards: 1, io: Io::Direct, preallocates: false };

fn limited(limit_bytes: u64) -> Memlock {
    Memlock { limit_bytes: Some(limit_bytes), exempt: false }
}

fn ring(operations: &[&str]) -> Result<RingProbe, DeviceError> {
    let operations = operations.iter().map(|&name| name.to_owned()).collect();
    Ok(RingProbe { features: vec!["nodrop".to_owned()], operations })
}

fn dir(direct: Result<(), DeviceError>) -> Result<DirProbe, DeviceError> {
    Ok(DirProbe { free_bytes: Some(1 << 40), direct, direct_is_cached: Some(false), allocate: Ok(()) })
}

fn no_direct() -> DeviceError {
    DeviceError::NoDirect { dir: PathBuf::from("/mnt/ram") }
}

#[track_caller]
fn assert_faulty(check: &Check, level: Level, words: &str) {
    assert_eq!(check.level, level, "{check:?}");
    assert!(check.remedy.is_some(), "a fault comes with a remedy: {check:?}");
    assert!(sentence(check).contains(words), "{check:?}");
}

#[test]
fn old_kernels_are_refused_and_unknown_ones_are_not() {
    assert_faulty(&kernel("Linux 5.15.0-1-generic #1"), Level::Fail, "6.0");
    assert_faulty(&kernel("Linux 6.0.7 #1"), Level::Warn, "6.1");
    assert_eq!(kernel("Linux 6.1.0-27-amd64 #1").level, Level::Ok);
    assert_eq!(kernel("Linux 6.18.44-x #1").level, Level::Ok);
    assert_eq!(kernel("Something else").level, Level::Ok);
}

#[test]
fn io_uring_switched_off_says_which_switch() {
    let off = io_uring(&Err(DeviceError::RingForbidden), Some(2));
    assert_faulty(&off, Level::Fail, "kernel.io_uring_disabled = 2");
    assert_faulty(&off, Level::Fail, "sysctl kernel.io_uring_disabled=0");
    assert_faulty(&io_uring(&Err(DeviceError::RingForbidden), Some(0)), Level::Fail, "seccomp");
    assert_faulty(&io_uring(&Err(DeviceError::RingMissing), None), Level::Fail, "run Linux 6.1");
    assert_faulty(&io_uring(&Err(DeviceError::RingMemory), Some(0)), Level::Fail, "ulimit -l");
    assert_eq!(io_uring(&ring(&[]), Some(0)).level, Level::Ok);
}

#[test]
fn a_missing_operation_is_named() {
    let some = operations(&ring(&["read", "write", "read_fixed", "fsync", "fallocate"])).unwrap();
    assert_faulty(&some, Level::Fail, "write_fixed missing");
    assert_eq!(operations(&Err(DeviceError::RingMissing)), None, "no ring is one fault, not two");
}

#[test]
fn memlock_has_a_hard_floor_and_a_soft_one() {
    assert_faulty(&memlock(limited((512 << 10) - 1), &NEEDS), Level::Fail, "512 KiB at least");
    let exempt = Memlock { exempt: true, ..limited(64 << 10) };
    assert_faulty(&memlock(exempt, &NEEDS), Level::Fail, "ulimit -l");
    assert_faulty(&memlock(limited(512 << 10), &NEEDS), Level::Warn, "not registered");
    assert_faulty(&memlock(limited(256 << 20), &Needs { shards: 2, ..NEEDS }), Level::Warn, "512 MiB");
    assert_eq!(memlock(limited(256 << 20), &NEEDS).level, Level::Ok);
    assert_eq!(memlock(Memlock { exempt: true, ..limited(8 << 20) }, &NEEDS).level, Level::Ok);
    assert_eq!(memlock(Memlock { limit_bytes: None, exempt: false }, &NEEDS).level, Level::Ok);
}

#[test]
fn direct_io_matters_to_those_who_want_it() {
    let direct = directory(&dir(Err(no_direct())), &NEEDS);
    assert_faulty(&direct[0], Level::Fail, "/mnt/ram");
    let buffered = directory(&dir(Err(no_direct())), &Needs { io: Io::Buffered, ..NEEDS });
    assert_faulty(&buffered[0], Level::Warn, "O_DIRECT");
    assert!(directory(&dir(Ok(())), &NEEDS).iter().all(|check| check.level == Level::Ok));
    let forbidden = DeviceError::File {
        action: "create",
        path: PathBuf::from("/srv"),
        source: std::io::ErrorKind::PermissionDenied.into(),
    };
    let checks = directory(&Err(forbidden), &NEEDS);
    assert_faulty(&checks[0], Level::Fail, "cannot create /srv: permission denied");
}

#[test]
fn a_low_limit_on_open_files_is_a_warning() {
    assert_faulty(&descriptors(Some(1023)), Level::Warn, "ulimit -Hn");
    assert_eq!(descriptors(Some(1024)).level, Level::Ok);
    assert_eq!(descriptors(None).level, Level::Ok);
}

#[test]
fn little_space_and_memory_are_warnings() {
    let full = DirProbe { free_bytes: Some(1 << 30), ..dir(Ok(())).unwrap() };
    assert_faulty(&directory(&Ok(full), &NEEDS)[2], Level::Warn, "1.00 GiB");
    let little = Memory {
        total_bytes: Some(4 << 30),
        available_bytes: Some(1 << 30),
        transparent_huge_pages: Some("always".to_owned()),
        memlock: limited(0),
    };
    assert_faulty(
        &memory(&little, &Cgroup::default(), &NEEDS),
        Level::Warn,
        "1.00 GiB available of 4.00 GiB",
    );
    assert_faulty(&huge_pages(&little).unwrap(), Level::Warn, "madvise");
}

#[test]
fn layers_and_memory_are_no_disks() {
    let on = |kind: &str| {
        let storage = Storage { filesystem: Some(kind.to_owned()), ..Storage::default() };
        file_system(&storage, "Linux 6.1.0 #1", None)
    };
    for kind in ["tmpfs", "overlay", "nfs4", "fuse.sshfs"] {
        assert_faulty(&on(kind), Level::Warn, kind);
    }
    assert_eq!(on("ext4").level, Level::Ok);
}

#[test]
fn ext4_without_a_journal_wants_a_kernel_that_flushes() {
    let storage = Storage { filesystem: Some("ext4".to_owned()), ..Storage::default() };
    let on = |kernel: &str, has_journal| file_system(&storage, &format!("Linux {kernel} #1"), has_journal);
    assert_faulty(&on("6.4.16-x", Some(false)), Level::Warn, "without a journal");
    for (kernel, has_journal) in [("6.5.0", Some(false)), ("6.1.0-27-amd64", Some(true)), ("6.1.0", None)] {
        assert_eq!(on(kernel, has_journal).level, Level::Ok, "{kernel}, {has_journal:?}");
    }
}

#[test]
fn direct_writes_that_are_cached_and_a_missing_fallocate_are_named() {
    let cached = DirProbe { direct_is_cached: Some(true), ..dir(Ok(())).unwrap() };
    assert_faulty(&directory(&Ok(cached), &NEEDS)[0], Level::Warn, "page cache");
    let unknown = DirProbe { direct_is_cached: None, ..dir(Ok(())).unwrap() };
    assert_eq!(directory(&Ok(unknown), &NEEDS)[0].level, Level::Ok);
    let probe = || {
        let allocate = Err(DeviceError::NoAllocate { dir: PathBuf::from("/mnt/old") });
        Ok(DirProbe { allocate, ..dir(Ok(())).unwrap() })
    };
    assert_faulty(&directory(&probe(), &NEEDS)[1], Level::Warn, "log.preallocate");
    let needs = Needs { preallocates: true, ..NEEDS };
    assert_faulty(&directory(&probe(), &needs)[1], Level::Fail, "log.preallocate=none");
}

#[test]
fn a_machine_that_hides_the_files_of_its_kernel_is_refused_by_name() {
    assert_faulty(
        &kernel_files(&["/sys/devices/system/cpu/online"]),
        Level::Fail,
        "/sys/devices/system/cpu/online cannot be read",
    );
    assert_eq!(kernel_files(&[]).level, Level::Ok);
}

#[test]
fn limits_of_control_groups_are_named() {
    let throttling = Some(Throttling { periods: 80, throttled_periods: 62, throttled_s: 3.0 });
    let half = Cgroup { cpu_quota_cores: Some(0.5), throttling, ..Cgroup::default() };
    let found = cpu_quota(&half, &NEEDS).unwrap();
    assert_faulty(&found, Level::Warn, "allows 0.50 cores; it has stopped threads in 62 of 80 periods");
    let ample = Cgroup { cpu_quota_cores: Some(8.0), throttling: Some(Throttling::default()), ..half };
    assert_eq!(cpu_quota(&ample, &NEEDS).unwrap().level, Level::Ok);
    assert_faulty(&cpu_quota(&ample, &Needs { shards: 5, ..NEEDS }).unwrap(), Level::Warn, "quota");
    assert_eq!(cpu_quota(&Cgroup::default(), &NEEDS), None);
    let allowed = Memory {
        total_bytes: Some(512 << 20),
        available_bytes: Some(500 << 20),
        transparent_huge_pages: None,
        memlock: limited(0),
    };
    let cgroup = Cgroup { memory_limit_bytes: Some(512 << 20), ..Cgroup::default() };
    assert_faulty(&memory(&allowed, &cgroup, &NEEDS), Level::Warn, "512 MiB, the limit of the control group");
}

#[test]
fn threads_of_one_physical_core_are_told_apart() {
    let cpu = |siblings: &[&[u32]]| Cpu {
        model: None,
        cores_online: 4,
        cores_allowed: vec![0, 1, 2, 3],
        governors: vec![],
        hypervisor: false,
        siblings: siblings.iter().map(|core| core.to_vec()).collect(),
    };
    assert_eq!(siblings(&cpu(&[&[0, 2], &[1, 3]]), &NEEDS).unwrap().level, Level::Ok);
    assert_faulty(&siblings(&cpu(&[&[0, 1, 2, 3]]), &NEEDS).unwrap(), Level::Warn, "1 physical");
    assert_eq!(siblings(&cpu(&[&[0], &[1], &[2], &[3]]), &NEEDS), None);
    assert_eq!(siblings(&cpu(&[]), &NEEDS), None);
}

#[test]
fn noise_is_found_in_each_of_its_forms() {
    let cpu = Cpu {
        model: None,
        cores_online: 4,
        cores_allowed: vec![3],
        governors: vec!["powersave".to_owned()],
        hypervisor: true,
        siblings: vec![],
    };
    assert_faulty(&cores(&cpu, &NEEDS), Level::Warn, "1 of 4 usable");
    assert_faulty(&governor(&cpu), Level::Warn, "powersave");
    assert_faulty(
        &steal(&Load { average_1m: None, steal_share_since_boot: Some(0.05) }),
        Level::Warn,
        "5.00 %",
    );
    let gaps = Jitter { gap_ns_max: 4_000_000, gaps: 1, lost_share: 0.02 };
    assert_faulty(&jitter_probe(&gaps), Level::Warn, "4.00 ms");
    assert_eq!(jitter_probe(&Jitter { gap_ns_max: 100_000, gaps: 3, lost_share: 0.001 }).level, Level::Ok);
    let mut here = Environment::collect(std::path::Path::new("/"), IoUring::collect());
    here.load.average_1m = Some(f64::from(here.cpu.cores_online));
    assert_faulty(&load(&here), Level::Warn, "over the last minute");
}

#[test]
fn a_debug_build_is_no_instrument() {
    let build = |profile: &str| Build { profile: profile.to_owned(), ..Build::current() };
    assert_faulty(&profile(&build("debug")), Level::Warn, "cargo build --release");
    assert_eq!(profile(&build("release")).level, Level::Ok);
}

#[test]
fn the_whole_examination_covers_what_a_run_needs() {
    let here = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let diagnosis = examine(here.path(), &NEEDS);
    let names: Vec<_> = diagnosis.checks.iter().map(|check| check.name).collect();
    for name in
        ["kernel", "io_uring", "memlock", "open files", "O_DIRECT", "fallocate", "free space", "jitter"]
    {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    for check in &diagnosis.checks {
        assert_eq!(check.level != Level::Ok, check.remedy.is_some(), "{check:?}");
    }
}

#[test]
fn a_directory_yet_to_be_made_is_judged_by_where_it_will_be() {
    let here = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let warnings = preflight(&here.path().join("not/yet"), &NEEDS).unwrap();
    assert!(warnings.iter().all(|check| check.level == Level::Warn));
    assert!(!here.path().join("not").exists(), "nothing is made");
}
