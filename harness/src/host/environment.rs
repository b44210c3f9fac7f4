//! Collects the facts about the machine that a reader needs to judge a figure measured on it.
//!
//! A fact that cannot be found out is `None`. It is never guessed, and never makes the collection fail.

use super::procfs;
use crate::result::environment::{Cgroup, Cpu, Environment, IoUring, Load, Memlock, Memory, Storage};
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;
use std::fs;
use std::path::Path;

impl Memlock {
    /// Reads the limit on locked memory of this process.
    pub fn collect() -> Self {
        let capabilities = rustix::thread::capabilities(None);
        let holds = capabilities.is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
        // The capability counts only in the first user namespace, which is the only one that maps every id to itself.
        let everyone = u32::MAX.to_string();
        let outermost = read("/proc/self/uid_map")
            .is_some_and(|map| map.split_ascii_whitespace().eq(["0", "0", everyone.as_str()]));
        Self { limit_bytes: getrlimit(Resource::Memlock).current, exempt: holds && outermost }
    }
}

impl Environment {
    /// Collects facts about this machine and about the file system of `data_dir`, which should exist.
    pub fn collect(data_dir: &Path, io_uring: IoUring) -> Self {
        let ticks = read("/proc/stat").and_then(|text| procfs::cpu_ticks(&text));
        Self {
            kernel: kernel(),
            cpu: Cpu::collect(),
            memory: Memory::collect(&Cgroup::collect()),
            cgroup: Cgroup::collect(),
            io_uring,
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
        // Arm gives no model name here. Its implementer and part numbers identify the model as well.
        let model = procfs::field(&cpuinfo, "model name").map(str::to_owned).or_else(|| {
            let implementer = procfs::field(&cpuinfo, "CPU implementer")?;
            Some(format!("implementer {implementer} part {}", procfs::field(&cpuinfo, "CPU part")?))
        });
        let flags = procfs::field(&cpuinfo, "flags").unwrap_or_default();
        let cores_allowed = cores_allowed();
        let siblings = siblings(&cores_allowed);
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
            siblings,
        }
    }
}

impl Memory {
    /// Reads the memory of this machine, of which a control group may allow only a part.
    pub fn collect(cgroup: &Cgroup) -> Self {
        let meminfo = read("/proc/meminfo").unwrap_or_default();
        let huge = read("/sys/kernel/mm/transparent_hugepage/enabled");
        let least = |here: Option<u64>, allowed: Option<u64>| here.into_iter().chain(allowed).min();
        Self {
            total_bytes: least(procfs::field_bytes(&meminfo, "MemTotal"), cgroup.memory_limit_bytes),
            available_bytes: least(
                procfs::field_bytes(&meminfo, "MemAvailable"),
                cgroup.memory_available_bytes,
            ),
            transparent_huge_pages: huge.map(|text| procfs::chosen(&text).to_owned()),
            memlock: Memlock::collect(),
        }
    }
}

/// Files of the kernel without which shards cannot be placed on cores, nor a trial be observed.
const NEEDED: [&str; 3] = ["/sys/devices/system/cpu/online", "/proc/self/stat", "/proc/self/mountinfo"];

/// Returns the files of the kernel that a run needs and that cannot be read, as in some containers.
pub fn hidden_files() -> Vec<&'static str> {
    NEEDED.into_iter().filter(|path| read(path).is_none()).collect()
}

/// Returns the hardware threads of each physical core to which one of `cores` belongs, in ascending order. Empty if the
/// kernel does not say.
pub fn siblings(cores: &[u32]) -> Vec<Vec<u32>> {
    let topology = |core: &u32| {
        let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        Some(procfs::core_list(&read(&path)?))
    };
    let mut groups: Vec<Vec<u32>> = cores.iter().filter_map(topology).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Returns the cores that this process may run on, in ascending order.
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

/// Reads a file in /proc or /sys. Returns `None` if it cannot be read.
pub(super) fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described_and_read_back() {
        let environment = Environment::collect(Path::new(env!("CARGO_MANIFEST_DIR")), IoUring::collect());
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
