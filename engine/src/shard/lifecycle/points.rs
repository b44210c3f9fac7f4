//! Writing the shard's recovery points, every 250 ms while records are written. Acks do not depend on them: the write
//! waits for nothing, and nothing waits for it.
//!
//! With direct I/O a point becomes durable with the next flush of the device that an append requests. With buffered I/O
//! the write itself syncs the file.

use crate::buffer::{BLOCK_BYTES, CHUNK_BYTES_MAX, Slice};
use crate::catalog::{Point, Points, points_files};
use crate::disk::uring::UringFile;
use crate::disk::{Disk as _, DiskFile as _, OpenMode, WriteData, WriteSync};
use crate::error::DiskError;
use crate::shard::Shard;
use crate::types::IoMode;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

/// The state of the writes of a shard's recovery points.
#[derive(Default)]
pub(in crate::shard) struct PointsWriter {
    /// The data directory and its incarnation; `None` until the engine has opened it.
    target: RefCell<Option<(PathBuf, i32)>>,
    /// The two files, written in turn. Each is opened by its first write.
    files: RefCell<[Option<PointsFile>; 2]>,
    /// Number of writes begun.
    sequence: Cell<u64>,
    /// Whether a log has written or synced since the last write of the points.
    has_news: Cell<bool>,
    is_writing: Cell<bool>,
}

#[derive(Clone)]
struct PointsFile {
    file: UringFile,
    /// Size of the part of the file that was written and is durable, bytes.
    bytes: usize,
}

impl PointsWriter {
    /// Notes that a write or sync of some log has completed.
    pub(in crate::shard) fn note(&self) {
        self.has_news.set(true);
    }
}

impl Shard {
    /// Begins to write recovery points into `data_dir`. The open has sealed all records, so the points of earlier opens, perhaps by
    /// other shards, are needed no more.
    pub(crate) fn keep_points(&self, data_dir: PathBuf, incarnation: i32) {
        self.points.target.replace(Some((data_dir, incarnation)));
    }

    /// Writes the recovery points, if a log has written since and the last write of the points has ended.
    pub(in crate::shard) fn write_points(self: &Rc<Self>) {
        let is_due = self.points.has_news.get() && !self.points.is_writing.get() && !self.is_closing.get();
        let Some((data_dir, incarnation)) = self.points.target.borrow().clone().filter(|_| is_due) else {
            return;
        };
        self.points.has_news.set(false);
        let points = self.points_now();
        if points.is_empty() {
            return;
        }
        self.points.is_writing.set(true);
        let sequence = self.points.sequence.get() + 1;
        self.points.sequence.set(sequence);
        let boot_id = self.context.limits.boot_id;
        let bytes = Points { sequence, boot_id, incarnation, points }.encode();
        let shard = Rc::clone(self);
        self.spawn(Box::pin(async move {
            let index = usize::from(sequence.is_multiple_of(2));
            match shard.write_points_to(&data_dir, index, &bytes).await {
                Ok(true) => {}
                Ok(false) => {
                    // There is no memory at present. The next write gets the number and the file of this one.
                    shard.points.sequence.set(sequence - 1);
                    shard.points.note();
                }
                Err(error) => {
                    // The previous point stays valid. It is only older.
                    tracing::debug!(shard = shard.id, %error, "recovery points were not written");
                    shard.points.files.borrow_mut()[index] = None;
                }
            }
            shard.points.is_writing.set(false);
        }));
        self.mailbox.wake();
    }

    /// Returns the points of all partitions that have records in segments that are not sealed.
    fn points_now(&self) -> Vec<Point> {
        let partitions = self.partitions.borrow();
        let points = partitions.iter().flatten().filter_map(|partition| {
            let (written_offset, synced_offset) = partition.log.recovery_point()?;
            let (topic_id, number) = (partition.topic_id, partition.name.partition);
            Some(Point { topic_id, partition: number, written_offset, synced_offset })
        });
        points.collect()
    }

    /// Writes the points to one of the two files. Returns `false`, and has written nothing, if there is no memory for them.
    async fn write_points_to(
        &self,
        data_dir: &std::path::Path,
        index: usize,
        bytes: &[u8],
    ) -> Result<bool, DiskError> {
        let path = data_dir.join(&points_files(self.id)[index]);
        let io = self.context.limits.io;
        let known = self.points.files.borrow()[index].clone();
        let PointsFile { file, bytes: written } = match known {
            Some(known) => known,
            None => {
                let file = self.context.disk.open(&path, OpenMode::Replace, io).await?;
                PointsFile { file, bytes: 0 }
            }
        };
        let len = bytes.len().next_multiple_of(BLOCK_BYTES);
        let failed_syncs = file.failed_syncs();
        if io == IoMode::Buffered {
            file.write(WriteData::Heap(bytes.to_vec().into()), 0, WriteSync::None).await?;
            file.sync().await?;
        } else {
            // All chunks come before the first write: half of the points would be worth nothing.
            let Some(chunks) = self.chunks_of(bytes) else { return Ok(false) };
            let mut position = 0;
            for chunk in chunks {
                let len = chunk.len() as u64;
                file.write(WriteData::Slice(chunk), position, WriteSync::None).await?;
                position += len;
            }
            if len > written {
                // From now on a write to these blocks changes only data, and no metadata.
                file.sync().await?;
                // If a sync has failed, the next write creates the file again.
                file.check_syncs(failed_syncs)?;
            }
        }
        self.points.files.borrow_mut()[index] = Some(PointsFile { file, bytes: written.max(len) });
        Ok(true)
    }

    /// Copies bytes into chunks of the arena, with zeros up to the end of the last block. Logs that were used longest ago give their
    /// memory back for this. `None` if that is not enough.
    fn chunks_of(&self, bytes: &[u8]) -> Option<Vec<Slice>> {
        let copy = |piece: &[u8]| {
            let len = piece.len().next_multiple_of(BLOCK_BYTES);
            if !self.find_room(len) {
                return None;
            }
            let mut chunk = self.context.arena.allocate(len)?;
            chunk.append(piece);
            chunk.pad_to_block();
            Some(chunk.slice(0..len))
        };
        bytes.chunks(CHUNK_BYTES_MAX).map(copy).collect()
    }
}
