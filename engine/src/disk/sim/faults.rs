//! Faults that wait for an operation of their kind.

use crate::error::DiskOp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::rc::Rc;

/// A fault that meets one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The kind of operation. A file's size counts as [`DiskOp::Open`], a flush as [`DiskOp::Sync`].
    pub op: DiskOp,
    /// Operations of that kind that complete before it, unharmed.
    pub operations_before: u64,
    /// The way in which it misbehaves.
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
    /// The same, and of each other file on the device any write that is not durable may be dropped too. A buffered one is then
    /// one that the kernel had written to the device already.
    FailsAndDropsDevice(ErrorKind),
    /// A write succeeds and is not there.
    IsLost,
    /// A write succeeds and lies elsewhere: at another block of the file, or in another file of the device.
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
    /// At most one of each kind of operation.
    waiting: Vec<Fault>,
    /// Operations that each kind has met. The disks after a kill or a power loss share the counts.
    counts: Rc<RefCell<BTreeMap<String, u64>>>,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        assert!(fault.effect.fits(fault.op), "{fault:?} cannot be");
        self.waiting.retain(|other| other.op != fault.op);
        self.waiting.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The faults of a disk that comes out of this one's.
    pub(super) fn successor(&self) -> Self {
        Self { waiting: Vec::new(), counts: Rc::clone(&self.counts) }
    }

    /// The effect of the fault that meets the operation which completes now, if one does.
    pub(super) fn next(&mut self, op: DiskOp) -> Option<Effect> {
        let at = self.waiting.iter().position(|fault| fault.op == op)?;
        let fault = &mut self.waiting[at];
        if let Some(fewer) = fault.operations_before.checked_sub(1) {
            fault.operations_before = fewer;
            return None;
        }
        let effect = self.waiting.swap_remove(at).effect;
        self.met(&effect.name(op));
        Some(effect)
    }

    /// Counts a fault.
    pub(super) fn met(&self, name: &str) {
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
