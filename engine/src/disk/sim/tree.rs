//! The directory tree of the simulated disk: looks up paths, and creates, renames, removes and lists names.

use super::history::{DirChange, FileChange, History};
use super::world::{Node, ROOT, World};
use crate::disk::{DirEntry, OpenMode};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};

impl World {
    /// Opens or creates a file. Returns its node.
    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<usize> {
        match (self.lookup(path), mode) {
            (Ok(_), OpenMode::CreateNew) => Err(ErrorKind::AlreadyExists.into()),
            (Ok(node), OpenMode::Replace) => {
                self.change(node, FileChange::Resize(0))?;
                Ok(node)
            }
            (Ok(node), _) => self.file(node).map(|_| node),
            (Err(_), OpenMode::CreateNew | OpenMode::Replace) => {
                self.link(path, Node::File(History::default()))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Renames a node within its directory.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.lookup(from)?;
        let ((dir, from), (to_dir, to)) = (self.parent(from)?, self.parent(to)?);
        if dir != to_dir {
            let reason = "the simulated disk renames within one directory only; across is not supported yet";
            return Err(io::Error::new(ErrorKind::Unsupported, reason));
        }
        let number = self.next_number();
        self.dir(dir)?.change(DirChange::Rename(from, to, node), number);
        Ok(())
    }

    /// Gives the name `path` to a new node. Returns the node's index.
    pub(super) fn link(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (dir, name) = self.parent(path)?;
        let new = self.nodes.len();
        let number = self.next_number();
        self.dir(dir)?.change(DirChange::Link(name, new), number);
        let is_on_second = self.second_device.as_ref().is_some_and(|prefix| path.starts_with(prefix));
        self.nodes.push(node);
        self.devices.push(usize::from(is_on_second));
        Ok(new)
    }

    /// Removes a name from its directory.
    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        let number = self.next_number();
        self.dir(dir)?.change(DirChange::Unlink(name), number);
        Ok(())
    }

    /// Returns the entries of a directory, sorted by name.
    pub(super) fn list(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let node = self.lookup(path)?;
        let entries = self.dir(node)?.live().clone();
        let named = |(name, node): (&OsString, &usize)| DirEntry {
            name: name.to_string_lossy().into_owned(),
            is_dir: matches!(self.nodes[*node], Node::Dir(_)),
        };
        Ok(entries.0.iter().map(named).collect())
    }

    /// Returns the node that a path leads to. Every path begins at the root, with or without a leading slash.
    pub(super) fn lookup(&self, path: &Path) -> io::Result<usize> {
        names(path)?.into_iter().try_fold(ROOT, |node, name| match &self.nodes[node] {
            Node::Dir(dir) => dir.live().0.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into()),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        })
    }

    /// Returns the node of the directory that a path lies in, and the path's last name.
    fn parent(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let dir = self.lookup(path.parent().unwrap_or(Path::new("")))?;
        Ok((dir, name.to_owned()))
    }
}

/// Returns the names that a path consists of.
fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(Ok(name)),
        Component::RootDir | Component::CurDir => None,
        Component::ParentDir | Component::Prefix(_) => Some(Err(ErrorKind::InvalidInput.into())),
    });
    names.collect()
}
