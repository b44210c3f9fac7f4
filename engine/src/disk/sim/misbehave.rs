//! The outcome of an operation that a fault has met.

use super::action::{Action, Outcome};
use super::faults::Effect;
use super::history::{Dropped, FileChange};
use super::world::{Node, World};
use crate::buffer::BLOCK_BYTES;
use crate::disk::WriteSync;
use crate::error::DiskOp;
use rand::RngExt as _;
use std::io::{self, ErrorKind};

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
