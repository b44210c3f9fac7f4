//! The machine that a figure was measured on, as far as a reader needs it to judge the figure: plain values.
//!
//! A value that cannot be found out is `None`. `host/` and `device/` look at the machine and fill these in.

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
    /// What the kernel's io_uring offers.
    pub io_uring: IoUring,
    /// The file system and the device under the data directory.
    pub storage: Storage,
    /// How busy the machine was already.
    pub load: Load,
}

/// The processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cpu {
    /// What it calls itself.
    pub model: Option<String>,
    /// Cores (hardware threads) online.
    pub cores_online: u32,
    /// Cores this process may run on.
    pub cores_allowed: Vec<u32>,
    /// Frequency governors of the allowed cores, each once; empty where the kernel does not scale frequencies (most
    /// virtual machines).
    pub governors: Vec<String>,
    /// Whether the processor says that it is a virtual machine's.
    pub hypervisor: bool,
}

/// Main memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// All of it, bytes.
    pub total_bytes: Option<u64>,
    /// What could be used without swapping, bytes.
    pub available_bytes: Option<u64>,
    /// `always`, `madvise` or `never`.
    pub transparent_huge_pages: Option<String>,
    /// How much this process may lock, which is what a ring's registered buffers count against.
    pub memlock: Memlock,
}

/// How much memory a process may lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memlock {
    /// `RLIMIT_MEMLOCK`'s soft limit, bytes; `None` if there is none.
    pub limit_bytes: Option<u64>,
    /// Whether the kernel lets this process exceed it: it holds `CAP_IPC_LOCK` outside any user namespace.
    pub exempt: bool,
}

/// What the kernel's io_uring offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IoUring {
    /// `kernel.io_uring_disabled`: 0 for everyone, 1 for a group, 2 for nobody; `None` before Linux 6.6.
    pub disabled_sysctl: Option<u32>,
    /// What a ring answered; `None` where none could be made.
    pub probe: Option<RingProbe>,
    /// Why none could be made.
    pub error: Option<String>,
}

/// How busy the machine was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Load average over one minute.
    pub average_1m: Option<f64>,
    /// Share of CPU time that the hypervisor gave to others since boot, 0 to 1.
    pub steal_share_since_boot: Option<f64>,
}

impl Memlock {
    /// Whether `bytes` may be locked.
    pub fn allows(self, bytes: u64) -> bool {
        self.exempt || self.limit_bytes.is_none_or(|limit| bytes <= limit)
    }
}

/// The features and operations of the kernel's io_uring that a log engine can make use of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RingProbe {
    /// Feature flags of io_uring_setup(2), in lower case without `IORING_FEAT_`, and set-up flags that were accepted.
    pub features: Vec<String>,
    /// Operations supported, in lower case without `IORING_OP_`.
    pub operations: Vec<String>,
}

impl RingProbe {
    /// Whether the operation (`write_fixed`, say) is supported.
    pub fn supports(&self, operation: &str) -> bool {
        self.operations.iter().any(|known| known == operation)
    }
}

/// A file system and what it lies on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Storage {
    /// Its type, such as `ext4`.
    pub filesystem: Option<String>,
    /// Where it is mounted.
    pub mount_point: Option<String>,
    /// Its mount options, comma-separated.
    pub mount_options: Option<String>,
    /// What is mounted, such as `/dev/vda1`.
    pub source: Option<String>,
    /// The block device; `None` for file systems without one (tmpfs, overlay, NFS).
    pub device: Option<BlockDevice>,
}

/// A disk, or what stands for one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockDevice {
    /// The whole disk's name, such as `nvme0n1` (never a partition's).
    pub name: String,
    /// What it calls itself.
    pub model: Option<String>,
    /// Disks it is made of (device mapper, RAID).
    pub stacked_on: Vec<String>,
    /// Size, bytes.
    pub size_bytes: Option<u64>,
    /// The I/O scheduler in use.
    pub scheduler: Option<String>,
    /// `write back` (volatile: a sync must flush it) or `write through`.
    pub write_cache: Option<String>,
    /// Whether a single write can be forced past that cache; without it every synced write is a write and a flush.
    pub fua: Option<bool>,
    /// Whether it spins.
    pub rotational: Option<bool>,
    /// Its smallest unit of transfer, bytes.
    pub logical_block_bytes: Option<u64>,
}
