//! The limits that control groups (cgroups) put on this process: memory and CPU time. Versions 1 and 2 are read.
//!
//! A group's limits hold for all groups below it, so each group on the way to the root counts.

use super::environment::read;
use super::procfs;
use crate::num;
use crate::result::environment::{Cgroup, Throttling};
use std::path::{Path, PathBuf};

/// The groups of this process that limit CPU time, the innermost first. Kept, so that samples need not look for them.
#[derive(Debug, Clone, Default)]
pub(super) struct CpuGroups {
    limited: Vec<PathBuf>,
}

impl CpuGroups {
    /// Finds the groups with a quota.
    pub(super) fn find() -> Self {
        let groups = groups("cpu").into_iter();
        Self { limited: groups.filter(|dir| quota_cores(dir).is_some()).collect() }
    }

    /// Reads how often the quota has stopped threads. `None` without a quota. Of several groups, the one that stopped them
    /// longest counts.
    pub(super) fn throttling(&self) -> Option<Throttling> {
        let each = self.limited.iter().filter_map(|dir| throttling(&file(dir, "cpu.stat")?));
        each.max_by(|a, b| a.throttled_s.total_cmp(&b.throttled_s))
    }
}

impl Cgroup {
    /// Reads the limits of this process.
    pub fn collect() -> Self {
        let memory: Vec<_> = groups("memory").iter().filter_map(|dir| memory_of(dir)).collect();
        let tightest = memory.iter().min_by_key(|memory| memory.limit_bytes);
        Self {
            memory_limit_bytes: tightest.map(|memory| memory.limit_bytes),
            memory_available_bytes: memory.iter().map(MemoryGroup::available_bytes).min(),
            cpu_quota_cores: groups("cpu").iter().filter_map(|dir| quota_cores(dir)).min_by(f64::total_cmp),
            throttling: CpuGroups::find().throttling(),
        }
    }
}

/// The memory of one group that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MemoryGroup {
    limit_bytes: u64,
    used_bytes: u64,
    /// Page cache within the used bytes, which the kernel can take back.
    cache_bytes: u64,
}

impl MemoryGroup {
    fn available_bytes(&self) -> u64 {
        let held_bytes = self.used_bytes.saturating_sub(self.cache_bytes);
        self.limit_bytes.saturating_sub(held_bytes)
    }
}

/// Reads the memory of a group; `None` if it has no limit.
fn memory_of(dir: &Path) -> Option<MemoryGroup> {
    let number = |name: &str| file(dir, name)?.trim().parse::<u64>().ok();
    let limit_bytes = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    // Version 1 writes no limit as the largest number of pages.
    if limit_bytes >= NO_LIMIT_BYTES {
        return None;
    }
    let used_bytes = number("memory.current").or_else(|| number("memory.usage_in_bytes")).unwrap_or(0);
    let stat = file(dir, "memory.stat").unwrap_or_default();
    let cache = ["inactive_file", "active_file"].map(|name| {
        // Version 1 counts the group alone under the short name, and the groups below it too under the long one.
        value_of(&stat, &format!("total_{name}")).or_else(|| value_of(&stat, name)).unwrap_or(0)
    });
    Some(MemoryGroup { limit_bytes, used_bytes, cache_bytes: cache.iter().sum() })
}

/// A limit of this many bytes or more is none.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Returns the CPU quota of a group in cores; `None` without a quota.
fn quota_cores(dir: &Path) -> Option<f64> {
    if let Some(max) = file(dir, "cpu.max") {
        return quota(&max);
    }
    let [quota_us, period_us] = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map(|name| file(dir, name));
    quota(&format!("{} {}", quota_us?.trim(), period_us?.trim()))
}

/// Parses a quota and its period, in µs. No quota is `max` or `-1`.
fn quota(text: &str) -> Option<f64> {
    let mut fields = text.split_ascii_whitespace();
    let quota_us: u64 = fields.next()?.parse().ok()?;
    let period_us: u64 = fields.next()?.parse().ok().filter(|period| *period > 0)?;
    Some(num::f64_of(quota_us) / num::f64_of(period_us))
}

/// Parses `cpu.stat`. Version 1 counts ns, version 2 µs.
fn throttling(stat: &str) -> Option<Throttling> {
    let ns = value_of(stat, "throttled_time");
    let ns = ns.or_else(|| value_of(stat, "throttled_usec")?.checked_mul(1000))?;
    Some(Throttling {
        periods: value_of(stat, "nr_periods")?,
        throttled_periods: value_of(stat, "nr_throttled")?,
        throttled_s: num::f64_of(ns) * 1e-9,
    })
}

/// Returns the number behind a name in lines of `name number`.
fn value_of(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn file(dir: &Path, name: &str) -> Option<String> {
    read(dir.join(name).to_str()?)
}

/// Returns the directories of this process's groups for a controller, the innermost first.
fn groups(controller: &str) -> Vec<PathBuf> {
    let (Some(own), Some(mounts)) = (read("/proc/self/cgroup"), read("/proc/self/mountinfo")) else {
        return Vec::new();
    };
    let innermost = innermost(controller, &own, &mounts);
    let Some((mount_point, dir)) = innermost else { return Vec::new() };
    dir.ancestors().take_while(|dir| dir.starts_with(&mount_point)).map(Path::to_owned).collect()
}

/// Returns the mount point of a controller's groups, and the directory of the group of a process. `own` is its
/// `/proc/PID/cgroup`. A controller that has no hierarchy of its own is in that of version 2.
fn innermost(controller: &str, own: &str, mountinfo: &str) -> Option<(PathBuf, PathBuf)> {
    let lines =
        || own.lines().filter_map(|line| line.splitn(3, ':').skip(1).collect::<Vec<_>>().try_into().ok());
    let has = |controllers: &str| controllers.split(',').any(|one| one == controller);
    let (path, is_own) = lines()
        .find_map(|[controllers, path]: [&str; 2]| has(controllers).then_some((path, true)))
        .or_else(|| {
            lines().find_map(|[controllers, path]: [&str; 2]| controllers.is_empty().then_some((path, false)))
        })?;
    let mounts = procfs::mounts(mountinfo);
    let mount = mounts.into_iter().find(|mount| match is_own {
        true => mount.filesystem == "cgroup" && has(&mount.options),
        false => mount.filesystem == "cgroup2",
    })?;
    let mount_point = PathBuf::from(mount.mount_point);
    // In a container the mount shows only the groups below the container's own.
    let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
    Some((mount_point.clone(), mount_point.join(below)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const VERSION_1: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const CONTAINER: &str = "41 31 0:38 /docker/12ab /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n";

    fn paths(mount_point: &str, dir: &str) -> Option<(PathBuf, PathBuf)> {
        Some((mount_point.into(), dir.into()))
    }

    #[test]
    fn a_group_is_found_in_both_versions_and_in_a_container() {
        let own = "4:memory:/a/b\n1:cpu,cpuacct:/\n0::/unified\n";
        let memory = paths("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/a/b");
        assert_eq!(innermost("memory", own, VERSION_1), memory);
        let cpu = paths("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu/");
        assert_eq!(innermost("cpu", own, VERSION_1), cpu);
        let pids = paths("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/unified");
        assert_eq!(innermost("pids", own, VERSION_1), pids);
        let inside = paths("/sys/fs/cgroup", "/sys/fs/cgroup/x");
        assert_eq!(innermost("memory", "0::/docker/12ab/x\n", CONTAINER), inside);
        let namespaced = paths("/sys/fs/cgroup", "/sys/fs/cgroup/");
        assert_eq!(innermost("memory", "0::/\n", CONTAINER), namespaced);
        assert_eq!(innermost("memory", "", CONTAINER), None);
        assert_eq!(innermost("memory", own, ""), None);
    }

    #[test]
    fn quotas_are_in_cores_and_no_quota_is_none() {
        assert_eq!(quota("50000 100000\n"), Some(0.5));
        for none in ["max 100000", "-1 100000", "100000 0", "100000", ""] {
            assert_eq!(quota(none), None, "{none}");
        }
    }

    #[test]
    fn throttling_is_read_in_both_versions() {
        let first = "nr_periods 40\nnr_throttled 30\nthrottled_time 1500000000\n";
        let second = "usage_usec 7\nnr_periods 40\nnr_throttled 30\nthrottled_usec 1500000\n";
        let expected = Throttling { periods: 40, throttled_periods: 30, throttled_s: 1.5 };
        for stat in [first, second] {
            let found = throttling(stat).unwrap();
            assert_eq!((found.periods, found.throttled_periods), (40, 30));
            assert!((found.throttled_s - expected.throttled_s).abs() < 1e-9);
        }
        assert_eq!(throttling("usage_usec 7\n"), None);
    }

    #[test]
    fn memory_that_holds_page_cache_is_available() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(memory_of(dir.path()), None);
        write("memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(memory_of(dir.path()), None, "no limit");
        write("memory.limit_in_bytes", "1000\n");
        write("memory.usage_in_bytes", "900\n");
        write("memory.stat", "inactive_file 1\ntotal_inactive_file 500\ntotal_active_file 100\n");
        let memory = memory_of(dir.path()).unwrap();
        assert_eq!((memory.limit_bytes, memory.available_bytes()), (1000, 700));
        write("memory.max", "max\n");
        assert_eq!(memory_of(dir.path()).map(|memory| memory.limit_bytes), Some(1000));
    }
}
