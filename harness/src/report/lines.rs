//! The lines of a table on a terminal.

use comfy_table::Table;

/// Returns the text of a table, without the space that pads its first column.
pub(super) fn lines(table: &Table) -> String {
    let text = table.trim_fmt();
    text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}
