//! Usage of a group of other processes: those of a system that the harness has started.

use super::environment::read;
use super::procfs;
use super::usage::CpuTime;
use crate::num;
use std::collections::BTreeMap;
use std::fs;

/// The counters of each process of a group at one moment, by process id.
#[derive(Debug, Clone, Default)]
pub struct GroupSample(BTreeMap<u32, ProcessSample>);

#[derive(Debug, Clone)]
struct ProcessSample {
    name: String,
    cpu: CpuTime,
    rss_max_bytes: Option<u64>,
    io: Option<ProcessIo>,
}

/// Bytes that a process has moved to and from devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessIo {
    /// Bytes that devices gave for its reads.
    pub read: u64,
    /// Bytes that it has written to files, cancelled ones included. Many reach the device later.
    pub written: u64,
}

/// The usage of one process between two samples.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessUsage {
    /// A name that tells it from the others: that of its configuration, or of its program.
    pub name: String,
    /// CPU time, to the clock's tick (mostly 10 ms).
    pub cpu: CpuTime,
    /// Largest resident memory since it began, bytes.
    pub rss_max_bytes: Option<u64>,
    /// Bytes moved; `None` if the kernel does not tell.
    pub io: Option<ProcessIo>,
}

impl GroupSample {
    /// Reads the counters of all processes of a group.
    pub fn of(group: u32) -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(numbers.filter_map(|process| Some((process, sample(process, group)?))).collect())
    }

    /// Returns the usage of each process since `earlier`. Processes that did nothing are left out.
    pub fn since(&self, earlier: &Self) -> Vec<ProcessUsage> {
        let usage = |(process, now): (&u32, &ProcessSample)| {
            let then = earlier.0.get(process);
            let cpu = now.cpu - then.map_or_else(CpuTime::default, |then| then.cpu);
            let io = now.io.map(|now| {
                let then = then.and_then(|then| then.io).unwrap_or_default();
                let since = |now: u64, then: u64| now.saturating_sub(then);
                ProcessIo { read: since(now.read, then.read), written: since(now.written, then.written) }
            });
            ProcessUsage { name: now.name.clone(), cpu, rss_max_bytes: now.rss_max_bytes, io }
        };
        let is_used = |usage: &ProcessUsage| {
            usage.cpu.total_s > 0.0 || usage.io.is_some_and(|io| io != ProcessIo::default())
        };
        self.0.iter().map(usage).filter(is_used).collect()
    }
}

/// Reads the counters of a process; `None` if it has ended, or is not in the group.
fn sample(process: u32, group: u32) -> Option<ProcessSample> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    if procfs::process_group(&stat)? != group {
        return None;
    }
    let ticks = procfs::task_ticks(&stat)?;
    let per_s = num::f64_of(rustix::param::clock_ticks_per_second().max(1));
    let seconds = |ticks: u64| num::f64_of(ticks) / per_s;
    let arguments = read(&format!("/proc/{process}/cmdline")).unwrap_or_default();
    let status = read(&format!("/proc/{process}/status")).unwrap_or_default();
    let io = read(&format!("/proc/{process}/io"));
    Some(ProcessSample {
        name: name_of(&arguments, &ticks.name),
        cpu: CpuTime { total_s: seconds(ticks.user + ticks.system), kernel_s: seconds(ticks.system) },
        rss_max_bytes: procfs::field_bytes(&status, "VmHWM"),
        io: io.and_then(|text| {
            let bytes = |key| procfs::field(&text, key)?.parse().ok();
            Some(ProcessIo { read: bytes("read_bytes")?, written: bytes("write_bytes")? })
        }),
    })
}

/// Returns the name of the file in the last argument, without its extension; the program's name if the last argument is no
/// configuration file.
fn name_of(arguments: &str, program: &str) -> String {
    let last = arguments.trim_end_matches('\0').rsplit('\0').next().unwrap_or_default();
    let file = last.rsplit('/').next().unwrap_or_default();
    file.strip_suffix(".properties").unwrap_or(program).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_named_by_its_configuration() {
        assert_eq!(name_of("java\0-Xmx1g\0kafka.Kafka\0/data/broker-2.properties\0", "java"), "broker-2");
        assert_eq!(name_of("bash\0-c\0sleep 1\0", "bash"), "bash");
        assert_eq!(name_of("", "kworker"), "kworker");
    }

    #[test]
    fn the_processes_of_a_group_are_measured_and_no_others() {
        let script = "for ((i = 0; i < 300000; i++)); do :; done; echo done; read -r _";
        let mut child = Command::new("bash")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let before = GroupSample::default();
        let mut output = child.stdout.take().unwrap();
        std::io::Read::read_exact(&mut output, &mut [0; 5]).unwrap();
        let after = GroupSample::of(child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
        let usage = after.since(&before);
        assert_eq!(usage.len(), 1, "{usage:?}");
        assert_eq!(usage[0].name, "bash");
        assert!(usage[0].cpu.total_s > 0.0 && usage[0].rss_max_bytes.is_some(), "{usage:?}");
        assert!(after.since(&after).is_empty(), "nothing happened since");
    }
}
