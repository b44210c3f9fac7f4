//! The timed loop: it keeps `depth` operations in flight over prepared files and counts the completed ones.

use super::ring::{Direction, Operation, Ring};
use super::{CeilingSlice, CeilingSpec, DeviceError, Sync, Work};
use crate::host::usage::process_cpu_s;
use crate::num;
use hdrhistogram::Histogram;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest latency that the histogram holds, in ns: one hour. The kernel gives up on a device that does not answer
/// earlier than that.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// The files that a lap works on, all of the same size.
#[derive(Debug)]
pub(super) struct Area {
    /// Path and handle of each file.
    pub(super) files: Vec<(PathBuf, File)>,
    /// Number of bytes to read or write in each file.
    pub(super) file_bytes: u64,
}

/// How often a lap may use a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passes {
    /// Once: the lap ends when every block has been used, even if there is time left.
    One,
    /// Again and again from the start, until the time is over.
    Endless,
}

/// An operation in flight, or the last one of an idle slot.
#[derive(Debug, Clone, Copy)]
struct Slot {
    started: Instant,
    file: usize,
    position: u64,
    done: u32,
}

/// Measures one slice in one lap or in several. The time between laps is not measured.
pub(super) struct Runner<'a> {
    spec: CeilingSpec,
    ring: Ring,
    slots: Vec<Slot>,
    idle: Vec<u32>,
    stop: &'a AtomicBool,
    total: CeilingSlice,
}

impl<'a> Runner<'a> {
    /// Makes the ring and its buffers. A lap ends with [`DeviceError::Interrupted`] once `stop` is true.
    pub(super) fn new(spec: &CeilingSpec, stop: &'a AtomicBool) -> Result<Self, DeviceError> {
        let ring = Ring::new(spec)?;
        let unused = Slot { started: Instant::now(), file: 0, position: 0, done: 0 };
        let total = CeilingSlice {
            spec: *spec,
            ops: 0,
            bytes: 0,
            elapsed: Duration::ZERO,
            synced_elapsed: None,
            cpu_s: 0.0,
            latency_ns: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
                .expect("the bounds are apart and three digits are within 0 to 5"),
            registration: ring.registration(),
        };
        let slots = (0..spec.depth).map(|_| unused).collect();
        Ok(Self { spec: *spec, ring, slots, idle: (0..spec.depth).rev().collect(), stop, total })
    }

    /// Returns how much of the slice's time is left.
    pub(super) fn remaining(&self) -> Duration {
        self.spec.slice.saturating_sub(self.total.elapsed)
    }

    /// Works on `area` until the slice's time is over or every block of the pass has been used.
    pub(super) fn lap(&mut self, area: &Area, passes: Passes) -> Result<(), DeviceError> {
        let cpu_before_s = process_cpu_s();
        let begun = Instant::now();
        let outcome = self.run(area, passes, begun);
        if outcome.is_err() {
            // The caller closes the files after an error, so no operation on them may stay in flight.
            self.ring.drain()?;
        }
        self.total.elapsed += begun.elapsed();
        self.total.cpu_s += process_cpu_s() - cpu_before_s;
        outcome
    }

    /// Syncs the writes that the lap made through the page cache. This time is counted separately.
    pub(super) fn sync(&mut self, area: &Area) -> Result<(), DeviceError> {
        let begun = Instant::now();
        for (path, file) in &area.files {
            file.sync_data().map_err(|source| super::scratch::file_error("sync", path, source))?;
        }
        *self.total.synced_elapsed.get_or_insert_default() += begun.elapsed();
        Ok(())
    }

    /// Returns the figures of the slice.
    pub(super) fn finish(mut self) -> CeilingSlice {
        if let Some(sync) = &mut self.total.synced_elapsed {
            *sync += self.total.elapsed;
        }
        self.total
    }

    fn run(&mut self, area: &Area, passes: Passes, begun: Instant) -> Result<(), DeviceError> {
        let mut blocks = Blocks::new(area, self.spec.block_bytes, passes);
        let deadline = self.remaining();
        let mut now = begun;
        loop {
            if now - begun < deadline {
                self.start(area, &mut blocks, now);
            }
            if self.ring.in_flight() == 0 {
                return Ok(());
            }
            self.ring.enter(self.spec.reap)?;
            now = Instant::now();
            while let Some((slot, result)) = self.ring.completion() {
                self.complete(area, slot, result, now)?;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(DeviceError::Interrupted);
            }
        }
    }

    /// Starts an operation on the next block for every idle slot.
    fn start(&mut self, area: &Area, blocks: &mut Blocks, now: Instant) {
        while let Some(slot) = self.idle.pop() {
            let Some((file, position)) = blocks.next() else {
                self.idle.push(slot);
                return;
            };
            self.slots[index(slot)] = Slot { started: now, file, position, done: 0 };
            self.push(area, slot);
        }
    }

    fn push(&mut self, area: &Area, slot: u32) {
        let Slot { file, position, done, .. } = self.slots[index(slot)];
        let direction = match self.spec.work {
            Work::Read => Direction::Read,
            Work::Write { sync: Sync::None, .. } => Direction::Write,
            Work::Write { sync: Sync::Dsync, .. } => Direction::WriteDsync,
        };
        let fd = area.files[file].1.as_raw_fd();
        self.ring.push(Operation { slot, direction, fd, position, done });
    }

    /// Counts a completed operation. A short one is continued where it stopped. One that moved no bytes has failed.
    fn complete(&mut self, area: &Area, slot: u32, result: i32, now: Instant) -> Result<(), DeviceError> {
        let block_bytes = self.spec.block_bytes;
        let state = &mut self.slots[index(slot)];
        match u32::try_from(result) {
            Ok(0) => return Err(self.failed(area, slot, io::ErrorKind::WriteZero.into())),
            Ok(moved) => state.done += moved,
            Err(_) => {
                let error = io::Error::from_raw_os_error(-result);
                if !matches!(Errno::from_io_error(&error), Some(Errno::INTR | Errno::AGAIN)) {
                    return Err(self.failed(area, slot, error));
                }
            }
        }
        assert!(state.done <= block_bytes, "the kernel moves no more than it was asked to");
        if state.done < block_bytes {
            self.push(area, slot);
            return Ok(());
        }
        self.total.latency_ns.saturating_record(num::ns_of(now - state.started).max(1));
        self.total.ops += 1;
        self.total.bytes += u64::from(block_bytes);
        self.idle.push(slot);
        Ok(())
    }

    fn failed(&self, area: &Area, slot: u32, source: io::Error) -> DeviceError {
        let Slot { file, position, done, .. } = self.slots[index(slot)];
        let op = match self.spec.work {
            Work::Read => "read",
            Work::Write { .. } => "write",
        };
        DeviceError::Io {
            op,
            path: area.files[file].0.clone(),
            position: position + u64::from(done),
            length: self.spec.block_bytes - done,
            source,
        }
    }
}

/// The order in which blocks are used: one block of each file in turn, each file from its beginning to its end.
#[derive(Debug)]
struct Blocks {
    files: u64,
    blocks_per_file: u64,
    block_bytes: u64,
    passes: Passes,
    next: u64,
}

impl Blocks {
    fn new(area: &Area, block_bytes: u32, passes: Passes) -> Self {
        let block_bytes = u64::from(block_bytes);
        let blocks_per_file = area.file_bytes / block_bytes;
        assert!(blocks_per_file > 0, "the session refuses files smaller than a block");
        let files = u64::try_from(area.files.len()).expect("at most FILES_MAX files");
        Self { files, blocks_per_file, block_bytes, passes, next: 0 }
    }

    /// Returns the file and the position of the next block, or `None` at the end of a single pass.
    fn next(&mut self) -> Option<(usize, u64)> {
        if self.passes == Passes::One && self.next == self.files * self.blocks_per_file {
            return None;
        }
        let file = usize::try_from(self.next % self.files).expect("less than the number of files");
        let block = self.next / self.files % self.blocks_per_file;
        self.next += 1;
        Some((file, block * self.block_bytes))
    }
}

/// Converts the number of a slot into an index. There are at most [`super::DEPTH_MAX`] slots.
fn index(slot: u32) -> usize {
    slot as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(files: usize, file_bytes: u64) -> Area {
        let file = || (PathBuf::from("/dev/null"), File::open("/dev/null").unwrap());
        Area { files: (0..files).map(|_| file()).collect(), file_bytes }
    }

    #[test]
    fn one_pass_touches_every_whole_block_once_files_in_turn() {
        let mut blocks = Blocks::new(&area(3, 4096 * 2 + 100), 4096, Passes::One);
        let order: Vec<_> = std::iter::from_fn(|| blocks.next()).collect();
        assert_eq!(order, [(0, 0), (1, 0), (2, 0), (0, 4096), (1, 4096), (2, 4096)]);
    }

    #[test]
    fn endless_passes_begin_again() {
        let mut blocks = Blocks::new(&area(1, 8192), 4096, Passes::Endless);
        let order: Vec<_> = (0..5).filter_map(|_| blocks.next()).map(|(_, position)| position).collect();
        assert_eq!(order, [0, 4096, 0, 4096, 0]);
    }
}
