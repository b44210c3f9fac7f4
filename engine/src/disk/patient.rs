//! A disk that waits while the process, or the machine, has no file descriptor left.
//!
//! An operation that gets no descriptor has unused files closed and tries again, for up to 10 s. Then it fails with an
//! error that names the limit. Descriptors that are open for one operation only are bounded here too.

use super::{DirEntry, Disk, OpenMode, SyncFailures};
use crate::error::DiskError;
use crate::types::IoMode;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::path::Path;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Longest time that an operation waits for a descriptor.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Pauses between two attempts: the first pause, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// An owner of open files that can close the unused ones.
pub trait Reclaim {
    /// Closes one unused file. Returns false if there is none.
    fn reclaim(&self) -> bool;
}

/// The pauses of one operation that waits for a descriptor.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    longest: Duration,
    waited: Duration,
}

impl Pauses {
    const fn new() -> Self {
        Self::of_at_most(PAUSES[1])
    }

    /// Returns pauses that grow from 1 ms to `longest`.
    pub(crate) const fn of_at_most(longest: Duration) -> Self {
        Self { next: PAUSES[0], longest, waited: Duration::ZERO }
    }

    /// Waits twice as long as the last time, and `longest` at most. Returns false, without a wait, once the operation
    /// has waited for 10 s in all.
    pub(crate) async fn pause<D: Disk>(&mut self, disk: &D) -> bool {
        if self.waited >= WAIT_MAX {
            return false;
        }
        disk.pause(self.next).await;
        self.waited += self.next;
        self.next = (self.next * 2).min(self.longest);
        true
    }
}

/// A fixed number of permits that tasks of one thread take and give back.
#[derive(Debug)]
struct Permits {
    free: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

/// A permit. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    const fn new(count: usize) -> Self {
        Self { free: Cell::new(count), waiting: RefCell::new(Vec::new()) }
    }

    async fn take(&self) -> Permit<'_> {
        poll_fn(|context| match self.free.get().checked_sub(1) {
            Some(left) => {
                self.free.set(left);
                Poll::Ready(Permit(self))
            }
            None => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        // All waiting tasks are woken, as the task that would be next may not exist any more.
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }
}

struct Shared {
    files: Rc<dyn Reclaim>,
    /// Permits for directories that are open while they are synced.
    directories: Permits,
    /// Permits for checkpoints and index files that are open while they are written.
    metadata: Permits,
}

/// A disk that retries while no descriptor is left; see the module. Clones share the permits.
#[derive(Clone)]
pub struct PatientDisk<D> {
    disk: D,
    shared: Rc<Shared>,
}

impl<D: Disk> PatientDisk<D> {
    /// Wraps `disk`. At most `brief_max` descriptors are open for the time of one operation; `files` owns all others.
    pub fn new(disk: D, files: Rc<dyn Reclaim>, brief_max: usize) -> Self {
        let permits = || Permits::new((brief_max / 2).max(1));
        Self { disk, shared: Rc::new(Shared { files, directories: permits(), metadata: permits() }) }
    }

    /// Waits for a permit to have a metadata file open. The caller keeps the permit while it writes the file.
    pub(crate) async fn metadata_permit(&self) -> Permit<'_> {
        self.shared.metadata.take().await
    }

    /// Runs an operation that opens something. Repeats it while no descriptor is left, until [`WAIT_MAX`] has passed.
    async fn retry<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, DiskError>
    where
        F: Future<Output = Result<T, DiskError>>,
    {
        let mut pauses = Pauses::new();
        loop {
            match attempt().await {
                Err(error) if error.is_too_many_open() => {
                    if !self.shared.files.reclaim() && !pauses.pause(&self.disk).await {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }
}

impl<D: Disk> Disk for PatientDisk<D> {
    type File = D::File;

    async fn open(&self, path: &Path, mode: OpenMode, io: IoMode) -> Result<D::File, DiskError> {
        self.retry(|| self.disk.open(path, mode, io)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.disk.rename(from, to).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove_file(path).await
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove_dir(path).await
    }

    async fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.create_dir(path).await
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let _permit = self.shared.directories.take().await;
        self.retry(|| self.disk.sync_dir(path)).await
    }

    async fn list(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.retry(|| self.disk.list(path)).await
    }

    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        self.retry(|| self.disk.read_file(path)).await
    }

    fn sync_failures(&self, path: &Path) -> Result<SyncFailures, DiskError> {
        self.disk.sync_failures(path)
    }

    async fn pause(&self, time: Duration) {
        self.disk.pause(time).await;
    }
}
