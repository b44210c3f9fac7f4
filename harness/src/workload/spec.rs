//! The schema of a workload file: every key, its type and its default. docs/workload.md explains each key.
//!
//! This module holds types only. `validate` refuses values that contradict each other; `tree` knows where each key was
//! written.

use super::load::{Load, Pass, PassKind};
use super::message::{KeyDistribution, MessageSize, Payload};
use super::metric::{Answer, Metric};
use super::settings::{Consume, EngineSettings, KafkaSettings, LogSettings};
use super::slo::Slo;
use super::units::{Bytes, Fraction, Rate, RecordRate, TimeSpan, UnitError, written_as_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A workload with every default filled in: everything that a run does, from the load to the objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Version of this schema: 1.
    pub version: u32,
    /// Name of the result; the file's stem by default.
    pub name: String,
    /// Question that the run answers; the report prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Figure that the question is about; `None` for the one of the load (`primary_metric`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Kind of answer that a sweep gives.
    pub answer: Answer,
    /// System that is measured.
    pub target: Target,
    /// Name of an existing topic that is measured; `None` if the run makes its topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Number of topics.
    pub topics: u32,
    /// Partitions of each topic.
    pub partitions_per_topic: u32,
    /// Producers of each topic.
    pub producers_per_topic: u32,
    /// Number of consumer groups of each topic. Each group reads everything; 0 means that nothing is consumed.
    pub subscriptions_per_topic: u32,
    /// Number of consumers in each group. They share the topic's partitions.
    pub consumers_per_subscription: u32,
    /// Pattern of the groups' ids.
    pub group: String,
    /// How consumers get their partitions, and what they do as members of a group.
    pub consume: Consume,
    /// Size of a record's value.
    pub message_size: MessageSize,
    /// Content of the values.
    pub payload: Payload,
    /// Choice of a record's partition.
    pub key_distribution: KeyDistribution,
    /// Bounds at which a producer closes a batch.
    pub batch: Batch,
    /// Compression of batches.
    pub compression: Compression,
    /// Load: how records are offered.
    pub load: Load,
    /// Promise of an ack.
    pub durability: Durability,
    /// Settings of the embedded engine.
    pub engine: EngineSettings,
    /// Settings of a Kafka cluster.
    pub kafka: KafkaSettings,
    /// Settings of the topics' logs.
    pub log: LogSettings,
    /// Lengths of warm-up, measured window and drain.
    pub phases: Phases,
    /// Consumers that start late, on a backlog; `None` if they start with the producers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
    /// A test that ends the warm-up; `None` if it ends after its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steady_state: Option<SteadyState>,
    /// Number of times that each pass is measured.
    pub trials: u32,
    /// Number of times that a trial of an open load is measured again if its generator was late.
    pub late_retries: u32,
    /// Whether the ceiling of the device is measured around each trial.
    pub ceiling: Ceiling,
    /// Amount of memory that is touched before each trial.
    pub warm_memory: WarmMemory,
    /// What an error of a record does to the run.
    pub on_error: OnError,
    /// Objectives that the result must meet, otherwise the run exits with 3.
    pub slo: Slo,
    /// Conditions that must hold before the measured window opens.
    pub require: Vec<Requirement>,
    /// How consumed records are checked.
    pub verify: Verify,
    /// Values of a setting, by dotted key. Every combination of values makes a point.
    pub sweep: BTreeMap<String, Vec<serde_json::Value>>,
}

/// The consuming system in the ids of groups.
const CONSUMING_SYSTEM: &str = "vnotch";
/// The consuming services in the ids of groups; the number of the group follows.
const CONSUMING_SERVICE: &str = "bench";

impl Default for Workload {
    fn default() -> Self {
        Self {
            version: 1,
            name: "unnamed".into(),
            question: None,
            metric: None,
            answer: Answer::Best,
            target: Target::default(),
            topic: None,
            topics: 1,
            partitions_per_topic: 1,
            producers_per_topic: 1,
            subscriptions_per_topic: 1,
            consumers_per_subscription: 1,
            group: "{system}-{topic}-{service}-group".into(),
            consume: Consume::default(),
            message_size: MessageSize::Fixed(Bytes::kib(1)),
            payload: Payload::default(),
            key_distribution: KeyDistribution::None,
            batch: Batch::default(),
            compression: Compression::None,
            load: Load::default(),
            durability: Durability::Written,
            engine: EngineSettings::default(),
            kafka: KafkaSettings::default(),
            log: LogSettings::default(),
            phases: Phases::default(),
            backlog: None,
            steady_state: None,
            trials: 3,
            late_retries: 1,
            ceiling: Ceiling::Auto,
            warm_memory: WarmMemory::Auto,
            on_error: OnError::Count,
            slo: Slo::default(),
            require: Vec::new(),
            verify: Verify::Sequence,
            sweep: BTreeMap::new(),
        }
    }
}

impl Workload {
    /// Returns the passes in the order in which they are measured. A rate that is a share of the run's own maximum
    /// needs that maximum first, so it makes two passes: [`PassKind::Max`], then [`PassKind::Open`]. Everything else is
    /// one pass.
    pub fn passes(&self) -> Vec<Pass> {
        let own = Pass { kind: self.load.mode.kind(), load: self.load };
        match self.load.mode.rate() {
            Some(Rate::Share(_)) => vec![Pass { kind: PassKind::Max, load: self.load.at_max() }, own],
            _ => vec![own],
        }
    }

    /// Tells whether a trial is read back before its data is removed: nobody consumes it, its records can be checked, and the
    /// system can be opened again on them.
    pub fn is_read_back(&self) -> bool {
        self.subscriptions_per_topic == 0 && self.verify != Verify::None && self.deployment().is_in_process()
    }

    /// Returns the number of producers of all topics.
    pub fn producers(&self) -> u64 {
        u64::from(self.topics) * u64::from(self.producers_per_topic)
    }

    /// Returns the id of group number `group` of a topic, from 0: `vnotch-{topic}-bench{n}-group` by default, with n from 1.
    pub fn group_id(&self, topic: &str, group: u32) -> String {
        let pattern = self.group.replace("{system}", CONSUMING_SYSTEM).replace("{topic}", topic);
        pattern.replace("{service}", &format!("{CONSUMING_SERVICE}{}", u64::from(group) + 1))
    }

    /// Returns the number of partitions of all topics.
    pub fn partitions(&self) -> u64 {
        u64::from(self.topics) * u64::from(self.partitions_per_topic)
    }

    /// Returns the number of consumers of all topics and groups.
    pub fn consumers(&self) -> u64 {
        let groups = u64::from(self.topics) * u64::from(self.subscriptions_per_topic);
        groups.saturating_mul(u64::from(self.consumers_per_subscription))
    }
}

/// The system that is measured: its name, such as `engine`, or its name and address, such as `kafka://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(String);

impl Target {
    /// The embedded engine.
    pub const ENGINE: &'static str = "engine";

    /// Apache Kafka, or a cluster that speaks its protocol.
    pub const KAFKA: &'static str = "kafka";

    /// The address of the system; `None` if it runs in this process, or if the harness starts it.
    pub fn address(&self) -> Option<&str> {
        self.0.split_once("://").map(|(_, address)| address)
    }

    /// The name of the system, without an address.
    pub fn system(&self) -> &str {
        self.0.split_once("://").map_or(self.0.as_str(), |(system, _)| system)
    }
}

impl Default for Target {
    fn default() -> Self {
        Self(Self::ENGINE.to_owned())
    }
}

/// The bounds of a batch. A producer closes it at the first one that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Largest encoded size of a batch.
    pub max_bytes: Bytes,
    /// The most records in a batch.
    pub max_records: u32,
    /// The longest time that a batch waits for more records.
    pub linger: TimeSpan,
}

impl Default for Batch {
    fn default() -> Self {
        Self { max_bytes: Bytes::kib(64), max_records: 1000, linger: TimeSpan::default() }
    }
}

/// Compression of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the codecs'")]
pub enum Compression {
    None,
    Lz4,
    Zstd,
    Snappy,
    Gzip,
}

/// The promise of an ack (docs/durability.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The record is in the shard's memory.
    Appended,
    /// The write has completed: the record survives a kill of the process.
    Written,
    /// A completed sync covers the record: it survives a power loss.
    Synced,
}

impl Durability {
    /// The name of the level in a workload file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

/// Lengths of the phases of one trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phases {
    /// Length of the warm-up: load is offered but not counted.
    pub warmup: TimeSpan,
    /// Length of the measured window.
    pub measure: TimeSpan,
    /// The longest wait, after the window, for outstanding acks and for the consumers to catch up.
    pub drain: TimeSpan,
}

impl Default for Phases {
    fn default() -> Self {
        Self { warmup: TimeSpan::seconds(2), measure: TimeSpan::seconds(10), drain: TimeSpan::seconds(10) }
    }
}

/// Consumers that start late, on a backlog that was built before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backlog {
    /// Encoded bytes that are produced before the consumers start.
    pub build: Bytes,
    /// Whether the backlog may still be in memory when they start.
    #[serde(default)]
    pub cache: BacklogCache,
    /// Rate of the producers while the backlog is consumed; 0 means that they pause.
    #[serde(default = "resting")]
    pub drain_producer_rate: Rate,
}

const fn resting() -> Rate {
    Rate::Absolute(RecordRate::ZERO)
}

/// Whether a backlog may still be in memory when consumers start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BacklogCache {
    /// Caches are dropped before the consumers start.
    #[default]
    Cold,
    /// Caches are kept. Files that go through the page cache are read once before the consumers start.
    Warm,
}

/// A test that ends the warm-up once a figure no longer moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SteadyState {
    /// Figure that the test looks at.
    pub metric: SteadyMetric,
    /// The most that the figure may rise or fall over the test's window.
    pub slope: Fraction,
    /// Length of the test's window.
    pub window: TimeSpan,
    /// Time after which the test gives up. The result is then flagged `not_steady`.
    pub timeout: TimeSpan,
}

impl Default for SteadyState {
    fn default() -> Self {
        Self {
            metric: SteadyMetric::Throughput,
            slope: Fraction(0.01),
            window: TimeSpan::seconds(10),
            timeout: TimeSpan::seconds(300),
        }
    }
}

/// The figure that a steady-state test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SteadyMetric {
    /// Acked records per second.
    Throughput,
    /// 99th percentile of the response time.
    ResponseP99,
}

/// Whether the ceiling of the device is measured around each trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ceiling {
    /// Measured in slices before and after each trial.
    Auto,
    /// Not measured, so the result cannot be compared with the device.
    Off,
}

/// The amount of memory that is touched before each trial, so that the run does not measure page faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WarmMemory {
    /// As much as the run is estimated to use.
    Auto,
    /// None.
    Off,
    /// A given amount.
    Size(Bytes),
}

/// What an error of a record does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It is counted by its kind, and the run continues. The status of the result is `errors`.
    Count,
    /// It ends the run.
    End,
}

/// A condition that must hold before the measured window opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// Retention has deleted at least one segment of every partition.
    RetentionReached,
}

/// How consumed records are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verify {
    /// Not at all: integrity is reported as not checked.
    #[serde(rename = "none")]
    None,
    /// Checks for gaps, duplicates and reorders, by the sequence number that each record carries.
    #[serde(rename = "sequence")]
    Sequence,
    /// Checks the same, and a CRC over each record's value.
    #[serde(rename = "sequence+crc")]
    SequenceCrc,
}

impl FromStr for Target {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        let is_broker = |broker: &str| {
            broker
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        let is_valid = match text.split_once("://") {
            Some((Self::KAFKA, brokers)) => brokers.split(',').all(is_broker),
            Some((system, address)) => is_name(system) && !address.is_empty(),
            None => is_name(text),
        };
        if is_valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnitError::new(format!(
                "`{text}` names no system; use `engine`, `kafka` (the harness starts it), or `kafka://host:port[,host:port…]`"
            )))
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WarmMemory {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => match text.parse() {
                Ok(size) => Ok(Self::Size(size)),
                Err(error) => Err(UnitError::new(format!("{error} (or `auto`, or `off`)"))),
            },
        }
    }
}

impl fmt::Display for WarmMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Size(size) => size.fmt(f),
        }
    }
}

written_as_text!(Target);
written_as_text!(WarmMemory);
