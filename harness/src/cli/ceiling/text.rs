//! The text output of `vnotch ceiling`: the disk and its settings, tables, the synced 4 KiB write, and how far to trust
//! them.

use super::Document;
use crate::device::survey::{Cell, Dsync4kMedians, Figures, Grid, Kind, Step};
use crate::device::{Reap, Registration};
use crate::quantity;
use crate::result::environment::Storage;
use crate::workload::Io;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;

/// Returns the whole output. `quiet` leaves out the advice at its end.
pub(super) fn render(document: &Document<'_>, grid: &Grid, quiet: bool) -> String {
    let mut out = header(document);
    let throughput = |figures: &Figures| quantity::bytes_per_s(figures.bytes_per_s);
    let operations = |figures: &Figures| quantity::per_s(figures.ops_per_s);
    let latency = |figures: &Figures| format!("{} / {}", time(figures.p50_ns), time(figures.p99_ns));
    section(&mut out, "Throughput", &table(document, grid, throughput));
    if document.io == Io::Buffered {
        let with_sync =
            |figures: &Figures| figures.bytes_per_s_with_sync.map_or("–".to_owned(), quantity::bytes_per_s);
        section(&mut out, "Throughput with the final sync", &table(document, grid, with_sync));
    }
    section(&mut out, "Operations", &table(document, grid, operations));
    section(&mut out, "Latency, p50 / p99", &table(document, grid, latency));
    if grid.has_dsync_4k {
        out.push_str("\nOne synced 4 KiB write at a time (RWF_DSYNC), p50\n");
    }
    for medians in &document.survey.dsync_4k {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {}", dsync_4k(medians));
    }
    if !quiet {
        out.push_str(
            "\nEach cell is one short measurement. A shared or virtual disk varies by a factor of 2 to 3 from second to second:\n\
             compare rows and columns, not single cells. `vnotch run` measures the disk before and after every trial.\n",
        );
    }
    out
}

/// Describes one finished step, for the progress line.
pub(super) fn step(step: &Step<'_>) -> String {
    match step {
        Step::Cell(Cell { kind, block_bytes, depth, figures }) => format!(
            "{} {} × {depth}: {}",
            kind.name(),
            block(*block_bytes),
            quantity::bytes_per_s(figures.bytes_per_s)
        ),
        Step::Dsync4k(medians) => format!("synced 4 KiB: {}", dsync_4k(medians)),
    }
}

fn header(document: &Document<'_>) -> String {
    let slice = document.slice;
    let io = match document.io {
        Io::Direct => "direct (O_DIRECT)",
        Io::Buffered => "buffered (page cache)",
    };
    let cells = &document.survey.cells;
    let registered =
        cells.iter().filter(|cell| cell.figures.registration == Registration::Registered).count();
    let buffers = match registered {
        all if all == cells.len() => "registered",
        0 => "not registered, because the memlock limit is too small (`ulimit -l unlimited` raises it)",
        _ => "not all registered, because the memlock limit is too small (`ulimit -l unlimited` raises it)",
    };
    format!(
        "{} · {}\nio {io} · buffers {buffers} · {slice} a cell · one file, sequential\n",
        document.dir.display(),
        storage(&document.environment.storage),
    )
}

/// Describes file system, mount options and device in one line.
pub(crate) fn storage(storage: &Storage) -> String {
    let unknown = || "unknown".to_owned();
    let mut line = format!(
        "{} on {} ({})",
        storage.filesystem.clone().unwrap_or_else(unknown),
        storage.source.clone().unwrap_or_else(unknown),
        storage.mount_options.clone().unwrap_or_else(unknown),
    );
    if let Some(device) = &storage.device {
        let scheduler = device.scheduler.as_deref().map(|name| format!("scheduler {name}"));
        let cache = device.write_cache.as_deref().map(|mode| format!("write cache: {mode}"));
        let fua = device.fua.map(|fua| if fua { "FUA" } else { "no FUA" }.to_owned());
        let facts: Vec<_> = [device.model.clone(), scheduler, cache, fua].into_iter().flatten().collect();
        let _ = write!(line, " · {}: {}", device.name, facts.join(", "));
    }
    line
}

fn section(out: &mut String, title: &str, table: &Table) {
    let _ = writeln!(out, "\n{title}\n{}", table.trim_fmt());
}

fn table(document: &Document<'_>, grid: &Grid, text: impl Fn(&Figures) -> String) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["block", "depth"].into_iter().chain(grid.kinds.iter().copied().map(Kind::name)));
    for &block_bytes in &grid.block_bytes {
        for &depth in &grid.depths {
            let figures = |kind| {
                let is_it =
                    |cell: &&Cell| (cell.kind, cell.block_bytes, cell.depth) == (kind, block_bytes, depth);
                document.survey.cells.iter().find(is_it).map_or("–".to_owned(), |cell| text(&cell.figures))
            };
            let row = [block(block_bytes), depth.to_string()]
                .into_iter()
                .chain(grid.kinds.iter().copied().map(figures));
            table.add_row(row);
        }
    }
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn block(bytes: u32) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

fn dsync_4k(medians: &Dsync4kMedians) -> String {
    let how = match medians.reap {
        Reap::Wait => "awaited (submit_and_wait)",
        Reap::Busy => "polled (sched_yield)",
    };
    format!(
        "into fallocated space {} · overwriting {} · completions {how}",
        time(medians.fallocated_p50_ns),
        time(medians.overwriting_p50_ns),
    )
}

/// Formats a time; a dash if there were too few operations for the percentile.
fn time(ns: Option<u64>) -> String {
    ns.map_or("–".to_owned(), quantity::ns)
}
