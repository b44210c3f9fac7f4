//! The entries of an index file.

use super::Output;
use super::line::{EntryLine, Line};
use crate::exit::UsageError;
use anyhow::Context as _;
use std::path::Path;
use vnotch_engine::index::{IndexError, OFFSET_ENTRY_BYTES, OffsetIndex, TIME_ENTRY_BYTES, TimeIndex};
use vnotch_engine::segment::index_base_offset_of;

/// Prints the entries of an offset index.
pub(super) fn dump_offsets(path: &Path, out: &mut Output) -> anyhow::Result<()> {
    let (base_offset, bytes) = begin(path, out)?;
    let (index, fault) = decoded(&bytes, OFFSET_ENTRY_BYTES, |bytes| OffsetIndex::decode(base_offset, bytes));
    for entry in index.iter().flat_map(OffsetIndex::entries) {
        let offset = base_offset.saturating_add(i64::from(entry.relative_offset));
        out.print(&Line::Entry(EntryLine::Offset { offset, position: entry.position }))?;
    }
    print_fault(fault, OFFSET_ENTRY_BYTES, out)
}

/// Prints the entries of a time index.
pub(super) fn dump_times(path: &Path, out: &mut Output) -> anyhow::Result<()> {
    let (base_offset, bytes) = begin(path, out)?;
    let (index, fault) = decoded(&bytes, TIME_ENTRY_BYTES, |bytes| TimeIndex::decode(base_offset, bytes));
    for entry in index.iter().flat_map(TimeIndex::entries) {
        let offset = base_offset.saturating_add(i64::from(entry.relative_offset));
        out.print(&Line::Entry(EntryLine::Time { timestamp_ms: entry.timestamp_ms, offset }))?;
    }
    print_fault(fault, TIME_ENTRY_BYTES, out)
}

/// Prints the name of the file. Returns the offset in it, and the file's bytes.
fn begin(path: &Path, out: &mut Output) -> anyhow::Result<(i64, Vec<u8>)> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let base_offset = index_base_offset_of(name).ok_or_else(|| {
        UsageError::error(format!(
            "{} has not the name of an index: 20 digits, the first offset of its segment, to which its entries are relative",
            path.display()
        ))
    })?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    out.print(&Line::File { path, base_offset: Some(base_offset), size: bytes.len() as u64 })?;
    Ok((base_offset, bytes))
}

/// Decodes an index. If an entry is wrong, decodes those before it, and returns the fault too.
fn decoded<T>(
    bytes: &[u8],
    entry_bytes: usize,
    decode: impl Fn(&[u8]) -> Result<T, IndexError>,
) -> (Option<T>, Option<IndexError>) {
    match decode(bytes) {
        Ok(index) => (Some(index), None),
        Err(fault) => {
            // A part of an entry at the end may follow wrong entries.
            let whole = &bytes[..bytes.len() - bytes.len() % entry_bytes];
            let first_wrong = match decode(whole) {
                Ok(index) => return (Some(index), Some(fault)),
                Err(first_wrong) => first_wrong,
            };
            (decode(&bytes[..position_of(&first_wrong, entry_bytes)]).ok(), Some(first_wrong))
        }
    }
}

/// Returns the byte of the file at which a fault lies.
const fn position_of(fault: &IndexError, entry_bytes: usize) -> usize {
    match fault {
        IndexError::PartialEntry { file_bytes, .. } => *file_bytes - *file_bytes % entry_bytes,
        IndexError::NotIncreasing { entry } | IndexError::OutOfRange { entry } => *entry * entry_bytes,
    }
}

fn print_fault(fault: Option<IndexError>, entry_bytes: usize, out: &mut Output) -> anyhow::Result<()> {
    let Some(fault) = fault else { return Ok(()) };
    let position = position_of(&fault, entry_bytes) as u64;
    out.print(&Line::Finding { position, message: fault.to_string() })
}
