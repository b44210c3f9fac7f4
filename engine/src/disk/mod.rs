//! The seam to storage: what a log needs of files and directories, and nothing more.
//!
//! Operations own their buffers: the memory stays untouched until the operation has completed, even if its future was
//! dropped before. Completions come in any order; only a sync orders anything.

mod failures;
mod patient;
pub mod sim;
pub mod uring;

pub use failures::SyncFailures;
pub(crate) use patient::Pauses;
pub use patient::{PatientDisk, Reclaim};

use crate::buffer::{ReadBuffer, Slice};
use crate::error::DiskError;
use crate::types::IoMode;
use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

/// A file system. Cheap to clone; stays on one thread.
pub trait Disk: Clone + 'static {
    /// The type of an open file on this file system.
    type File: DiskFile;

    /// Opens or creates a file.
    fn open(
        &self,
        path: &Path,
        mode: OpenMode,
        io: IoMode,
    ) -> impl Future<Output = Result<Self::File, DiskError>>;

    /// Renames a file or directory within one directory or across; durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Removes a file; durable only after [`Disk::sync_dir`].
    fn remove_file(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Makes a directory; one that is there already is no error.
    fn create_dir(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Makes the directory's entries durable.
    fn sync_dir(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Names in a directory, sorted.
    fn list(&self, path: &Path) -> impl Future<Output = Result<Vec<DirEntry>, DiskError>>;

    /// The whole of a small file (metadata, indexes), through the page cache.
    fn read_file(&self, path: &Path) -> impl Future<Output = Result<Vec<u8>, DiskError>>;

    /// The count of failed syncs of the device that a file or directory lies on.
    ///
    /// # Errors
    /// There is no such file, or it cannot be looked at.
    fn sync_failures(&self, path: &Path) -> Result<SyncFailures, DiskError>;

    /// Waits for about `time`.
    fn pause(&self, time: Duration) -> impl Future<Output = ()>;
}

/// An open file. Clones share it.
pub trait DiskFile: Clone + 'static {
    /// Writes all of `data` at `position`; short writes are completed or fail. With direct I/O address, position and
    /// length are multiples of 4 KiB.
    fn write(
        &self,
        data: WriteData,
        position: u64,
        sync: WriteSync,
    ) -> impl Future<Output = Result<(), DiskError>>;

    /// Fills `buffer` with up to `len_bytes` from `position`; fewer come back only at the end of the file.
    fn read(
        &self,
        buffer: ReadBuffer,
        position: u64,
        len_bytes: usize,
    ) -> impl Future<Output = Result<(ReadBuffer, usize), DiskError>>;

    /// Makes completed writes, and the file's size, durable. They may be lost all the same where another sync on the device has
    /// failed since the first of them began: see [`DiskFile::check_syncs`].
    fn sync(&self) -> impl Future<Output = Result<(), DiskError>>;

    /// Reserves extents for the first `len_bytes`; the file's size becomes that.
    fn allocate(&self, len_bytes: u64) -> impl Future<Output = Result<(), DiskError>>;

    /// Cuts the file to `len_bytes`.
    fn truncate(&self, len_bytes: u64) -> impl Future<Output = Result<(), DiskError>>;

    /// Files that have the same share a device's cache: a flush of one makes completed writes to all of them durable, where
    /// these changed nothing but data (they lay within the file's durable size, over what was durably written before).
    /// `None`: only its own sync does.
    fn flush_domain(&self) -> Option<u64>;

    /// Flushes the cache of the file's domain. Of what else was changed it makes nothing durable. It fails too if
    /// [`DiskFile::failed_syncs`] is no longer `failed_syncs`, its value when the first of the writes began: what they wrote
    /// may be lost.
    ///
    /// # Panics
    /// The file has no [`DiskFile::flush_domain`].
    fn flush(&self, failed_syncs: u64) -> impl Future<Output = Result<(), DiskError>>;

    /// How many syncs of files on the same device have failed since the disk was opened: see [`SyncFailures`].
    fn failed_syncs(&self) -> u64;

    /// Fails if [`DiskFile::failed_syncs`] is no longer `failed_syncs`: what was written since then may be lost, also if the
    /// sync after it has succeeded.
    ///
    /// # Errors
    /// A sync on the device has failed in between.
    fn check_syncs(&self, failed_syncs: u64) -> Result<(), DiskError>;

    /// The next range of bytes, at or behind `position`, that can hold anything but zeros: space that was reserved and never
    /// written is left out where the file system tells. `None` if nothing but such space is left.
    fn next_data(&self, position: u64) -> impl Future<Output = Result<Option<Range<u64>>, DiskError>>;

    /// The file's size, bytes.
    fn size(&self) -> impl Future<Output = Result<u64, DiskError>>;
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; read only.
    Read,
    /// It must exist; read and write.
    ReadWrite,
    /// It must not exist; read and write.
    CreateNew,
    /// Made anew, whatever was there; read and write.
    Replace,
}

/// Whether a write is durable when it completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteSync {
    /// Not before a later sync.
    None,
    /// With its completion (RWF_DSYNC).
    Dsync,
}

/// What a write owns while it is in flight.
#[derive(Debug, Clone)]
pub enum WriteData {
    /// Records, in the arena.
    Slice(Slice),
    /// Metadata, on the heap; for buffered files only.
    Heap(std::rc::Rc<[u8]>),
}

impl std::ops::Deref for WriteData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Slice(slice) => slice,
            Self::Heap(bytes) => bytes,
        }
    }
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last part of the path; names that are not UTF-8 are shown with replacement characters.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What the name of a file ends in that is on its way to replacing another.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Replaces `path` with `bytes`, all or nothing: a temporary file, synced, renamed over it, the directory synced.
///
/// # Errors
/// Any step failed, or another sync on the device did meanwhile. The old file is still there unless that was at the last step,
/// the directory's sync. The temporary file does not keep the space it took.
pub async fn replace_file<D: Disk>(disk: &D, path: &Path, bytes: Vec<u8>) -> Result<(), DiskError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = PathBuf::from(temporary);
    let failures = disk.sync_failures(path.parent().unwrap_or(path))?;
    let failed_syncs = failures.count();
    let renamed = async {
        let file = disk.open(&temporary, OpenMode::Replace, IoMode::Buffered).await?;
        file.write(WriteData::Heap(bytes.into()), 0, WriteSync::None).await?;
        file.sync().await?;
        failures.check(failed_syncs, &temporary)?;
        disk.rename(&temporary, path).await
    };
    if let Err(error) = renamed.await {
        let _ = disk.remove_file(&temporary).await;
        return Err(error);
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    disk.sync_dir(parent).await?;
    failures.check(failed_syncs, parent)
}

/// Gives other tasks of the thread a turn, in the middle of a long computation.
pub(crate) fn yield_now() -> impl Future<Output = ()> {
    let mut has_yielded = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
