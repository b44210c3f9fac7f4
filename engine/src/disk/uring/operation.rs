//! One operation of the ring: the memory that it owns while the kernel works on it, and the future of its result.

use super::UringFile;
use super::ring::Inner;
use crate::buffer::ReadBuffer;
use crate::disk::WriteData;
use io_uring::types::Timespec;
use std::ffi::CString;
use std::future::Future;
use std::os::fd::{FromRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

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

/// The future of an operation. Its output is the operation's result and its [`Keep`]. Dropping the future does not
/// cancel the operation.
pub(super) struct Operation {
    inner: Rc<Inner>,
    key: Option<usize>,
}

impl Operation {
    pub(super) const fn new(inner: Rc<Inner>, key: usize) -> Self {
        Self { inner, key: Some(key) }
    }
}

impl Future for Operation {
    type Output = (i32, Keep);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let key = self.key.expect("polled after completion");
        let mut slots = self.inner.slots.borrow_mut();
        if let Slot::InFlight { waker, .. } = &mut slots[key] {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let Slot::Done { result, keep } = slots.remove(key) else { unreachable!("checked above") };
        drop(slots);
        self.key = None;
        Poll::Ready((result, keep))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut slots = self.inner.slots.borrow_mut();
        if let Slot::InFlight { is_orphan, waker, .. } = &mut slots[key] {
            *is_orphan = true;
            *waker = None;
            return;
        }
        let done = slots.remove(key);
        // If this drops the last clone of the operation's file, the file is closed through the ring. That takes a slot,
        // so `slots` must not be borrowed any more.
        drop(slots);
        if let Slot::Done { result, keep } = done {
            drop(keep.opened(result));
        }
    }
}
