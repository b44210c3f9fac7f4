//! The names of result directories and of the files in them that are not finished.

use std::path::Path;
use std::time::SystemTime;

/// How the name of what is being written or removed begins.
pub(super) const UNFINISHED: &str = ".unfinished-";

/// Results of one workload that started within one second.
pub(super) const SAME_NAME_MAX: u32 = 1000;

const NAME_CHARS_MAX: usize = 60;

/// Where the result of a workload that started then is written, below the directory for results; one more of that name
/// gets a number.
pub fn directory_name(started_at: &str, name: &str, workload_sha256: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(safe).take(NAME_CHARS_MAX).collect();
    let time = jiff::Timestamp::try_from(time_of(started_at)).unwrap_or_default().strftime("%Y%m%d-%H%M%S");
    let hash: String = workload_sha256.chars().map(safe).take(8).collect();
    format!("{time}-{name}-{hash}")
}

/// The name of the first, second … result that would have the same.
pub(super) fn numbered(name: &str, number: u32) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

pub(super) fn time_of(started_at: &str) -> SystemTime {
    let started = started_at.parse::<jiff::Timestamp>().ok();
    started.and_then(|time| SystemTime::try_from(time).ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What the name of the directory ends in while a sweep is unfinished.
pub const SUFFIX: &str = ".partial";

/// The file that says which sweep an unfinished directory holds.
pub(super) const MANIFEST: &str = "sweep.json";

/// Whether a directory holds an unfinished sweep.
pub fn is_staging(dir: &Path) -> bool {
    dir.join(MANIFEST).is_file()
}
