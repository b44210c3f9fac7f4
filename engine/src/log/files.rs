//! The files that the logs of a shard have open, and the offset indexes of sealed segments: a cache with a limit.
//!
//! A file takes one place among those that may be open, from before it is opened until its last clone is gone. The cache
//! holds one clone of each. Where no place is left, the file that was used longest ago is closed, but for those in use:
//! a log holds clones of the files that it has writes for, an operation under way holds one of its file.
//!
//! A log finds its files here by name. One that is not here any more is opened again: before the next write that is
//! background work of the log ([`Log::reopen`]), and a part of a read, a seal or a roll.

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

/// Most bytes of offset indexes that a shard keeps: those of 256 segments of 128 MiB.
const INDEX_BYTES_MAX: usize = 64 << 20;

/// Reads that may be under way before the list of them is tidied up.
const READS_LISTED_MIN: usize = 64;

/// Longest pause between two looks at the places. A look costs no system call, and each place may be wanted by several.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(8);

/// How many descriptors the logs of a shard use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// Most files that stay open.
    pub open_files_max: usize,
    /// Most descriptors that are open for one operation each.
    pub brief_max: usize,
}

impl Default for FileLimits {
    /// No limit that a test would notice.
    fn default() -> Self {
        Self { open_files_max: 4096, brief_max: 64 }
    }
}

/// A place among the files that may be open.
#[derive(Debug)]
pub(super) struct OpenPermit(Rc<Cell<usize>>);

impl Drop for OpenPermit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Those who wait for a place, in the order in which they came.
#[derive(Debug, Default)]
struct Queue {
    waiting: RefCell<VecDeque<u64>>,
    tickets: Cell<u64>,
}

/// A place in a [`Queue`], which is left on drop.
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

/// An open file and its place. Clones share both.
#[derive(Debug, Clone)]
pub(super) struct OpenFile<F> {
    file: F,
    /// Given back after the file is closed.
    permit: Rc<OpenPermit>,
}

impl<F> OpenFile<F> {
    /// A file that was opened at a place.
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

/// Where an offset index comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexSource {
    /// From the batches themselves.
    Batches,
    /// From its file, which has no checksum and may be damaged.
    File,
}

/// The offset index of a sealed segment, and where it comes from.
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

/// A file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileName {
    /// The segment at a base offset.
    Segment(i64),
    /// The file that was made ahead of the next roll.
    Prepared,
    /// The same, where segments are recycled.
    Spare,
}

/// The number of a log, and one of its files.
type Key = (u64, FileName);

struct Entry<F> {
    file: OpenFile<F>,
    index: Option<CachedIndex>,
    /// Number of its last use.
    used: u64,
}

impl<F> Entry<F> {
    fn index_bytes(&self) -> usize {
        self.index.as_ref().map_or(0, CachedIndex::memory_bytes)
    }
}

struct Cached<F> {
    entries: BTreeMap<Key, Entry<F>>,
    /// The keys of all entries, by their last use.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    index_bytes: usize,
}

impl<F> Cached<F> {
    /// The entry, which is used now.
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

    /// Takes out the file that was used longest ago, of those that nobody uses.
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

/// Reads that were begun, whether or not somebody waits for them.
struct Reads {
    begun: Vec<WeakShared<Read>>,
    /// Their number from which on those that have ended are taken off the list.
    listed_max: usize,
}

/// See the module.
pub(crate) struct OpenFiles<F> {
    open_files_max: usize,
    /// Files that are open, or being opened.
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

    /// A place for one more file. Where every place is in use, this waits for up to 10 s, behind those who came before: a
    /// log that makes segment after segment would else take each place before a read could. `None` where that was in vain.
    pub(super) async fn permit<D: Disk>(&self, disk: &D) -> Option<Rc<OpenPermit>> {
        let ticket = self.queue.join();
        let mut pauses = Pauses::of_at_most(LOOK_EVERY_MAX);
        loop {
            if ticket.is_first() {
                if let Some(permit) = self.try_permit() {
                    return Some(permit);
                }
            } else {
                // The first may be a read ahead, which goes on only when somebody looks at it.
                self.poll_reads();
            }
            if !pauses.pause(disk).await {
                return None;
            }
        }
    }

    /// A place for one more file, for which another one may have to be closed; `None` where all are in use.
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
        // A read ahead that has ended holds its file until somebody looks at it.
        unused.is_some() || self.poll_reads()
    }

    /// Looks at the reads that nobody may wait for; whether that closed a file, or left one unused.
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

    /// Notes a read that has begun, so that its file can be closed after it whether or not somebody waits for it.
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

/// The files of one log; they are closed when it is dropped.
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

    /// Keeps a file open, as long as there is a place for it.
    pub(super) fn put(&self, name: FileName, file: OpenFile<F>) {
        self.shared.cached.borrow_mut().insert((self.log, name), file, None);
    }

    /// The same with the index of the sealed segment that it is.
    pub(super) fn put_indexed(&self, name: FileName, file: OpenFile<F>, index: CachedIndex) {
        self.shared.cached.borrow_mut().insert((self.log, name), file, Some(index));
        self.shared.bound_indexes();
    }

    /// Closes the file once nobody uses it.
    pub(super) fn remove(&self, name: FileName) {
        self.take(name);
    }

    /// The file, which is not kept any more.
    pub(super) fn take(&self, name: FileName) -> Option<OpenFile<F>> {
        self.shared.cached.borrow_mut().remove((self.log, name)).map(|entry| entry.file)
    }

    /// Whether the file is open.
    pub(super) fn has(&self, name: FileName) -> bool {
        self.shared.cached.borrow().entries.contains_key(&(self.log, name))
    }
}

impl<F: Clone> LogFiles<F> {
    /// The file, if it is open.
    pub(super) fn get(&self, name: FileName) -> Option<OpenFile<F>> {
        self.shared.cached.borrow_mut().touch((self.log, name)).map(|entry| entry.file.clone())
    }

    /// The file of a sealed segment with its index, if both are here.
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
