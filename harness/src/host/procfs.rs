//! Parsers for the kernel's text files (proc(5), Documentation/admin-guide/iostats.rst). They are pure: text in, values
//! out. A line that cannot be parsed gives `None` or is left out. It never causes a panic.

use std::collections::BTreeSet;

/// One line of /proc/self/mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor` of the file system's device. If the file system has no block device, no disk has this number.
    pub device: String,
    /// The directory of the file system that is mounted: `/`, unless only a part of it is mounted.
    pub root: String,
    /// The directory that the file system is mounted on.
    pub mount_point: String,
    /// Options of the mount and of the file system, comma-separated. An option that both have is named once.
    pub options: String,
    /// Type of the file system, such as `ext4`.
    pub filesystem: String,
    /// The mounted device or other source, such as `/dev/vda1`.
    pub source: String,
}

/// Returns the mounts of /proc/self/mountinfo in the file's order. A later mount hides an earlier one at the same
/// place.
pub fn mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let device = before.next()?.to_owned();
    let root = unescape(before.next()?);
    let mount_point = unescape(before.next()?);
    let mount_options = before.next()?;
    let mut after = after.split(' ');
    let filesystem = after.next()?.to_owned();
    let source = unescape(after.next()?);
    let named: Vec<_> = mount_options.split(',').collect();
    let own = after.next().unwrap_or_default().split(',').filter(|option| !named.contains(option));
    let options = named.iter().copied().chain(own).filter(|option| !option.is_empty());
    let options = options.collect::<Vec<_>>().join(",");
    Some(Mount { device, root, mount_point, options, filesystem, source })
}

/// Decodes the escapes of mountinfo, which writes space, tab, newline and backslash as a backslash and three octal
/// digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the value of the first line `key : value` of a file such as /proc/cpuinfo or /proc/self/status, trimmed.
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Returns the value in bytes of a field that is given in kB, as in /proc/meminfo and /proc/self/status.
pub fn field_bytes(text: &str, key: &str) -> Option<u64> {
    field(text, key)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the number of resident pages, from /proc/self/statm.
pub fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the choice in brackets of a file such as a disk's `scheduler` or `transparent_hugepage/enabled`. A file
/// without brackets is its own choice.
pub fn chosen(text: &str) -> &str {
    let bracketed = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    bracketed.map_or(text.trim(), |(choice, _)| choice)
}

/// Returns the cores of a list such as `0-3,8`, in ascending order. Parts that are no numbers are left out.
pub fn core_list(text: &str) -> Vec<u32> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // A list of this kernel names no more cores than that.
        (last.saturating_sub(first) < 1 << 16).then_some(first..=last)
    };
    let mut cores: Vec<u32> = text.split(',').filter_map(part).flatten().collect();
    cores.sort_unstable();
    cores.dedup();
    cores
}

/// CPU time of the whole machine or of some cores, in clock ticks, from /proc/stat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTicks {
    /// Total ticks of these cores. Idle, waiting and stolen time are included.
    pub total: u64,
    /// Ticks that the hypervisor gave to other guests while this machine had work.
    pub steal: u64,
    /// Ticks that processes and kernel threads used. Interrupts are not included.
    pub busy: u64,
}

impl CpuTicks {
    /// Returns the share of CPU time stolen since `earlier`, from 0 to 1. It is 0 if no time has passed.
    pub fn steal_share_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        let steal = self.steal.saturating_sub(earlier.steal);
        if total == 0 { 0.0 } else { crate::num::f64_of(steal) / crate::num::f64_of(total) }
    }

    /// Returns the CPU time since `earlier`, in seconds, that others used: `own_s` is the CPU time of this process on these cores.
    pub fn others_s_since(self, earlier: Self, own_s: f64, ticks_per_s: u64) -> f64 {
        let busy = crate::num::f64_of(self.busy.saturating_sub(earlier.busy));
        (busy / crate::num::f64_of(ticks_per_s) - own_s).max(0.0)
    }
}

impl std::ops::AddAssign for CpuTicks {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.steal += other.steal;
        self.busy += other.busy;
    }
}

/// Parses the `cpu` line of /proc/stat.
pub fn cpu_ticks(stat: &str) -> Option<CpuTicks> {
    ticks(stat.lines().find_map(|line| line.strip_prefix("cpu "))?)
}

/// Parses the lines `cpu0`, `cpu1` … of /proc/stat. Returns the ticks of some cores together; `None` if a core is missing.
pub fn ticks_of_cores(stat: &str, cores: &BTreeSet<u32>) -> Option<CpuTicks> {
    let mut sum = CpuTicks::default();
    for core in cores {
        let prefix = format!("cpu{core} ");
        sum += ticks(stat.lines().find_map(|line| line.strip_prefix(prefix.as_str()))?)?;
    }
    Some(sum)
}

/// Parses the fields of such a line. Guest time is left out, because user time contains it.
fn ticks(fields: &str) -> Option<CpuTicks> {
    let ticks: Vec<u64> = fields.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let steal = *ticks.get(7)?;
    // The fields are user, nice, system, idle, iowait, irq, softirq, steal.
    Some(CpuTicks { total: ticks.iter().take(8).sum(), steal, busy: ticks.iter().take(3).sum() })
}

/// CPU time of a thread or a process in clock ticks, from its `stat` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskTicks {
    /// The thread's name. The kernel keeps its first 15 bytes only.
    pub name: String,
    /// Ticks in user mode.
    pub user: u64,
    /// Ticks in the kernel.
    pub system: u64,
    /// The core on which it ran last; `None` if the kernel does not say.
    pub core: Option<u32>,
}

/// Parses /proc/self/task/N/stat. The thread's name may contain spaces and parentheses.
pub fn task_ticks(stat: &str) -> Option<TaskTicks> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    // The fields after the name start with the state, field 3; utime and stime are fields 14 and 15.
    let mut ticks = tail.split_ascii_whitespace().skip(11);
    let user = ticks.next()?.parse().ok()?;
    let system = ticks.next()?.parse().ok()?;
    // The core is field 39.
    let core = ticks.nth(23).and_then(|core| core.parse().ok());
    Some(TaskTicks { name: name.to_owned(), user, system, core })
}

/// Returns the process group of /proc/N/stat. The process's name may contain spaces and parentheses.
pub fn process_group(stat: &str) -> Option<u32> {
    let (_, tail) = stat.rsplit_once(')')?;
    // The state follows the name, then the parent, then the group.
    tail.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// Bytes that a disk has transferred since it was attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Bytes read.
    pub read: u64,
    /// Bytes written. Discards are not included.
    pub written: u64,
    /// Flushes of the disk's write cache that have completed. A disk without such a cache gets none. `None` for kernels before
    /// 5.5, which do not count them.
    pub flushes: Option<u64>,
}

impl DiskCounters {
    /// Returns what was counted since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            read: self.read.saturating_sub(earlier.read),
            written: self.written.saturating_sub(earlier.written),
            flushes: self.flushes.zip(earlier.flushes).map(|(now, then)| now.saturating_sub(then)),
        }
    }

    /// Returns the sums of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            written: self.written + other.written,
            flushes: self.flushes.zip(other.flushes).map(|(one, other)| one + other),
        }
    }
}

/// Parses /sys/dev/block/M:m/stat, which counts sectors of 512 bytes even if the disk's own sectors have another size.
pub fn disk_counters(stat: &str) -> Option<DiskCounters> {
    let mut fields = stat.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let read = fields.nth(2)??.checked_mul(512)?;
    let written = fields.nth(3)??.checked_mul(512)?;
    let flushes = fields.nth(8).flatten();
    Some(DiskCounters { read, written, flushes })
}

/// One line of /proc/interrupts: the number of interrupts since boot on each core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupts {
    /// The interrupt's number.
    pub number: u32,
    /// The source of the interrupts, such as `virtio1-req.0` or `nvme0q1`.
    pub action: String,
    /// Core and number of interrupts, for each core that is online.
    pub per_core: Vec<(u32, u64)>,
}

/// Returns the numbered lines of /proc/interrupts. The lines with letters belong to no device.
pub fn interrupts(text: &str) -> Vec<Interrupts> {
    let mut lines = text.lines();
    let cores: Vec<u32> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|name| name.strip_prefix("CPU")?.parse().ok())
        .collect();
    lines.filter_map(|line| interrupt(line, &cores)).collect()
}

fn interrupt(line: &str, cores: &[u32]) -> Option<Interrupts> {
    let (number, rest) = line.split_once(':')?;
    let number = number.trim().parse().ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let counts = fields.get(..cores.len())?.iter().map(|count| count.parse::<u64>().ok());
    let per_core = cores.iter().copied().zip(counts).map(|(core, count)| Some((core, count?)));
    let action = fields.get(cores.len()..)?.last()?;
    Some(Interrupts { number, action: (*action).to_owned(), per_core: per_core.collect::<Option<_>>()? })
}

/// Returns the one-minute load average, from /proc/loadavg.
pub fn load_average(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
