//! Apache Kafka as a system, and whatever speaks its protocol: librdkafka is the client, in the cargo feature `kafka`.
//!
//! Each producer and each consumer of the load is a client of its own, with its own connections and threads. The client
//! batches, retries and times out; the load thread hands records over and picks results up.

#[cfg(feature = "kafka")]
mod cluster;
#[cfg(feature = "kafka")]
mod config;
#[cfg(feature = "kafka")]
mod consumer;
#[cfg(feature = "kafka")]
mod errors;
#[cfg(feature = "kafka")]
mod launch;
#[cfg(feature = "kafka")]
mod order;
#[cfg(feature = "kafka")]
mod producer;
#[cfg(feature = "kafka")]
mod reports;
#[cfg(feature = "kafka")]
#[cfg(test)]
mod tests;
#[cfg(feature = "kafka")]
mod topics;

use crate::workload::{Capabilities, Durability, Target};
#[cfg(feature = "kafka")]
use {
    super::System,
    crate::workload::Workload,
    anyhow::Context as _,
    cluster::{KafkaSystem, Started},
    std::path::Path,
};

#[cfg(feature = "kafka")]
pub(super) use {config::check, launch::Launched};

/// Opens the cluster that the workload measures. One that the harness starts is kept in `launched`, for later trials.
///
/// # Errors
/// Kafka cannot be started, no broker answers, or the client cannot be made.
#[cfg(feature = "kafka")]
pub(super) fn open(
    workload: &Workload,
    data_dir: &Path,
    launched: &mut Option<Launched>,
) -> anyhow::Result<Box<dyn System>> {
    if let Some(brokers) = workload.target.address() {
        return Ok(Box::new(KafkaSystem::connect(workload, brokers, None)?));
    }
    let kafka = &workload.kafka;
    if !launched.as_ref().is_some_and(|launched| launched.is_for(kafka)) {
        // The old one ends before its data directory is used again.
        drop(launched.take());
        *launched = Some(Launched::start(kafka, data_dir)?);
    }
    let launched = launched.as_ref().context("Kafka was just started")?;
    let started = Started { version: kafka.version.number(), process_group: launched.process_group() };
    Ok(Box::new(KafkaSystem::connect(workload, launched.addresses(), Some(started))?))
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
         (it needs make and a C compiler)",
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
    has_groups: false,
    stamps_completion: true,
};
