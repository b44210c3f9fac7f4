//! The handles of callers: [`Producer`] and [`Consumer`]. They are polled, so that any executor can drive them. Handles
//! of an engine are Send, and their `wait_…` methods serve plain threads. Handles of a [`LocalShard`] stay on its
//! thread.

mod consumer;
mod linger;
mod local;
mod port;
mod producer;
mod producer_config;
#[cfg(test)]
mod tests;
mod topics;

pub use consumer::{Consumer, ConsumerConfig, CrcCheck, Fetched, OffsetReset};
pub(crate) use linger::LingerTimer;
pub use local::{LocalConsumer, LocalProducer, LocalShard};
pub use port::{Local, Port, Remote};
pub use producer::{Ack, Producer, TrySendError};
pub use producer_config::{Partitioner, ProducerConfig};
pub(crate) use topics::{OpenTopic, Topics};

/// The way to a partition: its shard's port, and its slot there.
#[derive(Debug, Clone)]
pub(crate) struct Route<P> {
    pub(crate) port: P,
    pub(crate) slot: usize,
}

/// A partition of a topic, as a handle can or cannot reach it.
#[derive(Debug, Clone)]
pub(crate) enum Destination<P> {
    /// The handle can reach it.
    Reachable(Route<P>),
    /// The partition belongs to this other shard, and the handle is bound to its own.
    OtherShard(u32),
}
