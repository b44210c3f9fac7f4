//! The text output of `vnotch repair`: the damage of each partition with its place, the changes, and what is moved
//! away.

use super::Document;
use crate::quantity;
use std::fmt::Write as _;
use std::path::Path;
use vnotch_engine::repair::{CatalogRepair, Change, PartitionRepair, Removed};

/// Returns the whole text; `quiet` leaves out the conclusion.
pub(super) fn render(document: &Document<'_>, quiet: bool) -> String {
    let mut out = String::new();
    if let Some(catalog) = &document.catalog {
        put_catalog(&mut out, document, catalog);
    }
    if let Some(records) = &document.damage_records {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{}: {}\n  {} it away. This file lists damaged partitions and cannot be read, so all partitions were checked\n",
            place(document.data_dir, &records.path),
            records.damage,
            verb(document, "move", "moved")
        );
    }
    for partition in &document.partitions {
        put_partition(&mut out, document, partition);
    }
    if !quiet {
        out.push_str(conclusion(document));
    }
    out
}

fn conclusion(document: &Document<'_>) -> &'static str {
    let has_moved = document.damage_records.is_some()
        || document.catalog.as_ref().is_some_and(|catalog| catalog.damage.is_some())
        || document.partitions.iter().any(|partition| partition.removed.is_some());
    match (document.is_sound, document.repaired) {
        (true, _) => "Nothing to repair.\n",
        (false, true) if !has_moved => "Repaired. Nothing was moved away.\n",
        (false, true) => {
            "Repaired. The removed parts are in the directory removed-by-repair. Delete it when you no longer need them.\n"
        }
        (false, false) => "Nothing was changed. Add --yes to carry out this plan.\n",
    }
}

fn put_catalog(out: &mut String, document: &Document<'_>, catalog: &CatalogRepair) {
    if catalog.older.is_some() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{}: it is an older copy: partitions have leader epochs that it does not know\n  {} its incarnation to {}; topics keep \
             their configuration in it, and deletions that had begun in it are forgotten\n",
            place(document.data_dir, &catalog.path),
            verb(document, "raise", "raised"),
            catalog.incarnation
        );
        return;
    }
    let damage = catalog.damage.as_ref().map_or_else(|| "it is missing".to_owned(), Clone::clone);
    let topics: Vec<String> = catalog
        .topics
        .iter()
        .map(|(topic, partitions)| format!("{topic} ({})", counted(u64::from(*partitions), "partition")))
        .collect();
    let topics = if topics.is_empty() { "no topics".to_owned() } else { topics.join(", ") };
    let moved = if catalog.damage.is_some() { ", after moving the damaged file away" } else { "" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}: {damage}\n  {} it again from the partitions{moved}: {topics}\n  all topics get the default configuration: \
         change those that had another one\n",
        place(document.data_dir, &catalog.path),
        verb(document, "write", "wrote")
    );
}

fn put_partition(out: &mut String, document: &Document<'_>, partition: &PartitionRepair) {
    let file = place(document.data_dir, &partition.path);
    let damage = match partition.damage {
        Some(damage) if partition.changes.contains(&Change::CheckpointWritten) => {
            format!(
                "{file} does not look like a segment of this log: offset {} and all records after it cannot be read",
                damage.offset
            )
        }
        Some(damage) => {
            format!("damage begins at byte {} (offset {}) of {file}", damage.position, damage.offset)
        }
        None => format!("{file} is missing or is not a directory; all its records are lost"),
    };
    let _ = writeln!(out, "{}-{}: {damage}", partition.topic, partition.partition);
    for change in &partition.changes {
        let _ = writeln!(out, "  {}", describe(document, change));
    }
    let _ = match &partition.removed {
        Some(removed) => writeln!(out, "  {}\n", describe_removed(document, removed)),
        None => writeln!(out, "  no records {}\n", verb(document, "be moved away", "were moved away")),
    };
}

fn describe(document: &Document<'_>, change: &Change) -> String {
    match change {
        Change::DirectoryMade => {
            format!("{} an empty directory: its records begin at offset 0", verb(document, "make", "made"))
        }
        Change::StartRaised { from, to } => {
            format!(
                "{} the log's start from offset {from} to {to}: consumers can no longer read the records before {to}",
                verb(document, "raise", "raised")
            )
        }
        Change::Cut { path, position, offset } => format!(
            "{} the log at offset {offset}, byte {position} of {}; new records continue there",
            verb(document, "cut", "cut"),
            place(document.data_dir, path)
        ),
        Change::CheckpointWritten => format!("{} a new checkpoint", verb(document, "write", "wrote")),
        Change::NoFileMoved { path } => format!(
            "{} {} away, because it should be a file and is not",
            verb(document, "move", "moved"),
            place(document.data_dir, path)
        ),
    }
}

fn describe_removed(document: &Document<'_>, removed: &Removed) -> String {
    let offsets = removed.offsets.map_or_else(String::new, |(from, to)| {
        format!(" (offsets {from} to {}, some of which may be missing)", to - 1)
    });
    format!(
        "{} {} to {}, with {} that can still be read there{offsets}",
        verb(document, "move", "moved"),
        quantity::bytes(removed.bytes),
        place(document.data_dir, &removed.to),
        counted(removed.records, "record")
    )
}

fn verb(document: &Document<'_>, base: &str, past: &str) -> String {
    if document.repaired { past.to_owned() } else { format!("would {base}") }
}

fn place(data_dir: &Path, path: &Path) -> String {
    path.strip_prefix(data_dir).unwrap_or(path).display().to_string()
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use vnotch_engine::repair::DamageRecordsRepair;
    use vnotch_engine::verify::DamagedFrom;

    fn document(repaired: bool) -> Document<'static> {
        let log = "/srv/log/orders-0/00000000000000001000.log";
        let cut = Change::Cut { path: log.into(), position: 4711, offset: 1_035 };
        let removed = Removed {
            to: "/srv/log/removed-by-repair/1/orders-0".into(),
            segments: 2,
            bytes: 2_600_000,
            records: 2_458,
            offsets: Some((1_042, 3_500)),
        };
        let partition = |partition, path: &str, changes, damage, removed| PartitionRepair {
            topic: "orders".into(),
            partition,
            path: path.into(),
            damage,
            changes,
            removed,
        };
        let at = |segment, position, offset| Some(DamagedFrom { segment, position, offset });
        let first = "/srv/log/orders-1/00000000000000000000.log";
        Document {
            kind: "repair",
            data_dir: Path::new("/srv/log"),
            is_sound: false,
            repaired,
            catalog: Some(CatalogRepair {
                path: "/srv/log/catalog.json".into(),
                damage: Some("the checksum does not hold".into()),
                topics: BTreeMap::from([("audit".to_owned(), 1), ("orders".to_owned(), 3)]),
                incarnation: 7,
                older: None,
            }),
            damage_records: Some(DamageRecordsRepair {
                path: "/srv/log/damaged.json".into(),
                damage: "no checksum".into(),
            }),
            partitions: vec![
                partition(0, log, vec![cut], at(1_000, 4_711, 1_035), Some(removed)),
                partition(1, first, vec![Change::StartRaised { from: 0, to: 900 }], at(0, 0, 0), None),
                partition(2, "/srv/log/orders-2", vec![Change::DirectoryMade], None, None),
            ],
        }
    }

    #[test]
    fn a_plan_says_what_would_be_done() {
        insta::assert_snapshot!(render(&document(false), false), @r"
        catalog.json: the checksum does not hold
          would write it again from the partitions, after moving the damaged file away: audit (1 partition), orders (3 partitions)
          all topics get the default configuration: change those that had another one

        damaged.json: no checksum
          would move it away. This file lists damaged partitions and cannot be read, so all partitions were checked

        orders-0: damage begins at byte 4711 (offset 1035) of orders-0/00000000000000001000.log
          would cut the log at offset 1035, byte 4711 of orders-0/00000000000000001000.log; new records continue there
          would move 2.48 MiB to removed-by-repair/1/orders-0, with 2458 records that can still be read there (offsets 1042 to 3499, some of which may be missing)

        orders-1: damage begins at byte 0 (offset 0) of orders-1/00000000000000000000.log
          would raise the log's start from offset 0 to 900: consumers can no longer read the records before 900
          no records would be moved away

        orders-2: orders-2 is missing or is not a directory; all its records are lost
          would make an empty directory: its records begin at offset 0
          no records would be moved away

        Nothing was changed. Add --yes to carry out this plan.
        ");
    }

    #[test]
    fn a_repair_says_the_same_in_past_tense() {
        insta::assert_snapshot!(render(&document(true), false), @r"
        catalog.json: the checksum does not hold
          wrote it again from the partitions, after moving the damaged file away: audit (1 partition), orders (3 partitions)
          all topics get the default configuration: change those that had another one

        damaged.json: no checksum
          moved it away. This file lists damaged partitions and cannot be read, so all partitions were checked

        orders-0: damage begins at byte 4711 (offset 1035) of orders-0/00000000000000001000.log
          cut the log at offset 1035, byte 4711 of orders-0/00000000000000001000.log; new records continue there
          moved 2.48 MiB to removed-by-repair/1/orders-0, with 2458 records that can still be read there (offsets 1042 to 3499, some of which may be missing)

        orders-1: damage begins at byte 0 (offset 0) of orders-1/00000000000000000000.log
          raised the log's start from offset 0 to 900: consumers can no longer read the records before 900
          no records were moved away

        orders-2: orders-2 is missing or is not a directory; all its records are lost
          made an empty directory: its records begin at offset 0
          no records were moved away

        Repaired. The removed parts are in the directory removed-by-repair. Delete it when you no longer need them.
        ");
        assert!(!render(&document(true), true).contains("Repaired"));
    }
}
