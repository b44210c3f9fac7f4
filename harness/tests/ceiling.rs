//! `vnotch ceiling` as people call it: figures, exit codes, one clear message, and no file left behind.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use assert_cmd::assert::OutputAssertExt as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn disk() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn ceiling(dir: &Path) -> Command {
    let mut command = common::vnotch();
    command.args(["ceiling", "--quick", "--slice", "10ms"]).arg(dir);
    command
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

/// Runs to the end and returns standard error of a failure with this exit code.
fn refusal(mut command: Command, code: i32) -> String {
    let assert = command.assert().code(code);
    let output = assert.get_output();
    assert!(output.stdout.is_empty(), "nothing but the message: {output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn json_is_one_document_with_every_cell() {
    let dir = disk();
    let mut command = ceiling(dir.path());
    let assert = command.args(["--format", "json"]).assert().success();
    let document: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
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
    let assert = ceiling(dir.path()).assert().success();
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    for word in
        ["direct", "registered", "write fallocated", "synced overwriting", "256 KiB", "/s", "p50 / p99"]
    {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
    let progress = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(progress.starts_with("1/42 write fallocated 4 KiB × 1: "), "{progress}");

    let quiet = ceiling(dir.path()).arg("--quiet").assert().success();
    assert!(quiet.get_output().stderr.is_empty());
}

#[test]
fn a_missing_directory_and_a_file_are_usage_errors() {
    let dir = disk();
    let missing = refusal(ceiling(&dir.path().join("missing")), 2);
    assert!(missing.contains("missing does not exist"), "{missing}");
    let file = dir.path().join("file");
    fs::write(&file, b"mine").unwrap();
    let refused = refusal(ceiling(&file), 2);
    assert!(refused.contains("file is not a directory"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_file_system_without_direct_io_is_refused() {
    let dir = disk();
    let Some(mut direct) = common::vnotch_on(dir.path(), "ramfs", "rw") else { return };
    direct.args(["ceiling", "--quick", "--quiet"]).arg(dir.path());
    let refused = refusal(direct, 1);
    assert!(refused.contains("does not support O_DIRECT"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
}

#[test]
fn a_disk_that_is_too_small_is_refused_with_what_it_takes() {
    let dir = disk();
    let Some(mut small) = common::vnotch_on(dir.path(), "tmpfs", "size=32m") else { return };
    small.args(["ceiling", "--quick", "--quiet", "--io", "buffered", "--slice", "5ms"]).arg(dir.path());
    let refused = refusal(small, 1);
    assert!(refused.contains("too little free space"), "{refused}");
    assert!(refused.contains("needs 64.0 MiB"), "{refused}");
}

#[test]
fn an_interrupt_removes_the_files() {
    let dir = disk();
    let mut child = common::vnotch()
        .args(["ceiling", "--slice", "20s"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The scratch directory is there as soon as there is something to clean up.
    while is_empty(dir.path()) && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(stderr.any(|line| line.unwrap().contains("interrupted")));
    assert!(is_empty(dir.path()), "its files are gone");
}
