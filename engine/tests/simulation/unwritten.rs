//! Space that was reserved and never written is not read.

use crate::model::batch;
use crate::rig::{Rig, Settings, dir};
use vnotch_engine::disk::sim::{SimDisk, SimFile};
use vnotch_engine::disk::{Disk as _, DiskFile as _, OpenMode, WriteData, WriteSync};
use vnotch_engine::segment;
use vnotch_engine::types::{IoMode, Preallocate};

/// Size of the only segment, bytes. Nearly all of it is reserved and never written. It is so large that an open searches its
/// end for batches: no write in flight can have reached that far.
const SEGMENT: u64 = 64 << 20;

/// Bytes that an open may read of a log with few records.
const READ_MAX: u64 = 2 << 20;

async fn open_log(disk: &SimDisk) -> SimFile {
    disk.open(&segment::log_path(&dir(), 0), OpenMode::ReadWrite, IoMode::Buffered).await.unwrap()
}

/// Returns a log with 12 records in one segment.
fn rig() -> Rig {
    let preallocate = Preallocate::Fallocate;
    let mut rig = Rig::new(Settings { segment_bytes: SEGMENT, preallocate, ..Settings::default() }, 1);
    for number in 0..4 {
        rig.append(batch(number, 3, 20_000), None);
    }
    rig.run_to_idle();
    assert_eq!(rig.log.high_watermark(), 12);
    rig
}

/// Opens the log that `disk` holds. Returns the number of bytes that this has read.
fn bytes_read_by_an_open(rig: &Rig, disk: &SimDisk) -> u64 {
    let opened =
        Rig::with(rig.settings.clone(), disk.clone(), rig.model.clone(), (rig.epoch + 1, 0, rig.boot_id));
    assert_eq!(opened.unwrap().log.high_watermark(), 12);
    disk.read_bytes()
}

#[test]
fn an_open_reads_no_space_that_was_never_written() {
    let rig = rig();
    let disk = rig.disk.kill(2);
    let reserved = disk.run_until(async { open_log(&disk).await.size().await.unwrap() });
    assert_eq!(reserved, SEGMENT);
    let read = bytes_read_by_an_open(&rig, &disk);
    assert!(read <= READ_MAX, "{read} bytes were read");
}

/// Without this search, the test above could not fail.
#[test]
fn an_open_searches_what_was_written_behind_the_end() {
    let rig = rig();
    let disk = rig.disk.kill(2);
    let half = SEGMENT / 2;
    disk.run_until(async {
        let zeros = WriteData::Heap(vec![0; half as usize].into());
        open_log(&disk).await.write(zeros, half, WriteSync::None).await.unwrap();
    });
    let read = bytes_read_by_an_open(&rig, &disk);
    assert!((half..half + READ_MAX).contains(&read), "{read} bytes were read");
}
