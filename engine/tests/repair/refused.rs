//! Directories that `repair` refuses.

use crate::data::{closed, copy, files, flip, new_dir, open};
use crate::rig::{image, plan};
use std::fs;
use vnotch_engine::config::EngineConfig;
use vnotch_engine::engine::Engine;
use vnotch_engine::error::OpenError;
use vnotch_engine::repair::{self, RepairError};

#[test]
fn a_directory_that_is_open_is_refused_and_cannot_be_opened_meanwhile() {
    let dir = closed();
    let engine = open(dir.path());
    assert!(matches!(repair::plan(dir.path()), Err(RepairError::InUse { .. })));
    engine.close().unwrap();
    let planned = plan(dir.path());
    let opened = Engine::open(EngineConfig { arena_bytes: 16 << 20, ..EngineConfig::new(dir.path()) });
    assert!(matches!(opened, Err(OpenError::InUse { .. })));
    drop(planned);
    open(dir.path()).close().unwrap();
}

#[test]
fn what_is_no_data_directory_or_a_newer_one_is_refused_and_left_as_it_is() {
    let empty = new_dir();
    assert!(matches!(repair::plan(empty.path()), Err(RepairError::NotADataDirectory { .. })));
    assert!(image(empty.path()).is_empty());
    let dir = closed();
    flip(&files(dir.path(), ".log")[0], 66 * 8);
    let meta = fs::read_to_string(dir.path().join("meta.properties")).unwrap();
    fs::write(dir.path().join("meta.properties"), meta.replace("version=2", "version=9")).unwrap();
    let before = image(dir.path());
    assert!(matches!(repair::plan(dir.path()), Err(RepairError::NewerFormat { found: 9, .. })));
    assert!(image(dir.path()) == before);
}

#[test]
fn without_its_meta_properties_a_directory_is_refused_with_what_to_write_there() {
    let whole = closed();
    for is_missing in [true, false] {
        let dir = copy(whole.path());
        let path = dir.path().join("meta.properties");
        if is_missing {
            fs::remove_file(&path).unwrap();
        } else {
            fs::write(&path, b"noise").unwrap();
        }
        let error = repair::plan(dir.path()).unwrap_err();
        assert!(matches!(&error, RepairError::Meta { path: named, .. } if *named == path));
        let text = error.to_string();
        assert!(text.contains("`version=2`") && text.contains("`shards=`"), "{text}");
        let shards = EngineConfig::new(dir.path()).shards;
        fs::write(&path, format!("version=2\nid={}\nshards={shards}\n", "0".repeat(32))).unwrap();
        assert!(plan(dir.path()).is_empty());
        open(dir.path()).close().unwrap();
    }
}

#[test]
fn a_catalog_that_is_whole_and_not_accepted_is_not_replaced() {
    let dir = closed();
    let path = dir.path().join("catalog.json");
    let text = fs::read_to_string(&path).unwrap();
    let (_, json) = text.split_once('\n').unwrap();
    let json = json.replace("\"partitions\": 2", "\"partitions\": 2000000");
    let crc = crc_fast::crc32_iscsi(json.trim_end_matches('\n').as_bytes());
    fs::write(&path, format!("{crc:08x}\n{json}")).unwrap();
    let before = image(dir.path());
    let error = repair::plan(dir.path()).unwrap_err();
    assert!(matches!(error, RepairError::Catalog { .. }), "{error}");
    assert!(image(dir.path()) == before);
}
