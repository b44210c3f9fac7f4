//! The text output of `vnotch verify`: a table of partitions, then each defect and note with its file and byte.

use crate::cli::data::findings::{self, counted};
use crate::quantity;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;
use vnotch_engine::verify::{DefectKind, NoteKind, PartitionReport, Report};

/// Number of notes shown.
const NOTES_MAX: usize = 20;

/// Returns the whole text. `quiet` leaves out everything but the defects.
pub(super) fn render(report: &Report, quiet: bool) -> String {
    let mut out = String::new();
    if !quiet {
        let id = report.id.as_deref().unwrap_or("unknown");
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} (id {id})\n\n{}\n", report.data_dir.display(), table(&report.partitions));
    }
    findings::list_defects(&mut out, &report.data_dir, &report.defects);
    if !quiet {
        let notes = report
            .notes
            .iter()
            .map(|note| (&*note.path, Some(note.position).filter(|byte| *byte > 0), &*note.message));
        findings::list(&mut out, &report.data_dir, "note", notes.collect(), NOTES_MAX);
        let _ = writeln!(out, "{}", verdict(report));
    }
    out
}

fn table(partitions: &[PartitionReport]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["partition", "segments", "batches", "records", "offsets", "bytes"]);
    for partition in partitions {
        table.add_row([
            format!("{}-{}", partition.topic, partition.partition),
            partition.segments.to_string(),
            partition.batches.to_string(),
            partition.records.to_string(),
            format!("{}..{}", partition.log_start_offset, partition.log_end_offset),
            quantity::bytes(partition.bytes),
        ]);
    }
    if partitions.len() > 1 {
        let sum = |figure: fn(&PartitionReport) -> u64| partitions.iter().map(figure).sum::<u64>();
        table.add_row([
            "all".to_owned(),
            partitions.iter().map(|partition| partition.segments).sum::<usize>().to_string(),
            sum(|partition| partition.batches).to_string(),
            sum(|partition| partition.records).to_string(),
            String::new(),
            quantity::bytes(sum(|partition| partition.bytes)),
        ]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn verdict(report: &Report) -> String {
    let is_of_commit = |kind| matches!(kind, NoteKind::CommitBeyondEnd | NoteKind::CommitOfMissing);
    let (of_commits, others): (Vec<_>, Vec<_>) =
        report.notes.iter().partition(|note| is_of_commit(note.kind));
    // The folder of a repair has a note, but the next open does nothing with it.
    let notes = others.iter().filter(|note| !note.path.ends_with("removed-by-repair")).count();
    let commits = match of_commits.len() {
        0 => String::new(),
        count => format!(
            "\n{} on committed offsets that fit no log: that is no damage, and stays as it is.",
            counted(count, "note")
        ),
    };
    let found = match (report.defects.len(), notes) {
        (0, 0) => "No damage.".to_owned(),
        (0, notes) => format!("No damage; {}: the next open cleans this up.", counted(notes, "note")),
        (defects, _) => {
            let found = format!("Damaged: {}. Nothing was changed.", counted(defects, "defect"));
            format!("{found}{}", advice(report))
        }
    };
    format!("{found}{}{commits}", unjudged(report))
}

/// Returns a line on the bytes of logs that were not closed and cannot be judged; empty if there are none.
fn unjudged(report: &Report) -> String {
    match report.partitions.iter().map(|partition| partition.unjudged_bytes).sum() {
        0 => String::new(),
        bytes => format!(
            "\n{} after the last valid batches may be the unfinished last writes of the process, or damage: nothing tells them apart.",
            quantity::bytes(bytes)
        ),
    }
}

/// Returns advice about the defects, a line or two for each kind that was found.
fn advice(report: &Report) -> String {
    let is_index = |kind| matches!(kind, DefectKind::Index | DefectKind::IndexMissing);
    let is_foreign = |kind| matches!(kind, DefectKind::ForeignFile | DefectKind::PartitionUnknown);
    let has = |is: &dyn Fn(DefectKind) -> bool| report.defects.iter().any(|defect| is(defect.kind));
    let mut advice = String::new();
    let is_of_group = |kind| kind == DefectKind::GroupRecord;
    let is_misplaced = |kind| kind == DefectKind::GroupMisplaced;
    if has(&|kind| !is_index(kind) && !is_foreign(kind) && !is_of_group(kind) && !is_misplaced(kind)) {
        advice.push_str(
            "\nDamaged or missing records can only be restored from a copy of these files. A fetch that reaches the damage fails.\n\
             `vnotch repair` shows how to continue without them, and which records that costs.",
        );
    }
    if has(&is_of_group) {
        advice.push_str(
            "\nDamaged records of consumer groups: restore their directory from a copy. Or move it elsewhere while no engine\n\
             runs, and let `vnotch repair` make an empty one: its groups then begin as new ones, without committed offsets.",
        );
    }
    if has(&is_misplaced) {
        advice.push_str(
            "\nGroups in a wrong partition do no harm to others. Were directories of __consumer_offsets renamed or copied? Then\n\
             give each its own name again while no engine runs.",
        );
    }
    if has(&|kind| kind == DefectKind::Index) {
        advice.push_str("\nDamaged indexes: delete these index files while no engine runs.");
    }
    if has(&|kind| kind == DefectKind::IndexMissing) {
        advice.push_str("\nMissing indexes: nothing has to be done.");
    }
    if has(&is_index) {
        advice.push_str(
            "\nWithout an index the engine reads the segment instead, once after each start. Damage of indexes loses no record.",
        );
    }
    if has(&is_foreign) {
        advice.push_str("\nFiles that do not belong to the log do no harm; move them elsewhere.");
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::data::findings::DEFECTS_MAX;
    use vnotch_engine::verify::{Defect, Note};

    fn report() -> Report {
        let partition = |partition| PartitionReport {
            topic: "orders".into(),
            partition,
            segments: 4,
            batches: 500,
            records: 3_500,
            bytes: 3_600_000,
            log_start_offset: 0,
            log_end_offset: 3_500,
            unjudged_bytes: 0,
            damage: None,
        };
        Report {
            data_dir: "/srv/log".into(),
            id: Some("0123456789abcdef0123456789abcdef".into()),
            partitions: vec![partition(0), partition(10)],
            defects: vec![Defect {
                kind: DefectKind::Batch,
                path: "/srv/log/orders-0/00000000000000000000.log".into(),
                position: 4711,
                message: "CRC mismatch".into(),
            }],
            notes: vec![Note {
                kind: NoteKind::NotClean,
                path: "/srv/log/orders-10".into(),
                position: 0,
                message: "the log was not closed".into(),
            }],
        }
    }

    #[test]
    fn partitions_are_a_table_and_each_defect_names_its_file_and_byte() {
        insta::assert_snapshot!(render(&report(), false), @r"
        /srv/log (id 0123456789abcdef0123456789abcdef)

        partition  segments  batches  records  offsets     bytes
        orders-0          4      500     3500  0..3500  3.43 MiB
        orders-10         4      500     3500  0..3500  3.43 MiB
        all               8     1000     7000           6.87 MiB

        defect  orders-0/00000000000000000000.log at byte 4711
                CRC mismatch

        note    orders-10
                the log was not closed

        Damaged: 1 defect. Nothing was changed.
        Damaged or missing records can only be restored from a copy of these files. A fetch that reaches the damage fails.
        `vnotch repair` shows how to continue without them, and which records that costs.
        ");
    }

    #[test]
    fn each_kind_of_defect_comes_with_what_can_be_done() {
        let mut report = report();
        let says = |report: &Report, words: &str| render(report, false).contains(words);
        for (kind, words) in [
            (DefectKind::IndexMissing, "Missing indexes: nothing has to be done"),
            (DefectKind::Index, "Damaged indexes: delete these index files"),
            (DefectKind::ForeignFile, "Files that do not belong to the log do no harm"),
            (DefectKind::GroupRecord, "Damaged records of consumer groups: restore their directory"),
            (DefectKind::GroupMisplaced, "Groups in a wrong partition do no harm to others"),
        ] {
            report.defects[0].kind = kind;
            assert!(says(&report, words), "{kind:?}");
            assert!(!says(&report, "can only be restored from a copy"), "{kind:?}");
        }
        report.defects[0].kind = DefectKind::SegmentMissing;
        assert!(says(&report, "can only be restored from a copy") && !says(&report, "indexes"));
    }

    #[test]
    fn committed_offsets_that_fit_no_log_are_told_apart_from_what_the_next_open_cleans_up() {
        let mut report = Report { defects: Vec::new(), ..report() };
        report.notes.push(Note { kind: NoteKind::CommitBeyondEnd, ..report.notes[0].clone() });
        let text = render(&report, false);
        let expected = "No damage; 1 note: the next open cleans this up.\n\
                        1 note on committed offsets that fit no log: that is no damage, and stays as it is.\n";
        assert!(text.ends_with(expected), "{text}");
        report.notes.remove(0);
        let text = render(&report, false);
        let expected = "No damage.\n1 note on committed offsets that fit no log: that is no damage, and stays as it is.\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn the_bytes_that_nothing_tells_from_damage_are_counted_over_all_partitions() {
        let mut report = Report { defects: Vec::new(), ..report() };
        let cleaned = "No damage; 1 note: the next open cleans this up.\n";
        assert!(render(&report, false).ends_with(cleaned));
        (report.partitions[0].unjudged_bytes, report.partitions[1].unjudged_bytes) = (3 << 20, 512 << 10);
        let text = render(&report, false);
        let unjudged = "3.50 MiB after the last valid batches may be the unfinished last writes of the process, or damage: \
                        nothing tells them apart.\n";
        assert!(text.ends_with(&format!("{cleaned}{unjudged}")), "{text}");
        // Damage of one partition does not make the bytes of another one known.
        report.defects = self::report().defects;
        let text = render(&report, false);
        assert!(text.ends_with(unjudged), "{text}");
    }

    #[test]
    fn quiet_says_only_what_is_wrong() {
        insta::assert_snapshot!(render(&report(), true), @r"
        defect  orders-0/00000000000000000000.log at byte 4711
                CRC mismatch
        ");
        assert_eq!(render(&Report { defects: Vec::new(), ..report() }, true), "");
    }

    #[test]
    fn very_many_defects_are_counted() {
        let mut report = report();
        report.defects = vec![report.defects[0].clone(); DEFECTS_MAX + 2];
        let text = render(&report, false);
        assert_eq!(text.matches("4711").count(), DEFECTS_MAX);
        assert!(text.contains("… and 2 defects; --format json has all of them"), "{text}");
        assert!(text.contains("\nDamaged: 102 defects. Nothing was changed.\n"), "{text}");
    }
}
