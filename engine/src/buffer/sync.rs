//! The primitives that [`References`](super::references::References) uses. Its loom tests replace them by loom's.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence};

/// First units of chunks, in the order in which they were pushed.
pub(super) type ReturnQueue = crossbeam::queue::ArrayQueue<u32>;
