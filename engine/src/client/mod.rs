//! What callers hold: [`Producer`] and [`Consumer`]. Both are Send, poll-based, and so usable from any executor; the
//! `wait_…` methods serve plain threads.

mod consumer;
mod linger;
mod producer;

pub use consumer::{Consumer, ConsumerConfig, CrcCheck, Fetched, OffsetReset};
pub(crate) use linger::LingerTimer;
pub use producer::{Ack, Partitioner, Producer, ProducerConfig, TrySendError};

use crate::shard::Mailbox;
use std::sync::Arc;

/// Where a partition is.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) slot: usize,
}
