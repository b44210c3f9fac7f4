//! The names of result directories, and of files and directories that are not finished.

use std::path::Path;
use std::time::SystemTime;

/// Prefix of the names of files and directories that are being written or removed.
pub(super) const UNFINISHED: &str = ".unfinished-";

/// The number of results of one workload within one second that is too many: fewer than this get a name.
pub(super) const SAME_NAME_MAX: u32 = 1000;

const NAME_CHARS_MAX: usize = 60;

/// Returns the name of a result's directory: `<time>-<name>-<hash>`, below the directory for results. `started_at` is when
/// the run started, RFC 3339. A further result of the same name gets a number (see `numbered`).
pub fn directory_name(started_at: &str, name: &str, workload_sha256: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(safe).take(NAME_CHARS_MAX).collect();
    let time = jiff::Timestamp::try_from(time_of(started_at)).unwrap_or_default().strftime("%Y%m%d-%H%M%S");
    let hash: String = workload_sha256.chars().map(safe).take(8).collect();
    format!("{time}-{name}-{hash}")
}

/// Returns the name of result `number` among those that would have the same name. The first has no number.
pub(super) fn numbered(name: &str, number: u32) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

/// Returns the time of an RFC 3339 text; the Unix epoch if the text is none.
pub(super) fn time_of(started_at: &str) -> SystemTime {
    let started = started_at.parse::<jiff::Timestamp>().ok();
    started.and_then(|time| SystemTime::try_from(time).ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Suffix of the directory's name while a sweep or a comparison is unfinished.
pub const SUFFIX: &str = ".partial";

/// The file in the directory of an unfinished sweep that describes the sweep.
pub(super) const MANIFEST: &str = "sweep.json";

/// Whether a directory holds an unfinished sweep.
pub fn is_staging(dir: &Path) -> bool {
    dir.join(MANIFEST).is_file()
}

/// The file in the directory of an unfinished comparison that describes the comparison.
pub(super) const PLAN: &str = "comparison-plan.json";

/// Whether a directory holds an unfinished comparison.
pub fn is_series(dir: &Path) -> bool {
    dir.join(PLAN).is_file()
}
