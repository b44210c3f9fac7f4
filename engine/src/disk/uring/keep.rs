//! Everything that an operation owns while the kernel works on it, and its state in the ring's table.

use super::UringFile;
use crate::buffer::ReadBuffer;
use crate::disk::WriteData;
use io_uring::types::Timespec;
use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};
use std::task::Waker;

/// Everything that an operation owns until its completion, even if its future is dropped before.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "files and paths are owned so that the kernel can use them, not to be read")]
pub(super) struct Keep {
    pub(super) file: Option<UringFile>,
    pub(super) data: Option<WriteData>,
    pub(super) buffer: Option<ReadBuffer>,
    pub(super) paths: Vec<CString>,
    pub(super) time: Option<Box<Timespec>>,
    /// Whether a kernel worker thread runs the operation, and not the thread that submits it.
    pub(super) is_on_worker: bool,
    /// The part of its file that the operation makes durable.
    pub(super) syncs: Syncs,
    /// Whether the result is a new descriptor. The ring closes it if nobody takes the result.
    pub(super) opens: bool,
}

/// The data that an operation makes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Syncs {
    /// Nothing: the operation is no sync.
    #[default]
    Nothing,
    /// The bytes that the operation writes.
    Write,
    /// Everything that was written to the file before.
    File,
}

impl Keep {
    /// Counts the operation if it is a failed sync. The ring calls this as it takes the completion, before any future
    /// learns of this completion or of a later one.
    pub(super) fn note_failure(&self, result: i32) {
        // A write that finds no space, or that has to be repeated, has failed before its sync.
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

    /// Returns the descriptor that an operation with this result has opened. Only the result's owner calls this, once.
    pub(super) fn opened(&self, result: i32) -> Option<OwnedFd> {
        // SAFETY: the kernel has opened the descriptor for this operation, and the result's only owner takes it.
        (self.opens && result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) })
    }
}

/// The state of an operation in the ring's table.
pub(super) enum Slot {
    /// The kernel has the operation, or gets it with the next submission. An orphan is an operation whose future was
    /// dropped.
    InFlight { keep: Keep, waker: Option<Waker>, is_orphan: bool },
    /// The operation has completed, and its future has not been polled since.
    Done { result: i32, keep: Keep },
}
