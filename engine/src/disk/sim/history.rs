//! What a disk remembers: how things are now, how they surely are after a power loss, and what lies between.

use rand::RngExt as _;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
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
}

/// A state with its unsynced past.
#[derive(Clone)]
pub(super) struct History<S: State> {
    live: S,
    durable: S,
    /// Changes that are in `live` and not in `durable`, in order of completion; those marked are durable, and wait only for
    /// the ones before them.
    changes: VecDeque<(S::Change, bool)>,
    /// Changes that were moved into `durable`.
    settled: u64,
}

impl<S: State> Default for History<S> {
    fn default() -> Self {
        Self::all_durable(S::default())
    }
}

impl<S: State> History<S> {
    /// Of something that has been as it is for long.
    fn all_durable(state: S) -> Self {
        Self { live: state.clone(), durable: state, changes: VecDeque::new(), settled: 0 }
    }

    /// How it is now.
    pub(super) const fn live(&self) -> &S {
        &self.live
    }

    /// A change that lasts only once something makes it durable.
    pub(super) fn change(&mut self, change: S::Change) {
        self.live.apply(&change);
        self.changes.push_back((change, false));
    }

    /// A change that lasts.
    pub(super) fn change_durably(&mut self, change: S::Change) {
        self.live.apply(&change);
        self.changes.push_back((change, true));
        self.settle();
    }

    /// A change that was under way when the process died.
    pub(super) fn change_in_part(&mut self, change: &S::Change, rng: &mut SmallRng) {
        for part in S::survivors(change, rng) {
            self.change(part);
        }
    }

    /// What a sync that is submitted now covers.
    pub(super) fn mark(&self) -> u64 {
        self.settled + self.changes.len() as u64
    }

    /// Makes all changes before `mark` durable.
    pub(super) fn sync_to(&mut self, mark: u64) {
        let covered = crate::num::usize_of(mark.saturating_sub(self.settled));
        for (_, is_durable) in self.changes.iter_mut().take(covered) {
            *is_durable = true;
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some((change, true)) = self.changes.front() {
            self.durable.apply(change);
            self.changes.pop_front();
            self.settled += 1;
        }
    }

    /// What is found after a power loss: each change that is not durable is kept, lost, or kept in part.
    pub(super) fn after_power_loss(&self, rng: &mut SmallRng) -> Self {
        let mut state = self.durable.clone();
        for (change, is_durable) in &self.changes {
            if *is_durable {
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

/// A file's bytes; what was never written reads as zeros and takes no memory at the end.
#[derive(Clone, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    len: u64,
}

/// What can be done to a file.
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

impl State for Content {
    type Change = FileChange;

    fn apply(&mut self, change: &FileChange) {
        match change {
            FileChange::Write(position, bytes) => {
                let start = crate::num::usize_of(*position);
                let end = start + bytes.len();
                if self.bytes.len() < start {
                    self.bytes.resize(start, 0);
                }
                let known = bytes.len().min(self.bytes.len() - start);
                self.bytes[start..start + known].copy_from_slice(&bytes[..known]);
                self.bytes.extend_from_slice(&bytes[known..]);
                self.len = self.len.max(end as u64);
            }
            FileChange::Extend(len) => self.len = self.len.max(*len),
            FileChange::Resize(len) => {
                self.len = *len;
                self.bytes.truncate(crate::num::usize_of(*len));
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
