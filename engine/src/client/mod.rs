//! What callers hold: [`Producer`] and [`Consumer`], poll-based, and so usable from any executor. Those of an engine are
//! Send, and their `wait_…` methods serve plain threads; those of a [`LocalShard`] stay on its thread.

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

/// Where a partition is.
#[derive(Debug, Clone)]
pub(crate) struct Route<P> {
    pub(crate) port: P,
    pub(crate) slot: usize,
}

/// Whether a partition is within a handle's reach.
#[derive(Debug, Clone)]
pub(crate) enum Place<P> {
    Here(Route<P>),
    /// On that shard, and this handle stays on another.
    Elsewhere(u32),
}
