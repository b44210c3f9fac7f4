//! A session of slices in one directory. It keeps written files between slices, and makes fresh files for the slices
//! that need them. The time for that is not measured.

use super::buffers::Buffers;
use super::scratch::{self, Scratch, file_error};
use super::slice::{Area, Passes, Runner};
use super::{CeilingSlice, CeilingSpec, DeviceError, Extent, Reap, Sync, Work};
use crate::workload::Io;
use rustix::fs::Advice;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Size in bytes of the writes that fill files.
const FILL_BYTES: u32 = 1 << 20;

/// Measures slices in one directory. The files lie in a hidden directory inside it and take at most the bytes given to
/// [`Ceiling::open`]. They are removed on drop. If the process is killed, the next session removes them.
#[derive(Debug)]
pub struct Ceiling {
    /// Declared before `scratch`, so that the files are closed before their directory is removed.
    written: Option<Written>,
    scratch: Scratch,
    /// Bytes that one set of files may take. There are at most two sets.
    set_bytes: u64,
    stop: Arc<AtomicBool>,
}

/// Files whose every block has been written.
#[derive(Debug, Clone, Copy)]
struct Written {
    files: u32,
    file_bytes: u64,
}

/// The device's best rates: blocks of 1 MiB, depth 8, direct I/O, over written extents.
#[derive(Debug)]
pub struct DeviceBest {
    /// Overwriting without a sync.
    pub write: CeilingSlice,
    /// Reading.
    pub read: CeilingSlice,
}

/// The cost of 4 KiB `RWF_DSYNC` writes, one at a time.
#[derive(Debug)]
pub struct Dsync4k {
    /// Writes into fallocated space.
    pub fallocated: CeilingSlice,
    /// Writes over written extents.
    pub overwriting: CeilingSlice,
}

impl Ceiling {
    /// The default limit on the disk space of a session, in bytes.
    pub const BYTES_MAX_DEFAULT: u64 = crate::workload::limits::CEILING_BYTES_MAX;

    /// Begins a session in `dir`, which must exist. It takes at most `bytes_max` of disk space, and never more than
    /// half of the free space. A slice that needs more is refused with [`DeviceError::NoSpace`].
    pub fn open(dir: &Path, bytes_max: u64) -> Result<Self, DeviceError> {
        let scratch = Scratch::new(dir)?;
        let set_bytes = bytes_max.min(scratch.free_bytes()? / 2) / 2;
        Ok(Self { written: None, scratch, set_bytes, stop: Arc::default() })
    }

    /// Sets the flag that stops the session. Once the flag is true, the slice in progress and every later one end with
    /// [`DeviceError::Interrupted`].
    #[must_use]
    pub fn stopped_by(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = flag;
        self
    }

    /// Measures one slice on the calling thread. It blocks the thread for about `spec.slice` and the time to prepare
    /// files.
    pub fn measure(&mut self, spec: &CeilingSpec) -> Result<CeilingSlice, DeviceError> {
        spec.validate()?;
        self.slice(spec).map_err(|error| self.explain(error, spec))
    }

    /// Measures the two slices of a [`DeviceBest`].
    pub fn device_best(&mut self, slice: Duration) -> Result<DeviceBest, DeviceError> {
        let overwriting = Work::Write { extent: Extent::Overwrite, sync: Sync::None };
        Ok(DeviceBest {
            write: self.measure(&CeilingSpec::best(overwriting, slice))?,
            read: self.measure(&CeilingSpec::best(Work::Read, slice))?,
        })
    }

    /// Measures the two slices of a [`Dsync4k`].
    pub fn dsync_4k(&mut self, io: Io, reap: Reap, slice: Duration) -> Result<Dsync4k, DeviceError> {
        Ok(Dsync4k {
            fallocated: self.measure(&CeilingSpec::dsync_4k(Extent::Fallocated, io, reap, slice))?,
            overwriting: self.measure(&CeilingSpec::dsync_4k(Extent::Overwrite, io, reap, slice))?,
        })
    }

    fn slice(&mut self, spec: &CeilingSpec) -> Result<CeilingSlice, DeviceError> {
        let stop = Arc::clone(&self.stop);
        let file_bytes = self.file_bytes(spec)?;
        let mut runner = Runner::new(spec, &stop)?;
        match spec.work {
            Work::Read | Work::Write { extent: Extent::Overwrite, .. } => {
                let area = self.written_area(spec, file_bytes)?;
                over_written(&mut runner, &area, spec)?;
            }
            Work::Write { extent, .. } => {
                let outcome = self.over_fresh(&mut runner, extent, spec, file_bytes);
                self.remove("fresh", spec.files)?;
                outcome?;
            }
        }
        Ok(runner.finish())
    }

    /// Returns the size of each file, so that all files fit the limit and no block is in flight twice.
    fn file_bytes(&self, spec: &CeilingSpec) -> Result<u64, DeviceError> {
        let files = u64::from(spec.files);
        let fill = u64::from(FILL_BYTES);
        let whole = |bytes: u64, unit: u64| bytes / unit * unit;
        let file_bytes = match self.set_bytes / files {
            plenty if plenty >= fill => whole(plenty, fill),
            little => whole(little, u64::from(super::BLOCK_ALIGN_BYTES)),
        };
        let block_bytes = u64::from(spec.block_bytes);
        if file_bytes / block_bytes * files < 2 * u64::from(spec.depth) || file_bytes < block_bytes {
            return Err(self.no_space(spec)?);
        }
        Ok(file_bytes)
    }

    /// Works in fresh files until the slice's time is over. When every block is used, it makes the next fresh files.
    fn over_fresh(
        &self,
        runner: &mut Runner<'_>,
        extent: Extent,
        spec: &CeilingSpec,
        file_bytes: u64,
    ) -> Result<(), DeviceError> {
        while !runner.remaining().is_zero() {
            self.remove("fresh", spec.files)?;
            let area = self.open_area("fresh", spec, file_bytes)?;
            if extent == Extent::Fallocated {
                for (path, file) in &area.files {
                    scratch::allocate(file, path, file_bytes, self.scratch.parent())?;
                }
            }
            self.scratch.sync()?;
            runner.lap(&area, Passes::One)?;
            if spec.io == Io::Buffered {
                runner.sync(&area)?;
            }
        }
        Ok(())
    }

    /// Opens the written files with the flags of `spec`. Writes them first, unless an earlier slice has done so.
    fn written_area(&mut self, spec: &CeilingSpec, file_bytes: u64) -> Result<Area, DeviceError> {
        let fits = |written: &Written| written.files == spec.files && written.file_bytes == file_bytes;
        if !self.written.as_ref().is_some_and(fits) {
            if let Some(old) = self.written.take() {
                self.remove("written", old.files)?;
            }
            let area = self.open_area("written", spec, file_bytes)?;
            if let Err(error) = self.fill(&area) {
                self.remove("written", spec.files)?;
                return Err(error);
            }
            self.scratch.sync()?;
            self.written = Some(Written { files: spec.files, file_bytes });
        }
        self.open_area("written", spec, file_bytes)
    }

    fn fill(&self, area: &Area) -> Result<(), DeviceError> {
        let length = area.file_bytes.min(u64::from(FILL_BYTES));
        let length = usize::try_from(length).expect("1 MiB fits the address space");
        let mut buffers = Buffers::new(length)?;
        let bytes = buffers.bytes_mut();
        for (path, file) in &area.files {
            let mut position = 0;
            while position < area.file_bytes {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(DeviceError::Interrupted);
                }
                // A file's size is a multiple of FILL_BYTES, or less than FILL_BYTES.
                file.write_all_at(bytes, position).map_err(|source| file_error("fill", path, source))?;
                position += u64::from(FILL_BYTES).min(area.file_bytes);
            }
            file.sync_all().map_err(|source| file_error("sync", path, source))?;
        }
        Ok(())
    }

    fn open_area(&self, kind: &str, spec: &CeilingSpec, file_bytes: u64) -> Result<Area, DeviceError> {
        let open = |number| {
            let path = self.path(kind, number);
            let file = scratch::open(&path, spec.io, self.scratch.parent())?;
            Ok((path, file))
        };
        let files = (0..spec.files).map(open).collect::<Result<_, DeviceError>>()?;
        Ok(Area { files, file_bytes })
    }

    fn remove(&self, kind: &str, files: u32) -> Result<(), DeviceError> {
        for number in 0..files {
            let path = self.path(kind, number);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(file_error("remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self, kind: &str, number: u32) -> PathBuf {
        self.scratch.file(&format!("{kind}-{number}"))
    }

    /// Turns any error of a full disk into [`DeviceError::NoSpace`], which says how much space is needed.
    fn explain(&self, error: DeviceError, spec: &CeilingSpec) -> DeviceError {
        let (DeviceError::File { source, .. } | DeviceError::Io { source, .. }) = &error else {
            return error;
        };
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                self.no_space(spec).unwrap_or(error)
            }
            _ => error,
        }
    }

    fn no_space(&self, spec: &CeilingSpec) -> Result<DeviceError, DeviceError> {
        // Two sets, and as much again that stays free. A set holds a block for each file, and twice the buffers.
        let set = (2 * spec.buffer_bytes()).max(u64::from(spec.files) * u64::from(spec.block_bytes));
        Ok(DeviceError::NoSpace {
            dir: self.scratch.parent().to_owned(),
            free_bytes: self.scratch.free_bytes()?,
            needed_bytes: 4 * set.max(self.set_bytes),
        })
    }
}

/// Works on written files. Direct operations repeat over the files until the time is over. Buffered ones use each block
/// once in a lap, and the files are dropped from the page cache before each lap; otherwise memory would be measured.
fn over_written(runner: &mut Runner<'_>, area: &Area, spec: &CeilingSpec) -> Result<(), DeviceError> {
    if spec.io == Io::Direct {
        return runner.lap(area, Passes::Endless);
    }
    while !runner.remaining().is_zero() {
        for (path, file) in &area.files {
            rustix::fs::fadvise(file, 0, None, Advice::DontNeed)
                .map_err(|errno| file_error("drop from the page cache", path, errno.into()))?;
        }
        runner.lap(area, Passes::One)?;
        if spec.work != Work::Read {
            runner.sync(area)?;
        }
    }
    Ok(())
}
