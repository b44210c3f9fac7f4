//! What a disk remembers: how things are now, how they surely are after a power loss, and what lies between.

use rand::RngExt as _;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::ops::Range;
use std::rc::Rc;

/// Sizes of the pieces that a torn write is kept or lost in: a device's sector and a page.
const TEAR_BYTES: [usize; 2] = [512, 4096];

/// Something that changes one step at a time.
pub(super) trait State: Clone + Default {
    /// A step.
    type Change: Clone;

    /// Takes it.
    fn apply(&mut self, change: &Self::Change);

    /// What is left of it where nobody knows whether it happened: nothing, all, or parts.
    fn survivors(change: &Self::Change, rng: &mut SmallRng) -> Vec<Self::Change>;

    /// Whether the change leaves all metadata of this state as it is.
    fn is_data_alone(&self, change: &Self::Change) -> bool;
}

/// A state with its unsynced past.
#[derive(Clone)]
pub(super) struct History<S: State> {
    live: S,
    durable: S,
    /// Changes that are in `live` and not in `durable`, in order of completion.
    changes: VecDeque<Unsettled<S::Change>>,
    /// Whether `live` shows data that the device does not have: a failed sync dropped it.
    is_stale: bool,
}

/// A change on its way into the durable state.
#[derive(Clone)]
struct Unsettled<C> {
    change: C,
    /// When it completed, counted over the whole disk.
    number: u64,
    lasts: Lasts,
}

/// Which of a file's unsynced writes a failed sync drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// All of them.
    All,
    /// Each of them, or not, at random: the kernel may have written it to the device's cache.
    Some,
}

/// What it takes to make a change last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasts {
    /// A sync of the file or directory itself.
    WithItsOwn,
    /// Any sync of the disk: it only sits in the device's cache.
    WithAny,
    /// Nothing more; it waits only for the changes before it.
    Already,
}

impl<S: State> Default for History<S> {
    fn default() -> Self {
        Self::all_durable(S::default())
    }
}

impl<S: State> History<S> {
    /// Of something that has been as it is for long.
    fn all_durable(state: S) -> Self {
        Self { live: state.clone(), durable: state, changes: VecDeque::new(), is_stale: false }
    }

    /// How it is now.
    pub(super) const fn live(&self) -> &S {
        &self.live
    }

    /// A change that completed as number `number` of the disk, and lasts only once something makes it durable.
    pub(super) fn change(&mut self, change: S::Change, number: u64) {
        self.live.apply(&change);
        self.changes.push_back(Unsettled { change, number, lasts: Lasts::WithItsOwn });
    }

    /// The same of a change that is on the device, and in no cache of the system's.
    pub(super) fn change_on_device(&mut self, change: S::Change, number: u64) {
        // What is not durable of the metadata now may still come undone, and the change with it.
        let is_alone = self.live.is_data_alone(&change) && self.durable.is_data_alone(&change);
        let lasts = if is_alone { Lasts::WithAny } else { Lasts::WithItsOwn };
        self.live.apply(&change);
        self.changes.push_back(Unsettled { change, number, lasts });
    }

    /// A change that lasts.
    pub(super) fn change_durably(&mut self, change: S::Change, number: u64) {
        self.live.apply(&change);
        self.changes.push_back(Unsettled { change, number, lasts: Lasts::Already });
        self.settle();
    }

    /// A change that was under way when the process died.
    pub(super) fn change_in_part(&mut self, change: &S::Change, number: u64, rng: &mut SmallRng) {
        for part in S::survivors(change, rng) {
            self.change(part, number);
        }
    }

    /// Makes all changes up to number `mark` durable.
    pub(super) fn sync_to(&mut self, mark: u64) {
        for unsettled in self.changes.iter_mut().filter(|unsettled| unsettled.number <= mark) {
            unsettled.lasts = Lasts::Already;
        }
        self.settle();
    }

    /// Something else of the disk was synced: what was in the device's cache by `mark` is durable.
    pub(super) fn flush_to(&mut self, mark: u64) {
        for unsettled in &mut self.changes {
            if unsettled.number <= mark && unsettled.lasts == Lasts::WithAny {
                unsettled.lasts = Lasts::Already;
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(Unsettled { change, lasts: Lasts::Already, .. }) = self.changes.front() {
            self.durable.apply(change);
            self.changes.pop_front();
        }
    }

    /// What is found after a power loss: each change that is not durable is kept, lost, or kept in part.
    pub(super) fn after_power_loss(&self, rng: &mut SmallRng) -> Self {
        let mut state = self.durable.clone();
        for Unsettled { change, lasts, .. } in &self.changes {
            if *lasts == Lasts::Already {
                state.apply(change);
                continue;
            }
            for part in S::survivors(change, rng) {
                state.apply(&part);
            }
        }
        Self::all_durable(state)
    }
}

impl History<Content> {
    /// Drops the data of unsynced writes up to number `mark`: no later sync makes it durable, and reads through the page
    /// cache show it until [`History::evict`]. The size that a write gave the file is metadata, and stays.
    pub(super) fn drop_writes(&mut self, mark: u64, dropped: Dropped, rng: &mut SmallRng) {
        for unsettled in &mut self.changes {
            let FileChange::Write(position, bytes) = &unsettled.change else { continue };
            let is_unsynced = unsettled.number <= mark && unsettled.lasts != Lasts::Already;
            if is_unsynced && (dropped == Dropped::All || rng.random()) {
                unsettled.change = FileChange::Extend(position + bytes.len() as u64);
                unsettled.lasts = Lasts::WithItsOwn;
                self.is_stale = true;
            }
        }
    }

    /// Reads from the device, past the page cache.
    pub(super) fn read_direct(&self, position: u64, len_bytes: usize) -> Vec<u8> {
        if self.is_stale {
            self.on_device().read(position, len_bytes)
        } else {
            self.live.read(position, len_bytes)
        }
    }

    /// Clean pages leave the page cache: reads show again only what the device has, or will have.
    pub(super) fn evict(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            self.live = self.on_device();
        }
    }

    fn on_device(&self) -> Content {
        let mut content = self.durable.clone();
        for unsettled in &self.changes {
            content.apply(&unsettled.change);
        }
        content
    }
}

/// A file's bytes; what was never written reads as zeros and takes no memory at the end.
#[derive(Clone, Default)]
pub(super) struct Content {
    /// Shared until one of its holders changes: a restart then costs no copy of each file.
    bytes: Rc<Vec<u8>>,
    len: u64,
    /// What was written of it: ranges in order, apart from each other.
    written: Vec<Range<u64>>,
}

/// The changes that a file can go through.
#[derive(Clone)]
pub(super) enum FileChange {
    /// Bytes at a position; the file grows if need be.
    Write(u64, Rc<[u8]>),
    /// The size becomes this at least.
    Extend(u64),
    /// The size becomes this.
    Resize(u64),
}

impl Content {
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Up to `len_bytes` from `position`; fewer at the end of the file.
    pub(super) fn read(&self, position: u64, len_bytes: usize) -> Vec<u8> {
        let from = position.min(self.len);
        let to = (position + len_bytes as u64).min(self.len);
        let mut bytes = vec![0; crate::num::usize_of(to - from)];
        let written = self.bytes.get(crate::num::usize_of(from)..).unwrap_or_default();
        let known = written.len().min(bytes.len());
        bytes[..known].copy_from_slice(&written[..known]);
        bytes
    }
}

impl Content {
    /// The next range at or behind `position` that was written, within the file.
    pub(super) fn next_written(&self, position: u64) -> Option<Range<u64>> {
        let ranges = self.written.iter().map(|range| range.start.max(position)..range.end.min(self.len));
        ranges.into_iter().find(|range| range.start < range.end)
    }

    fn add_written(&mut self, mut range: Range<u64>) {
        self.written.retain(|other| {
            let touches = other.start <= range.end && range.start <= other.end;
            if touches {
                range = range.start.min(other.start)..range.end.max(other.end);
            }
            !touches
        });
        let at = self.written.partition_point(|other| other.start < range.start);
        self.written.insert(at, range);
    }
}

impl State for Content {
    type Change = FileChange;

    /// A write over what was written before, within the file: neither its size nor its extents change.
    fn is_data_alone(&self, change: &FileChange) -> bool {
        let FileChange::Write(position, bytes) = change else { return false };
        let end = position + bytes.len() as u64;
        end <= self.len && self.written.iter().any(|range| range.start <= *position && end <= range.end)
    }

    fn apply(&mut self, change: &FileChange) {
        match change {
            FileChange::Write(position, bytes) => {
                let start = crate::num::usize_of(*position);
                let end = start + bytes.len();
                let own = Rc::make_mut(&mut self.bytes);
                if own.len() < start {
                    own.resize(start, 0);
                }
                let known = bytes.len().min(own.len() - start);
                own[start..start + known].copy_from_slice(&bytes[..known]);
                own.extend_from_slice(&bytes[known..]);
                self.len = self.len.max(end as u64);
                self.add_written(*position..end as u64);
            }
            FileChange::Extend(len) => self.len = self.len.max(*len),
            FileChange::Resize(len) => {
                self.len = *len;
                if crate::num::usize_of(*len) < self.bytes.len() {
                    Rc::make_mut(&mut self.bytes).truncate(crate::num::usize_of(*len));
                }
                self.written.retain_mut(|range| {
                    range.end = range.end.min(*len);
                    range.start < range.end
                });
            }
        }
    }

    fn survivors(change: &FileChange, rng: &mut SmallRng) -> Vec<FileChange> {
        let FileChange::Write(position, bytes) = change else {
            return if rng.random() { vec![change.clone()] } else { Vec::new() };
        };
        let mut left = Vec::new();
        // The size is metadata and has a fate of its own.
        if rng.random() {
            left.push(FileChange::Extend(position + bytes.len() as u64));
        }
        match rng.random_range(0..3) {
            0 => {}
            1 => left.push(change.clone()),
            _ => {
                let piece_bytes = TEAR_BYTES[rng.random_range(0..TEAR_BYTES.len())];
                for (index, piece) in bytes.chunks(piece_bytes).enumerate() {
                    if rng.random() {
                        left.push(FileChange::Write(position + (index * piece_bytes) as u64, piece.into()));
                    }
                }
            }
        }
        left
    }
}

/// A directory's names and the nodes they lead to.
#[derive(Clone, Default)]
pub(super) struct Entries(pub(super) BTreeMap<OsString, usize>);

/// What can be done to a directory. A rename is one change: it never happens by half.
#[derive(Clone)]
pub(super) enum DirChange {
    /// A new name for a node, in place of what had it before.
    Link(OsString, usize),
    /// The name goes.
    Unlink(OsString),
    /// The first name goes, the second now leads to the node.
    Rename(OsString, OsString, usize),
}

impl State for Entries {
    type Change = DirChange;

    fn is_data_alone(&self, _change: &DirChange) -> bool {
        false
    }

    fn apply(&mut self, change: &DirChange) {
        match change {
            DirChange::Link(name, node) => {
                self.0.insert(name.clone(), *node);
            }
            DirChange::Unlink(name) => {
                self.0.remove(name);
            }
            DirChange::Rename(from, to, node) => {
                self.0.remove(from);
                self.0.insert(to.clone(), *node);
            }
        }
    }

    fn survivors(change: &DirChange, rng: &mut SmallRng) -> Vec<DirChange> {
        if rng.random() { vec![change.clone()] } else { Vec::new() }
    }
}
