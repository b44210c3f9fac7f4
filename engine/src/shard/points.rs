//! Writing the shard's recovery points, every 250 ms while records are written. Off the ack path: the write waits for nobody
//! and nobody waits for it.
//!
//! With direct I/O a point becomes durable with the next flush of the device that some append asks for. Buffered files are
//! synced by the write itself.

use super::Shard;
use crate::buffer::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use crate::catalog::{Point, Points, points_files};
use crate::disk::uring::UringFile;
use crate::disk::{Disk as _, DiskFile as _, OpenMode, WriteData, WriteSync};
use crate::error::DiskError;
use crate::types::IoMode;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

/// See the module.
#[derive(Default)]
pub(super) struct PointsWriter {
    /// The data directory and its incarnation; `None` until the engine has opened it.
    place: RefCell<Option<(PathBuf, i32)>>,
    /// The two files, written in turn; opened at the first write.
    files: RefCell<[Option<PointsFile>; 2]>,
    /// Writes begun.
    sequence: Cell<u64>,
    /// Whether some log has written or synced since the last write.
    has_news: Cell<bool>,
    is_writing: Cell<bool>,
}

#[derive(Clone)]
struct PointsFile {
    file: UringFile,
    /// Bytes of the file that were written, durably.
    bytes: usize,
}

impl PointsWriter {
    /// A write or sync of some log has completed.
    pub(super) fn note(&self) {
        self.has_news.set(true);
    }
}

impl Shard {
    /// Begins to write recovery points into `data_dir` from now on.
    pub(crate) fn keep_points(&self, data_dir: PathBuf, incarnation: i32) {
        self.points.place.replace(Some((data_dir, incarnation)));
    }

    /// Writes the recovery points, if there is something new and the last write has ended.
    pub(super) fn write_points(self: &Rc<Self>) {
        let is_due = self.points.has_news.get() && !self.points.is_writing.get() && !self.is_closing.get();
        let Some((data_dir, incarnation)) = self.points.place.borrow().clone().filter(|_| is_due) else {
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
            let turn = usize::from(sequence.is_multiple_of(2));
            if let Err(error) = shard.write_points_to(&data_dir, turn, &bytes).await {
                // The point before counts, which is only older.
                tracing::debug!(shard = shard.id, %error, "recovery points were not written");
                shard.points.files.borrow_mut()[turn] = None;
            }
            shard.points.is_writing.set(false);
        }));
        self.mailbox.rouse();
    }

    /// The points of all partitions that have records in segments that are not sealed.
    fn points_now(&self) -> Vec<Point> {
        let partitions = self.partitions.borrow();
        let points = partitions.iter().flatten().filter_map(|partition| {
            let (written_offset, synced_offset) = partition.log.recovery_point()?;
            let (topic_id, number) = (partition.topic_id, partition.name.partition);
            Some(Point { topic_id, partition: number, written_offset, synced_offset })
        });
        points.collect()
    }

    async fn write_points_to(
        &self,
        data_dir: &std::path::Path,
        turn: usize,
        bytes: &[u8],
    ) -> Result<(), DiskError> {
        let path = data_dir.join(&points_files(self.id)[turn]);
        let io = self.context.limits.io;
        let known = self.points.files.borrow()[turn].clone();
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
            // More partitions than a chunk can name, or no memory now: the point before counts.
            let chunk = if len <= CHUNK_BYTES_MAX { self.context.arena.allocate(len) } else { None };
            let Some(mut chunk) = chunk else { return Ok(()) };
            chunk.append(bytes);
            chunk.pad_to_block();
            file.write(WriteData::Slice(chunk.slice(0..len)), 0, WriteSync::None).await?;
            if len > written {
                // From now on a write changes nothing but data.
                file.sync().await?;
                // Otherwise the file is made anew.
                file.check_syncs(failed_syncs)?;
            }
        }
        self.points.files.borrow_mut()[turn] = Some(PointsFile { file, bytes: written.max(len) });
        Ok(())
    }
}
