//! Parsers of the kernel's text files (proc(5), Documentation/admin-guide/iostats.rst). Pure: text in, values out; a
//! line that does not parse is `None` or left out, never a panic.

/// One line of /proc/self/mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor` of the file system's device (of no block device, where the file system has none).
    pub device: String,
    /// Where it is mounted.
    pub mount_point: String,
    /// The mount's and the file system's own options, comma-separated, the latter without those already named.
    pub options: String,
    /// Its type, such as `ext4`.
    pub filesystem: String,
    /// What is mounted, such as `/dev/vda1`.
    pub source: String,
}

/// The mounts of /proc/self/mountinfo, in its order: a later one hides an earlier one at the same place.
pub fn mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(2);
    let device = place.next()?.to_owned();
    let mount_point = unescape(place.nth(1)?);
    let mount_options = place.next()?;
    let mut what = what.split(' ');
    let filesystem = what.next()?.to_owned();
    let source = unescape(what.next()?);
    let named: Vec<_> = mount_options.split(',').collect();
    let own = what.next().unwrap_or_default().split(',').filter(|option| !named.contains(option));
    let options = named.iter().copied().chain(own).filter(|option| !option.is_empty());
    let options = options.collect::<Vec<_>>().join(",");
    Some(Mount { device, mount_point, options, filesystem, source })
}

/// mountinfo writes space, tab, newline and backslash as a backslash and three octal digits.
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

/// The first `key : value` of a file such as /proc/cpuinfo or /proc/self/status, trimmed.
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// A field in kB (/proc/meminfo, /proc/self/status), in bytes.
pub fn field_bytes(text: &str, key: &str) -> Option<u64> {
    field(text, key)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Resident pages of /proc/self/statm.
pub fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The choice in brackets of a file such as a scheduler's or `transparent_hugepage/enabled`; a bare word stands for
/// itself.
pub fn chosen(text: &str) -> &str {
    let bracketed = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    bracketed.map_or(text.trim(), |(choice, _)| choice)
}

/// CPU time of the whole machine, in clock ticks, from the first line of /proc/stat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTicks {
    /// All of it: idle, waiting and stolen included.
    pub total: u64,
    /// What the hypervisor gave to others while we had work.
    pub steal: u64,
    /// What processes and kernel threads spent; interrupts left out.
    pub busy: u64,
}

impl CpuTicks {
    /// The share stolen since `earlier`, 0 to 1; 0 where no time has passed.
    pub fn steal_share_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        let steal = self.steal.saturating_sub(earlier.steal);
        if total == 0 { 0.0 } else { crate::num::f64_of(steal) / crate::num::f64_of(total) }
    }

    /// CPU time since `earlier` that others spent than a process that spent `own_s`, s.
    pub fn others_s_since(self, earlier: Self, own_s: f64, ticks_per_s: u64) -> f64 {
        let busy = crate::num::f64_of(self.busy.saturating_sub(earlier.busy));
        (busy / crate::num::f64_of(ticks_per_s) - own_s).max(0.0)
    }
}

/// The `cpu` line of /proc/stat. Guest time is left out, as user time contains it.
pub fn cpu_ticks(stat: &str) -> Option<CpuTicks> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let steal = *ticks.get(7)?;
    // user, nice, system; then idle, iowait, irq, softirq, steal.
    Some(CpuTicks { total: ticks.iter().take(8).sum(), steal, busy: ticks.iter().take(3).sum() })
}

/// A thread's (or process's) CPU time, in clock ticks, from its `stat` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskTicks {
    /// The thread's name; the kernel keeps 15 bytes of it.
    pub name: String,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
}

/// /proc/self/task/N/stat. The name may contain spaces and parentheses.
pub fn task_ticks(stat: &str) -> Option<TaskTicks> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    // The fields after the name start with the state, field 3; utime and stime are fields 14 and 15.
    let mut ticks = tail.split_ascii_whitespace().skip(11);
    let user = ticks.next()?.parse().ok()?;
    let system = ticks.next()?.parse().ok()?;
    Some(TaskTicks { name: name.to_owned(), user, system })
}

/// What a disk has transferred since it appeared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskBytes {
    /// Bytes read.
    pub read: u64,
    /// Bytes written; discards are not in it.
    pub written: u64,
}

/// /sys/dev/block/M:m/stat, which counts in sectors of 512 bytes whatever the disk's own.
pub fn disk_bytes(stat: &str) -> Option<DiskBytes> {
    let mut fields = stat.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let read = fields.nth(2)??.checked_mul(512)?;
    let written = fields.nth(3)??.checked_mul(512)?;
    Some(DiskBytes { read, written })
}

/// Interrupts since boot of one line of /proc/interrupts, a count a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupts {
    /// The interrupt's number.
    pub number: u32,
    /// What raises them, such as `virtio1-req.0` or `nvme0q1`.
    pub action: String,
    /// Core and count, for the cores that are online.
    pub per_core: Vec<(u32, u64)>,
}

/// The numbered lines of /proc/interrupts (the lettered ones belong to no device).
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

/// The one-minute load average of /proc/loadavg.
pub fn load_average(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
