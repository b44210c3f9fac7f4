//! The file system behind the handles: nodes, and operations that wait for their turn.

use super::history::{Content, DirChange, Entries, FileChange, History};
use super::space::Space;
use crate::buffer::ReadBuffer;
use crate::disk::{DirEntry, OpenMode, WriteData, WriteSync};
use crate::types::IoMode;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use slab::Slab;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::task::Waker;

const ROOT: usize = 0;

/// A file or a directory. Nodes are never reused, so that handles to removed files keep working.
#[derive(Clone)]
pub(super) enum Node {
    File(History<Content>),
    Dir(History<Entries>),
}

/// What an operation does when its turn comes.
#[derive(Clone)]
pub(super) enum Action {
    Open(PathBuf, OpenMode),
    Rename(PathBuf, PathBuf),
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
    CreateDir(PathBuf),
    SyncDir(PathBuf),
    List(PathBuf),
    ReadFile(PathBuf),
    Write {
        node: usize,
        data: WriteData,
        position: u64,
        sync: WriteSync,
        io: IoMode,
    },
    Read {
        node: usize,
        position: u64,
        len_bytes: usize,
    },
    /// Covers what had completed by `mark`.
    Sync {
        node: usize,
        mark: u64,
    },
    /// The same of the device's cache alone.
    Flush {
        mark: u64,
    },
    Change {
        node: usize,
        change: FileChange,
    },
    Size(usize),
    NextData {
        node: usize,
        position: u64,
    },
}

/// What an operation brings back; which part is meant depends on the action.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) node: usize,
    pub(super) len: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<DirEntry>,
    pub(super) buffer: Option<ReadBuffer>,
    pub(super) range: Option<Range<u64>>,
}

/// An operation from its submission until its outcome was taken.
struct Operation {
    action: Action,
    buffer: Option<ReadBuffer>,
    /// Of what is being written: nobody may change it in the meantime.
    checksum: Option<u32>,
    result: Option<io::Result<Outcome>>,
    waker: Option<Waker>,
    is_abandoned: bool,
}

/// A write that is to fail.
#[derive(Clone, Copy)]
struct Fault {
    writes_before: u64,
    kind: ErrorKind,
}

/// See the module.
pub(super) struct World {
    pub(super) rng: SmallRng,
    pub(super) nodes: Vec<Node>,
    operations: Slab<Operation>,
    /// Operations whose turn has not come, in no order.
    outstanding: Vec<usize>,
    fault: Option<Fault>,
    pub(super) sync_fault: Option<ErrorKind>,
    pub(super) space: Space,
    /// Changes completed so far.
    completed: u64,
}

impl World {
    /// An empty root directory.
    pub(super) fn new(seed: u64) -> Self {
        Self::with_nodes(vec![Node::Dir(History::default())], seed)
    }

    fn with_nodes(nodes: Vec<Node>, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self {
            rng,
            nodes,
            operations: Slab::new(),
            outstanding: Vec::new(),
            fault: None,
            sync_fault: None,
            space: Space::default(),
            completed: 0,
        }
    }

    /// What a sync that is submitted now covers.
    pub(super) const fn mark(&self) -> u64 {
        self.completed
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.completed += 1;
        self.completed
    }

    pub(super) const fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The write after `writes_before` others fails with `kind`; an unknown part of it is written.
    pub(super) const fn fail_write(&mut self, writes_before: u64, kind: ErrorKind) {
        self.fault = Some(Fault { writes_before, kind });
    }

    /// Takes an operation in; the key is for [`World::take`].
    ///
    /// # Panics
    /// If it would write what a write in flight writes, or cut a file that is being written.
    pub(super) fn submit(&mut self, action: Action, buffer: Option<ReadBuffer>) -> usize {
        self.refuse_races(&action);
        let checksum = checksum_of(&action);
        let operation =
            Operation { action, buffer, checksum, result: None, waker: None, is_abandoned: false };
        let key = self.operations.insert(operation);
        self.outstanding.push(key);
        key
    }

    fn refuse_races(&self, action: &Action) {
        let in_flight = |wanted: usize| {
            let actions = self.outstanding.iter().map(|key| &self.operations[*key].action);
            actions.filter_map(written_range).filter(move |(node, _)| *node == wanted)
        };
        if let Some((node, range)) = written_range(action) {
            let overlaps = |other: &Range<u64>| other.start < range.end && range.start < other.end;
            if let Some((_, other)) = in_flight(node).find(|(_, other)| overlaps(other)) {
                panic!("bytes {range:?} are submitted while {other:?} of the same file are in flight");
            }
        }
        if let Action::Change { node, change: FileChange::Resize(_) } = action {
            assert!(in_flight(*node).next().is_none(), "a file is cut while it is being written");
        }
    }

    /// The outcome of an operation whose turn has come; else `waker` is woken when it does.
    pub(super) fn take(&mut self, key: usize, waker: &Waker) -> Option<io::Result<Outcome>> {
        let operation = &mut self.operations[key];
        if operation.result.is_none() {
            operation.waker = Some(waker.clone());
            return None;
        }
        self.operations.remove(key).result
    }

    /// Nobody will take the outcome; the operation has its turn all the same.
    pub(super) fn abandon(&mut self, key: usize) {
        let operation = &mut self.operations[key];
        operation.is_abandoned = true;
        if operation.result.is_some() {
            self.operations.remove(key);
        }
    }

    /// Gives a random operation its turn; the waker is to be woken.
    pub(super) fn complete_one(&mut self) -> Option<Waker> {
        let chosen = self.rng.random_range(0..self.outstanding.len());
        let key = self.outstanding.swap_remove(chosen);
        let operation = &mut self.operations[key];
        assert!(
            operation.checksum == checksum_of(&operation.action),
            "bytes changed while they were being written"
        );
        let (action, buffer) = (operation.action.clone(), operation.buffer.take());
        let result = self.apply(action, buffer);
        let operation = &mut self.operations[key];
        operation.result = Some(result);
        let waker = operation.waker.take();
        if operation.is_abandoned {
            self.operations.remove(key);
        }
        waker
    }

    /// The disk as the next process finds it after this one was killed.
    pub(super) fn after_kill(&self, seed: u64) -> Self {
        let mut world = Self::with_nodes(self.nodes.clone(), seed);
        world.completed = self.completed;
        let mut left: Vec<Action> =
            self.outstanding.iter().map(|key| self.operations[*key].action.clone()).collect();
        left.shuffle(&mut world.rng);
        for action in left {
            world.apply_perhaps(action);
        }
        world
    }

    /// The disk as it is found after the machine lost its power.
    pub(super) fn after_power_loss(&self, seed: u64) -> Self {
        // What was on its way when the power went is as uncertain as after a kill, and then not synced either.
        let mut world = self.after_kill(seed);
        for node in &mut world.nodes {
            *node = match node {
                Node::File(file) => Node::File(file.after_power_loss(&mut world.rng)),
                Node::Dir(dir) => Node::Dir(dir.after_power_loss(&mut world.rng)),
            };
        }
        world
    }

    fn apply_perhaps(&mut self, action: Action) {
        match action {
            Action::Write { node, data, position, .. } => {
                let change = FileChange::Write(position, data[..].into());
                let number = self.next_number();
                if let Node::File(file) = &mut self.nodes[node] {
                    file.change_in_part(&change, number, &mut self.rng);
                }
            }
            Action::Read { .. }
            | Action::List(_)
            | Action::ReadFile(_)
            | Action::Size(_)
            | Action::NextData { .. } => {}
            action => {
                if self.rng.random() {
                    let _ = self.apply(action, None);
                }
            }
        }
    }

    fn apply(&mut self, action: Action, buffer: Option<ReadBuffer>) -> io::Result<Outcome> {
        self.take_space(&action)?;
        let mut outcome = Outcome::default();
        match action {
            Action::Open(path, mode) => outcome.node = self.open(&path, mode)?,
            Action::Rename(from, to) => self.rename(&from, &to)?,
            Action::RemoveFile(path) => {
                self.file(self.lookup(&path)?)?;
                self.unlink(&path)?;
            }
            Action::RemoveDir(path) => {
                let node = self.lookup(&path)?;
                if !self.dir(node)?.live().0.is_empty() {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                self.unlink(&path)?;
            }
            Action::CreateDir(path) => {
                if self.lookup(&path).is_err() {
                    self.link(&path, Node::Dir(History::default()))?;
                }
            }
            Action::SyncDir(path) => {
                let (node, mark) = (self.lookup(&path)?, self.mark());
                self.dir(node)?.sync_to(mark);
            }
            Action::List(path) => outcome.entries = self.list(&path)?,
            Action::ReadFile(path) => {
                let content = self.file(self.lookup(&path)?)?.live();
                outcome.bytes = content.read(0, crate::num::usize_of(content.len()));
            }
            Action::Write { node, data, position, sync, io } => {
                self.write(node, &data, position, (sync, io))?;
            }
            Action::Read { node, position, len_bytes } => {
                let bytes = self.file(node)?.live().read(position, len_bytes);
                let mut buffer = buffer.expect("a read comes with its buffer");
                buffer.fill(0, &bytes);
                outcome.len = bytes.len() as u64;
                outcome.buffer = Some(buffer);
            }
            Action::Sync { node, mark } => {
                self.fail_sync()?;
                self.file(node)?.sync_to(mark);
                self.flush_to(mark);
            }
            Action::Flush { mark } => {
                self.fail_sync()?;
                self.flush_to(mark);
            }
            Action::Change { node, change } => self.change(node, change)?,
            Action::Size(node) => outcome.len = self.file(node)?.live().len(),
            Action::NextData { node, position } => {
                outcome.range = self.file(node)?.live().next_written(position);
            }
        }
        Ok(outcome)
    }

    fn write(&mut self, node: usize, data: &[u8], position: u64, how: (WriteSync, IoMode)) -> io::Result<()> {
        let change = FileChange::Write(position, data.into());
        let number = self.next_number();
        if let Some(fault) = &mut self.fault {
            if fault.writes_before == 0 {
                let kind = fault.kind;
                self.fault = None;
                if let Node::File(file) = &mut self.nodes[node] {
                    file.change_in_part(&change, number, &mut self.rng);
                }
                return Err(kind.into());
            }
            fault.writes_before -= 1;
        }
        let file = self.file(node)?;
        match how {
            (WriteSync::None, IoMode::Buffered) => file.change(change, number),
            (WriteSync::None, IoMode::Direct) => file.change_on_device(change, number),
            (WriteSync::Dsync, _) => file.change_durably(change, number),
        }
        Ok(())
    }

    fn fail_sync(&mut self) -> io::Result<()> {
        self.sync_fault.take().map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn change(&mut self, node: usize, change: FileChange) -> io::Result<()> {
        let number = self.next_number();
        self.file(node)?.change(change, number);
        Ok(())
    }

    /// The device's cache is flushed: of every file, what changed no metadata.
    fn flush_to(&mut self, mark: u64) {
        for node in &mut self.nodes {
            if let Node::File(file) = node {
                file.flush_to(mark);
            }
        }
    }

    fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<usize> {
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

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
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

    fn link(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (dir, name) = self.parent(path)?;
        let new = self.nodes.len();
        let number = self.next_number();
        self.dir(dir)?.change(DirChange::Link(name, new), number);
        self.nodes.push(node);
        Ok(new)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        let number = self.next_number();
        self.dir(dir)?.change(DirChange::Unlink(name), number);
        Ok(())
    }

    fn list(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let node = self.lookup(path)?;
        let entries = self.dir(node)?.live().clone();
        let named = |(name, node): (&OsString, &usize)| DirEntry {
            name: name.to_string_lossy().into_owned(),
            is_dir: matches!(self.nodes[*node], Node::Dir(_)),
        };
        Ok(entries.0.iter().map(named).collect())
    }

    /// The node a path leads to, from the root on; a leading slash changes nothing.
    pub(super) fn lookup(&self, path: &Path) -> io::Result<usize> {
        names(path)?.into_iter().try_fold(ROOT, |node, name| match &self.nodes[node] {
            Node::Dir(dir) => dir.live().0.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into()),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        })
    }

    fn parent(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let dir = self.lookup(path.parent().unwrap_or(Path::new("")))?;
        Ok((dir, name.to_owned()))
    }

    pub(super) fn file(&mut self, node: usize) -> io::Result<&mut History<Content>> {
        match &mut self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn dir(&mut self, node: usize) -> io::Result<&mut History<Entries>> {
        match &mut self.nodes[node] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }
}

fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(Ok(name)),
        Component::RootDir | Component::CurDir => None,
        Component::ParentDir | Component::Prefix(_) => Some(Err(ErrorKind::InvalidInput.into())),
    });
    names.collect()
}

fn written_range(action: &Action) -> Option<(usize, Range<u64>)> {
    match action {
        Action::Write { node, data, position, .. } => Some((*node, *position..*position + data.len() as u64)),
        _ => None,
    }
}

/// Of what an operation writes; nothing in release builds, where it would only cost time.
fn checksum_of(action: &Action) -> Option<u32> {
    match action {
        Action::Write { data, .. } if cfg!(debug_assertions) => Some(crc_fast::crc32_iscsi(data)),
        _ => None,
    }
}
