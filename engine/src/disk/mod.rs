//! The interface to storage: the operations on files and directories that a log needs, and no others.
//!
//! An operation owns its buffer: the memory stays untouched until the operation has completed, even if its future was
//! dropped before. Operations complete in any order. Only a sync gives an order: it covers the writes that completed
//! before it was submitted.

mod failures;
mod patient;
pub mod sim;
pub mod uring;

pub use failures::SyncFailures;
pub(crate) use patient::Pauses;
pub use patient::{PatientDisk, Reclaim};

use crate::buffer::{ReadBuffer, Slice};
use crate::error::{DiskError, DiskOp};
use crate::types::IoMode;
use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

/// Size of the largest file that is read whole, bytes. The engine's own files are smaller: the largest are indexes.
const WHOLE_FILE_BYTES_MAX: u64 = 1 << 30;

/// Reads a file whole. A file that the engine cannot have written, because it is too large or a pipe, is not read.
pub(crate) fn read_whole_file(path: &Path) -> Result<Vec<u8>, DiskError> {
    let failed = |error| DiskError::new(DiskOp::Read, path, 0, error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let fault = if !metadata.is_file() && !metadata.is_dir() {
        Some("it is no regular file".to_owned())
    } else if metadata.len() > WHOLE_FILE_BYTES_MAX {
        Some(format!("it has {} bytes, more than the engine writes to such a file", metadata.len()))
    } else {
        None
    };
    match fault {
        Some(fault) => Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidData, fault))),
        None => std::fs::read(path).map_err(failed),
    }
}

/// A file system. It is cheap to clone, and stays on one thread.
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

    /// Renames a file or directory, within its directory or into another one. The rename is durable only after
    /// [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Removes a file. The removal is durable only after [`Disk::sync_dir`].
    fn remove_file(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Makes a directory. It is no error if the directory exists already.
    fn create_dir(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Makes the directory's entries durable.
    fn sync_dir(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>>;

    /// Returns the entries of a directory, sorted by name.
    fn list(&self, path: &Path) -> impl Future<Output = Result<Vec<DirEntry>, DiskError>>;

    /// Returns the whole content of a small file (metadata, indexes), read through the page cache.
    fn read_file(&self, path: &Path) -> impl Future<Output = Result<Vec<u8>, DiskError>>;

    /// Returns the count of failed syncs of the device that a file or directory lies on.
    ///
    /// # Errors
    /// There is no such file or directory, or it cannot be examined.
    fn sync_failures(&self, path: &Path) -> Result<SyncFailures, DiskError>;

    /// Waits for about `time`.
    fn pause(&self, time: Duration) -> impl Future<Output = ()>;
}

/// An open file. Clones share it.
pub trait DiskFile: Clone + 'static {
    /// Writes all of `data` at `position`. A short write is continued until all bytes are written, or fails. With
    /// direct I/O, address, position and length are multiples of 4 KiB.
    fn write(
        &self,
        data: WriteData,
        position: u64,
        sync: WriteSync,
    ) -> impl Future<Output = Result<(), DiskError>>;

    /// Reads up to `len_bytes` from `position` into `buffer`. Returns the buffer and the number of bytes read, which is
    /// less than `len_bytes` only at the end of the file.
    fn read(
        &self,
        buffer: ReadBuffer,
        position: u64,
        len_bytes: usize,
    ) -> impl Future<Output = Result<(ReadBuffer, usize), DiskError>>;

    /// Makes completed writes, and the file's size, durable. They may be lost all the same if another sync on the
    /// device has failed since the first of these writes began: see [`DiskFile::check_syncs`].
    fn sync(&self) -> impl Future<Output = Result<(), DiskError>>;

    /// Reserves extents for the first `len_bytes` of the file. The file's size becomes `len_bytes` if it was smaller.
    fn allocate(&self, len_bytes: u64) -> impl Future<Output = Result<(), DiskError>>;

    /// Cuts the file to `len_bytes`.
    fn truncate(&self, len_bytes: u64) -> impl Future<Output = Result<(), DiskError>>;

    /// Returns the number of the file's flush domain. The files of one domain share a device's cache: a flush of one of
    /// them makes completed writes to all of them durable. This holds only for writes that changed nothing but data:
    /// they lie within the file's durable size, and over bytes that were durably written before. `None`: only the
    /// file's own sync makes its writes durable.
    fn flush_domain(&self) -> Option<u64>;

    /// Flushes the cache of the file's domain. Only the writes that [`DiskFile::flush_domain`] describes become
    /// durable. `failed_syncs` is the value of [`DiskFile::failed_syncs`] from when the first of the writes began. The
    /// flush also fails if the value has changed since: the writes may be lost.
    ///
    /// # Panics
    /// The file has no [`DiskFile::flush_domain`].
    fn flush(&self, failed_syncs: u64) -> impl Future<Output = Result<(), DiskError>>;

    /// Returns the count of failed syncs on the file's device: see [`SyncFailures`].
    fn failed_syncs(&self) -> u64;

    /// Fails if [`DiskFile::failed_syncs`] is no longer `failed_syncs`. Bytes that were written in between may be lost,
    /// even if the sync after them has succeeded.
    ///
    /// # Errors
    /// A sync on the device has failed in between.
    fn check_syncs(&self, failed_syncs: u64) -> Result<(), DiskError>;

    /// Returns the next range of bytes, at or behind `position`, that can hold anything but zeros. Space that was
    /// reserved and never written is left out, if the file system reports it. Returns `None` if only such space is
    /// left.
    fn next_data(&self, position: u64) -> impl Future<Output = Result<Option<Range<u64>>, DiskError>>;

    /// Returns the file's size, bytes.
    fn size(&self) -> impl Future<Output = Result<u64, DiskError>>;
}

/// The way in which a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Opens an existing file for reading.
    Read,
    /// Opens an existing file for reading and writing.
    ReadWrite,
    /// Creates a file that must not exist yet, for reading and writing.
    CreateNew,
    /// Creates a file or empties the existing one, for reading and writing.
    Replace,
}

/// Whether a write is durable when it completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteSync {
    /// The write is durable only after a later sync.
    None,
    /// The write is durable when it completes (RWF_DSYNC).
    Dsync,
}

/// The bytes of a write, which owns them while it is in flight.
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

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last part of the path; names that are not UTF-8 are shown with replacement characters.
    pub name: String,
    /// Whether the entry is a directory.
    pub is_dir: bool,
}

/// Suffix of a temporary file, which is written first and then renamed over another file.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Replaces the file `path` with one that holds `bytes`, all or nothing. Writes a temporary file, syncs it, renames it
/// over `path`, and syncs the directory.
///
/// # Errors
/// A step failed, or another sync on the device failed in the meantime. The old file is still there, unless the last
/// step failed, the directory's sync. The temporary file is removed, so that it takes no space.
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

/// Lets other tasks of the thread run once, in the middle of a long computation.
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
