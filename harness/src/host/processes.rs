//! Usage of a group of other processes: those of a system that the harness has started.

use super::environment::read;
use super::procfs;
use super::usage::CpuTime;
use crate::num;
use std::collections::{BTreeMap, BTreeSet};
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
    collections: Option<Collections>,
}

/// Bytes that a process has moved to and from devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessIo {
    /// Bytes that devices gave for its reads.
    pub read: u64,
    /// Bytes that it has written to files, cancelled ones included. Many reach the device later.
    pub written: u64,
}

/// The garbage collections of a JVM that stopped its threads.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Collections {
    /// Number of pauses.
    pub pauses: u64,
    /// Length of all pauses together, s.
    pub paused_s: f64,
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
    /// Garbage collections; `None` if it keeps no log of them.
    pub collections: Option<Collections>,
}

impl GroupSample {
    /// Reads the counters of all processes of a group.
    pub fn of(group: u32) -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(numbers.filter_map(|process| Some((process, sample(process, group)?))).collect())
    }

    /// Returns the names of the processes. One that has ended has no name of its own any more.
    pub fn names(&self) -> BTreeSet<String> {
        self.0.values().map(|process| process.name.clone()).collect()
    }

    /// Whether a process of `earlier` has ended. Its counters ended with it, so the usage since then is not known.
    pub fn lacks_any_of(&self, earlier: &Self) -> bool {
        earlier.0.keys().any(|process| !self.0.contains_key(process))
    }

    /// Returns the usage of each process since `earlier`. Processes that did nothing are left out, and so are those that have ended
    /// ([`Self::lacks_any_of`]).
    pub fn since(&self, earlier: &Self) -> Vec<ProcessUsage> {
        let usage = |(process, now): (&u32, &ProcessSample)| {
            let then = earlier.0.get(process);
            let cpu = now.cpu - then.map_or_else(CpuTime::default, |then| then.cpu);
            let io = now.io.map(|now| {
                let then = then.and_then(|then| then.io).unwrap_or_default();
                let since = |now: u64, then: u64| now.saturating_sub(then);
                ProcessIo { read: since(now.read, then.read), written: since(now.written, then.written) }
            });
            let collections = now.collections.map(|now| {
                let then = then.and_then(|then| then.collections).unwrap_or_default();
                Collections {
                    pauses: now.pauses.saturating_sub(then.pauses),
                    paused_s: (now.paused_s - then.paused_s).max(0.0),
                }
            });
            ProcessUsage { name: now.name.clone(), cpu, rss_max_bytes: now.rss_max_bytes, io, collections }
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
        collections: configuration_of(&arguments)
            .and_then(|path| read(&format!("{path}.log.gc")))
            .map(|log| collections(&log)),
    })
}

/// Returns the path of the configuration file in the last argument, without its extension; `None` if there is none.
fn configuration_of(arguments: &str) -> Option<&str> {
    arguments.trim_end_matches('\0').rsplit('\0').next()?.strip_suffix(".properties")
}

/// Counts the pauses in the garbage collector's log of a JVM (`-Xlog:gc`): lines such as
/// `[3.5s][info][gc] GC(7) Pause Young (Normal) (G1 Evacuation Pause) 612M->9M(1024M) 4.250ms`.
fn collections(log: &str) -> Collections {
    let pauses = log.lines().filter(|line| line.contains("] GC(") && line.contains(") Pause "));
    let lengths = pauses.filter_map(|line| line.rsplit(' ').next()?.strip_suffix("ms")?.parse::<f64>().ok());
    lengths.fold(Collections::default(), |sum, ms| Collections {
        pauses: sum.pauses + 1,
        paused_s: sum.paused_s + ms / 1e3,
    })
}

/// Returns the name of the file in the last argument, without its extension; the program's name if the last argument is no
/// configuration file.
fn name_of(arguments: &str, program: &str) -> String {
    let file = configuration_of(arguments).and_then(|path| path.rsplit('/').next());
    file.unwrap_or(program).to_owned()
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
    fn the_pauses_of_garbage_collections_are_counted_and_concurrent_work_is_not() {
        let log = "[0.01s][info][gc] Using G1\n\
            [1.2s][info][gc] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 24M->4M(1024M) 3.500ms\n\
            [1.3s][info][gc] GC(1) Concurrent Mark Cycle 12.000ms\n\
            [1.4s][info][gc] GC(1) Pause Remark 30M->30M(1024M) 0.250ms\n";
        let found = collections(log);
        assert_eq!(found.pauses, 2);
        assert!((found.paused_s - 0.00375).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_process_that_has_ended_is_noticed_and_one_that_is_new_counts() {
        let sample = |processes: &[(u32, f64)]| {
            let of = |(process, total_s): &(u32, f64)| {
                let name = format!("broker-{process}");
                let cpu = CpuTime { total_s: *total_s, kernel_s: 0.0 };
                (*process, ProcessSample { name, cpu, rss_max_bytes: None, io: None, collections: None })
            };
            GroupSample(processes.iter().map(of).collect())
        };
        let cpu = |usage: Vec<ProcessUsage>| -> f64 { usage.iter().map(|process| process.cpu.total_s).sum() };
        let before = sample(&[(1, 10.0), (2, 20.0)]);
        let grown = sample(&[(1, 11.0), (2, 22.0), (3, 4.0)]);
        assert!(!grown.lacks_any_of(&before));
        assert!((cpu(grown.since(&before)) - 7.0).abs() < 1e-9);
        let shrunk = sample(&[(1, 11.0)]);
        assert!(shrunk.lacks_any_of(&before), "what broker-2 used is not known");
        assert!((cpu(shrunk.since(&before)) - 1.0).abs() < 1e-9);
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
