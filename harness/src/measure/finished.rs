//! The record of a trial that has ended, before figures are computed from it.

use super::ledger::{ConsumedPartition, ProducedPartition};
use super::recorder::{Histograms, Latencies};
use super::series::Series;
use super::shards::ShardStats;
use crate::host::usage::HostUsage;
use crate::result::latency::Measure;
use crate::result::provenance::SystemIdentity;
use crate::result::{Event, Granularity, InjectedStall};
use crate::time::timeline::Timeline;
use crate::workload::Placement;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::time::Duration;

/// What came of a trial, before figures are made of it.
#[derive(Debug)]
pub struct TrialRun {
    /// When the window opened, s since the run started.
    pub window_start_s: f64,
    /// Its phases as they were.
    pub timeline: Arc<Timeline>,
    /// How finely intended times were kept; `None` if nothing was intended.
    pub granularity: Option<Granularity>,
    /// Records intended inside the window; `None` if nothing was.
    pub offered: Option<u64>,
    /// What was watched from outside.
    pub watched: Watched,
    /// What the load threads brought in.
    pub harvest: Harvest,
    /// Where load was generated.
    pub placement: Placement,
    /// How many load threads there were, or shards with load on them.
    pub load_threads: usize,
    /// What was measured.
    pub target: SystemIdentity,
    /// Time that a sync took after the drain; buffered runs only.
    pub final_sync: Option<Duration>,
    /// What ended it early.
    pub error: Option<String>,
}

/// What was seen from outside.
#[derive(Debug)]
pub struct Watched {
    /// Rows, histograms over time and counts.
    pub series: Series,
    /// What happened inside, and the stalls that the acks gave away.
    pub events: Vec<Event>,
    /// Every shard's counters over the window.
    pub shards: Vec<ShardStats>,
    /// What the machine spent over the window; `None` if it never opened.
    pub host: Option<HostUsage>,
    /// The most that was resident at the end of any interval, bytes.
    pub rss_max_bytes: Option<u64>,
    /// The most that the target's files took of the disk when it was looked at, bytes.
    pub data_max_bytes: Option<u64>,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Stalls that were injected.
    pub stalls: Vec<InjectedStall>,
    /// What could not be done to the target.
    pub error: Option<String>,
    /// Why the window never opened, where something had to hold first.
    pub missed: Option<String>,
    /// When what had to hold did, s since the window opened, so below 0.
    pub held_s: Option<f64>,
    /// The backlog that the consumers found.
    pub built: Option<Built>,
    /// Whether they came to its end before the window closed.
    pub is_drained: bool,
}

impl Watched {
    /// The latencies of the window's records.
    pub fn latency(&self) -> &Histograms {
        &self.series.latency
    }
}

/// A backlog that was built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Built {
    /// Records in it.
    pub records: u64,
    /// Their encoded bytes.
    pub encoded_bytes: u64,
    /// From the trial's begin to the last ack of them, ns.
    pub build_ns: u64,
}

/// Everything the load threads know at the end.
#[derive(Debug)]
pub struct Harvest {
    /// By record and by ack.
    pub latencies: Latencies,
    /// Records of the window still outstanding when the drain ended, by measure.
    pub censored: [u64; Measure::ALL.len()],
    /// Encoded bytes of the batches acked inside the window.
    pub batch_bytes: Histogram<u64>,
    /// What producers know.
    pub produced: Vec<ProducedPartition>,
    /// What consumers know.
    pub consumed: Vec<ConsumedPartition>,
    /// What stopped a load thread.
    pub error: Option<String>,
}
