//! A simulated disk: a file system in memory that is as strict and as unreliable as the contract of [`Disk`] allows.
//!
//! The disk is seeded and runs on one thread. The same seed and the same calls give the same run.
//!
//! - An operation is submitted when its future is polled first. Each [`SimDisk::step`] completes one outstanding
//!   operation, picked at random. An operation whose future was dropped is completed too.
//! - Calls that break the contract panic. A real disk would refuse or, worse, accept them. They are: direct I/O with a
//!   position, length or address that is no multiple of 4 KiB; heap memory in direct files; two writes to the same
//!   bytes in flight at once; a file cut while it is being written; memory changed while it is being written.
//! - Only synced changes are sure to survive [`SimDisk::crash`], which loses, keeps or tears each unsynced write. A
//!   crash loses or keeps each unsynced size, truncation, directory entry, rename and removal, independently of the
//!   others.
//! - A file's sync does not make its name durable. But it flushes the device's cache. So it also makes completed direct
//!   writes of other files durable, if these changed nothing but data. Such a write lies wholly within the durable
//!   size, and over bytes that were durably written before.
//! - [`SimDisk::kill`] keeps everything that has completed. An outstanding operation may have happened or not, or in
//!   part.
//!
//! ```
//! use std::path::Path;
//! use vnotch_engine::disk::sim::SimDisk;
//! use vnotch_engine::disk::{Disk, replace_file};
//!
//! let disk = SimDisk::new(7);
//! disk.run_until(replace_file(&disk, Path::new("/meta"), b"kept".to_vec())).unwrap();
//! let disk = disk.crash(8);
//! assert_eq!(disk.run_until(disk.read_file(Path::new("/meta"))).unwrap(), b"kept");
//! ```
//!
//! # Faults
//!
//! Operations of each kind can fail or misbehave ([`SimDisk::inject`]). Bytes can be damaged ([`SimDisk::damage`]). The
//! disk can be full ([`SimDisk::fill_up`]) or small ([`SimDisk::limit`]). Each fault limits the promises that a log can
//! still keep:
//!
//! | fault | promises that still hold |
//! |---|---|
//! | an operation fails, or the disk is full | Every promise. The log retries, refuses or latches, and acked data stays. |
//! | a sync fails and drops writes | Records acked as synced stay, from before the fault and from after it. Records that were only written may be gone, or be refused as damage. The log latches with its next write or sync. |
//! | a byte is damaged | Batches before the damage stay. The damage is an error, or the log ends there. |
//! | a write is lost or misdirected | Only this one: a record that is served was appended, and at its offset; or the checksum of its batch fails. A power loss may have taken the record since: a lost write leaves the old bytes of a recycled file. |
//!
//! A disk can have two devices ([`SimDisk::mount_second`]), each with a cache of its own. A flush of one covers nothing
//! on the other, and one can lose its power alone ([`SimDisk::crash_device`]). Latencies are not simulated.

mod action;
mod faults;
mod history;
mod limit;
mod misbehave;
mod space;
mod tree;
mod world;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod tests;

use super::{DirEntry, Disk, DiskFile, OpenMode, SyncFailures, WriteData, WriteSync};
use crate::buffer::{BLOCK_BYTES, ReadBuffer};
use crate::error::{DiskError, DiskOp};
use crate::num::usize_of;
use crate::types::IoMode;
use action::{Action, Outcome};
use history::FileChange;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use world::World;

pub use faults::{Effect, Fault};

/// A simulated disk; see the module. Clones are handles of the same disk.
#[derive(Clone)]
pub struct SimDisk {
    world: Rc<RefCell<World>>,
}

/// An open file of a [`SimDisk`].
#[derive(Clone)]
pub struct SimFile {
    disk: SimDisk,
    node: usize,
    path: PathBuf,
    io: IoMode,
    is_writable: bool,
    /// The failed syncs of the file's device.
    failures: SyncFailures,
    /// Shared by the clones of this open file, so that they count as one.
    _descriptor: Rc<Descriptor>,
}

/// A token of one open file. It holds a clone of `World::descriptors`, whose clones count the open files.
struct Descriptor {
    _open: Rc<()>,
}

impl SimDisk {
    /// Returns an empty disk. `seed` decides everything that is random about it.
    pub fn new(seed: u64) -> Self {
        Self::of(World::new(seed))
    }

    fn of(world: World) -> Self {
        Self { world: Rc::new(RefCell::new(world)) }
    }

    /// Completes one outstanding operation, picked at random. Returns false if there is none.
    pub fn step(&self) -> bool {
        if self.outstanding() == 0 {
            return false;
        }
        let waker = self.world.borrow_mut().complete_one();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Returns the number of operations that have not completed.
    pub fn outstanding(&self) -> usize {
        self.world.borrow().outstanding()
    }

    /// Runs `future` to its end, and takes a step whenever it waits.
    ///
    /// # Panics
    /// If it waits and nothing is outstanding: it would wait for ever.
    pub fn run_until<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = &mut Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return output;
            }
            let has_moved = self.step() | woken.0.swap(false, Ordering::Relaxed);
            assert!(has_moved, "a future waits while nothing is outstanding on the disk");
        }
    }

    /// Returns the disk that the next process finds after kill -9. Everything that has completed is there. Each
    /// outstanding operation may have happened, a write also in part. This disk and its handles stay as they were; the
    /// handles do not reach the new disk.
    #[must_use]
    pub fn kill(&self, seed: u64) -> Self {
        Self::of(self.world.borrow().after_kill(seed))
    }

    /// Returns the disk that is found after a power loss. Synced changes are there. Each other change is kept or lost,
    /// or, for a write, torn into sectors of 512 B or pages of 4 KiB. This disk stays as it was, as with
    /// [`SimDisk::kill`].
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        Self::of(self.world.borrow().after_power_loss(seed))
    }

    /// Returns the disk that is found after the process was killed and only `device` lost its power. The other device
    /// is as after [`SimDisk::kill`].
    #[must_use]
    pub fn crash_device(&self, device: usize, seed: u64) -> Self {
        Self::of(self.world.borrow().after_power_loss_of(&[device], seed))
    }

    /// Puts the files that are made below `path` from now on onto a second device, number 1. Directories that exist
    /// already stay on their device.
    pub fn mount_second(&self, path: &Path) {
        self.world.borrow_mut().second_device = Some(path.into());
    }

    /// Adds a fault, which waits for its operation. It replaces a waiting fault of the same kind of operation. The
    /// disks that [`SimDisk::kill`] and [`SimDisk::crash`] return have no waiting faults.
    ///
    /// # Panics
    /// The operation cannot have that effect.
    pub fn inject(&self, fault: Fault) {
        self.world.borrow_mut().faults.inject(fault);
    }

    /// Makes the write that completes after `writes_before` others fail with `kind`. An unknown part of its bytes is
    /// written.
    pub fn fail_write(&self, writes_before: u64, kind: io::ErrorKind) {
        self.inject(Fault {
            op: DiskOp::Write,
            operations_before: writes_before,
            effect: Effect::Fails(kind),
        });
    }

    /// Makes the next sync of a file fail with `kind`. The writes that it would have covered stay in the caches.
    pub fn fail_sync(&self, kind: io::ErrorKind) {
        self.inject(Fault { op: DiskOp::Sync, operations_before: 0, effect: Effect::Fails(kind) });
    }

    /// Removes the faults that still wait for their operations.
    pub fn clear_faults(&self) {
        self.world.borrow_mut().faults.clear();
    }

    /// Returns how often each kind of fault has hit an operation. The faults of the disks that this disk was made from
    /// by a kill or a crash count too.
    pub fn fault_counts(&self) -> BTreeMap<String, u64> {
        self.world.borrow().faults.counts()
    }

    /// Drops the clean pages of the page cache. Reads then no longer show data that a failed sync has dropped.
    pub fn evict(&self) {
        self.world.borrow_mut().evict();
    }

    /// Fills the disk once `operations_before` more operations that can take space have succeeded. From then on each
    /// such operation fails (creating, writing, allocating, truncating, renaming), until [`SimDisk::make_room`]. A
    /// write or an allocation that fails does an unknown part of its work.
    pub fn fill_up(&self, operations_before: u64) {
        self.world.borrow_mut().space.fill_up(operations_before);
    }

    /// Limits the disk to `capacity_bytes` of files. A removed file makes room. A write into extents that its file
    /// already has takes no room.
    pub fn limit(&self, capacity_bytes: u64) {
        self.world.borrow_mut().space.limit(capacity_bytes);
    }

    /// Returns the bytes of all files that have a name, reserved extents included.
    pub fn used_bytes(&self) -> u64 {
        self.world.borrow().used_bytes()
    }

    /// Returns the number of bytes that reads of open files have returned since this disk was made. A kill or a crash
    /// makes a new disk.
    pub fn read_bytes(&self) -> u64 {
        self.world.borrow().read_bytes
    }

    /// Whether [`SimDisk::fill_up`] or [`SimDisk::limit`] is in force.
    pub fn is_limited(&self) -> bool {
        self.world.borrow().space.is_limited()
    }

    /// Limits the number of files that are open at once to `descriptors_max`. Opening one more fails with EMFILE, and
    /// so does any other operation that needs a descriptor for a moment.
    pub fn limit_descriptors(&self, descriptors_max: usize) {
        self.world.borrow_mut().descriptors_max = Some(descriptors_max);
    }

    /// Returns the number of open files.
    pub fn descriptors(&self) -> usize {
        Rc::strong_count(&self.world.borrow().descriptors) - 1
    }

    /// Ends the effect of [`SimDisk::fill_up`] and [`SimDisk::limit`].
    pub fn make_room(&self) {
        self.world.borrow_mut().space = limit::Space::default();
    }

    /// Damages a file: flips the lowest bit of the byte at `position`, durably.
    ///
    /// # Errors
    /// There is no such file, or no such byte.
    pub fn damage(&self, path: &Path, position: u64) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        let (node, number) = (world.lookup(path)?, world.next_number());
        let file = world.file(node)?;
        let byte = *file.live().read(position, 1).first().ok_or(io::ErrorKind::UnexpectedEof)?;
        file.change_durably(FileChange::Write(position, Rc::from([byte ^ 1])), number);
        world.faults.count("a byte is damaged");
        Ok(())
    }

    async fn run(
        &self,
        op: DiskOp,
        path: &Path,
        position: u64,
        action: Action,
    ) -> Result<Outcome, DiskError> {
        self.run_with(op, path, position, (action, None)).await
    }

    async fn run_with(
        &self,
        op: DiskOp,
        path: &Path,
        position: u64,
        (action, buffer): (Action, Option<ReadBuffer>),
    ) -> Result<Outcome, DiskError> {
        let key = self.world.borrow_mut().submit(op, action, buffer);
        let completion = Completion { world: Rc::clone(&self.world), key, is_taken: false };
        completion.await.map_err(|error| DiskError::new(op, path, position, error))
    }
}

/// A waker that records that its future wants to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The future of an operation, which waits until it has completed. Its output is the operation's result.
struct Completion {
    world: Rc<RefCell<World>>,
    key: usize,
    is_taken: bool,
}

impl Future for Completion {
    type Output = io::Result<Outcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let taken = self.world.borrow_mut().take(self.key, context.waker());
        match taken {
            Some(result) => {
                self.is_taken = true;
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if !self.is_taken {
            self.world.borrow_mut().abandon(self.key);
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, path: &Path, mode: OpenMode, io: IoMode) -> Result<SimFile, DiskError> {
        let op = match mode {
            OpenMode::Read | OpenMode::ReadWrite => DiskOp::Open,
            OpenMode::CreateNew | OpenMode::Replace => DiskOp::Create,
        };
        let node = self.run(op, path, 0, Action::Open(path.into(), mode)).await?.node;
        let is_writable = mode != OpenMode::Read;
        let descriptor = Rc::new(Descriptor { _open: Rc::clone(&self.world.borrow().descriptors) });
        let (disk, failures) = (self.clone(), self.world.borrow_mut().sync_failures(node));
        Ok(SimFile { disk, node, path: path.into(), io, is_writable, failures, _descriptor: descriptor })
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.run(DiskOp::Rename, from, 0, Action::Rename(from.into(), to.into())).await.map(drop)
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.run(DiskOp::Remove, path, 0, Action::RemoveFile(path.into())).await.map(drop)
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.run(DiskOp::Remove, path, 0, Action::RemoveDir(path.into())).await.map(drop)
    }

    async fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.run(DiskOp::CreateDir, path, 0, Action::CreateDir(path.into())).await.map(drop)
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        // Only changes of names that have completed before this call are covered.
        let mark = self.world.borrow().mark();
        self.run(DiskOp::SyncDir, path, 0, Action::SyncDir { path: path.into(), mark }).await.map(drop)
    }

    async fn list(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.run(DiskOp::List, path, 0, Action::List(path.into())).await.map(|outcome| outcome.entries)
    }

    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        self.run(DiskOp::Read, path, 0, Action::ReadFile(path.into())).await.map(|outcome| outcome.bytes)
    }

    fn sync_failures(&self, path: &Path) -> Result<SyncFailures, DiskError> {
        let mut world = self.world.borrow_mut();
        let node = world.lookup(path).map_err(|error| DiskError::new(DiskOp::Open, path, 0, error))?;
        Ok(world.sync_failures(node))
    }

    /// Waits for one operation of the disk, however long `_time` is.
    async fn pause(&self, _time: Duration) {
        let root = Path::new("/");
        let _ = self.run(DiskOp::List, root, 0, Action::List(root.into())).await;
    }
}

impl SimFile {
    async fn run(&self, op: DiskOp, position: u64, action: Action) -> Result<Outcome, DiskError> {
        self.disk.run(op, &self.path, position, action).await
    }

    fn assert_aligned(&self, position: u64, len_bytes: usize, address: usize) {
        if self.io == IoMode::Direct {
            let all = [usize_of(position), len_bytes, address];
            assert!(
                all.iter().all(|value| value.is_multiple_of(BLOCK_BYTES)),
                "direct I/O of {len_bytes} bytes at {position}, memory at {address:#x}, is not aligned to 4 KiB"
            );
        }
    }
}

impl DiskFile for SimFile {
    async fn write(&self, data: WriteData, position: u64, sync: WriteSync) -> Result<(), DiskError> {
        assert!(self.is_writable, "{} is open for reading only", self.path.display());
        assert!(
            self.io == IoMode::Buffered || matches!(data, WriteData::Slice(_)),
            "direct files are written from the arena only"
        );
        self.assert_aligned(position, data.len(), data.as_ptr().addr());
        let action = Action::Write { node: self.node, data, position, sync, io: self.io };
        self.run(DiskOp::Write, position, action).await.map(drop)
    }

    async fn read(
        &self,
        mut buffer: ReadBuffer,
        position: u64,
        len_bytes: usize,
    ) -> Result<(ReadBuffer, usize), DiskError> {
        assert!(len_bytes <= buffer.capacity(), "a read fits its buffer");
        self.assert_aligned(position, len_bytes, buffer.as_mut_ptr().addr());
        let action = Action::Read { node: self.node, position, len_bytes, io: self.io };
        let outcome = self.disk.run_with(DiskOp::Read, &self.path, position, (action, Some(buffer))).await?;
        Ok((outcome.buffer.expect("a read hands its buffer back"), usize_of(outcome.len)))
    }

    async fn sync(&self) -> Result<(), DiskError> {
        // Only writes that have completed before this call are covered.
        let mark = self.disk.world.borrow().mark();
        self.run(DiskOp::Sync, 0, Action::Sync { node: self.node, mark }).await.map(drop)
    }

    async fn allocate(&self, len_bytes: u64) -> Result<(), DiskError> {
        let action = Action::Change { node: self.node, change: FileChange::Extend(len_bytes) };
        self.run(DiskOp::Allocate, len_bytes, action).await.map(drop)
    }

    async fn truncate(&self, len_bytes: u64) -> Result<(), DiskError> {
        let action = Action::Change { node: self.node, change: FileChange::Resize(len_bytes) };
        self.run(DiskOp::Truncate, len_bytes, action).await.map(drop)
    }

    fn flush_domain(&self) -> Option<u64> {
        (self.io == IoMode::Direct).then(|| self.disk.world.borrow().device(self.node) as u64)
    }

    fn failed_syncs(&self) -> u64 {
        self.failures.count()
    }

    fn check_syncs(&self, failed_syncs: u64) -> Result<(), DiskError> {
        self.failures.check(failed_syncs, &self.path)
    }

    async fn flush(&self, failed_syncs: u64) -> Result<(), DiskError> {
        assert!(self.flush_domain().is_some(), "it has a flush domain");
        let mark = self.disk.world.borrow().mark();
        self.run(DiskOp::Sync, 0, Action::Flush { node: self.node, mark }).await?;
        self.check_syncs(failed_syncs)
    }

    async fn next_data(&self, position: u64) -> Result<Option<Range<u64>>, DiskError> {
        let action = Action::NextData { node: self.node, position };
        self.run(DiskOp::Read, position, action).await.map(|outcome| outcome.range)
    }

    async fn size(&self) -> Result<u64, DiskError> {
        self.run(DiskOp::Open, 0, Action::Size(self.node)).await.map(|outcome| outcome.len)
    }
}
