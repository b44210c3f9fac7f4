//! The file system behind the handles: nodes, and operations that wait for their turn.

use super::faults::Faults;
use super::history::{Content, DirChange, Entries, FileChange, History};
use super::limit::Space;
use crate::buffer::ReadBuffer;
use crate::disk::{DirEntry, OpenMode, SyncFailures, WriteData, WriteSync};
use crate::error::DiskOp;
use crate::types::IoMode;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use slab::Slab;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
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
    /// Covers what had changed by `mark`.
    SyncDir {
        path: PathBuf,
        mark: u64,
    },
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
        io: IoMode,
    },
    /// Covers what had completed by `mark`.
    Sync {
        node: usize,
        mark: u64,
    },
    /// The same of the cache of the node's device alone.
    Flush {
        node: usize,
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
    op: DiskOp,
    action: Action,
    buffer: Option<ReadBuffer>,
    /// Of what is being written: nobody may change it in the meantime.
    checksum: Option<u32>,
    result: Option<io::Result<Outcome>>,
    waker: Option<Waker>,
    is_abandoned: bool,
}

/// See the module.
pub(super) struct World {
    pub(super) rng: SmallRng,
    pub(super) nodes: Vec<Node>,
    /// The device of each node.
    devices: Vec<usize>,
    /// Syncs that have failed, by device.
    failures: BTreeMap<usize, SyncFailures>,
    /// Files below this path lie on device 1, all others on device 0.
    pub(super) second_device: Option<PathBuf>,
    operations: Slab<Operation>,
    /// Operations whose turn has not come, in no order.
    outstanding: Vec<usize>,
    pub(super) faults: Faults,
    pub(super) space: Space,
    /// Open files hold a clone each.
    pub(super) descriptors: Rc<()>,
    pub(super) descriptors_max: Option<usize>,
    /// Changes completed so far.
    completed: u64,
}

impl World {
    /// An empty root directory.
    pub(super) fn new(seed: u64) -> Self {
        Self::with_nodes(vec![Node::Dir(History::default())], vec![0], seed)
    }

    fn with_nodes(nodes: Vec<Node>, devices: Vec<usize>, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self {
            rng,
            nodes,
            devices,
            failures: BTreeMap::new(),
            second_device: None,
            operations: Slab::new(),
            outstanding: Vec::new(),
            faults: Faults::default(),
            space: Space::default(),
            descriptors: Rc::default(),
            descriptors_max: None,
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

    /// Takes an operation in; the key is for [`World::take`].
    ///
    /// # Panics
    /// If it would write what a write in flight writes, or cut a file that is being written.
    pub(super) fn submit(&mut self, op: DiskOp, action: Action, buffer: Option<ReadBuffer>) -> usize {
        self.refuse_races(&action);
        let checksum = checksum_of(&action);
        let (result, waker, is_abandoned) = (None, None, false);
        let operation = Operation { op, action, buffer, checksum, result, waker, is_abandoned };
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
        let (op, action, buffer) = (operation.op, operation.action.clone(), operation.buffer.take());
        let synced = self.synced_by(&action);
        let result = self.apply_or_fail(op, action, buffer);
        self.note_failed_sync(op, synced, &result);
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
        let mut world = Self::with_nodes(self.nodes.clone(), self.devices.clone(), seed);
        world.completed = self.completed;
        world.second_device.clone_from(&self.second_device);
        world.faults = self.faults.successor();
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
        self.after_power_loss_of(&[0, 1], seed)
    }

    /// The same, where only some devices lose what their caches hold.
    pub(super) fn after_power_loss_of(&self, devices: &[usize], seed: u64) -> Self {
        // What was on its way when the power went is as uncertain as after a kill, and then not synced either.
        let mut world = self.after_kill(seed);
        let of_nodes = world.devices.clone();
        for (node, device) in world.nodes.iter_mut().zip(of_nodes) {
            if !devices.contains(&device) {
                continue;
            }
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

    /// Does what the operation asks for, unless the disk is full or a fault meets it.
    fn apply_or_fail(
        &mut self,
        op: DiskOp,
        action: Action,
        buffer: Option<ReadBuffer>,
    ) -> io::Result<Outcome> {
        self.take_descriptor(&action)?;
        self.take_space(&action)?;
        match self.faults.next(op) {
            Some(effect) => self.meet(effect, action),
            None => self.apply(action, buffer),
        }
    }

    fn apply(&mut self, action: Action, buffer: Option<ReadBuffer>) -> io::Result<Outcome> {
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
            Action::SyncDir { path, mark } => {
                let node = self.lookup(&path)?;
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
            Action::Read { node, position, len_bytes, io } => {
                let file = self.file(node)?;
                let bytes = match io {
                    IoMode::Buffered => file.live().read(position, len_bytes),
                    IoMode::Direct => file.read_direct(position, len_bytes),
                };
                let mut buffer = buffer.expect("a read comes with its buffer");
                buffer.fill(0, &bytes);
                outcome.len = bytes.len() as u64;
                outcome.buffer = Some(buffer);
            }
            Action::Sync { node, mark } => {
                self.file(node)?.sync_to(mark);
                self.flush_to(node, mark);
            }
            Action::Flush { node, mark } => self.flush_to(node, mark),
            Action::Change { node, change } => self.change(node, change)?,
            Action::Size(node) => outcome.len = self.file(node)?.live().len(),
            Action::NextData { node, position } => {
                outcome.range = self.file(node)?.live().next_written(position);
            }
        }
        Ok(outcome)
    }

    /// Fails an operation that needs a descriptor where none is left.
    fn take_descriptor(&self, action: &Action) -> io::Result<()> {
        let opens = matches!(
            action,
            Action::Open(..) | Action::SyncDir { .. } | Action::List(_) | Action::ReadFile(_)
        );
        let open = Rc::strong_count(&self.descriptors) - 1;
        match self.descriptors_max {
            Some(most) if opens && open >= most => Err(io::Error::from_raw_os_error(libc::EMFILE)),
            _ => Ok(()),
        }
    }

    pub(super) fn write(
        &mut self,
        node: usize,
        data: &[u8],
        position: u64,
        how: (WriteSync, IoMode),
    ) -> io::Result<()> {
        let change = FileChange::Write(position, data.into());
        let number = self.next_number();
        let file = self.file(node)?;
        match how {
            (WriteSync::None, IoMode::Buffered) => file.change(change, number),
            (WriteSync::None, IoMode::Direct) => file.change_on_device(change, number),
            (WriteSync::Dsync, _) => file.change_durably(change, number),
        }
        Ok(())
    }

    fn change(&mut self, node: usize, change: FileChange) -> io::Result<()> {
        let number = self.next_number();
        self.file(node)?.change(change, number);
        Ok(())
    }

    /// The cache of the node's device is flushed: of every file on it, what changed no metadata.
    fn flush_to(&mut self, node: usize, mark: u64) {
        for (_, file) in self.files_beside(node) {
            file.flush_to(mark);
        }
    }

    /// The files on the device of `node`, with their nodes.
    pub(super) fn files_beside(
        &mut self,
        node: usize,
    ) -> impl Iterator<Item = (usize, &mut History<Content>)> + use<'_> {
        let device = self.devices[node];
        let nodes = self.nodes.iter_mut().zip(&self.devices).enumerate();
        nodes.filter_map(move |(number, (node, of_node))| match node {
            Node::File(file) if *of_node == device => Some((number, file)),
            _ => None,
        })
    }

    /// The failed syncs of the node's device.
    pub(super) fn sync_failures(&mut self, node: usize) -> SyncFailures {
        self.failures.entry(self.devices[node]).or_default().clone()
    }

    /// The device that the node lies on.
    pub(super) fn device(&self, node: usize) -> usize {
        self.devices[node]
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
        let is_on_second = self.second_device.as_ref().is_some_and(|prefix| path.starts_with(prefix));
        self.nodes.push(node);
        self.devices.push(usize::from(is_on_second));
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
