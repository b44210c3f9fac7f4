//! The real disk. Every operation goes through the shard's raw ring, except a few that have no opcode.
//!
//! Some rare and short calls block the thread. They list a directory or read a small metadata file (at an open, and at
//! the first read of a cold segment). They ask for a file's size, and truncate on kernels before 6.9.

mod devices;
mod domain;
#[cfg(test)]
mod faults;
mod inner;
mod keep;
mod operation;
mod probe;
mod reads;
mod ring;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use inner::MostInFlight;
pub use probe::probe;
pub use reads::ReadStats;
pub use ring::{Ring, RingWaker};

use super::{DirEntry, Disk, DiskFile, OpenMode, SyncFailures, WriteData, WriteSync};
use crate::buffer::ReadBuffer;
use crate::error::{DiskError, DiskOp};
use crate::num::u32_of;
use crate::types::IoMode;
use domain::{Domain, Domains};
use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use keep::{Keep, Syncs};
use rustix::fs::SeekFrom;
use std::ffi::CString;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const AT_CWD: types::Fd = types::Fd(libc::AT_FDCWD);

/// A file system reached through one shard's ring.
#[derive(Clone)]
pub struct UringDisk {
    ring: Ring,
    domains: Rc<Domains>,
}

/// An open file of a [`UringDisk`]. Dropping its last clone closes it, but not before its last operation has completed.
#[derive(Clone)]
pub struct UringFile {
    inner: Rc<FileInner>,
}

struct FileInner {
    /// Closed through the ring.
    fd: ManuallyDrop<OwnedFd>,
    path: PathBuf,
    io: IoMode,
    ring: Ring,
    domain: Option<Domain>,
    /// The failed syncs of the file's device.
    failures: SyncFailures,
}

impl Drop for FileInner {
    fn drop(&mut self) {
        // SAFETY: `fd` is taken once, by the drop; nobody uses it afterwards.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        self.ring.close_file(fd);
    }
}

impl std::fmt::Debug for UringFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UringFile({})", self.inner.path.display())
    }
}

impl UringDisk {
    /// Returns a disk whose operations go through `ring`.
    pub fn new(ring: Ring) -> Self {
        Self { ring, domains: Rc::default() }
    }

    /// Runs an operation whose entry points to its paths and to nothing else.
    async fn path_op(
        &self,
        op: DiskOp,
        paths: &[&Path],
        entry: impl FnOnce(&[*const libc::c_char]) -> Entry,
    ) -> Result<i32, DiskError> {
        self.path_op_keeping(op, paths, entry, Keep::default()).await
    }

    /// Runs an operation on paths that also owns the contents of `keep`.
    async fn path_op_keeping(
        &self,
        op: DiskOp,
        paths: &[&Path],
        entry: impl FnOnce(&[*const libc::c_char]) -> Entry,
        keep: Keep,
    ) -> Result<i32, DiskError> {
        let path = paths[0];
        let owned = paths.iter().map(|path| c_path(path)).collect::<io::Result<Vec<CString>>>();
        let owned = owned.map_err(|error| DiskError::new(op, path, 0, error))?;
        let pointers: Vec<*const libc::c_char> = owned.iter().map(|path| path.as_ptr()).collect();
        let entry = entry(&pointers);
        let keep = Keep { paths: owned, is_on_worker: true, ..keep };
        // SAFETY: the entry points to the paths' heap memory, which moves into the slot with `paths`.
        let operation = unsafe { self.ring.start(entry, keep) };
        let (result, _) = operation.await;
        checked(result).map_err(|error| DiskError::new(op, path, 0, error))
    }

    /// Opens `path`. A new file gets the permissions 0644. If the future is dropped, the ring closes the descriptor.
    async fn open_at(&self, op: DiskOp, path: &Path, flags: i32) -> Result<OwnedFd, DiskError> {
        let entry = |p: &[*const libc::c_char]| {
            opcode::OpenAt::new(AT_CWD, p[0]).flags(flags | libc::O_CLOEXEC).mode(0o644).build()
        };
        let keep = Keep { opens: true, ..Keep::default() };
        let fd = self.path_op_keeping(op, &[path], entry, keep).await?;
        // SAFETY: the kernel has just opened this descriptor for us; nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

impl Disk for UringDisk {
    type File = UringFile;

    async fn open(&self, path: &Path, mode: OpenMode, io: IoMode) -> Result<UringFile, DiskError> {
        let (op, flags) = match mode {
            OpenMode::Read => (DiskOp::Open, libc::O_RDONLY),
            OpenMode::ReadWrite => (DiskOp::Open, libc::O_RDWR),
            OpenMode::CreateNew => (DiskOp::Create, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL),
            OpenMode::Replace => (DiskOp::Create, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC),
        };
        let direct = if io == IoMode::Direct { libc::O_DIRECT } else { 0 };
        let fd = self.open_at(op, path, flags | direct).await?;
        let is_written = io == IoMode::Direct && mode != OpenMode::Read;
        let domain = is_written.then(|| self.domains.of(&fd)).flatten();
        let failures = devices::sync_failures_of_file(&fd);
        let (fd, ring) = (ManuallyDrop::new(fd), self.ring.clone());
        let inner = FileInner { fd, path: path.to_path_buf(), io, ring, domain, failures };
        Ok(UringFile { inner: Rc::new(inner) })
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let entry = |p: &[*const libc::c_char]| opcode::RenameAt::new(AT_CWD, p[0], AT_CWD, p[1]).build();
        self.path_op(DiskOp::Rename, &[from, to], entry).await.map(drop)
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.path_op(DiskOp::Remove, &[path], |p| opcode::UnlinkAt::new(AT_CWD, p[0]).build()).await.map(drop)
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        let entry =
            |p: &[*const libc::c_char]| opcode::UnlinkAt::new(AT_CWD, p[0]).flags(libc::AT_REMOVEDIR).build();
        self.path_op(DiskOp::Remove, &[path], entry).await.map(drop)
    }

    async fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let entry = |p: &[*const libc::c_char]| opcode::MkDirAt::new(AT_CWD, p[0]).mode(0o755).build();
        match self.path_op(DiskOp::CreateDir, &[path], entry).await {
            Err(error) if error.source.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        #[cfg(test)]
        let failed = |error| DiskError::new(DiskOp::SyncDir, path, 0, error);
        #[cfg(test)]
        self.ring.faults().next_directory_sync().map_err(failed)?;
        let fd = self.open_at(DiskOp::SyncDir, path, libc::O_RDONLY | libc::O_DIRECTORY).await?;
        let failures = devices::sync_failures_of_file(&fd);
        let (fd, path, ring) = (ManuallyDrop::new(fd), path.to_path_buf(), self.ring.clone());
        let file = UringFile {
            inner: Rc::new(FileInner { fd, path, io: IoMode::Buffered, ring, domain: None, failures }),
        };
        file.fsync(file.fd(), types::FsyncFlags::empty(), DiskOp::SyncDir).await
    }

    async fn list(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let list = || -> io::Result<Vec<DirEntry>> {
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // Links are followed, as an open follows them.
                let is_dir = std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
                entries.push(DirEntry { name, is_dir });
            }
            entries.sort();
            Ok(entries)
        };
        list().map_err(|error| DiskError::new(DiskOp::List, path, 0, error))
    }

    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        super::read_whole_file(path)
    }

    fn sync_failures(&self, path: &Path) -> Result<SyncFailures, DiskError> {
        let stat = rustix::fs::stat(path);
        let stat = stat.map_err(|error| DiskError::new(DiskOp::Open, path, 0, error.into()))?;
        Ok(devices::sync_failures_of_device(stat.st_dev))
    }

    async fn pause(&self, time: Duration) {
        let time = Box::new(types::Timespec::from(time));
        let entry = opcode::Timeout::new(&raw const *time).build();
        // SAFETY: the entry points to the heap memory of `time`, which moves into the slot.
        let operation = unsafe { self.ring.start(entry, Keep { time: Some(time), ..Keep::default() }) };
        // The result only says why the pause ended: its time is over, or the ring is torn down.
        let _ = operation.await;
    }
}

impl UringFile {
    fn error(&self, op: DiskOp, position: u64, source: io::Error) -> DiskError {
        DiskError::new(op, &self.inner.path, position, source)
    }

    fn fd(&self) -> types::Fd {
        types::Fd(self.inner.fd.as_raw_fd())
    }

    /// Runs an operation that needs no memory: a sync or a change of size, which the kernel gives to a worker.
    async fn run_without_memory(&self, op: DiskOp, entry: Entry) -> Result<i32, DiskError> {
        let syncs = if matches!(op, DiskOp::Sync | DiskOp::SyncDir) { Syncs::File } else { Syncs::Nothing };
        let keep = Keep { file: Some(self.clone()), is_on_worker: true, syncs, ..Keep::default() };
        // SAFETY: the entry points to nothing; its descriptor stays open through `keep`.
        let (result, _) = unsafe { self.inner.ring.start(entry, keep) }.await;
        checked(result).map_err(|error| self.error(op, 0, error))
    }

    /// Syncs `fd`, which this file keeps open.
    async fn fsync(&self, fd: types::Fd, flags: types::FsyncFlags, op: DiskOp) -> Result<(), DiskError> {
        self.run_without_memory(op, opcode::Fsync::new(fd).flags(flags).build()).await.map(drop)
    }

    /// Counts a sync of the file that has failed.
    fn note_failed_sync(&self) {
        self.inner.failures.note();
    }

    fn stat_size(&self) -> Result<u64, DiskError> {
        let stat = rustix::fs::fstat(&*self.inner.fd);
        let stat = stat.map_err(|error| self.error(DiskOp::Open, 0, error.into()))?;
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }

    /// Submits one write of `data`, from its byte `done` on. Returns the number of bytes written, and the data.
    async fn write_once(
        &self,
        data: WriteData,
        done: usize,
        position: u64,
        sync: WriteSync,
    ) -> (io::Result<usize>, Option<WriteData>) {
        let rest = &data[done..];
        let (address, len) = (rest.as_ptr(), u32_of(rest.len()));
        #[cfg(test)]
        let (len, injected) = self.inner.ring.faults().next(len);
        let position = position + done as u64;
        let flags = if sync == WriteSync::Dsync { libc::RWF_DSYNC } else { 0 };
        let registered = match &data {
            WriteData::Slice(_) => self.inner.ring.buffer_index(address.addr()),
            WriteData::Heap(_) => None,
        };
        let entry = match registered {
            Some(index) => opcode::WriteFixed::new(self.fd(), address, len, index)
                .offset(position)
                .rw_flags(flags)
                .build(),
            None => opcode::Write::new(self.fd(), address, len).offset(position).rw_flags(flags).build(),
        };
        let syncs = if sync == WriteSync::Dsync { Syncs::Write } else { Syncs::Nothing };
        let keep = Keep { file: Some(self.clone()), data: Some(data), syncs, ..Keep::default() };
        // SAFETY: the entry points into `data`: arena or heap memory that does not move with its handle, is immutable,
        // and is kept in the slot until the completion.
        let (result, keep) = unsafe { self.inner.ring.start(entry, keep) }.await;
        #[cfg(test)]
        let result = injected.unwrap_or(result);
        (checked(result).map(|bytes| usize::try_from(bytes).unwrap_or_default()), keep.data)
    }

    async fn read_once(
        &self,
        mut buffer: ReadBuffer,
        done: usize,
        position: u64,
        len_bytes: usize,
    ) -> (io::Result<usize>, Option<ReadBuffer>) {
        assert!(len_bytes <= buffer.capacity(), "a read fits its buffer");
        let address = buffer.as_mut_ptr().wrapping_add(done);
        let len = u32_of(len_bytes - done);
        #[cfg(test)]
        let (len, injected) = self.inner.ring.faults().next(len);
        let position = position + done as u64;
        let entry = match self.inner.ring.buffer_index(address.addr()) {
            Some(index) => opcode::ReadFixed::new(self.fd(), address, len, index).offset(position).build(),
            None => opcode::Read::new(self.fd(), address, len).offset(position).build(),
        };
        let keep = Keep { file: Some(self.clone()), buffer: Some(buffer), ..Keep::default() };
        // SAFETY: the entry points into the chunk that `buffer` alone owns, kept in the slot until the completion.
        let (result, keep) = unsafe { self.inner.ring.start(entry, keep) }.await;
        #[cfg(test)]
        let result = injected.unwrap_or(result);
        (checked(result).map(|bytes| usize::try_from(bytes).unwrap_or_default()), keep.buffer)
    }
}

impl DiskFile for UringFile {
    async fn write(&self, data: WriteData, position: u64, sync: WriteSync) -> Result<(), DiskError> {
        let mut data = data;
        let mut done = 0;
        while done < data.len() {
            let (outcome, kept) = self.write_once(data, done, position, sync).await;
            data = kept.expect("a write hands its data back");
            match outcome {
                Ok(bytes) => {
                    // A short write is continued. Direct I/O takes whole blocks, so a block that was cut is written again.
                    let is_direct = self.inner.io == IoMode::Direct;
                    let end = done + bytes;
                    let end = if is_direct { end - end % crate::buffer::BLOCK_BYTES } else { end };
                    if end <= done {
                        let nothing = io::ErrorKind::WriteZero.into();
                        return Err(self.error(DiskOp::Write, position + done as u64, nothing));
                    }
                    done = end;
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(self.error(DiskOp::Write, position + done as u64, error)),
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        buffer: ReadBuffer,
        position: u64,
        len_bytes: usize,
    ) -> Result<(ReadBuffer, usize), DiskError> {
        let mut counted = self.inner.ring.begin_read();
        let mut buffer = buffer;
        let mut done = 0;
        // The furthest byte inside a block at which a read has ended.
        let mut furthest = 0;
        while done < len_bytes {
            let (outcome, kept) = self.read_once(buffer, done, position, len_bytes).await;
            buffer = kept.expect("a read hands its buffer back");
            match outcome {
                Ok(0) => break,
                Ok(bytes) => {
                    done += bytes;
                    // Direct I/O continues only at the start of a block. A read that ends inside a block has reached
                    // the end of the file, or the kernel has cut it short. In the second case the block is read again.
                    let in_block = done % crate::buffer::BLOCK_BYTES;
                    if self.inner.io == IoMode::Direct && in_block > 0 {
                        if position + done as u64 >= self.stat_size()? {
                            break;
                        }
                        if done <= furthest {
                            let stops =
                                "reads end again and again inside a block, before the end of the file";
                            let error = io::Error::new(io::ErrorKind::UnexpectedEof, stops);
                            return Err(self.error(DiskOp::Read, position + done as u64, error));
                        }
                        furthest = done;
                        done -= in_block;
                    }
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(self.error(DiskOp::Read, position + done as u64, error)),
            }
        }
        counted.bytes = done as u64;
        Ok((buffer, done))
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.fsync(self.fd(), types::FsyncFlags::DATASYNC, DiskOp::Sync).await
    }

    async fn flush(&self, failed_syncs: u64) -> Result<(), DiskError> {
        let domain = self.inner.domain.as_ref().expect("it has a flush domain");
        let fd = domain.flush_through.as_ref().map_or(self.fd(), |dir| types::Fd(dir.as_raw_fd()));
        self.fsync(fd, types::FsyncFlags::DATASYNC, DiskOp::Sync).await?;
        self.check_syncs(failed_syncs)
    }

    async fn allocate(&self, len_bytes: u64) -> Result<(), DiskError> {
        let entry = opcode::Fallocate::new(self.fd(), len_bytes).build();
        self.run_without_memory(DiskOp::Allocate, entry).await.map(drop)
    }

    async fn truncate(&self, len_bytes: u64) -> Result<(), DiskError> {
        let entry = opcode::Ftruncate::new(self.fd(), len_bytes).build();
        match self.run_without_memory(DiskOp::Truncate, entry).await {
            Err(error) if error.source.kind() == io::ErrorKind::InvalidInput => {
                rustix::fs::ftruncate(&*self.inner.fd, len_bytes)
                    .map_err(|error| self.error(DiskOp::Truncate, len_bytes, error.into()))
            }
            outcome => outcome.map(drop),
        }
    }

    fn flush_domain(&self) -> Option<u64> {
        self.inner.domain.as_ref().map(|domain| domain.device)
    }

    fn failed_syncs(&self) -> u64 {
        self.inner.failures.count()
    }

    fn check_syncs(&self, failed_syncs: u64) -> Result<(), DiskError> {
        self.inner.failures.check(failed_syncs, &self.inner.path)
    }

    async fn next_data(&self, position: u64) -> Result<Option<Range<u64>>, DiskError> {
        let failed = |error: rustix::io::Errno| self.error(DiskOp::Read, position, error.into());
        let fd = &*self.inner.fd;
        let start = match rustix::fs::seek(fd, SeekFrom::Data(position)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            // The file system does not report holes: all bytes may be data.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => {
                let size = self.size().await?;
                return Ok((position < size).then_some(position..size));
            }
            Err(error) => return Err(failed(error)),
        };
        let end = rustix::fs::seek(fd, SeekFrom::Hole(start)).map_err(failed)?;
        Ok(Some(start..end))
    }

    async fn size(&self) -> Result<u64, DiskError> {
        self.stat_size()
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN))
}
