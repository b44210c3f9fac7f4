//! A cache of the files that the logs of a shard have open, and of the offset indexes of sealed segments. The number of
//! open files and the bytes of indexes have limits.
//!
//! Each open file has a permit. It is taken before the file is opened, and returned when the last clone of the file is
//! dropped. The cache holds one clone of each file. If no permit is left, the file that was used longest ago is closed,
//! unless it is in use. A log holds clones of the files that it plans writes for, and an operation under way holds a
//! clone of its file.
//!
//! A log finds its files here by name, and opens a file again if the cache has closed it. Before a write, that is
//! background work of the log ([`Log::reopen`](super::Log::reopen)). A read, a seal or a roll opens the file as one of
//! its steps.

use super::read_cache::{Read, ReadFuture};
use crate::disk::{Disk, Pauses, Reclaim};
use crate::index::{OFFSET_ENTRY_BYTES, OffsetIndex};
use futures_util::FutureExt as _;
use futures_util::future::WeakShared;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

/// Bytes of offset indexes that a shard keeps at most: those of 256 segments of 128 MiB.
const INDEX_BYTES_MAX: usize = 64 << 20;

/// Number of reads that are listed before the list is searched for reads that have ended.
const READS_LISTED_MIN: usize = 64;

/// Longest pause between two tries to get a permit. A try makes no system call, and several logs may wait for each
/// permit.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(8);

/// Limits on the descriptors that the logs of a shard use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// Number of files that stay open, at most.
    pub open_files_max: usize,
    /// Number of descriptors that are open for one short operation each, at most.
    pub brief_max: usize,
}

impl Default for FileLimits {
    /// Limits that no test reaches.
    fn default() -> Self {
        Self { open_files_max: 4096, brief_max: 64 }
    }
}

/// A permit to have one file open. Holds the count of open files.
#[derive(Debug)]
pub(super) struct OpenPermit(Rc<Cell<usize>>);

impl Drop for OpenPermit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The operations that wait for a permit, in the order in which they asked.
#[derive(Debug, Default)]
struct Queue {
    waiting: RefCell<VecDeque<u64>>,
    tickets: Cell<u64>,
}

/// The position of one operation in a [`Queue`]. Dropping it leaves the queue.
struct Ticket<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Queue {
    fn join(&self) -> Ticket<'_> {
        let number = self.tickets.get();
        self.tickets.set(number + 1);
        self.waiting.borrow_mut().push_back(number);
        Ticket { queue: self, number }
    }
}

impl Ticket<'_> {
    fn is_first(&self) -> bool {
        self.queue.waiting.borrow().front() == Some(&self.number)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.queue.waiting.borrow_mut().retain(|number| *number != self.number);
    }
}

/// An open file with its permit. Clones share both.
#[derive(Debug, Clone)]
pub(super) struct OpenFile<F> {
    file: F,
    /// The permit, returned after the file is closed.
    permit: Rc<OpenPermit>,
}

impl<F> OpenFile<F> {
    /// A file that was opened with a permit.
    pub(super) const fn new(file: F, permit: Rc<OpenPermit>) -> Self {
        Self { file, permit }
    }
}

impl<F> Deref for OpenFile<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.file
    }
}

/// The source of an offset index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexSource {
    /// The batches of the segment.
    Batches,
    /// The index file, which has no checksum and may be damaged.
    File,
}

/// The offset index of a sealed segment, and its source.
#[derive(Debug, Clone)]
pub(super) struct CachedIndex {
    pub(super) offsets: Rc<OffsetIndex>,
    pub(super) source: IndexSource,
}

impl CachedIndex {
    fn memory_bytes(&self) -> usize {
        self.offsets.entries().len() * OFFSET_ENTRY_BYTES
    }
}

/// The name of a file among the files of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileName {
    /// The segment with this base offset.
    Segment(i64),
    /// The file that was made ahead of the next roll.
    Prepared,
    /// The file that waits to become the next segment, where segments are recycled.
    Spare,
}

/// The number of a log, and the name of one of its files.
type Key = (u64, FileName);

struct Entry<F> {
    file: OpenFile<F>,
    index: Option<CachedIndex>,
    /// Number of the entry's last use.
    used: u64,
}

impl<F> Entry<F> {
    fn index_bytes(&self) -> usize {
        self.index.as_ref().map_or(0, CachedIndex::memory_bytes)
    }
}

struct Cached<F> {
    entries: BTreeMap<Key, Entry<F>>,
    /// The keys of all entries, ordered by the number of their last use.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    index_bytes: usize,
}

impl<F> Cached<F> {
    /// Returns an entry and makes it the one that was used last.
    fn touch(&mut self, key: Key) -> Option<&mut Entry<F>> {
        let entry = self.entries.get_mut(&key)?;
        self.by_use.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(entry.used, key);
        Some(entry)
    }

    fn insert(&mut self, key: Key, file: OpenFile<F>, index: Option<CachedIndex>) {
        self.remove(key);
        self.uses += 1;
        let entry = Entry { file, index, used: self.uses };
        self.index_bytes += entry.index_bytes();
        self.by_use.insert(entry.used, key);
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: Key) -> Option<Entry<F>> {
        let entry = self.entries.remove(&key)?;
        self.by_use.remove(&entry.used);
        self.index_bytes -= entry.index_bytes();
        Some(entry)
    }

    /// Removes the entry whose file was used longest ago, of those that nobody uses now.
    fn take_unused(&mut self) -> Option<Entry<F>> {
        for _ in 0..self.by_use.len() {
            let key = *self.by_use.first_key_value()?.1;
            let entry = self.touch(key)?;
            if Rc::strong_count(&entry.file.permit) == 1 {
                return self.remove(key);
            }
        }
        None
    }
}

/// Reads that have begun. Somebody may wait for them or not.
struct Reads {
    begun: Vec<WeakShared<Read>>,
    /// Length of the list above which reads that have ended are removed from it.
    listed_max: usize,
}

/// The open files of a shard's logs; see the module.
pub(crate) struct OpenFiles<F> {
    open_files_max: usize,
    /// Number of files that are open or being opened.
    open: Rc<Cell<usize>>,
    queue: Queue,
    cached: RefCell<Cached<F>>,
    reads: RefCell<Reads>,
    logs: Cell<u64>,
}

impl<F> OpenFiles<F> {
    pub(super) fn new(open_files_max: usize) -> Self {
        let cached = Cached { entries: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, index_bytes: 0 };
        Self {
            open_files_max,
            open: Rc::default(),
            queue: Queue::default(),
            cached: RefCell::new(cached),
            reads: RefCell::new(Reads { begun: Vec::new(), listed_max: READS_LISTED_MIN }),
            logs: Cell::new(0),
        }
    }

    /// Returns a permit to open one more file. If all are in use it waits for up to 10 s, in the order of the calls.
    /// Without that order, a log that makes segment after segment would take each permit before a read could. `None` if
    /// no permit was free in that time.
    pub(super) async fn permit<D: Disk>(&self, disk: &D) -> Option<Rc<OpenPermit>> {
        let ticket = self.queue.join();
        let mut pauses = Pauses::of_at_most(LOOK_EVERY_MAX);
        loop {
            if ticket.is_first() {
                if let Some(permit) = self.try_permit() {
                    return Some(permit);
                }
            } else {
                // The first operation in the queue may be a read ahead, which makes progress only when it is polled.
                self.poll_reads();
            }
            if !pauses.pause(disk).await {
                return None;
            }
        }
    }

    /// Returns a permit to open one more file; may close another file for it. `None` if all files are in use.
    fn try_permit(&self) -> Option<Rc<OpenPermit>> {
        while self.open.get() >= self.open_files_max {
            if !self.close_unused() {
                return None;
            }
        }
        self.open.set(self.open.get() + 1);
        Some(Rc::new(OpenPermit(Rc::clone(&self.open))))
    }

    fn close_unused(&self) -> bool {
        let unused = self.cached.borrow_mut().take_unused();
        // A read ahead that has ended holds its file until it is polled.
        unused.is_some() || self.poll_reads()
    }

    /// Polls the reads that nobody may be waiting for. Returns whether one of them has ended, so that its file is
    /// closed or unused.
    fn poll_reads(&self) -> bool {
        let begun = std::mem::take(&mut self.reads.borrow_mut().begun);
        let listed = begun.len();
        let under_way: Vec<_> = begun
            .into_iter()
            .filter(|read| read.upgrade().is_some_and(|read| read.now_or_never().is_none()))
            .collect();
        let has_ended = under_way.len() < listed;
        let mut reads = self.reads.borrow_mut();
        reads.listed_max = READS_LISTED_MIN.max(2 * under_way.len());
        reads.begun.extend(under_way);
        has_ended
    }

    /// Lists a read that has begun. So its file can be closed after the read, even if nobody waits for it.
    pub(super) fn has_begun(&self, read: &ReadFuture) {
        let is_full = {
            let mut reads = self.reads.borrow_mut();
            reads.begun.extend(read.downgrade());
            reads.begun.len() > reads.listed_max
        };
        if is_full {
            self.poll_reads();
        }
    }

    fn bound_indexes(&self) {
        while self.cached.borrow().index_bytes > INDEX_BYTES_MAX && self.close_unused() {}
    }
}

impl<F> Reclaim for OpenFiles<F> {
    fn reclaim(&self) -> bool {
        self.close_unused()
    }
}

/// The files of one log in the cache. They are closed when this is dropped.
pub(super) struct LogFiles<F> {
    shared: Rc<OpenFiles<F>>,
    log: u64,
}

impl<F> LogFiles<F> {
    pub(super) fn new(shared: &Rc<OpenFiles<F>>) -> Self {
        let log = shared.logs.get();
        shared.logs.set(log + 1);
        Self { shared: Rc::clone(shared), log }
    }

    /// Puts a file into the cache, which keeps it open while it has permits for it.
    pub(super) fn put(&self, name: FileName, file: OpenFile<F>) {
        self.shared.cached.borrow_mut().insert((self.log, name), file, None);
    }

    /// Puts the file of a sealed segment into the cache, with its index.
    pub(super) fn put_indexed(&self, name: FileName, file: OpenFile<F>, index: CachedIndex) {
        self.shared.cached.borrow_mut().insert((self.log, name), file, Some(index));
        self.shared.bound_indexes();
    }

    /// Removes a file from the cache. It is closed once nobody uses it.
    pub(super) fn remove(&self, name: FileName) {
        self.take(name);
    }

    /// Removes a file from the cache and returns it.
    pub(super) fn take(&self, name: FileName) -> Option<OpenFile<F>> {
        self.shared.cached.borrow_mut().remove((self.log, name)).map(|entry| entry.file)
    }

    /// Whether the cache holds the file.
    pub(super) fn has(&self, name: FileName) -> bool {
        self.shared.cached.borrow().entries.contains_key(&(self.log, name))
    }
}

impl<F: Clone> LogFiles<F> {
    /// The file, if the cache holds it.
    pub(super) fn get(&self, name: FileName) -> Option<OpenFile<F>> {
        self.shared.cached.borrow_mut().touch((self.log, name)).map(|entry| entry.file.clone())
    }

    /// The file of a sealed segment and its index, if the cache holds both.
    pub(super) fn get_indexed(&self, name: FileName) -> Option<(OpenFile<F>, CachedIndex)> {
        let mut cached = self.shared.cached.borrow_mut();
        let entry = cached.touch((self.log, name))?;
        Some((entry.file.clone(), entry.index.clone()?))
    }
}

impl<F> Drop for LogFiles<F> {
    fn drop(&mut self) {
        let mut cached = self.shared.cached.borrow_mut();
        let names = cached
            .entries
            .range((self.log, FileName::Segment(i64::MIN))..(self.log + 1, FileName::Segment(i64::MIN)));
        let keys: Vec<Key> = names.map(|(key, _)| *key).collect();
        for key in keys {
            cached.remove(key);
        }
    }
}
