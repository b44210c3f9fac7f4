//! Everything that an operation owns while the kernel works on it, and its state in the ring's table.

use super::UringFile;
use crate::buffer::ReadBuffer;
use crate::disk::WriteData;
use io_uring::types::Timespec;
use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};
use std::task::Waker;

/// Everything that an operation owns until its completion, also if its future is dropped before.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "files and paths are owned so that the kernel can use them, not to be read")]
pub(super) struct Keep {
    pub(super) file: Option<UringFile>,
    pub(super) data: Option<WriteData>,
    pub(super) buffer: Option<ReadBuffer>,
    pub(super) paths: Vec<CString>,
    pub(super) time: Option<Box<Timespec>>,
    /// Whether a worker thread of the kernel's runs the operation, and not the thread that submits it.
    pub(super) is_on_worker: bool,
    /// Whether it makes something of its file durable.
    pub(super) syncs: Syncs,
    /// Whether the result is a new descriptor. The ring closes it if nobody takes the result.
    pub(super) opens: bool,
}

/// Whether an operation makes something durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Syncs {
    /// It does not.
    #[default]
    Nothing,
    /// The bytes that it writes.
    Write,
    /// Everything that was written to its file before.
    File,
}

impl Keep {
    /// Counts the operation if it is a sync that has failed. Called as its completion is taken, before anybody hears of that
    /// or of a later one.
    pub(super) fn note_failure(&self, result: i32) {
        // A write that finds no space, or is to be tried again, has not got as far as its sync.
        let is_refused = matches!(-result, libc::ENOSPC | libc::EDQUOT | libc::EINTR | libc::EAGAIN)
            && self.syncs == Syncs::Write;
        if let Some(file) = &self.file
            && self.syncs != Syncs::Nothing
            && result < 0
            && !is_refused
        {
            file.note_failed_sync();
        }
    }

    /// The descriptor that an operation with this result has opened. Called once, by the result's owner.
    pub(super) fn opened(&self, result: i32) -> Option<OwnedFd> {
        // SAFETY: the kernel has opened the descriptor for this operation, and the result's only owner takes it.
        (self.opens && result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) })
    }
}

/// The state of an operation in the ring's table.
pub(super) enum Slot {
    /// The kernel has it, or will get it with the next submission. An orphan's future was dropped.
    InFlight { keep: Keep, waker: Option<Waker>, is_orphan: bool },
    /// The operation has completed, and its future was not polled since.
    Done { result: i32, keep: Keep },
}
