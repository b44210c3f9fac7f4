//! Settings of a Kafka cluster that is measured, and of the one that the harness starts itself.

use crate::workload::units::{Bytes, TimeSpan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings for `target: kafka` and `target: kafka://…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    /// Client properties with librdkafka's names. Producers and consumers get all of them.
    pub properties: BTreeMap<String, String>,
    /// Number of load threads. They only hand over records and pick up results; the client has threads of its own.
    pub load_threads: u32,
    /// Copies of each partition.
    pub replication: u16,
    /// Copies that must have a record before its ack.
    pub min_insync_replicas: u16,
    /// Version of the Kafka that the harness starts.
    pub version: KafkaVersion,
    /// Number of brokers that the harness starts.
    pub brokers: u32,
    /// Heap of each broker that the harness starts.
    pub heap: Bytes,
    /// Time for which load is put on brokers that the harness starts, before the first trial.
    pub warm: TimeSpan,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            properties: BTreeMap::new(),
            load_threads: 1,
            replication: 1,
            min_insync_replicas: 1,
            version: KafkaVersion::V4_3_1,
            brokers: 1,
            heap: Bytes::gib(1),
            warm: TimeSpan::seconds(30),
        }
    }
}

/// Versions of Kafka that the harness can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KafkaVersion {
    /// Kafka 4.3.1, with KRaft.
    #[serde(rename = "4.3.1")]
    V4_3_1,
    /// Kafka 3.6.2, with ZooKeeper.
    #[serde(rename = "3.6.2")]
    V3_6_2,
}

impl KafkaVersion {
    /// The version's number.
    pub const fn number(self) -> &'static str {
        match self {
            Self::V4_3_1 => "4.3.1",
            Self::V3_6_2 => "3.6.2",
        }
    }
}
