//! Opens a log whose files hold arbitrary bytes. No checkpoint says that any of these bytes are valid.
//!
//! Input: one byte of flags, then segments. Bits of the flags: 0 and 1 select the repair ([`Repair::from_bits`]); 2 the
//! topic is a synced one; 3 a checkpoint of this boot exists, so that damage differs from a torn end; 4 zeros follow
//! every segment, as reserved space does; 5 the last segment's index files hold its own bytes; 6 a spare file exists.
//!
//! A segment: one byte, two bytes for its length, and its bytes. The first byte is added to the base offset that would
//! continue the segment before. The bytes that are left at the end are one more segment.

use super::fixture::{self, Checkpoint};
use super::repair::{self, Repair};
use super::simulated;
use std::path::PathBuf;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::segment::{SPARE, index_path, log_path, time_index_path};
use vnotch_engine::types::{Durability, OffsetSpec, Preallocate};

const SEGMENTS_MAX: usize = 4;

/// The files that an input describes, and the topic's configuration.
struct Described {
    files: Vec<(PathBuf, Vec<u8>)>,
    config: TopicConfig,
}

/// Opens the log, reads everything, and opens the log again.
///
/// # Panics
/// The log opens and holds a batch that is not valid, or a gap; or it opens differently the second time.
pub fn check(input: &[u8]) {
    let Some((flags, rest)) = input.split_first() else { return };
    let Described { files, config } = described(*flags, rest);
    let disk =
        simulated::disk_with(&simulated::dir(), files.iter().map(|(path, bytes)| (path.clone(), &**bytes)));
    let Ok(log) = simulated::open(&disk, config.clone(), simulated::EPOCH) else { return };
    let ends = (log.log_start_offset(), log.log_end_offset());
    let read = simulated::read_all(&disk, &log)
        .unwrap_or_else(|error| panic!("what recovery has accepted cannot be read: {error}"));
    simulated::assert_sound(&read);
    ask_for_times(&disk, &log);
    drop(log);
    let again = simulated::open(&disk, config, simulated::EPOCH + 1)
        .unwrap_or_else(|error| panic!("what one open has accepted another refuses: {error}"));
    assert_eq!((again.log_start_offset(), again.log_end_offset()), ends, "the log stays as it was");
    let same = simulated::read_all(&disk, &again).is_ok_and(|bytes| bytes == read);
    assert!(same, "the batches stay as they were");
}

/// Asks for offsets by timestamp. Any answer is right, as the timestamps of arbitrary batches need not increase.
fn ask_for_times(disk: &SimDisk, log: &std::rc::Rc<simulated::SimLog>) {
    for timestamp_ms in [0, fixture::FIRST_TIMESTAMP_MS + 4, i64::MAX] {
        let spec = OffsetSpec::Timestamp(timestamp_ms);
        if let Ok(Some(found)) = disk.run_until(std::rc::Rc::clone(log).list_offset(spec)) {
            assert!((log.log_start_offset()..log.log_end_offset()).contains(&found.offset));
        }
    }
}

fn described(flags: u8, mut rest: &[u8]) -> Described {
    let dir = simulated::dir();
    let mut files = Vec::new();
    let mut next_offset = 0_i64;
    while files.len() < SEGMENTS_MAX {
        let Some(([shift, high, low], bytes)) = rest.split_first_chunk::<3>() else { break };
        let is_last = files.len() + 1 == SEGMENTS_MAX;
        let wanted = if is_last { bytes.len() } else { usize::from(u16::from_be_bytes([*high, *low])) };
        let (bytes, after) = bytes.split_at(wanted.min(bytes.len()));
        rest = after;
        let base_offset = next_offset.saturating_add(i64::from(*shift));
        let mut bytes = bytes.to_vec();
        next_offset = repair::batches(&mut bytes, base_offset, Repair::from_bits(flags));
        if flags & 16 != 0 {
            bytes.resize(bytes.len().next_multiple_of(4096) + 4096, 0);
        }
        files.push((log_path(&dir, base_offset), bytes));
    }
    if let Some((path, bytes)) = files.last().cloned()
        && flags & 32 != 0
        && let Some(base_offset) =
            path.file_name().and_then(|name| name.to_str()).and_then(vnotch_engine::segment::base_offset_of)
    {
        files.push((index_path(&dir, base_offset), bytes.clone()));
        files.push((time_index_path(&dir, base_offset), bytes));
    }
    if flags & 8 != 0 {
        let fresh = Checkpoint {
            sequence: 2,
            recovery_offset: 0,
            log_start_offset: 0,
            in_flight_bytes: 512,
            boot_id: simulated::BOOT_ID,
            epoch: 1,
        };
        files.push((dir.join("checkpoint"), fixture::checkpoint_file([&fresh.slot(), &[]])));
    }
    if flags & 64 != 0 {
        files.push((dir.join(SPARE), vec![0; 1 << 20]));
    }
    let config = TopicConfig {
        durability: if flags & 4 == 0 { Durability::Written } else { Durability::Synced },
        preallocate: if flags & 64 == 0 { Preallocate::Fallocate } else { Preallocate::Recycle },
        segment_bytes: 1 << 20,
        max_message_bytes: 512 << 10,
        ..TopicConfig::default()
    };
    Described { files, config }
}

/// Returns the part of an input that describes one segment.
fn part(shift: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a seed's segment is small");
    [&[shift], &len.to_be_bytes()[..], bytes].concat()
}

/// Returns logs that are whole, torn, with a gap, with damage in the middle, recycled, with rising epochs, and with
/// offsets too far apart for an index.
pub fn seeds() -> Vec<Vec<u8>> {
    let first = fixture::segment(0, 4, 2);
    let second = fixture::segment(first.next_offset, 3, 3);
    let log = &first.log;
    let mut damaged = log.clone();
    damaged[log.len() / 2] ^= 1;
    // A recycled file holds batches of an earlier epoch behind the end of the new ones.
    let recycled = [fixture::batch(0, 2, 30, 4), fixture::batch(0, 3, 180, 1)].concat();
    let risen = [fixture::batch(0, 2, 30, 1), fixture::batch(2, 2, 30, 2)].concat();
    let sparse = [fixture::sparse_batch(0, i32::MAX), fixture::sparse_batch(1 << 31, 5)].concat();
    let inputs: [(u8, Vec<Vec<u8>>); 10] = [
        (1, vec![part(0, &sparse)]),
        (2, vec![part(0, log), part(0, &second.log)]),
        (2 | 4 | 16, vec![part(0, log), part(0, &second.log)]),
        (1, vec![part(0, &log[..log.len() - 7])]),
        (4 | 8, vec![part(0, &damaged), part(0, &second.log)]),
        (8 | 16 | 32, vec![part(0, &damaged)]),
        (1, vec![part(0, log), part(3, &second.log)]),
        (1 | 64, vec![part(0, &recycled)]),
        (1, vec![part(0, &risen)]),
        (2, vec![part(200, &fixture::documented_bytes("## RecordBatch v2"))]),
    ];
    inputs.into_iter().map(|(flags, parts)| [vec![flags], parts.concat()].concat()).collect()
}
