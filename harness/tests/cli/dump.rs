//! `vnotch dump`: a segment's batches and records and an index's entries, as text and as JSON, and files that are damaged
//! or no segment.

use crate::support::{disk, end, vnotch};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use vnotch_engine::client::ProducerConfig;
use vnotch_engine::config::{EngineConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::record::{BatchHeader, HeaderRef, RecordRef};

/// Returns a data directory with five batches of two records. It is closed if `is_closed`.
fn data(is_closed: bool) -> TempDir {
    let dir = disk();
    let _alone = crate::support::alone();
    let engine =
        Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(dir.path()) }).unwrap();
    let topic = TopicConfig { index_interval_bytes: 100, segment_bytes: 1 << 20, ..TopicConfig::default() };
    let topic = TopicConfig { max_message_bytes: 64 << 10, ..topic };
    engine.create_topic("orders", 1, topic).unwrap();
    let config = ProducerConfig { batch_records_max: 2, linger: None, ..ProducerConfig::default() };
    let mut producer = engine.producer("orders", config).unwrap();
    let headers = [HeaderRef { key: "unit", value: None }];
    for number in 0..10_i64 {
        let value = format!("payload\t{number} {}", "x".repeat(50));
        let record = RecordRef {
            timestamp_ms: 1_700_000_000_000 + number,
            key: (number % 2 == 0).then_some(&b"weir\xff"[..]),
            value: Some(value.as_bytes()),
            headers: &headers[..usize::from(number == 0)],
        };
        producer.try_send(None, &record).unwrap();
    }
    assert!(producer.wait_all().into_iter().all(|ack| ack.result.is_ok()));
    drop(producer);
    if is_closed {
        engine.close().unwrap();
    } else {
        drop(engine);
    }
    dir
}

fn log(dir: &TempDir) -> PathBuf {
    dir.path().join("orders-0/00000000000000000000.log")
}

fn dump(file: &Path) -> Command {
    let mut command = vnotch();
    command.arg("dump").arg(file);
    command
}

/// Returns the headers of the batches in a file, with the position of each.
fn headers(file: &Path) -> Vec<(usize, BatchHeader)> {
    let bytes = std::fs::read(file).unwrap();
    let (mut at, mut headers) = (0, Vec::new());
    while let Ok(header) = BatchHeader::parse(&bytes[at..]) {
        headers.push((at, header));
        at += header.total_bytes();
    }
    headers
}

#[test]
fn batches_and_records_are_printed_as_kafka_dump_log_prints_them() {
    let dir = data(true);
    let text = end(&mut dump(&log(&dir))).success();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], [&*format!("Dumping {}", log(&dir).display()), "Log starting offset: 0"]);
    let headers = headers(&log(&dir));
    assert_eq!((lines.len(), headers.len()), (7, 5), "{text}");
    for (line, (position, header)) in lines[2..].iter().zip(&headers) {
        let expected = format!(
            "baseOffset: {} lastOffset: {} count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 \
             partitionLeaderEpoch: 1 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty \
             position: {position} CreateTime: {} size: {} magic: 2 compresscodec: none crc: {} isvalid: true",
            header.base_offset,
            header.base_offset + 1,
            header.max_timestamp_ms,
            header.total_bytes(),
            header.crc
        );
        assert_eq!(*line, expected);
    }
    let text = end(dump(&log(&dir)).args(["--records", "--bytes", "9"])).success();
    let records: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(records.len(), 10);
    assert_eq!(
        records[..2],
        [
            "| offset: 0 CreateTime: 1700000000000 keySize: 5 valueSize: 60 sequence: -1 headerKeys: [unit] key: weir\\xff \
             payload: payload\\t0",
            "| offset: 1 CreateTime: 1700000000001 keySize: -1 valueSize: 60 sequence: -1 headerKeys: [] payload: payload\\t1",
        ]
    );
    let whole = end(dump(&log(&dir)).arg("--records")).success();
    assert!(whole.contains(&format!("payload: payload\\t9 {}\n", "x".repeat(50))), "{whole}");
    assert_eq!(end(dump(&log(&dir)).arg("-q")).success().lines().count(), 5);
}

#[test]
fn each_line_of_the_json_output_is_an_object() {
    let dir = data(true);
    let text = end(dump(&log(&dir)).args(["--records", "--format", "json"])).success();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[..5], ["file", "batch", "record", "record", "batch"]);
    assert_eq!(
        (&lines[0]["base_offset"], &lines[0]["path"]),
        (&0.into(), &log(&dir).to_str().unwrap().into())
    );
    let (batch, record) = (&lines[4], &lines[5]);
    let (position, header) = headers(&log(&dir))[1];
    for (key, value) in [
        ("base_offset", Value::from(2)),
        ("last_offset", 3.into()),
        ("count", 2.into()),
        ("last_sequence", (-1).into()),
        ("partition_leader_epoch", 1.into()),
        ("delete_horizon_ms", Value::Null),
        ("position", position.into()),
        ("timestamp_type", "create_time".into()),
        ("max_timestamp_ms", header.max_timestamp_ms.into()),
        ("compresscodec", "none".into()),
        ("crc", header.crc.into()),
        ("is_valid", true.into()),
    ] {
        assert_eq!(batch[key], value, "{key}");
    }
    for (key, value) in [
        ("offset", Value::from(2)),
        ("timestamp_ms", 1_700_000_000_002_i64.into()),
        ("key_size", 5.into()),
        ("key", "weir\\xff".into()),
        ("header_keys", Value::Array(Vec::new())),
    ] {
        assert_eq!(record[key], value, "{key}");
    }
}

#[test]
fn indexes_are_printed_entry_by_entry_up_to_a_wrong_one() {
    let dir = data(true);
    let (index, times) = (log(&dir).with_extension("index"), log(&dir).with_extension("timeindex"));
    let text = end(&mut dump(&index)).success();
    let batches = headers(&log(&dir));
    let expected: Vec<String> = batches[1..]
        .iter()
        .map(|(position, header)| format!("offset: {} position: {position}", header.base_offset + 1))
        .collect();
    assert_eq!(text.lines().skip(2).collect::<Vec<_>>(), expected);
    let text = end(dump(&times).args(["--format", "json"])).success();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["timestamp_ms"], &last["offset"]), (&1_700_000_000_009_i64.into(), &9.into()));

    // The third entry is not above the second, and the last one is cut.
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[16..20].fill(0);
    bytes.pop();
    std::fs::write(&index, bytes).unwrap();
    let ended = end(&mut dump(&index));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""));
    let lines: Vec<&str> = ended.stdout.lines().skip(2).collect();
    assert_eq!(lines[..2], expected[..2]);
    assert!(lines[2].starts_with("finding at byte 16: entry 2 is not above"), "{lines:?}");
    assert_eq!(lines.len(), 3);
    let refused = end(dump(&index).arg("--records")).refusal(2);
    assert!(refused.contains("--records is for segments"), "{refused}");
    let renamed = dir.path().join("my.index");
    std::fs::copy(&times, &renamed).unwrap();
    assert!(end(&mut dump(&renamed)).refusal(2).contains("20 digits"));
}

#[test]
fn what_comes_before_damage_is_printed_and_the_damage_is_exit_6() {
    let dir = data(true);
    let positions: Vec<usize> = headers(&log(&dir)).iter().map(|(position, _)| *position).collect();
    let whole = std::fs::read(log(&dir)).unwrap();
    let mut damaged = whole.clone();
    damaged[positions[2] + 70] ^= 1;
    for (bytes, words) in [
        (&damaged[..], "CRC mismatch"),
        (&whole[..positions[2] + 30], "batch is cut short"),
        (
            &[&whole[..positions[2]], &whole[positions[3]..]].concat()[..],
            "batch begins at offset 6, expected 4",
        ),
    ] {
        std::fs::write(log(&dir), bytes).unwrap();
        let ended = end(&mut dump(&log(&dir)));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""), "{words}");
        let lines: Vec<&str> = ended.stdout.lines().collect();
        assert!(lines[3].starts_with("baseOffset: 2 "), "{words}: {lines:?}");
        let place = format!("finding at byte {}: {words}", positions[2]);
        assert!(lines.len() == 5 && lines[4].starts_with(&place), "{words}: {lines:?}");
        let ended = end(dump(&log(&dir)).args(["--format", "json"]));
        let last: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
        assert_eq!((&last["kind"], &last["position"]), (&"finding".into(), &positions[2].into()));
        assert_eq!(ended.code, Some(6));
    }
    // A lone copy of damage in the middle is a finding too: batches follow it.
    let copy = dir.path().join("copy.bin");
    std::fs::write(&copy, &damaged).unwrap();
    let ended = end(&mut dump(&copy));
    assert!(ended.code == Some(6) && ended.stdout.contains("a whole batch of offset 6 follows"), "{ended:?}");
}

#[test]
fn the_end_of_a_segment_that_is_not_sealed_is_a_note() {
    let dir = data(false);
    let text = end(&mut dump(&log(&dir))).success();
    let note = text.lines().last().unwrap();
    assert!(note.starts_with("note at byte ") && note.contains("zeros follow"), "{text}");
    assert_eq!(text.matches("baseOffset").count(), 5);
    // An unfinished write follows the last batch.
    let last = headers(&log(&dir))[4];
    let mut bytes = std::fs::read(log(&dir)).unwrap();
    bytes[last.0 + 100] ^= 1;
    std::fs::write(log(&dir), bytes).unwrap();
    let text = end(&mut dump(&log(&dir))).success();
    let note = text.lines().last().unwrap();
    assert!(note.starts_with(&format!("note at byte {}: CRC mismatch", last.0)), "{text}");
    assert_eq!(end(dump(&log(&dir)).arg("-q")).success().lines().count(), 4);
}

#[test]
fn files_that_are_no_segment_are_refused_and_an_empty_one_is_none() {
    let dir = disk();
    let missing = dir.path().join("00000000000000000000.log");
    assert!(end(&mut dump(&missing)).refusal(2).contains("there is no file"));
    assert!(end(&mut dump(dir.path())).refusal(2).contains("is a directory"));
    assert!(end(&mut dump(Path::new("/dev/null"))).refusal(2).contains("not a regular file"));
    let other = dir.path().join("notes.log");
    std::fs::write(&other, "a log of another kind, longer than the header of a batch: ".repeat(3)).unwrap();
    assert!(end(&mut dump(&other)).refusal(2).contains("is no segment"));
    // The name says that it is a segment.
    std::fs::copy(&other, &missing).unwrap();
    let ended = end(&mut dump(&missing));
    assert_eq!(ended.code, Some(6), "{ended:?}");
    assert!(ended.stdout.contains("finding at byte 0: magic byte is"), "{ended:?}");
    std::fs::write(&missing, "").unwrap();
    let text = end(&mut dump(&missing)).success();
    assert!(text.ends_with("Log starting offset: 0\nnote at byte 0: the file is empty\n"), "{text}");
    assert_eq!(end(dump(&missing).args(["--bytes", "5"])).code, Some(2), "it is for --records");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = data(true);
    let log = log(&dir);
    // Far more lines than a pipe holds.
    let batch = std::fs::read(&log).unwrap()[..headers(&log)[1].0].to_vec();
    let mut bytes = Vec::new();
    for number in 0..2_000_i64 {
        let mut next = batch.clone();
        next[..8].copy_from_slice(&(number * 2).to_be_bytes());
        bytes.extend_from_slice(&next);
    }
    std::fs::write(&log, bytes).unwrap();
    let _alone = crate::support::alone();
    let mut child = dump(&log).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("Dumping "), "{first}");
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
}
