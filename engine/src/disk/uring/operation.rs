//! The future of an operation's result.

use super::inner::Inner;
use super::keep::{Keep, Slot};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
