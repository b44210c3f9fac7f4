//! The history of a file or directory: its live state, its durable state, which is sure to survive a power loss, and
//! the changes between the two.

use rand::RngExt as _;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::ops::Range;
use std::rc::Rc;

/// Sizes of the pieces of a torn write, each of which is kept or lost, in bytes: a device's sector, and a page.
const TEAR_BYTES: [usize; 2] = [512, 4096];

/// A state that changes in steps: the content of a file, or the entries of a directory.
pub(super) trait State: Clone + Default {
    /// One change of the state.
    type Change: Clone;

    /// Applies a change to this state.
    fn apply(&mut self, change: &Self::Change);

    /// Returns the changes that are left of `change` if it is uncertain whether it happened: none, the whole change, or
    /// parts.
    fn survivors(change: &Self::Change, rng: &mut SmallRng) -> Vec<Self::Change>;

    /// Whether the change leaves all metadata unchanged that this state has after the changes `before`.
    fn is_data_only<'c>(&self, before: impl Iterator<Item = &'c Self::Change>, change: &Self::Change) -> bool
    where
        Self::Change: 'c;
}

/// A state, and those of its changes that are not durable yet.
#[derive(Clone)]
pub(super) struct History<S: State> {
    /// The state that the running system shows.
    live: S,
    /// The state that is sure to survive a power loss.
    durable: S,
    /// Changes that are in `live` and not in `durable`, in order of completion.
    changes: VecDeque<PendingChange<S::Change>>,
    /// Whether `live` shows data that the device does not have, because a failed sync dropped it.
    is_stale: bool,
}

/// A change that is part of the live state, and not yet of the durable one.
#[derive(Clone)]
struct PendingChange<C> {
    change: C,
    /// Position of the change among all completed changes of the disk, from 1.
    number: u64,
    sync_needed: SyncNeeded,
}

/// The unsynced writes of a file that a failed sync drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// All of them.
    All,
    /// A random part of them: the writes that the kernel had written to the device's cache already.
    Some,
}

/// The sync that makes a change durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SyncNeeded {
    /// A sync of the file or directory itself.
    Own,
    /// Any sync on the device: the change is complete in the device's cache.
    Any,
    /// None: the change survives a power loss. It waits only for the changes before it to become durable.
    None,
}

impl<S: State> Default for History<S> {
    fn default() -> Self {
        Self::all_durable(S::default())
    }
}

impl<S: State> History<S> {
    /// Returns the history of a state that is durable as a whole.
    fn all_durable(state: S) -> Self {
        Self { live: state.clone(), durable: state, changes: VecDeque::new(), is_stale: false }
    }

    /// Returns the state that the running system shows.
    pub(super) const fn live(&self) -> &S {
        &self.live
    }

    /// Adds a change that completed as number `number` of the disk. Only a sync of this file or directory makes it
    /// durable.
    pub(super) fn change(&mut self, change: S::Change, number: u64) {
        self.live.apply(&change);
        self.changes.push_back(PendingChange { change, number, sync_needed: SyncNeeded::Own });
    }

    /// Adds a change that went past the page cache to the device. If it changed nothing but data, any sync on the
    /// device makes it durable.
    pub(super) fn change_on_device(&mut self, change: S::Change, number: u64) {
        // Metadata that may still be lost would take the change with it. So the change also has to fit into what survives in any
        // case: the durable state, and the synced changes. A synced write into reserved space is one of these, although the
        // reservation before it is not durable yet.
        let sure = self.changes.iter().filter(|pending| pending.sync_needed == SyncNeeded::None);
        let is_data_only = self.live.is_data_only(std::iter::empty(), &change)
            && self.durable.is_data_only(sure.map(|pending| &pending.change), &change);
        let sync_needed = if is_data_only { SyncNeeded::Any } else { SyncNeeded::Own };
        self.live.apply(&change);
        self.changes.push_back(PendingChange { change, number, sync_needed });
    }

    /// Adds a change that is durable, once the changes before it are.
    pub(super) fn change_durably(&mut self, change: S::Change, number: u64) {
        self.live.apply(&change);
        self.changes.push_back(PendingChange { change, number, sync_needed: SyncNeeded::None });
        self.apply_durable_prefix();
    }

    /// Adds what is left of a change that was in flight when the process died: nothing, the whole change, or parts.
    pub(super) fn change_in_part(&mut self, change: &S::Change, number: u64, rng: &mut SmallRng) {
        for part in S::survivors(change, rng) {
            self.change(part, number);
        }
    }

    /// Makes all changes up to number `mark` durable.
    pub(super) fn sync_to(&mut self, mark: u64) {
        for pending in self.changes.iter_mut().filter(|pending| pending.number <= mark) {
            pending.sync_needed = SyncNeeded::None;
        }
        self.apply_durable_prefix();
    }

    /// Another file on the device was synced. Makes those changes up to number `mark` durable that only wait in the
    /// device's cache.
    pub(super) fn flush_to(&mut self, mark: u64) {
        for pending in &mut self.changes {
            if pending.number <= mark && pending.sync_needed == SyncNeeded::Any {
                pending.sync_needed = SyncNeeded::None;
            }
        }
        self.apply_durable_prefix();
    }

    /// Moves the changes before the first one that needs a sync into the durable state.
    fn apply_durable_prefix(&mut self) {
        while let Some(PendingChange { change, sync_needed: SyncNeeded::None, .. }) = self.changes.front() {
            self.durable.apply(change);
            self.changes.pop_front();
        }
    }

    /// Returns the history that is found after a power loss. Each change that still needs a sync is kept, lost, or kept
    /// in part.
    pub(super) fn after_power_loss(&self, rng: &mut SmallRng) -> Self {
        let mut state = self.durable.clone();
        for PendingChange { change, sync_needed, .. } in &self.changes {
            if *sync_needed == SyncNeeded::None {
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
    /// Drops the data of unsynced writes up to number `mark`. No later sync makes the data durable. Reads through the
    /// page cache show it until [`History::evict`]. The size that a write gave the file is metadata, and stays.
    pub(super) fn drop_writes(&mut self, mark: u64, dropped: Dropped, rng: &mut SmallRng) {
        for pending in &mut self.changes {
            let FileChange::Write(position, bytes) = &pending.change else { continue };
            let is_unsynced = pending.number <= mark && pending.sync_needed != SyncNeeded::None;
            if is_unsynced && (dropped == Dropped::All || rng.random()) {
                pending.change = FileChange::Extend(position + bytes.len() as u64);
                pending.sync_needed = SyncNeeded::Own;
                self.is_stale = true;
            }
        }
    }

    /// Returns bytes as a read from the device shows them, past the page cache.
    pub(super) fn read_direct(&self, position: u64, len_bytes: usize) -> Vec<u8> {
        if self.is_stale {
            self.on_device().read(position, len_bytes)
        } else {
            self.live.read(position, len_bytes)
        }
    }

    /// Drops the clean pages of the page cache. Reads then show only data that the device has, or still gets.
    pub(super) fn evict(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            self.live = self.on_device();
        }
    }

    /// Returns the content without the writes that a failed sync has dropped.
    fn on_device(&self) -> Content {
        let mut content = self.durable.clone();
        for pending in &self.changes {
            content.apply(&pending.change);
        }
        content
    }
}

/// A file's bytes. Bytes that were never written read as zeros; at the end of the file they take no memory.
#[derive(Clone, Default)]
pub(super) struct Content {
    /// The bytes up to the last one that was written. They are shared until one of their owners changes them, so that a
    /// restart does not copy every file.
    bytes: Rc<Vec<u8>>,
    /// The file's size, bytes.
    len: u64,
    /// The ranges that were written: in order, with a gap between any two.
    written: Vec<Range<u64>>,
}

/// A change of a file.
#[derive(Clone)]
pub(super) enum FileChange {
    /// Writes bytes at a position. The file grows if it was shorter.
    Write(u64, Rc<[u8]>),
    /// Raises the size to this value, if it was lower.
    Extend(u64),
    /// Sets the size to this value.
    Resize(u64),
}

impl Content {
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Returns up to `len_bytes` from `position`; fewer at the end of the file.
    pub(super) fn read(&self, position: u64, len_bytes: usize) -> Vec<u8> {
        let from = position.min(self.len);
        let to = (position + len_bytes as u64).min(self.len);
        let len_bytes = crate::num::usize_of(to - from);
        let written = self.bytes.get(crate::num::usize_of(from)..).unwrap_or_default();
        let mut bytes = Vec::with_capacity(len_bytes);
        bytes.extend_from_slice(&written[..written.len().min(len_bytes)]);
        bytes.resize(len_bytes, 0);
        bytes
    }
}

impl Content {
    /// Returns the next range at or behind `position` that was written, within the file.
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

    /// True for a write within the file over bytes that were written before: neither the file's size nor its extents
    /// change.
    fn is_data_only<'c>(&self, before: impl Iterator<Item = &'c FileChange>, change: &FileChange) -> bool {
        let FileChange::Write(position, bytes) = change else { return false };
        let end = position + bytes.len() as u64;
        // The bytes themselves do not matter.
        let mut state = Self { bytes: Rc::default(), len: self.len, written: self.written.clone() };
        for earlier in before {
            match earlier {
                FileChange::Write(position, bytes) => {
                    let end = position + bytes.len() as u64;
                    state.len = state.len.max(end);
                    state.add_written(*position..end);
                }
                earlier => state.apply(earlier),
            }
        }
        end <= state.len && state.written.iter().any(|range| range.start <= *position && end <= range.end)
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
        // The size is metadata, which survives or not independently of the data.
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

/// A directory's names, each with the index of its node.
#[derive(Clone, Default)]
pub(super) struct Entries(pub(super) BTreeMap<OsString, usize>);

/// A change of a directory. A rename is one change: it never happens in part.
#[derive(Clone)]
pub(super) enum DirChange {
    /// Gives a name to a node. A node that had the name before loses it.
    Link(OsString, usize),
    /// Removes a name.
    Unlink(OsString),
    /// Removes the first name, and gives the second one to the node.
    Rename(OsString, OsString, usize),
}

impl State for Entries {
    type Change = DirChange;

    fn is_data_only<'c>(&self, _before: impl Iterator<Item = &'c DirChange>, _change: &DirChange) -> bool {
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
