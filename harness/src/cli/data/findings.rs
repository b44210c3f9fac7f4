//! Findings in a data directory as text: each with its file, the byte if there is one, and a sentence.

use std::fmt::Write as _;
use std::path::Path;
use vnotch_engine::verify::{Defect, DefectKind};

/// A finding: its file, the byte in the file if it has one, and the message.
pub(super) type Line<'a> = (&'a Path, Option<u64>, &'a str);

/// Most defects that are listed; `--format json` has all of them.
pub(super) const DEFECTS_MAX: usize = 100;

/// Adds a list of defects.
pub(super) fn list_defects(out: &mut String, data_dir: &Path, defects: &[Defect]) {
    let lines = defects.iter().map(|defect| (&*defect.path, byte_of(defect), &*defect.message));
    list(out, data_dir, "defect", lines.collect(), DEFECTS_MAX);
}

/// Adds a list of at most `most` findings.
pub(super) fn list(out: &mut String, data_dir: &Path, what: &str, lines: Vec<Line<'_>>, most: usize) {
    let count = lines.len();
    for (path, byte, message) in lines.into_iter().take(most) {
        let place = path.strip_prefix(data_dir).ok().filter(|place| !place.as_os_str().is_empty());
        let place = place.unwrap_or(path).display();
        let byte = byte.map_or_else(String::new, |byte| format!(" at byte {byte}"));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{what:<6}  {place}{byte}\n        {message}");
    }
    if count > most {
        let _ = writeln!(out, "… and {}; --format json has all of them", counted(count - most, what));
    }
    if count > 0 {
        out.push('\n');
    }
}

/// Returns the byte of a defect inside a file; `None` for a defect of the whole file or directory.
fn byte_of(defect: &Defect) -> Option<u64> {
    let is_inside = matches!(
        defect.kind,
        DefectKind::Batch
            | DefectKind::OffsetGap
            | DefectKind::Epoch
            | DefectKind::Truncated
            | DefectKind::Index
            | DefectKind::GroupRecord
    );
    (is_inside || defect.position > 0).then_some(defect.position)
}

/// Returns a count with its noun, which gets an `s` unless there is one.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
