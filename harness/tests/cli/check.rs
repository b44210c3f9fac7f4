//! `vnotch check`: the cost of a workload, and the error for every kind of mistake in one.

use crate::support::{Ended, disk, end, vnotch};
use std::fs;

fn check(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Ended { code, stdout, stderr } = end(vnotch().arg("check").args(arguments));
    (code, stdout, stderr)
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
fn what_needs_more_memory_than_there_is_is_refused_before_anything_is_made() {
    for verb in ["check", "run"] {
        let directory = disk();
        let mut command = vnotch();
        command.current_dir(&directory).args([verb, "quickstart", "--set", "engine.arena_bytes=1024GiB"]);
        let Ended { code, stdout, stderr } = end(&mut command);
        assert_eq!(code, Some(2), "{verb}: {stdout}{stderr}");
        assert!(stderr.contains("needs about 1.00 TiB of memory, but "), "{verb}: {stderr}");
        assert!(
            stderr.contains("this machine has ") || stderr.contains("the control group allows "),
            "{verb}: {stderr}"
        );
        assert!(stderr.contains("lower `engine.arena_bytes`"), "{verb}: {stderr}");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "{verb} makes nothing");
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
    let directory = disk();
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
fn a_wrong_value_is_exit_2_with_its_place_and_a_way_out() {
    let directory = disk();
    for (wrong, place, message) in [
        ("message_size: 16KB", "1:15", "`16KB` could mean two sizes: write `16KiB`"),
        ("message_size: 10s", "1:15", "`s` is not a unit of size; use B, KiB, MiB"),
        ("message_size: -1", "1:15", "a size cannot be negative: `-1`"),
        ("log: {segment_bytes: -1MiB}", "1:22", "a size cannot be negative: `-1MiB`"),
        ("phases: {measure: 10}", "1:19", "`10` needs a unit: `10s`"),
        ("phases: {measure: 10MiB}", "1:19", "`MiB` in `10MiB` is not a unit of time; use ns, us, ms, s"),
        ("load: {mode: open, rate: -5}", "1:26", "a rate cannot be negative: `-5`"),
        ("partitions_per_topic: 0", "1:23", "`partitions_per_topic` must be at least 1"),
        ("trials: -1", "1:9", "`-1` is negative"),
        ("durabilty: synced", "1:1", "unknown key `durabilty`; did you mean `durability`?"),
        ("log: {retention_bytes: 1MiB}", "1:24", "retention deletes whole segments"),
        (
            "sweep: {trials: [1, 2]}",
            "1:9",
            "`trials` cannot be swept: every combination is measured equally often",
        ),
        ("sweep: {log.segment_byte: [1MiB]}", "1:9", "did you mean `log.segment_bytes`?"),
    ] {
        let path = directory.path().join("wrong.yaml");
        fs::write(&path, wrong).unwrap();
        let refused = end(vnotch().arg("check").arg(&path)).refusal(2);
        assert!(refused.contains(&format!("wrong.yaml:{place}")), "{refused}");
        assert!(refused.contains(message), "{message} in: {refused}");
        assert!(refused.contains(&format!("1 | {wrong}\n")) && refused.contains('^'), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
        assert_eq!(directory.path().read_dir().unwrap().count(), 1, "nothing is written");
    }
}

#[test]
fn a_wrong_override_is_exit_2_and_named() {
    for (set, message) in [
        ("log.segment_byte=1MiB", "unknown key `segment_byte`; did you mean `segment_bytes`?"),
        ("partitions_per_topic=0", "`partitions_per_topic` must be at least 1"),
    ] {
        let refused = end(vnotch().args(["check", "quickstart", "--set", set])).refusal(2);
        assert_eq!(refused, format!("vnotch: --set {set}: {message}\n"));
    }
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
    let (code, stdout, stderr) = check(&["throughput", "-d", "20d"]);
    assert_eq!(code, Some(2));
    assert!(stdout.contains("disk      at most"), "{stdout}");
    assert!(stderr.starts_with("vnotch: throughput may need "), "{stderr}");
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_study_of_kafka_is_refused_with_the_command_that_has_a_client() {
    let (code, _, stderr) = check(&["kafka-side-by-side"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("`cargo run --release --features kafka -- run …`"), "{stderr}");
}

#[test]
fn help_names_every_built_in_workload() {
    let (_, help, _) = check(&["--help"]);
    for (name, _) in vnotch::workload::BUILT_IN {
        assert!(help.contains(name), "{name} in:\n{help}");
    }
}
