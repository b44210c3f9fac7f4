//! The resources that one trial used: CPU time, memory, and bytes of the device.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The figures of one shard over the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardFigures {
    /// Number of the shard.
    pub shard: u32,
    /// Time spent working, s.
    pub work_s: f64,
    /// Time spent polling for completions or messages, s.
    pub poll_s: f64,
    /// Time spent asleep, s.
    pub parked_s: f64,
    /// Encoded bytes that were written, padding and rewritten tails included.
    pub write_bytes: u64,
    /// Number of writes.
    pub writes: u64,
    /// Median bytes of a write.
    pub write_bytes_p50: Option<u64>,
    /// Writes in flight, as a mean over the time in which the shard has any.
    pub write_depth_mean: Option<f64>,
    /// Writes with their own sync, and flushes that acks waited for.
    pub syncs: u64,
    /// Writes to extents that were written before, as in recycled segments.
    #[serde(default)]
    pub overwrites: u64,
    /// Bytes read from the device.
    pub read_bytes: u64,
}

/// The resources that a trial used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// CPU time by kind of thread.
    pub cpu_s: CpuSeconds,
    /// CPU time for each GiB of keys and values that were acked in the window; with a backlog, that were consumed. `None` in older
    /// results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_s_per_gib: Option<CpuPerGib>,
    /// What the pumps of the shards did; `None` for a target without shards, and in older results.
    #[serde(default)]
    pub pump: Option<PumpShares>,
    /// Largest resident memory of the process, bytes.
    pub rss_max_bytes: Option<u64>,
    /// Largest disk space of the target's files, preallocated space included, bytes. It is read once a second.
    pub data_max_bytes: Option<u64>,
    /// Bytes written to the device.
    pub device_write_bytes: Option<u64>,
    /// Bytes read from the device.
    pub device_read_bytes: Option<u64>,
    /// Bytes written to the device ÷ bytes of the keys and values produced. Over the window; with buffered I/O over the whole
    /// trial and the sync at its end.
    pub write_amplification: Option<f64>,
    /// Writes with their own sync, and flushes that acks waited for. What a roll or a directory needs is not among them; see
    /// `device_flushes`.
    pub syncs: Option<u64>,
    /// Flushes of the device's write cache. Those for the file system's journal are included. `None` where the
    /// kernel counts none, and in older results.
    #[serde(default)]
    pub device_flushes: Option<u64>,
    /// Share of the time of the cores in use that the hypervisor gave to other virtual machines, 0 to 1. In schema version 1: of
    /// all cores.
    pub steal_share: Option<f64>,
    /// Mean number of the cores in use that other processes and kernel threads kept busy. Some of those kernel threads worked
    /// for the trial's own I/O. In schema version 1: of all cores.
    pub others_cores: Option<f64>,
    /// Time for which a quota of CPU time (cgroup) stopped the process's threads, s. `None` without a quota, and in schema
    /// version 1.
    #[serde(default)]
    pub throttled_s: Option<f64>,
    /// The time of a message between cores, right before and right after the trial. `None` where the load runs on the shards'
    /// threads, where the target has no shards, and in older results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_round_trip: Option<CoreRoundTrip>,
    /// Share of the window in which the busiest load thread had something to do, 0 to 1; colocated load: its share of the
    /// busiest shard's thread. `None` in schema version 1.
    #[serde(default)]
    pub load_busy: Option<f64>,
    /// Memory that was touched before the trial so that the trial did not measure page faults, bytes.
    pub warmed_bytes: Option<u64>,
    /// Interrupts of the disk, by the core that handled them.
    pub disk_interrupts: BTreeMap<u32, u64>,
    /// Processes that the harness has started for the target, such as brokers, over the window, without those that ended in it.
    /// Empty for other targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessFigures>,
}

/// The time in which a message reaches the first load thread's core from the first shard's core and its answer comes back. It
/// depends on the caches that the two cores share. On a virtual machine it changes when the hypervisor moves virtual cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoreRoundTrip {
    /// Right before the trial, ns.
    pub before_ns: u64,
    /// Right after the trial, ns.
    pub after_ns: u64,
}

/// The resources that one process of the target used over the window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessFigures {
    /// Name of its configuration, such as `broker-1`, or of its program.
    pub name: String,
    /// CPU time, to the kernel's tick (mostly 10 ms).
    pub cpu_s: CpuPart,
    /// Largest resident memory since the process began, bytes.
    pub rss_max_bytes: Option<u64>,
    /// Bytes that devices gave for its reads.
    pub read_bytes: Option<u64>,
    /// Bytes that it has written to files. The kernel writes many of them to the device later.
    pub write_bytes: Option<u64>,
    /// Number of garbage collections that stopped its threads; `None` if it keeps no log of them, and in older results.
    #[serde(default)]
    pub gc_pauses: Option<u64>,
    /// Time for which garbage collections stopped its threads, s.
    #[serde(default)]
    pub gc_paused_s: Option<f64>,
}

/// CPU time by kind of thread. The kinds add up to the process. `None` for a kind that could not be measured.
///
/// Results of schema version 1 counted other things under these names. They have no CPU time here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct CpuSeconds {
    /// Load threads, and those of a client library. Colocated load runs on threads of shards.
    pub load: Option<CpuPart>,
    /// Threads of shards.
    pub shard: Option<CpuPart>,
    /// Threads that the kernel adds to the process for operations that would block (io_uring workers).
    pub io_workers: Option<CpuPart>,
    /// All other threads of the process, also those that ended within the window: the harness itself.
    pub harness: Option<CpuPart>,
    /// The whole process.
    pub process: Option<CpuPart>,
}

/// CPU time for each GiB of keys and values, s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuPerGib {
    /// The system: its shards and the workers of the kernel, or the processes that the harness has started for it. `None` for a
    /// system elsewhere, for colocated load, and if one of those processes ended in the window.
    pub system: Option<f64>,
    /// The client and the load: load threads, and the threads of a client library. `None` for colocated load.
    pub client: Option<f64>,
}

/// CPU time from the scheduler's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuPart {
    /// In user mode, s.
    pub user_s: f64,
    /// In the kernel, s.
    pub kernel_s: f64,
}

/// What the pumps of the shards did, as shares of their wall time, 0 to 1. Time in which a pump was not running, because the
/// kernel or the hypervisor ran something else, is part of what it was at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PumpShares {
    /// At work.
    pub work: f64,
    /// Polling for completions or messages.
    pub poll: f64,
    /// Asleep.
    pub parked: f64,
    /// In colocated load.
    pub colocated: f64,
}

impl<'de> Deserialize<'de> for CpuSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        let part = |name: &str| parts.get(name).and_then(|part| CpuPart::deserialize(part).ok());
        Ok(Self {
            load: part("load"),
            shard: part("shard"),
            io_workers: part("io_workers"),
            harness: part("harness"),
            process: part("process"),
        })
    }
}
