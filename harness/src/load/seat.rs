//! Clients before they reach the load thread that drives them.

use crate::system::{ConsumerSpec, LocalSystem, ProducerSpec, SystemConsumer, SystemProducer};
use anyhow::Context as _;

/// A client for a load thread, or the settings to make it there.
pub enum Seat<C, S> {
    /// The client. It may be moved to the thread that drives it.
    Remote(C),
    /// The settings. The client is made on the shard's thread, which it cannot leave.
    Colocated(S),
}

/// A producer for a load thread.
pub type ProducerSeat = Seat<Box<dyn SystemProducer + Send>, ProducerSpec>;

/// A consumer for a load thread.
pub type ConsumerSeat = Seat<Box<dyn SystemConsumer + Send>, ConsumerSpec>;

const NO_SHARD: &str = "a colocated client can be made only on its shard's thread";

impl ProducerSeat {
    /// Returns the client. A colocated one is made on the shard's thread, which `local` stands for.
    pub(crate) fn into_client(
        self,
        local: Option<&dyn LocalSystem>,
    ) -> anyhow::Result<Box<dyn SystemProducer>> {
        match self {
            Self::Remote(client) => Ok(client),
            Self::Colocated(spec) => local.context(NO_SHARD)?.producer(&spec),
        }
    }
}

impl ConsumerSeat {
    /// Returns the client. A colocated one is made on the shard's thread, which `local` stands for.
    pub(crate) fn into_client(
        self,
        local: Option<&dyn LocalSystem>,
    ) -> anyhow::Result<Box<dyn SystemConsumer>> {
        match self {
            Self::Remote(client) => Ok(client),
            Self::Colocated(spec) => local.context(NO_SHARD)?.consumer(&spec),
        }
    }
}
