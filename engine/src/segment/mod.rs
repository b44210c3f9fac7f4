//! Segment files: their names, their indexes on disk, and a scan of a whole segment, batch by batch. Spawns no tasks.
//!
//! ```text
//! <data_dir>/<topic>-<partition>/<20-digit base offset>.log         batches back to back, nothing else once sealed
//!                                <20-digit base offset>.index       offset index, written at seal
//!                                <20-digit base offset>.timeindex   time index, written at seal
//!                                next.preparing                     the file that becomes the next segment
//!                                next.filling, next.spare           the same if files are recycled: see log/spare.rs
//! ```

mod files;
mod indexes;
mod scan;
mod search;
mod window;

pub(crate) use files::{remove_files, remove_files_durably};
pub use indexes::{Indexes, load_indexes, remove_indexes, write_indexes};
pub use scan::{ScanEnd, ScanRequest, Scanned, scan, search};
pub use search::{SearchRequest, SearchStep};

use std::path::{Path, PathBuf};

/// Name of a file that waits to become a segment.
pub const PREPARING: &str = "next.preparing";

/// Name of a file that is being filled with zeros, to become [`SPARE`].
pub const FILLING: &str = "next.filling";

/// Name of a file that waits to become a segment and is written to its end: with zeros, or with the batches of the
/// segments that it was before.
pub const SPARE: &str = "next.spare";

/// Returns the path of a segment's log file.
pub fn log_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

/// Returns the path of a segment's offset index.
pub fn index_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.index"))
}

/// Returns the path of a segment's time index.
pub fn time_index_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.timeindex"))
}

/// Returns the base offset in the name of a log file; `None` for any other name.
pub fn base_offset_of(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Returns the base offset in the name of an index file of either kind; `None` for any other name.
pub fn index_base_offset_of(name: &str) -> Option<i64> {
    let stem = name.strip_suffix(".index").or_else(|| name.strip_suffix(".timeindex"))?;
    base_offset_of(&format!("{stem}.log"))
}

/// Whether both index files of a segment are among `names`. The index files are written once the segment is whole and
/// durable.
pub fn has_indexes<'a>(base_offset: i64, names: impl Iterator<Item = &'a str>) -> bool {
    names.filter(|name| index_base_offset_of(name) == Some(base_offset)).count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let path = log_path(Path::new("d"), 42);
        assert_eq!(path, Path::new("d/00000000000000000042.log"));
        assert_eq!(base_offset_of("00000000000000000042.log"), Some(42));
        for foreign in
            ["42.log", "0000000000000000004x.log", "00000000000000000042.index", "99999999999999999999.log"]
        {
            assert_eq!(base_offset_of(foreign), None, "{foreign}");
        }
    }
}
