//! `vnotch ceiling`: its figures and exit codes. An error is one clear message, and no file is left behind.

use crate::run::{Bench, SMALL, result_of};
use crate::support::{
    alone, disk, end, end_without_io_uring, is_empty, vnotch, vnotch_held_to_memlock, vnotch_on,
};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

fn ceiling(dir: &Path) -> Command {
    let mut command = vnotch();
    command.args(["ceiling", "--quick", "--slice", "10ms"]).arg(dir);
    command
}

#[test]
fn json_is_one_document_with_every_cell() {
    let dir = disk();
    let json = end(ceiling(dir.path()).args(["--format", "json"])).success();
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let cells = document["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 5 * 4 * 2, "kinds × blocks × depths");
    for cell in cells {
        assert!(cell["figures"]["bytes_per_s"].as_f64().unwrap() > 0.0, "{cell}");
    }
    assert_eq!(document["dsync_4k"].as_array().unwrap().len(), 2);
    assert!(document["environment"]["storage"]["filesystem"].is_string());
    assert!(is_empty(dir.path()));
}

#[test]
fn text_names_the_file_system_and_every_column() {
    let dir = disk();
    let ended = end(ceiling(dir.path()).args(["--block", "4KiB", "--block", "256KiB"]));
    let progress = ended.stderr.clone();
    let text = ended.success();
    for word in
        ["direct", "registered", "write fallocated", "synced overwriting", "256 KiB", "/s", "p50 / p99"]
    {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
    assert!(progress.starts_with("1/20 write fallocated 4 KiB × 1: "), "{progress}");

    let quiet =
        end(ceiling(dir.path()).args(["--quiet", "--work", "read", "--block", "4KiB", "--depth", "1"]));
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_missing_directory_and_a_file_are_usage_errors() {
    let dir = disk();
    let missing = end(&mut ceiling(&dir.path().join("missing"))).refusal(2);
    assert!(missing.contains("there is no directory"), "{missing}");
    let file = dir.path().join("file");
    fs::write(&file, b"mine").unwrap();
    let refused = end(&mut ceiling(&file)).refusal(2);
    assert!(refused.contains("file is not a directory"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_file_system_without_direct_io_is_refused() {
    let dir = disk();
    let Some(mut direct) = vnotch_on(dir.path(), "ramfs", "rw") else { return };
    let refused = end(direct.args(["ceiling", "--quick", "--quiet"]).arg(dir.path())).refusal(1);
    assert!(refused.contains("does not support O_DIRECT"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
}

#[test]
fn a_disk_that_is_too_small_is_refused_with_what_it_takes() {
    let dir = disk();
    let Some(mut small) = vnotch_on(dir.path(), "tmpfs", "size=32m") else { return };
    small.args(["ceiling", "--quick", "--quiet", "--io", "buffered", "--slice", "5ms"]).arg(dir.path());
    let refused = end(&mut small).refusal(1);
    assert!(refused.contains("too little free space"), "{refused}");
    assert!(refused.contains("need 64.0 MiB"), "{refused}");
}

#[test]
fn io_uring_that_is_forbidden_or_missing_is_refused_with_a_remedy() {
    let dir = disk();
    for (errno, words) in [
        (libc::EPERM, "io_uring is not permitted: set `sysctl kernel.io_uring_disabled=0`"),
        (libc::ENOSYS, "run Linux 6.1 or newer"),
    ] {
        let mut command = ceiling(dir.path());
        command.arg("--quiet");
        let refused = end_without_io_uring(command, errno).refusal(1);
        assert!(refused.contains(words), "{refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
        assert!(is_empty(dir.path()));
    }
}

#[test]
fn with_little_memlock_buffers_are_not_registered_and_the_output_says_so() {
    let dir = disk();
    let Some(mut command) = vnotch_held_to_memlock(3 << 10) else { return };
    let cells = [
        "--work",
        "write_fallocated",
        "--block",
        "64KiB",
        "--block",
        "1MiB",
        "--depth",
        "1",
        "--depth",
        "16",
    ];
    let ended =
        end(command.args(["ceiling", "--quick", "--quiet", "--slice", "5ms"]).args(cells).arg(dir.path()));
    let text = ended.success();
    assert!(
        text.contains("buffers not all registered, because the memlock limit is too small (`ulimit -l unlimited` raises it)"),
        "{text}"
    );
}

#[test]
fn an_interrupt_removes_the_files() {
    let _alone = alone();
    let dir = disk();
    let mut child = vnotch()
        .args(["ceiling", "--slice", "20s"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Wait for the scratch directory, so that there is something to clean up.
    while is_empty(dir.path()) && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(stderr.any(|line| line.unwrap().contains("interrupted")));
    assert!(is_empty(dir.path()), "its files are removed");
}

#[test]
fn one_cell_alone_can_be_measured() {
    let dir = disk();
    let json =
        end(ceiling(dir.path())
            .args(["--work", "read", "--block", "8KiB", "--depth", "3", "--format", "json"]))
        .success();
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let cells = document["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 1);
    assert_eq!(
        (&cells[0]["kind"], &cells[0]["block_bytes"], &cells[0]["depth"]),
        (&"read".into(), &8192.into(), &3.into())
    );
    assert_eq!(document["dsync_4k"].as_array().unwrap().len(), 0, "it was not asked for");
}

#[test]
fn a_cell_that_cannot_be_measured_is_a_usage_error() {
    let dir = disk();
    for (option, value, word) in [
        ("--block", "3000B", "multiple of 4096"),
        ("--block", "5GiB", "256 MiB"),
        ("--depth", "0", "between 1 and 256"),
        ("--depth", "257", "between 1 and 256"),
    ] {
        let refused = end(ceiling(dir.path()).args([option, value])).refusal(2);
        assert!(refused.contains(word), "{option} {value}: {refused}");
    }
    assert!(is_empty(dir.path()));
}

#[test]
fn raw_writes_like_those_of_a_result_stand_in_for_its_trials() {
    let bench = Bench::new(SMALL);
    let of_result = |directory: &Path, arguments: &[&str]| {
        let mut command = vnotch();
        command
            .args(["ceiling", "--slice", "20ms", "--like"])
            .arg(directory)
            .args(arguments)
            .arg(bench.path(""));
        end(&mut command)
    };
    let set = ["--set", "ceiling=auto", "--set", "durability=written"];
    end(bench.run(&mut vnotch()).args(set)).measured();
    let [result] = &bench.results()[..] else { panic!("one result") };
    let text = of_result(result, &["--trials", "2"]).success();
    for expected in [
        "Raw writes like those of ",
        "each between slices of the same writes",
        "not synced",
        "trial ÷ slices ",
    ] {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
    let json = of_result(result, &["--trials", "6", "--format", "json"]).success();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let point = &json["points"][0];
    let shape = &result_of(result)["points"][0]["trials"][0]["ceiling"]["write_shape"];
    assert_eq!(&point["shape"], shape);
    assert_eq!(point["slices_bytes_per_s"].as_array().unwrap().len(), 6);
    assert!(point["ratio"]["interval"]["low"].as_f64().unwrap() > 0.0, "{point}");

    let off = Bench::new(SMALL);
    end(off.run(&mut vnotch()).args(["--set", "ceiling=off"])).measured();
    let refused = of_result(&off.results()[0], &[]).refusal(2);
    assert!(refused.contains("holds no writes that can be replayed"), "{refused}");
    let refused = of_result(result, &["--depth", "4"]);
    assert_eq!((refused.code, refused.stderr.contains("--depth")), (Some(2), true), "{}", refused.stderr);
}
