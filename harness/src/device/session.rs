//! A session of slices in one directory. It keeps written files between slices, and makes fresh files for the slices
//! that need them. The time for that is not measured.

use super::buffers::Buffers;
use super::replay::{Deck, Replay};
use super::ring::RingSize;
use super::scratch::{self, Scratch, file_error};
use super::slice::{Area, Blocks, Passes, Runner, Setup, Totals};
use super::{
    BLOCK_ALIGN_BYTES, CeilingSlice, CeilingSpec, DeviceError, Extent, Reap, ReplaySlice, ReplaySync, Work,
};
use crate::host::storage::{Disk, disk_under};
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
    /// The disk whose bytes are counted; `None` if the file system has none.
    disk: Option<Disk>,
    stop: Arc<AtomicBool>,
}

/// Files whose every block has been written.
#[derive(Debug, Clone, Copy)]
struct Written {
    files: u32,
    file_bytes: u64,
}

/// The space that a slice needs.
#[derive(Debug, Clone, Copy)]
struct Needs {
    files: u32,
    /// Bytes of the largest operation.
    block_bytes: u32,
    /// Largest number of operations in flight.
    depth: u32,
}

/// A set of files of one size, and how they are opened.
#[derive(Debug, Clone, Copy)]
struct Layout {
    files: u32,
    file_bytes: u64,
    io: Io,
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
        Ok(Self { written: None, scratch, set_bytes, disk: disk_under(dir), stop: Arc::default() })
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
        self.slice(spec).map_err(|error| self.explain(error, Needs::of(spec)))
    }

    /// Measures one slice of writes like those of a trial. It blocks the thread for about `slice` and the time to prepare
    /// files.
    pub fn replay(
        &mut self,
        replay: &Replay,
        reap: Reap,
        slice: Duration,
    ) -> Result<ReplaySlice, DeviceError> {
        replay.validate()?;
        self.replayed(replay, reap, slice).map_err(|error| self.explain(error, Needs::of_replay(replay)))
    }

    /// Measures the two slices of a [`Dsync4k`].
    pub fn dsync_4k(&mut self, io: Io, reap: Reap, slice: Duration) -> Result<Dsync4k, DeviceError> {
        Ok(Dsync4k {
            fallocated: self.measure(&CeilingSpec::dsync_4k(Extent::Fallocated, io, reap, slice))?,
            overwriting: self.measure(&CeilingSpec::dsync_4k(Extent::Overwrite, io, reap, slice))?,
        })
    }

    fn slice(&mut self, spec: &CeilingSpec) -> Result<CeilingSlice, DeviceError> {
        let (stop, disk) = (Arc::clone(&self.stop), self.disk.clone());
        let layout = self.layout(Needs::of(spec), spec.io)?;
        let mut runner = Runner::new(Setup::of(spec), disk.as_ref(), &stop)?;
        match spec.work {
            Work::Read | Work::Write { extent: Extent::Overwrite, .. } => {
                let area = self.written_area(layout)?;
                over_written(&mut runner, &area, spec)?;
            }
            Work::Write { extent, .. } => {
                let outcome = self.over_fresh(&mut runner, extent, spec, layout);
                self.remove("fresh", spec.files)?;
                outcome?;
            }
        }
        let Totals { ops, bytes, elapsed, synced_elapsed, cpu_s, latency_ns, registration, disk, .. } =
            runner.finish();
        let spec = *spec;
        Ok(CeilingSlice { spec, ops, bytes, elapsed, synced_elapsed, cpu_s, latency_ns, registration, disk })
    }

    fn replayed(&mut self, replay: &Replay, reap: Reap, slice: Duration) -> Result<ReplaySlice, DeviceError> {
        let (stop, disk) = (Arc::clone(&self.stop), self.disk.clone());
        let layout = self.layout(Needs::of_replay(replay), replay.io)?;
        let (operations, buffers) = (replay.unfinished_max(), replay.buffers());
        let group_writes = match replay.sync {
            // A group that does not fit into the slots would never be complete.
            ReplaySync::Groups { writes_mean, .. } => writes_mean.min(f64::from(operations)),
            ReplaySync::None | ReplaySync::Background { .. } | ReplaySync::Each => 1.0,
        };
        let setup = Setup {
            ring: RingSize { operations, buffer_bytes: replay.bytes_max(), buffers },
            depth: replay.depth,
            group_writes,
            background_bytes: replay.background_bytes(),
            reap,
            slice,
        };
        let mut runner = Runner::new(setup, disk.as_ref(), &stop)?;
        if replay.background_bytes().is_some() {
            runner.flushes_by(self.flushed_file()?);
        }
        let outcome = self.over_both(&mut runner, replay, layout);
        self.remove("fresh", replay.files)?;
        outcome?;
        let Totals { ops, bytes, elapsed, synced_elapsed, disk, flushes, .. } = runner.finish();
        Ok(ReplaySlice { io: replay.io, ops, bytes, elapsed, synced_elapsed, disk, flushes })
    }

    /// Returns the size of each file, so that all files fit the limit and no block is in flight twice.
    fn layout(&self, needs: Needs, io: Io) -> Result<Layout, DeviceError> {
        let files = u64::from(needs.files);
        let fill = u64::from(FILL_BYTES);
        let whole = |bytes: u64, unit: u64| bytes / unit * unit;
        let file_bytes = match self.set_bytes / files {
            plenty if plenty >= fill => whole(plenty, fill),
            little => whole(little, u64::from(super::BLOCK_ALIGN_BYTES)),
        };
        let block_bytes = u64::from(needs.block_bytes);
        if file_bytes / block_bytes * files < 2 * u64::from(needs.depth) || file_bytes < block_bytes {
            return Err(self.no_space(needs)?);
        }
        Ok(Layout { files: needs.files, file_bytes, io })
    }

    /// Works in fresh files until the slice's time is over. When every block is used, it makes the next fresh files.
    fn over_fresh(
        &self,
        runner: &mut Runner<'_>,
        extent: Extent,
        spec: &CeilingSpec,
        layout: Layout,
    ) -> Result<(), DeviceError> {
        while runner.needs_lap() {
            let area = self.fresh_area(extent, layout)?;
            runner.lap(&area, &mut Blocks::new(&area, spec, Passes::One))?;
            if spec.io == Io::Buffered {
                runner.sync(&area)?;
            }
        }
        Ok(())
    }

    /// Works in written and in fresh files, as the replay says, until the slice's time is over.
    fn over_both(
        &mut self,
        runner: &mut Runner<'_>,
        replay: &Replay,
        layout: Layout,
    ) -> Result<(), DeviceError> {
        let mut deck = Deck::new(replay, layout.file_bytes);
        let (has_written, has_fresh) = replay.extents();
        while runner.needs_lap() {
            let mut area = Area { files: Vec::new(), file_bytes: layout.file_bytes };
            if has_written {
                area.files.extend(self.written_area(layout)?.files);
                if layout.io == Io::Buffered {
                    drop_from_page_cache(&area)?;
                }
            }
            if has_fresh {
                area.files.extend(self.fresh_area(replay.fresh, layout)?.files);
            }
            deck.begin_lap();
            runner.lap(&area, &mut deck)?;
            if layout.io == Io::Buffered {
                runner.sync(&area)?;
            }
        }
        Ok(())
    }

    /// Makes a file of one block that is on stable storage. Its sync flushes the device's cache and writes nothing.
    fn flushed_file(&self) -> Result<(PathBuf, fs::File), DeviceError> {
        let path = self.scratch.file("flushed");
        let file = scratch::open(&path, Io::Buffered, self.scratch.parent())?;
        file.write_all_at(&[0; BLOCK_ALIGN_BYTES as usize], 0)
            .map_err(|source| file_error("write", &path, source))?;
        file.sync_all().map_err(|source| file_error("sync", &path, source))?;
        self.scratch.sync()?;
        Ok((path, file))
    }

    /// Makes fresh files. Removes those of the lap before.
    fn fresh_area(&self, extent: Extent, layout: Layout) -> Result<Area, DeviceError> {
        self.remove("fresh", layout.files)?;
        let area = self.open_area("fresh", layout)?;
        if extent == Extent::Fallocated {
            for (path, file) in &area.files {
                scratch::allocate(file, path, layout.file_bytes, self.scratch.parent())?;
            }
        }
        self.scratch.sync()?;
        Ok(area)
    }

    /// Opens the written files. Writes them first, unless an earlier slice has done so.
    fn written_area(&mut self, layout: Layout) -> Result<Area, DeviceError> {
        let fits =
            |written: &Written| written.files == layout.files && written.file_bytes == layout.file_bytes;
        if !self.written.as_ref().is_some_and(fits) {
            if let Some(old) = self.written.take() {
                self.remove("written", old.files)?;
            }
            let area = self.open_area("written", layout)?;
            if let Err(error) = self.fill(&area) {
                self.remove("written", layout.files)?;
                return Err(error);
            }
            self.scratch.sync()?;
            self.written = Some(Written { files: layout.files, file_bytes: layout.file_bytes });
        }
        self.open_area("written", layout)
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

    fn open_area(&self, kind: &str, layout: Layout) -> Result<Area, DeviceError> {
        let open = |number| {
            let path = self.path(kind, number);
            let file = scratch::open(&path, layout.io, self.scratch.parent())?;
            Ok((path, file))
        };
        let files = (0..layout.files).map(open).collect::<Result<_, DeviceError>>()?;
        Ok(Area { files, file_bytes: layout.file_bytes })
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
    fn explain(&self, error: DeviceError, needs: Needs) -> DeviceError {
        let (DeviceError::File { source, .. } | DeviceError::Io { source, .. }) = &error else {
            return error;
        };
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                self.no_space(needs).unwrap_or(error)
            }
            _ => error,
        }
    }

    fn no_space(&self, needs: Needs) -> Result<DeviceError, DeviceError> {
        // Two sets, and as much again that stays free. A set holds a block for each file, and twice the buffers.
        let Needs { files, block_bytes, depth } = needs;
        let (files, block_bytes, depth) = (u64::from(files), u64::from(block_bytes), u64::from(depth));
        let set = (2 * block_bytes * depth).max(files * block_bytes);
        Ok(DeviceError::NoSpace {
            dir: self.scratch.parent().to_owned(),
            free_bytes: self.scratch.free_bytes()?,
            needed_bytes: 4 * set.max(self.set_bytes),
        })
    }
}

impl Needs {
    fn of(spec: &CeilingSpec) -> Self {
        let CeilingSpec { files, block_bytes, depth, .. } = *spec;
        Self { files, block_bytes, depth }
    }

    fn of_replay(replay: &Replay) -> Self {
        Self { files: replay.files, block_bytes: replay.bytes_max(), depth: replay.unfinished_max() }
    }
}

/// Works on written files. Direct operations repeat over the files until the time is over. Buffered ones use each block
/// once in a lap, and the files are dropped from the page cache before each lap; otherwise memory would be measured.
fn over_written(runner: &mut Runner<'_>, area: &Area, spec: &CeilingSpec) -> Result<(), DeviceError> {
    if spec.io == Io::Direct {
        return runner.lap(area, &mut Blocks::new(area, spec, Passes::Endless));
    }
    while runner.needs_lap() {
        drop_from_page_cache(area)?;
        runner.lap(area, &mut Blocks::new(area, spec, Passes::One))?;
        if spec.work != Work::Read {
            runner.sync(area)?;
        }
    }
    Ok(())
}

fn drop_from_page_cache(area: &Area) -> Result<(), DeviceError> {
    for (path, file) in &area.files {
        rustix::fs::fadvise(file, 0, None, Advice::DontNeed)
            .map_err(|errno| file_error("drop from the page cache", path, errno.into()))?;
    }
    Ok(())
}
