//! Apache Kafka as a system, and whatever speaks its protocol: librdkafka is the client, in the cargo feature `kafka`.
//!
//! Each producer and each consumer of the load is a client of its own, with its own connections and threads. The client
//! batches, retries and times out; the load thread hands records over and picks results up.

#[cfg(feature = "kafka")]
mod brokers;
#[cfg(feature = "kafka")]
mod cluster;
#[cfg(feature = "kafka")]
mod config;
#[cfg(feature = "kafka")]
mod consumer;
#[cfg(feature = "kafka")]
mod errors;
#[cfg(feature = "kafka")]
mod events;
#[cfg(feature = "kafka")]
mod existing;
#[cfg(feature = "kafka")]
mod groups;
#[cfg(feature = "kafka")]
mod launch;
#[cfg(feature = "kafka")]
pub(super) mod leftovers;
#[cfg(feature = "kafka")]
mod order;
#[cfg(feature = "kafka")]
mod partition;
#[cfg(feature = "kafka")]
mod producer;
#[cfg(feature = "kafka")]
mod ready;
#[cfg(feature = "kafka")]
mod reports;
#[cfg(feature = "kafka")]
#[cfg(test)]
mod tests;
#[cfg(feature = "kafka")]
mod topics;

use crate::workload::{Capabilities, Durability, Target};
#[cfg(feature = "kafka")]
use crate::workload::{KafkaSettings, Workload};
#[cfg(feature = "kafka")]
pub(super) use {
    brokers::{Brokers, Lender},
    config::check,
};

/// Returns the settings of the brokers that a workload with these keys and values has started; `None` for other targets.
#[cfg(feature = "kafka")]
pub(super) fn started_by(resolved: &serde_json::Value) -> Option<KafkaSettings> {
    let workload: Workload = serde_json::from_value(resolved.clone()).ok()?;
    let is_started = workload.target.system() == Target::KAFKA && workload.target.address().is_none();
    is_started.then_some(workload.kafka)
}

/// Returns what a workload asks of its clients, its topics, and the brokers that are started for it.
///
/// # Errors
/// A secret is not in the environment.
#[cfg(feature = "kafka")]
#[cfg(test)]
pub(crate) fn asked(workload: &Workload) -> anyhow::Result<String> {
    let client = config::Client::of(workload, "host:9092")?.producer();
    let pairs = client.config_map();
    let client: std::collections::BTreeMap<_, _> = pairs.iter().collect();
    let brokers = launch::Setup::of(&workload.kafka).arguments();
    Ok(format!("{client:?} {:?} {brokers:?}", config::NewTopics::of(workload)))
}

/// Kind of this system in results.
#[cfg(feature = "kafka")]
const KIND: &str = Target::KAFKA;

/// The reason why a build without the client cannot measure Kafka.
const MISSING: Option<&str> = if cfg!(feature = "kafka") {
    None
} else {
    Some(
        "this build has no Kafka client; `cargo run --release --features kafka -- run …` builds and runs one that has \
         (it needs make, Perl and a C compiler)",
    )
};

/// The capabilities of a Kafka cluster.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    system: Target::KAFKA,
    missing: MISSING,
    settings: Some("kafka"),
    // `acks=0` has no ack to time.
    durabilities: &[Durability::Written, Durability::Synced],
    runs_colocated_load: false,
    can_be_stalled: false,
    drops_caches: false,
    reports_retention: false,
    has_groups: true,
    stamps_completion: true,
};
