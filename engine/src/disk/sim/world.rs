//! The file system behind the handles: nodes, and outstanding operations with their effect on the nodes.

use super::action::{Action, Outcome, checksum_of, written_range};
use super::faults::Faults;
use super::history::{Content, Entries, FileChange, History};
use super::limit::Space;
use crate::buffer::ReadBuffer;
use crate::disk::{SyncFailures, WriteSync};
use crate::error::DiskOp;
use crate::types::IoMode;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use slab::Slab;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Waker;

/// Index of the root directory's node.
pub(super) const ROOT: usize = 0;

/// A file or a directory. Nodes are never reused, so that handles to removed files keep working.
#[derive(Clone)]
pub(super) enum Node {
    File(History<Content>),
    Dir(History<Entries>),
}

/// An operation, from its submission until its outcome is taken.
struct Operation {
    op: DiskOp,
    action: Action,
    buffer: Option<ReadBuffer>,
    /// Checksum of the bytes of a write, which nobody may change while it is outstanding.
    checksum: Option<u32>,
    result: Option<io::Result<Outcome>>,
    waker: Option<Waker>,
    is_abandoned: bool,
}

/// The state of a simulated disk; see the module.
pub(super) struct World {
    pub(super) rng: SmallRng,
    pub(super) nodes: Vec<Node>,
    /// The number of each node's device.
    pub(super) devices: Vec<usize>,
    /// Counts of failed syncs. The key is the number of the device.
    failures: BTreeMap<usize, SyncFailures>,
    /// Files below this path lie on device 1, all others on device 0.
    pub(super) second_device: Option<PathBuf>,
    operations: Slab<Operation>,
    /// Keys of the operations that have not completed, in no order.
    outstanding: Vec<usize>,
    pub(super) faults: Faults,
    pub(super) space: Space,
    /// Every open file holds a clone, so the reference count is the number of open files plus one.
    pub(super) descriptors: Rc<()>,
    pub(super) descriptors_max: Option<usize>,
    /// The number of completed changes, which is also the number of the last one.
    completed: u64,
    /// The number of bytes that reads of open files have returned.
    pub(super) read_bytes: u64,
}

impl World {
    /// Returns a disk with an empty root directory.
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
            read_bytes: 0,
        }
    }

    /// Returns the number of the last change that a sync covers if it is submitted now.
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

    /// Submits an operation. Returns its key, for [`World::take`].
    ///
    /// # Panics
    /// If the operation writes bytes that another write in flight writes, or cuts a file that is being written.
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

    /// Returns the outcome of an operation that has completed. Otherwise `waker` is woken when it completes.
    pub(super) fn take(&mut self, key: usize, waker: &Waker) -> Option<io::Result<Outcome>> {
        let operation = &mut self.operations[key];
        if operation.result.is_none() {
            operation.waker = Some(waker.clone());
            return None;
        }
        self.operations.remove(key).result
    }

    /// Marks an operation as one whose outcome nobody takes. It is completed all the same.
    pub(super) fn abandon(&mut self, key: usize) {
        let operation = &mut self.operations[key];
        operation.is_abandoned = true;
        if operation.result.is_some() {
            self.operations.remove(key);
        }
    }

    /// Completes a random operation. Returns the waker of its future, which the caller wakes.
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

    /// Returns the disk that the next process finds after this one was killed.
    pub(super) fn after_kill(&self, seed: u64) -> Self {
        let mut world = Self::with_nodes(self.nodes.clone(), self.devices.clone(), seed);
        world.completed = self.completed;
        world.second_device.clone_from(&self.second_device);
        world.faults = self.faults.successor();
        let mut left: Vec<Action> =
            self.outstanding.iter().map(|key| self.operations[*key].action.clone()).collect();
        left.shuffle(&mut world.rng);
        for action in left {
            world.maybe_apply(action);
        }
        world
    }

    /// Returns the disk that is found after the machine lost its power.
    pub(super) fn after_power_loss(&self, seed: u64) -> Self {
        self.after_power_loss_of(&[0, 1], seed)
    }

    /// Returns the disk that is found after a power loss in which only `devices` lost the content of their caches.
    pub(super) fn after_power_loss_of(&self, devices: &[usize], seed: u64) -> Self {
        // An operation that was outstanding at the power loss may have happened or not, as after a kill. If it has, it
        // is not synced.
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

    /// Applies an operation that was outstanding when the process died: in part, as a whole, or not at all.
    fn maybe_apply(&mut self, action: Action) {
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

    /// Applies an operation, unless no descriptor or no space is left for it, or a fault hits it.
    fn apply_or_fail(
        &mut self,
        op: DiskOp,
        action: Action,
        buffer: Option<ReadBuffer>,
    ) -> io::Result<Outcome> {
        self.take_descriptor(&action)?;
        self.take_space(&action)?;
        match self.faults.next(op) {
            Some(effect) => self.run_with_fault(effect, action),
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
                self.read_bytes += outcome.len;
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

    /// Fails if the operation needs a descriptor and none is left.
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

    pub(super) fn change(&mut self, node: usize, change: FileChange) -> io::Result<()> {
        let number = self.next_number();
        self.file(node)?.change(change, number);
        Ok(())
    }

    /// Flushes the cache of the node's device. This makes the writes to every file of the device durable that changed
    /// nothing but data.
    fn flush_to(&mut self, node: usize, mark: u64) {
        for (_, file) in self.files_on_device_of(node) {
            file.flush_to(mark);
        }
    }

    /// Returns the files on the device of `node`, each with its node.
    pub(super) fn files_on_device_of(
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

    /// Returns the count of failed syncs of the node's device.
    pub(super) fn sync_failures(&mut self, node: usize) -> SyncFailures {
        self.failures.entry(self.devices[node]).or_default().clone()
    }

    /// Returns the number of the node's device.
    pub(super) fn device(&self, node: usize) -> usize {
        self.devices[node]
    }

    pub(super) fn file(&mut self, node: usize) -> io::Result<&mut History<Content>> {
        match &mut self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn dir(&mut self, node: usize) -> io::Result<&mut History<Entries>> {
        match &mut self.nodes[node] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }
}
