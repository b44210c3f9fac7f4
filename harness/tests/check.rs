//! `vnotch check` as its users meet it: what it prints, and the exit codes.

#![allow(clippy::unwrap_used, reason = "tests")]

use assert_cmd::Command;
use std::fs;

fn check(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::cargo_bin("vnotch").unwrap();
    let output = command.arg("check").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_built_in_workload_is_explained() {
    let (code, stdout, stderr) = check(&["quickstart", "--trials", "2"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for expected in [
        "points    max, then open at 50% of that × 2 trials",
        "disk      at most",
        "durability            synced (written)",
        "trials                2 (3)",
    ] {
        assert!(stdout.contains(expected), "{expected} in:\n{stdout}");
    }
}

#[test]
fn json_is_one_document_with_the_resolved_workload() {
    let (code, stdout, _) = check(&["latency", "synced", "--format", "json", "-r", "5k"]);
    assert_eq!(code, Some(0));
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let workloads = document["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), 2);
    for workload in workloads {
        assert_eq!(workload["resolved"]["load"]["rate"], "5k/s");
        assert!(workload["estimate"]["disk_peak_bytes"].is_u64());
        assert!(workload["disk"]["free_bytes"].is_u64());
    }
}

#[test]
fn a_wrong_file_is_exit_2_with_the_line_and_a_caret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wrong.yaml");
    fs::write(&path, "log:\n  segment_byte: 1MiB\n").unwrap();
    let path = path.to_str().unwrap();
    let (code, stdout, stderr) = check(&[path]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert_eq!(
        stderr,
        format!(
            "vnotch: {path}:2:3: unknown key `segment_byte`; did you mean `segment_bytes`?\n  |\n2 |   segment_byte: 1MiB\n  |   ^^^^^^^^^^^^\n"
        )
    );
}

#[test]
fn a_file_that_is_none_is_exit_2() {
    for (path, message) in [
        ("nowhere.yaml", "there is no workload file `nowhere.yaml`"),
        (".", "cannot read the workload file .: Is a directory"),
        ("/dev/zero", "/dev/zero is larger than 1 MiB"),
    ] {
        let (code, stdout, stderr) = check(&[path]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{path}");
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[test]
fn a_wrong_flag_is_exit_2_and_named() {
    let (code, _, stderr) = check(&["quickstart", "--duration", "10"]);
    assert_eq!(code, Some(2));
    assert_eq!(stderr, "vnotch: --duration 10: `10` needs a unit: `10s`, `10ms`, `10m` …\n");
}

#[test]
fn too_little_disk_is_exit_2_after_the_plan() {
    let (code, stdout, stderr) = check(&["throughput", "-d", "365d"]);
    assert_eq!(code, Some(2));
    assert!(stdout.contains("disk      at most"), "{stdout}");
    assert!(stderr.starts_with("vnotch: throughput may need "), "{stderr}");
}

#[test]
fn help_names_every_built_in_workload() {
    let (_, help, _) = check(&["--help"]);
    for (name, _) in vnotch::workload::BUILT_IN {
        assert!(help.contains(name), "{name} in:\n{help}");
    }
}
