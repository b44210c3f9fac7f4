//! The machine a figure was measured on, as far as a reader needs it to judge the figure.
//!
//! What cannot be found out is `None`, never a guess, and never a reason to fail.

use super::procfs;
use super::storage::Storage;
use crate::target::device::{self, RingProbe};
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

pub use super::provenance::{Build, CoresUsed, Provenance, TargetIdentity};

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

impl Memlock {
    /// Whether `bytes` may be locked.
    pub fn allows(self, bytes: u64) -> bool {
        self.exempt || self.limit_bytes.is_none_or(|limit| bytes <= limit)
    }

    /// That of this process.
    pub fn collect() -> Self {
        let capabilities = rustix::thread::capabilities(None);
        let holds = capabilities.is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
        // Only the first user namespace maps every id to itself, and only there does the capability count.
        let everyone = u32::MAX.to_string();
        let outermost = read("/proc/self/uid_map")
            .is_some_and(|map| map.split_ascii_whitespace().eq(["0", "0", everyone.as_str()]));
        Self { limit_bytes: getrlimit(Resource::Memlock).current, exempt: holds && outermost }
    }
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

impl Environment {
    /// Looks at this machine and the file system of `data_dir`, which should exist. Makes and drops a ring or four.
    pub fn collect(data_dir: &Path) -> Self {
        let ticks = read("/proc/stat").and_then(|text| procfs::cpu_ticks(&text));
        Self {
            kernel: kernel(),
            cpu: Cpu::collect(),
            memory: Memory::collect(),
            io_uring: IoUring::collect(),
            storage: Storage::of(data_dir),
            load: Load {
                average_1m: read("/proc/loadavg").and_then(|text| procfs::load_average(&text)),
                steal_share_since_boot: ticks.map(|now| now.steal_share_since(procfs::CpuTicks::default())),
            },
        }
    }
}

impl Cpu {
    fn collect() -> Self {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        // Arm names no model here; its implementer and part numbers do as well.
        let model = procfs::field(&cpuinfo, "model name").map(str::to_owned).or_else(|| {
            let implementer = procfs::field(&cpuinfo, "CPU implementer")?;
            Some(format!("implementer {implementer} part {}", procfs::field(&cpuinfo, "CPU part")?))
        });
        let flags = procfs::field(&cpuinfo, "flags").unwrap_or_default();
        let cores_allowed = cores_allowed();
        let governor = |core: &u32| {
            read(&format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"))
                .map(|text| text.trim().to_owned())
        };
        let mut governors: Vec<String> = cores_allowed.iter().filter_map(governor).collect();
        governors.sort_unstable();
        governors.dedup();
        Self {
            model,
            cores_online: cores_online(),
            cores_allowed,
            governors,
            hypervisor: flags.split(' ').any(|flag| flag == "hypervisor"),
        }
    }
}

impl Memory {
    fn collect() -> Self {
        let meminfo = read("/proc/meminfo").unwrap_or_default();
        let huge = read("/sys/kernel/mm/transparent_hugepage/enabled");
        Self {
            total_bytes: procfs::field_bytes(&meminfo, "MemTotal"),
            available_bytes: procfs::field_bytes(&meminfo, "MemAvailable"),
            transparent_huge_pages: huge.map(|text| procfs::chosen(&text).to_owned()),
            memlock: Memlock::collect(),
        }
    }
}

impl IoUring {
    fn collect() -> Self {
        let disabled = read("/proc/sys/kernel/io_uring_disabled");
        let probe = device::probe();
        Self {
            disabled_sysctl: disabled.and_then(|text| text.trim().parse().ok()),
            error: probe.as_ref().err().map(ToString::to_string),
            probe: probe.ok(),
        }
    }
}

/// Cores this process may run on, ascending.
pub fn cores_allowed() -> Vec<u32> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    let cores = 0..rustix::thread::CpuSet::MAX_CPU;
    cores.filter(|core| set.is_set(*core)).filter_map(|core| u32::try_from(core).ok()).collect()
}

fn cores_online() -> u32 {
    let listed = read("/proc/cpuinfo").map(|text| text.lines().filter(|line| is_processor(line)).count());
    listed.and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
}

fn is_processor(line: &str) -> bool {
    line.split_once(':').is_some_and(|(key, _)| key.trim() == "processor")
}

fn kernel() -> String {
    let uname = rustix::system::uname();
    let parts = [uname.sysname(), uname.release(), uname.version(), uname.machine()];
    parts.map(|part| part.to_string_lossy()).join(" ")
}

/// A file of the kernel's, `None` if it cannot be read.
pub(super) fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described_and_read_back() {
        let environment = Environment::collect(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(environment.kernel.starts_with("Linux "));
        assert!(environment.cpu.cores_online >= 1);
        assert!(!environment.cpu.cores_allowed.is_empty());
        assert!(environment.memory.total_bytes >= environment.memory.available_bytes);
        assert_ne!(environment.io_uring.probe.is_some(), environment.io_uring.error.is_some());
        let json = serde_json::to_string(&environment).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), environment);
    }

    #[test]
    fn memlock_allows_up_to_its_limit() {
        let limited = Memlock { limit_bytes: Some(8 << 20), exempt: false };
        assert!(limited.allows(8 << 20));
        assert!(!limited.allows((8 << 20) + 1));
        assert!(Memlock { exempt: true, ..limited }.allows(u64::MAX));
        assert!(Memlock { limit_bytes: None, ..limited }.allows(u64::MAX));
    }
}
