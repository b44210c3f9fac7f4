//! The record of a trial that has ended, before figures are computed from it.

use super::errors::ErrorCounts;
use super::group::GroupRecord;
use super::histograms::{CensoredByMeasure, Histograms, Latencies};
use super::ledger::{ConsumedPartition, ProducedPartition};
use super::series::Series;
use super::shards::ShardStats;
use crate::host::processes::ProcessUsage;
use crate::host::usage::HostUsage;
use crate::result::provenance::SystemIdentity;
use crate::result::{CoreRoundTrip, Event, Granularity, InjectedStall};
use crate::time::timeline::Timeline;
use crate::workload::Placement;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::time::Duration;

/// The record of a trial that has ended.
#[derive(Debug)]
pub struct TrialRun {
    /// Time at which the window opened, s since the run started.
    pub window_start_s: f64,
    /// The wall-clock time at which the trial's clock read 0, ms since the Unix epoch.
    pub clock_zero_unix_ms: i64,
    /// Phases of the trial as they happened.
    pub timeline: Arc<Timeline>,
    /// Whether intended times were kept for each record or for each batch; `None` if records had no intended time.
    pub granularity: Option<Granularity>,
    /// Records whose intended time is inside the window; `None` if records had no intended time.
    pub offered: Option<u64>,
    /// Measurements of the thread that watched the trial.
    pub observed: Observations,
    /// Measurements of the load threads.
    pub harvest: Harvest,
    /// Placement of the load: on threads of its own or on the shards.
    pub placement: Placement,
    /// Number of load threads, or of shards with load on them.
    pub load_threads: usize,
    /// The system that was measured.
    pub target: SystemIdentity,
    /// The time of a message between cores, before and after the trial.
    pub core_round_trip: Option<CoreRoundTrip>,
    /// The sync after the drain; only for runs with buffered I/O.
    pub final_sync: Option<FinalSync>,
    /// The error that ended the trial early.
    pub error: Option<String>,
    /// Defects that a scan of the closed system's data found, each in a sentence. `None` if the data was not read back.
    pub defects: Option<Vec<String>>,
    /// The files of the closed system. `None` if they were not read back.
    pub closed: Option<Closed>,
}

/// The files of a system that was closed after its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Number of files.
    pub files: u64,
    /// Time that it took to open the system again.
    pub reopen: Duration,
}

/// The sync that ends a trial with buffered I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinalSync {
    /// Time that it took.
    pub took: Duration,
    /// Bytes that were written to the device from the start of the trial until its end; `None` if the disk has no counters.
    pub device_write_bytes: Option<u64>,
}

/// The measurements of the thread that watches a trial.
#[derive(Debug)]
pub struct Observations {
    /// Measurements over time: rows, histograms and counts.
    pub series: Series,
    /// Events inside the target, and the stalls that show in its acks.
    pub events: Vec<Event>,
    /// Counters of every shard over the window.
    pub shards: Vec<ShardStats>,
    /// Resources that the machine used over the window; `None` if the window never opened.
    pub host: Option<HostUsage>,
    /// Usage of the processes that the harness has started for the target, over the window.
    pub processes: Vec<ProcessUsage>,
    /// Whether one of those processes ended in the window, so that `processes` lacks its usage.
    pub has_lost_process: bool,
    /// Largest resident memory at the end of any interval, bytes.
    pub rss_max_bytes: Option<u64>,
    /// Largest disk space of the target's files among the samples, bytes.
    pub data_max_bytes: Option<u64>,
    /// Whether the trial was interrupted.
    pub interrupted: bool,
    /// The stalls that were injected.
    pub stalls: Vec<InjectedStall>,
    /// The error of a request to the target that failed.
    pub error: Option<String>,
    /// The reason why the window never opened: a requirement that was not met. `None` if it opened.
    pub missed: Option<String>,
    /// Time at which retention had deleted a segment of every partition, s since the window opened, so below 0.
    pub retention_reached_s: Option<f64>,
    /// The backlog that was built before the window; `None` without one.
    pub built: Option<Built>,
    /// Whether the consumers reached the end of the backlog before the window closed.
    pub is_drained: bool,
}

impl Observations {
    /// Latencies of the window's records.
    pub fn latency(&self) -> &Histograms {
        &self.series.latency
    }

    /// Adds events, and puts all of them in order of time.
    pub fn add_events(&mut self, events: impl Iterator<Item = Event>) {
        self.events.extend(events);
        self.events.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    }
}

/// A backlog that was built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Built {
    /// Records in the backlog.
    pub records: u64,
    /// Encoded bytes of those records; bytes of their keys and values if the target does not report encoded ones.
    pub encoded_bytes: u64,
    /// Time from the start of the trial to the last ack of those records, ns.
    pub build_ns: u64,
}

/// The measurements of the load threads.
#[derive(Debug)]
pub struct Harvest {
    /// Latencies by record and by ack.
    pub latencies: Latencies,
    /// Records of the window that were still outstanding when the drain ended, by measure.
    pub censored: CensoredByMeasure,
    /// Encoded bytes of the batches acked inside the window.
    pub batch_bytes: Histogram<u64>,
    /// Producers' side of the integrity check.
    pub produced: Vec<ProducedPartition>,
    /// Consumers' side of the integrity check.
    pub consumed: Vec<ConsumedPartition>,
    /// The consumer groups; empty if consumers read fixed partitions.
    pub groups: Vec<GroupRecord>,
    /// Time inside the window in which each load thread had nothing to do, ns.
    pub idle_ns: Vec<u64>,
    /// Records that failed.
    pub errors: ErrorCounts,
    /// The error that stopped a load thread.
    pub error: Option<String>,
}
