//! The space of the simulated disk: which operations take space, and when they find none.

use super::action::Action;
use super::history::FileChange;
use super::world::{Node, World};
use crate::disk::OpenMode;
use rand::RngExt as _;
use std::io::{self, ErrorKind};

/// Size of a block, bytes. Files get extents in whole blocks.
const BLOCK_BYTES: u64 = 4096;

impl World {
    /// Fails if the operation takes space and the disk is full. A write or an allocation is then done in part.
    pub(super) fn take_space(&mut self, action: &Action) -> io::Result<()> {
        if !takes_space(action) {
            return Ok(());
        }
        let change = match action {
            Action::Write { node, data, position, .. } => {
                Some((*node, FileChange::Write(*position, data[..].into())))
            }
            Action::Change { node, change } => Some((*node, change.clone())),
            _ => None,
        };
        let added_bytes = match &change {
            Some((node, change)) => added_bytes(change, self.file(*node)?.live().len()),
            None => 0,
        };
        if !self.space.refuses(self.used_bytes(), added_bytes) {
            return Ok(());
        }
        self.faults.count("no space");
        let number = self.next_number();
        if let Some((node, change)) = change
            && let Node::File(file) = &mut self.nodes[node]
            && !matches!(change, FileChange::Resize(_))
        {
            file.change_in_part(&change, number, &mut self.rng);
        }
        Err(error(self.rng.random()).into())
    }

    /// Returns the bytes of all files that have a name, in whole blocks.
    pub(super) fn used_bytes(&self) -> u64 {
        let dirs = self.nodes.iter().filter_map(|node| match node {
            Node::Dir(dir) => Some(dir.live()),
            Node::File(_) => None,
        });
        let named = dirs.flat_map(|dir| dir.0.values());
        let files = named.filter_map(|node| match &self.nodes[*node] {
            Node::File(file) => Some(file.live().len()),
            Node::Dir(_) => None,
        });
        files.map(extent_bytes).sum()
    }
}

/// Whether an operation can fail for want of space.
const fn takes_space(action: &Action) -> bool {
    match action {
        Action::Open(_, mode) => matches!(mode, OpenMode::CreateNew | OpenMode::Replace),
        Action::Rename(..) | Action::CreateDir(_) | Action::Write { .. } | Action::Change { .. } => true,
        Action::RemoveFile(_)
        | Action::RemoveDir(_)
        | Action::SyncDir { .. }
        | Action::List(_)
        | Action::ReadFile(_)
        | Action::Read { .. }
        | Action::Sync { .. }
        | Action::Flush { .. }
        | Action::Size(_)
        | Action::NextData { .. } => false,
    }
}

/// Returns the bytes that a change adds to the extents of a file of `len_bytes`.
fn added_bytes(change: &FileChange, len_bytes: u64) -> u64 {
    let end = match change {
        FileChange::Write(position, bytes) => position + bytes.len() as u64,
        FileChange::Extend(len) | FileChange::Resize(len) => *len,
    };
    extent_bytes(end).saturating_sub(extent_bytes(len_bytes))
}

/// Returns the bytes of the extents of a file of `len_bytes`.
const fn extent_bytes(len_bytes: u64) -> u64 {
    len_bytes.next_multiple_of(BLOCK_BYTES)
}

/// Returns the error of a full disk: the disk itself is full, or the user's quota is used up.
const fn error(is_quota: bool) -> ErrorKind {
    if is_quota { ErrorKind::QuotaExceeded } else { ErrorKind::StorageFull }
}
