//! The handles of callers: [`Producer`] and [`Consumer`]. They are polled, so that any executor can drive them. Handles
//! of an engine are Send, and their `wait_…` methods serve plain threads. Handles of a [`LocalShard`] stay on its
//! thread.

mod consumer;
mod groups;
mod linger;
mod local;
mod port;
mod producer;
mod producer_config;
#[cfg(test)]
mod tests;
mod topics;

pub use consumer::{Consumer, ConsumerConfig, CrcCheck, Fetched, OffsetReset};
pub(crate) use groups::Heartbeats;
pub use groups::{
    AutoOffsetReset, Commit, GroupAdmin, GroupClients, GroupConsumer, GroupConsumerConfig, GroupEvent,
    GroupList, GroupRecords, GroupsError, Subscribe, default_group_id,
};
pub(crate) use linger::LingerTimer;
pub use local::{LocalConsumer, LocalProducer, LocalShard};
pub use port::{Local, Port, Remote};
pub(crate) use port::{LocalDirectory, RemoteDirectory, Route};
pub use producer::{Ack, Producer, TrySendError};
pub use producer_config::{Partitioner, ProducerConfig};
pub(crate) use topics::{OpenTopic, Topics};
