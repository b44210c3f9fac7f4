//! How much the simulated disk holds: what takes space, and when there is none.

use super::history::FileChange;
use super::world::{Action, Node, World};
use crate::disk::OpenMode;
use rand::RngExt as _;
use std::io::{self, ErrorKind};

/// Extents are taken in blocks.
const BLOCK_BYTES: u64 = 4096;

impl World {
    /// Fails an operation that finds the disk full.
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
        self.faults.met("no space");
        let number = self.next_number();
        if let Some((node, change)) = change
            && let Node::File(file) = &mut self.nodes[node]
            && !matches!(change, FileChange::Resize(_))
        {
            file.change_in_part(&change, number, &mut self.rng);
        }
        Err(error(self.rng.random()).into())
    }

    /// Bytes of all files that have a name.
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

/// Bytes that a change adds to the extents of a file of `len_bytes`.
fn added_bytes(change: &FileChange, len_bytes: u64) -> u64 {
    let end = match change {
        FileChange::Write(position, bytes) => position + bytes.len() as u64,
        FileChange::Extend(len) | FileChange::Resize(len) => *len,
    };
    extent_bytes(end).saturating_sub(extent_bytes(len_bytes))
}

/// Bytes of the extents of a file of `len_bytes`.
const fn extent_bytes(len_bytes: u64) -> u64 {
    len_bytes.next_multiple_of(BLOCK_BYTES)
}

/// What a full disk says: it may be the disk, or somebody's share of it.
const fn error(is_quota: bool) -> ErrorKind {
    if is_quota { ErrorKind::QuotaExceeded } else { ErrorKind::StorageFull }
}
