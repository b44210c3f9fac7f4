//! Repairs that end before their last step. When they are repeated, they reach the same state, and no byte is lost.

use crate::data::{
    batch_starts, closed, copy, files, flip, new_dir, open, produce, produce_until_recovery_points, topic,
};
use crate::rig::{
    apply, assert_no_byte_is_lost, dropped, image, plan, reboot, segments, start_of_batch, unseal,
};
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::repair::{self, Step};

/// The point in a step at which a repair ends early.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Before,
    /// In the middle of the step. Some steps have no middle: they are done at once.
    Within,
}

/// Repairs `dir` up to step `number`. Returns false if the repair has fewer steps.
fn stopped_at(dir: &Path, number: usize, ending: Ending) -> bool {
    let mut at = 0;
    let ended = repair::apply(plan(dir), &mut |step| {
        if at < number {
            at += 1;
            return ControlFlow::Continue(());
        }
        if matches!(ending, Ending::Within) {
            do_half(step);
        }
        ControlFlow::Break(())
    });
    ended.unwrap().is_break()
}

/// Leaves the files that a kill in the middle of a step leaves. A directory is created or moved at once, so it has no middle.
fn do_half(step: &Step) {
    let with_suffix = |path: &Path, suffix: &str| format!("{}{suffix}", path.display());
    match step {
        Step::Copy { from, bytes, to } => {
            let source = fs::read(from).unwrap();
            let half = &source[bytes.start as usize..][..(bytes.end - bytes.start) as usize / 2];
            fs::write(with_suffix(to, ".incomplete"), half).unwrap();
        }
        Step::Overwrite { path, parts } => {
            let file = fs::File::options().create(true).truncate(false).write(true).open(path).unwrap();
            file.write_all_at(&parts[0].1, parts[0].0).unwrap();
        }
        Step::Replace { path, bytes } => fs::write(with_suffix(path, ".tmp"), &bytes[..9]).unwrap(),
        Step::MakeDirectory { .. } | Step::Move { .. } | Step::Truncate { .. } => {}
    }
}

/// Returns the files of the partitions after an open, without the checkpoints, whose sequence numbers differ.
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

/// Ends the repair of `damaged` before and within each of its steps, and repeats it.
fn check_every_step(damaged: &Path) {
    let before = if damaged.join("t-0").is_dir() { segments(damaged) } else { BTreeMap::new() };
    let whole = copy(damaged);
    apply(whole.path());
    let expected = opened(whole.path());
    let steps = plan(damaged).steps().len();
    assert!(steps > 1);
    for (step, ending) in (0..steps).flat_map(|step| [(step, Ending::Before), (step, Ending::Within)]) {
        let dir = copy(damaged);
        assert!(stopped_at(dir.path(), step, ending));
        assert_no_byte_is_lost(dir.path(), &before);
        let rest = plan(dir.path());
        assert!(repair::apply(rest, &mut |_| ControlFlow::Continue(())).unwrap().is_continue());
        assert_no_byte_is_lost(dir.path(), &before);
        assert!(plan(dir.path()).is_empty(), "nothing is left after step {step}");
        assert!(opened(dir.path()) == expected, "ended at step {step}, {ending:?}");
        assert_no_byte_is_lost(dir.path(), &before);
    }
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
    let dir = dropped(TopicConfig { segment_bytes: 16 << 20, ..topic() }, 14_000);
    let log = files(dir.path(), ".log").swap_remove(0);
    flip(&log, (start_of_batch(&log, 4) + 66) * 8);
    check_every_step(dir.path());
}

#[test]
fn a_repair_of_segments_that_were_not_sealed_can_be_repeated_from_every_step() {
    let dir = dropped(topic(), 5_000);
    unseal(dir.path());
    let log = files(dir.path(), ".log").swap_remove(1);
    flip(&log, (start_of_batch(&log, 5) + 66) * 8);
    check_every_step(dir.path());
}

#[test]
fn a_repair_of_a_directory_that_is_gone_can_be_repeated_from_every_step() {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 2, topic()).unwrap();
    produce(&engine, 1, 100, 100);
    produce_until_recovery_points(&engine, dir.path(), 0);
    drop(engine);
    fs::remove_dir_all(dir.path().join("t-0")).unwrap();
    check_every_step(dir.path());
}

#[test]
fn a_repair_of_recorded_damage_can_be_repeated_from_every_step_after_a_reboot() {
    let dir = dropped(topic(), 2_500);
    unseal(dir.path());
    let log = files(dir.path(), ".log").swap_remove(0);
    flip(&log, (start_of_batch(&log, 5) + 66) * 8);
    assert_eq!(open(dir.path()).damaged().len(), 1);
    reboot(dir.path());
    check_every_step(dir.path());
    // Without a catalog, the damage record is found by the topic's name.
    fs::remove_file(dir.path().join("catalog.json")).unwrap();
    check_every_step(dir.path());
}

#[test]
fn a_repair_of_damage_that_only_recovery_points_showed_can_be_repeated_from_every_step() {
    let dir = new_dir();
    let engine = open(dir.path());
    engine.create_topic("t", 2, TopicConfig { segment_bytes: 16 << 20, ..topic() }).unwrap();
    produce(&engine, 0, 700, 1_000);
    produce_until_recovery_points(&engine, dir.path(), 0);
    drop(engine);
    let log = files(dir.path(), ".log").swap_remove(0);
    flip(&log, (start_of_batch(&log, 90) + 66) * 8);
    assert_eq!(open(dir.path()).damaged().len(), 1);
    check_every_step(dir.path());
    reboot(dir.path());
    check_every_step(dir.path());
    // The partition's directory is missing, and has a damage record.
    fs::remove_dir_all(dir.path().join("t-0")).unwrap();
    check_every_step(dir.path());
}
