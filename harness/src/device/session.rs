//! A session of slices over one directory: it keeps written files between slices and makes fresh ones where a slice
//! needs them, all of it off the clock.

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

/// Files are filled in writes of this size.
const FILL_BYTES: u32 = 1 << 20;

/// Measures slices in one directory. Its files (a hidden directory inside it) take at most the bytes given to
/// [`Ceiling::open`] and are removed on drop; those of a killed process by the next session.
#[derive(Debug)]
pub struct Ceiling {
    /// Before `scratch`: files are closed before their directory goes.
    written: Option<Written>,
    scratch: Scratch,
    /// Bytes that one set of files may take; there are at most two sets.
    set_bytes: u64,
    stop: Arc<AtomicBool>,
}

/// Files whose every block has been written.
#[derive(Debug, Clone, Copy)]
struct Written {
    files: u32,
    file_bytes: u64,
}

/// The device's best: 1 MiB, depth 8, direct, over written extents.
#[derive(Debug)]
pub struct DeviceBest {
    /// Overwriting, not synced.
    pub write: CeilingSlice,
    /// Reading.
    pub read: CeilingSlice,
}

/// One 4 KiB `RWF_DSYNC` write at a time.
#[derive(Debug)]
pub struct Dsync4k {
    /// Into fallocated space.
    pub fallocated: CeilingSlice,
    /// Over written extents.
    pub overwriting: CeilingSlice,
}

impl Ceiling {
    /// The disk space a session takes unless told otherwise.
    pub const BYTES_MAX_DEFAULT: u64 = crate::workload::limits::CEILING_BYTES_MAX;

    /// Begins a session in `dir`, which must exist. It takes at most `bytes_max` of disk, and never more than half of
    /// what is free. A slice that does not fit into that is refused with [`DeviceError::NoSpace`].
    pub fn open(dir: &Path, bytes_max: u64) -> Result<Self, DeviceError> {
        let scratch = Scratch::new(dir)?;
        let set_bytes = bytes_max.min(scratch.free_bytes()? / 2) / 2;
        Ok(Self { written: None, scratch, set_bytes, stop: Arc::default() })
    }

    /// Raising the flag ends the slice in progress with [`DeviceError::Interrupted`], and every later one.
    #[must_use]
    pub fn stopped_by(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = flag;
        self
    }

    /// Measures one slice on the calling thread, which it blocks for about `spec.slice` and the time the files need.
    pub fn measure(&mut self, spec: &CeilingSpec) -> Result<CeilingSlice, DeviceError> {
        spec.validate()?;
        self.slice(spec).map_err(|error| self.explain(error, spec))
    }

    /// Measures [`DeviceBest`], two slices.
    pub fn device_best(&mut self, slice: Duration) -> Result<DeviceBest, DeviceError> {
        let overwriting = Work::Write { extent: Extent::Overwrite, sync: Sync::None };
        Ok(DeviceBest {
            write: self.measure(&CeilingSpec::best(overwriting, slice))?,
            read: self.measure(&CeilingSpec::best(Work::Read, slice))?,
        })
    }

    /// Measures [`Dsync4k`], two slices.
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

    /// The length of each file, so that all of them fit and no block is in flight twice.
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

    /// Works in fresh files until the slice's time is up; when they are used up, in the next fresh ones.
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

    /// The written files, opened as `spec` wants them; written first, unless an earlier slice has done it.
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
                // Lengths are whole FILL_BYTES, or less than that altogether.
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

    /// Says that the disk is full in words of its own, whatever noticed it.
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
        // Two sets of at least a block a file and two buffers' worth, and as much again that is left free.
        let set = (2 * spec.buffer_bytes()).max(u64::from(spec.files) * u64::from(spec.block_bytes));
        Ok(DeviceError::NoSpace {
            dir: self.scratch.parent().to_owned(),
            free_bytes: self.scratch.free_bytes()?,
            needed_bytes: 4 * set.max(self.set_bytes),
        })
    }
}

/// Works on written files: direct operations round and round, buffered ones once a lap, with the files dropped from
/// the page cache before each, or it would measure memory.
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
