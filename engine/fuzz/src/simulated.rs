//! A log on a simulated disk, whose files hold the bytes of an input.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use vnotch_engine::buffer::{Arena, SharedBytes};
use vnotch_engine::clock::ManualClock;
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::sim::SimDisk;
use vnotch_engine::disk::{Disk as _, DiskFile as _, OpenMode, WriteData, WriteSync};
use vnotch_engine::error::{DamageError, FetchError, OpenError};
use vnotch_engine::log::{Epochs, Fetched, FileLimits, Log, LogContext, LogLimits, Origin};
use vnotch_engine::record::{BatchHeader, batches, verify_crc};
use vnotch_engine::types::IoMode;

/// A log on a simulated disk.
pub type SimLog = Log<SimDisk, ManualClock, ()>;

/// The boot that logs are opened in.
pub const BOOT_ID: u64 = 1;

/// The leader epoch that logs are opened with. Batches of the fixtures have lower epochs.
pub const EPOCH: i32 = 9;

const ARENA_BYTES: usize = 16 << 20;
const FETCH_BYTES_MAX: usize = 1 << 20;

/// Largest number of fetches in a row that may return nothing. Memory is never short here, so more would mean that the
/// log hangs.
const EMPTY_FETCHES_MAX: usize = 3;

thread_local! {
    /// One arena for all inputs: mapping memory is slow.
    static ARENA: Rc<Arena> = Rc::new(Arena::new(ARENA_BYTES).expect("16 MiB can be mapped"));
}

/// Returns the directory of the log.
pub fn dir() -> PathBuf {
    PathBuf::from("/t-0")
}

/// Returns a disk with one directory and files in it.
pub fn disk_with<'a>(dir: &Path, files: impl IntoIterator<Item = (PathBuf, &'a [u8])>) -> SimDisk {
    let disk = SimDisk::new(1);
    disk.run_until(async {
        disk.create_dir(dir).await.expect("the disk is empty");
        for (path, bytes) in files {
            let file =
                disk.open(&path, OpenMode::Replace, IoMode::Buffered).await.expect("the name is valid");
            if !bytes.is_empty() {
                let data = WriteData::Heap(bytes.into());
                file.write(data, 0, WriteSync::None).await.expect("the disk has room");
            }
        }
    });
    disk
}

/// Opens the log in [`dir`].
///
/// # Errors
/// The log is damaged.
pub fn open(disk: &SimDisk, config: TopicConfig, epoch: i32) -> Result<Rc<SimLog>, OpenError> {
    let limits = LogLimits {
        io: IoMode::Direct,
        write_bytes_max: 64 << 10,
        write_depth: 4,
        boot_id: BOOT_ID,
        fetch_pinned_bytes: 8 << 20,
        cache_bytes: Cell::new(1 << 20),
        chunk_bytes_max: Cell::new(1 << 20),
        files: FileLimits::default(),
        filling: futures_util::lock::Mutex::new(()),
    };
    let context = LogContext::new(disk.clone(), ManualClock::new(1_000), ARENA.with(Rc::clone), limits);
    let epochs = Epochs { current: epoch, synced_after: 0 };
    let log = disk.run_until(SimLog::open(context, dir(), config, epochs, Origin::Created))?;
    match log.damage().map(|damage| damage.cause) {
        None => Ok(log),
        Some(DamageError::Corrupt(corruption)) => Err(OpenError::Corrupt(corruption)),
        Some(DamageError::Unreadable(error)) => Err(OpenError::Disk(error)),
    }
}

/// Reads from one offset of a log that has nothing in memory.
///
/// # Errors
/// The errors that the log reports.
///
/// # Panics
/// The log returns nothing several times in a row.
pub fn fetch(disk: &SimDisk, log: &Rc<SimLog>, offset: i64) -> Result<Vec<SharedBytes>, FetchError> {
    for _ in 0..EMPTY_FETCHES_MAX {
        let pieces = match log.fetch(offset, FETCH_BYTES_MAX)? {
            Fetched::Batches(pieces) => pieces,
            Fetched::Nothing => return Ok(Vec::new()),
            Fetched::OnDisk => disk.run_until(Rc::clone(log).fetch_from_disk(offset, FETCH_BYTES_MAX))?,
        };
        if !pieces.is_empty() {
            return Ok(pieces);
        }
    }
    panic!("a fetch of offset {offset} below the high watermark brings nothing, again and again");
}

/// Returns the bytes of all batches of a log, in offset order. Each batch is checked: it parses, it follows the batch
/// before, and its checksum holds.
///
/// # Errors
/// The errors that the log reports.
///
/// # Panics
/// The log returns batches that do not hold the requested offset, or have a gap between them.
pub fn read_all(disk: &SimDisk, log: &Rc<SimLog>) -> Result<Vec<u8>, FetchError> {
    let (mut offset, end) = (log.log_start_offset(), log.high_watermark());
    let mut read = Vec::new();
    let mut is_first = true;
    while offset < end {
        for piece in fetch(disk, log, offset)? {
            for batch in batches(&piece) {
                let batch = batch.expect("a fetch returns whole batches");
                let header = batch.header();
                assert!(
                    header.base_offset == offset || is_first && header.base_offset < offset,
                    "a batch at offset {} where {offset} was asked for",
                    header.base_offset
                );
                assert!(header.next_offset() > offset, "a batch that ends before the offset asked for");
                is_first = false;
                offset = header.next_offset();
                read.extend_from_slice(batch.bytes());
            }
        }
    }
    assert_eq!(offset, end.max(log.log_start_offset()), "the log ends where it says");
    Ok(read)
}

/// Asserts that every batch of `bytes` is whole and has the right checksum.
///
/// # Panics
/// A batch is cut short or has a wrong checksum.
pub fn assert_sound(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        verify_crc(bytes).expect("what recovery accepted has a valid checksum");
        let header = BatchHeader::parse(bytes).expect("it has been parsed before");
        bytes = &bytes[header.total_bytes()..];
    }
}
