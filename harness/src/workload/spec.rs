//! The schema of a workload file: every key, its type and its default. docs/workload.md says what each one means.
//!
//! Types only. What does not fit together is refused in `validate`, where a key was written is known to `source`.

use super::load::{Load, Pass, PassKind};
use super::message::{KeyDistribution, MessageSize, Payload};
use super::settings::{EngineSettings, LogSettings};
use super::slo::Slo;
use super::units::{Bytes, Fraction, Rate, TimeSpan, UnitError, written_as_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// One workload, every default filled in: what a run does, from the load to what must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Version of this schema; 1.
    pub version: u32,
    /// Names the result; the file's stem unless written.
    pub name: String,
    /// What the run is for; printed in the report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What is measured.
    pub target: Target,
    /// Number of topics.
    pub topics: u32,
    /// Partitions of each topic.
    pub partitions_per_topic: u32,
    /// Producers of each topic.
    pub producers_per_topic: u32,
    /// Consumer groups of each topic, each of which reads everything; 0 = produce only.
    pub subscriptions_per_topic: u32,
    /// Consumers of each group, among which the topic's partitions are divided.
    pub consumers_per_subscription: u32,
    /// Pattern of the groups' ids.
    pub group: String,
    /// Size of a record's value.
    pub message_size: MessageSize,
    /// What the values hold.
    pub payload: Payload,
    /// Which partition a record goes to.
    pub key_distribution: KeyDistribution,
    /// When a producer closes a batch.
    pub batch: Batch,
    /// Compression of batches.
    pub compression: Compression,
    /// How records are offered.
    pub load: Load,
    /// What an ack promises.
    pub durability: Durability,
    /// The embedded engine's settings.
    pub engine: EngineSettings,
    /// The topics' log settings.
    pub log: LogSettings,
    /// Lengths of warm-up, measured window and drain.
    pub phases: Phases,
    /// Consumers that start late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
    /// A test that ends the warm-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steady_state: Option<SteadyState>,
    /// How often each pass is measured.
    pub trials: u32,
    /// How often a trial of an open load is measured again if its generator was late.
    pub late_retries: u32,
    /// Whether the device's ceiling is measured beside each trial.
    pub ceiling: Ceiling,
    /// How much memory is touched before each trial.
    pub warm_memory: WarmMemory,
    /// What the result must hold, or the run exits with 3.
    pub slo: Slo,
    /// What must hold before the measured window opens.
    pub require: Vec<Requirement>,
    /// How consumed records are checked.
    pub verify: Verify,
    /// Values a setting is to take in turn, by dotted key: a point for every combination.
    pub sweep: BTreeMap<String, Vec<serde_json::Value>>,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            version: 1,
            name: "unnamed".into(),
            question: None,
            target: Target::default(),
            topics: 1,
            partitions_per_topic: 1,
            producers_per_topic: 1,
            subscriptions_per_topic: 1,
            consumers_per_subscription: 1,
            group: "{system}-{topic}-{service}-group".into(),
            message_size: MessageSize::Fixed(Bytes::kib(1)),
            payload: Payload::default(),
            key_distribution: KeyDistribution::None,
            batch: Batch::default(),
            compression: Compression::None,
            load: Load::default(),
            durability: Durability::Written,
            engine: EngineSettings::default(),
            log: LogSettings::default(),
            phases: Phases::default(),
            backlog: None,
            steady_state: None,
            trials: 3,
            late_retries: 1,
            ceiling: Ceiling::Auto,
            warm_memory: WarmMemory::Auto,
            slo: Slo::default(),
            require: Vec::new(),
            verify: Verify::Sequence,
            sweep: BTreeMap::new(),
        }
    }
}

impl Workload {
    /// What is measured, in this order. A rate that is a share of the run's own maximum needs that maximum first, so
    /// it makes two passes: [`PassKind::Max`], then [`PassKind::Open`]. Everything else is one pass.
    pub fn passes(&self) -> Vec<Pass> {
        let own = Pass { kind: self.load.mode.kind(), load: self.load };
        match self.load.mode.rate() {
            Some(Rate::Share(_)) => vec![Pass { kind: PassKind::Max, load: self.load.at_max() }, own],
            _ => vec![own],
        }
    }

    /// Producers of all topics.
    pub fn producers(&self) -> u64 {
        u64::from(self.topics) * u64::from(self.producers_per_topic)
    }

    /// Partitions of all topics.
    pub fn partitions(&self) -> u64 {
        u64::from(self.topics) * u64::from(self.partitions_per_topic)
    }

    /// Consumers of all topics and groups.
    pub fn consumers(&self) -> u64 {
        let groups = u64::from(self.topics) * u64::from(self.subscriptions_per_topic);
        groups * u64::from(self.consumers_per_subscription)
    }
}

/// The system that is measured: its name, such as `engine`, or its name and address, such as `kafka://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(String);

impl Target {
    /// The embedded engine.
    pub const ENGINE: &'static str = "engine";

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

/// When a producer closes a batch: at the first of these bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Encoded size of a batch.
    pub max_bytes: Bytes,
    /// Records in a batch.
    pub max_records: u32,
    /// How long a batch waits for more records.
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

/// What an ack promises (docs/durability.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In the shard's memory.
    Appended,
    /// The write has completed: survives a kill of the process.
    Written,
    /// Covered by a completed sync: survives power loss.
    Synced,
}

/// Lengths of the phases of one trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phases {
    /// Load that is offered but not counted.
    pub warmup: TimeSpan,
    /// The measured window.
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
    /// Rate of producing while the backlog is consumed; 0 = producers rest.
    #[serde(default = "resting")]
    pub drain_producer_rate: Rate,
}

const fn resting() -> Rate {
    Rate::Absolute(0)
}

/// Whether a backlog may still be in memory when consumers start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BacklogCache {
    /// Caches are dropped first.
    #[default]
    Cold,
    /// Every file is read once before where it goes through the page cache; what is in memory stays there.
    Warm,
}

/// A test that ends the warm-up once a figure no longer moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SteadyState {
    /// The figure.
    pub metric: SteadyMetric,
    /// The most it may rise or fall over the window.
    pub slope: Fraction,
    /// Over how long it is looked at.
    pub window: TimeSpan,
    /// When the test gives up; the result is then flagged `not_steady`.
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

/// The figure a steady-state test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SteadyMetric {
    /// Acked records per second.
    Throughput,
    /// 99th percentile of the response time.
    ResponseP99,
}

/// Whether the device's own ceiling is measured beside each trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ceiling {
    /// Measured, in slices around each trial.
    Auto,
    /// Not measured: the result relates to nothing.
    Off,
}

/// How much memory is touched before each trial, so that the run does not measure page faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WarmMemory {
    /// As much as the run is estimated to use.
    Auto,
    /// None.
    Off,
    /// This much.
    Size(Bytes),
}

/// What must hold before the measured window opens.
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
    /// Gaps, duplicates and reorders, by the sequence number each record carries.
    #[serde(rename = "sequence")]
    Sequence,
    /// The same, and a CRC over each record's value.
    #[serde(rename = "sequence+crc")]
    SequenceCrc,
}

impl FromStr for Target {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        let is_valid = match text.split_once("://") {
            Some((system, address)) => is_name(system) && !address.is_empty(),
            None => is_name(text),
        };
        if is_valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnitError::new(format!(
                "`{text}` names no system; use `engine`, or a name with an address such as `kafka://host:port`"
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
