//! The facts about a machine that a reader needs to judge a figure measured on it. These are plain values.
//!
//! A value that cannot be read is `None`. `host/` and `device/` look at the machine and fill these in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine at the start of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Name, release and version of the kernel.
    pub kernel: String,
    /// The processor.
    pub cpu: Cpu,
    /// Main memory.
    pub memory: Memory,
    /// The limits that control groups put on the process. Unknown in schema version 1.
    #[serde(default)]
    pub cgroup: Cgroup,
    /// The io_uring of the kernel.
    pub io_uring: IoUring,
    /// The file system and the device under the data directory.
    pub storage: Storage,
    /// How busy the machine was before the run.
    pub load: Load,
}

/// The processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cpu {
    /// The model name that the processor reports.
    pub model: Option<String>,
    /// Cores (hardware threads) online.
    pub cores_online: u32,
    /// Cores this process may run on.
    pub cores_allowed: Vec<u32>,
    /// Frequency governors of the allowed cores, each once. Empty where the kernel does not scale frequencies, as on most
    /// virtual machines.
    pub governors: Vec<String>,
    /// Whether the processor reports that it belongs to a virtual machine.
    pub hypervisor: bool,
    /// The hardware threads of each physical core of which this process may use a thread, in ascending order. Empty if the
    /// kernel does not say, and in schema version 1.
    #[serde(default)]
    pub siblings: Vec<Vec<u32>>,
}

/// The limits that control groups (cgroups) put on a process. The tightest limit counts: that of its group, or of a group above.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cgroup {
    /// Limit on memory, bytes; `None` without a limit.
    pub memory_limit_bytes: Option<u64>,
    /// Memory that the group can still take without swapping, bytes; `None` without a limit.
    pub memory_available_bytes: Option<u64>,
    /// Quota of CPU time, in cores; `None` without a quota.
    pub cpu_quota_cores: Option<f64>,
    /// How often the quota has stopped the group's threads; `None` without a quota.
    pub throttling: Option<Throttling>,
}

/// How often a quota of CPU time has stopped the threads of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throttling {
    /// Periods in which the group had work.
    pub periods: u64,
    /// Periods in which it had used up its quota.
    pub throttled_periods: u64,
    /// Time for which its threads were stopped, s.
    pub throttled_s: f64,
}

/// Main memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Size of main memory, or the limit of the control group if that is less, bytes.
    pub total_bytes: Option<u64>,
    /// Memory that this process could use without swapping, bytes.
    pub available_bytes: Option<u64>,
    /// When the kernel uses huge pages: `always`, `madvise` or `never`.
    pub transparent_huge_pages: Option<String>,
    /// How much memory this process may lock. A ring's registered buffers count against this limit.
    pub memlock: Memlock,
}

/// How much memory a process may lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memlock {
    /// The soft limit of `RLIMIT_MEMLOCK`, bytes; `None` without a limit.
    pub limit_bytes: Option<u64>,
    /// Whether the kernel lets this process exceed the limit, because it holds `CAP_IPC_LOCK` outside any user namespace.
    pub exempt: bool,
}

/// The io_uring of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IoUring {
    /// The setting `kernel.io_uring_disabled`; `None` before Linux 6.6. At 0 everyone may use io_uring, at 1 a group, at 2
    /// nobody.
    pub disabled_sysctl: Option<u32>,
    /// The features and operations that a ring reported; `None` where no ring could be made.
    pub probe: Option<RingProbe>,
    /// The reason why no ring could be made.
    pub error: Option<String>,
}

/// How busy the machine was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Load average over one minute.
    pub average_1m: Option<f64>,
    /// Share of CPU time since boot that the hypervisor gave to other virtual machines, 0 to 1.
    pub steal_share_since_boot: Option<f64>,
}

impl Memlock {
    /// Whether `bytes` may be locked.
    pub fn allows(self, bytes: u64) -> bool {
        self.exempt || self.limit_bytes.is_none_or(|limit| bytes <= limit)
    }
}

/// The features and operations of the kernel's io_uring that a log engine can use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RingProbe {
    /// Feature flags of io_uring_setup(2), in lower case without `IORING_FEAT_`, and the set-up flags that it accepted.
    pub features: Vec<String>,
    /// Supported operations, in lower case without `IORING_OP_`.
    pub operations: Vec<String>,
}

impl RingProbe {
    /// Whether the operation, for example `write_fixed`, is supported.
    pub fn supports(&self, operation: &str) -> bool {
        self.operations.iter().any(|known| known == operation)
    }
}

/// A file system and its device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Storage {
    /// Type of the file system, such as `ext4`.
    pub filesystem: Option<String>,
    /// Directory where the file system is mounted.
    pub mount_point: Option<String>,
    /// Mount options, comma-separated.
    pub mount_options: Option<String>,
    /// The mounted source, such as `/dev/vda1`.
    pub source: Option<String>,
    /// The block device; `None` for file systems without one (tmpfs, overlay, NFS).
    pub device: Option<BlockDevice>,
    /// Whether direct I/O goes through the page cache here, by a trial write. `None` where that cannot be told, and in older
    /// results.
    #[serde(default)]
    pub direct_is_cached: Option<bool>,
}

/// A disk, or a device that looks like one (device mapper, RAID).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockDevice {
    /// Name of the whole disk, such as `nvme0n1`; never a partition's name.
    pub name: String,
    /// The model name that the disk reports.
    pub model: Option<String>,
    /// Disks that the device is made of, for device mapper and RAID.
    pub stacked_on: Vec<String>,
    /// Size of the device, bytes.
    pub size_bytes: Option<u64>,
    /// The I/O scheduler in use.
    pub scheduler: Option<String>,
    /// Kind of the write cache: `write back` (volatile: a sync must flush it) or `write through`.
    pub write_cache: Option<String>,
    /// Whether a single write can be forced past that cache (FUA). Without FUA every synced write is a write and a flush.
    pub fua: Option<bool>,
    /// Whether the device has rotating disks.
    pub rotational: Option<bool>,
    /// Smallest unit of transfer, bytes.
    pub logical_block_bytes: Option<u64>,
}
