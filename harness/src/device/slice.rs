//! The timed loop: it keeps `depth` operations in flight over prepared files and counts the completed ones.

use super::flushes::{Background, Groups};
use super::ring::{Direction, Operation, Ring, RingSize};
use super::{CeilingSpec, DeviceError, Reap, Registration, Sync, Work};
use crate::host::procfs::DiskCounters;
use crate::host::storage::Disk;
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
/// Step of the additive sequence that varies the depth: the golden ratio − 1.
const STEP_DEPTH: f64 = 0.618_033_988_749_894_9;

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

/// The next operation of a lap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Index of its file.
    pub(super) file: usize,
    /// The byte of the file at which it begins.
    pub(super) position: u64,
    /// Bytes to move.
    pub(super) length: u32,
    /// Read or write.
    pub(super) direction: Direction,
    /// Whether it shares a flush with other writes.
    pub(super) is_grouped: bool,
}

/// The operations of a lap, in order.
pub(super) trait Order {
    /// Returns the next operation; `None` once the lap has used every block that it may use.
    fn next(&mut self) -> Option<Step>;
}

/// The settings of a runner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    /// Size of the ring.
    pub(super) ring: RingSize,
    /// Mean number of reads or writes in flight, at most `ring.operations`. The other slots are for writes that wait for a flush.
    pub(super) depth: f64,
    /// Mean number of writes that share a flush.
    pub(super) group_writes: f64,
    /// Bytes written between two flushes that no write waits for; `None` without such flushes.
    pub(super) background_bytes: Option<u64>,
    /// The way to wait for completions.
    pub(super) reap: Reap,
    /// The time in which operations are started.
    pub(super) slice: Duration,
}

impl Setup {
    /// Returns the settings for a slice of equal operations.
    pub(super) fn of(spec: &CeilingSpec) -> Self {
        let CeilingSpec { block_bytes: buffer_bytes, depth, reap, slice, .. } = *spec;
        let ring = RingSize { operations: depth, buffer_bytes, buffers: depth };
        Self { ring, depth: f64::from(depth), group_writes: 1.0, background_bytes: None, reap, slice }
    }
}

/// The sums over all laps of a slice.
#[derive(Debug, Clone)]
pub(super) struct Totals {
    pub(super) ops: u64,
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
    pub(super) synced_elapsed: Option<Duration>,
    pub(super) cpu_s: f64,
    pub(super) latency_ns: Histogram<u64>,
    pub(super) registration: Registration,
    /// The disk's own counters over the laps; `None` if it has none.
    pub(super) disk: Option<DiskCounters>,
    /// Flushes, each an operation of its own.
    pub(super) flushes: u64,
}

/// An operation in flight, or the last one of an idle slot.
#[derive(Debug, Clone, Copy)]
struct Slot {
    started: Instant,
    step: Step,
    done: u32,
    /// Number of its group; it has no meaning for a step without one.
    group: u64,
}

/// A flush in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// A flush of a group, by an fdatasync of the lap's file with this index.
    OfGroup(usize),
    /// A flush that no write waits for.
    Background,
}

/// Measures one slice in one lap or in several. The time between laps is not measured.
pub(super) struct Runner<'a> {
    setup: Setup,
    ring: Ring,
    slots: Vec<Slot>,
    idle: Vec<u32>,
    /// Number of reads or writes that may be in flight until the next one ends.
    limit: usize,
    /// Number of reads or writes that have moved their bytes.
    moved: u64,
    /// The flush in flight.
    flushing: Option<Flush>,
    groups: Groups,
    background: Background,
    /// The file whose sync is a background flush: path and handle. The file never changes, so that its sync flushes the device's cache
    /// and needs no entry in the file system's journal.
    flushed_file: Option<(PathBuf, File)>,
    disk: Option<&'a Disk>,
    stop: &'a AtomicBool,
    total: Totals,
}

impl<'a> Runner<'a> {
    /// Makes the ring and its buffers. A lap ends with [`DeviceError::Interrupted`] once `stop` is true. `disk` is the disk
    /// whose bytes are counted.
    pub(super) fn new(
        setup: Setup,
        disk: Option<&'a Disk>,
        stop: &'a AtomicBool,
    ) -> Result<Self, DeviceError> {
        let depth = setup.ring.operations;
        // One more operation than slots: the flush in flight.
        let ring = Ring::new(RingSize { operations: depth + 1, ..setup.ring })?;
        let step = Step { file: 0, position: 0, length: 0, direction: Direction::Read, is_grouped: false };
        let unused = Slot { started: Instant::now(), step, done: 0, group: 0 };
        let total = Totals {
            ops: 0,
            bytes: 0,
            elapsed: Duration::ZERO,
            synced_elapsed: None,
            cpu_s: 0.0,
            latency_ns: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
                .expect("the bounds are apart and three digits are within 0 to 5"),
            registration: ring.registration(),
            disk: None,
            flushes: 0,
        };
        Ok(Self {
            ring,
            slots: (0..depth).map(|_| unused).collect(),
            idle: (0..depth).rev().collect(),
            limit: num::index_of_f64(setup.depth.ceil()),
            moved: 0,
            flushing: None,
            groups: Groups::new(setup.group_writes),
            background: Background::new(setup.background_bytes),
            flushed_file: None,
            setup,
            disk,
            stop,
            total,
        })
    }

    /// Gives the runner the file for its background flushes.
    pub(super) fn flushes_by(&mut self, file: (PathBuf, File)) {
        self.flushed_file = Some(file);
    }

    /// Whether the slice needs another lap.
    pub(super) fn needs_lap(&self) -> bool {
        !self.remaining().is_zero() || self.background.owes_flush()
    }

    /// Returns how much of the slice's time is left.
    fn remaining(&self) -> Duration {
        self.setup.slice.saturating_sub(self.total.elapsed)
    }

    /// Works on `area` until the slice's time is over or the order has no more operations.
    pub(super) fn lap(&mut self, area: &Area, order: &mut dyn Order) -> Result<(), DeviceError> {
        let (cpu_before_s, disk_before) = (process_cpu_s(), self.disk_counters());
        let begun = Instant::now();
        let outcome = self.run(area, order, begun);
        if outcome.is_err() {
            // The caller closes the files after an error, so no operation on them may stay in flight.
            self.ring.drain()?;
            self.groups.clear();
            self.flushing = None;
        }
        self.total.elapsed += begun.elapsed();
        self.total.cpu_s += process_cpu_s() - cpu_before_s;
        self.count_disk(disk_before);
        outcome
    }

    /// Syncs the writes that the lap made through the page cache. This time is counted separately.
    pub(super) fn sync(&mut self, area: &Area) -> Result<(), DeviceError> {
        let disk_before = self.disk_counters();
        let begun = Instant::now();
        for (path, file) in &area.files {
            file.sync_data().map_err(|source| super::scratch::file_error("sync", path, source))?;
        }
        *self.total.synced_elapsed.get_or_insert_default() += begun.elapsed();
        self.count_disk(disk_before);
        Ok(())
    }

    /// Returns the figures of the slice.
    pub(super) fn finish(mut self) -> Totals {
        if let Some(sync) = &mut self.total.synced_elapsed {
            *sync += self.total.elapsed;
        }
        self.total
    }

    fn disk_counters(&self) -> Option<DiskCounters> {
        self.disk.and_then(Disk::counters)
    }

    fn count_disk(&mut self, before: Option<DiskCounters>) {
        let Some((now, before)) = self.disk_counters().zip(before) else { return };
        let lap = now.since(before);
        self.total.disk = Some(self.total.disk.map_or(lap, |sum| sum.and(lap)));
    }

    fn run(&mut self, area: &Area, order: &mut dyn Order, begun: Instant) -> Result<(), DeviceError> {
        let deadline = self.remaining();
        let mut now = begun;
        loop {
            let is_late = now - begun >= deadline;
            if !is_late {
                self.start(area, order, now);
            }
            let is_over = is_late && self.ring.in_flight() == 0;
            if self.background.begin(self.flushing.is_some(), is_over) {
                self.flush(area, Flush::Background);
            }
            // With nothing in flight, no write can join or complete a group any more.
            let is_last = self.ring.in_flight() == 0;
            if let Some(slot) = self.groups.begin_flush(is_last) {
                self.flush(area, Flush::OfGroup(self.slots[num::index(slot)].step.file));
            }
            if self.ring.in_flight() == 0 {
                return Ok(());
            }
            self.ring.enter(self.setup.reap)?;
            now = Instant::now();
            while let Some((slot, result)) = self.ring.completion() {
                self.complete(area, slot, result, now)?;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(DeviceError::Interrupted);
            }
        }
    }

    fn flush(&mut self, area: &Area, flush: Flush) {
        let fd = self.flushed(area, flush).1.as_raw_fd();
        self.ring.push_flush(self.flush_slot(), fd);
        self.flushing = Some(flush);
    }

    /// Returns the file that a flush syncs.
    fn flushed<'f>(&'f self, area: &'f Area, flush: Flush) -> &'f (PathBuf, File) {
        match flush {
            Flush::OfGroup(file) => &area.files[file],
            Flush::Background => self.flushed_file.as_ref().expect("background flushes have a file"),
        }
    }

    /// Number of the slot of the flush in flight, behind those of all other operations.
    fn flush_slot(&self) -> u32 {
        self.setup.ring.operations
    }

    /// Starts operations until as many are in flight as the depth allows. A write that waits for a flush, or is being flushed, is not
    /// in flight: the disk moves none of its bytes.
    fn start(&mut self, area: &Area, order: &mut dyn Order, now: Instant) {
        while num::index(self.ring.in_flight()) - usize::from(self.flushing.is_some()) < self.limit {
            let Some(slot) = self.idle.pop() else { return };
            let Some(step) = order.next() else {
                self.idle.push(slot);
                return;
            };
            let group = if step.is_grouped { self.groups.join(slot) } else { 0 };
            self.slots[num::index(slot)] = Slot { started: now, step, done: 0, group };
            self.push(area, slot);
        }
    }

    fn push(&mut self, area: &Area, slot: u32) {
        let Slot { step: Step { file, position, length, direction, .. }, done, .. } =
            self.slots[num::index(slot)];
        let fd = area.files[file].1.as_raw_fd();
        self.ring.push(Operation { slot, direction, fd, position, length, done });
    }

    /// Counts a completed operation. A short one is continued where it stopped. One that moved no bytes has failed.
    fn complete(&mut self, area: &Area, slot: u32, result: i32, now: Instant) -> Result<(), DeviceError> {
        if slot == self.flush_slot() {
            return self.complete_flush(area, result, now);
        }
        let state = &mut self.slots[num::index(slot)];
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
        assert!(state.done <= state.step.length, "the kernel moves no more than it was asked to");
        if state.done < state.step.length {
            self.push(area, slot);
            return Ok(());
        }
        let (is_grouped, group) = (state.step.is_grouped, state.group);
        self.vary_limit();
        if is_grouped {
            self.groups.written(group)
        } else {
            self.end(slot, now)
        }
        Ok(())
    }

    fn complete_flush(&mut self, area: &Area, result: i32, now: Instant) -> Result<(), DeviceError> {
        let flush = self.flushing.take().expect("a flush that completes was in flight");
        let durable = self.groups.end_flush();
        if result < 0 {
            let source = io::Error::from_raw_os_error(-result);
            return Err(super::scratch::file_error("sync", &self.flushed(area, flush).0, source));
        }
        self.total.flushes += 1;
        durable.into_iter().for_each(|slot| self.end(slot, now));
        Ok(())
    }

    /// Counts an operation that has done what it was for, and frees its slot.
    fn end(&mut self, slot: u32, now: Instant) {
        let Slot { started, step, .. } = self.slots[num::index(slot)];
        self.total.latency_ns.saturating_record(num::ns_of(now - started).max(1));
        self.total.ops += 1;
        self.total.bytes += u64::from(step.length);
        self.background.wrote(u64::from(step.length));
        self.idle.push(slot);
    }

    /// Chooses the depth until the next operation has moved its bytes.
    fn vary_limit(&mut self) {
        self.moved += 1;
        let varied = (num::f64_of(self.moved) * STEP_DEPTH).fract();
        let is_more = varied < self.setup.depth.fract();
        self.limit = num::index_of_f64(self.setup.depth.floor()) + usize::from(is_more);
    }

    fn failed(&self, area: &Area, slot: u32, source: io::Error) -> DeviceError {
        let Slot { step: Step { file, position, length, direction, .. }, done, .. } =
            self.slots[num::index(slot)];
        let op = match direction {
            Direction::Read => "read",
            Direction::Write | Direction::WriteDsync => "write",
        };
        DeviceError::Io {
            op,
            path: area.files[file].0.clone(),
            position: position + u64::from(done),
            length: length - done,
            source,
        }
    }
}

/// The order in which equal blocks are used: one block of each file in turn, each file from its beginning to its end.
#[derive(Debug)]
pub(super) struct Blocks {
    files: u64,
    blocks_per_file: u64,
    block_bytes: u32,
    direction: Direction,
    passes: Passes,
    next: u64,
}

impl Blocks {
    /// Makes the order of the blocks of `area` that a slice of `spec` uses.
    pub(super) fn new(area: &Area, spec: &CeilingSpec, passes: Passes) -> Self {
        let blocks_per_file = area.file_bytes / u64::from(spec.block_bytes);
        assert!(blocks_per_file > 0, "the session refuses files smaller than a block");
        let direction = match spec.work {
            Work::Read => Direction::Read,
            Work::Write { sync: Sync::None, .. } => Direction::Write,
            Work::Write { sync: Sync::Dsync, .. } => Direction::WriteDsync,
        };
        let files = num::count(area.files.len());
        Self { files, blocks_per_file, block_bytes: spec.block_bytes, direction, passes, next: 0 }
    }
}

impl Order for Blocks {
    fn next(&mut self) -> Option<Step> {
        if self.passes == Passes::One && self.next == self.files * self.blocks_per_file {
            return None;
        }
        let file = usize::try_from(self.next % self.files).expect("less than the number of files");
        let block = self.next / self.files % self.blocks_per_file;
        self.next += 1;
        let (length, direction) = (self.block_bytes, self.direction);
        Some(Step { file, position: block * u64::from(length), length, direction, is_grouped: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(files: usize, file_bytes: u64) -> Area {
        let file = || (PathBuf::from("/dev/null"), File::open("/dev/null").unwrap());
        Area { files: (0..files).map(|_| file()).collect(), file_bytes }
    }

    fn reads() -> CeilingSpec {
        CeilingSpec::cell(Work::Read, 4096, 1, Duration::from_secs(1))
    }

    #[test]
    fn one_pass_touches_every_whole_block_once_files_in_turn() {
        let mut blocks = Blocks::new(&area(3, 4096 * 2 + 100), &reads(), Passes::One);
        let order: Vec<_> =
            std::iter::from_fn(|| blocks.next()).map(|step| (step.file, step.position)).collect();
        assert_eq!(order, [(0, 0), (1, 0), (2, 0), (0, 4096), (1, 4096), (2, 4096)]);
    }

    #[test]
    fn endless_passes_begin_again() {
        let mut blocks = Blocks::new(&area(1, 8192), &reads(), Passes::Endless);
        let order: Vec<_> = (0..5).filter_map(|_| blocks.next()).map(|step| step.position).collect();
        assert_eq!(order, [0, 4096, 0, 4096, 0]);
    }
}
