//! Repairs that end before their last step. Repeated, they end in the same state, and no byte is lost on the way.

use crate::data::{batch_starts, closed, copy, files, flip, new_dir, open, produce, topic};
use crate::rig::{apply, assert_no_byte_is_lost, image, plan, segments};
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::repair;

/// Repairs `dir` up to a step; false if it has no such step.
fn stopped_at(dir: &Path, step: usize) -> bool {
    let mut at = 0;
    let ended = repair::apply(plan(dir), &mut |_| {
        let flow = if at == step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        at += 1;
        flow
    });
    ended.unwrap().is_break()
}

/// The files of the partitions after an open, without the checkpoints, whose sequence numbers differ.
fn opened(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let engine = open(dir);
    assert!(engine.damaged().is_empty(), "{:?}", engine.damaged());
    engine.close().unwrap();
    let mut files = BTreeMap::new();
    for partition in ["t-0", "t-1"].map(|name| dir.join(name)).iter().filter(|path| path.exists()) {
        files.extend(image(partition).into_iter().filter(|(path, _)| !path.ends_with("checkpoint")));
    }
    files.into_iter().map(|(path, bytes)| (path.strip_prefix(dir).unwrap().to_path_buf(), bytes)).collect()
}

/// Ends the repair of `damaged` before each of its steps, and repeats it.
fn check_every_step(damaged: &Path) {
    let before = segments(damaged);
    let whole = copy(damaged);
    apply(whole.path());
    let expected = opened(whole.path());
    let mut step = 0;
    loop {
        let dir = copy(damaged);
        if !stopped_at(dir.path(), step) {
            break;
        }
        assert_no_byte_is_lost(dir.path(), &before);
        let rest = plan(dir.path());
        assert!(repair::apply(rest, &mut |_| ControlFlow::Continue(())).unwrap().is_continue());
        assert_no_byte_is_lost(dir.path(), &before);
        assert!(plan(dir.path()).is_empty(), "nothing is left after step {step}");
        assert!(opened(dir.path()) == expected, "ended before step {step}");
        assert_no_byte_is_lost(dir.path(), &before);
        step += 1;
    }
    assert!(step > 1, "the repair has steps");
}

#[test]
fn a_repair_of_a_sealed_segment_can_be_repeated_from_every_step() {
    let dir = closed();
    let log = files(dir.path(), ".log").swap_remove(1);
    flip(&log, (batch_starts(&log)[5] + 66) * 8);
    check_every_step(dir.path());
}

#[test]
fn a_repair_without_a_checkpoint_and_a_catalog_can_be_repeated_from_every_step() {
    let dir = closed();
    let log = files(dir.path(), ".log").swap_remove(1);
    flip(&log, (batch_starts(&log)[5] + 66) * 8);
    fs::remove_file(dir.path().join("t-0/checkpoint")).unwrap();
    fs::write(dir.path().join("catalog.json"), b"noise").unwrap();
    check_every_step(dir.path());
}

#[test]
fn a_repair_that_raises_the_start_can_be_repeated_from_every_step() {
    let dir = closed();
    let logs = files(dir.path(), ".log");
    flip(&logs[0], 66 * 8);
    flip(&logs[2], (batch_starts(&logs[2])[2] + 66) * 8);
    check_every_step(dir.path());
}

#[test]
fn a_repair_of_a_log_that_was_not_closed_can_be_repeated_from_every_step() {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 1, TopicConfig { segment_bytes: 16 << 20, ..topic() }).unwrap();
    produce(&engine, 0, 14_000, 1_000);
    drop(engine);
    let log = files(dir.path(), ".log").swap_remove(0);
    let bytes = fs::read(&log).unwrap();
    let batches = vnotch_engine::record::batches(&bytes).take(4);
    let start: u64 = batches.map(|batch| batch.unwrap().bytes().len() as u64).sum();
    flip(&log, (start + 66) * 8);
    check_every_step(dir.path());
}
