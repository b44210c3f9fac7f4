//! The figure that a study is about (`metric`), and the kind of its answer (`answer`).

use super::units::{UnitError, written_as_text};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A figure of a trial by which settings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Bytes of keys and values that were acked per second.
    Throughput,
    /// Bytes of keys and values that consumers read per second while they caught up with a backlog.
    CatchUp,
    /// Median of the response time.
    ResponseP50,
    /// 99th percentile of the response time.
    ResponseP99,
    /// 99.9th percentile of the response time.
    #[serde(rename = "response_p99_9")]
    ResponseP999,
    /// 99th percentile of the time until a consumer has a record.
    EndToEndP99,
    /// Bytes written to the device ÷ bytes produced.
    WriteAmplification,
    /// Largest disk space of the system's files.
    DiskPeak,
    /// Time to open the closed log again.
    Reopen,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 9] = [
        Self::Throughput,
        Self::CatchUp,
        Self::ResponseP50,
        Self::ResponseP99,
        Self::ResponseP999,
        Self::EndToEndP99,
        Self::WriteAmplification,
        Self::DiskPeak,
        Self::Reopen,
    ];

    /// Returns the name in workload files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::CatchUp => "catch_up",
            Self::ResponseP50 => "response_p50",
            Self::ResponseP99 => "response_p99",
            Self::ResponseP999 => "response_p99_9",
            Self::EndToEndP99 => "end_to_end_p99",
            Self::WriteAmplification => "write_amplification",
            Self::DiskPeak => "disk_peak",
            Self::Reopen => "reopen",
        }
    }

    /// Returns the path of the figure in the summary of a point.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Throughput => "produce.bytes_per_s",
            Self::CatchUp => "consume.bytes_per_s",
            Self::ResponseP50 => "latency_ns.response.p50",
            Self::ResponseP99 => "latency_ns.response.p99",
            Self::ResponseP999 => "latency_ns.response.p99_9",
            Self::EndToEndP99 => "latency_ns.end_to_end.p99",
            Self::WriteAmplification => "resources.write_amplification",
            Self::DiskPeak => "resources.data_max_bytes",
            Self::Reopen => "closed.reopen_s",
        }
    }

    /// Returns the metric of this name in workload files.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Tells whether the metric is measured from intended times, which only an open load has.
    pub const fn needs_open_load(self) -> bool {
        matches!(self, Self::ResponseP50 | Self::ResponseP99 | Self::ResponseP999 | Self::EndToEndP99)
    }
}

/// The kind of answer that a study gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Answer {
    /// The settings that may be the best one, and by how much the others are worse.
    #[default]
    Best,
    /// The price of each step along one setting, without a winner. `None` for `durability`, or for the only swept key.
    Ratio(Option<String>),
}

impl FromStr for Answer {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.split_once(':') {
            None if text == "best" => Ok(Self::Best),
            None if text == "ratio" => Ok(Self::Ratio(None)),
            Some(("ratio", key)) if !key.trim().is_empty() => Ok(Self::Ratio(Some(key.trim().to_owned()))),
            _ => Err(UnitError::new(format!(
                "`{text}` is not one of best, ratio, ratio:KEY (such as `ratio:log.preallocate`)"
            ))),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("best"),
            Self::Ratio(None) => f.write_str("ratio"),
            Self::Ratio(Some(key)) => write!(f, "ratio:{key}"),
        }
    }
}

written_as_text!(Answer);
