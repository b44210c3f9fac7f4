//! Opens the catalog of a data directory.
//!
//! Input: one byte, then the file. If the byte is even, the rest is the JSON of `catalog.json`, and the check puts the
//! checksum before it. If the byte is odd, the rest is the whole file.

use super::{repair, simulated};
use std::path::Path;
use vnotch_engine::catalog::{Catalog, META_FILE};
use vnotch_engine::config::TopicConfig;

const META: &[u8] = b"version=1\nid=0123456789abcdef0123456789abcdef\nshards=1\n";

/// Opens the catalog twice.
///
/// # Panics
/// The second open finds another catalog than the first one has written.
pub fn check(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else { return };
    let file = if flags & 1 == 0 { repair::catalog(bytes) } else { bytes.to_vec() };
    let dir = Path::new("/d");
    let disk = simulated::disk_with(dir, [(dir.join(META_FILE), META), (dir.join("catalog.json"), &file)]);
    let Ok(opened) = disk.run_until(Catalog::open(&disk, dir, 1)) else { return };
    let again = disk.run_until(Catalog::open(&disk, dir, 1));
    let again = again.unwrap_or_else(|error| panic!("what one open wrote another refuses: {error}"));
    assert_eq!(again.topics(), opened.topics(), "topics stay");
    assert!(again.epoch() > opened.epoch(), "the epoch rises");
}

/// Returns an empty catalog, one with a topic and a deletion, and the second one as a whole file.
pub fn seeds() -> Vec<Vec<u8>> {
    let empty = "{\"incarnation\": 1, \"topics\": {}, \"deleting\": {}}\n";
    let config = TopicConfig::default();
    let TopicConfig { segment_bytes, index_interval_bytes, max_message_bytes, .. } = config;
    let topic = format!(
        "{{\"incarnation\": 4, \"topics\": {{\"orders\": {{\"partitions\": 2, \"config\": {{\"durability\": \"synced\", \
         \"segment_bytes\": {segment_bytes}, \"segment_ms\": null, \"retention_bytes\": 268435456, \"retention_ms\": 60000, \
         \"preallocate\": \"auto\", \"index_interval_bytes\": {index_interval_bytes}, \"max_message_bytes\": \
         {max_message_bytes}}}, \"synced_after\": 2}}}}, \"deleting\": {{\"old\": 3}}}}\n"
    );
    let with = |flags: u8, bytes: &[u8]| [&[flags], bytes].concat();
    let whole = repair::catalog(topic.as_bytes());
    vec![with(0, empty.as_bytes()), with(0, topic.as_bytes()), with(1, &whole)]
}
