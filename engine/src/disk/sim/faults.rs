//! Faults that wait for an operation of their kind, and the outcome of an operation that a fault has hit.

use super::action::{Action, Outcome};
use super::history::{Dropped, FileChange};
use super::world::{Node, World};
use crate::buffer::BLOCK_BYTES;
use crate::disk::WriteSync;
use crate::error::DiskOp;
use rand::RngExt as _;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// A fault that hits one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The kind of operation. A file's size counts as [`DiskOp::Open`], a flush as [`DiskOp::Sync`].
    pub op: DiskOp,
    /// Operations of that kind that complete without the fault before it hits one.
    pub operations_before: u64,
    /// The way in which the operation misbehaves.
    pub effect: Effect,
}

/// The way in which an operation misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The operation fails and does nothing. A write or an allocation does an unknown part of its work.
    Fails(ErrorKind),
    /// A sync fails, and the unsynced writes of its file are dropped: a retry succeeds and makes nothing durable. Buffered
    /// reads show them until [`SimDisk::evict`](super::SimDisk::evict).
    FailsAndDropsFile(ErrorKind),
    /// As [`Effect::FailsAndDropsFile`], and each write to another file on the device may be dropped too, if it is not
    /// durable. A buffered write that is dropped stands for one that the kernel had already written to the device's
    /// cache.
    FailsAndDropsDevice(ErrorKind),
    /// A write succeeds, and its bytes are not written.
    IsLost,
    /// A write succeeds, and its bytes go elsewhere: to another block of the file, or to another file on the device.
    IsMisdirected,
}

impl Effect {
    fn name(self, op: DiskOp) -> String {
        match self {
            Self::Fails(_) => format!("{op} fails"),
            Self::FailsAndDropsFile(_) => format!("{op} fails and drops the file's writes"),
            Self::FailsAndDropsDevice(_) => format!("{op} fails and drops the device's writes"),
            Self::IsLost => format!("{op} is lost"),
            Self::IsMisdirected => format!("{op} is misdirected"),
        }
    }

    fn fits(self, op: DiskOp) -> bool {
        match self {
            Self::Fails(_) => op != DiskOp::Lock,
            Self::FailsAndDropsFile(_) | Self::FailsAndDropsDevice(_) => op == DiskOp::Sync,
            Self::IsLost | Self::IsMisdirected => op == DiskOp::Write,
        }
    }
}

/// The faults of a disk.
#[derive(Default)]
pub(super) struct Faults {
    /// The faults that wait, at most one for each kind of operation.
    waiting: Vec<Fault>,
    /// How many operations each kind of fault has hit. The disks after a kill or a power loss share the counts.
    counts: Rc<RefCell<BTreeMap<String, u64>>>,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        assert!(
            fault.effect.fits(fault.op),
            "{fault:?}: operations of this kind cannot misbehave in this way"
        );
        self.waiting.retain(|other| other.op != fault.op);
        self.waiting.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Returns the faults of a disk that is made from this one: none, with the same counts.
    pub(super) fn successor(&self) -> Self {
        Self { waiting: Vec::new(), counts: Rc::clone(&self.counts) }
    }

    /// Returns the effect of the fault that hits the operation which completes now; `None` if no fault does.
    pub(super) fn next(&mut self, op: DiskOp) -> Option<Effect> {
        let at = self.waiting.iter().position(|fault| fault.op == op)?;
        let fault = &mut self.waiting[at];
        if let Some(fewer) = fault.operations_before.checked_sub(1) {
            fault.operations_before = fewer;
            return None;
        }
        let effect = self.waiting.swap_remove(at).effect;
        self.count(&effect.name(op));
        Some(effect)
    }

    /// Counts a fault that has hit an operation.
    pub(super) fn count(&self, name: &str) {
        let mut counts = self.counts.borrow_mut();
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                counts.insert(name.to_owned(), 1);
            }
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.borrow().clone()
    }
}

impl World {
    /// Runs an operation that a fault has hit, and returns its outcome.
    pub(super) fn run_with_fault(&mut self, effect: Effect, action: Action) -> io::Result<Outcome> {
        match effect {
            Effect::Fails(kind) => {
                self.apply_in_part(&action);
                return Err(kind.into());
            }
            Effect::FailsAndDropsFile(kind) => {
                self.drop_writes(&action, false);
                return Err(kind.into());
            }
            Effect::FailsAndDropsDevice(kind) => {
                self.drop_writes(&action, true);
                return Err(kind.into());
            }
            Effect::IsLost => {
                // The size is metadata, which the file system keeps: only the data is lost.
                if let Action::Write { node, data, position, sync, .. } = action {
                    let change = FileChange::Extend(position + data.len() as u64);
                    self.extend(node, change, sync)?;
                }
            }
            Effect::IsMisdirected => self.misdirect(action)?,
        }
        Ok(Outcome::default())
    }

    /// Returns the node that an operation syncs; `None` if the operation is no sync.
    pub(super) fn synced_by(&self, action: &Action) -> Option<usize> {
        match action {
            Action::Sync { node, .. } | Action::Flush { node, .. } => Some(*node),
            Action::Write { node, sync: WriteSync::Dsync, .. } => Some(*node),
            Action::SyncDir { path, .. } => self.lookup(path).ok(),
            _ => None,
        }
    }

    /// Counts an operation that has failed, if it was a sync of the node `synced`.
    pub(super) fn note_failed_sync(
        &mut self,
        op: DiskOp,
        synced: Option<usize>,
        result: &io::Result<Outcome>,
    ) {
        let (Some(node), Err(error)) = (synced, result) else { return };
        // A write that finds no space, and a directory that cannot be opened, have failed before their sync.
        let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        let is_refused = is_full && op == DiskOp::Write || error.raw_os_error() == Some(libc::EMFILE);
        if !is_refused {
            self.sync_failures(node).note();
        }
    }

    fn apply_in_part(&mut self, action: &Action) {
        let (node, change) = match action {
            Action::Write { node, data, position, .. } => {
                (*node, FileChange::Write(*position, data[..].into()))
            }
            Action::Change { node, change: FileChange::Extend(len) } => (*node, FileChange::Extend(*len)),
            _ => return,
        };
        let number = self.next_number();
        if let Node::File(file) = &mut self.nodes[node] {
            file.change_in_part(&change, number, &mut self.rng);
        }
    }

    fn drop_writes(&mut self, action: &Action, drops_device: bool) {
        let (Action::Sync { node, mark } | Action::Flush { node, mark }) = *action else { return };
        let mut rng = self.rng.clone();
        for (number, file) in self.files_on_device_of(node) {
            if number == node {
                file.drop_writes(mark, Dropped::All, &mut rng);
            } else if drops_device {
                file.drop_writes(mark, Dropped::Some, &mut rng);
            }
        }
        self.rng = rng;
    }

    fn extend(&mut self, node: usize, change: FileChange, sync: WriteSync) -> io::Result<()> {
        let number = self.next_number();
        let file = self.file(node)?;
        match sync {
            WriteSync::None => file.change(change, number),
            WriteSync::Dsync => file.change_durably(change, number),
        }
        Ok(())
    }

    fn misdirect(&mut self, action: Action) -> io::Result<()> {
        let Action::Write { node, data, position, sync, io } = action else { return Ok(()) };
        let change = FileChange::Extend(position + data.len() as u64);
        self.extend(node, change, sync)?;
        let others =
            self.files_on_device_of(node).filter(|(number, file)| *number != node && file.live().len() > 0);
        let others: Vec<usize> = others.map(|(number, _)| number).collect();
        let target = match others.len() {
            count @ 1.. if self.rng.random() => others[self.rng.random_range(0..count)],
            _ => node,
        };
        let block_bytes = BLOCK_BYTES as u64;
        let blocks = (self.file(target)?.live().len() / block_bytes).max(1);
        let at = self.rng.random_range(0..blocks) * block_bytes;
        self.write(target, &data, at, (sync, io))
    }

    /// Drops all clean pages of the page cache.
    pub(super) fn evict(&mut self) {
        for node in &mut self.nodes {
            if let Node::File(file) = node {
                file.evict();
            }
        }
    }
}
