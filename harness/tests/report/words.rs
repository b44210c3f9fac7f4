//! Every figure on the first screen is a word that `vnotch explain` explains.

use crate::{sample, sweeps};
use serde_json::json;
use std::path::Path;
use vnotch::explain::{WordKind, entries, explain};
use vnotch::report::draw;
use vnotch::report::text::first_screen;
use vnotch::result::{Recording, VerdictFlag};
use vnotch::workload::Metric;

fn screen(recording: &Recording) -> String {
    first_screen(&recording.result, Path::new("results/x"), &["quickstart".to_owned()])
}

/// Returns the cells of a line, which two or more spaces separate.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn is_explained(word: &str) -> bool {
    let found = explain(&entries(Vec::new()), word);
    found.is_ok_and(|found| found.entries.iter().any(|entry| entry.kind != WordKind::Topic))
}

#[test]
fn every_row_and_column_of_a_runs_first_screen_is_explained() {
    let mut recording = sample::quickstart();
    recording.result.verdict.flag(VerdictFlag::NoisyDisk, "slices differ");
    let screen = screen(&recording);
    let rows =
        screen.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic()) && cells(line).len() > 1);
    let mut words: Vec<&str> =
        rows.map(|line| cells(line)[0]).filter(|word| !word.starts_with("latency,")).collect();
    let columns = screen.lines().find(|line| line.starts_with("latency,")).unwrap();
    words.extend(&cells(columns)[1..]);
    for expected in
        ["produced", "of ceiling", "pump", "response", "pacing", "end-to-end", "p99.9", "integrity", "next"]
    {
        assert!(words.contains(&expected), "{expected} in {words:?} of:\n{screen}");
    }
    words.extend(["valid", "noisy disk"]);
    for word in words {
        assert!(is_explained(word), "`{word}` of the first screen:\n{screen}");
    }
}

#[test]
fn every_column_of_a_sweeps_table_is_explained_for_every_metric() {
    let values = [json!("16MiB"), json!("64MiB")];
    let mut recording = sweeps::sweep(&[("log.segment_bytes", &values)], 6);
    for metric in Metric::ALL {
        recording.result.workload["metric"] = json!(metric);
        columns_are_explained(&recording);
    }
}

fn columns_are_explained(recording: &Recording) {
    let summary = draw(recording).artifacts.into_iter().find(|it| it.path == "summary.md").unwrap();
    let summary = String::from_utf8(summary.content).unwrap();
    let header = summary.lines().find(|line| line.starts_with("| ") && line.contains("of ceiling")).unwrap();
    let columns: Vec<&str> = header.trim_matches('|').split('|').map(str::trim).collect();
    assert!(columns.contains(&"disk peak") && columns.contains(&"p99"), "{columns:?}");
    for column in columns {
        assert!(is_explained(column), "`{column}` of the table:\n{header}");
    }
}
