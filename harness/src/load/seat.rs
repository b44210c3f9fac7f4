//! Clients before they reach the thread that drives them.

use crate::system::{ConsumerSpec, LocalSystem, ProducerSpec, SystemConsumer, SystemProducer};
use anyhow::Context as _;

/// A client on its way to the thread that drives it.
pub enum Seat<C, S> {
    /// It may be moved there.
    Remote(C),
    /// It is made there, of this.
    Colocated(S),
}

/// A producer's client.
pub type ProducerSeat = Seat<Box<dyn SystemProducer + Send>, ProducerSpec>;

/// A consumer's client.
pub type ConsumerSeat = Seat<Box<dyn SystemConsumer + Send>, ConsumerSpec>;

const NO_SHARD: &str = "a colocated client is made on its shard";

impl ProducerSeat {
    /// The client, on the thread that `local` belongs to.
    pub(crate) fn taken(self, local: Option<&dyn LocalSystem>) -> anyhow::Result<Box<dyn SystemProducer>> {
        match self {
            Self::Remote(client) => Ok(client),
            Self::Colocated(spec) => local.context(NO_SHARD)?.producer(&spec),
        }
    }
}

impl ConsumerSeat {
    /// The client, on the thread that `local` belongs to.
    pub(crate) fn taken(self, local: Option<&dyn LocalSystem>) -> anyhow::Result<Box<dyn SystemConsumer>> {
        match self {
            Self::Remote(client) => Ok(client),
            Self::Colocated(spec) => local.context(NO_SHARD)?.consumer(&spec),
        }
    }
}
