//! Integrity of a result in one sentence.

use crate::result::{IntegrityFigures, RunResult};
use crate::{num, quantity};

/// Formats a number of records.
fn whole(records: u64) -> String {
    quantity::count(num::f64_of(records))
}

/// Describes what the consumers found.
pub(in crate::report) fn integrity(result: &RunResult) -> String {
    let trials = || result.points.iter().flat_map(|point| &point.trials).map(|trial| &trial.integrity);
    let sum = |of: fn(&IntegrityFigures) -> Option<u64>| trials().filter_map(of).sum::<u64>();
    if trials().all(|found| found.checked.is_none()) {
        return "not checked: nothing was consumed or read back, or `verify: none`".to_owned();
    }
    let is_read_back = trials().any(|found| found.defects.is_some());
    let read_back = if is_read_back { " (read back after the trial)" } else { "" };
    let deleted = if is_read_back {
        "deleted by retention before that"
    } else {
        "deleted by retention before they were consumed"
    };
    let apart = [
        (sum(|found| found.undrained), "not consumed when the drain ended"),
        (sum(|found| found.lost_to_retention), deleted),
        (sum(|found| found.foreign), "written to the topic by others, and not checked"),
    ];
    let apart = apart.into_iter().filter(|(count, _)| *count > 0);
    let apart: String = apart.map(|(count, what)| format!("; {} {what}", whole(count))).collect();
    if trials().any(|found| found.failed()) {
        let defects = match sum(|found| found.defects) {
            0 => String::new(),
            defects => format!("; {defects} defects of the log"),
        };
        let of_groups =
            [(sum(|found| found.skipped), "skipped"), (sum(|found| found.double_owned), "double-owned")];
        let of_groups = of_groups.into_iter().filter(|(count, _)| *count > 0);
        let of_groups: String = of_groups.map(|(count, what)| format!("{count} {what}, ")).collect();
        return format!(
            "FAILED: {} missing, {} repeated, {} out of order, {} corrupt, {of_groups}of {} records{read_back}{defects}{apart}",
            sum(|found| found.gaps),
            sum(|found| found.duplicates),
            sum(|found| found.reorders),
            sum(|found| found.corruptions),
            sum(|found| found.checked)
        );
    }
    let (checked, deleted) = (sum(|found| found.checked), sum(|found| found.lost_to_retention));
    let of_all = if deleted > 0 { format!(" of {}", whole(checked + deleted)) } else { String::new() };
    let checked = whole(checked);
    format!(
        "{checked}{of_all} records checked{read_back}: none missing, repeated, out of order or corrupt{apart}"
    )
}
