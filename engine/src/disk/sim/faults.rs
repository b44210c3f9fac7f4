//! Faults that wait for an operation of their kind, and the outcome of an operation that a fault has hit.

use crate::error::DiskOp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
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
