//! The text output of `vnotch groups`: a heading and a table of partitions for each group, then each defect with its file
//! and byte.

use crate::cli::data::findings::{self, counted};
use crate::escape::visible;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::fmt::Write as _;
use vnotch_engine::verify::{
    GroupMemberReport, GroupPartitionReport, GroupReport, GroupsReport, PartitionMark, PartitionOwner,
};

/// A value that there is none of.
const NONE: &str = "-";
/// Columns of the table, in order.
const COLUMNS: [&str; 11] = [
    "partition",
    "committed",
    "end",
    "lag",
    "epoch",
    "committed at (UTC)",
    "client",
    "host",
    "member",
    "metadata",
    "mark",
];
/// Columns of numbers, which are aligned to the right.
const NUMBERS: std::ops::Range<usize> = 1..5;
/// Columns from this one on are left out if they are empty in all rows.
const OPTIONAL_FROM: usize = 9;

/// Returns the whole text. `quiet` leaves out the name of the directory and the sum. `width` is that of the terminal, in
/// characters, if there is one.
pub(super) fn render(report: &GroupsReport, quiet: bool, width: Option<u16>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    if !quiet {
        let _ = writeln!(out, "{}\n", report.data_dir.display());
    }
    for group in &report.groups {
        let _ = writeln!(out, "{}", heading(group));
        if !group.partitions.is_empty() {
            let _ = writeln!(out, "\n{}", table(&group.partitions, width));
        }
        write_idle_members(&mut out, group);
        out.push('\n');
    }
    findings::list_defects(&mut out, &report.data_dir, &report.defects);
    if !quiet {
        let _ = writeln!(out, "{}", sum(report));
    }
    out
}

fn heading(group: &GroupReport) -> String {
    let mut text = format!("{}  {}", visible(&group.group), group.state);
    if group.members.is_empty() {
        text.push_str(", no members");
    } else {
        let protocol = group.protocol.as_deref().unwrap_or(NONE);
        let members = counted(group.members.len(), "member");
        let _ = write!(text, ", {members}, generation {}, protocol {}", group.generation, visible(protocol));
    }
    text
}

fn table(partitions: &[GroupPartitionReport], width: Option<u16>) -> String {
    let rows: Vec<[String; COLUMNS.len()]> = partitions.iter().map(row).collect();
    let is_shown =
        |column: &usize| *column < OPTIONAL_FROM || rows.iter().any(|row| !row[*column].is_empty());
    let shown: Vec<usize> = (0..COLUMNS.len()).filter(is_shown).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).force_no_tty();
    if let Some(width) = width {
        table.set_width(width);
    }
    table.set_header(shown.iter().map(|column| COLUMNS[*column]));
    for row in &rows {
        table.add_row(shown.iter().map(|column| &row[*column]));
    }
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    for number in NUMBERS {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn row(it: &GroupPartitionReport) -> [String; COLUMNS.len()] {
    let number = |number: Option<i64>| number.map_or_else(|| NONE.to_owned(), |number| number.to_string());
    let commit = it.committed.as_ref();
    let owners = |field: fn(&PartitionOwner) -> &str| {
        let names: Vec<&str> = it.owners.iter().map(field).collect();
        if names.is_empty() { NONE.to_owned() } else { visible(&names.join(", ")).into_owned() }
    };
    [
        visible(&format!("{}-{}", it.topic, it.partition)).into_owned(),
        number(commit.map(|commit| commit.offset)),
        number(it.log_end_offset),
        number(it.lag),
        number(commit.and_then(|commit| commit.leader_epoch).map(i64::from)),
        commit.map_or_else(|| NONE.to_owned(), |commit| utc(commit.committed_ms)),
        owners(|owner| &owner.client_id),
        owners(|owner| &owner.client_host),
        owners(|owner| &owner.member_id),
        commit.map(|commit| visible(&commit.metadata).into_owned()).unwrap_or_default(),
        it.mark.map_or("", mark).to_owned(),
    ]
}

const fn mark(mark: PartitionMark) -> &'static str {
    match mark {
        PartitionMark::NoTopic => "no such topic",
        PartitionMark::NoPartition => "no such partition",
        PartitionMark::BeyondEnd => "beyond the log's end",
        PartitionMark::BelowStart => "records deleted",
    }
}

/// Returns a time in UTC; a number that is no time as it is.
fn utc(unix_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(unix_ms);
    time.map_or_else(|_| unix_ms.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Adds the members that are in no row of the table.
fn write_idle_members(out: &mut String, group: &GroupReport) {
    let with = |assigned: Option<usize>| -> Vec<&GroupMemberReport> {
        group.members.iter().filter(|member| member.assigned == assigned).collect()
    };
    for (members, what) in [(with(Some(0)), "without partitions"), (with(None), "assignment not readable")] {
        if !members.is_empty() {
            let names: Vec<_> = members.iter().map(|member| visible(&member.id)).collect();
            let _ = writeln!(out, "{what}: {}", names.join(", "));
        }
    }
}

/// Returns the last line: how much was found.
fn sum(report: &GroupsReport) -> String {
    let groups = report.groups.len();
    let partitions = || report.groups.iter().flat_map(|group| &group.partitions);
    let commits = partitions().filter(|partition| partition.committed.is_some()).count();
    let mut text = match groups {
        0 => "No consumer groups: the directory holds no record of one that can be read.".to_owned(),
        _ => format!("{}, {}.", counted(groups, "group"), counted(commits, "committed offset")),
    };
    let beyond = partitions().filter(|partition| partition.mark == Some(PartitionMark::BeyondEnd)).count();
    if beyond > 0 {
        let _ = write!(
            text,
            "\n{} beyond the end of its log: on resume the consumer does what auto_offset_reset says.",
            counted(beyond, "commit")
        );
    }
    if !report.defects.is_empty() {
        let count = counted(report.defects.len(), "defect");
        let _ =
            write!(text, "\n{count}: groups or offsets may be missing from this list. Nothing was changed.");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnotch_engine::verify::{CommitReport, Defect, DefectKind};

    fn partition(partition: i32, offset: i64, mark: Option<PartitionMark>) -> GroupPartitionReport {
        let commit = CommitReport {
            offset,
            leader_epoch: Some(2),
            metadata: String::new(),
            committed_ms: 1_700_000_000_000,
            expires_ms: None,
        };
        GroupPartitionReport {
            topic: "orders".into(),
            partition,
            owners: Vec::new(),
            committed: Some(commit),
            log_start_offset: Some(0),
            log_end_offset: Some(1_200),
            lag: Some(1_200 - offset).filter(|lag| *lag >= 0),
            mark,
        }
    }

    fn report() -> GroupsReport {
        let member = |id: &str, assigned| GroupMemberReport {
            id: id.into(),
            instance_id: None,
            client_id: "bench0".into(),
            client_host: "/127.0.0.1".into(),
            assigned,
        };
        let owner = PartitionOwner {
            member_id: "bench0-1".into(),
            client_id: "bench0".into(),
            client_host: "/127.0.0.1".into(),
        };
        let group = |name: &str, members: Vec<GroupMemberReport>, partitions| GroupReport {
            group: name.into(),
            stored_in: 3,
            state: if members.is_empty() { "Empty" } else { "Stable" },
            generation: 7,
            protocol_type: "consumer".into(),
            protocol: Some("range".into()),
            leader: Some("bench0-1".into()),
            members,
            partitions,
        };
        let read = GroupPartitionReport { owners: vec![owner], ..partition(0, 1_000, None) };
        let members = vec![member("bench0-1", Some(1)), member("bench0-2", Some(0))];
        let beyond = partition(1, 5_000, Some(PartitionMark::BeyondEnd));
        let groups = vec![group("billing", members, vec![read]), group("audit", Vec::new(), vec![beyond])];
        GroupsReport { data_dir: "/srv/log".into(), groups, defects: Vec::new() }
    }

    #[test]
    fn each_group_has_a_heading_and_a_table_of_its_partitions() {
        insta::assert_snapshot!(render(&report(), false, None), @r"
        /srv/log

        billing  Stable, 2 members, generation 7, protocol range

        partition  committed   end  lag  epoch  committed at (UTC)   client  host        member
        orders-0        1000  1200  200      2  2023-11-14 22:13:20  bench0  /127.0.0.1  bench0-1
        without partitions: bench0-2

        audit  Empty, no members

        partition  committed   end  lag  epoch  committed at (UTC)   client  host  member  mark
        orders-1        5000  1200    -      2  2023-11-14 22:13:20  -       -     -       beyond the log's end

        2 groups, 2 committed offsets.
        1 commit beyond the end of its log: on resume the consumer does what auto_offset_reset says.
        ");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let mut partitions = report().groups[0].partitions.clone();
        partitions[0].owners[0].member_id = "bench0-1-0123456789abcdef-0123456789abcdef".into();
        assert!(table(&partitions, None).lines().any(|line| line.chars().count() > 80));
        let fitted = table(&partitions, Some(80));
        assert!(fitted.lines().all(|line| line.chars().count() <= 80), "{fitted}");
    }

    #[test]
    fn text_of_clients_cannot_move_the_cursor_or_break_the_table() {
        let mut report = report();
        report.groups[0].group = "a\u{1b}[2J".into();
        let partition = &mut report.groups[0].partitions[0];
        partition.owners[0].client_id = "b\nc".into();
        partition.committed.as_mut().unwrap().metadata = "d\r\te".into();
        let text = render(&report, false, None);
        for shown in ["a\\u{1b}[2J  Stable", " b\\nc ", " d\\r\\te"] {
            assert!(text.contains(shown), "{text}");
        }
    }

    #[test]
    fn defects_are_named_with_file_and_byte_and_quiet_keeps_them() {
        let defect = Defect {
            kind: DefectKind::GroupRecord,
            path: "/srv/log/__consumer_offsets-3/00000000000000000000.log".into(),
            position: 0,
            message: "no record of a group".into(),
        };
        let report = GroupsReport { groups: Vec::new(), defects: vec![defect], ..report() };
        let listed = "defect  __consumer_offsets-3/00000000000000000000.log at byte 0\n        no record of a group\n\n";
        assert_eq!(render(&report, true, None), listed);
        let text = render(&report, false, None);
        assert!(
            text.contains(listed) && text.contains("1 defect: groups or offsets may be missing"),
            "{text}"
        );
    }
}
