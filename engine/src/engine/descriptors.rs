//! The number of descriptors that each shard may use: a share of RLIMIT_NOFILE.

use crate::error::OpenError;
use crate::log::FileLimits;
use crate::num::usize_of;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that stay free for files that the process opens later, outside the engine.
const RESERVED: u64 = 32;

/// Descriptors of a shard's executor, its rings and their eventfds.
const RESERVED_A_SHARD: u64 = 16;

/// Least number of descriptors that a shard needs for files.
const FILES_A_SHARD_MIN: u64 = 24;

/// Most files that a shard keeps open, even where the limit allows more. With more files, the memory for their indexes
/// costs more than the time to open a file again.
const OPEN_FILES_MAX: u64 = 4096;

/// Most descriptors of a shard that are open for a single operation each.
const BRIEF_MAX: u64 = 64;

/// Returns the number of descriptors with which a process can open an engine of `shards` shards, if it has `open` now.
pub(super) fn needed(open: u64, shards: u32) -> u64 {
    open + RESERVED + u64::from(shards) * (RESERVED_A_SHARD + FILES_A_SHARD_MIN)
}

/// Returns a shard's share if the process has `open` descriptors and may have `limit`.
pub(super) fn share(limit: u64, open: u64, shards: u32) -> Result<FileLimits, OpenError> {
    let needed = needed(open, shards);
    if limit < needed {
        return Err(OpenError::TooFewDescriptors { found: limit, needed });
    }
    let files = (limit - open - RESERVED) / u64::from(shards) - RESERVED_A_SHARD;
    let brief_max = (files / 4).min(BRIEF_MAX);
    let open_files_max = (files - brief_max).min(OPEN_FILES_MAX);
    Ok(FileLimits { open_files_max: usize_of(open_files_max), brief_max: usize_of(brief_max) })
}

/// Raises the process's soft limit to the hard one. Returns a shard's share.
///
/// # Errors
/// The limit is too low for so many shards.
pub(super) fn file_limits(shards: u32) -> Result<FileLimits, OpenError> {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: found.maximum, maximum: found.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => found.maximum,
        Err(_) => found.current,
    };
    // Without access to /proc, three are assumed: the standard streams.
    let open = std::fs::read_dir("/proc/self/fd").map_or(3, |entries| entries.count() as u64);
    share(limit.unwrap_or(u64::MAX), open, shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_share_what_is_left_of_the_limit() {
        let least = FileLimits { open_files_max: 18, brief_max: 6 };
        assert_eq!(share(82, 10, 1).unwrap(), least);
        assert_eq!(share(122, 10, 2).unwrap(), least);
        assert_eq!(share(256, 10, 1).unwrap(), FileLimits { open_files_max: 149, brief_max: 49 });
        let most = FileLimits { open_files_max: 4096, brief_max: 64 };
        assert_eq!(share(u64::MAX, 10, 64).unwrap(), most);
    }

    #[test]
    fn too_low_a_limit_is_refused_with_the_number_needed() {
        let error = share(121, 10, 2).unwrap_err();
        assert!(matches!(error, OpenError::TooFewDescriptors { found: 121, needed: 122 }), "{error}");
        assert!(error.to_string().contains("`ulimit -n 122`"), "{error}");
    }
}
