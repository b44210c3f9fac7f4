//! `payload: {kind: file}`: a run with real data, and all errors that the file can cause.

use crate::support::{disk, end, is_empty, vnotch};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const SMALL: &str = "\
load: {mode: closed, in_flight: 2}
payload: {kind: file, path: data/lines.txt, split: lines}
engine: {arena_bytes: 16MiB, fetch_pinned_bytes: 4MiB}
log: {segment_bytes: 1MiB, max_message_bytes: 64KiB, retention_bytes: 2MiB}
phases: {warmup: 100ms, measure: 1s, drain: 5s}
verify: sequence+crc
trials: 1
ceiling: off
warm_memory: off
";

/// A workload, its data, and the parts of the error that refuses it.
type Case<'a> = (&'a str, Option<&'a [u8]>, &'a [&'a str]);

/// A directory with a workload and its data. vnotch runs in another directory.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(workload: &str, lines: Option<&[u8]>) -> Self {
        let dir = disk();
        fs::create_dir_all(dir.path().join("files/data")).unwrap();
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        fs::write(dir.path().join("files/real.yaml"), workload).unwrap();
        if let Some(lines) = lines {
            fs::write(dir.path().join("files/data/lines.txt"), lines).unwrap();
        }
        Self { dir }
    }

    fn elsewhere(&self) -> PathBuf {
        self.dir.path().join("elsewhere")
    }

    fn vnotch(&self, verb: &str) -> Command {
        let mut command = vnotch();
        command.current_dir(self.elsewhere()).arg(verb).arg("../files/real.yaml");
        command
    }
}

fn lines() -> String {
    (0..500).map(|number| format!("{number:04} {}\n", "x".repeat(number % 90))).collect()
}

#[test]
fn real_data_is_sent_as_it_is_checked_and_counted_with_its_own_sizes() {
    let text = lines();
    let bench = Bench::new(SMALL, Some(text.as_bytes()));
    let screen = end(&mut bench.vnotch("run")).success();
    assert!(screen.contains("lines of lines.txt"), "{screen}");
    let results: Vec<_> = fs::read_dir(bench.elsewhere().join("results")).unwrap().collect();
    let [Ok(directory)] = &results[..] else { panic!("one result: {results:?}") };
    let result = fs::read(directory.path().join("result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
    let data = &result["provenance"]["payload_files"][0];
    let bytes: usize = text.lines().map(str::len).sum();
    assert_eq!((data["records"].as_u64(), data["bytes"].as_u64()), (Some(500), Some(bytes as u64)));
    assert_eq!(data["is_part"], false);
    assert_eq!(data["sha256"].as_str().unwrap().len(), 64);
    assert!(result["workload"].get("message_size").is_none(), "{}", result["workload"]);
    let trial = &result["points"][0]["trials"][0];
    for integrity in ["gaps", "duplicates", "reorders", "corruptions"] {
        assert_eq!(trial["integrity"][integrity], 0, "{}", trial["integrity"]);
    }
    let produce = &trial["produce"];
    let mean = produce["bytes"].as_f64().unwrap() / produce["records"].as_f64().unwrap();
    let expected = bytes as f64 / 500.0;
    assert!((mean / expected - 1.0).abs() < 0.05, "{mean} bytes a record, the file has {expected}");
}

#[test]
fn check_counts_with_the_files_sizes() {
    let plan_of = |text: &str| {
        let bench = Bench::new(SMALL, Some(text.as_bytes()));
        let plan = end(bench.vnotch("check").args(["--format", "json"])).success();
        serde_json::from_str::<serde_json::Value>(&plan).unwrap()["workloads"][0].clone()
    };
    let (many, one) = (plan_of(&lines()), plan_of(&"x".repeat(40_000)));
    assert_eq!(many["resolved"]["payload"]["path"], "../files/data/lines.txt");
    assert!(many["resolved"].get("message_size").is_none());
    let keys: Vec<_> = many["differences"].as_array().unwrap().iter().map(|d| &d["key"]).collect();
    assert!(!keys.iter().any(|key| *key == "message_size"), "{keys:?}");
    // Memory holds the lines, and 24 bytes for each.
    let bytes: usize = lines().lines().map(str::len).sum();
    let memory = |plan: &serde_json::Value| plan["estimate"]["memory_bytes"].as_i64().unwrap();
    let expected = (bytes + 500 * 24) as i64 - (40_000 + 24);
    assert_eq!(memory(&many) - memory(&one), expected);
}

#[test]
fn a_file_that_cannot_be_used_is_exit_2_before_anything_is_made() {
    let sized = format!("message_size: 1KiB\n{SMALL}");
    let long = [b"short\n\n".to_vec(), vec![b'x'; 70_000]].concat();
    let cases: [Case<'_>; 5] = [
        (SMALL, None, &["real.yaml:2:29", "cannot read the payload file", "data/lines.txt"]),
        (SMALL, Some(b""), &["real.yaml:2:29", "data/lines.txt holds no record"]),
        (SMALL, Some(b"\n\n"), &["data/lines.txt holds no record"]),
        (
            SMALL,
            Some(&long),
            &["line 3 of ../files/data/lines.txt", "70000 bytes", "`batch.max_bytes` (64KiB)"],
        ),
        (&sized, Some(b"one\n"), &["real.yaml:1:15", "`message_size` cannot be used with"]),
    ];
    for (workload, lines, expected) in cases {
        for verb in ["run", "check"] {
            let bench = Bench::new(workload, lines);
            let refused = end(&mut bench.vnotch(verb)).refusal(2);
            for part in expected {
                assert!(refused.contains(part), "{part} in {refused}");
            }
            assert!(is_empty(&bench.elsewhere()), "nothing is written");
        }
    }
}

#[test]
fn a_path_from_the_command_line_is_relative_to_where_it_was_typed() {
    let bench = Bench::new(SMALL, None);
    fs::write(bench.elsewhere().join("other.txt"), "one\ntwo\n").unwrap();
    let plan = end(bench.vnotch("check").args(["--set", "payload.path=other.txt"])).success();
    assert!(plan.contains("other.txt"), "{plan}");
    let refused = end(bench.vnotch("check").args(["--set", "payload.path=data/lines.txt"])).refusal(2);
    assert!(refused.contains("--set payload.path=data/lines.txt"), "{refused}");
}
