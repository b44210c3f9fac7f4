//! `vnotch doctor`: it finds problems, prints each with a remedy, and its exit code shows that there are some.

use crate::support::{
    Ended, disk, end, end_without_io_uring, is_empty, vnotch, vnotch_held_to_memlock, vnotch_on,
    vnotch_with_memlock,
};
use std::path::Path;
use std::process::Command;

fn doctor(dir: &Path) -> Command {
    let mut command = vnotch();
    command.arg("doctor").arg(dir);
    command
}

/// Returns the lines of one check: its finding, and its remedy if it has one.
#[track_caller]
fn finding(ended: &Ended, level: &str, name: &str) -> String {
    let start = format!("{level:<4}  {name} ");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let at = lines.iter().position(|line| line.starts_with(&start));
    let at = at.unwrap_or_else(|| panic!("no `{start}` in:\n{}", ended.stdout));
    let remedy = lines.get(at + 1).filter(|line| line.trim_start().starts_with('→'));
    lines[at].to_owned() + remedy.map_or("", |remedy| remedy.trim_start())
}

#[test]
fn a_machine_that_works_is_exit_0_and_left_as_it_was() {
    let dir = disk();
    let ended = end(&mut doctor(dir.path()));
    for name in ["io_uring", "O_DIRECT", "fallocate"] {
        finding(&ended, "ok", name);
    }
    ended.success();
    assert!(is_empty(dir.path()));
}

#[test]
fn json_is_one_document_with_every_check() {
    let dir = disk();
    let json = end(doctor(dir.path()).args(["--format", "json"])).success();
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["kind"], "doctor");
    for check in document["checks"].as_array().unwrap() {
        assert!(check["finding"].is_string(), "{check}");
        assert_eq!(check["level"] == "ok", check["remedy"].is_null(), "{check}");
    }
    assert!(document["environment"]["storage"]["filesystem"].is_string());
}

#[test]
fn a_missing_directory_and_a_file_are_usage_errors() {
    let dir = disk();
    let missing = end(&mut doctor(&dir.path().join("missing"))).refusal(2);
    assert!(missing.contains("missing`"), "{missing}");
    let file = dir.path().join("file");
    std::fs::write(&file, b"mine").unwrap();
    let refused = end(&mut doctor(&file)).refusal(2);
    assert!(refused.contains("file is not a directory"), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_file_system_without_direct_io_prevents_direct_runs_only() {
    let dir = disk();
    for (io, level, code) in [("direct", "fail", 1), ("buffered", "warn", 0)] {
        let Some(mut command) = vnotch_on(dir.path(), "ramfs", "rw") else { return };
        let ended = end(command.args(["doctor", "--io", io]).arg(dir.path()));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(code), ""), "{io}");
        let direct = finding(&ended, level, "O_DIRECT");
        assert!(direct.contains("not supported by the file system of "), "{direct}");
        assert!(direct.contains("choose a directory on a disk's file system"), "{direct}");
    }
}

#[test]
fn memory_is_no_disk() {
    let dir = disk();
    let Some(mut command) = vnotch_on(dir.path(), "tmpfs", "size=32m") else { return };
    let ended = end(command.args(["doctor", "--io", "buffered"]).arg(dir.path()));
    finding(&ended, "warn", "file system");
    let space = finding(&ended, "warn", "free space");
    assert!(space.contains("32.0 MiB"), "{space}");
    ended.success();
}

#[test]
fn io_uring_that_is_forbidden_or_missing_prevents_a_run() {
    let dir = disk();
    for (errno, words, remedy) in [
        (libc::EPERM, "not permitted", "allow the io_uring system calls in its seccomp profile"),
        (libc::ENOSYS, "this kernel has no io_uring", "run Linux 6.1 or newer"),
    ] {
        let ended = end_without_io_uring(doctor(dir.path()), errno);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let ring = finding(&ended, "fail", "io_uring");
        assert!(ring.contains(words) && ring.contains(remedy), "{ring}");
        assert!(ended.stdout.trim_end().lines().last().unwrap().starts_with("A run does not work here"));
    }
}

#[test]
fn less_memlock_than_a_shard_needs_prevents_a_run() {
    let dir = disk();
    let ended = end(vnotch_with_memlock(511).arg("doctor").arg(dir.path()));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let memlock = finding(&ended, "fail", "memlock");
    for words in ["511 KiB", "512 KiB at least", "ulimit -l unlimited", "docker: --ulimit memlock=-1"] {
        assert!(memlock.contains(words), "{memlock}");
    }
}

#[test]
fn less_memlock_than_the_arena_only_costs() {
    let dir = disk();
    let Some(mut command) = vnotch_held_to_memlock(512) else { return };
    let ended = end(command.arg("doctor").arg(dir.path()));
    let memlock = finding(&ended, "warn", "memlock");
    assert!(memlock.contains("buffers are not registered"), "{memlock}");
    assert!(memlock.contains("ulimit -l unlimited"), "{memlock}");
    ended.success();
}
