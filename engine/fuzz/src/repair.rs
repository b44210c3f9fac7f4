//! Repairs checksums, so that a mutation reaches the code behind them. Lengths and offsets are repaired only if the
//! input asks for it.

use vnotch_engine::record::{BATCH_HEADER_BYTES, BatchHeader};

/// Returns the CRC-32C of `bytes`, the checksum of every format of the engine.
pub fn crc_of(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The way in which batches are repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing is repaired.
    Nothing,
    /// Checksums are repaired.
    Checksums,
    /// Checksums are repaired, and so are lengths beyond the end, and base offsets that do not continue the batch
    /// before.
    Everything,
}

impl Repair {
    /// Returns the repair that two bits of an input select. Most inputs select all repairs.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Nothing,
            1 => Self::Checksums,
            _ => Self::Everything,
        }
    }
}

/// Repairs the batches at the front of `bytes`, the first of which should have `base_offset`. Returns the offset after
/// the last batch that parses.
pub fn batches(bytes: &mut [u8], base_offset: i64, repair: Repair) -> i64 {
    let (mut at, mut next_offset) = (0, base_offset);
    while bytes.len() - at >= BATCH_HEADER_BYTES {
        let batch = &mut bytes[at..];
        if repair == Repair::Everything {
            batch[0..8].copy_from_slice(&next_offset.to_be_bytes());
            let length = i32::from_be_bytes([batch[8], batch[9], batch[10], batch[11]]);
            if usize::try_from(length).is_ok_and(|length| length > batch.len() - 12) {
                let rest = u32::try_from(batch.len() - 12).expect("an input is far smaller than 4 GiB");
                batch[8..12].copy_from_slice(&rest.to_be_bytes());
            }
        }
        let Ok(header) = BatchHeader::parse(batch) else { break };
        let total_bytes = header.total_bytes();
        if total_bytes > batch.len() {
            break;
        }
        if repair != Repair::Nothing {
            let crc = crc_of(&batch[21..total_bytes]);
            batch[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        next_offset = header.next_offset();
        at += total_bytes;
    }
    next_offset
}

/// Repairs the checksum of both slots of a checkpoint file.
pub fn checkpoint(file: &mut [u8]) {
    for slot in file.chunks_mut(4096) {
        if slot.len() >= 56 {
            let crc = crc_of(&slot[..52]);
            slot[52..56].copy_from_slice(&crc.to_be_bytes());
        }
    }
}

/// Returns the bytes of a `catalog.json` that holds `json` under the right checksum.
pub fn catalog(json: &[u8]) -> Vec<u8> {
    // One newline at the end is not part of what the checksum covers.
    let covered = json.strip_suffix(b"\n").unwrap_or(json);
    let mut file = format!("{:08x}\n", crc_of(covered)).into_bytes();
    file.extend_from_slice(json);
    file
}
