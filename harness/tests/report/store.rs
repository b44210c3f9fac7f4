//! The result directory: its files are written and read back.

use crate::sample::{self, MAX, PassSpec};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use vnotch::report::draw;
use vnotch::result::{Artifact, Recording, SCHEMA_VERSION, store};

fn small() -> Recording {
    sample::recording(&[PassSpec { window_s: 1.0, rolls: 2, trials: 2, ..MAX }])
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_written_is_read_back() {
    let results = tempfile::tempdir().unwrap();
    let recording = small();
    let page = Artifact { path: "charts/a.svg".into(), content: b"<svg/>".to_vec() };
    let dir = store::write(results.path(), &recording, &[page]).unwrap();
    assert_eq!(dir.file_name().unwrap(), "20261124-035404-quickstart-1a2b3c4d");
    assert_eq!(
        names(&dir),
        ["charts", "events.jsonl", "latency.hlog", "result.json", "series.csv"].map(String::from).into()
    );
    assert_eq!(fs::read(dir.join("charts/a.svg")).unwrap(), b"<svg/>");
    let back = store::load(&dir).unwrap();
    assert_eq!(back.result, recording.result);
    for (back, written) in back.trials.iter().zip(&recording.trials) {
        assert_eq!((&back.series, &back.events), (&written.series, &written.events));
        assert_eq!(back.latency.len(), written.latency.len());
        assert!(!back.histograms.is_empty());
        assert_eq!(back.histograms, written.histograms);
    }
}

/// Turns a written result into one of schema version 1: without the fields and the lines that version 2 added.
fn downgrade(dir: &Path) {
    let path = dir.join("result.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json["schema_version"] = 1.into();
    remove(&mut json, "workloads");
    remove(&mut json["provenance"], "machine_id");
    for point in json["points"].as_array_mut().unwrap() {
        remove(point, "workload");
        for trial in point["trials"].as_array_mut().unwrap() {
            remove(trial, "clock_zero_unix_ms");
            ["own", "ack_pickup"].into_iter().for_each(|added| remove(&mut trial["latency_ns"], added));
            let measures = trial["latency_ns"].as_object_mut().unwrap().values_mut();
            measures.filter(|it| it.is_object()).for_each(|it| {
                remove(it, "distinct");
                remove(it, "censored_from");
                it.as_object_mut().unwrap().remove("bounds");
            });
        }
        let summary = point["summary"].as_object_mut().unwrap();
        summary.retain(|path, _| !path.ends_with(".distinct"));
    }
    fs::write(&path, serde_json::to_vec(&json).unwrap()).unwrap();
    let log = fs::read_to_string(dir.join("latency.hlog")).unwrap();
    let added = [".records,", ".distinct,", ".generator,", ".own,", ".ack_pickup,"];
    let is_new = |line: &str| added.iter().any(|tag| line.contains(tag));
    let lines: String = log.lines().filter(|line| !is_new(line)).map(|line| format!("{line}\n")).collect();
    fs::write(dir.join("latency.hlog"), lines).unwrap();
    let series = fs::read_to_string(dir.join("series.csv")).unwrap();
    let columns = |line: &str| line.split(',').take(16).collect::<Vec<_>>().join(",");
    let lines: String = series.lines().map(|line| columns(line) + "\n").collect();
    fs::write(dir.join("series.csv"), lines).unwrap();
}

fn remove(json: &mut Value, key: &str) {
    assert!(json.as_object_mut().unwrap().remove(key).is_some(), "version 2 has {key}");
}

#[test]
fn a_result_of_version_1_is_read_without_what_version_2_added() {
    let results = tempfile::tempdir().unwrap();
    let recording = small();
    let dir = store::write(results.path(), &recording, &[]).unwrap();
    downgrade(&dir);
    let back = store::load(&dir).unwrap();
    assert_eq!((back.result.schema_version, &back.result.provenance.machine_id), (1, &None));
    let point = &back.result.points[0];
    assert_eq!((point.workload, back.result.workload_of(point)), (0, &recording.result.workload));
    let trial = &point.trials[0];
    assert_eq!((trial.clock_zero_unix_ms, trial.latency_ns.service.as_ref().unwrap().distinct), (None, None));
    for (back, written) in back.trials.iter().zip(&recording.trials) {
        assert!(back.histograms.is_empty());
        assert_eq!(back.series.len(), written.series.len());
        assert!(back.series.iter().all(|row| row.p50_bound.is_none() && row.p99_bound.is_none()));
        assert_eq!(back.latency.len(), written.latency.len());
    }
}

#[test]
fn the_lags_of_groups_are_read_as_they_were_written_and_may_be_absent() {
    let results = tempfile::tempdir().unwrap();
    let mut recording = small();
    let groups = ["vnotch-vnotch-0-bench0-group", "a,b"].map(String::from);
    let record = &mut recording.trials[0];
    for (index, row) in record.series.iter_mut().enumerate() {
        row.lag = Some(index as u64 * 3);
    }
    for (group, times) in groups.iter().zip([1, 2]) {
        let lags = (0..record.series.len()).map(|index| (index != 1).then_some(index as u64 * times));
        record.group_lags.insert(group.clone(), lags.collect());
    }
    let dir = store::write(results.path(), &recording, &[]).unwrap();
    for (back, written) in store::load(&dir).unwrap().trials.iter().zip(&recording.trials) {
        assert_eq!((&back.series, &back.group_lags), (&written.series, &written.group_lags));
    }
    let series = fs::read_to_string(dir.join("series.csv")).unwrap();
    let before = |line: &str| line.split(',').take(19).collect::<Vec<_>>().join(",");
    let lines: String = series.lines().map(|line| before(line) + "\n").collect();
    fs::write(dir.join("series.csv"), lines).unwrap();
    for record in store::load(&dir).unwrap().trials {
        assert!(record.group_lags.is_empty() && record.series.iter().all(|row| row.lag.is_none()));
    }
}

#[test]
fn the_published_results_are_read() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference");
    let published = names(&reference);
    assert!(!published.is_empty());
    for name in published {
        let result = store::load_result(&reference.join(&name)).unwrap();
        for point in &result.points {
            assert_eq!(result.workload_of(point)["name"], name, "{name}");
        }
    }
}

/// Packs a file of a result, as `scripts/publish` does.
fn pack(file: &Path) {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&fs::read(file).unwrap()).unwrap();
    fs::write(format!("{}.gz", file.display()), packer.finish().unwrap()).unwrap();
    fs::remove_file(file).unwrap();
}

#[test]
fn packed_files_are_read_as_they_were() {
    let results = tempfile::tempdir().unwrap();
    let dir = store::write(results.path(), &small(), &[]).unwrap();
    let plain = store::load(&dir).unwrap();
    for file in ["latency.hlog", "events.jsonl", "series.csv"] {
        pack(&dir.join(file));
    }
    assert_eq!(draw(&store::load(&dir).unwrap()).artifacts, draw(&plain).artifacts);

    let packed = dir.join("events.jsonl.gz");
    let whole = fs::read(&packed).unwrap();
    fs::write(&packed, &whole[..whole.len() / 2]).unwrap();
    let refusal = format!("{:#}", store::load(&dir).unwrap_err());
    assert!(refusal.contains("cannot read") && refusal.contains("events.jsonl"), "{refusal}");
}

#[test]
fn a_published_result_is_complete() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference");
    for name in names(&reference) {
        let dir = reference.join(&name);
        let recording = store::load(&dir).unwrap();
        let drawn = draw(&recording);
        let page = drawn.artifacts.iter().find(|it| it.path.ends_with("report.html")).unwrap();
        assert!(page.content.len() > 10_000, "{name}");
        assert!(!recording.result.points.is_empty() && !recording.trials.is_empty(), "{name}");
    }
}

#[test]
fn an_earlier_result_is_never_touched() {
    let results = tempfile::tempdir().unwrap();
    let recording = small();
    let first = store::write(results.path(), &recording, &[]).unwrap();
    fs::write(first.join("result.json"), "mine").unwrap();
    let second = store::write(results.path(), &recording, &[]).unwrap();
    assert_ne!(first, second);
    assert_eq!(fs::read(first.join("result.json")).unwrap(), b"mine");
    assert!(store::load(&second).is_ok());
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let results = tempfile::tempdir().unwrap();
    let twice = |path: &str| Artifact { path: path.into(), content: Vec::new() };
    let error = store::write(results.path(), &small(), &[twice("a"), twice("a")]).unwrap_err();
    assert!(format!("{error:#}").contains("cannot write"), "{error:#}");
    assert!(names(results.path()).is_empty());
}

#[test]
fn a_name_that_is_no_file_name_is_made_one() {
    let results = tempfile::tempdir().unwrap();
    let mut recording = small();
    recording.result.name = "../a b/ä".into();
    let dir = store::write(results.path(), &recording, &[]).unwrap();
    assert_eq!(dir.parent().unwrap(), results.path());
    assert_eq!(dir.file_name().unwrap(), "20261124-035404-..-a-b---1a2b3c4d");
}

#[test]
fn redrawing_replaces_drawings_alone() {
    let results = tempfile::tempdir().unwrap();
    let dir = store::write(results.path(), &small(), &[]).unwrap();
    let before = fs::read(dir.join("result.json")).unwrap();
    for content in [b"old".as_slice(), b"new"] {
        let page = Artifact { path: "report.html".into(), content: content.to_vec() };
        store::redraw(&dir, &[page]).unwrap();
        assert_eq!(fs::read(dir.join("report.html")).unwrap(), content);
    }
    assert_eq!(fs::read(dir.join("result.json")).unwrap(), before);
    assert!(names(&dir).iter().all(|name| !name.starts_with('.')));
}

#[test]
fn what_is_no_result_is_refused_in_words() {
    let results = tempfile::tempdir().unwrap();
    let refusal = |dir: &Path| format!("{:#}", store::load(dir).unwrap_err());
    assert!(refusal(&results.path().join("missing")).contains("there is no such directory"));
    assert!(refusal(results.path()).contains("it has no result.json"));

    let dir = store::write(results.path(), &small(), &[]).unwrap();
    let json = fs::read_to_string(dir.join("result.json")).unwrap();
    let newer = json.replacen(&format!("\"schema_version\": {SCHEMA_VERSION}"), "\"schema_version\": 99", 1);
    fs::write(dir.join("result.json"), newer).unwrap();
    assert!(refusal(&dir).contains("written by a newer vnotch, with schema version 99"));

    fs::write(dir.join("result.json"), "{}").unwrap();
    assert!(refusal(&dir).contains("it has no schema_version"));
    fs::write(dir.join("result.json"), &json[..json.len() / 2]).unwrap();
    assert!(refusal(&dir).contains("result.json is damaged"));
    fs::write(dir.join("result.json"), &json).unwrap();
    for (file, content) in [("series.csv", "a,b\n1,2\n"), ("events.jsonl", "x\n"), ("latency.hlog", "x\n")] {
        let kept = fs::read(dir.join(file)).unwrap();
        fs::write(dir.join(file), content).unwrap();
        assert!(refusal(&dir).contains(&format!("{file} is damaged")), "{}", refusal(&dir));
        fs::remove_file(dir.join(file)).unwrap();
        assert!(refusal(&dir).contains(&format!("has no {file}, which charts")), "{}", refusal(&dir));
        fs::write(dir.join(file), kept).unwrap();
    }
    assert!(store::load(&dir).is_ok());
}
