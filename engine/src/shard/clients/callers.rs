//! Wakers of callers.

use futures_util::task::AtomicWaker;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Wakes a caller. A panic of its waker is caught: the waker is the caller's own code, and this thread works for others
/// too.
pub(crate) fn wake_caller(waker: &AtomicWaker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        tracing::error!("a waker of a caller panicked");
    }
}
