//! The names of the data directory and of its parents are durable before the engine writes anything below them.

use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::engine::start::{inspect_dir, parents_of_missing};
use crate::error::{DiskOp, OpenError};
use crate::types::IoMode;
use std::path::{Path, PathBuf};

/// Inspects `data_dir`. Returns the directories that were synced, in order. Each sync comes after `data_dir` was made.
fn synced_by(data_dir: &Path) -> Vec<PathBuf> {
    let mut synced = Vec::new();
    let sync = |dir: &Path| {
        assert!(data_dir.is_dir(), "{} is synced before the names in it exist", dir.display());
        synced.push(dir.to_path_buf());
        Ok(())
    };
    inspect_dir(data_dir, sync).unwrap();
    synced
}

#[test]
fn the_parents_of_missing_directories_are_those_that_get_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path();
    assert_eq!(parents_of_missing(&there.join("a/b")), [there.join("a"), there.to_path_buf()]);
    assert_eq!(parents_of_missing(&there.join("a")), [there]);
    assert!(parents_of_missing(there).is_empty());
    assert_eq!(parents_of_missing(Path::new("no-such-directory")), [Path::new(".")]);
}

#[test]
fn every_directory_that_gets_a_new_name_in_it_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path();
    let data_dir = there.join("a/b");
    assert_eq!(synced_by(&data_dir), [there.join("a"), there.to_path_buf()]);
    let above: Vec<&Path> = data_dir.ancestors().skip(1).collect();
    assert_eq!(synced_by(&data_dir), above, "an open that was interrupted may have made any of them");
    let config = EngineConfig { io: IoMode::Buffered, arena_bytes: 16 << 20, ..EngineConfig::new(&data_dir) };
    Engine::open(config).unwrap().close().unwrap();
    assert!(synced_by(&data_dir).is_empty(), "an engine has been opened here, so the name is durable");
}

#[test]
fn a_sync_that_fails_is_an_error_where_the_engine_has_made_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("a");
    let fails = |_: &Path| Err(std::io::Error::from_raw_os_error(libc::EIO));
    let failed = inspect_dir(&data_dir, fails).unwrap_err();
    let OpenError::Disk(error) = &failed else { panic!("{failed}") };
    assert_eq!((error.op, &*error.path), (DiskOp::SyncDir, dir.path()));
    // Now the directory exists. It may belong to others, and this user may have no right to open its parent.
    inspect_dir(&data_dir, fails).unwrap();
}
